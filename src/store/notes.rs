//! What may be written down a little later, together with others: looks at what was found as it was.
//!
//! A transaction of its own waits for the disk five times. A run that only looks would do little else, and what a power cut
//! takes of its notes is looked at again.

use sqlx::Connection as _;

use super::destination::DestinationRecord;
use super::error::StoreError;
use super::record::MirrorRecord;
use super::sqlite::Connection;
use super::{Store, destination, mirrors};

/// So many are written at once at most; they also take memory.
const MOST: usize = 256;

/// A record that can wait.
#[derive(Debug)]
pub enum Note {
    Mirror(Box<MirrorRecord>),
    Destination(Box<DestinationRecord>),
}

impl Store {
    /// Records something soon: it is on the disk when [`Store::flush`] has returned. Until then nobody reads it here.
    ///
    /// # Errors
    /// When it was time to write, and the database cannot be written; all goes on waiting then.
    pub async fn note(&self, note: Note) -> Result<(), StoreError> {
        let mut waiting = self.notes.lock().await;
        waiting.push(note);
        if waiting.len() < MOST {
            return Ok(());
        }
        self.write(&mut waiting).await
    }

    /// Writes what was noted; it is on the disk when this returns.
    ///
    /// # Errors
    /// When the database cannot be written; all goes on waiting then.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let mut waiting = self.notes.lock().await;
        if waiting.is_empty() { Ok(()) } else { self.write(&mut waiting).await }
    }

    async fn write(&self, waiting: &mut Vec<Note>) -> Result<(), StoreError> {
        let fail = self.error("write");
        let mut connection = self.connection.lock().await;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(&fail)?;
        for note in waiting.iter() {
            put(&mut transaction, note).await.map_err(&fail)?;
        }
        transaction.commit().await.map_err(&fail)?;
        waiting.clear();
        Ok(())
    }
}

async fn put(connection: &mut Connection, note: &Note) -> Result<(), sqlx::Error> {
    match note {
        Note::Mirror(record) => mirrors::put(connection, record).await,
        Note::Destination(record) => destination::put(connection, record).await,
    }
}
