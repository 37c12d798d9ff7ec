//! What a mirror takes on disk: bytes, packs and loose refs, counted without git.

use std::path::Path;

use crate::model::OnDisk;

/// Counts what is under `dir`; `None` when it cannot be read.
pub fn take(dir: &Path) -> Option<OnDisk> {
    let (packs, refs) = (dir.join("objects/pack"), dir.join("refs"));
    let (mut census, mut number) = (OnDisk::default(), 0);
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).ok()? {
            let entry = entry.ok()?;
            let (path, data) = (entry.path(), entry.metadata().ok()?);
            if data.is_dir() {
                folders.push(path);
                continue;
            }
            census.bytes += data.len();
            number += u64::from(folder == packs && path.extension().is_some_and(|ending| ending == "pack"));
            census.loose_refs += u64::from(path.starts_with(&refs));
        }
    }
    census.packs = Some(number);
    Some(census)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn packs_loose_refs_and_all_bytes_are_counted() {
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
            fs::write(path, vec![0; bytes]).unwrap();
        }
        assert_eq!(take(folder.path()), Some(OnDisk { bytes: 404, packs: Some(2), loose_refs: 2 }));
        assert_eq!(take(&folder.path().join("nowhere")), None);
    }
}
