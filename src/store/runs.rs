//! The history of runs.

use jiff::Timestamp;
use sqlx::Connection as _;

use super::Store;
use super::error::StoreError;
use super::rows::{Columns, Rows, read_all};

/// Only so many runs are remembered.
const KEPT: i64 = 1000;

pub(super) const RECENT: &str = "SELECT id, started, finished, exit_code, totals FROM runs ORDER BY id DESC LIMIT $1";

/// Names a run in this store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(i64);

/// One run; without `finished` it is still going on, or was killed.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub id: RunId,
    pub started: Timestamp,
    pub finished: Option<Timestamp>,
    pub exit_code: Option<u8>,
    /// The report's totals.
    pub totals: Option<serde_json::Value>,
}

impl Store {
    /// Notes that a run (or a cycle of a watch) begins; the oldest beyond a thousand are forgotten.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn begin_run(&self, started: Timestamp) -> Result<RunId, StoreError> {
        let fail = self.error("write");
        let mut connection = self.connection.lock().await;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(&fail)?;
        let id: i64 = sqlx::query_scalar("INSERT INTO runs (started) VALUES ($1) RETURNING id")
            .bind(started.to_string())
            .fetch_one(&mut *transaction)
            .await
            .map_err(&fail)?;
        sqlx::query("DELETE FROM runs WHERE id <= $1")
            .bind(id - KEPT)
            .execute(&mut *transaction)
            .await
            .map_err(&fail)?;
        transaction.commit().await.map_err(&fail)?;
        Ok(RunId(id))
    }

    /// Notes how a run ended.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn finish_run(
        &self,
        id: RunId,
        finished: Timestamp,
        exit_code: u8,
        totals: &serde_json::Value,
    ) -> Result<(), StoreError> {
        let mut connection = self.connection.lock().await;
        sqlx::query("UPDATE runs SET finished = $1, exit_code = $2, totals = $3 WHERE id = $4")
            .bind(finished.to_string())
            .bind(i64::from(exit_code))
            .bind(totals.to_string())
            .bind(id.0)
            .execute(&mut *connection)
            .await
            .map_err(self.error("write"))?;
        Ok(())
    }

    /// Reads the last `n` runs, the newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn recent_runs(&self, n: u32) -> Result<Rows<Run>, StoreError> {
        let mut connection = self.connection.lock().await;
        let rows =
            sqlx::query(RECENT).bind(i64::from(n)).fetch_all(&mut *connection).await.map_err(self.error("read"))?;
        Ok(read_all("runs", &["id"], &rows, read))
    }
}

fn read(row: &Columns<'_>) -> Result<Run, String> {
    Ok(Run {
        id: RunId(row.number("id")?),
        started: row.parsed("started")?.ok_or("column `started` is empty")?,
        finished: row.parsed("finished")?,
        exit_code: row.optional_number("exit_code")?,
        totals: row.json("totals")?,
    })
}
