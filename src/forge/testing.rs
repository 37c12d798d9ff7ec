//! A server on this machine that answers as a test says, and remembers what it was asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Response};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::base::failure::Failure;
use crate::base::hosts::Hosts;
use crate::base::retry::Policy;
use crate::base::secret::Secret;
use crate::forge::{Connection, Listing, PageCache, Source, open};
use crate::model::ForgeKind;

/// The token that every test connection sends.
pub const TOKEN: &str = "canary-token-0123456789";

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: HeaderMap,
    /// The body as JSON; null when it was none.
    pub body: Value,
    /// The body as it came.
    pub bytes: Vec<u8>,
    /// Where we are, `http://127.0.0.1:PORT`, for links.
    pub base: String,
}

impl Asked {
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    /// A parameter of the query.
    pub fn query(&self, name: &str) -> Option<String> {
        let url = Url::parse(&format!("{}{}", self.base, self.target)).unwrap();
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// The number of the page asked for.
    pub fn page(&self) -> usize {
        self.query("page").map_or(1, |page| page.parse().unwrap())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// An answer in the making.
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Reply { status, headers: vec![], body: body.into() }
    }

    pub fn json(body: &Value) -> Self {
        Reply::new(200, body.to_string()).with("content-type", "application/json")
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// A server that lives as long as its test.
pub struct Server {
    pub url: Url,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Starts a server that answers by `reply`.
    pub async fn start(reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let url = Url::parse(&base).unwrap();
        let (router, asked) = router(base, reply);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Server { url, asked }
    }

    /// Answers each path (without its query) with its JSON, anything else with 404.
    pub async fn with(answers: &[(&str, Value)]) -> Self {
        let answers: HashMap<String, Value> = answers.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        Server::start(move |asked| match answers.get(asked.path()) {
            Some(Value::Array(_)) if asked.page() > 1 => Reply::json(&Value::Array(vec![])),
            Some(body) => Reply::json(body),
            None => not_found(),
        })
        .await
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// What it was asked to change so far: method and path.
    pub fn changes(&self) -> Vec<String> {
        let changes = self.asked().into_iter().filter(|asked| asked.method != "GET");
        changes.map(|asked| format!("{} {}", asked.method, asked.path())).collect()
    }

    /// Path and query of what it was asked so far.
    pub fn targets(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.target).collect()
    }
}

/// What answers and remembers, for a server of another kind (TLS).
pub fn router(
    base: String,
    reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
) -> (Router, Arc<Mutex<Vec<Asked>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (log, reply) = (asked.clone(), Arc::new(reply));
    let router = Router::new().fallback(move |request: Request| {
        let (base, log, reply) = (base.clone(), log.clone(), reply.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            let asked = Asked {
                method: head.method.to_string(),
                target: head.uri.path_and_query().unwrap().to_string(),
                body: match is_json(&head.headers) && !body.is_empty() {
                    true => serde_json::from_slice(&body).unwrap(),
                    false => Value::Null,
                },
                bytes: body.to_vec(),
                headers: head.headers,
                base,
            };
            let answer = reply(&asked);
            log.lock().unwrap().push(asked);
            let mut response = Response::builder().status(answer.status);
            for (name, value) in &answer.headers {
                response = response.header(name, value);
            }
            response.body(Body::from(answer.body)).unwrap()
        }
    });
    (router, asked)
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}

pub fn not_found() -> Reply {
    Reply::new(404, r#"{"message":"Not Found"}"#)
}

/// A connection to `url` that tries three times without waiting.
pub fn connection(url: &Url) -> Connection {
    Connection {
        source_id: "test".into(),
        api_url: url.clone(),
        token: Some(Secret::new(TOKEN)),
        owners: vec![],
        ca_file: None,
        proxy: None,
        timeout: Duration::from_secs(20),
        policy: Policy {
            tries: 3,
            first_wait: Duration::ZERO,
            longest_wait: Duration::ZERO,
            patience: Duration::from_secs(60),
        },
        gate: Hosts::new(8, None).api(url),
        transport_ssh: false,
        api_host: false,
        cache: Arc::new(PageCache::default()),
        cancel: CancellationToken::new(),
        on_retry: Arc::new(|_, _| ()),
    }
}

/// Lists everything, as `kind`, from `connection`.
pub async fn list(kind: ForgeKind, connection: Connection) -> Result<Listing, Failure> {
    open::source(kind, connection)?.list(&|_| ()).await
}

/// A source of `kind` at `server` for these owners.
pub fn source(kind: ForgeKind, server: &Server, owners: &[&str]) -> Box<dyn Source> {
    let owners = owners.iter().map(|owner| (*owner).to_owned()).collect();
    open::source(kind, Connection { owners, ..connection(&server.url) }).unwrap()
}

/// The paths of the repositories listed, in order.
pub fn paths(listing: &Listing) -> Vec<String> {
    listing.repos.iter().map(|repo| repo.path.to_string()).collect()
}

/// The names of what was refused, in order.
pub fn refused(listing: &Listing) -> Vec<&str> {
    listing.refused.iter().map(|refused| refused.what.as_str()).collect()
}

/// A JSON file under `testdata/forge`.
pub fn sample(name: &str) -> Value {
    let path = format!("{}/testdata/forge/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))).unwrap()
}

/// Where the recorded server stood.
const RECORDED_AT: &str = "http://127.0.0.1:41300";

/// Plays back one exchange recorded from a Gitea, moved to where we are.
pub fn recorded(asked: &Asked, name: &str) -> Reply {
    replayed(asked, &sample(&format!("gitea/{name}.json")))
}

/// Plays back a recording.
pub fn replayed(asked: &Asked, recording: &Value) -> Reply {
    let response = &recording["response"];
    let body = match &response["body"] {
        Value::Null => String::new(),
        // A page for people.
        Value::String(text) => text.clone(),
        json => json.to_string(),
    };
    let status = u16::try_from(response["status"].as_u64().unwrap()).unwrap();
    Reply::new(status, body.replace(RECORDED_AT, &asked.base))
}
