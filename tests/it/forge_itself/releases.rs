//! The forge's releases, asked of with a plain HTTP client.

mod by_hand;
mod bytes;
mod contract;
mod faults;
mod gitea;
mod github;
mod gitlab;

use reqwest::header::HeaderMap;
use reqwest::{Client, Method};
use serde_json::Value;

use crate::support::{Forge, Repo};

/// An answer, read to its end.
struct Answer {
    status: u16,
    headers: HeaderMap,
    bytes: Vec<u8>,
}

impl Answer {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    #[track_caller]
    fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

/// A request with a token in GitHub's and Gitea's way, which GitLab takes too.
async fn call(method: &str, url: &str, token: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let mut request = client.request(Method::from_bytes(method.as_bytes()).unwrap(), url).body(body);
    if !token.is_empty() {
        request = request.bearer_auth(token);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    // A body that breaks off counts as far as it came.
    let (mut bytes, mut response) = (Vec::new(), response);
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes.extend_from_slice(&chunk);
    }
    Answer { status, headers, bytes }
}

async fn get(url: &str, token: &str) -> Answer {
    call("GET", url, token, &[], Vec::new()).await
}

/// A request with JSON.
async fn send(method: &str, url: &str, token: &str, body: Value) -> Answer {
    call(method, url, token, &[("content-type", "application/json")], body.to_string().into_bytes()).await
}

/// A form with one part, as Gitea wants its attachments.
async fn attach(url: &str, token: &str, bytes: &[u8]) -> Answer {
    let head = "--xxBOUNDxx\r\nContent-Disposition: form-data; name=\"attachment\"; filename=\"of-form\"\r\n\
                Content-Type: application/octet-stream\r\n\r\n";
    let body = [head.as_bytes(), bytes, b"\r\n--xxBOUNDxx--\r\n"].concat();
    call("POST", url, token, &[("content-type", "multipart/form-data; boundary=xxBOUNDxx")], body).await
}

/// A forge with the repository `acme/alpha`, which has a commit and the tag `v1`.
async fn forge_with_tag() -> (Forge, Repo) {
    let forge = Forge::start().await;
    let alpha = forge.repo("acme/alpha").branch("main").tag("v1");
    (forge, alpha)
}
