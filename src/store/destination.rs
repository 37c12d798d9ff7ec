//! What is remembered of a mirror on one destination.

use jiff::Timestamp;
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::Error as ValueError;

use super::Store;
use super::error::StoreError;
use super::rows::{Columns, Rows, read_all};
use super::sqlite::Connection;
use crate::base::failure::Failure;
use crate::base::redact::redact;
use crate::model::MirrorKey;
use crate::model::destination::PushVerdict;

/// The last known state of one mirror on one destination.
#[derive(Debug, Clone, PartialEq)]
pub struct DestinationRecord {
    pub key: MirrorKey,
    /// The destination's id.
    pub destination: String,
    /// Where on it, without any credential.
    pub place: String,
    /// A digest of the rules it was pushed by: other rules may mean other refs.
    pub rules: String,
    /// Places where copies of it were before and still are, as far as is known.
    pub former: Vec<String>,
    pub verdict: PushVerdict,
    pub failure: Option<Failure>,
    /// Tries since it was in step last.
    pub failures_in_a_row: u32,
    /// Under `--watch` it is not tried before, as long as nothing new is to be pushed.
    pub retry_at: Option<Timestamp>,
    pub last_attempt: Timestamp,
    pub last_success: Option<Timestamp>,
}

pub(super) const ALL: &str = "
    SELECT folder, id, destination, place, rules, verdict, failure, last_attempt, last_success, former,
        failures_in_a_row, retry_at
    FROM destinations ORDER BY folder, id, destination";

const PUT: &str = "
    INSERT INTO destinations (folder, id, destination, place, rules, verdict, failure, last_attempt, last_success, former,
        failures_in_a_row, retry_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    ON CONFLICT (folder, id, destination) DO UPDATE SET
        place = excluded.place, rules = excluded.rules, verdict = excluded.verdict, failure = excluded.failure,
        last_attempt = excluded.last_attempt, last_success = excluded.last_success,
        former = excluded.former, failures_in_a_row = excluded.failures_in_a_row,
        retry_at = excluded.retry_at";

impl Store {
    /// Reads all that is known of mirrors on destinations, ordered by mirror and destination.
    ///
    /// A row that cannot be read is left out and named in [`Rows::ignored`]: that destination counts as never pushed to,
    /// so it is looked at anew and its row rewritten.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn destinations(&self) -> Result<Rows<DestinationRecord>, StoreError> {
        let mut connection = self.connection.lock().await;
        let rows = sqlx::query(ALL).fetch_all(&mut *connection).await.map_err(self.error("read"))?;
        Ok(read_all("destinations", &["folder", "id", "destination"], &rows, read))
    }

    /// Records one mirror on one destination; it is on the disk when this returns.
    ///
    /// # Errors
    /// When the database cannot be written; the former record stands then.
    pub async fn record_destination(&self, record: &DestinationRecord) -> Result<(), StoreError> {
        let mut connection = self.connection.lock().await;
        put(&mut connection, record).await.map_err(self.error("write"))
    }
}

pub(super) async fn put(connection: &mut Connection, record: &DestinationRecord) -> Result<(), sqlx::Error> {
    let failure = record.failure.as_ref().map(serde_json::to_string).transpose();
    let failure = failure.map_err(|error| sqlx::Error::Encode(error.into()))?;
    let former = (!record.former.is_empty()).then(|| serde_json::to_string(&record.former)).transpose();
    let former = former.map_err(|error| sqlx::Error::Encode(error.into()))?.map(|text| redact(&text));
    sqlx::query(PUT)
        .bind(&record.key.folder)
        .bind(&record.key.id)
        .bind(&record.destination)
        // A remote URL has no user info left; its query may still hold a token.
        .bind(redact(&record.place))
        .bind(&record.rules)
        .bind(record.verdict.as_str())
        .bind(failure)
        .bind(record.last_attempt.to_string())
        .bind(record.last_success.map(|time| time.to_string()))
        .bind(former)
        .bind(i64::from(record.failures_in_a_row))
        .bind(record.retry_at.map(|time| time.to_string()))
        .execute(connection)
        .await
        .map(drop)
}

fn read(row: &Columns<'_>) -> Result<DestinationRecord, String> {
    Ok(DestinationRecord {
        key: MirrorKey { folder: row.text("folder")?, id: row.text("id")? },
        destination: row.text("destination")?,
        place: row.text("place")?,
        rules: row.text("rules")?,
        verdict: verdict(&row.text("verdict")?)?,
        former: row.json::<Vec<String>>("former")?.unwrap_or_default(),
        failure: row.json("failure")?,
        failures_in_a_row: row.number("failures_in_a_row")?,
        retry_at: row.parsed("retry_at")?,
        last_attempt: row.parsed("last_attempt")?.ok_or("column `last_attempt` is empty")?,
        last_success: row.parsed("last_success")?,
    })
}

fn verdict(name: &str) -> Result<PushVerdict, String> {
    PushVerdict::deserialize(name.into_deserializer()).map_err(|error: ValueError| format!("column `verdict`: {error}"))
}
