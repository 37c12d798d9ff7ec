//! What can be wrong with the store, told apart by what the user can do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::sqlite::{Trouble, trouble};
use crate::base::error::Error;
use crate::base::failure::{Failure, Reason};

/// Why the store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A newer Holocron wrote it; the file was not touched.
    #[error(
        "the store {} is of version {found}, written by a newer holocron; this one knows versions up to {known}",
        path.display()
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    /// An older Holocron wrote it, and it was opened only for reading.
    #[error("the store {} is of version {found} and cannot be read before it is migrated to {known}", path.display())]
    Older { path: PathBuf, found: i64, known: i64 },
    /// It is a database, but not one of ours.
    #[error("{} is a database of another program", path.display())]
    Foreign { path: PathBuf },
    /// The file is no database, or a broken one.
    #[error("the store {} is damaged: {why}", path.display())]
    Damaged { path: PathBuf, why: String },
    /// The file system stands in the way.
    #[error("cannot {doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    /// The database refused; its file is as it was.
    #[error("cannot {doing} the store {}", path.display())]
    Database { doing: &'static str, path: PathBuf, source: sqlx::Error },
}

impl StoreError {
    /// Tells a damaged file from everything else that SQLite reports.
    pub(super) fn database(doing: &'static str, path: &Path, source: sqlx::Error) -> Self {
        let path = path.to_owned();
        match trouble(&source) {
            Trouble::Damaged => StoreError::Damaged { path, why: words(&source) },
            _ => StoreError::Database { doing, path, source },
        }
    }

    /// As [`StoreError::database`], for a statement that every whole store answers: a missing table is damage too.
    pub(super) fn schema(path: &Path, source: sqlx::Error) -> Self {
        match trouble(&source) {
            Trouble::Statement => StoreError::Damaged { path: path.to_owned(), why: words(&source) },
            _ => StoreError::database("check", path, source),
        }
    }

    /// Whether a killed writer's unfinished transaction has to be rolled back before anything can be read.
    pub(super) fn is_unfinished(&self) -> bool {
        matches!(self, StoreError::Database { source, .. } if trouble(source) == Trouble::Unfinished)
    }

    /// Whether there is no room for what was to be written.
    ///
    /// SQLite calls it by its name when a write fails, but not when a journal cannot be made or synced.
    fn is_full(&self) -> bool {
        let StoreError::Database { path, source, .. } = self else { return false };
        match trouble(source) {
            Trouble::Full => true,
            Trouble::File => {
                let room = rustix::fs::statvfs(path.parent().unwrap_or(path));
                room.is_ok_and(|room| room.f_bavail == 0 || (room.f_files > 0 && room.f_favail == 0))
            }
            _ => false,
        }
    }

    /// What the user can do about it, in one sentence.
    pub fn hint(&self) -> &'static str {
        match self {
            StoreError::Newer { .. } => "run the newer holocron that wrote it, or choose another storage directory.",
            StoreError::Older { .. } => "a normal run migrates it.",
            StoreError::Foreign { .. } => "move that file away, or choose another storage directory.",
            StoreError::Damaged { .. } => "a normal run moves it aside and rebuilds it; the mirrors are not touched.",
            StoreError::Io { .. } => "check the directory, its permissions and the free space.",
            StoreError::Database { .. } => "check the file's permissions, the free space, and who else has it open.",
        }
    }
}

/// What SQLite says, without the words that our library puts before it.
fn words(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(database) => database.message().to_owned(),
        None => error.to_string(),
    }
}

/// A store that cannot be used ends the run, with the hint of its failure.
impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Error::from(Failure::from(error))
    }
}

/// A store that cannot be used is a failure of this machine; a full disk is told apart.
impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        let failure = match &error {
            StoreError::Io { source, .. } => Failure::local(error.to_string(), source),
            StoreError::Database { source, .. } if error.is_full() => {
                // Why the disk is full, the database does not know; what it says is about itself.
                tracing::debug!("{error}: {}", words(source));
                return Failure::new(Reason::DiskFull, format!("{error}: there is no space left"));
            }
            StoreError::Database { source, .. } => {
                Failure::new(Reason::LocalFailed, error.to_string()).with_evidence(words(source))
            }
            _ => Failure::new(Reason::LocalFailed, error.to_string()),
        };
        // The way out of a full disk is the reason's own.
        match failure.reason() {
            Reason::DiskFull => failure,
            _ => failure.with_hint(error.hint()),
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection as _, SqliteConnection};

    use super::*;

    #[tokio::test]
    async fn a_full_disk_is_said_in_our_words() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        sqlx::query("PRAGMA max_page_count = 1").execute(&mut connection).await.unwrap();
        let full = sqlx::query("CREATE TABLE t (a)").execute(&mut connection).await.unwrap_err();
        let failure = Failure::from(StoreError::database("write", Path::new("/s/state.sqlite"), full));
        assert_eq!(failure.to_string(), "disk_full: cannot write the store /s/state.sqlite: there is no space left");
        assert!(failure.way_out().unwrap().contains("make room"), "{failure:?}");
    }

    #[tokio::test]
    async fn what_the_database_says_has_no_words_of_its_library_around_it() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let wrong = sqlx::query("SELECT * FROM nowhere").execute(&mut connection).await.unwrap_err();
        let error = Error::from(StoreError::database("read", Path::new("/s/state.sqlite"), wrong));
        assert_eq!(error.causes, ["no such table: nowhere"]);
        assert_eq!(error.hints.len(), 1);
    }
}
