//! The store as a file: looked at before SQLite sees it, created private, moved aside whole.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::error::StoreError;
use crate::base::scratch::Scratch;
use jiff::Timestamp;

/// What the first bytes of a file say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// No file, or one without a byte in it: SQLite takes that for a new database.
    Nothing,
    /// Something else, and no journal that could make it a database again.
    NotADatabase,
    /// Torn in the middle of a write; SQLite can tell more.
    Torn,
    /// A database with this schema version.
    Database { version: i64 },
}

/// Length of SQLite's file header.
const HEADER: usize = 100;

/// How a journal begins that is to be rolled back.
const JOURNAL: &[u8] = &[0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

/// Reads the schema version from the file's header alone, so that a store that must stay untouched never meets SQLite.
///
/// Bytes 0–15 are the magic, 60–63 the big-endian `user_version` (<https://www.sqlite.org/fileformat.html>).
///
/// # Errors
/// When there is a file that cannot be read.
pub(super) fn look(path: &Path) -> Result<Look, StoreError> {
    let header = first_bytes(path)?;
    if header.is_empty() {
        return Ok(Look::Nothing);
    }
    if header.len() < HEADER || !header.starts_with(b"SQLite format 3\0") {
        let torn = first_bytes(&suffixed(path, "-journal"))?.starts_with(JOURNAL);
        return Ok(if torn { Look::Torn } else { Look::NotADatabase });
    }
    let version = header[60..64].iter().fold(0_u32, |version, byte| version << 8 | u32::from(*byte));
    // SQLite's own reading: a signed number.
    Ok(Look::Database { version: i64::from(version.cast_signed()) })
}

/// The beginning of a file; nothing, where there is none.
fn first_bytes(path: &Path) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::with_capacity(HEADER);
    match fs::File::open(path).and_then(|file| file.take(HEADER as u64).read_to_end(&mut bytes)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::Io { doing: "read", path: path.to_owned(), source: error })
        }
        _ => Ok(bytes),
    }
}

/// Makes sure there is a file, readable for its owner only: it names private repositories. SQLite gives its journal
/// the same mode.
///
/// # Errors
/// When the directory or file cannot be made or opened for writing.
pub(super) fn create(path: &Path) -> Result<(), StoreError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|source| StoreError::Io {
            doing: "create the directory",
            path: parent.to_owned(),
            source,
        })?;
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|source| StoreError::Io {
        doing: "open the store for writing",
        path: path.to_owned(),
        source,
    })?;
    Ok(())
}

/// Files that SQLite puts beside a database and reads together with it.
const COMPANIONS: [&str; 3] = ["-journal", "-wal", "-shm"];

/// Renames a damaged store and its journal to `<name>.damaged-<UTC time>`; returns where the file is now.
///
/// The journal goes first: left alone beside a new database, it could be taken for that one's.
///
/// # Errors
/// When a rename is refused.
pub(super) fn move_aside(path: &Path, now: Timestamp) -> Result<PathBuf, StoreError> {
    let stem = suffixed(path, &format!(".damaged-{}", now.strftime("%Y%m%dT%H%M%SZ")));
    let mut target = stem.clone();
    let mut number = 2;
    while target.symlink_metadata().is_ok() {
        target = suffixed(&stem, &format!("-{number}"));
        number += 1;
    }
    for companion in COMPANIONS {
        match fs::rename(suffixed(path, companion), suffixed(&target, companion)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::Io { doing: "move aside", path: suffixed(path, companion), source: error });
            }
            _ => {}
        }
    }
    fs::rename(path, &target).map_err(|source| StoreError::Io {
        doing: "move aside",
        path: path.to_owned(),
        source,
    })?;
    Ok(target)
}

/// Copies a store and its journal to a temporary directory, where an unfinished transaction can be rolled back
/// without a change to the original; returns the directory and the copy's path.
///
/// # Errors
/// When something cannot be copied, or a writer changed the store meanwhile.
pub(super) fn copy(path: &Path) -> Result<(Scratch, PathBuf), StoreError> {
    let fail = |source| StoreError::Io { doing: "copy the store", path: path.to_owned(), source };
    let stamp = || fs::metadata(path).and_then(|file| Ok((file.len(), file.modified()?)));
    let before = stamp().map_err(fail)?;
    let dir = Scratch::make().map_err(fail)?;
    let copy = dir.path().join("store");
    match fs::copy(suffixed(path, "-journal"), suffixed(&copy, "-journal")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
        _ => {}
    }
    fs::copy(path, &copy).map_err(fail)?;
    if stamp().map_err(fail)? != before {
        return Err(fail(io::Error::new(io::ErrorKind::ResourceBusy, "a run is writing to it; try again")));
    }
    Ok((dir, copy))
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_damaged_file_in_one_second_does_not_replace_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let now = "2026-11-03T10:11:12Z".parse().unwrap();
        fs::write(&path, "one").unwrap();
        fs::write(dir.path().join("store.db-journal"), "journal").unwrap();
        let first = move_aside(&path, now).unwrap();
        fs::write(&path, "two").unwrap();
        let second = move_aside(&path, now).unwrap();
        assert_eq!(first, dir.path().join("store.db.damaged-20261103T101112Z"));
        assert_eq!(second, dir.path().join("store.db.damaged-20261103T101112Z-2"));
        assert_eq!(fs::read_to_string(first).unwrap(), "one");
        assert_eq!(fs::read_to_string(second).unwrap(), "two");
        assert!(dir.path().join("store.db.damaged-20261103T101112Z-journal").exists());
        assert!(!dir.path().join("store.db-journal").exists());
    }

    #[test]
    fn what_is_no_database_is_known_by_its_first_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        assert_eq!(look(&path).unwrap(), Look::Nothing);
        fs::write(&path, "").unwrap();
        assert_eq!(look(&path).unwrap(), Look::Nothing);
        for text in ["x".to_owned(), "SQLite format 3\0".to_owned(), "y".repeat(5000)] {
            fs::write(&path, text).unwrap();
            assert_eq!(look(&path).unwrap(), Look::NotADatabase);
        }
        assert!(look(dir.path()).is_err(), "a directory is an error, not an empty store");
    }
}
