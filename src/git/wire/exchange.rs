//! One question to one server: request, answer, and what a refusal means.
//!
//! Failures are told in the words that git has for them and go through the same table, so that a reason does not depend
//! on who asked.

use std::time::Duration;

use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE,
};
use reqwest::{Client, RequestBuilder, Response, StatusCode};

use super::listing::{Abilities, Greeted, Greeting, Listing, Trouble};
use super::packet::{self, BadLength, Packet, Packets};
use super::{AGENT, Unhandled};
use crate::base::client;
use crate::base::failure::{Failure, Reason};
use crate::base::secret::Credential;
use crate::base::speed::Speed;
use crate::git::look::{ENDLESS, LONGEST_LIST};
use crate::git::refs::Advertisement;
use crate::git::{Remote, classify};

const ADVERTISEMENT: &str = "application/x-git-upload-pack-advertisement";
const REQUEST: &str = "application/x-git-upload-pack-request";
const RESULT: &str = "application/x-git-upload-pack-result";

/// How much of a refusal's text is read: git shows it to people.
const MOST_WORDS: usize = 16 << 10;
/// How much may follow a whole list before nobody listens any more.
pub(super) const MOST_BEHIND: usize = 64 << 10;

/// One remote, and the client to reach it with.
pub(super) struct Exchange<'a> {
    pub client: &'a Client,
    pub remote: &'a Remote,
    /// The longest silence, for messages; the client watches over it.
    pub idle: Duration,
    pub speed: &'a Speed,
    /// What fails when it fails, for messages.
    pub what: &'a str,
    /// Whether a HEAD that names a branch not yet born is asked for, as `git clone` does and `git ls-remote` does not.
    pub unborn: bool,
}

/// The requests, of which git speaks in different words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    First,
    List,
    Pack,
}

impl Step {
    /// The type of the answer.
    fn kind(self) -> &'static str {
        match self {
            Step::First => ADVERTISEMENT,
            Step::List | Step::Pack => RESULT,
        }
    }
}

/// Why an exchange did not tell refs.
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

impl Exchange<'_> {
    /// Asks for the refs: at once for the list where the server's abilities are `known` from another repository of its, else
    /// for the abilities first. With the refs come the abilities of a server that speaks version 2 about this repository.
    pub async fn refs(&self, known: Option<Abilities>) -> Result<(Advertisement, Option<Abilities>), Stop> {
        if let Some(known) = known {
            match self.list(&known).await {
                Ok(refs) => return Ok((refs, Some(known))),
                // More questions would be worse than one.
                Err(Stop::Failed(failure))
                    if matches!(failure.reason(), Reason::RateLimited | Reason::TimedOut | Reason::TooLarge) =>
                {
                    return Err(failure.into());
                }
                // This repository may be another: an old one, of another hash, moved, gone. Asked step by step, it tells.
                Err(_) => {}
            }
        }
        let mut greeting = Greeting::default();
        let url = format!("{}/info/refs?service=git-upload-pack", self.base());
        // As git does: nobody's cache may answer.
        let request = self.client.get(url).header(ACCEPT, "*/*").header(PRAGMA, "no-cache");
        let answer = self.ask(request, Step::First).await?;
        self.read(answer, Step::First, |packet| greeting.take(packet).map(|()| greeting.is_done())).await?;
        match greeting.finish().or_else(|trouble| self.trouble(trouble))? {
            Greeted::Refs(refs) => Ok((refs, None)),
            Greeted::Abilities(abilities) => Ok((self.list(&abilities).await?, Some(abilities))),
        }
    }

    async fn list(&self, abilities: &Abilities) -> Result<Advertisement, Stop> {
        let mut body = packet::line("command=ls-refs");
        if abilities.agent {
            body += &packet::line(&format!("agent={AGENT}"));
        }
        if let Some(format) = &abilities.format {
            body += &packet::line(&format!("object-format={format}"));
        }
        // As `git ls-remote` asks: HEAD's target and what tags name, of all refs.
        body = body + "0001" + &packet::line("peel") + &packet::line("symrefs");
        if self.unborn && abilities.unborn {
            body += &packet::line("unborn");
        }
        let answer = self.ask(self.post(body + "0000"), Step::List).await?;
        let mut listing = Listing::of(abilities, self.unborn);
        self.read(answer, Step::List, |packet| listing.take(packet).map(|()| listing.is_done())).await?;
        Ok(listing.finish())
    }

    /// A request of version 2.
    pub fn post(&self, body: impl Into<reqwest::Body>) -> RequestBuilder {
        let request = self.client.post(format!("{}/git-upload-pack", self.base()));
        request.header(CONTENT_TYPE, REQUEST).header(ACCEPT, RESULT).body(body)
    }

    /// The repository's URL without the slash that may end it.
    fn base(&self) -> String {
        self.remote.url.to_string().trim_end_matches('/').to_owned()
    }

    /// Sends a request; anything but an answer of status 200 and this type is none.
    pub async fn ask(&self, request: RequestBuilder, step: Step) -> Result<Response, Stop> {
        let mut request = request.header("git-protocol", "version=2");
        if let Some(credential) = self.remote.credential() {
            request = request.header(AUTHORIZATION, authorization(credential, self.what)?);
        }
        let answer = request.send().await.map_err(|error| self.broken(error))?;
        let is_kind = |value: &HeaderValue| {
            let text = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
            text.trim().eq_ignore_ascii_case(step.kind())
        };
        match answer.status() {
            StatusCode::OK if answer.headers().get(CONTENT_TYPE).is_some_and(is_kind) => Ok(answer),
            // A server of plain files, a login page, nothing at all: git tells them apart.
            StatusCode::OK => unhandled("the answer is not of git's type"),
            status => Err(self.refused(step, status, answer).await),
        }
    }

    /// Reads packets until `take` says that it has all.
    async fn read(
        &self,
        mut answer: Response,
        step: Step,
        mut take: impl FnMut(&Packet<'_>) -> Result<bool, Trouble>,
    ) -> Result<(), Stop> {
        let mut packets = Packets::default();
        let (mut done, mut behind, mut heard) = (false, 0, 0);
        // To its very end: only then the connection can be used again.
        while let Some(bytes) = answer.chunk().await.map_err(|error| self.broken(error))? {
            self.speed.moved(bytes.len()).await;
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
                    Err(BadLength(head)) => {
                        let head = String::from_utf8_lossy(&head).into_owned();
                        return Err(self
                            .said(&format!("fatal: protocol error: bad line length character: {head}"))
                            .into());
                    }
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
            Step::First | Step::List | Step::Pack => {
                Err(self.said("fatal: the remote end hung up unexpectedly").into())
            }
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
        let url = &self.remote.url;
        let credential = self.remote.credential();
        let line = match status {
            StatusCode::UNAUTHORIZED if !takes_basic(answer.headers()) => {
                return Stop::Unhandled(Unhandled("the server wants another kind of login".into()));
            }
            StatusCode::UNAUTHORIZED if credential.is_some() => {
                format!("fatal: Authentication failed for '{}/'", self.base())
            }
            StatusCode::UNAUTHORIZED => {
                format!("fatal: could not read Username for '{url}': terminal prompts disabled")
            }
            // git 2.47, of the later requests.
            _ if step != Step::First && (status.is_client_error() || status.is_server_error()) => {
                let code = status.as_u16();
                let expected = if step == Step::List { "flush after ref listing" } else { "'packfile'" };
                format!(
                    "error: RPC failed; HTTP {code} curl 22 The requested URL returned error: {code}\nfatal: expected {expected}"
                )
            }
            StatusCode::NOT_FOUND => format!("fatal: repository '{}/' not found", self.base()),
            // With a credential nobody is followed anywhere; without one git knows how far to go.
            _ if status.is_client_error()
                || status.is_server_error()
                || step == Step::First && status.is_redirection() && credential.is_some() =>
            {
                format!(
                    "fatal: unable to access '{}/': The requested URL returned error: {}",
                    self.base(),
                    status.as_u16()
                )
            }
            _ => return Stop::Unhandled(Unhandled(format!("an answer with status {}", status.as_u16()))),
        };
        let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        // Git shows what the server says to its first request only.
        let words = if step == Step::First { words_of(answer).await } else { String::new() };
        let mut failure = self.said(&format!("{words}{line}"));
        failure = failure.with_message(format!("{}: the server answered with status {}", self.what, status.as_u16()));
        if let Some(credential) = credential {
            failure = credential.secret.refused(failure);
        }
        Stop::Failed(failure.with_retry_after(wait.map(Duration::from_secs)))
    }

    /// The failure that git tells of in these words.
    pub fn said(&self, words: &str) -> Failure {
        let (reason, evidence) = classify::explain("", words);
        let failure = Failure::new(reason, format!("{}: the server's answer is not what was asked for", self.what))
            .with_evidence(&evidence);
        match classify::way_out(&evidence) {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }

    pub fn broken(&self, error: reqwest::Error) -> Stop {
        // Behind a proxy it may be the proxy's fault, which git tells apart.
        if self.remote.proxy.is_some() && !error.is_timeout() {
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

pub(super) fn authorization(credential: &Credential, what: &str) -> Result<HeaderValue, Failure> {
    let basic = credential.basic();
    let mut value = HeaderValue::try_from(format!("Basic {}", basic.expose()))
        .map_err(|_| Failure::new(Reason::AuthFailed, format!("{what}: the token cannot stand in a header")))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether a refused login can be given as we give it; a server that says nothing of it is taken to mean that.
pub(super) fn takes_basic(headers: &HeaderMap) -> bool {
    let mut offers = headers.get_all(WWW_AUTHENTICATE).iter().peekable();
    let is_basic = |value: &HeaderValue| value.to_str().unwrap_or_default().to_ascii_lowercase().contains("basic");
    offers.peek().is_none() || offers.any(is_basic)
}

/// What the server says in plain text, line by line as git shows it; git shows no other type.
pub(super) async fn words_of(mut answer: Response) -> String {
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
