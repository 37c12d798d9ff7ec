//! Makes sure that what a run reports outlives a power cut: all that was changed in a mirror is on the disk, under its
//! name, before its result is recorded or told.
//!
//! Git sees to the content of packs and refs (`core.fsync` in `git/mod.rs`), never to the directories that name them, nor
//! to HEAD and config.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use crate::base::failure::Failure;

/// Brings to the disk what was changed since `since` in the mirror `dir`, and in the folders between it and `root`.
///
/// # Errors
/// `disk_full` or `local_failed`: what was changed may be lost in a power cut, so it is no success.
pub(super) async fn seal(dir: &Path, root: &Path, since: SystemTime) -> Result<(), Failure> {
    let (mirror, root) = (dir.to_owned(), root.to_owned());
    let sealed = tokio::task::spawn_blocking(move || bring_to_disk(&mirror, &root, since)).await;
    let sealed = sealed.unwrap_or_else(|error| Err(io::Error::other(error)));
    sealed.map_err(|error| Failure::local(format!("cannot bring {} to the disk", dir.display()), &error))
}

/// One call for all of it: each fsync waits for the disk, and a clone would need ten.
#[cfg(target_os = "linux")]
fn bring_to_disk(dir: &Path, _: &Path, _: SystemTime) -> io::Result<()> {
    Ok(rustix::fs::syncfs(std::fs::File::open(dir)?)?)
}

#[cfg(not(target_os = "linux"))]
fn bring_to_disk(dir: &Path, root: &Path, since: SystemTime) -> io::Result<()> {
    for path in changed(dir, root, since)? {
        match std::fs::File::open(&path)?.sync_all() {
            // Some file systems have no such thing for directories.
            Err(error) if path.is_dir() && matches!(error.kind(), io::ErrorKind::InvalidInput) => {}
            done => done?,
        }
    }
    Ok(())
}

/// The files and directories that were changed since `since`, without the files among the objects, which are git's care.
#[cfg(any(test, not(target_os = "linux")))]
fn changed(dir: &Path, root: &Path, since: SystemTime) -> io::Result<Vec<std::path::PathBuf>> {
    use std::time::Duration;
    // File systems keep times as coarsely as two seconds (FAT).
    let since = since - Duration::from_secs(2);
    let is_changed = |path: &Path| io::Result::Ok(std::fs::symlink_metadata(path)?.modified()? >= since);
    let mut changed = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if !folder.starts_with(dir.join("objects")) && is_changed(&entry.path())? {
                changed.push(entry.path());
            }
        }
        if is_changed(&folder)? {
            changed.push(folder);
        }
    }
    for folder in dir.ancestors().skip(1).take_while(|folder| folder.starts_with(root)) {
        if is_changed(folder)? {
            changed.push(folder.to_owned());
        }
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::Duration;

    use super::*;
    use crate::base::failure::Reason;

    #[test]
    fn what_was_changed_and_the_folders_that_name_it_are_brought_to_the_disk() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("host/ns/a.git");
        fs::create_dir_all(dir.join("objects/pack")).unwrap();
        fs::create_dir_all(dir.join("refs/heads")).unwrap();
        for file in ["HEAD", "refs/heads/main", "objects/pack/pack-x.pack"] {
            fs::write(dir.join(file), "x").unwrap();
        }
        let now = SystemTime::now();
        let old = now - Duration::from_secs(3600);
        for path in ["host/ns/a.git/HEAD", "host/ns/a.git/refs", "host/ns", "host", ""] {
            File::open(root.path().join(path)).unwrap().set_modified(old).unwrap();
        }
        let mut changed = changed(&dir, root.path(), now).unwrap();
        changed.sort();
        let expected = ["", "objects", "objects/pack", "refs/heads", "refs/heads/main"].map(|name| dir.join(name));
        let expected = expected.map(|path| path.components().collect::<std::path::PathBuf>());
        assert_eq!(changed, expected);
    }

    #[tokio::test]
    async fn what_cannot_be_brought_to_the_disk_is_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("nowhere");
        let failure = seal(&missing, folder.path(), SystemTime::now()).await.unwrap_err();
        assert_eq!(failure.reason(), Reason::LocalFailed);
        seal(folder.path(), folder.path(), SystemTime::now()).await.unwrap();
    }
}
