//! Pages of listings with their ETags: what a forge need not send again.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use sqlx::Connection as _;

use super::Store;
use super::error::StoreError;
use super::rows::{Columns, Rows, read_all};
use crate::base::redact::redact;

/// Pages that no listing has used for so long are dropped.
const KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);

/// The time of use is kept to the day or so: an unchanged page is not written again in every cycle.
const USE_NOTED: SignedDuration = SignedDuration::from_hours(24);

pub(super) const ALL: &str = "SELECT source, url, etag, next, body FROM pages ORDER BY source, url";

const PUT: &str = "
    INSERT INTO pages (source, url, etag, next, body, used_at) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (source, url) DO UPDATE SET
        etag = excluded.etag, next = excluded.next, body = excluded.body, used_at = excluded.used_at
    WHERE pages.etag <> excluded.etag OR pages.body <> excluded.body OR pages.next IS DISTINCT FROM excluded.next
       OR pages.used_at < $7";

/// One page of a listing, reduced to what the listing needs of it.
///
/// A forge's raw answer must not be kept: it may hold secrets that look like nothing (GitHub's `temp_clone_token`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPage {
    /// The id of the source.
    pub source: String,
    pub url: String,
    pub etag: String,
    /// The URL of the page after it.
    pub next: Option<String>,
    pub body: String,
}

impl StoredPage {
    /// Whether the redactor finds a secret in it: a token in a paging link, one that a server echoes.
    fn has_secret(&self) -> bool {
        [Some(&self.url), self.next.as_ref(), Some(&self.body)].into_iter().flatten().any(|text| redact(text) != *text)
    }
}

impl Store {
    /// Reads all pages of all sources.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn pages(&self) -> Result<Rows<StoredPage>, StoreError> {
        let mut connection = self.connection.lock().await;
        let rows = sqlx::query(ALL).fetch_all(&mut *connection).await.map_err(self.error("read"))?;
        Ok(read_all("pages", &["source", "url"], &rows, read))
    }

    /// Keeps the pages that a listing used at `now`, changed or not, and drops those unused for 90 days.
    ///
    /// A page in which the redactor finds a secret is not kept (an older version of it is dropped): it costs one
    /// request more next time. Pages that are known already and unchanged cost no write.
    ///
    /// # Errors
    /// When the database cannot be written; then none of them is kept.
    pub async fn save_pages(&self, pages: &[StoredPage], now: Timestamp) -> Result<(), StoreError> {
        let fail = self.error("write");
        let mut connection = self.connection.lock().await;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(&fail)?;
        // A token that is made anew leaves pages behind that nobody can read any more.
        let readers: BTreeSet<&str> = pages.iter().map(|page| page.source.as_str()).collect();
        for reader in readers {
            let Some((listing, _)) = reader.split_once('-') else { continue };
            sqlx::query("DELETE FROM pages WHERE source <> $1 AND substr(source, 1, length($2)) = $2")
                .bind(reader)
                .bind(format!("{listing}-"))
                .execute(&mut *transaction)
                .await
                .map_err(&fail)?;
        }
        for page in pages {
            if page.has_secret() {
                sqlx::query("DELETE FROM pages WHERE source = $1 AND url = $2")
                    .bind(&page.source)
                    .bind(&page.url)
                    .execute(&mut *transaction)
                    .await
                    .map_err(&fail)?;
                continue;
            }
            sqlx::query(PUT)
                .bind(&page.source)
                .bind(&page.url)
                .bind(&page.etag)
                .bind(&page.next)
                .bind(&page.body)
                .bind(to_the_second(now))
                .bind(to_the_second(before(now, USE_NOTED)))
                .execute(&mut *transaction)
                .await
                .map_err(&fail)?;
        }
        sqlx::query("DELETE FROM pages WHERE used_at < $1")
            .bind(to_the_second(before(now, KEPT)))
            .execute(&mut *transaction)
            .await
            .map_err(&fail)?;
        transaction.commit().await.map_err(&fail)
    }
}

/// All of one length, so that their order as text is their order in time.
fn to_the_second(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn before(now: Timestamp, ago: SignedDuration) -> Timestamp {
    now.checked_sub(ago).unwrap_or(Timestamp::MIN)
}

fn read(row: &Columns<'_>) -> Result<StoredPage, String> {
    Ok(StoredPage {
        source: row.text("source")?,
        url: row.text("url")?,
        etag: row.text("etag")?,
        next: row.optional_text("next")?,
        body: row.text("body")?,
    })
}
