//! The tables, how they came to be, and whether a file has them whole.

use std::path::Path;

use super::error::StoreError;
use super::sqlite;

/// Each step brings the schema from its own index to the next version; steps are never changed once released.
pub(super) const STEPS: &[&str] = &[
    "
    CREATE TABLE mirrors (
        folder            TEXT    NOT NULL,
        id                TEXT    NOT NULL,
        source            TEXT    NOT NULL,
        path              TEXT    NOT NULL,
        mirror            TEXT    NOT NULL,
        url               TEXT    NOT NULL,
        default_branch    TEXT,
        pushed_at         TEXT,
        verdict           TEXT    NOT NULL,
        degraded          BOOLEAN NOT NULL,
        failure           TEXT,
        failures_in_a_row BIGINT  NOT NULL,
        retry_at          TEXT,
        last_attempt      TEXT,
        last_success      TEXT,
        last_full         TEXT,
        refs              BIGINT  NOT NULL,
        size_bytes        BIGINT,
        kept_refs         BIGINT  NOT NULL,
        gone_since        TEXT,
        empty             BOOLEAN NOT NULL,
        PRIMARY KEY (folder, id)
    ) WITHOUT ROWID;
    CREATE TABLE runs (
        id        INTEGER PRIMARY KEY,
        started   TEXT NOT NULL,
        finished  TEXT,
        exit_code BIGINT,
        totals    TEXT
    );
    CREATE TABLE pages (
        source  TEXT NOT NULL,
        url     TEXT NOT NULL,
        etag    TEXT NOT NULL,
        next    TEXT,
        body    TEXT NOT NULL,
        used_at TEXT NOT NULL,
        PRIMARY KEY (source, url)
    );
",
    "
    CREATE TABLE destinations (
        folder       TEXT NOT NULL,
        id           TEXT NOT NULL,
        destination  TEXT NOT NULL,
        place        TEXT NOT NULL,
        rules        TEXT NOT NULL,
        verdict      TEXT NOT NULL,
        failure      TEXT,
        last_attempt TEXT NOT NULL,
        last_success TEXT,
        PRIMARY KEY (folder, id, destination)
    ) WITHOUT ROWID;
    CREATE TABLE open_rules (
        destination TEXT NOT NULL,
        target      TEXT NOT NULL,
        rule        TEXT NOT NULL,
        undo        TEXT NOT NULL,
        opened_at   TEXT NOT NULL,
        PRIMARY KEY (destination, target, rule)
    ) WITHOUT ROWID;
",
    "
    CREATE TABLE releases (
        folder      TEXT    NOT NULL,
        id          TEXT    NOT NULL,
        destination TEXT    NOT NULL,
        tag         TEXT    NOT NULL,
        release_id  TEXT    NOT NULL,
        state       TEXT    NOT NULL,
        complete    BOOLEAN NOT NULL,
        assets      TEXT    NOT NULL,
        links       TEXT    NOT NULL,
        PRIMARY KEY (folder, id, destination, tag)
    ) WITHOUT ROWID;
    CREATE TABLE release_looks (
        folder      TEXT    NOT NULL,
        id          TEXT    NOT NULL,
        destination TEXT    NOT NULL,
        rules       TEXT    NOT NULL,
        in_step     BOOLEAN NOT NULL,
        looked_at   TEXT    NOT NULL,
        compared_at TEXT    NOT NULL,
        PRIMARY KEY (folder, id, destination)
    ) WITHOUT ROWID;
",
    "ALTER TABLE mirrors ADD COLUMN packs BIGINT;",
    "ALTER TABLE destinations ADD COLUMN former TEXT;",
    "ALTER TABLE destinations ADD COLUMN failures_in_a_row BIGINT NOT NULL DEFAULT 0;
     ALTER TABLE destinations ADD COLUMN retry_at TEXT;",
];

/// The schema version that this program writes.
pub(super) const VERSION: i64 = STEPS.len() as i64;

/// `Holo` in ASCII: tells our file from other programs' databases.
const APPLICATION: i64 = 0x486f_6c6f;

/// What a database was found to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DatabaseState {
    /// Without a single table.
    New,
    /// Ours, of this version.
    Version(i64),
}

/// Looks at version, owner and, when it is ours, the soundness of a database; changes nothing.
///
/// # Errors
/// [`StoreError::Newer`], [`StoreError::Foreign`], [`StoreError::Damaged`], or whatever keeps SQLite from reading.
pub(super) async fn check(connection: &mut sqlite::Connection, path: &Path) -> Result<DatabaseState, StoreError> {
    let read = |source| StoreError::database("read", path, source);
    let sqlite::Stamp { version: found, application, tables } = sqlite::stamp(connection).await.map_err(read)?;
    if found == 0 && tables == 0 {
        return Ok(DatabaseState::New);
    }
    if application != APPLICATION {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    if found > VERSION {
        return Err(StoreError::Newer { path: path.to_owned(), found, known: VERSION });
    }
    if let Some(why) = sqlite::damage(connection).await.map_err(read)? {
        return Err(StoreError::Damaged { path: path.to_owned(), why });
    }
    if found < 1 {
        return Err(StoreError::Damaged { path: path.to_owned(), why: format!("its version is {found}") });
    }
    Ok(DatabaseState::Version(found))
}

/// Checks that every table has its columns, as far as the newest schema knows them.
///
/// # Errors
/// [`StoreError::Damaged`] when one is missing.
pub(super) async fn check_tables(connection: &mut sqlite::Connection, path: &Path) -> Result<(), StoreError> {
    let all = [
        super::mirrors::ALL,
        super::runs::RECENT,
        super::pages::ALL,
        super::destination::ALL,
        super::open_rules::ALL,
        super::releases::ALL,
        super::releases::ALL_LOOKS,
    ];
    for sql in all {
        // Preparing a statement looks every name in it up.
        sqlx::Executor::prepare(&mut *connection, sqlx::SqlSafeStr::into_sql_str(sql))
            .await
            .map_err(|source| StoreError::schema(path, source))?;
    }
    Ok(())
}

/// Brings the schema to the last of `steps`: all of it, or nothing.
///
/// # Errors
/// The database's own, with the file as it was.
pub(super) async fn migrate(
    connection: &mut sqlite::Connection,
    path: &Path,
    steps: &[&'static str],
) -> Result<(), StoreError> {
    let fail = |source| StoreError::database("migrate", path, source);
    let mut transaction = sqlite::begin(connection).await.map_err(fail)?;
    // Asked again under the lock: another process may have migrated it since.
    let found = sqlite::version(&mut transaction).await.map_err(fail)?;
    let done = usize::try_from(found).unwrap_or(0);
    for step in steps.iter().skip(done) {
        sqlx::raw_sql(*step).execute(&mut *transaction).await.map_err(fail)?;
    }
    sqlite::set_stamp(&mut transaction, steps.len().max(done), APPLICATION).await.map_err(fail)?;
    transaction.commit().await.map_err(fail)
}
