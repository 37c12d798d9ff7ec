//! What a run holds while it lasts: the storage's lock, the store, and what the store remembers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use jiff::Timestamp;

use crate::base::error::Error;
use crate::base::failure::Failure;
use crate::config::Config;
use crate::config::destination::{DestinationConfig, ProtectedBranches};
use crate::cycle::report::Report;
use crate::forge::{CachedPage, PageCache};
use crate::mirror::storage::{Lock, Storage};
use crate::mirror::tools::Tools;
use crate::store::{DestinationRecord, MirrorRecord, ReleaseLook, Rows, Store, StoredPage};

/// The right to work in a storage, and the memory that goes with it.
#[derive(Debug)]
pub struct Session {
    /// `None` in a dry run on a storage where nothing ever ran.
    store: Option<Store>,
    /// `None` in a dry run, which only looks.
    lock: Option<Lock>,
    /// What the store's opening had to say, until it was said.
    warnings: Mutex<Vec<String>>,
}

/// What the store remembers of earlier runs.
#[derive(Debug)]
pub struct Memory {
    pub records: Vec<MirrorRecord>,
    pub destinations: Vec<DestinationRecord>,
    pub releases: Vec<ReleaseLook>,
    pub pages: Arc<PageCache>,
}

impl Session {
    /// Prepares the storage, takes its lock, sweeps it and opens the store; a dry run only opens the store to read.
    ///
    /// # Errors
    /// A storage that cannot be written, another run at work, a store that cannot be used.
    pub async fn open(config: &Config, tools: &Tools) -> Result<Self, Error> {
        let storage = &tools.storage;
        if config.dry_run {
            let store = Self::look(storage).await?;
            return Ok(Session { store, lock: None, warnings: Mutex::default() });
        }
        storage.prepare()?;
        let lock = storage.lock(config.wait, &tools.stop).await?;
        storage.sweep(&lock)?;
        let opened = Store::open(&storage.store_file()).await?;
        let mut warnings = Vec::new();
        if let Some(moved) = opened.rebuilt {
            warnings.push(format!(
                "the store was damaged and is built anew; the damaged file is kept as {}. Every mirror is looked at again.",
                moved.display()
            ));
            warnings.extend(forgotten_rules(&config.destinations));
        }
        Ok(Session { store: Some(opened.store), lock: Some(lock), warnings: Mutex::new(warnings) })
    }

    /// Opens the store only to read; `None` where there is none.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub async fn look(storage: &Storage) -> Result<Option<Store>, Error> {
        Ok(Store::open_read_only(&storage.store_file()).await?)
    }

    /// The store to write results to; a dry run has none.
    pub fn store(&self) -> Option<&Store> {
        self.lock.as_ref().and(self.store.as_ref())
    }

    /// The store to read from; a dry run may have one.
    pub fn memory(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// Lets git inherit the lock while mirrors are worked on; a token command, which may leave a daemon behind, never.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn lend_lock(&self, yes: bool) -> Result<(), Error> {
        Ok(self.lock.as_ref().map_or(Ok(()), |lock| lock.lend(yes))?)
    }

    /// Since when nobody else works in the storage.
    pub fn alone_since(&self) -> SystemTime {
        self.lock.as_ref().map_or(SystemTime::UNIX_EPOCH, |lock| lock.since)
    }

    /// Reads what the store remembers; rows that cannot be read are told in `warnings`.
    ///
    /// # Errors
    /// A store that cannot be read at all.
    pub async fn recall(&self, warnings: &mut Vec<String>) -> Result<Memory, Error> {
        warnings.append(&mut self.warnings.lock().unwrap_or_else(PoisonError::into_inner));
        let Some(store) = &self.store else {
            return Ok(Memory {
                records: Vec::new(),
                destinations: Vec::new(),
                releases: Vec::new(),
                pages: Arc::default(),
            });
        };
        let records = readable(store.mirrors().await?, warnings);
        let destinations = readable(store.destinations().await?, warnings);
        let releases = readable(store.release_looks().await?, warnings);
        let pages = readable(store.pages().await?, warnings).into_iter().map(|page| CachedPage {
            reader: page.source,
            url: page.url,
            etag: page.etag,
            next: page.next,
            body: page.body,
        });
        Ok(Memory { records, destinations, releases, pages: Arc::new(PageCache::load(pages.collect())) })
    }

    /// Writes down the run and the listings' pages. What cannot be written is only told: the results themselves were
    /// recorded one by one, and without the pages the next listing merely costs more.
    pub async fn record(&self, config: &Config, report: &Report, pages: &PageCache, now: Timestamp) {
        let Some(store) = self.store() else { return };
        let pages: Vec<StoredPage> = pages
            .changed()
            .into_iter()
            .map(|page| StoredPage {
                source: page.reader,
                url: page.url,
                etag: page.etag,
                next: page.next,
                body: page.body,
            })
            .collect();
        if let Err(error) = store.save_pages(&pages, now).await {
            tracing::warn!("{}", Failure::from(error));
        }
        // A watch that finds nothing to do must not wake the disk.
        if config.watch && !report.is_news() && report.exit_code() == 0 {
            return;
        }
        let finished = async {
            let run = store.begin_run(report.started).await?;
            store.finish_run(run, now, report.exit_code(), &report.totals()).await
        };
        if let Err(error) = finished.await {
            tracing::warn!("{}", Failure::from(error));
        }
    }
}

/// What a lost store means for branch rules: those that a killed run left open can no longer be put back by us.
fn forgotten_rules(destinations: &[DestinationConfig]) -> Option<String> {
    let restored =
        |one: &&DestinationConfig| one.api_url.is_some() && one.protected_branches == ProtectedBranches::Restore;
    let ids: Vec<&str> = destinations.iter().filter(restored).map(|one| one.id.as_str()).collect();
    (!ids.is_empty()).then(|| {
        format!(
            "with the store went its journal of branch rules that are open for a push: if a run was killed lately, see \
             whether those on {} are as they should be.",
            ids.join(", ")
        )
    })
}

fn readable<T>(rows: Rows<T>, warnings: &mut Vec<String>) -> Vec<T> {
    warnings.extend(rows.ignored.iter().map(ToString::to_string));
    rows.rows
}
