//! The storage root on disk: where things lie, one run at a time, and what killed runs left behind.
//!
//! ```text
//! <root>/<host>/<namespace>/<name>.git   mirrors          <root>/<host>/<namespace>/<name>   checkouts
//! <root>/.holocron/lock                  who is at work   .../state.sqlite   last results
//! <root>/.holocron/tmp/                  clones not yet complete
//! <root>/.holocron/damaged/<time>/…      mirrors found damaged and replaced; never deleted by us
//! <root>/.holocron/gone/…                mirrors of deleted repositories whose place another one took
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, test_kill_process};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::base::failure::{Failure, Reason};
use crate::model::MirrorKey;

/// Our own folder in the storage root; no host is called so.
pub const OWN_FOLDER: &str = ".holocron";

/// How long the git processes of a killed run may take to notice that nobody listens any more.
const ORPHANS: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// The storage root; knows places, makes none until asked to.
#[derive(Debug, Clone)]
pub struct Storage {
    root: PathBuf,
}

impl Storage {
    /// The storage at `root`, which need not exist yet.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Storage { root: root.into() }
    }

    /// The storage root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The absolute path of something given relative to the root.
    pub fn path(&self, relative: &Path) -> PathBuf {
        self.root.join(relative)
    }

    /// The store's file.
    pub fn store_file(&self) -> PathBuf {
        self.own("state.sqlite")
    }

    fn own(&self, name: &str) -> PathBuf {
        self.root.join(OWN_FOLDER).join(name)
    }

    /// Whether a bare repository (or what was one) lies at the relative path.
    pub fn has_mirror(&self, relative: &Path) -> bool {
        self.path(relative).is_dir()
    }

    /// Whether the file system takes `A` and `a` for one name.
    pub fn folds_case(&self) -> bool {
        self.root.join(OWN_FOLDER.to_uppercase()).exists()
    }

    /// Makes the root and our own folder, and shows that they can be written.
    ///
    /// # Errors
    /// `local_failed` or `disk_full`, naming the directory.
    pub fn prepare(&self) -> Result<(), Failure> {
        let own = self.root.join(OWN_FOLDER);
        fs::create_dir_all(&self.root)
            // What lies in it names private repositories.
            .and_then(|()| DirBuilder::new().mode(0o700).recursive(true).create(&own))
            .and_then(|()| fs::create_dir_all(self.own("tmp")))
            .map_err(|error| {
                Failure::local(format!("cannot write to the storage directory {}", self.root.display()), &error)
                    .with_hint("choose another directory with --storage, or make this one writable.")
            })
    }

    /// The same failure, called `disk_full` when it has no other name and there is no room left.
    ///
    /// Git does not always say why it could not write (2.47: `could not set 'core.repositoryformatversion' to '0'`).
    pub fn explain(&self, failure: Failure) -> Failure {
        let vague = matches!(failure.reason(), Reason::Unknown | Reason::LocalFailed);
        let full = || {
            let room = rustix::fs::statvfs(&self.root);
            // File systems without a fixed number of files tell 0 for all of them.
            room.is_ok_and(|room| room.f_bavail == 0 || (room.f_files > 0 && room.f_favail == 0))
        };
        if vague && full() { failure.with_reason(Reason::DiskFull) } else { failure }
    }

    /// Becomes the only run on this storage.
    ///
    /// The lock is inherited by every git that works on mirrors (see [`Lock::lend`]): when a run is killed, its lock lives as long as the last of its
    /// children, which notice soon that nobody reads their output. Those are waited for; a living run only with `wait`.
    ///
    /// # Errors
    /// `local_lock` naming the other run's process, `cancelled`, or a local failure.
    pub async fn lock(&self, wait: bool, stop: &CancellationToken) -> Result<Lock, Failure> {
        let path = self.own("lock");
        let broken = |error| Failure::local(format!("cannot lock {}", path.display()), &error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(broken)?;
        let started = Instant::now();
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(broken(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            let holder = holder(&mut file);
            let alive = holder.is_some_and(is_alive);
            let name = holder.map_or_else(|| "an unknown process".to_owned(), |pid| format!("process {pid}"));
            if !wait && (alive || started.elapsed() > ORPHANS) {
                let message = format!("another run ({name}) is at work in {}", self.root.display());
                let hint = "wait for it with --wait, or give this run another --storage.";
                return Err(Failure::new(Reason::LocalLock, message).with_hint(hint));
            }
            if !told {
                told = true;
                let who = if alive { name } else { "the git processes of a run that was killed".to_owned() };
                tracing::warn!("waiting for {who} to leave {}", self.root.display());
            }
            tokio::select! {
                () = stop.cancelled() => return Err(Failure::new(Reason::Cancelled, "stopped while waiting for the lock")),
                () = sleep(POLL) => {}
            }
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(broken)?;
        writeln!(file, "{}", std::process::id()).map_err(broken)?;
        Ok(Lock { file, since: SystemTime::now() })
    }

    /// Removes what killed runs left in our temporary folder; call it under the lock.
    ///
    /// # Errors
    /// A local failure naming what cannot be removed.
    pub fn sweep(&self, _: &Lock) -> Result<(), Failure> {
        let folder = self.own("tmp");
        let broken = |error| Failure::local(format!("cannot clear {}", folder.display()), &error);
        for entry in fs::read_dir(&folder).map_err(broken)? {
            let path = entry.map_err(broken)?.path();
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(broken)?;
            tracing::debug!("removed {}, left behind by a killed run", path.display());
        }
        Ok(())
    }

    /// A fresh directory for something not yet complete, on the same file system as the mirrors.
    ///
    /// # Errors
    /// A local failure.
    pub fn temporary(&self) -> Result<TempDir, Failure> {
        let folder = self.own("tmp");
        tempfile::Builder::new()
            .prefix("clone-")
            .tempdir_in(&folder)
            .map_err(|error| Failure::local(format!("cannot make a directory in {}", folder.display()), &error))
    }

    /// Moves `from` to the relative path `to`, where nothing may be yet.
    ///
    /// # Errors
    /// A local failure naming both.
    pub fn place(&self, from: &Path, to: &Path) -> Result<(), Failure> {
        let target = self.path(to);
        let broken = |error| Failure::local(format!("cannot move {} to {}", from.display(), target.display()), &error);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(broken)?;
        }
        // rename(2) would replace an empty directory without a word.
        if fs::symlink_metadata(&target).is_ok() {
            return Err(broken(ErrorKind::AlreadyExists.into()));
        }
        fs::rename(from, &target).map_err(broken)
    }

    /// Where the mirror at the relative path goes when it was found damaged.
    pub fn damaged_place(&self, mirror: &Path, now: Timestamp) -> PathBuf {
        let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        self.free(&Path::new(OWN_FOLDER).join("damaged").join(time).join(mirror))
    }

    /// Where a mirror waits while two mirrors exchange their places; by its key, so that a killed run's is found again.
    pub fn staging_place(&self, key: &MirrorKey) -> PathBuf {
        Path::new(OWN_FOLDER).join("moving").join(&key.folder).join(format!("{}.git", plain(&key.id)))
    }

    /// Whether `place` is where a mirror waits for its place.
    pub fn is_staged(&self, place: &Path) -> bool {
        place.starts_with(Path::new(OWN_FOLDER).join("moving"))
    }

    /// Where the mirror of a deleted repository goes when another one takes its place.
    pub fn gone_place(&self, mirror: &Path, id: &str) -> PathBuf {
        let id = plain(id);
        let name = mirror.with_extension("").file_name().map(|name| name.to_string_lossy().into_owned());
        let parent = mirror.parent().unwrap_or(Path::new(""));
        let place = Path::new(OWN_FOLDER).join("gone").join(parent);
        self.free(&place.join(format!("{}-{id}.git", name.unwrap_or_default())))
    }

    /// `wanted`, or a name like it that is not taken.
    fn free(&self, wanted: &Path) -> PathBuf {
        let mut candidate = wanted.to_owned();
        let mut number = 1;
        while fs::symlink_metadata(self.path(&candidate)).is_ok() {
            number += 1;
            candidate = PathBuf::from(format!("{}.{number}", wanted.display()));
        }
        candidate
    }

    /// Removes the directories above the relative path that a move left empty, up to the root.
    pub fn tidy(&self, mirror: &Path) {
        for folder in mirror.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()) {
            // It fails on the first one that is still in use, and that is the end of it.
            if fs::remove_dir(self.path(folder)).is_err() {
                break;
            }
        }
    }
}

/// The right to be the only run on a storage; given up when dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    /// When it was taken. What is older was left by somebody who is no more.
    pub since: SystemTime,
}

/// A forge's id as part of a file name.
fn plain(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

impl Lock {
    /// Lets the children that are started from now on inherit it, or no longer.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn lend(&self, yes: bool) -> Result<(), Failure> {
        let flags = if yes { FdFlags::empty() } else { FdFlags::CLOEXEC };
        fcntl_setfd(&self.file, flags)
            .map_err(|error| Failure::local("cannot pass the storage's lock on", &error.into()))
    }
}

fn holder(file: &mut File) -> Option<i32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn is_alive(pid: i32) -> bool {
    // EPERM means that it lives and belongs to somebody else.
    Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// Where the releases of the mirror at `mirror` lie: beside it, so that they move with it.
pub fn releases_of(mirror: &Path) -> PathBuf {
    let mut name = mirror.as_os_str().to_owned();
    name.push(".releases");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storage() -> (TempDir, Storage) {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::at(folder.path());
        storage.prepare().unwrap();
        (folder, storage)
    }

    #[tokio::test]
    async fn a_second_run_is_told_who_is_at_work() {
        let (_folder, storage) = storage();
        let stop = CancellationToken::new();
        let first = storage.lock(false, &stop).await.unwrap();
        let failure = storage.lock(false, &stop).await.unwrap_err();
        assert_eq!(failure.reason(), Reason::LocalLock);
        assert!(failure.message().contains(&std::process::id().to_string()), "{failure}");
        drop(first);
        // Waits: a child that another test has forked and not yet turned into its program holds it for a moment.
        storage.lock(true, &stop).await.unwrap();
    }

    #[tokio::test]
    async fn waiting_for_the_lock_can_be_stopped() {
        let (_folder, storage) = storage();
        let stop = CancellationToken::new();
        let _first = storage.lock(false, &stop).await.unwrap();
        stop.cancel();
        assert_eq!(storage.lock(true, &stop).await.unwrap_err().reason(), Reason::Cancelled);
    }

    #[test]
    fn nothing_is_ever_moved_over_something_else() {
        let (folder, storage) = storage();
        fs::create_dir_all(folder.path().join("a")).unwrap();
        fs::create_dir_all(folder.path().join("h/ns/x.git")).unwrap();
        assert!(storage.place(&folder.path().join("a"), Path::new("h/ns/x.git")).is_err());
        storage.place(&folder.path().join("a"), Path::new("h/ns/y.git")).unwrap();
        assert!(folder.path().join("h/ns/y.git").is_dir());
    }

    #[test]
    fn a_storage_that_cannot_be_made_is_named() {
        let (folder, _) = storage();
        fs::write(folder.path().join("file"), "").unwrap();
        let failure = Storage::at(folder.path().join("file/below")).prepare().unwrap_err();
        assert!(failure.message().contains("file/below"), "{failure}");
    }
}
