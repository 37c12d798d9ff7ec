//! The journal of branch rules that are open for a push: written before a rule is opened, so that the next run can put
//! back what a killed one left open.

use jiff::Timestamp;
use sqlx::Connection as _;

use super::Store;
use super::error::StoreError;
use super::rows::{Columns, Rows, read_all};
use super::sqlite::Row;

/// A branch rule on a destination that is open, or about to be.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenRule {
    /// The destination's id.
    pub destination: String,
    /// The forge's id of the repository there.
    pub target: String,
    /// The branch or pattern that the rule is about.
    pub rule: String,
    /// What its forge needs to put it back exactly as it was. Stored as it is, so it must hold no secret.
    pub undo: serde_json::Value,
    pub opened_at: Timestamp,
}

pub(super) const ALL: &str = "
    SELECT destination, target, rule, undo, opened_at FROM open_rules ORDER BY opened_at, destination, target, rule";

const ONE: &str = "
    SELECT destination, target, rule, undo, opened_at FROM open_rules
    WHERE destination = $1 AND target = $2 AND rule = $3";

const PUT: &str = "
    INSERT INTO open_rules (destination, target, rule, undo, opened_at) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (destination, target, rule) DO UPDATE SET undo = excluded.undo, opened_at = excluded.opened_at";

impl Store {
    /// Reads all rules that are open, the longest open ones first.
    ///
    /// A row that cannot be read is left out and named in [`Rows::ignored`]: that rule has to be put back by a person.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn open_rules(&self) -> Result<Rows<OpenRule>, StoreError> {
        let mut connection = self.connection.lock().await;
        let rows = sqlx::query(ALL).fetch_all(&mut *connection).await.map_err(self.error("read"))?;
        Ok(read_open_rules(&rows))
    }

    /// Notes that a rule is about to be opened; it is on the disk when this returns. Returns the note that counts.
    ///
    /// That is the one that is there already, if there is one: what was seen after a killed run is the opened rule, and
    /// putting that back would leave it open for ever.
    ///
    /// # Errors
    /// When the database cannot be written; the rule must not be opened then.
    pub async fn note_open_rule(&self, rule: &OpenRule) -> Result<OpenRule, StoreError> {
        let fail = self.error("write");
        let mut connection = self.connection.lock().await;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(&fail)?;
        let rows = sqlx::query(ONE)
            .bind(&rule.destination)
            .bind(&rule.target)
            .bind(&rule.rule)
            .fetch_all(&mut *transaction)
            .await
            .map_err(&fail)?;
        // One that cannot be read is of no use to anyone and is replaced.
        if let Some(noted) = read_open_rules(&rows).rows.pop() {
            transaction.rollback().await.map_err(&fail)?;
            return Ok(noted);
        }
        sqlx::query(PUT)
            .bind(&rule.destination)
            .bind(&rule.target)
            .bind(&rule.rule)
            .bind(rule.undo.to_string())
            .bind(rule.opened_at.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(&fail)?;
        transaction.commit().await.map_err(&fail)?;
        Ok(rule.clone())
    }

    /// Notes that a rule is as it was again; it is on the disk when this returns. One that is not there is none to forget.
    ///
    /// # Errors
    /// When the database cannot be written; the rule is put back once more by the next run then.
    pub async fn forget_open_rule(&self, destination: &str, target: &str, rule: &str) -> Result<(), StoreError> {
        let mut connection = self.connection.lock().await;
        sqlx::query("DELETE FROM open_rules WHERE destination = $1 AND target = $2 AND rule = $3")
            .bind(destination)
            .bind(target)
            .bind(rule)
            .execute(&mut *connection)
            .await
            .map_err(self.error("write"))?;
        Ok(())
    }
}

fn read_open_rules(rows: &[Row]) -> Rows<OpenRule> {
    read_all("open_rules", &["destination", "target", "rule"], rows, read)
}

fn read(row: &Columns<'_>) -> Result<OpenRule, String> {
    Ok(OpenRule {
        destination: row.text("destination")?,
        target: row.text("target")?,
        rule: row.text("rule")?,
        undo: row.json("undo")?.ok_or("column `undo` is empty")?,
        opened_at: row.parsed("opened_at")?.ok_or("column `opened_at` is empty")?,
    })
}
