//! All that only SQLite understands: its types, its options, its pragmas and its result codes.
//!
//! Every other statement of the store is SQL that PostgreSQL understands too: parameters are `$1`, rows are replaced by
//! `ON CONFLICT`, times and JSON are texts. Two exceptions stand in the tables of `schema.rs`, which are released and do not
//! change: `WITHOUT ROWID`, and `INTEGER PRIMARY KEY`, which counts by itself. `file.rs` knows the database as a file.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteRow, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection, SqliteTransaction};

pub(super) type Connection = SqliteConnection;
pub(super) type Options = SqliteConnectOptions;
pub(super) type Row = SqliteRow;

/// How long to wait for another process that is writing.
const BUSY: Duration = Duration::from_secs(10);

/// What a database says about itself.
#[derive(Debug)]
pub(super) struct Stamp {
    /// The version of its schema.
    pub version: i64,
    /// The number of the program that made it.
    pub application: i64,
    /// How many tables and indexes it has.
    pub tables: i64,
}

pub(super) fn options(path: &Path) -> Options {
    // Statements name private repositories; they belong in no log.
    SqliteConnectOptions::new().filename(path).busy_timeout(BUSY).disable_statement_logging()
}

/// EXTRA also syncs the directory after the journal is gone: what was recorded survives a power cut.
pub(super) fn durable(options: Options) -> Options {
    options.synchronous(SqliteSynchronous::Extra)
}

pub(super) async fn connect(options: &Options) -> Result<Connection, sqlx::Error> {
    options.connect().await
}

/// Takes the lock for writing at once, so that nothing read in the transaction is out of date.
pub(super) async fn begin(connection: &mut Connection) -> Result<SqliteTransaction<'_>, sqlx::Error> {
    connection.begin_with("BEGIN IMMEDIATE").await
}

pub(super) async fn version(connection: &mut Connection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA user_version").fetch_one(connection).await
}

pub(super) async fn stamp(connection: &mut Connection) -> Result<Stamp, sqlx::Error> {
    let version = version(connection).await?;
    let application = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    let tables = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *connection).await?;
    Ok(Stamp { version, application, tables })
}

pub(super) async fn set_stamp(connection: &mut Connection, version: usize, program: i64) -> Result<(), sqlx::Error> {
    // A pragma takes no parameters; both numbers are our own.
    let stamp = format!("PRAGMA user_version = {version}; PRAGMA application_id = {program}");
    sqlx::raw_sql(AssertSqlSafe(stamp)).execute(connection).await.map(drop)
}

/// What is wrong with the pages of a database, in SQLite's words.
pub(super) async fn damage(connection: &mut Connection) -> Result<Option<String>, sqlx::Error> {
    let verdict: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(connection).await?;
    Ok((verdict != "ok").then_some(verdict))
}

/// No -wal and -shm files: a look at the store must be able to leave no trace.
pub(super) async fn keep_one_file(connection: &mut Connection) -> Result<(), sqlx::Error> {
    sqlx::query("PRAGMA journal_mode = DELETE").execute(connection).await.map(drop)
}

/// From now on this connection only reads.
pub(super) async fn only_read(connection: &mut Connection) -> Result<(), sqlx::Error> {
    sqlx::query("PRAGMA query_only = ON").execute(connection).await.map(drop)
}

/// What a result code tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The file is no database, or a broken one.
    Damaged,
    /// A statement names what is not there.
    Statement,
    /// A killed writer left an unfinished transaction, and a reader may not roll it back.
    Unfinished,
    /// There is no room.
    Full,
    /// A file could not be read, written or made: the reason may be that there is no room.
    File,
    Other,
}

/// Reads the code of an error, <https://www.sqlite.org/rescode.html>; the low byte of an extended code is its kind.
pub(super) fn trouble(error: &sqlx::Error) -> Trouble {
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
    match code.map(|code| (code, code & 0xff)) {
        // SQLITE_ERROR; SQLITE_READONLY_ROLLBACK
        Some((1, _)) => Trouble::Statement,
        Some((776, _)) => Trouble::Unfinished,
        // SQLITE_CORRUPT, SQLITE_NOTADB; SQLITE_FULL; SQLITE_IOERR, SQLITE_CANTOPEN
        Some((_, 11 | 26)) => Trouble::Damaged,
        Some((_, 13)) => Trouble::Full,
        Some((_, 10 | 14)) => Trouble::File,
        _ => Trouble::Other,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    /// Words that PostgreSQL does not know, or reads as something else.
    const OWN: &[&str] =
        &["PRAGMA", "sqlite_", "sqlx::sqlite", "Sqlite", "INSERT OR", "datetime(", "json_", "typeof(", "rowid"];

    #[test]
    fn sqlite_is_spoken_here_and_nowhere_else_in_the_store() {
        for file in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/store")).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if ["sqlite.rs", "tests.rs", "tests"].contains(&name.as_str()) {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let own: Vec<_> = OWN.iter().filter(|word| code.contains(**word)).collect();
            assert!(own.is_empty(), "{name}: {own:?}");
        }
    }
}
