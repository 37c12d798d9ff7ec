//! What was there last time: the last result per mirror and destination, the releases that we made, the history of runs,
//! listing pages with their ETags, and the journal of branch rules that are open for a push.
//!
//! It is one SQLite file, and a cache: the mirrors on disk are the truth. So a damaged store is moved aside and built
//! anew, while one of a newer version is refused untouched. Queries use `$1` placeholders and plain SQL that Postgres
//! understands too; what is SQLite's own stands in `sqlite.rs`.

mod destination;
mod error;
mod file;
mod mirrors;
mod notes;
mod open_rules;
mod pages;
mod record;
mod releases;
mod rows;
mod runs;
mod schema;
mod sqlite;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sqlx::Connection as _;
use tokio::sync::Mutex;

use crate::base::scratch::Scratch;

pub use destination::DestinationRecord;
pub use error::StoreError;
pub use notes::Note;
pub use open_rules::OpenRule;
pub use pages::StoredPage;
pub use record::{Backoff, MirrorRecord, after};
pub use releases::ReleaseLook;
pub use rows::{Ignored, Rows};
pub use runs::{Run, RunId};

/// The open store. All methods take `&self`; one connection serves them in turn.
///
/// A process opens it once: POSIX drops a process's locks on a file when any of its handles to that file is closed.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    /// One connection and no pool: a pool's timeouts run on tokio's clock, which tests stop.
    connection: Mutex<sqlite::Connection>,
    /// What waits to be written.
    notes: Mutex<Vec<Note>>,
    /// Lives as long as the store when a copy had to be opened.
    _copy: Option<Scratch>,
}

/// A store that is ready for use.
#[derive(Debug)]
pub struct Opened {
    pub store: Store,
    /// Where a damaged store was moved, when the one at hand was built anew.
    pub rebuilt: Option<PathBuf>,
}

impl Store {
    /// Opens the store for reading and writing, and creates it (with its directory) where there is none.
    ///
    /// A damaged file is renamed to `<name>.damaged-<UTC time>`, never deleted, and [`Opened::rebuilt`] names it.
    ///
    /// # Errors
    /// A store of a newer version or another program's database, both left untouched; a file system that refuses.
    pub async fn open(path: &Path) -> Result<Opened, StoreError> {
        let path = &absolute(path)?;
        file::create(path)?;
        match Self::open_writable(path).await {
            Ok(store) => Ok(Opened { store, rebuilt: None }),
            Err(StoreError::Damaged { .. }) => {
                let moved = file::move_aside(path, Timestamp::now())?;
                file::create(path)?;
                let store = Self::open_writable(path).await?;
                Ok(Opened { store, rebuilt: Some(moved) })
            }
            Err(error) => Err(error),
        }
    }

    /// Opens the store for a look: creates nothing, changes nothing; `None` when there is none yet.
    ///
    /// Writing to it fails. After a killed run, whose unfinished write only a writer may roll back, it reads a
    /// temporary copy.
    ///
    /// # Errors
    /// As [`Store::open`], and also when the file is damaged or older: a normal run heals both.
    pub async fn open_read_only(path: &Path) -> Result<Option<Self>, StoreError> {
        let path = &absolute(path)?;
        if refuse_at_sight(path)? == file::Look::Nothing {
            return Ok(None);
        }
        match Self::look(path, sqlite::options(path).read_only(true), None).await {
            Err(error) if error.is_unfinished() => {
                let (dir, copy) = file::copy(path)?;
                Self::look(path, sqlite::options(&copy), Some(dir)).await
            }
            result => result,
        }
    }

    /// Ends the connection. Dropping the store is as safe; this one waits and tells.
    ///
    /// # Errors
    /// When SQLite reports one while closing.
    pub async fn close(self) -> Result<(), StoreError> {
        let Store { path, connection, notes: _, _copy } = self;
        connection.into_inner().close().await.map_err(|source| StoreError::database("close", &path, source))
    }

    /// Where the store lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    async fn open_writable(path: &Path) -> Result<Self, StoreError> {
        refuse_at_sight(path)?;
        let mut connection = connect(path, &sqlite::durable(sqlite::options(path))).await?;
        let ready = async {
            if schema::check(&mut connection, path).await? != schema::DatabaseState::Version(schema::VERSION) {
                schema::migrate(&mut connection, path, schema::STEPS).await?;
            }
            schema::check_tables(&mut connection, path).await?;
            sqlite::keep_one_file(&mut connection).await.map_err(|source| StoreError::database("open", path, source))
        };
        match ready.await {
            Ok(()) => Ok(Store {
                path: path.to_owned(),
                connection: Mutex::new(connection),
                notes: Mutex::default(),
                _copy: None,
            }),
            Err(error) => {
                // The file may be renamed next; let SQLite be done with it. Its first error is the one that counts.
                connection.close_hard().await.ok();
                Err(error)
            }
        }
    }

    async fn look(path: &Path, reading: sqlite::Options, copy: Option<Scratch>) -> Result<Option<Self>, StoreError> {
        let mut connection = connect(path, &reading).await?;
        match schema::check(&mut connection, path).await? {
            schema::DatabaseState::New => return Ok(None),
            schema::DatabaseState::Version(found) if found < schema::VERSION => {
                return Err(StoreError::Older { path: path.to_owned(), found, known: schema::VERSION });
            }
            schema::DatabaseState::Version(_) => {}
        }
        schema::check_tables(&mut connection, path).await?;
        sqlite::only_read(&mut connection).await.map_err(|source| StoreError::database("open", path, source))?;
        Ok(Some(Store {
            path: path.to_owned(),
            connection: Mutex::new(connection),
            notes: Mutex::default(),
            _copy: copy,
        }))
    }

    fn error(&self, doing: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
        move |source| StoreError::database(doing, &self.path, source)
    }
}

/// SQLite would take a relative name such as `file:x` for a URI.
fn absolute(path: &Path) -> Result<PathBuf, StoreError> {
    std::path::absolute(path).map_err(|source| StoreError::Io { doing: "find", path: path.to_owned(), source })
}

/// Refuses by its first bytes what must stay untouched and what is no database: SQLite would take a file of a few
/// bytes for a new one and write over it.
fn refuse_at_sight(path: &Path) -> Result<file::Look, StoreError> {
    match file::look(path)? {
        file::Look::Database { version: found } if found > schema::VERSION => {
            Err(StoreError::Newer { path: path.to_owned(), found, known: schema::VERSION })
        }
        file::Look::NotADatabase => {
            Err(StoreError::Damaged { path: path.to_owned(), why: "it is not a database".to_owned() })
        }
        look => Ok(look),
    }
}

async fn connect(path: &Path, options: &sqlite::Options) -> Result<sqlite::Connection, StoreError> {
    sqlite::connect(options).await.map_err(|source| StoreError::database("open", path, source))
}

#[cfg(test)]
mod tests;
