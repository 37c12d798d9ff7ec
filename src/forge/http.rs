//! The one door to a forge's API: it sends the token to one origin only, follows no redirect away from it, tries again
//! what is transient, keeps to the server's limits, and turns everything that is no success into a [`Failure`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, LOCATION};
use reqwest::{Client, Method, Response, StatusCode};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::cache::{PageCache, fingerprint};
use super::{Connection, OnRetry, client, limits, status};
use crate::failure::{Failure, Reason};
use crate::retry::Policy;
use crate::secret::Secret;
use crate::url::Origin;

/// GitHub needs one for a renamed repository; more than a few is a circle.
const MOST_REDIRECTS: usize = 4;

/// No page of a listing comes near; a server that never stops sending must not fill the memory.
const LONGEST_BODY: usize = 64 << 20;

/// How a forge wants to be shown the token.
#[derive(Debug, Clone, Copy)]
pub(super) enum Auth {
    /// `Authorization: Bearer …` (GitHub: personal, app and OAuth tokens alike).
    Bearer,
    /// `PRIVATE-TOKEN: …` (GitLab: personal, group and project access tokens).
    PrivateToken,
    /// `Authorization: token …` (Gitea and Forgejo).
    Token,
}

/// One forge's API as one source talks to it.
pub(super) struct Api {
    client: Client,
    base: Url,
    origin: Origin,
    auth: Option<(HeaderName, HeaderValue)>,
    timeout: Duration,
    policy: Policy,
    cancel: CancellationToken,
    on_retry: OnRetry,
    /// When the server will answer again, after it said that the limit is used up.
    closed_until: Mutex<Option<Instant>>,
    pub(super) cache: Arc<PageCache>,
    /// What tells this reader's pages in the cache from another's.
    pub(super) reader: String,
}

/// One request.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) body: Option<&'a Value>,
    /// The ETag of what we have already; the answer may then be 304.
    pub(super) etag: Option<&'a str>,
}

impl Ask<'_> {
    /// A plain GET.
    pub(super) fn get(url: Url) -> Self {
        Ask { method: Method::GET, url, body: None, etag: None }
    }

    /// How failures name it.
    fn name(&self) -> String {
        format!("{} {}", self.method, self.url)
    }
}

/// A success, or 304 where an ETag was sent.
#[derive(Debug)]
pub(super) struct Answer {
    what: String,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    /// The body as `T`.
    ///
    /// # Errors
    /// `server_error` with the body's beginning when it has another shape.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let why = format!("the answer has another shape than the API promises ({error})");
            status::nonsense(&self.what, &why, &self.headers, &self.body)
        })
    }
}

impl Api {
    /// A door to the API of `connection`; nothing is sent yet.
    pub(super) fn new(connection: &Connection, auth: Auth) -> Result<Self, Failure> {
        let base = connection.api_url.clone();
        let origin = Origin::of(&base)
            .ok_or_else(|| Failure::new(Reason::Unknown, format!("the API's address {base} has no host")))?;
        let client =
            client::build(&base, connection.ca_file.as_deref(), connection.proxy.as_ref(), connection.timeout)?;
        let token = connection.token.as_ref();
        let transport = if connection.transport_ssh { "ssh" } else { "https" };
        let reader = fingerprint(&[
            &connection.source_id,
            base.as_str(),
            token.map_or("", Secret::expose),
            transport,
            env!("CARGO_PKG_VERSION"),
        ]);
        Ok(Api {
            client,
            base,
            origin,
            auth: token.map(|token| header(auth, token)).transpose()?,
            timeout: connection.timeout,
            policy: connection.policy,
            cancel: connection.cancel.clone(),
            on_retry: connection.on_retry.clone(),
            closed_until: Mutex::new(None),
            cache: connection.cache.clone(),
            reader,
        })
    }

    /// Whether a token is sent.
    pub(super) fn has_token(&self) -> bool {
        self.auth.is_some()
    }

    /// The URL of an endpoint: each segment becomes one path segment, whatever is in it.
    pub(super) fn url(&self, segments: &[&str], query: &[(&str, &str)]) -> Url {
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
    pub(super) fn check_origin(&self, url: &Url, said_by: &str) -> Result<(), Failure> {
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
    pub(super) async fn get<T: DeserializeOwned>(&self, url: Url) -> Result<T, Failure> {
        self.send(&Ask::get(url)).await?.json()
    }

    /// Sends a request, again where that may help, and returns a success (or a 304 that was asked for).
    ///
    /// # Errors
    /// Every other answer, and everything below HTTP; `cancelled` when the run was stopped meanwhile.
    pub(super) async fn send(&self, ask: &Ask<'_>) -> Result<Answer, Failure> {
        let mut schedule = self.policy.start();
        loop {
            self.wait_for_reset().await?;
            let failure = match self.follow(ask).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            // A POST that broke off may have done its work; one that was refused has not.
            if !ask.method.is_idempotent() && failure.reason != Reason::RateLimited {
                return Err(failure);
            }
            match schedule.next(&failure) {
                Some(wait) => self.pause(&failure, wait).await?,
                None => return Err(failure),
            }
        }
    }

    /// Sends a request once and follows redirects within our origin.
    async fn follow(&self, ask: &Ask<'_>) -> Result<Answer, Failure> {
        let what = ask.name();
        let mut url = ask.url.clone();
        for _ in 0..=MOST_REDIRECTS {
            self.check_origin(&url, "a link")?;
            let response = self.cancellable(self.request(ask, &url)).await?.map_err(|e| self.broken(&what, e))?;
            let status = response.status();
            if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
                return self.answer(what, response, ask.etag.is_some()).await;
            }
            url = self.redirected(&what, &ask.method, &url, &response)?;
        }
        Err(Failure::new(Reason::ServerError, format!("{what}: more than {MOST_REDIRECTS} redirects")))
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

    /// Where a redirect leads: on our origin, or it is a failure and nothing is sent.
    fn redirected(&self, what: &str, method: &Method, from: &Url, response: &Response) -> Result<Url, Failure> {
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let to = location
            .and_then(|text| from.join(text).ok())
            .ok_or_else(|| Failure::new(Reason::ServerError, format!("{what}: a redirect to nowhere")))?;
        self.check_origin(&to, "a redirect")?;
        // 301, 302 and 303 let a client turn the request into a GET, which is not what was meant.
        let keeps_method = matches!(response.status().as_u16(), 307 | 308);
        if method.is_safe() || keeps_method {
            return Ok(to);
        }
        Err(Failure::new(Reason::RemoteNotFound, format!("{what}: moved to {to}")))
    }

    /// Reads the body and judges the whole.
    async fn answer(&self, what: String, mut response: Response, asked_with_etag: bool) -> Result<Answer, Failure> {
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = self.cancellable(response.chunk()).await?.map_err(|error| self.broken(&what, error))? {
            body.extend_from_slice(&chunk);
            if body.len() > LONGEST_BODY {
                let text = format!("{what}: the answer is longer than {} MiB", LONGEST_BODY >> 20);
                return Err(Failure::new(Reason::ServerError, text));
            }
        }
        if limits::used_up(&headers) {
            self.close(limits::reset(&headers, Timestamp::now()));
        }
        match status {
            StatusCode::NOT_MODIFIED if asked_with_etag => {}
            StatusCode::NOT_MODIFIED => {
                return Err(status::nonsense(&what, "a 304 that was not asked for", &headers, &body));
            }
            // Not JSON may be a proxy's or a login page, or a server that is just starting: worth another try.
            status if status.is_success() => {
                if !body.is_empty() && serde_json::from_slice::<IgnoredAny>(&body).is_err() {
                    return Err(status::nonsense(&what, "the answer is not JSON", &headers, &body));
                }
            }
            _ => return Err(status::failure(&what, status, &headers, &body, self.has_token())),
        }
        Ok(Answer { what, status, headers, body })
    }

    fn close(&self, wait: Option<Duration>) {
        let until = wait.and_then(|wait| Instant::now().checked_add(wait));
        *self.closed_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// Waits for the reset of a limit that is used up, when that is within our patience.
    async fn wait_for_reset(&self) -> Result<(), Failure> {
        let until = self.closed_until.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(wait) = until.map(|until| until.saturating_duration_since(Instant::now())) else { return Ok(()) };
        if wait.is_zero() {
            return Ok(());
        }
        let text = format!("{}: the limit of requests is used up for {} s", self.origin, wait.as_secs());
        let failure = Failure::new(Reason::RateLimited, text).with_retry_after(Some(wait));
        if wait > self.policy.patience {
            self.close(Some(wait));
            return Err(failure);
        }
        self.pause(&failure, wait).await
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
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::forge::testing::{Asked, Reply, Server, TOKEN, connection, router};

    type Heard = Arc<Mutex<Vec<(Reason, Duration)>>>;

    /// Hears of retries and lets the clock jump over their waits: it is paused while nobody talks to anybody.
    fn listen(connection: &mut Connection) -> Heard {
        let heard = Heard::default();
        let log = heard.clone();
        connection.on_retry = Arc::new(move |failure, wait| {
            log.lock().unwrap().push((failure.reason, wait));
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
        assert_eq!(failure.reason, Reason::Held);
        for url in [&server.url, &other.url] {
            assert!(failure.message.contains(url.as_str().trim_end_matches('/')), "{}", failure.message);
        }
        assert_eq!((other.asked().len(), server.asked().len()), (0, 1));
    }

    #[tokio::test]
    async fn a_circle_of_redirects_ends() {
        let server = Server::start(|_| Reply::new(302, "").with("location", "/x")).await;
        let mut connection = connection(&server.url);
        connection.policy.tries = 1;
        assert_eq!(get(&connection, "x").await.unwrap_err().reason, Reason::ServerError);
        assert_eq!(server.asked().len(), MOST_REDIRECTS + 1);
    }

    #[tokio::test]
    async fn a_post_is_not_turned_into_a_get_by_a_redirect_and_not_repeated_after_a_failure() {
        let server = in_turn(vec![Reply::new(301, "").with("location", "/new"), Reply::new(502, "")]).await;
        let api = Api::new(&connection(&server.url), Auth::Bearer).unwrap();
        let body = serde_json::json!({"name": "x"});
        let ask = Ask { method: Method::POST, body: Some(&body), ..Ask::get(api.url(&["x"], &[])) };
        assert_eq!(api.send(&ask).await.unwrap_err().reason, Reason::RemoteNotFound);
        assert_eq!(api.send(&ask).await.unwrap_err().reason, Reason::ServerError);
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
            assert_eq!((failure.reason, failure.evidence.as_deref()), (reason, Some("because")));
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
        assert_eq!((failure.reason, failure.retry_after), (Reason::RateLimited, Some(Duration::from_secs(3600))));
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
            assert!(failure.reason == Reason::RateLimited && failure.retry_after > Some(Duration::from_secs(2900)));
        }
        assert_eq!(server.asked().len(), 1);
    }

    #[tokio::test]
    async fn html_and_other_shapes_are_a_server_error_with_a_quote_and_without_the_token() {
        let html = format!("<html>\n<h1>Bad day</h1> your token {TOKEN}</html>");
        let server = in_turn(vec![Reply::new(200, html).with("content-type", "text/html")]).await;
        let failure = get(&connection(&server.url), "x").await.unwrap_err();
        assert_eq!(failure.reason, Reason::ServerError);
        assert_eq!(failure.evidence.unwrap(), "text/html: <html> <h1>Bad day</h1> your token ***</html>");
        let server = in_turn(vec![Reply::new(200, r#"{"a":1}"#)]).await;
        let api = Api::new(&connection(&server.url), Auth::Bearer).unwrap();
        let failure = api.get::<Vec<u8>>(api.url(&["x"], &[])).await.unwrap_err();
        assert_eq!(
            (failure.reason, failure.evidence.unwrap().as_str()),
            (Reason::ServerError, r#"no content type: {"a":1}"#)
        );
    }

    #[tokio::test]
    async fn a_304_that_nobody_asked_for_is_a_failure() {
        let server = in_turn(vec![Reply::new(304, "")]).await;
        assert_eq!(get(&connection(&server.url), "x").await.unwrap_err().reason, Reason::ServerError);
    }

    #[tokio::test]
    async fn no_connection_and_a_broken_one_are_network_failures() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        drop(listener);
        assert_eq!(get(&connection(&url), "x").await.unwrap_err().reason, Reason::NetworkFailed);

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
        assert_eq!(get(&connection(&url), "x").await.unwrap_err().reason, Reason::NetworkFailed);
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
        assert_eq!(stopped.unwrap_err().reason, Reason::Cancelled);
        connection.cancel = CancellationToken::new();
        connection.timeout = Duration::from_millis(50);
        assert_eq!(get(&connection, "x").await.unwrap_err().reason, Reason::TimedOut);
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
        assert_eq!(failure.reason, Reason::TlsFailed, "{failure}");
        assert!(asked.lock().unwrap().is_empty());

        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), cert).unwrap();
        connection.ca_file = Some(file.path().to_owned());
        assert_eq!(get(&connection, "x").await.unwrap(), 1);
    }
}
