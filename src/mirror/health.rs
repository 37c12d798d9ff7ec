//! Whether a mirror on disk is whole, as far as that can be told without git; and the litter of killed gits.
//!
//! Git itself finds a truncated pack only when it needs an object from the missing part. A pack ends with its own
//! checksum and its index repeats it (gitformat-pack(5)), so a few bytes per pack tell.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::base::failure::{Failure, Reason};
use crate::git::KEEP_MARK;

/// Checks the outer shape of the bare repository `dir` and the ends of its packs.
///
/// # Errors
/// `corrupt`, naming what is missing or damaged; local failures of reading are told as such.
pub fn check(dir: &Path) -> Result<(), Failure> {
    for part in ["HEAD", "config", "objects", "refs"] {
        let there = dir.join(part).try_exists();
        if !there.map_err(|error| Failure::local(format!("cannot look at {}", dir.join(part).display()), &error))? {
            return Err(corrupt(format!("{part} is missing")));
        }
    }
    // As a power cut leaves it; git takes it for a configuration that says nothing, not even that this is a mirror.
    if fs::metadata(dir.join("config")).is_ok_and(|data| data.len() == 0) {
        return Err(corrupt("config is empty".to_owned()));
    }
    let folder = dir.join("objects/pack");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Failure::local(format!("cannot read {}", folder.display()), &error)),
    };
    for entry in entries {
        let path = entry.map_err(|e| Failure::local(format!("cannot read {}", folder.display()), &e))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Git writes to tmp_pack_* and tmp_idx_* first; those are litter at worst.
        if !name.starts_with("pack-") {
            continue;
        }
        // A pack without its index is litter: git killed between the two leaves it so. Where it is missed, refs tell.
        if path.extension().is_some_and(|extension| extension == "idx") {
            let pack = path.with_extension("pack").try_exists();
            if !pack.map_err(|error| Failure::local(format!("cannot look at {}", path.display()), &error))? {
                return Err(corrupt(format!("the pack of {name} is missing")));
            }
            check_pack(&path)?;
        }
    }
    Ok(())
}

/// Whether there is any object, packed, loose or borrowed.
pub fn has_objects(dir: &Path) -> bool {
    let objects = dir.join("objects");
    let has = |folder: &Path, fits: &dyn Fn(&Path) -> bool| {
        fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| fits(&entry.path()))
    };
    let is_pack = |path: &Path| path.extension().is_some_and(|ending| ending == "pack");
    // Loose objects lie in folders called by the first two digits of their ids.
    let is_filled = |path: &Path| path.file_name().is_some_and(|name| name.len() == 2) && has(path, &|_| true);
    has(&objects.join("pack"), &is_pack) || objects.join("info/alternates").exists() || has(&objects, &is_filled)
}

/// Whether there is any ref, packed or loose.
pub fn has_refs(dir: &Path) -> bool {
    let mut folders = vec![dir.join("refs")];
    let mut found = fs::metadata(dir.join("packed-refs")).is_ok_and(|data| data.len() > 0);
    while let (false, Some(folder)) = (found, folders.pop()) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                _ => found = true,
            }
        }
    }
    found
}

fn check_pack(index: &Path) -> Result<(), Failure> {
    let pack = index.with_extension("pack");
    let name = pack.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // SHA-1 checksums have 20 bytes, SHA-256 ones 32; the file names carry the hash, which tells which.
    let length = if name.len() > "pack-.pack".len() + 40 { 32 } else { 20 };
    let read = |path: &Path, back: u64| -> std::io::Result<Option<Vec<u8>>> {
        let mut file = File::open(path)?;
        if file.metadata()?.len() < back.max(32) {
            return Ok(None);
        }
        file.seek(SeekFrom::End(-back.cast_signed()))?;
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes)?;
        Ok(Some(bytes))
    };
    let size = length as u64;
    let unreadable = |error| Failure::local(format!("cannot read {}", pack.display()), &error);
    // The index ends with the pack's checksum and then its own.
    let (of_pack, in_index) = (read(&pack, size).map_err(unreadable)?, read(index, 2 * size).map_err(unreadable)?);
    match (of_pack, in_index) {
        (Some(one), Some(other)) if one == other => Ok(()),
        _ => Err(corrupt(format!("{name} is truncated or is not the pack of its index"))),
    }
}

fn corrupt(what: String) -> Failure {
    Failure::new(Reason::Corrupt, "the mirror on disk is damaged").with_evidence(what)
}

/// Removes the lock files and unfinished packs in `dir` that are older than `since`; returns the locks removed.
///
/// Whoever holds the storage's lock knows that no git of ours is at work, so what is older was left by a killed one.
///
/// # Errors
/// A local failure naming what cannot be read or removed.
pub fn clear_litter(dir: &Path, since: SystemTime) -> Result<Vec<PathBuf>, Failure> {
    let mut removed = Vec::new();
    let mut folders = vec![dir.to_owned(), dir.join("refs"), dir.join("objects/pack"), dir.join("objects/info")];
    while let Some(folder) = folders.pop() {
        let broken = |error| Failure::local(format!("cannot clear {}", folder.display()), &error);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(broken(error)),
        };
        for entry in entries {
            let entry = entry.map_err(broken)?;
            let path = entry.path();
            if entry.file_type().map_err(broken)?.is_dir() {
                if path.starts_with(dir.join("refs")) {
                    folders.push(path);
                }
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_lock = name.ends_with(".lock");
            if !is_lock && !is_unfinished(&name) && !is_left_hold(&path, &name) {
                continue;
            }
            let age = entry.metadata().and_then(|data| data.modified()).map_err(broken)?;
            if age < since {
                fs::remove_file(&path).map_err(broken)?;
                if is_lock {
                    removed.push(path);
                }
            }
        }
    }
    Ok(removed)
}

/// What git writes before it has its name: packs and their indexes (index-pack, pack-objects, repack), and `packed-refs`,
/// which nobody can write any more as long as that lies there (git 2.47: `packed-refs.new: File exists`).
fn is_unfinished(name: &str) -> bool {
    ["tmp_pack_", "tmp_idx_", "tmp_rev_", ".tmp-"].iter().any(|start| name.starts_with(start))
        || name == "packed-refs.new"
}

/// Whether it is the mark by which a fetch keeps its new pack from being repacked until the refs are moved: left behind, the
/// pack would stay out of every roll-up. A person's own mark says something else.
fn is_left_hold(path: &Path, name: &str) -> bool {
    let is_hold = |text: Vec<u8>| text.starts_with(b"fetch-pack ") || text.trim_ascii() == KEEP_MARK.as_bytes();
    name.ends_with(".keep") && fs::read(path).is_ok_and(is_hold)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;
    use std::time::Duration;

    fn git(dir: &Path, arguments: &[&str]) {
        let done = Command::new("git")
            .current_dir(dir)
            .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"])
            .args(arguments)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    type Damage<'a> = &'a dyn Fn(&Path) -> std::io::Result<()>;

    fn packed() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        git(folder.path(), &["init", "-q", "--bare", "x.git"]);
        let dir = folder.path().join("x.git");
        std::fs::write(folder.path().join("file"), "hello").unwrap();
        let file = folder.path().join("file");
        git(&dir, &["hash-object", "-w", file.to_str().unwrap()]);
        git(&dir, &["update-ref", "refs/tags/blob", "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0"]);
        git(&dir, &["repack", "-adq"]);
        let pack = fs::read_dir(dir.join("objects/pack")).unwrap().map(|entry| entry.unwrap().path());
        let pack = pack.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "pack")).unwrap();
        (folder, dir, pack)
    }

    #[test]
    fn a_whole_repository_passes() {
        let (_folder, dir, _) = packed();
        check(&dir).unwrap();
    }

    #[test]
    fn a_missing_or_truncated_pack_is_noticed() {
        let truncate = |pack: &Path, lost: u64| {
            // Packs are read-only files; root may write them all the same, so make that the case for everybody.
            fs::set_permissions(pack, fs::Permissions::from_mode(0o644))?;
            let file = File::options().write(true).open(pack)?;
            file.set_len(file.metadata()?.len().saturating_sub(lost))
        };
        let damages: [Damage; 3] =
            [&|pack| fs::remove_file(pack), &|pack| truncate(pack, 1), &|pack| truncate(pack, u64::MAX)];
        for damage in damages {
            let (_folder, dir, pack) = packed();
            damage(&pack).unwrap();
            assert_eq!(check(&dir).unwrap_err().reason(), Reason::Corrupt);
        }
    }

    #[test]
    fn only_litter_older_than_the_run_is_removed() {
        let (_folder, dir, _) = packed();
        fs::create_dir_all(dir.join("refs/heads/a")).unwrap();
        let litter = ["packed-refs.lock", "refs/heads/a/b.lock", "objects/pack/tmp_pack_x"].map(|name| dir.join(name));
        litter.iter().for_each(|path| fs::write(path, "").unwrap());
        let past = SystemTime::now() - Duration::from_secs(3600);
        assert_eq!(clear_litter(&dir, past).unwrap(), Vec::<PathBuf>::new());
        let mut removed = clear_litter(&dir, SystemTime::now() + Duration::from_secs(1)).unwrap();
        removed.sort();
        assert_eq!(removed, litter[..2]);
        assert!(litter.iter().all(|path| !path.exists()));
    }
}
