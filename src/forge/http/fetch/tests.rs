//! Downloads: whole or a failure, and the credential stays at home.

use futures_util::TryStreamExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::forge::http::Auth;
use crate::forge::http::fetch::*;
use crate::forge::testing::{Asked, Reply, Server, connection};

const BYTES: &str = "0123456789";

/// A file as a storage gives it.
fn storage(asked: &Asked) -> Reply {
    let whole = Reply::new(200, BYTES).with("etag", "\"one\"");
    match (asked.header("range"), asked.header("if-range")) {
        (Some("bytes=4-"), Some("\"one\"")) => {
            Reply::new(206, &BYTES[4..]).with("content-range", "bytes 4-9/10").with("etag", "\"one\"")
        }
        (Some("bytes=99-"), _) => Reply::new(416, "").with("content-range", "bytes */10"),
        _ => whole,
    }
}

async fn fetch_at(
    server: &Server,
    url: &Url,
    size: Option<u64>,
    offset: u64,
    etag: Option<&str>,
) -> Result<Download, Failure> {
    let connection = connection(&server.url);
    let (api, files) = (Api::new(&connection, Auth::Bearer).unwrap(), Files::open(&connection).unwrap());
    files.fetch(&api, &FileRequest { url, accept: "application/octet-stream", size, offset, etag }).await
}

async fn fetch(server: &Server) -> Result<Download, Failure> {
    fetch_at(server, &server.url.join("/asset").unwrap(), None, 0, None).await
}

async fn text(download: Result<Download, Failure>) -> Result<String, Failure> {
    let all = download?.bytes.try_fold(Vec::new(), |mut all, chunk| async move {
        all.extend_from_slice(&chunk);
        Ok(all)
    });
    Ok(String::from_utf8(all.await?).unwrap())
}

fn redirect_to(url: &Url) -> impl Fn(&Asked) -> Reply + Send + Sync + 'static {
    let location = url.join("/store/file?X-Amz-Signature=canary-signature").unwrap().to_string();
    move |_| Reply::new(302, "").with("location", location.clone())
}

#[tokio::test]
async fn a_storage_on_another_host_gets_no_credential() {
    let store = Server::start(storage).await;
    let server = Server::start(redirect_to(&store.url)).await;
    let download = fetch(&server).await.unwrap();
    assert_eq!((download.offset, download.size, download.etag.as_deref()), (0, Some(10), Some("\"one\"")));
    assert_eq!(text(Ok(download)).await.unwrap(), BYTES);
    let (api, store) = (&server.asked()[0], &store.asked()[0]);
    assert_eq!(api.header("accept"), Some("application/octet-stream"));
    assert!(api.header("authorization").is_some());
    assert_eq!((store.header("authorization"), store.header("cookie"), store.header("referer")), (None, None, None));
    assert_eq!(store.header("accept-encoding"), None, "compressed bytes would be others");
}

#[tokio::test]
async fn nobody_can_send_us_back_home_with_the_credential() {
    let home = Server::start(|asked| match asked.query("away") {
        Some(away) => Reply::new(302, "").with("location", away),
        None => Reply::new(200, BYTES),
    })
    .await;
    let back = home.url.join("/api/secret").unwrap().to_string();
    let away = Server::start(move |_| Reply::new(302, "").with("location", back.clone())).await;
    let url = home.url.join(&format!("/asset?away={}", away.url)).unwrap();
    text(fetch_at(&home, &url, None, 0, None).await).await.unwrap();
    let asked = home.asked();
    assert!(asked[0].header("authorization").is_some() && asked[1].header("authorization").is_none());
}

#[tokio::test]
async fn a_download_goes_on_where_the_file_is_the_same_and_begins_anew_where_not() {
    let store = Server::start(storage).await;
    let server = Server::start(redirect_to(&store.url)).await;
    let url = server.url.join("/asset").unwrap();
    for (offset, etag, begins) in [
        (4, Some("\"one\""), 4),
        (4, Some("\"other\""), 0),
        // Beyond the end: another file by now.
        (99, Some("\"one\""), 0),
        // Without an ETag nothing says that it is the same file.
        (4, None, 0),
        (0, Some("\"one\""), 0),
    ] {
        let download = fetch_at(&server, &url, Some(10), offset, etag).await.unwrap();
        assert_eq!((download.offset, download.size), (begins, Some(10)), "{offset} {etag:?}");
        let from = usize::try_from(begins).unwrap();
        assert_eq!(text(Ok(download)).await.unwrap(), BYTES[from..]);
    }
}

#[tokio::test]
async fn another_part_or_size_than_asked_for_is_a_failure() {
    let server = Server::start(|_| Reply::new(206, "x").with("content-range", "bytes 3-3/10")).await;
    let url = server.url.join("/asset").unwrap();
    assert!(fetch_at(&server, &url, None, 4, Some("\"one\"")).await.is_err());
    assert!(fetch_at(&server, &url, None, 0, None).await.is_err(), "a part although the whole was asked for");
    let server = Server::start(storage).await;
    let url = server.url.join("/asset").unwrap();
    let failure = fetch_at(&server, &url, Some(11), 0, None).await.err().unwrap();
    assert!(failure.message().contains("10 bytes") && failure.message().contains("11"), "{failure}");
}

/// Answers every connection with these bytes and hangs up.
async fn raw(answer: &'static str) -> Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/asset", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.read(&mut [0; 4096]).await;
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    url
}

#[tokio::test]
async fn a_body_that_ends_early_or_late_is_a_failure() {
    for (answer, listed) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n01234", None),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n01234\r\n", None),
        // Without a length, only the listing knows.
        ("HTTP/1.0 200 OK\r\n\r\n01234", Some(10)),
        ("HTTP/1.0 200 OK\r\n\r\n0123456789a", Some(10)),
    ] {
        let url = raw(answer).await;
        let connection = connection(&url);
        let (api, files) = (Api::new(&connection, Auth::Bearer).unwrap(), Files::open(&connection).unwrap());
        let wanted = FileRequest { url: &url, accept: "*/*", size: listed, offset: 0, etag: None };
        let failure = text(files.fetch(&api, &wanted).await).await.unwrap_err();
        assert!(failure.reason().is_transient(), "{answer}: {failure}");
    }
}

#[tokio::test]
async fn bytes_that_are_stored_compressed_stay_so() {
    let server = Server::start(|_| Reply::new(200, "not unpacked").with("content-encoding", "gzip")).await;
    assert_eq!(text(fetch(&server).await).await.unwrap(), "not unpacked");
}

#[tokio::test]
async fn nothing_but_http_is_followed_and_nothing_from_https_to_http() {
    for location in ["file:///etc/passwd", "ftp://h/x", "data:text/plain,x"] {
        let server = Server::start(move |_| Reply::new(302, "").with("location", location)).await;
        assert_eq!(fetch(&server).await.err().unwrap().reason(), Reason::Held, "{location}");
        let url = Url::parse(location).unwrap();
        assert_eq!(fetch_at(&server, &url, None, 0, None).await.err().unwrap().reason(), Reason::Held);
    }
    let (tls, clear) = (Url::parse("https://h/x?sig=canary").unwrap(), Url::parse("http://h/x?sig=canary").unwrap());
    let failure = check_scheme("GET https://h/x", &tls, &clear).unwrap_err();
    assert!(failure.reason() == Reason::Held && !failure.to_string().contains("canary"), "{failure}");
    for (from, to) in [(&tls, &tls), (&clear, &tls), (&clear, &clear)] {
        assert!(check_scheme("", from, to).is_ok());
    }
}

#[tokio::test]
async fn a_storages_refusal_is_not_the_tokens_and_shows_no_signature() {
    for (status, reason) in [
        (401, Reason::ServerError),
        (403, Reason::ServerError),
        (404, Reason::RemoteNotFound),
        (503, Reason::ServerError),
    ] {
        let store = Server::start(move |_| Reply::new(status, "<Signature>canary-signature</Signature>")).await;
        let server = Server::start(redirect_to(&store.url)).await;
        let failure = fetch(&server).await.err().unwrap();
        assert_eq!(failure.reason(), reason, "{failure}");
        assert!(!format!("{failure:?}").contains("canary-signature"), "{failure:?}");
        // Transient ones begin at the forge again, which gives a fresh address.
        assert_eq!(server.asked().len(), if reason.is_transient() { 3 } else { 1 });
    }
    let server = Server::start(|_| Reply::new(403, r#"{"message":"no"}"#)).await;
    assert_eq!(fetch(&server).await.err().unwrap().reason(), Reason::Forbidden);
}

#[tokio::test]
async fn a_login_page_is_no_file_and_a_busy_server_is_asked_again() {
    let server = Server::start(|asked| match asked.path() {
        "/asset" => Reply::new(303, "").with("location", "/user/login"),
        _ => Reply::new(200, "<html>please log in</html>"),
    })
    .await;
    assert_eq!(fetch(&server).await.err().unwrap().reason(), Reason::Forbidden);

    let turn = AtomicUsize::new(0);
    let server = Server::start(move |_| match turn.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::new(502, "<html>"),
        1 => Reply::new(429, "{}").with("retry-after", "0"),
        _ => Reply::new(200, BYTES),
    })
    .await;
    assert_eq!(text(fetch(&server).await).await.unwrap(), BYTES);
}
