//! What is remembered of releases: those that we made, and when each place was last looked at.

use jiff::Timestamp;

use super::Store;
use super::error::StoreError;
use super::rows::{Columns, Rows, read_all};
use crate::model::MirrorKey;
use crate::model::projection::MadeRelease;

/// When the releases of a repository at one place were last looked at, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseLook {
    pub key: MirrorKey,
    /// The destination's id, or [`crate::model::projection::DISK`].
    pub destination: String,
    /// A digest of what should be there.
    pub rules: String,
    pub in_step: bool,
    /// When the source was last asked.
    pub looked_at: Timestamp,
    /// When the place was last compared with it.
    pub compared_at: Timestamp,
}

pub(super) const ALL_LOOKS: &str = "
    SELECT folder, id, destination, rules, in_step, looked_at, compared_at
    FROM release_looks ORDER BY folder, id, destination";

const PUT_LOOK: &str = "
    INSERT INTO release_looks (folder, id, destination, rules, in_step, looked_at, compared_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (folder, id, destination) DO UPDATE SET
        rules = excluded.rules, in_step = excluded.in_step, looked_at = excluded.looked_at,
        compared_at = excluded.compared_at";

pub(super) const ALL: &str = "
    SELECT folder, id, destination, tag, release_id, state, complete, assets, links
    FROM releases ORDER BY folder, id, destination, tag";

const MADE: &str = "
    SELECT folder, id, destination, tag, release_id, state, complete, assets, links
    FROM releases WHERE folder = $1 AND id = $2 AND destination = $3 ORDER BY tag";

const PUT: &str = "
    INSERT INTO releases (folder, id, destination, tag, release_id, state, complete, assets, links)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (folder, id, destination, tag) DO UPDATE SET
        release_id = excluded.release_id, state = excluded.state, complete = excluded.complete,
        assets = excluded.assets, links = excluded.links";

impl Store {
    /// Reads when releases were last looked at, everywhere.
    ///
    /// A row that cannot be read is left out and named in [`Rows::ignored`]: there it is looked again.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn release_looks(&self) -> Result<Rows<ReleaseLook>, StoreError> {
        let mut connection = self.connection.lock().await;
        let rows = sqlx::query(ALL_LOOKS).fetch_all(&mut *connection).await.map_err(self.error("read"))?;
        Ok(read_all("release_looks", &["folder", "id", "destination"], &rows, |row| {
            Ok(ReleaseLook {
                key: MirrorKey { folder: row.text("folder")?, id: row.text("id")? },
                destination: row.text("destination")?,
                rules: row.text("rules")?,
                in_step: row.flag("in_step")?,
                looked_at: row.parsed("looked_at")?.ok_or("column `looked_at` is empty")?,
                compared_at: row.parsed("compared_at")?.ok_or("column `compared_at` is empty")?,
            })
        }))
    }

    /// Records a look; it is on the disk when this returns.
    ///
    /// # Errors
    /// When the database cannot be written; the former record stands then.
    pub async fn record_release_look(&self, look: &ReleaseLook) -> Result<(), StoreError> {
        let mut connection = self.connection.lock().await;
        sqlx::query(PUT_LOOK)
            .bind(&look.key.folder)
            .bind(&look.key.id)
            .bind(&look.destination)
            .bind(&look.rules)
            .bind(look.in_step)
            .bind(look.looked_at.to_string())
            .bind(look.compared_at.to_string())
            .execute(&mut *connection)
            .await
            .map_err(self.error("write"))?;
        Ok(())
    }

    /// Reads the releases that we made of one repository at one destination, ordered by tag.
    ///
    /// A row that cannot be read is left out and named in [`Rows::ignored`]: that release is known by its mark only.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn made_releases(&self, key: &MirrorKey, destination: &str) -> Result<Rows<MadeRelease>, StoreError> {
        let mut connection = self.connection.lock().await;
        let rows = sqlx::query(MADE)
            .bind(&key.folder)
            .bind(&key.id)
            .bind(destination)
            .fetch_all(&mut *connection)
            .await
            .map_err(self.error("read"))?;
        Ok(read_all("releases", &["folder", "id", "destination", "tag"], &rows, read))
    }

    /// Records a release that we made, or are making; it is on the disk when this returns.
    ///
    /// # Errors
    /// When the database cannot be written; the former record stands then.
    pub async fn record_release(
        &self,
        key: &MirrorKey,
        destination: &str,
        made: &MadeRelease,
    ) -> Result<(), StoreError> {
        let fail = self.error("write");
        let encode = |error: serde_json::Error| sqlx::Error::Encode(error.into());
        let assets = serde_json::to_string(&made.assets).map_err(|error| fail(encode(error)))?;
        let links = serde_json::to_string(&made.links).map_err(|error| fail(encode(error)))?;
        let mut connection = self.connection.lock().await;
        sqlx::query(PUT)
            .bind(&key.folder)
            .bind(&key.id)
            .bind(destination)
            .bind(&made.tag)
            .bind(&made.id)
            .bind(&made.state)
            .bind(made.complete)
            .bind(assets)
            .bind(links)
            .execute(&mut *connection)
            .await
            .map_err(fail)?;
        Ok(())
    }

    /// Forgets a release that is no more.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn forget_release(&self, key: &MirrorKey, destination: &str, tag: &str) -> Result<(), StoreError> {
        let mut connection = self.connection.lock().await;
        sqlx::query("DELETE FROM releases WHERE folder = $1 AND id = $2 AND destination = $3 AND tag = $4")
            .bind(&key.folder)
            .bind(&key.id)
            .bind(destination)
            .bind(tag)
            .execute(&mut *connection)
            .await
            .map_err(self.error("write"))?;
        Ok(())
    }
}

fn read(row: &Columns<'_>) -> Result<MadeRelease, String> {
    Ok(MadeRelease {
        tag: row.text("tag")?,
        id: row.text("release_id")?,
        state: row.text("state")?,
        complete: row.flag("complete")?,
        assets: row.json("assets")?.ok_or("column `assets` is empty")?,
        links: row.json("links")?.ok_or("column `links` is empty")?,
    })
}
