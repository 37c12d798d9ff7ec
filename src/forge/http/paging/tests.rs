//! Listings of several pages: whole, or a failure.

use std::sync::Arc;

use serde_json::json;

use crate::forge::http::Auth;
use crate::forge::http::cache::PageCache;
use crate::forge::http::paging::*;
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
        let message = failed.failure.message();
        assert!(message.contains("/list (page 7): ") && !message.contains('?'), "{message}");
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
async fn a_link_to_another_host_is_replaced_by_the_next_number_at_our_own() {
    let other = Server::start(|_| page(&[])).await;
    let to = other.url.join("/list?page=2").unwrap();
    let server = Server::start(move |asked| match asked.page() {
        1 => next(page(&["a"]), &to),
        2 => page(&["b"]).with("link", "<http://elsewhere.invalid/list?page=1>; rel=\"first\""),
        _ => panic!("the second page is the last"),
    })
    .await;
    assert_eq!(names(&server).await.unwrap(), ["a", "b"]);
    assert_eq!(server.targets(), ["/list?per_page=100", "/list?per_page=100&page=2"]);
    assert_eq!(other.asked().len(), 0);
}

#[tokio::test]
async fn pages_that_go_in_a_circle_are_a_failure() {
    let linked = Server::start(|asked| next(page(&["a"]), format!("{}/list?per_page=100", asked.base))).await;
    let numbers_ignored = Server::start(|_| page(&["a"])).await;
    for server in [linked, numbers_ignored] {
        assert_eq!(names(&server).await.unwrap_err().failure.reason(), Reason::ServerError);
        assert!(server.asked().len() <= 2);
    }
}

#[tokio::test]
async fn pages_that_repeat_under_links_that_go_on_are_a_failure() {
    let server = Server::start(|asked| {
        let number = asked.page() + 1;
        next(page(&["a", "b"]), format!("{}/list?per_page=100&page={number}", asked.base))
    })
    .await;
    assert_eq!(names(&server).await.unwrap_err().failure.reason(), Reason::ServerError);
    assert_eq!(server.asked().len(), 1 + MOST_STALE);
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
    // The second page has a name that nobody can guess, and only a full first page tells it.
    let server = Server::start(|asked| match (asked.query("cursor"), asked.page()) {
        (Some(_), _) => tagged(asked, &["c"]),
        (None, 1) if asked.header("if-none-match").is_none() => {
            next(tagged(asked, &["a", "b"]), format!("{}/list?cursor=x7", asked.base))
        }
        (None, 1) => tagged(asked, &["a", "b"]),
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
        (r#"<https://h/a?x=1,2>; rel="prev",<https://h/a?x=3,4>;title="a, b"; rel=next"#, Some("https://h/a?x=3,4")),
        (r#"</a?page=2>; REL="last next""#, Some("/a?page=2")),
        (r#"<https://h/next>; rel="last""#, None),
        ("<https://h/next", None),
        ("", None),
    ] {
        assert_eq!(rel_next(text), target, "{text}");
    }
}
