//! Reads a listing page by page, to its end or to a failure: never a shorter list.
//!
//! A page's `Link` header says whether there is a next one. Without that header the next number is asked for until a page
//! is empty: a page shorter than we asked for proves nothing, because servers cap the size. A link to another host (a forge that
//! does not know its own address) is not followed: the next number is asked for at our own.

use std::collections::{BTreeSet, HashSet};

use reqwest::StatusCode;
use reqwest::header::{ETAG, HeaderMap, LINK};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::base::failure::{Failure, Reason};
use crate::forge::http::cache::CachedPage;
use crate::forge::http::{Answer, Api, Ask, shown};

/// A million repositories; a server that goes on beyond is in a circle.
const MOST_PAGES: usize = 10_000;

/// So many pages in a row without anything new are a circle, however their links go on.
const MOST_STALE: usize = 3;

/// What stands on a page.
pub(in crate::forge) trait Item: Serialize + DeserializeOwned + Send {
    /// What tells it from the others, on every page.
    fn id(&self) -> &str;
}

/// What a whole listing told beside its items.
#[derive(Debug, Default)]
pub(in crate::forge) struct Told {
    /// Ids of organisations that GitHub left out because the token is not authorised for their single sign-on.
    pub(in crate::forge) left_out: BTreeSet<String>,
}

/// The page that could not be read, and why.
#[derive(Debug)]
pub(in crate::forge) struct PageFailed {
    /// Counted from 1.
    page: usize,
    pub(in crate::forge) failure: Failure,
}

impl PageFailed {
    /// Whether the server refused just this listing, from its beginning: it says nothing against the others.
    pub(in crate::forge) fn is_refusal(&self) -> bool {
        self.page == 1 && matches!(self.failure.reason(), Reason::Forbidden | Reason::RemoteNotFound | Reason::Blocked)
    }
}

impl From<PageFailed> for Failure {
    fn from(failed: PageFailed) -> Failure {
        failed.failure
    }
}

/// One page, converted, as the cache keeps it.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
struct Page<T: Item> {
    items: Vec<T>,
    #[serde(skip)]
    left_out: BTreeSet<String>,
    #[serde(skip)]
    next: Next,
}

/// What an answer says about the page after it.
#[derive(Debug, PartialEq, Default)]
enum Next {
    At(Url),
    /// There is a `Link` header, and no next page in it.
    End,
    /// Nothing.
    #[default]
    Untold,
}

/// Reads all pages from `first` on; each is handed to `take`, what came before left out.
///
/// `convert` makes an item of what the forge sends (`R`).
///
/// # Errors
/// The first page that cannot be read, or that comes again.
pub(in crate::forge) async fn pages<R: DeserializeOwned, T: Item>(
    api: &Api,
    first: Url,
    convert: &(dyn Fn(R) -> T + Sync),
    take: &mut (dyn FnMut(Vec<T>) + Send),
) -> Result<Told, PageFailed> {
    let mut told = Told::default();
    let mut url = first.clone();
    let mut visited = HashSet::new();
    let mut known = HashSet::new();
    let mut stale = 0;
    for page in 1..=MOST_PAGES {
        let failed = |failure| PageFailed { page, failure };
        if !visited.insert(url.to_string()) {
            return Err(failed(circle(&url)));
        }
        let Page { mut items, left_out, next } = read(api, &url, convert).await.map_err(failed)?;
        told.left_out.extend(left_out);
        let last = items.last().map(|item| item.id().to_owned());
        items.retain(|item| known.insert(item.id().to_owned()));
        // A page without any item may be one of which all are hidden from us.
        stale = if items.is_empty() && last.is_some() { stale + 1 } else { 0 };
        if stale >= MOST_STALE && next != Next::End {
            return Err(failed(circle(&url)));
        }
        let following = match (next, &last) {
            (Next::At(next), _) => Some(next),
            (Next::End, _) | (Next::Untold, None) => None,
            // The page number was ignored: what stands on the others is unknown.
            (Next::Untold, Some(_)) if items.is_empty() => return Err(failed(circle(&url))),
            (Next::Untold, Some(last)) => Some(numbered(&first, page + 1, last)),
        };
        take(items);
        match following {
            Some(next) => url = next,
            None => return Ok(told),
        }
    }
    Err(PageFailed { page: MOST_PAGES, failure: circle(&url) })
}

fn circle(url: &Url) -> Failure {
    Failure::new(Reason::ServerError, format!("GET {}: the pages of this listing go in a circle", shown(url)))
}

/// The URL of a page by its number; by the last id as well where pages go by keys (GitLab's `pagination=keyset`).
fn numbered(first: &Url, page: usize, last: &str) -> Url {
    let keyset = first.query_pairs().any(|(key, value)| key == "pagination" && value == "keyset");
    let kept: Vec<_> = first.query_pairs().into_owned().filter(|(key, _)| key != "page").collect();
    let mut url = first.clone();
    url.query_pairs_mut().clear().extend_pairs(kept).append_pair("page", &page.to_string());
    if keyset {
        url.query_pairs_mut().append_pair("id_after", last);
    }
    url
}

/// Reads one page, from the cache when the server says that nothing changed.
async fn read<R: DeserializeOwned, T: Item>(
    api: &Api,
    url: &Url,
    convert: &(dyn Fn(R) -> T + Sync),
) -> Result<Page<T>, Failure> {
    let kept = api.cache.get(&api.reader, url.as_str()).and_then(|kept| {
        // What an older version left in another shape is asked for anew.
        let page: Page<T> = serde_json::from_str(&kept.body).ok()?;
        Some((kept.etag, kept.next, page))
    });
    let etag = kept.as_ref().map(|(etag, ..)| etag.as_str());
    let answer = api.send(&Ask { etag, ..Ask::get(url.clone()) }).await?;
    let mut next = next_page(api, url, &answer.headers)?;
    let left_out = left_out(&answer.headers);
    if answer.status == StatusCode::NOT_MODIFIED
        && let Some((_, kept_next, page)) = kept
    {
        // A 304 vouches for the items. Without a `Link` of its own it does not say that this is still the last page: one
        // may have come after it, so an end is never taken from the cache.
        if let (Next::Untold, Some(kept)) = (&next, kept_next.and_then(|text| Url::parse(&text).ok())) {
            next = Next::At(kept);
        }
        return Ok(Page { left_out, next, ..page });
    }
    let items = entries(&answer)?.into_iter().map(convert).collect();
    let page = Page { items, left_out, next };
    keep(api, url, &answer, &page);
    Ok(page)
}

/// What stands on a page: a list, or a list within an object (GitHub's `/installation/repositories`).
fn entries<R: DeserializeOwned>(answer: &Answer) -> Result<Vec<R>, Failure> {
    #[derive(Deserialize)]
    struct Within<R> {
        repositories: Vec<R>,
    }
    answer.json::<Vec<R>>().or_else(|failure| match answer.json::<Within<R>>() {
        Ok(within) => Ok(within.repositories),
        Err(_) => Err(failure),
    })
}

/// Puts a page that has an ETag into the cache, unless it is but a part of the truth.
fn keep<T: Item>(api: &Api, url: &Url, answer: &Answer, page: &Page<T>) {
    let etag = answer.headers.get(ETAG).and_then(|etag| etag.to_str().ok()).filter(|_| page.left_out.is_empty());
    if let (Some(etag), Ok(body)) = (etag, serde_json::to_string(page)) {
        let next = match &page.next {
            Next::At(next) => Some(next.to_string()),
            Next::End | Next::Untold => None,
        };
        let (reader, url, etag) = (api.reader.clone(), url.to_string(), etag.to_owned());
        api.cache.put(CachedPage { reader, url, etag, next, body });
    }
}

/// What the `Link` headers say about the next page (RFC 8288).
fn next_page(api: &Api, url: &Url, headers: &HeaderMap) -> Result<Next, Failure> {
    let mut found = Next::Untold;
    for value in headers.get_all(LINK) {
        found = Next::End;
        let text = String::from_utf8_lossy(value.as_bytes());
        if let Some(target) = rel_next(&text) {
            let next = url.join(target).map_err(|error| {
                let text = format!("GET {}: the link to the next page is no URL ({error})", shown(url));
                Failure::new(Reason::ServerError, text)
            })?;
            if let Err(elsewhere) = api.check_origin(&next, "the link to the next page") {
                tracing::debug!("{elsewhere}; the next page is asked for by its number");
                return Ok(Next::Untold);
            }
            return Ok(Next::At(next));
        }
    }
    Ok(found)
}

/// The target of `rel=next` in one `Link` header.
fn rel_next(mut text: &str) -> Option<&str> {
    while let Some((_, rest)) = text.split_once('<') {
        let (target, rest) = rest.split_once('>')?;
        // The parameters reach to the next link, and no parameter of ours has an angle bracket in it.
        let end = rest.find('<').unwrap_or(rest.len());
        let is_next =
            rest[..end].split([';', ',']).filter_map(|parameter| parameter.split_once('=')).any(|(key, value)| {
                key.trim().eq_ignore_ascii_case("rel")
                    && value.trim().trim_matches('"').split_whitespace().any(|rel| rel.eq_ignore_ascii_case("next"))
            });
        if is_next {
            return Some(target);
        }
        text = &rest[end..];
    }
    None
}

/// GitHub: `X-GitHub-SSO: partial-results; organizations=21955855,20582480`.
fn left_out(headers: &HeaderMap) -> BTreeSet<String> {
    let value = headers.get("x-github-sso").and_then(|value| value.to_str().ok()).unwrap_or_default();
    match value.strip_prefix("partial-results;").and_then(|rest| rest.trim().strip_prefix("organizations=")) {
        Some(ids) => ids.split(',').map(|id| id.trim().to_owned()).filter(|id| !id.is_empty()).collect(),
        None => BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests;
