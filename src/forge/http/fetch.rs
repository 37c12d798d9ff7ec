//! Files fetched from a forge: as a stream that ends whole or with a failure, from wherever the forge keeps them.
//!
//! Forges answer with a redirect to a storage of their own on another host. It is followed without the credential, and
//! what that host says is no word of the forge: a signed URL that has run out must not look like a refused token.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, LOCATION, RANGE};
use reqwest::{Method, Response, StatusCode};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::base::client;
use crate::base::failure::{Failure, Reason};
use crate::base::secret::Secret;
use crate::base::speed::Speed;
use crate::base::url::Origin;
use crate::forge::http::files::{Files, silent};
use crate::forge::http::{Api, MOST_REDIRECTS, redirected};
use crate::forge::http::{limits, status};
use crate::forge::release::Download;

/// A file to fetch.
pub(in crate::forge) struct FileRequest<'a> {
    pub(in crate::forge) url: &'a Url,
    pub(in crate::forge) accept: &'static str,
    /// As the forge lists it, in bytes.
    pub(in crate::forge) size: Option<u64>,
    /// Where to begin, when the server still has the file of this ETag.
    pub(in crate::forge) offset: u64,
    pub(in crate::forge) etag: Option<&'a str>,
}

impl FileRequest<'_> {
    fn name(&self) -> String {
        format!("GET {}", super::shown(self.url))
    }

    /// Going on needs a proof that it is still the same file.
    fn range(&self) -> Option<(u64, &str)> {
        self.etag.filter(|_| self.offset > 0).map(|etag| (self.offset, etag))
    }
}

impl Files {
    /// Begins to fetch a file, again where that may help.
    ///
    /// # Errors
    /// A request fails ([the reasons](crate::forge#failures)); a redirect to something else than HTTP or from https to
    /// http; another size than listed.
    pub(in crate::forge) async fn fetch(&self, api: &Api, wanted: &FileRequest<'_>) -> Result<Download, Failure> {
        let mut schedule = api.schedule();
        // A range that the server does not take is no reason to fail: the whole file will do.
        let mut ranged = true;
        loop {
            api.wait_for_reset().await?;
            match self.begin(api, wanted, ranged).await {
                Ok(Some(download)) => return Ok(download),
                Ok(None) => ranged = false,
                Err(failure) => api.again(&mut schedule, &failure).await?,
            }
        }
    }

    /// `None` when the server does not take the range.
    async fn begin(&self, api: &Api, wanted: &FileRequest<'_>, ranged: bool) -> Result<Option<Download>, Failure> {
        let what = wanted.name();
        let range = wanted.range().filter(|_| ranged);
        let (mut from, mut url, mut trusted) = (api.base.clone(), wanted.url.clone(), true);
        for _ in 0..=MOST_REDIRECTS {
            check_scheme(&what, &from, &url)?;
            // Once on a foreign host, never trusted again: it says where we go from there.
            trusted = trusted && Origin::of(&url).as_ref() == Some(&api.origin);
            let mut request = self.client.get(url.clone()).header(ACCEPT, wanted.accept);
            if let Some((offset, etag)) = range {
                request = request.header(RANGE, format!("bytes={offset}-")).header(IF_RANGE, etag);
            }
            if trusted {
                request = api.signed(request);
            }
            // The bytes themselves, which follow, are not what a forge counts.
            let pass = if trusted { Some(api.cancellable(api.gate.enter()).await?) } else { None };
            tracing::debug!(host = url.host_str(), trusted, "fetching a file: {what}");
            let response = match api.cancellable(tokio::time::timeout(api.timeout, request.send())).await? {
                Ok(response) => response.map_err(|error| api.broken(&what, error))?,
                Err(_) => return Err(silent(&what, api.timeout)),
            };
            let status = response.status();
            pass.iter().for_each(|pass| pass.answered(status.as_u16()));
            if status.is_redirection() && response.headers().contains_key(LOCATION) {
                let to = redirected(&what, &Method::GET, &url, &response)?;
                check_login(&what, &to, api.token.as_ref())?;
                (from, url) = (url, to);
                continue;
            }
            return match status {
                StatusCode::RANGE_NOT_SATISFIABLE if range.is_some() => Ok(None),
                StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
                    download(api, wanted, what, range.map(|(offset, _)| offset), response).map(Some)
                }
                _ if trusted => Err(refused(api, what, response).await),
                _ => Err(refused_elsewhere(&what, &url, status, response.headers())),
            };
        }
        Err(Failure::new(Reason::ServerError, format!("{what}: more than {MOST_REDIRECTS} redirects")))
    }
}

/// Nothing but HTTP, and nothing in the clear that was asked for over TLS.
fn check_scheme(what: &str, from: &Url, to: &Url) -> Result<(), Failure> {
    let why = match (from.scheme(), to.scheme()) {
        ("https", "http") => "from https to http",
        (_, "http" | "https") => return Ok(()),
        _ => "to something else than http",
    };
    let text = format!("{what}: it leads {why} ({}): not followed", place(to));
    Err(Failure::new(Reason::Held, text).with_hint("ask the forge's operator about the address it gives to its files."))
}

/// A forge sends somebody who may not see a file to its login page, which would be fetched in its place (Gitea
/// `/user/login`, GitLab `/users/sign_in`).
fn check_login(what: &str, to: &Url, token: Option<&Secret>) -> Result<(), Failure> {
    let path = to.path().trim_end_matches('/');
    if !["/user/login", "/users/sign_in"].iter().any(|page| path.ends_with(page)) {
        return Ok(());
    }
    let wanted = |reason| Failure::new(reason, format!("{what}: the server wants a login first"));
    Err(match token {
        Some(token) => token.refused(wanted(Reason::Forbidden)),
        None => wanted(Reason::AuthFailed),
    })
}

fn place(url: &Url) -> String {
    Origin::of(url).map_or_else(|| format!("{}:", url.scheme()), |origin| origin.to_string())
}

/// The forge's own refusal.
async fn refused(api: &Api, what: String, response: Response) -> Failure {
    match tokio::time::timeout(api.timeout, api.answer(what.clone(), response, false)).await {
        Ok(Err(refusal)) => refusal.failure,
        // A success other than 200 and 206 holds no file.
        Ok(Ok(_)) => Failure::new(Reason::ServerError, format!("{what}: an answer without the file")),
        Err(_) => silent(&what, api.timeout),
    }
}

/// The refusal of a storage. Its words may quote the signature that the URL had, so they are not shown.
fn refused_elsewhere(what: &str, url: &Url, status: StatusCode, headers: &HeaderMap) -> Failure {
    let place = place(url);
    let failure = status::failure(what, status, headers, b"", None);
    match status.as_u16() {
        404 | 410 | 408 | 429 | 500..=599 => failure.with_evidence(format!("said by {place}")),
        // An address that ran out: the forge gives a fresh one to the next request.
        code => {
            Failure::new(Reason::ServerError, format!("{what}: {place} refuses what the forge sends there ({code})"))
                .with_retry_after(limits::retry_after(headers, jiff::Timestamp::now()))
        }
    }
}

/// The stream of a good answer.
fn download(
    api: &Api,
    wanted: &FileRequest<'_>,
    what: String,
    range: Option<u64>,
    response: Response,
) -> Result<Download, Failure> {
    let headers = response.headers();
    let nonsense = |why: String| Failure::new(Reason::ServerError, format!("{what}: {why}"));
    let (offset, size) = match (response.status(), range) {
        (StatusCode::PARTIAL_CONTENT, Some(asked)) => match content_range(headers) {
            Some((start, size)) if start == asked => (start, size),
            _ => return Err(nonsense("another part of the file than was asked for".to_owned())),
        },
        (StatusCode::PARTIAL_CONTENT, None) => return Err(nonsense("a part of the file was not asked for".to_owned())),
        _ => (0, number(headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()))),
    };
    if let (Some(listed), Some(size)) = (wanted.size, size)
        && listed != size
    {
        return Err(nonsense(format!("the file has {size} bytes, but is listed with {listed}")));
    }
    let size = size.or(wanted.size);
    let etag = headers.get(ETAG).and_then(|etag| etag.to_str().ok()).filter(|etag| !etag.starts_with("W/"));
    let etag = etag.map(str::to_owned);
    let left = size.map(|size| size.saturating_sub(offset));
    let reading = Reading {
        response,
        left,
        what,
        timeout: api.timeout,
        speed: api.gate.speed.clone(),
        cancel: api.cancel.clone(),
    };
    Ok(Download { offset, size, etag, bytes: stream::try_unfold(reading, Reading::next).boxed() })
}

/// `Content-Range: bytes 5-9/10`: where it begins, and the whole file's size.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?.trim().strip_prefix("bytes ")?;
    let (part, size) = text.split_once('/')?;
    let (start, _) = part.split_once('-')?;
    Some((start.trim().parse().ok()?, number(Some(size))))
}

fn number(text: Option<&str>) -> Option<u64> {
    text?.trim().parse().ok()
}

/// A file in transit.
struct Reading {
    response: Response,
    /// What is still to come, in bytes, where that is known.
    left: Option<u64>,
    what: String,
    timeout: Duration,
    speed: Speed,
    cancel: CancellationToken,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Reading)>, Failure> {
        let what = &self.what;
        let chunk = tokio::select! {
            () = self.cancel.cancelled() => {
                return Err(Failure::new(Reason::Cancelled, format!("{what}: was stopped")));
            }
            chunk = tokio::time::timeout(self.timeout, self.response.chunk()) => chunk,
        };
        let chunk = match chunk {
            Ok(chunk) => chunk.map_err(|error| client::failure(what, error, self.timeout))?,
            Err(_) => return Err(silent(what, self.timeout)),
        };
        self.speed.moved(chunk.as_ref().map_or(0, Bytes::len)).await;
        match (chunk, self.left) {
            (None, None | Some(0)) => Ok(None),
            (None, Some(left)) => {
                let text = format!("{what}: it ended {left} bytes before its end");
                Err(Failure::new(Reason::NetworkFailed, text))
            }
            (Some(chunk), None) => Ok(Some((chunk, self))),
            (Some(chunk), Some(left)) => match left.checked_sub(chunk.len() as u64) {
                Some(left) => Ok(Some((chunk, Reading { left: Some(left), ..self }))),
                None => Err(Failure::new(Reason::ServerError, format!("{what}: more bytes came than were promised"))),
            },
        }
    }
}

#[cfg(test)]
mod tests;
