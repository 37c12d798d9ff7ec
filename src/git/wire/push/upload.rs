//! One push over HTTP: the server's greeting, then commands and pack in one request, and what a refusal means.
//!
//! Failures are told in the words that git has for them, and go through the same table.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, PRAGMA, RETRY_AFTER};
use reqwest::{Body, Client, RequestBuilder, Response, StatusCode};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::WHAT;
use super::greeting::{Greeting, Receiver};
use super::report::HUNG_UP;
use crate::base::client;
use crate::base::failure::{Failure, Reason};
use crate::base::speed::Speed;
use crate::git::wire::Unhandled;
use crate::git::wire::exchange::{Stop, authorization, takes_basic, words_of};
use crate::git::wire::listing::Trouble;
use crate::git::wire::packet::{BadLength, Packets};
use crate::git::{Remote, classify};

const ADVERTISEMENT: &str = "application/x-git-receive-pack-advertisement";
const REQUEST: &str = "application/x-git-receive-pack-request";
const RESULT: &str = "application/x-git-receive-pack-result";

/// What goes in one piece, with its length; what is longer goes in chunks, which some old servers do not take. As much as
/// with git (`http.postBuffer`).
const ONE_PIECE: usize = 1 << 20;

/// How much may follow a whole greeting before nobody listens any more.
const MOST_BEHIND: usize = 64 << 10;

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

/// One remote, and the client to push to it with.
pub(super) struct Upload<'a> {
    pub client: &'a Client,
    pub remote: &'a Remote,
    /// The longest silence, for messages.
    pub idle: Duration,
    pub pulse: Pulse,
    pub speed: Speed,
}

/// The two requests, of which git speaks in different words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Greeting,
    Push,
}

fn unhandled<T>(why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Unhandled(Unhandled(why.into())))
}

impl Upload<'_> {
    /// Asks the server what it has and what it can do.
    pub async fn greet(&self) -> Result<Receiver, Stop> {
        let url = format!("{}/info/refs?service=git-receive-pack", self.base());
        // As git does: nobody's cache may answer, and there is no version 2 of pushes.
        let request = self.client.get(url).header(ACCEPT, "*/*").header(PRAGMA, "no-cache");
        let mut answer = self.ask(request, Step::Greeting).await?;
        let is_kind = |value: &HeaderValue| {
            let text = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
            text.trim().eq_ignore_ascii_case(ADVERTISEMENT)
        };
        if !answer.headers().get(CONTENT_TYPE).is_some_and(is_kind) {
            // A server of plain files, a login page, nothing at all: git tells them apart.
            return unhandled("the answer is not of git's type");
        }
        let (mut packets, mut greeting) = (Packets::default(), Greeting::default());
        let mut behind = 0;
        // To its very end: only then the connection can be used again.
        while let Some(bytes) = self.piece(&mut answer).await? {
            if greeting.is_done() {
                behind += bytes.len();
                if behind > MOST_BEHIND {
                    break;
                }
                continue;
            }
            packets.feed(bytes);
            loop {
                match packets.next() {
                    Ok(Some(packet)) => greeting.take(&packet).or_else(|trouble| self.trouble(trouble))?,
                    Ok(None) => break,
                    Err(bad) => return Err(self.garbled("fatal: ", &bad).into()),
                }
            }
        }
        match greeting.is_done() {
            true => Ok(greeting.finish()),
            false => Err(self.said("fatal: the remote end hung up unexpectedly").into()),
        }
    }

    /// Sends commands and what comes out of `pack`, and returns the answer of a server that takes them.
    pub async fn push(&self, commands: Vec<u8>, mut pack: mpsc::Receiver<Option<Bytes>>) -> Result<Response, Stop> {
        let mut head = commands;
        let body = loop {
            match pack.recv().await {
                Some(Some(piece)) => {
                    self.speed.moved(piece.len()).await;
                    self.pulse.beat();
                    head.extend_from_slice(&piece);
                }
                Some(None) => break Body::from(head),
                // Whoever made the pack knows why.
                None => return Err(Failure::new(Reason::LocalFailed, format!("{WHAT}: there is no pack")).into()),
            }
            if head.len() > ONE_PIECE {
                break self.chunks(head, pack);
            }
        };
        self.pulse.beat();
        let request = self.client.post(format!("{}/git-receive-pack", self.base()));
        let request = request.header(CONTENT_TYPE, REQUEST).header(ACCEPT, RESULT).body(body);
        self.ask(request, Step::Push).await
    }

    /// What has come out of the pack, then the rest as it is made. A pack that ends early breaks the request off.
    fn chunks(&self, head: Vec<u8>, pack: mpsc::Receiver<Option<Bytes>>) -> Body {
        let (pulse, speed) = (self.pulse.clone(), self.speed.clone());
        let rest = stream::unfold(Some(pack), move |pack| {
            let (pulse, speed) = (pulse.clone(), speed.clone());
            async move {
                let mut pack = pack?;
                let piece = pack.recv().await;
                if let Some(Some(bytes)) = &piece {
                    speed.moved(bytes.len()).await;
                }
                pulse.beat();
                match piece {
                    Some(Some(bytes)) => Some((Ok(bytes), Some(pack))),
                    Some(None) => None,
                    None => Some((Err(io::Error::other("the pack ended early")), None)),
                }
            }
        });
        Body::wrap_stream(stream::iter([Ok(Bytes::from(head))]).chain(rest))
    }

    /// The next piece of an answer.
    pub async fn piece(&self, answer: &mut Response) -> Result<Option<Bytes>, Stop> {
        let piece = answer.chunk().await.map_err(|error| self.broken(error))?;
        self.pulse.beat();
        Ok(piece)
    }

    /// The repository's URL without the slash that may end it.
    fn base(&self) -> String {
        self.remote.url.to_string().trim_end_matches('/').to_owned()
    }

    /// Sends a request; anything but an answer of status 200 is none.
    async fn ask(&self, request: RequestBuilder, step: Step) -> Result<Response, Stop> {
        let mut request = request;
        if let Some(credential) = self.remote.credential() {
            request = request.header(AUTHORIZATION, authorization(credential, WHAT)?);
        }
        let answer = request.send().await.map_err(|error| self.broken(error))?;
        self.pulse.beat();
        match answer.status() {
            StatusCode::OK => Ok(answer),
            status => Err(self.refused(step, status, answer).await),
        }
    }

    /// A status that is no success.
    async fn refused(&self, step: Step, status: StatusCode, answer: Response) -> Stop {
        let (url, code) = (&self.remote.url, status.as_u16());
        let credential = self.remote.credential();
        let is_refusal = status.is_client_error() || status.is_server_error();
        let line = match status {
            // Git sends what is small in one piece, and larger ones fail there as well.
            StatusCode::LENGTH_REQUIRED if step == Step::Push => {
                return Stop::Unhandled(Unhandled("the server takes no chunks".into()));
            }
            StatusCode::UNAUTHORIZED if step == Step::Greeting && !takes_basic(answer.headers()) => {
                return Stop::Unhandled(Unhandled("the server wants another kind of login".into()));
            }
            // git 2.47, of the second request; it is sent nowhere else either.
            _ if step == Step::Push && (is_refusal || status.is_redirection()) => {
                format!("error: RPC failed; HTTP {code} curl 22 The requested URL returned error: {code}\n{HUNG_UP}")
            }
            StatusCode::UNAUTHORIZED if credential.is_some() => format!("fatal: Authentication failed for '{url}'"),
            StatusCode::UNAUTHORIZED => {
                format!("fatal: could not read Username for '{url}': terminal prompts disabled")
            }
            StatusCode::NOT_FOUND => format!("fatal: repository '{url}' not found"),
            // With a credential nobody is followed anywhere; without one git knows how far to go.
            _ if step == Step::Greeting && (is_refusal || status.is_redirection() && credential.is_some()) => {
                format!("fatal: unable to access '{url}': The requested URL returned error: {code}")
            }
            // What else a server says to a push is no report.
            _ if step == Step::Push => HUNG_UP.to_owned(),
            _ => return Stop::Unhandled(Unhandled(format!("an answer with status {code}"))),
        };
        let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        // Git shows what the server says to its first request only.
        let words = if step == Step::Greeting { words_of(answer).await } else { String::new() };
        let mut failure = self.said(&format!("{words}{line}"));
        failure = failure.with_message(format!("{WHAT}: the server answered with status {code}"));
        if let Some(credential) = credential {
            failure = credential.secret.refused(failure);
        }
        Stop::Failed(failure.with_retry_after(wait.map(Duration::from_secs)))
    }

    /// The failure that git tells of in these words.
    pub fn said(&self, words: &str) -> Failure {
        let (reason, evidence) = classify::explain("", words);
        let failure =
            Failure::new(reason, format!("{WHAT}: the server's answer is no report")).with_evidence(&evidence);
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

    fn trouble<T>(&self, trouble: Trouble) -> Result<T, Stop> {
        match trouble {
            Trouble::Refused(words) => Err(self.said(&format!("fatal: remote error: {words}")).into()),
            Trouble::Unfit(what) | Trouble::Strange(what) => unhandled(what),
        }
    }

    fn broken(&self, error: reqwest::Error) -> Stop {
        // Behind a proxy it may be the proxy's fault, which git tells apart.
        if self.remote.proxy.is_some() && error.is_connect() {
            return Stop::Unhandled(Unhandled("a connection through a proxy failed".into()));
        }
        let failure = client::failure(WHAT, error, self.idle);
        match failure.reason() {
            // Whom git trusts is a matter of how it was built.
            Reason::TlsFailed => Stop::Unhandled(Unhandled(format!("TLS failed: {failure}"))),
            _ => Stop::Failed(failure),
        }
    }
}
