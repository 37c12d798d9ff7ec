//! What the door does with each answer a server may give.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::forge::http::*;
use crate::forge::testing::{Asked, Reply, Server, TOKEN, connection, not_found, router};

type Heard = Arc<Mutex<Vec<(Reason, Duration)>>>;

/// Hears of retries and lets the clock jump over their waits: it is paused while nobody talks to anybody.
fn listen(connection: &mut Connection) -> Heard {
    let heard = Heard::default();
    let log = heard.clone();
    connection.on_retry = Arc::new(move |failure, wait| {
        log.lock().unwrap().push((failure.reason(), wait));
        if let Some(almost) = wait.checked_sub(Duration::from_millis(2)) {
            tokio::time::pause();
            tokio::spawn(async move {
                tokio::time::sleep(almost).await;
                tokio::time::resume();
            });
        }
    });
    heard
}

async fn get(connection: &Connection, path: &str) -> Result<Value, Failure> {
    let api = Api::new(connection, Auth::Bearer)?;
    api.get(api.url(&[path], &[])).await
}

/// Answers its requests one after the other with these, the last one for ever.
async fn in_turn(replies: Vec<Reply>) -> Server {
    let turn = AtomicUsize::new(0);
    Server::start(move |_| replies[turn.fetch_add(1, Ordering::SeqCst).min(replies.len() - 1)].clone()).await
}

#[tokio::test]
async fn each_forge_is_shown_the_token_in_its_own_header() {
    let server = Server::start(|_| Reply::new(200, "1")).await;
    for (auth, name, value) in [
        (Auth::Bearer, "authorization", format!("Bearer {TOKEN}")),
        (Auth::PrivateToken, "private-token", TOKEN.to_owned()),
        (Auth::Token, "authorization", format!("token {TOKEN}")),
    ] {
        let api = Api::new(&connection(&server.url), auth).unwrap();
        api.get::<u8>(api.url(&["x"], &[])).await.unwrap();
        let asked = server.asked().pop().unwrap();
        assert_eq!(asked.header(name), Some(value.as_str()));
        assert!(asked.header("user-agent").unwrap().starts_with("holocron/"));
    }
}

#[tokio::test]
async fn a_segment_stays_one_segment_below_the_apis_base() {
    let mut connection = connection(&Url::parse("https://h/base/api/v4/").unwrap());
    connection.token = None;
    let api = Api::new(&connection, Auth::Bearer).unwrap();
    let url = api.url(&["groups", "a/b?c%2F", "projects"], &[("x", "1 2")]);
    assert_eq!(url.as_str(), "https://h/base/api/v4/groups/a%2Fb%3Fc%252F/projects?x=1+2");
}

#[tokio::test]
async fn a_redirect_on_the_same_host_is_followed_with_the_token() {
    let server = Server::start(|asked| match asked.path() {
        "/old" => Reply::new(301, "").with("location", "/new"),
        "/new" => Reply::new(307, "").with("location", format!("{}/newest", asked.base)),
        _ => Reply::new(200, "7"),
    })
    .await;
    assert_eq!(get(&connection(&server.url), "old").await.unwrap(), 7);
    assert!(server.asked().iter().all(|asked| asked.header("authorization").is_some()));
}

#[tokio::test]
async fn a_redirect_to_another_host_is_refused_and_nothing_is_sent_there() {
    let other = Server::start(|_| Reply::new(200, "1")).await;
    let to = other.url.join("/stolen").unwrap().to_string();
    let server = Server::start(move |_| Reply::new(302, "").with("location", to.clone())).await;
    let failure = get(&connection(&server.url), "x").await.unwrap_err();
    assert_eq!(failure.reason(), Reason::Held);
    assert!(failure.message().starts_with("a redirect of "), "{}", failure.message());
    for url in [&server.url, &other.url] {
        assert!(failure.message().contains(url.as_str().trim_end_matches('/')), "{}", failure.message());
    }
    assert_eq!((other.asked().len(), server.asked().len()), (0, 1));
}

#[tokio::test]
async fn a_circle_of_redirects_ends() {
    let server = Server::start(|_| Reply::new(302, "").with("location", "/x")).await;
    let mut connection = connection(&server.url);
    connection.policy.tries = 1;
    assert_eq!(get(&connection, "x").await.unwrap_err().reason(), Reason::ServerError);
    assert_eq!(server.asked().len(), MOST_REDIRECTS + 1);
}

#[tokio::test]
async fn a_post_is_not_turned_into_a_get_by_a_redirect_and_not_repeated_after_a_failure() {
    let server = in_turn(vec![Reply::new(301, "").with("location", "/new"), Reply::new(502, "")]).await;
    let api = Api::new(&connection(&server.url), Auth::Bearer).unwrap();
    let body = serde_json::json!({"name": "x"});
    let ask = Ask::change(Method::POST, api.url(&["x"], &[]), Some(&body));
    assert_eq!(api.send(&ask).await.unwrap_err().reason(), Reason::RemoteNotFound);
    assert_eq!(api.send(&ask).await.unwrap_err().reason(), Reason::ServerError);
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn what_is_transient_is_tried_again_and_told() {
    let server = in_turn(vec![Reply::new(500, ""), Reply::new(503, ""), Reply::new(200, "5")]).await;
    let mut connection = connection(&server.url);
    let heard = listen(&mut connection);
    assert_eq!(get(&connection, "x").await.unwrap(), 5);
    assert_eq!(*heard.lock().unwrap(), [(Reason::ServerError, Duration::ZERO); 2]);
}

#[tokio::test]
async fn what_is_not_transient_is_asked_once() {
    for (status, reason) in [
        (401, Reason::AuthFailed),
        (403, Reason::Forbidden),
        (404, Reason::RemoteNotFound),
        (451, Reason::Blocked),
        (422, Reason::Unknown),
    ] {
        let server = in_turn(vec![Reply::new(status, r#"{"message":"because"}"#)]).await;
        let failure = get(&connection(&server.url), "x").await.unwrap_err();
        assert_eq!((failure.reason(), failure.evidence()), (reason, Some("because")));
        assert_eq!(server.asked().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let server = in_turn(vec![Reply::new(429, "").with("retry-after", "7"), Reply::new(200, "5")]).await;
    let mut connection = connection(&server.url);
    let heard = listen(&mut connection);
    assert_eq!(get(&connection, "x").await.unwrap(), 5);
    let heard = heard.lock().unwrap();
    assert_eq!((heard.len(), heard[0].0), (1, Reason::RateLimited));
    // Up to a quarter of jitter comes on top.
    assert!((7.0..=8.75).contains(&heard[0].1.as_secs_f64()), "{heard:?}");
}

#[tokio::test]
async fn a_wait_beyond_our_patience_is_a_failure_that_says_how_long() {
    let server = in_turn(vec![Reply::new(429, "").with("retry-after", "3600")]).await;
    let failure = get(&connection(&server.url), "x").await.unwrap_err();
    assert_eq!((failure.reason(), failure.retry_after()), (Reason::RateLimited, Some(Duration::from_secs(3600))));
    assert_eq!(server.asked().len(), 1);
}

fn used_up(reset_in: u64) -> Reply {
    let reply = Reply::new(200, "1").with("x-ratelimit-remaining", "0");
    reply.with("ratelimit-reset", reset_in.to_string())
}

#[tokio::test]
async fn after_the_last_allowed_request_the_next_one_waits_for_the_reset() {
    let server = in_turn(vec![used_up(30), Reply::new(200, "2")]).await;
    let mut connection = connection(&server.url);
    let heard = listen(&mut connection);
    let api = Api::new(&connection, Auth::Bearer).unwrap();
    assert_eq!(api.get::<u8>(api.url(&["x"], &[])).await.unwrap(), 1);
    assert!(heard.lock().unwrap().is_empty());
    assert_eq!(api.get::<u8>(api.url(&["x"], &[])).await.unwrap(), 2);
    let heard = heard.lock().unwrap();
    assert_eq!((heard.len(), heard[0].0), (1, Reason::RateLimited));
    assert!((29.0..=30.0).contains(&heard[0].1.as_secs_f64()), "{heard:?}");
}

#[tokio::test]
async fn a_reset_beyond_our_patience_fails_the_next_requests_unsent() {
    let server = in_turn(vec![used_up(3000)]).await;
    let api = Api::new(&connection(&server.url), Auth::Bearer).unwrap();
    api.get::<u8>(api.url(&["x"], &[])).await.unwrap();
    for _ in 0..2 {
        let failure = api.get::<u8>(api.url(&["x"], &[])).await.unwrap_err();
        assert!(failure.reason() == Reason::RateLimited && failure.retry_after() > Some(Duration::from_secs(2900)));
    }
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn html_and_other_shapes_are_a_server_error_with_a_quote_and_without_the_token() {
    let html = format!("<html>\n<h1>Bad day</h1> your token {TOKEN}</html>");
    let server = in_turn(vec![Reply::new(200, html).with("content-type", "text/html")]).await;
    let failure = get(&connection(&server.url), "x").await.unwrap_err();
    assert_eq!(failure.reason(), Reason::ServerError);
    assert_eq!(failure.evidence().unwrap(), "text/html: <html> <h1>Bad day</h1> your token ***</html>");
    let server = in_turn(vec![Reply::new(200, r#"{"a":1}"#)]).await;
    let api = Api::new(&connection(&server.url), Auth::Bearer).unwrap();
    let failure = api.get::<Vec<u8>>(api.url(&["x"], &[])).await.unwrap_err();
    assert_eq!((failure.reason(), failure.evidence().unwrap()), (Reason::ServerError, r#"no content type: {"a":1}"#));
}

#[tokio::test]
async fn a_304_that_nobody_asked_for_is_a_failure() {
    let server = in_turn(vec![Reply::new(304, "")]).await;
    assert_eq!(get(&connection(&server.url), "x").await.unwrap_err().reason(), Reason::ServerError);
}

#[tokio::test]
async fn no_connection_and_a_broken_one_are_network_failures() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    assert_eq!(get(&connection(&url), "x").await.unwrap_err().reason(), Reason::NetworkFailed);

    // Promises ten bytes, sends one.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut socket, _)) = listener.accept().await {
            let _request = socket.read(&mut [0; 4096]).await;
            let _sent = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n1").await;
        }
    });
    assert_eq!(get(&connection(&url), "x").await.unwrap_err().reason(), Reason::NetworkFailed);
}

#[tokio::test]
async fn a_silent_server_is_given_up_and_a_stop_is_heard_at_once() {
    // Accepts and never answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let mut connection = connection(&url);
    connection.policy.tries = 1;
    let stop = connection.cancel.clone();
    let (stopped, ()) = tokio::join!(get(&connection, "x"), async { stop.cancel() });
    assert_eq!(stopped.unwrap_err().reason(), Reason::Cancelled);
    connection.cancel = CancellationToken::new();
    connection.timeout = Duration::from_millis(50);
    assert_eq!(get(&connection, "x").await.unwrap_err().reason(), Reason::TimedOut);
}

#[tokio::test]
async fn a_private_ca_is_trusted_only_when_its_file_is_given() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let config = axum_server::tls_rustls::RustlsConfig::from_pem(cert.clone().into(), key.into()).await.unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let base = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let url = Url::parse(&base).unwrap();
    let (router, asked) = router(base, |_: &Asked| Reply::new(200, "1"));
    let server = axum_server::from_tcp_rustls(listener, config).unwrap();
    tokio::spawn(server.serve(router.into_make_service()));

    let mut connection = connection(&url);
    let failure = get(&connection, "x").await.unwrap_err();
    assert_eq!(failure.reason(), Reason::TlsFailed, "{failure}");
    assert!(asked.lock().unwrap().is_empty());

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), cert).unwrap();
    connection.ca_file = Some(file.path().to_owned());
    assert_eq!(get(&connection, "x").await.unwrap(), 1);
}

#[tokio::test]
async fn what_sets_something_to_a_value_is_sent_again_and_a_creation_is_not() {
    let body = serde_json::json!({"a": 1});
    for (method, tries) in [(Method::PUT, 2), (Method::PATCH, 2), (Method::DELETE, 2), (Method::POST, 1)] {
        let server = in_turn(vec![Reply::new(502, "{}"), Reply::new(200, "{}")]).await;
        let api = Api::new(&connection(&server.url), Auth::Bearer).unwrap();
        let sent = api.attempt(&Ask::change(method.clone(), api.url(&["x"], &[]), Some(&body))).await;
        assert_eq!((sent.is_ok(), server.asked().len()), (tries == 2, tries), "{method}");
        assert!(server.asked().iter().all(|asked| asked.method == method.as_str() && asked.body == body));
    }
    let server = in_turn(vec![Reply::new(502, "{}"), Reply::new(200, "{}")]).await;
    let api = Api::new(&connection(&server.url), Auth::Bearer).unwrap();
    api.send(&Ask::change(Method::POST, api.url(&["x"], &[]), None).repeatable()).await.unwrap();
}

#[tokio::test]
async fn a_refusal_keeps_its_status_and_all_its_words() {
    let words = format!(r#"{{"message":"{} Already TAKEN"}}"#, "x".repeat(300));
    let server = in_turn(vec![Reply::new(409, words), Reply::new(404, "<html>"), not_found()]).await;
    let api = Api::new(&connection(&server.url), Auth::Bearer).unwrap();
    let ask = || Ask::get(api.url(&["x"], &[]));
    let taken = api.attempt(&ask()).await.unwrap_err();
    assert_eq!(taken.status, Some(StatusCode::CONFLICT));
    assert!(taken.says("already taken") && !taken.says("reserved"));
    assert!(!api.attempt(&ask()).await.unwrap_err().is_missing(), "a proxy's page");
    assert!(api.attempt(&ask()).await.unwrap_err().is_missing());
}

#[tokio::test]
async fn a_server_that_asks_for_less_is_asked_for_less_at_a_time() {
    let limited = || Reply::new(403, r#"{"message":"You have exceeded a secondary rate limit."}"#);
    for (refusal, asks_for_less) in [
        (Reply::new(429, "slow down"), true),
        (limited().with("retry-after", "0"), true),
        (Reply::new(503, "overloaded"), true),
        (Reply::new(500, "broken"), false),
    ] {
        let server = in_turn(vec![refusal.with("retry-after", "0"), Reply::new(200, "1")]).await;
        let connection = connection(&server.url);
        assert_eq!(connection.gate.limit(), 8);
        get(&connection, "x").await.unwrap();
        assert_eq!(connection.gate.limit(), if asks_for_less { 4 } else { 8 });
    }
}

#[tokio::test]
async fn a_request_waits_while_the_host_has_no_room_for_it() {
    let server = Server::start(|_| Reply::new(200, "1")).await;
    let (gated, open) = (connection(&server.url), connection(&server.url));
    let mut held: Vec<_> = (0..8).map(|_| gated.gate.try_enter().unwrap()).collect();
    let mut waiting = std::pin::pin!(get(&gated, "gated"));
    let others = async {
        for _ in 0..3 {
            get(&open, "open").await.unwrap();
        }
    };
    tokio::select! {
        biased;
        _ = &mut waiting => panic!("there was no room"),
        () = others => {}
    }
    assert!(server.asked().iter().all(|asked| asked.path() == "/open"));
    held.pop();
    waiting.await.unwrap();
}

#[tokio::test]
async fn an_answer_that_trickles_for_ever_has_an_end() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await;
                let mut beat = tokio::time::interval(Duration::from_millis(20));
                // A space at a time, until nobody listens.
                while stream.write_all(b" ").await.is_ok() {
                    beat.tick().await;
                }
            });
        }
    });
    let mut connection = connection(&url);
    connection.timeout = Duration::from_millis(200);
    connection.policy.tries = 1;
    let failure = get(&connection, "x").await.unwrap_err();
    assert_eq!(failure.reason(), Reason::TimedOut);
    assert!(failure.message().contains("was not whole after 1 s"), "{failure}");
}
