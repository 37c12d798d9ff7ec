//! The table of mirrors: read whole, written row by row.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::Error as ValueError;

use super::Store;
use super::error::StoreError;
use super::record::MirrorRecord;
use super::rows::{Columns, Rows, read_all, signed};
use super::sqlite::Connection;
use crate::base::redact::redact;
use crate::model::{MirrorKey, OnDisk, RepoPath, Verdict};

pub(super) const ALL: &str = "
    SELECT folder, id, source, path, mirror, url, default_branch, pushed_at, verdict, degraded, failure,
           failures_in_a_row, retry_at, last_attempt, last_success, last_full, refs, size_bytes, kept_refs,
           gone_since, empty, packs
    FROM mirrors ORDER BY folder, path, id";

const PUT: &str = "
    INSERT INTO mirrors (folder, id, source, path, mirror, url, default_branch, pushed_at, verdict, degraded, failure,
           failures_in_a_row, retry_at, last_attempt, last_success, last_full, refs, size_bytes, kept_refs,
           gone_since, empty, packs)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)
    ON CONFLICT (folder, id) DO UPDATE SET
        source = excluded.source, path = excluded.path, mirror = excluded.mirror, url = excluded.url,
        default_branch = excluded.default_branch, pushed_at = excluded.pushed_at, verdict = excluded.verdict,
        degraded = excluded.degraded, failure = excluded.failure, failures_in_a_row = excluded.failures_in_a_row,
        retry_at = excluded.retry_at, last_attempt = excluded.last_attempt, last_success = excluded.last_success,
        last_full = excluded.last_full, refs = excluded.refs, size_bytes = excluded.size_bytes,
        kept_refs = excluded.kept_refs, gone_since = excluded.gone_since, empty = excluded.empty,
        packs = excluded.packs";

const PUT_DISK: &str = "UPDATE mirrors SET size_bytes = $3, packs = $4 WHERE folder = $1 AND id = $2";

impl Store {
    /// Reads all that is known of mirrors, ordered by folder and path.
    ///
    /// A row that cannot be read is left out and named in [`Rows::ignored`]: its mirror counts as never recorded, so
    /// it is compared anew and its row rewritten.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn mirrors(&self) -> Result<Rows<MirrorRecord>, StoreError> {
        let mut connection = self.connection.lock().await;
        let rows = sqlx::query(ALL).fetch_all(&mut *connection).await.map_err(self.error("read"))?;
        Ok(read_all("mirrors", &["folder", "id"], &rows, read))
    }

    /// Records one mirror; it is on the disk when this returns.
    ///
    /// # Errors
    /// When the database cannot be written; the former record stands then.
    pub async fn record(&self, record: &MirrorRecord) -> Result<(), StoreError> {
        let mut connection = self.connection.lock().await;
        put(&mut connection, record).await.map_err(self.error("write"))
    }

    /// Records anew what a mirror takes on disk.
    ///
    /// # Errors
    /// As [`Store::record`].
    pub async fn record_disk(&self, key: &MirrorKey, disk: OnDisk) -> Result<(), StoreError> {
        let mut connection = self.connection.lock().await;
        let query = sqlx::query(PUT_DISK).bind(&key.folder).bind(&key.id);
        let query = query.bind(signed(disk.bytes)).bind(disk.packs.map(signed));
        query.execute(&mut *connection).await.map(drop).map_err(self.error("write"))
    }
}

pub(super) async fn put(connection: &mut Connection, record: &MirrorRecord) -> Result<(), sqlx::Error> {
    let encode = |error: Box<dyn std::error::Error + Send + Sync>| sqlx::Error::Encode(error);
    let mirror = record.mirror.to_str().ok_or_else(|| encode("the mirror's path is not UTF-8".into()))?;
    let failure = record.failure.as_ref().map(serde_json::to_string).transpose().map_err(|e| encode(e.into()))?;
    sqlx::query(PUT)
        .bind(&record.key.folder)
        .bind(&record.key.id)
        .bind(&record.source)
        .bind(record.path.to_string())
        .bind(mirror)
        // A remote URL has no user info left; its query may still hold a token.
        .bind(redact(&record.url))
        .bind(&record.default_branch)
        .bind(record.pushed_at.map(|time| time.to_string()))
        .bind(record.verdict.as_str())
        .bind(record.degraded)
        .bind(failure)
        .bind(i64::from(record.failures_in_a_row))
        .bind(record.retry_at.map(|time| time.to_string()))
        .bind(record.last_attempt.map(|time| time.to_string()))
        .bind(record.last_success.map(|time| time.to_string()))
        .bind(record.last_full.map(|time| time.to_string()))
        .bind(signed(record.refs))
        .bind(record.size_bytes.map(signed))
        .bind(signed(record.kept_refs))
        .bind(record.gone_since.map(|time| time.to_string()))
        .bind(record.empty)
        .bind(record.packs.map(signed))
        .execute(connection)
        .await?;
    Ok(())
}

fn read(row: &Columns<'_>) -> Result<MirrorRecord, String> {
    Ok(MirrorRecord {
        key: MirrorKey { folder: row.text("folder")?, id: row.text("id")? },
        source: row.text("source")?,
        path: RepoPath::parse(&row.text("path")?).map_err(|error| format!("column `path`: {error}"))?,
        mirror: relative(&row.text("mirror")?)?,
        url: row.text("url")?,
        default_branch: row.optional_text("default_branch")?,
        pushed_at: row.parsed("pushed_at")?,
        verdict: verdict(&row.text("verdict")?)?,
        degraded: row.flag("degraded")?,
        failure: row.json("failure")?,
        failures_in_a_row: row.number("failures_in_a_row")?,
        retry_at: row.parsed("retry_at")?,
        last_attempt: row.parsed("last_attempt")?,
        last_success: row.parsed("last_success")?,
        last_full: row.parsed("last_full")?,
        refs: row.number("refs")?,
        size_bytes: row.optional_number("size_bytes")?,
        packs: row.optional_number("packs")?,
        kept_refs: row.number("kept_refs")?,
        gone_since: row.parsed("gone_since")?,
        empty: row.flag("empty")?,
    })
}

fn verdict(name: &str) -> Result<Verdict, String> {
    Verdict::deserialize(name.into_deserializer()).map_err(|error: ValueError| format!("column `verdict`: {error}"))
}

/// Directories are moved by this path, so it must not lead out of the storage root.
fn relative(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    match !text.is_empty() && path.components().all(|part| matches!(part, Component::Normal(_))) {
        true => Ok(path.to_owned()),
        false => Err(format!("column `mirror`: `{text}` is not a path below the storage root")),
    }
}
