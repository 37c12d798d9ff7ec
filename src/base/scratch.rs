//! Directories in the system's temporary directory: private, gone with their owner, and swept when it was killed.
//!
//! Each holds a file that its owner has locked as long as it lives. A killed owner's lock goes with it, so the next run
//! can tell what nobody uses any more. Only directories with that file are ever removed.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// How the names of all of them begin.
const PREFIX: &str = "holocron-";

/// The file that the owner has locked.
const MARK: &str = ".holocron-in-use";

/// A private directory, removed when this is dropped.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
    _mark: File,
}

impl Scratch {
    /// Makes one in the system's temporary directory.
    ///
    /// # Errors
    /// When it cannot be made there.
    pub fn make() -> io::Result<Self> {
        Scratch::make_in(&std::env::temp_dir())
    }

    /// Makes one in `parent`.
    ///
    /// # Errors
    /// When it cannot be made there.
    pub fn make_in(parent: &Path) -> io::Result<Self> {
        loop {
            // tempfile makes directories with mode 0700 on Unix.
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
            let path = folder.path().join(MARK);
            let mark = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            // A sweep that came between the two has taken the lock, and the directory with it: make another.
            if mark.try_lock().is_ok() && path.exists() {
                return Ok(Scratch { folder, _mark: mark });
            }
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes what killed runs of the same user left in the system's temporary directory and in those of `others`.
///
/// What cannot be removed is logged and stays: it is in nobody's way.
pub fn sweep(others: &[PathBuf]) {
    let temporary = std::env::temp_dir();
    for parent in others.iter().chain([&temporary]) {
        for folder in abandoned(parent) {
            match fs::remove_dir_all(&folder.path) {
                Ok(()) => tracing::debug!("removed {}, left behind by a killed run", folder.path.display()),
                Err(error) => tracing::debug!("cannot remove {}: {error}", folder.path.display()),
            }
        }
    }
}

/// A directory that nobody uses any more; its lock is ours.
struct Abandoned {
    path: PathBuf,
    _mark: File,
}

fn abandoned(parent: &Path) -> impl Iterator<Item = Abandoned> {
    let me = rustix::process::geteuid().as_raw();
    let named = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(PREFIX.as_bytes());
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries.filter(move |entry| named(&entry.file_name())).filter_map(move |entry| {
        let path = entry.path();
        // Not followed: in a directory that all may write to, a link may lead anywhere.
        let metadata = fs::symlink_metadata(&path).ok()?;
        if !metadata.is_dir() || metadata.uid() != me {
            return None;
        }
        let nofollow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        let mark = OpenOptions::new().write(true).custom_flags(nofollow).open(path.join(MARK)).ok()?;
        mark.try_lock().ok()?;
        Some(Abandoned { path, _mark: mark })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_a_living_run_uses_and_what_is_not_ours_stay() {
        let parent = tempfile::tempdir().unwrap();
        let living = Scratch::make_in(parent.path()).unwrap();
        let left = parent.path().join("holocron-left");
        fs::create_dir_all(left.join("objects")).unwrap();
        fs::write(left.join(MARK), "").unwrap();
        // Somebody's own directory, which merely has such a name, and a link to one that looks abandoned.
        let own = parent.path().join("holocron-backup");
        fs::create_dir(&own).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join(MARK), "").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), parent.path().join("holocron-link")).unwrap();

        sweep(&[parent.path().to_owned()]);
        let living_name = living.path().file_name().unwrap().to_str().unwrap();
        let mut expected = vec!["holocron-backup", "holocron-link", living_name];
        expected.sort_unstable();
        assert_eq!(names(parent.path()), expected);
        assert_eq!(names(elsewhere.path()), [MARK]);
        drop(living);
        assert_eq!(names(parent.path()), ["holocron-backup", "holocron-link"]);
    }
}
