//! Pages of listings kept with their ETags, so that an unchanged page costs the forge (and its rate limit) next to nothing.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// One page of a listing as it came last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedPage {
    /// Who may read it: a fingerprint of source, API, token and program version; never the token itself.
    pub reader: String,
    pub url: String,
    pub etag: String,
    /// The URL of the page after it, when the server named one.
    pub next: Option<String>,
    /// What we made of the page, as JSON: a tenth of what the forge sent.
    pub body: String,
}

/// The pages of all sources, in memory; whoever persists it calls [`PageCache::load`] and [`PageCache::changed`].
#[derive(Debug, Default)]
pub struct PageCache(Mutex<HashMap<(String, String), Entry>>);

#[derive(Debug)]
struct Entry {
    page: CachedPage,
    changed: bool,
}

impl PageCache {
    /// A cache with what an earlier run left.
    pub fn load(pages: Vec<CachedPage>) -> Self {
        let key = |page: &CachedPage| (page.reader.clone(), page.url.clone());
        let entries = pages.into_iter().map(|page| (key(&page), Entry { page, changed: false })).collect();
        PageCache(Mutex::new(entries))
    }

    /// The pages that are new or different since the last call, in no particular order.
    ///
    /// A page stays identified by `reader` and `url`; keep the latest.
    pub fn changed(&self) -> Vec<CachedPage> {
        let mut entries = self.entries();
        let changed =
            entries.values_mut().filter_map(|entry| std::mem::take(&mut entry.changed).then_some(&entry.page));
        changed.cloned().collect()
    }

    /// The page last seen at `url` by this reader.
    pub fn get(&self, reader: &str, url: &str) -> Option<CachedPage> {
        self.entries().get(&(reader.to_owned(), url.to_owned())).map(|entry| entry.page.clone())
    }

    /// Keeps a page in place of the one seen there before.
    pub fn put(&self, page: CachedPage) {
        self.entries().insert((page.reader.clone(), page.url.clone()), Entry { page, changed: true });
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<(String, String), Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A short name for everything that decides what a page looks like and who may see it.
///
/// 64 bits of the standard library's SipHash: too little of a token to find it again, and enough to keep two readers
/// apart. Another Rust version may hash differently, which costs one full listing.
pub(in crate::forge) fn fingerprint(parts: &[&str]) -> String {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// The name of one who reads pages: what it lists before the dash, and after it what may change from one run to the next,
/// such as its token. Of the pages of one listing only those of the last reader are kept.
pub(in crate::forge) fn reader(listing: &[&str], now: &[&str]) -> String {
    format!("{}-{}", fingerprint(listing), fingerprint(&[listing, now].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(reader: &str, etag: &str) -> CachedPage {
        CachedPage {
            reader: reader.into(),
            url: "https://h/1".into(),
            etag: etag.into(),
            next: None,
            body: "[]".into(),
        }
    }

    #[test]
    fn another_token_or_source_never_reads_a_page() {
        let mine = fingerprint(&["github", "https://h", "token-one"]);
        for other in [["github", "https://h", "token-two"], ["work", "https://h", "token-one"]] {
            assert_ne!(mine, fingerprint(&other));
        }
        let cache = PageCache::load(vec![page(&mine, "a")]);
        assert!(cache.get(&mine, "https://h/1").is_some());
        assert!(cache.get("other", "https://h/1").is_none());
    }

    #[test]
    fn only_what_changed_is_handed_out_for_keeping() {
        let cache = PageCache::load(vec![page("r", "a")]);
        assert_eq!(cache.changed(), []);
        cache.put(page("r", "b"));
        assert_eq!(cache.changed(), [page("r", "b")]);
        assert_eq!(cache.changed(), []);
    }
}
