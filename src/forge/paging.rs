//! Reads a listing page by page, to its end or to a failure: never a shorter list.
//!
//! A page's `Link` header says whether there is a next one. Without that header the next number is asked for until a page
//! is empty: a page shorter than we asked for proves nothing, because servers cap the size.

use std::collections::{BTreeSet, HashSet};

use reqwest::StatusCode;
use reqwest::header::{ETAG, HeaderMap, LINK};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use url::Url;

use super::cache::CachedPage;
use super::http::{Answer, Api, Ask};
use crate::failure::{Failure, Reason};

/// A million repositories; a server that goes on beyond is in a circle.
const MOST_PAGES: usize = 10_000;

/// What stands on a page.
pub(super) trait Item: Serialize + DeserializeOwned + Send {
    /// What tells it from the others, on every page.
    fn id(&self) -> &str;
}

/// What a whole listing told beside its items.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Ids of organisations that GitHub left out because the token is not authorised for their single sign-on.
    pub(super) left_out: BTreeSet<String>,
}

/// The page that could not be read, and why.
#[derive(Debug)]
pub(super) struct PageFailed {
    /// Counted from 1.
    page: usize,
    pub(super) failure: Failure,
}

impl PageFailed {
    /// Whether the server refused just this listing, from its beginning: it says nothing against the others.
    pub(super) fn is_refusal(&self) -> bool {
        self.page == 1 && matches!(self.failure.reason, Reason::Forbidden | Reason::RemoteNotFound | Reason::Blocked)
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
/// The first page that cannot be read, that leads to another host, or that comes again.
pub(super) async fn pages<R: DeserializeOwned, T: Item>(
    api: &Api,
    first: Url,
    convert: &(dyn Fn(R) -> T + Sync),
    take: &mut (dyn FnMut(Vec<T>) + Send),
) -> Result<Told, PageFailed> {
    let mut told = Told::default();
    let mut url = first.clone();
    let mut visited = HashSet::new();
    let mut known = HashSet::new();
    for page in 1..=MOST_PAGES {
        let failed = |failure| PageFailed { page, failure };
        if !visited.insert(url.to_string()) {
            return Err(failed(circle(&url)));
        }
        let Page { mut items, left_out, next } = read(api, &url, convert).await.map_err(failed)?;
        told.left_out.extend(left_out);
        let last = items.last().map(|item| item.id().to_owned());
        items.retain(|item| known.insert(item.id().to_owned()));
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
    Failure::new(Reason::ServerError, format!("GET {url}: the pages of this listing go in a circle"))
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
    if answer.status == StatusCode::NOT_MODIFIED
        && let Some((_, kept_next, page)) = kept
    {
        // A 304 vouches for the items. Without a `Link` of its own it does not say that this is still the last page: one
        // may have come after it, so an end is never taken from the cache.
        if let (Next::Untold, Some(kept)) = (&next, kept_next.and_then(|text| Url::parse(&text).ok())) {
            next = Next::At(kept);
        }
        return Ok(Page { next, ..page });
    }
    let items = answer.json::<Vec<R>>()?.into_iter().map(convert).collect();
    let page = Page { items, left_out: left_out(&answer.headers), next };
    keep(api, url, &answer, &page);
    Ok(page)
}

/// Puts a page that has an ETag into the cache.
fn keep<T: Item>(api: &Api, url: &Url, answer: &Answer, page: &Page<T>) {
    let etag = answer.headers.get(ETAG).and_then(|etag| etag.to_str().ok());
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
                let text = format!("GET {url}: the link to the next page is no URL ({error})");
                Failure::new(Reason::ServerError, text)
            })?;
            api.check_origin(&next, "the link to the next page")?;
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
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::forge::cache::PageCache;
    use crate::forge::http::Auth;
    use crate::forge::testing::{Asked, Reply, Server, connection};

    #[derive(Debug, Serialize, Deserialize)]
    struct Name(String);

    impl Item for Name {
        fn id(&self) -> &str {
            &self.0
        }
    }

    async fn names_with(server: &Server, cache: &Arc<PageCache>, query: &str) -> Result<Vec<String>, PageFailed> {
        let mut connection = connection(&server.url);
        connection.cache = cache.clone();
        let api = Api::new(&connection, Auth::Bearer).unwrap();
        let mut names = Vec::new();
        let first = server.url.join(&format!("/list?{query}")).unwrap();
        pages(&api, first, &|text: String| Name(text), &mut |page| names.extend(page.into_iter().map(|name| name.0)))
            .await?;
        Ok(names)
    }

    async fn names(server: &Server) -> Result<Vec<String>, PageFailed> {
        names_with(server, &Arc::new(PageCache::default()), "per_page=100").await
    }

    fn page(names: &[&str]) -> Reply {
        Reply::json(&json!(names))
    }

    fn next(reply: Reply, to: impl std::fmt::Display) -> Reply {
        reply.with("link", format!("<{to}>; rel=\"next\", <http://127.0.0.1/last>; rel=\"last\""))
    }

    /// Twelve pages of one, linked, as most servers do.
    fn twelve(asked: &Asked) -> Reply {
        let number = asked.page();
        let reply = page(&[&format!("r{number}")]);
        match number {
            1..12 => next(reply, format!("{}/list?per_page=100&page={}", asked.base, number + 1)),
            _ => reply.with("link", format!("<{}/list?page=1>; rel=\"first\"", asked.base)),
        }
    }

    #[tokio::test]
    async fn linked_pages_are_read_to_the_last() {
        let server = Server::start(twelve).await;
        assert_eq!(names(&server).await.unwrap().len(), 12);
        assert_eq!(server.asked().len(), 12);
    }

    #[tokio::test]
    async fn one_page_that_cannot_be_read_fails_the_whole() {
        for status in [403, 404, 500] {
            let server = Server::start(move |asked| match asked.page() {
                7 => Reply::new(status, r#"{"message":"bad day"}"#),
                _ => twelve(asked),
            })
            .await;
            let failed = names(&server).await.unwrap_err();
            assert_eq!((failed.page, failed.is_refusal()), (7, false));
            assert!(failed.failure.message.contains("page=7"), "{}", failed.failure.message);
        }
    }

    #[tokio::test]
    async fn a_server_that_caps_the_page_size_is_read_until_a_page_is_empty() {
        let server = Server::start(|asked| match asked.page() {
            1 => page(&["a", "b"]),
            2 => page(&["c"]),
            _ => page(&[]),
        })
        .await;
        assert_eq!(names(&server).await.unwrap(), ["a", "b", "c"]);
        assert_eq!(server.targets(), ["/list?per_page=100", "/list?per_page=100&page=2", "/list?per_page=100&page=3"]);
    }

    #[tokio::test]
    async fn what_moves_to_a_later_page_meanwhile_counts_once() {
        let server = Server::start(|asked| match asked.page() {
            1 => page(&["a", "b"]),
            2 => page(&["b", "c"]),
            _ => page(&[]),
        })
        .await;
        assert_eq!(names(&server).await.unwrap(), ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn a_link_to_another_host_is_refused_and_nothing_is_sent_there() {
        let other = Server::start(|_| page(&[])).await;
        let to = other.url.join("/list?page=2").unwrap();
        let server = Server::start(move |_| next(page(&["a"]), &to)).await;
        let failure = names(&server).await.unwrap_err().failure;
        assert_eq!(failure.reason, Reason::Held);
        assert!(failure.message.contains(other.url.as_str().trim_end_matches('/')), "{}", failure.message);
        assert_eq!(other.asked().len(), 0);
    }

    #[tokio::test]
    async fn pages_that_go_in_a_circle_are_a_failure() {
        let linked = Server::start(|asked| next(page(&["a"]), format!("{}/list?per_page=100", asked.base))).await;
        let numbers_ignored = Server::start(|_| page(&["a"])).await;
        for server in [linked, numbers_ignored] {
            assert_eq!(names(&server).await.unwrap_err().failure.reason, Reason::ServerError);
            assert!(server.asked().len() <= 2);
        }
    }

    #[tokio::test]
    async fn pages_that_go_by_keys_are_asked_for_by_the_last_key() {
        let server = Server::start(|asked| match asked.query("id_after").as_deref() {
            None => page(&["3", "8"]),
            Some("8") => page(&[]),
            other => panic!("{other:?}"),
        })
        .await;
        let cache = Arc::new(PageCache::default());
        assert_eq!(names_with(&server, &cache, "pagination=keyset").await.unwrap(), ["3", "8"]);
    }

    /// Answers with an ETag per content, 304 when it is known, and a link only on full answers.
    fn tagged(asked: &Asked, names: &[&str]) -> Reply {
        let etag = format!("\"{}\"", names.join("-"));
        match asked.header("if-none-match") {
            Some(known) if known == etag => Reply::new(304, ""),
            _ => page(names).with("etag", etag),
        }
    }

    #[tokio::test]
    async fn an_unchanged_page_costs_a_304_and_gives_the_same_in_this_run_and_the_next() {
        let server = Server::start(|asked| match asked.page() {
            1 => match tagged(asked, &["a", "b"]) {
                full if asked.header("if-none-match").is_none() => {
                    next(full, format!("{}/list?per_page=100&page=2", asked.base))
                }
                unchanged => unchanged,
            },
            2 => tagged(asked, &["c"]),
            _ => tagged(asked, &[]),
        })
        .await;
        let cache = Arc::new(PageCache::default());
        let first = names_with(&server, &cache, "per_page=100").await.unwrap();
        let kept = cache.changed();
        assert_eq!((first.len(), kept.len()), (3, 3));
        assert!(kept.iter().all(|page| !format!("{page:?}").contains(crate::forge::testing::TOKEN)));
        let next_run = Arc::new(PageCache::load(kept));
        assert_eq!(names_with(&server, &next_run, "per_page=100").await.unwrap(), first);
        assert_eq!(next_run.changed(), []);
        let asked = server.asked();
        assert_eq!(asked.len(), 6);
        assert!(asked[3..].iter().all(|asked| asked.header("if-none-match").is_some()));
    }

    #[tokio::test]
    async fn a_page_that_comes_after_an_unchanged_last_one_is_not_missed() {
        let cache = Arc::new(PageCache::default());
        let grown = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let now = grown.clone();
        let server = Server::start(move |asked| match asked.page() {
            1 => tagged(asked, &["a", "b"]),
            2 if now.load(std::sync::atomic::Ordering::SeqCst) => tagged(asked, &["c"]),
            _ => tagged(asked, &[]),
        })
        .await;
        assert_eq!(names_with(&server, &cache, "per_page=2").await.unwrap(), ["a", "b"]);
        grown.store(true, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(names_with(&server, &cache, "per_page=2").await.unwrap(), ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn a_cached_page_of_another_shape_is_asked_for_anew() {
        let server = Server::start(|asked| tagged(asked, if asked.page() == 1 { &["a"] } else { &[] })).await;
        let cache = Arc::new(PageCache::default());
        names_with(&server, &cache, "per_page=100").await.unwrap();
        let spoilt = cache.changed().into_iter().map(|page| CachedPage { body: "{}".into(), ..page }).collect();
        let cache = Arc::new(PageCache::load(spoilt));
        assert_eq!(names_with(&server, &cache, "per_page=100").await.unwrap(), ["a"]);
        assert!(server.asked().iter().all(|asked| asked.header("if-none-match").is_none()));
    }

    #[test]
    fn the_next_link_is_found_among_others() {
        for (text, target) in [
            (r#"<https://h/a?page=2>; rel="next", <https://h/a?page=9>; rel="last""#, Some("https://h/a?page=2")),
            (
                r#"<https://h/a?x=1,2>; rel="prev",<https://h/a?x=3,4>;title="a, b"; rel=next"#,
                Some("https://h/a?x=3,4"),
            ),
            (r#"</a?page=2>; REL="last next""#, Some("/a?page=2")),
            (r#"<https://h/next>; rel="last""#, None),
            ("<https://h/next", None),
            ("", None),
        ] {
            assert_eq!(rel_next(text), target, "{text}");
        }
    }
}
