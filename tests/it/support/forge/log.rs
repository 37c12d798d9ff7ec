//! What a forge was asked: every request is written down when it comes in.

use std::net::SocketAddr;
use std::sync::Mutex;

use axum::http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

/// Bodies up to this length are kept whole.
const KEPT: usize = 1 << 20;

/// What a request is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Api,
    /// `repo` is the path that was asked for, without `.git`: of a renamed repository, the old one.
    Git {
        repo: String,
        service: Service,
    },
    /// The bytes of an asset on their way to the forge: also a request to an API.
    Upload,
    /// The bytes of an asset, asked of the forge's own host.
    Download,
    /// Anything asked of the second host, where the bytes lie.
    Storage,
    Other,
}

/// What came as the body of a write; of an upload, the file in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sent {
    /// Empty when there was more than 1 MiB.
    pub bytes: Vec<u8>,
    pub size: u64,
    /// In hex.
    pub sha256: String,
}

impl Sent {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let kept = if bytes.len() > KEPT { Vec::new() } else { bytes.to_vec() };
        Sent { bytes: kept, size: bytes.len() as u64, sha256: format!("{:x}", Sha256::digest(bytes)) }
    }
}

/// The steps of git's HTTP protocol.
///
/// With protocol version 2 a fetch is `Advertisement` (capabilities only), `ListRefs`, `FetchPack`; with version 0 the
/// refs come in the `Advertisement`. A `ListRefs` longer than 1024 bytes comes compressed and is taken for `FetchPack`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Advertisement,
    ListRefs,
    FetchPack,
    PushAdvertisement,
    Push,
    /// Anything else under a repository's path.
    Other,
}

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: Method,
    /// As on the wire, still percent-encoded.
    pub path: String,
    /// Without the question mark; empty when there is none.
    pub query: String,
    pub headers: HeaderMap,
    /// The connection it came by, as the client's end of it.
    pub peer: Option<SocketAddr>,
    pub kind: Kind,
    /// The status of the answer; `None` while there is none (a hanging one stays so).
    pub status: Option<u16>,
    /// The name of the asset whose bytes these are, as people gave it, where that can be told.
    pub asset: Option<String>,
    /// What a write carried; `None` for git's requests and for what nobody read.
    pub sent: Option<Sent>,
}

impl Request {
    /// Reads what a request is about; `body` is its beginning.
    pub(super) fn new(method: Method, path: &str, query: &str, headers: HeaderMap, body: &[u8]) -> Self {
        let kind = match bytes_kind(&method, path) {
            Some(kind) => kind,
            None if path.starts_with("/api/") => Kind::Api,
            None => git_kind(&method, path, query, body),
        };
        let (path, query) = (path.to_owned(), query.to_owned());
        Request { method, path, query, headers, peer: None, kind, status: None, asset: None, sent: None }
    }

    /// Whether it goes to one of the APIs and asks for a change.
    pub fn is_write(&self) -> bool {
        matches!(self.kind, Kind::Api | Kind::Upload) && self.method != Method::GET && self.method != Method::HEAD
    }

    /// The JSON that it carried; null when it was none.
    pub fn json(&self) -> Value {
        self.sent.as_ref().and_then(|sent| serde_json::from_slice(&sent.bytes).ok()).unwrap_or(Value::Null)
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The value of `Authorization`, or of GitLab's `PRIVATE-TOKEN`.
    pub fn authorization(&self) -> Option<&str> {
        self.header("authorization").or_else(|| self.header("private-token"))
    }

    /// The client's name for itself.
    pub fn user_agent(&self) -> &str {
        self.header("user-agent").unwrap_or_default()
    }

    /// A parameter of the query, decoded.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = url::form_urlencoded::parse(self.query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

/// Whether a request carries or asks for the bytes of an asset.
fn bytes_kind(method: &Method, path: &str) -> Option<Kind> {
    let package = path.starts_with("/api/v4/") && path.contains("/packages/generic/");
    let release = path.contains("/releases/") && path.ends_with("/assets");
    match *method {
        Method::PUT if package => Some(Kind::Upload),
        Method::POST if release && !path.starts_with("/api/v3/") => Some(Kind::Upload),
        Method::GET | Method::HEAD if package => Some(Kind::Download),
        Method::GET | Method::HEAD if !path.starts_with("/api/") => {
            let web = path.starts_with("/attachments/") || path.contains("/releases/download/");
            (web || path.contains("/-/releases/")).then_some(Kind::Download)
        }
        _ => None,
    }
}

fn git_kind(method: &Method, path: &str, query: &str, body: &[u8]) -> Kind {
    const ENDINGS: [&str; 5] = ["/info/refs", "/git-upload-pack", "/git-receive-pack", "/HEAD", "/objects/info/packs"];
    let Some((repo, ending)) = ENDINGS.iter().find_map(|ending| Some((path.strip_suffix(ending)?, *ending))) else {
        return Kind::Other;
    };
    let service = match (method, ending) {
        (&Method::GET, "/info/refs") if query.contains("service=git-upload-pack") => Service::Advertisement,
        (&Method::GET, "/info/refs") if query.contains("service=git-receive-pack") => Service::PushAdvertisement,
        (&Method::POST, "/git-upload-pack") if body.windows(15).any(|part| part == b"command=ls-refs") => {
            Service::ListRefs
        }
        (&Method::POST, "/git-upload-pack") => Service::FetchPack,
        (&Method::POST, "/git-receive-pack") => Service::Push,
        _ => Service::Other,
    };
    let repo = percent_decode_str(repo.trim_start_matches('/')).decode_utf8_lossy().into_owned();
    Kind::Git { repo: repo.strip_suffix(".git").map(str::to_owned).unwrap_or(repo), service }
}

/// The requests in the order they came in.
#[derive(Default)]
pub(super) struct Log {
    requests: Mutex<Entries>,
    more: Notify,
}

#[derive(Default)]
struct Entries {
    list: Vec<Request>,
    /// How many were forgotten, so that a late answer finds its entry or none.
    forgotten: usize,
}

impl Log {
    /// Writes a request down; returns its number.
    pub(super) fn add(&self, request: Request) -> usize {
        let number = {
            let mut entries = self.requests.lock().expect("no holder panics");
            entries.list.push(request);
            entries.forgotten + entries.list.len() - 1
        };
        self.more.notify_waiters();
        number
    }

    pub(super) fn answered(&self, number: usize, status: u16) {
        self.add_to(number, |entry| entry.status = Some(status));
    }

    pub(super) fn sent(&self, number: usize, sent: Sent) {
        self.add_to(number, |entry| entry.sent = Some(sent));
    }

    fn add_to(&self, number: usize, add: impl FnOnce(&mut Request)) {
        let mut entries = self.requests.lock().expect("no holder panics");
        let index = number.checked_sub(entries.forgotten);
        if let Some(entry) = index.and_then(|index| entries.list.get_mut(index)) {
            add(entry);
        }
    }

    pub(super) fn all(&self) -> Vec<Request> {
        self.requests.lock().expect("no holder panics").list.clone()
    }

    pub(super) fn clear(&self) {
        let mut entries = self.requests.lock().expect("no holder panics");
        entries.forgotten += entries.list.len();
        entries.list.clear();
    }

    /// Waits for a request that fits; one that came before counts.
    pub(super) async fn until(&self, fits: impl Fn(&Request) -> bool) -> Request {
        loop {
            let mut more = std::pin::pin!(self.more.notified());
            more.as_mut().enable();
            if let Some(found) = self.all().into_iter().find(|request| fits(request)) {
                return found;
            }
            more.await;
        }
    }
}
