//! What a mirror takes on disk: bytes, packs and loose refs, counted without git.
//!
//! Bytes are counted as `du` does: blocks that are allocated, directories too, a file with several names once.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::model::OnDisk;

/// Counts what is under `dir`; `None` when it cannot be read.
pub fn take(dir: &Path) -> Option<OnDisk> {
    let (packs, refs) = (dir.join("objects/pack"), dir.join("refs"));
    let (mut census, mut number) = (OnDisk::default(), 0);
    let mut linked = HashSet::new();
    census.bytes += allocated(&std::fs::symlink_metadata(dir).ok()?);
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).ok()? {
            let entry = entry.ok()?;
            let (path, data) = (entry.path(), entry.metadata().ok()?);
            if data.is_dir() || data.nlink() < 2 || linked.insert((data.dev(), data.ino())) {
                census.bytes += allocated(&data);
            }
            if data.is_dir() {
                folders.push(path);
                continue;
            }
            number += u64::from(folder == packs && path.extension().is_some_and(|ending| ending == "pack"));
            census.loose_refs += u64::from(path.starts_with(&refs));
        }
    }
    census.packs = Some(number);
    Some(census)
}

fn allocated(data: &std::fs::Metadata) -> u64 {
    // In this unit on every system, whatever its blocks are.
    data.blocks() * 512
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn packs_and_loose_refs_are_counted_and_bytes_as_du_counts_them() {
        let folder = tempfile::tempdir().unwrap();
        for (file, bytes) in [
            ("HEAD", 5),
            ("packed-refs", 7),
            ("objects/pack/pack-a.pack", 100),
            ("objects/pack/pack-a.idx", 10),
            ("objects/pack/pack-b.pack", 200),
            ("refs/heads/main", 41),
            ("refs/heads/a/b", 41),
        ] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![1; bytes]).unwrap();
        }
        // A hole takes no room, and a second name takes none for the file.
        fs::File::create(folder.path().join("hole")).unwrap().set_len(10 << 20).unwrap();
        fs::hard_link(folder.path().join("objects/pack/pack-a.pack"), folder.path().join("second")).unwrap();
        let du = std::process::Command::new("du").args(["-s", "-B1"]).arg(folder.path()).output().unwrap();
        let bytes = String::from_utf8(du.stdout).unwrap().split('\t').next().unwrap().parse().unwrap();
        assert_eq!(take(folder.path()), Some(OnDisk { bytes, packs: Some(2), loose_refs: 2 }));
        assert!(bytes < 1 << 20, "{bytes}");
        assert_eq!(take(&folder.path().join("nowhere")), None);
    }
}
