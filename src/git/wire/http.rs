//! What all exchanges with a git server over HTTP have in common: a request sent, an answer read, and what a refusal means.
//!
//! Failures are told in the words that git has for them and go through the same table, so that a reason does not depend
//! on who asked.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE,
};
use reqwest::{Body, Client, RequestBuilder, Response, StatusCode};
use tokio::time::{Instant, sleep_until};

use super::Unhandled;
use super::listing::Trouble;
use super::packet::{BadLength, Packet, Packets};
use crate::base::client;
use crate::base::failure::{Failure, Reason};
use crate::base::secret::Credential;
use crate::base::speed::Speed;
use crate::git::look::{ENDLESS, LONGEST_LIST};
use crate::git::{Remote, classify};

/// How much of a refusal's text is read: git shows it to people.
const MOST_WORDS: usize = 16 << 10;
/// How much may follow a whole list before nobody listens any more.
pub(super) const MOST_BEHIND: usize = 64 << 10;
/// A command fails ([the reasons](crate::git#failures)) of an answer that ends early (git 2.47).
pub(super) const HUNG_UP: &str = "fatal: the remote end hung up unexpectedly";
/// What git (2.47) says when an answer ends before the report does.
pub(super) const PUSH_HUNG_UP: &str = "send-pack: unexpected disconnect while reading sideband packet\n\
                           fatal: the remote end hung up unexpectedly\n";

/// One remote, and the client to reach it with.
pub(super) struct Http<'a> {
    pub client: &'a Client,
    pub remote: &'a Remote,
    pub service: Service,
    /// The longest silence, for messages; the client or the pulse watches over it.
    pub idle: Duration,
    pub pulse: Pulse,
    pub speed: &'a Speed,
    /// What fails when it fails, for messages.
    pub what: &'a str,
}

/// What is asked of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// To tell refs and send objects.
    UploadPack,
    /// To take objects and move refs.
    ReceivePack,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Service::UploadPack => "git-upload-pack",
            Service::ReceivePack => "git-receive-pack",
        }
    }
}

/// The requests, of which git speaks in different words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    First,
    List,
    Pack,
    Push,
}

/// When something was heard or sent last.
#[derive(Debug, Clone)]
pub(super) struct Pulse(Arc<Mutex<Instant>>);

impl Pulse {
    pub fn new() -> Self {
        Pulse(Arc::new(Mutex::new(Instant::now())))
    }

    pub fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Comes back when nothing has moved for so long.
    pub async fn silence(&self, idle: Duration) {
        loop {
            let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner) + idle;
            if Instant::now() >= until {
                return;
            }
            sleep_until(until).await;
        }
    }
}

/// Why an exchange did not come to its end.
pub(super) enum Stop {
    Failed(Failure),
    Unhandled(Unhandled),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Stop::Failed(failure)
    }
}

impl From<Unhandled> for Stop {
    fn from(unhandled: Unhandled) -> Self {
        Stop::Unhandled(unhandled)
    }
}

pub(super) fn unhandled<T>(why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Unhandled(Unhandled(why.into())))
}

impl Http<'_> {
    /// The first request: what the server has, and what it can do.
    pub fn first(&self) -> RequestBuilder {
        let url = format!("{}/info/refs?service={}", self.base(), self.service.name());
        // As git does: nobody's cache may answer.
        self.client.get(url).header(ACCEPT, "*/*").header(PRAGMA, "no-cache")
    }

    /// Any later request.
    pub fn post(&self, body: impl Into<Body>) -> RequestBuilder {
        let name = self.service.name();
        let request = self.client.post(format!("{}/{name}", self.base())).body(body);
        let kind = |what: &str| format!("application/x-{name}-{what}");
        request.header(CONTENT_TYPE, kind("request")).header(ACCEPT, kind("result"))
    }

    /// The repository's URL without the slash that may end it.
    fn base(&self) -> String {
        self.remote.url.to_string().trim_end_matches('/').to_owned()
    }

    /// Sends a request; anything but an answer of status 200 and the right type is none.
    pub async fn ask(&self, mut request: RequestBuilder, step: Step) -> Result<Response, Stop> {
        // There is no version 2 of pushes.
        if self.service == Service::UploadPack {
            request = request.header("git-protocol", "version=2");
        }
        if let Some(credential) = self.remote.credential() {
            request = request.header(AUTHORIZATION, authorization(credential, self.what)?);
        }
        let answer = request.send().await.map_err(|error| self.broken(error))?;
        self.pulse.beat();
        match answer.status() {
            StatusCode::OK if self.is_of_kind(&answer, step) => Ok(answer),
            // A server of plain files, a login page, nothing at all: git tells them apart.
            StatusCode::OK => unhandled("the answer is not of git's type"),
            status => Err(self.refused(step, status, answer).await),
        }
    }

    fn is_of_kind(&self, answer: &Response, step: Step) -> bool {
        let kind = match step {
            Step::First => "advertisement",
            Step::List | Step::Pack => "result",
            // What came of a push is in its report or nowhere.
            Step::Push => return true,
        };
        let told = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let told = told.split(';').next().unwrap_or_default().trim();
        told.eq_ignore_ascii_case(&format!("application/x-{}-{kind}", self.service.name()))
    }

    /// The next piece of an answer.
    pub async fn piece(&self, answer: &mut Response) -> Result<Option<Bytes>, Stop> {
        let piece = answer.chunk().await.map_err(|error| self.broken(error))?;
        self.pulse.beat();
        if let Some(bytes) = &piece {
            self.speed.moved(bytes.len()).await;
        }
        Ok(piece)
    }

    /// Reads packets until `take` says that it has all.
    pub async fn read(
        &self,
        mut answer: Response,
        step: Step,
        mut take: impl FnMut(&Packet<'_>) -> Result<bool, Trouble>,
    ) -> Result<(), Stop> {
        let mut packets = Packets::default();
        let (mut done, mut behind, mut heard) = (false, 0, 0);
        // To its very end: only then the connection can be used again.
        while let Some(bytes) = self.piece(&mut answer).await? {
            heard += bytes.len();
            if heard > LONGEST_LIST {
                return Err(self.endless().into());
            }
            if done {
                behind += bytes.len();
                if behind > MOST_BEHIND {
                    break;
                }
                continue;
            }
            packets.feed(bytes);
            loop {
                match packets.next() {
                    Ok(Some(packet)) => done = take(&packet).or_else(|trouble| self.trouble(trouble))?,
                    Ok(None) => break,
                    Err(bad) => return Err(self.garbled("fatal: ", &bad).into()),
                }
                if done {
                    break;
                }
            }
        }
        match step {
            _ if done => Ok(()),
            // git 2.47, of a list that ends between two refs.
            Step::List if packets.is_empty() => Err(self.said("fatal: expected flush after ref listing").into()),
            // An answer that ends early may be any answer: an empty one is no empty repository.
            _ => Err(self.said(HUNG_UP).into()),
        }
    }

    fn endless(&self) -> Failure {
        let message = format!("{}: the list of refs is longer than {} MiB", self.what, LONGEST_LIST >> 20);
        Failure::new(Reason::TooLarge, message).with_hint(ENDLESS)
    }

    pub fn trouble<T>(&self, trouble: Trouble) -> Result<T, Stop> {
        match trouble {
            Trouble::Refused(words) => Err(self.said(&format!("fatal: remote error: {words}")).into()),
            Trouble::Unfit(line) => {
                let failure = Failure::new(Reason::ServerError, "the source's list of refs cannot be read");
                Err(failure.with_evidence(line).into())
            }
            Trouble::Strange(what) => unhandled(what),
        }
    }

    /// A status that is no success.
    async fn refused(&self, step: Step, status: StatusCode, answer: Response) -> Stop {
        let (url, base, code) = (&self.remote.url, self.base(), status.as_u16());
        let credential = self.remote.credential();
        let is_refusal = status.is_client_error() || status.is_server_error();
        let line = match status {
            // Git sends what is small in one piece, and larger ones fail there as well.
            StatusCode::LENGTH_REQUIRED if step == Step::Push => {
                return Stop::Unhandled(Unhandled("the server takes no chunks".into()));
            }
            StatusCode::UNAUTHORIZED if step != Step::Push && !takes_basic(answer.headers()) => {
                return Stop::Unhandled(Unhandled("the server wants another kind of login".into()));
            }
            // git 2.47; a push is sent nowhere else either.
            _ if step == Step::Push && (is_refusal || status.is_redirection()) => {
                format!(
                    "error: RPC failed; HTTP {code} curl 22 The requested URL returned error: {code}\n{PUSH_HUNG_UP}"
                )
            }
            StatusCode::UNAUTHORIZED if credential.is_some() => format!("fatal: Authentication failed for '{base}/'"),
            StatusCode::UNAUTHORIZED => {
                format!("fatal: could not read Username for '{url}': terminal prompts disabled")
            }
            // git 2.47, of the later requests.
            _ if step != Step::First && is_refusal => {
                let expected = if step == Step::List { "flush after ref listing" } else { "'packfile'" };
                format!(
                    "error: RPC failed; HTTP {code} curl 22 The requested URL returned error: {code}\nfatal: expected {expected}"
                )
            }
            StatusCode::NOT_FOUND => format!("fatal: repository '{base}/' not found"),
            // With a credential nobody is followed anywhere; without one git knows how far to go.
            _ if is_refusal || step == Step::First && status.is_redirection() && credential.is_some() => {
                format!("fatal: unable to access '{base}/': The requested URL returned error: {code}")
            }
            // What else a server says to a push is no report.
            _ if step == Step::Push => PUSH_HUNG_UP.to_owned(),
            _ => return Stop::Unhandled(Unhandled(format!("an answer with status {code}"))),
        };
        let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        // Git shows what the server says to its first request only.
        let words = if step == Step::First { words_of(answer).await } else { String::new() };
        let mut failure = self.said(&format!("{words}{line}"));
        failure = failure.with_message(format!("{}: the server answered with status {code}", self.what));
        if let Some(credential) = credential {
            failure = credential.secret.refused(failure);
        }
        Stop::Failed(failure.with_retry_after(wait.map(Duration::from_secs)))
    }

    /// The failure that git tells of in these words.
    pub fn said(&self, words: &str) -> Failure {
        let (reason, evidence) = classify::explain("", words);
        let is = match self.service {
            Service::UploadPack => "not what was asked for",
            Service::ReceivePack => "no report",
        };
        let failure = Failure::new(reason, format!("{}: the server's answer is {is}", self.what));
        let failure = failure.with_evidence(&evidence);
        match classify::way_out(&evidence) {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }

    /// An answer that is not made of packets.
    pub fn garbled(&self, before: &str, bad: &BadLength) -> Failure {
        let head = String::from_utf8_lossy(&bad.0).into_owned();
        self.said(&format!("{before}protocol error: bad line length character: {head}"))
    }

    fn broken(&self, error: reqwest::Error) -> Stop {
        // Behind a proxy it may be the proxy's fault, which git tells apart; a push that has begun is not sent again.
        let may_be_the_proxy = match self.service {
            Service::UploadPack => !error.is_timeout(),
            Service::ReceivePack => error.is_connect(),
        };
        if self.remote.proxy.is_some() && may_be_the_proxy {
            return Stop::Unhandled(Unhandled("a connection through a proxy failed".into()));
        }
        let failure = client::failure(self.what, error, self.idle);
        match failure.reason() {
            // Whom git trusts is a matter of how it was built.
            Reason::TlsFailed => Stop::Unhandled(Unhandled(format!("TLS failed: {failure}"))),
            _ => Stop::Failed(failure),
        }
    }
}

fn authorization(credential: &Credential, what: &str) -> Result<HeaderValue, Failure> {
    let basic = credential.basic();
    let mut value = HeaderValue::try_from(format!("Basic {}", basic.expose()))
        .map_err(|_| Failure::new(Reason::AuthFailed, format!("{what}: the token cannot stand in a header")))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether a refused login can be given as we give it; a server that says nothing of it is taken to mean that.
fn takes_basic(headers: &HeaderMap) -> bool {
    let mut offers = headers.get_all(WWW_AUTHENTICATE).iter().peekable();
    let is_basic = |value: &HeaderValue| value.to_str().unwrap_or_default().to_ascii_lowercase().contains("basic");
    offers.peek().is_none() || offers.any(is_basic)
}

/// What the server says in plain text, line by line as git shows it; git shows no other type.
async fn words_of(mut answer: Response) -> String {
    let is_plain = |value: &HeaderValue| value.to_str().is_ok_and(|text| text.starts_with("text/plain"));
    if !answer.headers().get(CONTENT_TYPE).is_some_and(is_plain) {
        return String::new();
    }
    let mut bytes = Vec::new();
    // What breaks off here has told its status already.
    while let Ok(Some(more)) = answer.chunk().await {
        bytes.extend_from_slice(&more);
        if bytes.len() > MOST_WORDS {
            bytes.truncate(MOST_WORDS);
            break;
        }
    }
    String::from_utf8_lossy(&bytes).lines().map(|line| format!("remote: {line}\n")).collect()
}
