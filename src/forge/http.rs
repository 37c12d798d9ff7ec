//! The one door to a forge's API: it sends the token to one origin only, follows no redirect away from it, tries again
//! what is transient, keeps to the server's limits, and turns everything that is no success into a [`Failure`].

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, LOCATION};
use reqwest::{Client, Method, Response, StatusCode};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::base::client;
use crate::base::failure::{Failure, Reason};
use crate::base::hosts::Gate;
use crate::base::retry::Policy;
use crate::base::secret::Secret;
use crate::base::url::Origin;
use crate::forge::http::cache::{PageCache, fingerprint, reader};
use crate::forge::{Connection, OnRetry};

pub(in crate::forge) mod cache;
mod fetch;
mod files;
pub(in crate::forge) mod limits;
pub(in crate::forge) mod paging;
pub(in crate::forge) mod status;

pub(in crate::forge) use {fetch::FileRequest, files::Files, files::Parcel};

/// GitHub needs one for a renamed repository; more than a few is a circle.
const MOST_REDIRECTS: usize = 4;

/// No page of a listing comes near; a server that never stops sending must not fill the memory.
const LONGEST_BODY: usize = 64 << 20;

/// How many times the longest silence an answer may take in all: one that trickles must not go on for ever.
const SILENCES: u32 = 5;
/// Goes up when what is made of a page has another shape.
const SHAPE: &str = "2";

/// How a forge wants to be shown the token.
#[derive(Debug, Clone, Copy)]
pub(in crate::forge) enum Auth {
    /// `Authorization: Bearer …` (GitHub: personal, app and OAuth tokens alike).
    Bearer,
    /// `PRIVATE-TOKEN: …` (GitLab: personal, group and project access tokens).
    PrivateToken,
    /// `Authorization: token …` (Gitea and Forgejo).
    Token,
}

/// One forge's API as one source talks to it.
pub(in crate::forge) struct Api {
    client: Client,
    base: Url,
    origin: Origin,
    auth: Option<(HeaderName, HeaderValue)>,
    token: Option<Secret>,
    timeout: Duration,
    policy: Policy,
    gate: Arc<Gate>,
    cancel: CancellationToken,
    on_retry: OnRetry,
    /// Stands for the token where limits are kept: forges count the requests of each user.
    credential: String,
    pub(in crate::forge) cache: Arc<PageCache>,
    /// What tells this reader's pages in the cache from another's.
    pub(in crate::forge) reader: String,
}

/// One request.
pub(in crate::forge) struct Ask<'a> {
    pub(in crate::forge) method: Method,
    pub(in crate::forge) url: Url,
    pub(in crate::forge) body: Option<&'a Value>,
    /// The ETag of what we have already; the answer may then be 304.
    pub(in crate::forge) etag: Option<&'a str>,
    /// Doing it twice is doing it once, so that it may be sent again after it broke off.
    pub(in crate::forge) repeatable: bool,
}

impl<'a> Ask<'a> {
    /// A plain GET.
    pub(in crate::forge) fn get(url: Url) -> Self {
        Ask { method: Method::GET, url, body: None, etag: None, repeatable: true }
    }

    /// A request that changes something: all but POST are taken to set what they name to a value.
    pub(in crate::forge) fn change(method: Method, url: Url, body: Option<&'a Value>) -> Self {
        let repeatable = method != Method::POST;
        Ask { method, url, body, etag: None, repeatable }
    }

    /// The same, for a POST that does no harm when it is sent twice.
    pub(in crate::forge) fn repeatable(self) -> Self {
        Ask { repeatable: true, ..self }
    }

    /// How failures name it: of the query a person needs only the page of a listing.
    fn name(&self) -> String {
        let page = self.url.query_pairs().find(|(key, _)| key == "page");
        let page = page.map_or(String::new(), |(_, number)| format!(" (page {number})"));
        format!("{} {}{page}", self.method, shown(&self.url))
    }
}

/// A success, or 304 where an ETag was sent.
#[derive(Debug)]
pub(in crate::forge) struct Answer {
    what: String,
    pub(in crate::forge) status: StatusCode,
    pub(in crate::forge) headers: HeaderMap,
    body: Vec<u8>,
}

/// A request that came to nothing, with what the server answered, where it did.
#[derive(Debug)]
pub(in crate::forge) struct Refusal {
    pub(in crate::forge) failure: Failure,
    /// Of the server's last answer; `None` where there was none.
    pub(in crate::forge) status: Option<StatusCode>,
    /// All that the server said in JSON, for recognising; `None` when it was no JSON.
    pub(in crate::forge) words: Option<String>,
}

impl Refusal {
    /// Whether the API itself says that there is no such thing: a proxy's 404 page does not count.
    pub(in crate::forge) fn is_missing(&self) -> bool {
        self.status == Some(StatusCode::NOT_FOUND) && self.words.as_ref().is_some_and(|words| !words.is_empty())
    }

    /// The same refusal; a 404 that is not the API's own proves nothing, and is no longer called `remote_not_found`.
    fn doubted(mut self) -> Self {
        let says_so = matches!(self.status, Some(StatusCode::NOT_FOUND | StatusCode::GONE));
        if says_so && !self.is_missing() && self.failure.reason() == Reason::RemoteNotFound {
            let text = format!("{}: not the API's own words", self.failure.message());
            self.failure = self.failure.with_reason(Reason::ServerError).with_message(text).with_hint(
                "see whether `api_url` is the API's base, and whether a proxy answers in the server's place.",
            );
        }
        self
    }

    /// Whether the server's words, whatever their case, have `part` (lower case) in them.
    pub(in crate::forge) fn says(&self, part: &str) -> bool {
        self.words.as_ref().is_some_and(|words| words.to_lowercase().contains(part))
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Refusal { failure, status: None, words: None }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        refusal.failure
    }
}

impl Answer {
    /// The body as `T`.
    ///
    /// # Errors
    /// `server_error` with the body's beginning when it has another shape.
    pub(in crate::forge) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let why = format!("the answer has another shape than the API promises ({error})");
            status::nonsense(&self.what, &why, &self.headers, &self.body)
        })
    }
}

impl Api {
    /// A door to the API of `connection`; nothing is sent yet.
    pub(in crate::forge) fn new(connection: &Connection, auth: Auth) -> Result<Self, Failure> {
        let base = connection.api_url.clone();
        let origin = Origin::of(&base)
            .ok_or_else(|| Failure::new(Reason::Unknown, format!("the API's address {base} has no host")))?;
        let client =
            client::build(&base, connection.ca_file.as_deref(), connection.proxy.as_ref(), connection.timeout)?;
        let token = connection.token.as_ref();
        let transport = match (connection.transport_ssh, connection.api_host) {
            (true, _) => "ssh",
            (false, true) => "https at the API's host",
            (false, false) => "https",
        };
        let secret = token.map_or("", Secret::expose);
        let credential = fingerprint(&[secret]);
        let reader =
            reader(&[&connection.source_id, base.as_str(), transport], &[secret, SHAPE, env!("CARGO_PKG_VERSION")]);
        Ok(Api {
            client,
            base,
            origin,
            auth: token.map(|token| header(auth, token)).transpose()?,
            token: connection.token.clone(),
            timeout: connection.timeout,
            policy: connection.policy,
            gate: connection.gate.clone(),
            cancel: connection.cancel.clone(),
            on_retry: connection.on_retry.clone(),
            credential,
            cache: connection.cache.clone(),
            reader,
        })
    }

    /// Whether a token is sent.
    pub(in crate::forge) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// The URL of an endpoint: each segment becomes one path segment, whatever is in it.
    pub(in crate::forge) fn url(&self, segments: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        // Only `mailto:` and its like have no segments, and those have no host either.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Refuses a URL that is not on this API's origin: the token and the trust end there.
    pub(in crate::forge) fn check_origin(&self, url: &Url, said_by: &str) -> Result<(), Failure> {
        let other = match Origin::of(url) {
            Some(origin) if origin == self.origin => return Ok(()),
            Some(origin) => origin.to_string(),
            None => "something without a host".to_owned(),
        };
        let text = format!("{said_by} of {} leads to {other}: not followed", self.origin);
        Err(Failure::new(Reason::Held, text).with_hint(format!(
            "if {other} is the same forge, give the address it uses for itself as `api_url`; else ask its operator."
        )))
    }

    /// Sends a GET and reads its answer as `T`.
    ///
    /// # Errors
    /// As [`Api::send`], and `server_error` for an answer of another shape.
    pub(in crate::forge) async fn get<T: DeserializeOwned>(&self, url: Url) -> Result<T, Failure> {
        self.send(&Ask::get(url)).await?.json()
    }

    /// A GET; `None` when the API itself says that there is no such thing. Every other answer, and a 404 that is not the
    /// API's own, is a failure: it leaves the question open.
    pub(in crate::forge) async fn look(&self, url: Url) -> Result<Option<Answer>, Failure> {
        match self.attempt(&Ask::get(url)).await {
            Ok(answer) => Ok(Some(answer)),
            Err(refusal) if refusal.is_missing() => Ok(None),
            Err(refusal) => Err(refusal.failure),
        }
    }

    /// Sends a request, again where that may help, and returns a success (or a 304 that was asked for).
    ///
    /// # Errors
    /// Every other answer, and everything below HTTP; `cancelled` when the run was stopped meanwhile.
    pub(in crate::forge) async fn send(&self, ask: &Ask<'_>) -> Result<Answer, Failure> {
        self.attempt(ask).await.map_err(Failure::from)
    }

    /// As [`Api::send`], for a caller to whom the server's refusal says something.
    pub(in crate::forge) async fn attempt(&self, ask: &Ask<'_>) -> Result<Answer, Refusal> {
        self.persist(ask).await.map_err(Refusal::doubted)
    }

    /// Sends a request until it is answered or trying again is of no use.
    async fn persist(&self, ask: &Ask<'_>) -> Result<Answer, Refusal> {
        let mut schedule = self.policy.start();
        loop {
            self.wait_for_reset().await?;
            let refusal = match self.follow(ask).await {
                Ok(answer) => return Ok(answer),
                Err(refusal) => refusal,
            };
            // What broke off may have done its work; what was refused has not.
            if !ask.repeatable && refusal.failure.reason() != Reason::RateLimited {
                return Err(refusal);
            }
            match schedule.next(&refusal.failure) {
                Some(wait) => self.pause(&refusal.failure, wait).await?,
                None => return Err(refusal),
            }
        }
    }

    /// Sends a request once and follows redirects within our origin.
    async fn follow(&self, ask: &Ask<'_>) -> Result<Answer, Refusal> {
        let what = ask.name();
        let (mut url, mut said_by) = (ask.url.clone(), "a link");
        for _ in 0..=MOST_REDIRECTS {
            self.check_origin(&url, said_by)?;
            let pass = self.cancellable(self.gate.enter()).await?;
            let response = self.cancellable(self.request(ask, &url)).await?.map_err(|e| self.broken(&what, e))?;
            let status = response.status();
            if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
                let answer = self.answer(what, response, ask.etag.is_some()).await;
                match &answer {
                    // GitHub says so with 403, too.
                    Err(refusal) if refusal.failure.reason() == Reason::RateLimited => pass.pressed(),
                    _ => pass.answered(status.as_u16()),
                }
                return answer;
            }
            (url, said_by) = (redirected(&what, &ask.method, &url, &response)?, "a redirect");
        }
        Err(Failure::new(Reason::ServerError, format!("{what}: more than {MOST_REDIRECTS} redirects")).into())
    }

    async fn request(&self, ask: &Ask<'_>, url: &Url) -> Result<Response, reqwest::Error> {
        let mut request = self.client.request(ask.method.clone(), url.clone()).header(ACCEPT, "application/json");
        if let Some((name, value)) = &self.auth {
            request = request.header(name, value);
        }
        if let Some(etag) = ask.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        if let Some(body) = ask.body {
            request = request.json(body);
        }
        tracing::debug!(method = %ask.method, %url, "asking the forge");
        request.send().await
    }

    /// Reads the body and judges the whole.
    async fn answer(&self, what: String, mut response: Response, asked_with_etag: bool) -> Result<Answer, Refusal> {
        let (status, headers) = (response.status(), response.headers().clone());
        let limit = self.timeout.saturating_mul(SILENCES);
        let body = match tokio::time::timeout(limit, self.body(&what, &mut response)).await {
            Ok(body) => body?,
            Err(_) => {
                let text = format!("{what}: the answer was not whole after {} s", limit.as_secs_f32());
                return Err(Failure::new(Reason::TimedOut, text).into());
            }
        };
        if limits::used_up(&headers) {
            self.close(limits::reset(&headers, Timestamp::now()));
        }
        match status {
            StatusCode::NOT_MODIFIED if asked_with_etag => {}
            StatusCode::NOT_MODIFIED => {
                return Err(status::nonsense(&what, "a 304 that was not asked for", &headers, &body).into());
            }
            // Not JSON may be a proxy's or a login page, or a server that is just starting: worth another try.
            status if status.is_success() => {
                if !body.is_empty() && serde_json::from_slice::<IgnoredAny>(&body).is_err() {
                    return Err(status::nonsense(&what, "the answer is not JSON", &headers, &body).into());
                }
            }
            _ => {
                let failure = status::failure(&what, status, &headers, &body, self.token.as_ref());
                return Err(Refusal { failure, status: Some(status), words: status::words(&body) });
            }
        }
        Ok(Answer { what, status, headers, body })
    }

    async fn body(&self, what: &str, response: &mut Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = self.cancellable(response.chunk()).await?.map_err(|error| self.broken(what, error))? {
            body.extend_from_slice(&chunk);
            if body.len() > LONGEST_BODY {
                let text = format!("{what}: the answer is longer than {} MiB", LONGEST_BODY >> 20);
                return Err(Failure::new(Reason::ServerError, text));
            }
        }
        Ok(body)
    }

    fn close(&self, wait: Option<Duration>) {
        self.gate.close(&self.credential, wait);
    }

    /// Waits for the reset of a limit that is used up, when that is within our patience.
    async fn wait_for_reset(&self) -> Result<(), Failure> {
        // Another may have found it used up anew while this one waited.
        while let Some(closed) = self.gate.closed(&self.credential) {
            let text =
                format!("{}: the limit of requests is used up {}", self.origin, limits::until_reset(closed.wait));
            let failure = Failure::new(Reason::RateLimited, text).with_retry_after(Some(closed.wait));
            if closed.wait > self.policy.patience {
                return Err(failure);
            }
            // All who have to wait do so, and the first one says it.
            if closed.is_news {
                (self.on_retry)(&failure, closed.wait);
            }
            self.cancellable(tokio::time::sleep(closed.wait)).await?;
        }
        Ok(())
    }

    /// The one place that waits before another try, and says so.
    async fn pause(&self, failure: &Failure, wait: Duration) -> Result<(), Failure> {
        (self.on_retry)(failure, wait);
        self.cancellable(tokio::time::sleep(wait)).await
    }

    async fn cancellable<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            () = self.cancel.cancelled() => {
                Err(Failure::new(Reason::Cancelled, format!("asking {} was stopped", self.origin)))
            }
            done = work => Ok(done),
        }
    }

    fn broken(&self, what: &str, error: reqwest::Error) -> Failure {
        client::failure(what, error, self.timeout)
    }
}

/// How texts show a URL: without its query, which is long, and a credential where a storage has signed it.
pub(in crate::forge) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

/// Where a redirect leads; a request that it would change into another one does not go there.
fn redirected(what: &str, method: &Method, from: &Url, response: &Response) -> Result<Url, Failure> {
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let to = location
        .and_then(|text| from.join(text).ok())
        .ok_or_else(|| Failure::new(Reason::ServerError, format!("{what}: a redirect to nowhere")))?;
    // 301, 302 and 303 let a client turn the request into a GET, which is not what was meant.
    let keeps_method = matches!(response.status().as_u16(), 307 | 308);
    if method.is_safe() || keeps_method {
        return Ok(to);
    }
    Err(Failure::new(Reason::RemoteNotFound, format!("{what}: moved to {}", shown(&to))))
}

fn header(auth: Auth, token: &Secret) -> Result<(HeaderName, HeaderValue), Failure> {
    let (name, text) = match auth {
        Auth::Bearer => (AUTHORIZATION, format!("Bearer {}", token.expose())),
        Auth::PrivateToken => (HeaderName::from_static("private-token"), token.expose().to_owned()),
        Auth::Token => (AUTHORIZATION, format!("token {}", token.expose())),
    };
    let mut value = HeaderValue::from_str(&text).map_err(|_| {
        Failure::new(Reason::AuthFailed, "the token has a character in it that cannot be sent in a header")
    })?;
    value.set_sensitive(true);
    Ok((name, value))
}

#[cfg(test)]
mod tests;
