//! What arrives when a file is sent, and where it is not sent to.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::forge::http::Auth;
use crate::forge::http::files::*;
use crate::forge::testing::{Asked, Reply, Server, TOKEN, connection};

struct Sender {
    api: Api,
    files: Files,
    file: tempfile::NamedTempFile,
}

impl Sender {
    fn new(server: &Server, bytes: &[u8]) -> Self {
        let connection = connection(&server.url);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        Sender { api: Api::new(&connection, Auth::Bearer).unwrap(), files: Files::open(&connection).unwrap(), file }
    }

    fn parcel(&self, url: Url) -> Parcel<'_> {
        let size = self.file.as_file().metadata().unwrap().len();
        let (method, content_type) = (Method::POST, "application/zip");
        Parcel { method, url, also: None, file: self.file.path(), size, content_type, field: None }
    }

    async fn send(&self, parcel: Parcel<'_>) -> Result<Answer, Refusal> {
        self.files.send(&self.api, &parcel).await
    }
}

fn done(_: &Asked) -> Reply {
    Reply::new(201, "{}")
}

#[tokio::test]
async fn a_file_arrives_as_it_is_with_its_length_and_the_token() {
    let server = Server::start(done).await;
    // More than one chunk; and nothing at all.
    for bytes in [vec![b'x'; 300_000], vec![]] {
        let sender = Sender::new(&server, &bytes);
        sender.send(sender.parcel(server.url.join("/up?name=a").unwrap())).await.unwrap();
        let asked = server.asked().pop().unwrap();
        assert_eq!(asked.bytes, bytes);
        assert_eq!(asked.header("content-length"), Some(bytes.len().to_string().as_str()));
        assert_eq!((asked.header("transfer-encoding"), asked.header("content-type")), (None, Some("application/zip")));
        assert_eq!(asked.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    }
}

#[tokio::test]
async fn a_form_holds_the_file_as_one_field() {
    let server = Server::start(done).await;
    let sender = Sender::new(&server, b"bytes\r\n--x");
    let parcel = Parcel { field: Some("attachment"), ..sender.parcel(server.url.clone()) };
    sender.send(parcel).await.unwrap();
    let asked = server.asked().pop().unwrap();
    let boundary = asked.header("content-type").unwrap().strip_prefix("multipart/form-data; boundary=").unwrap();
    let body = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"attachment\"; filename=\"asset\"\r\nContent-Type: \
         application/octet-stream\r\n\r\nbytes\r\n--x\r\n--{boundary}--\r\n"
    );
    assert_eq!(String::from_utf8_lossy(&asked.bytes), body);
    assert_eq!(asked.header("content-length"), Some(body.len().to_string().as_str()));
}

#[tokio::test]
async fn a_file_goes_to_the_apis_origin_and_the_named_one_only() {
    let server = Server::start(done).await;
    let other = Server::start(done).await;
    let sender = Sender::new(&server, b"bytes");
    let refusal = sender.send(sender.parcel(other.url.clone())).await.unwrap_err();
    assert_eq!(refusal.failure.reason(), Reason::Held);
    assert_eq!(other.asked().len(), 0);
    let parcel = Parcel { also: Origin::of(&other.url), ..sender.parcel(other.url.clone()) };
    sender.send(parcel).await.unwrap();
    assert!(other.asked()[0].header("authorization").is_some());

    // Nor by a redirect.
    let away = other.url.clone();
    let server = Server::start(move |_| Reply::new(307, "").with("location", away.to_string())).await;
    let sender = Sender::new(&server, b"bytes");
    assert_eq!(sender.send(sender.parcel(server.url.clone())).await.unwrap_err().failure.reason(), Reason::Held);
    assert_eq!(other.asked().len(), 1);
}

#[tokio::test]
async fn a_307_gets_the_whole_file_again_and_a_302_nothing() {
    let server = Server::start(|asked| match asked.path() {
        "/old" => Reply::new(307, "").with("location", "/new"),
        "/get" => Reply::new(302, "").with("location", "/new"),
        _ => Reply::new(201, "{}"),
    })
    .await;
    let sender = Sender::new(&server, b"bytes");
    sender.send(sender.parcel(server.url.join("/old").unwrap())).await.unwrap();
    assert_eq!(server.asked()[1].bytes, b"bytes");
    assert!(sender.send(sender.parcel(server.url.join("/get").unwrap())).await.is_err());
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn what_was_refused_for_its_pace_is_sent_again_and_what_broke_off_is_not() {
    for (first, tries) in [(Reply::new(429, "{}").with("retry-after", "0"), 2), (Reply::new(502, "<html>"), 1)] {
        let turn = AtomicUsize::new(0);
        let server = Server::start(move |_| match turn.fetch_add(1, Ordering::SeqCst) {
            0 => first.clone(),
            _ => Reply::new(201, "{}"),
        })
        .await;
        let sender = Sender::new(&server, b"bytes");
        assert_eq!(sender.send(sender.parcel(server.url.clone())).await.is_ok(), tries == 2);
        assert_eq!(server.asked().len(), tries);
    }
}

#[tokio::test]
async fn a_file_that_changed_is_not_sent_and_no_networks_fault() {
    let server = Server::start(done).await;
    let sender = Sender::new(&server, b"bytes");
    let parcel = Parcel { size: 6, ..sender.parcel(server.url.clone()) };
    assert_eq!(sender.send(parcel).await.unwrap_err().failure.reason(), Reason::LocalFailed);
    let gone = Parcel { file: Path::new("/nonexistent/file"), ..sender.parcel(server.url.clone()) };
    assert_eq!(sender.send(gone).await.unwrap_err().failure.reason(), Reason::LocalFailed);
    assert_eq!(server.asked().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_upload_may_take_long_but_not_stand_still() {
    let timeout = Duration::from_secs(20);
    let began = tokio::time::Instant::now();
    let (beat, progress) = watch::channel(());
    let watching = tokio::spawn(stalled(progress, timeout));
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_secs(15)).await;
        beat.send_replace(());
    }
    assert!(!watching.is_finished(), "{:?} with something moving", began.elapsed());
    // All is sent: the server has its time to digest it.
    drop(beat);
    assert_eq!(watching.await.unwrap(), DIGESTION);

    let (_beat, progress) = watch::channel(());
    assert_eq!(stalled(progress, timeout).await, timeout);
}
