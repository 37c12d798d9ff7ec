//! Files sent to a forge: streamed from the disk, watched over while they go, and shown the token on the origins where it
//! belongs only.
//!
//! What a broken upload left behind is for the caller to find out: nothing is sent twice here but what was refused
//! before it was taken.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Client, Method, RequestBuilder, Response, StatusCode};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;
use url::Url;

use crate::base::client;
use crate::base::failure::{Failure, Reason};
use crate::base::retry::Schedule;
use crate::base::speed::Speed;
use crate::base::url::Origin;
use crate::forge::Connection;
use crate::forge::http::{Answer, Api, MOST_REDIRECTS, Refusal, redirected};

/// What is read from the disk at a time.
const CHUNK: u64 = 128 << 10;
/// How long a server may digest a file after it has all of it (GitLab moves it to its object storage first).
const DIGESTION: Duration = Duration::from_secs(5 * 60);

/// Moves files from and to the forge behind an [`Api`].
pub(in crate::forge) struct Files {
    pub(in crate::forge) client: Client,
}

/// A file that is the body of a request, or a part of it.
pub(in crate::forge) struct Parcel<'a> {
    pub(in crate::forge) method: Method,
    pub(in crate::forge) url: Url,
    /// Where files may go to beside the API's own origin, token and all.
    pub(in crate::forge) also: Option<Origin>,
    pub(in crate::forge) file: &'a Path,
    /// In bytes.
    pub(in crate::forge) size: u64,
    pub(in crate::forge) content_type: &'a str,
    /// The field of a form that the file is sent as; `None` sends the bare file.
    pub(in crate::forge) field: Option<&'a str>,
}

/// What is sent in one attempt, and how it goes.
struct Sending {
    body: Body,
    /// The whole body, in bytes.
    length: u64,
    content_type: String,
    /// Changes with every chunk; closed after the last.
    progress: watch::Receiver<()>,
    /// What went wrong on this machine: to the HTTP client that looks like a broken connection.
    trouble: Arc<OnceLock<Failure>>,
}

impl Files {
    /// A client for the files of the forge at `connection`; nothing is sent yet.
    pub(in crate::forge) fn open(connection: &Connection) -> Result<Self, Failure> {
        let (ca_file, proxy) = (connection.ca_file.as_deref(), connection.proxy.as_ref());
        let client = client::build_for_files(&connection.api_url, ca_file, proxy, connection.timeout)?;
        Ok(Files { client })
    }

    /// Sends a file once, but for answers that ask for fewer requests: those are waited for and obeyed.
    pub(in crate::forge) async fn send(&self, api: &Api, parcel: &Parcel<'_>) -> Result<Answer, Refusal> {
        let mut schedule = api.schedule();
        loop {
            api.wait_for_reset().await?;
            match self.deliver(api, parcel).await {
                Err(refusal) if refusal.failure.reason() == Reason::RateLimited => {
                    if let Err(failure) = api.again(&mut schedule, &refusal.failure).await {
                        return Err(Refusal { failure, ..refusal });
                    }
                }
                done => return done,
            }
        }
    }

    /// Sends a file and follows redirects that keep the method and stay where the token belongs.
    async fn deliver(&self, api: &Api, parcel: &Parcel<'_>) -> Result<Answer, Refusal> {
        let what = format!("{} {}", parcel.method, parcel.url);
        let (mut url, mut said_by) = (parcel.url.clone(), "the upload address");
        for _ in 0..=MOST_REDIRECTS {
            if parcel.also.is_none() || Origin::of(&url) != parcel.also {
                api.check_origin(&url, said_by)?;
            }
            let response = self.attempt(api, parcel, &url, &what).await?;
            let status = response.status();
            if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
                return match tokio::time::timeout(api.timeout, api.answer(what.clone(), response, false)).await {
                    Ok(answer) => answer,
                    Err(_) => Err(silent(&what, api.timeout).into()),
                };
            }
            (url, said_by) = (redirected(&what, &parcel.method, &url, &response)?, "a redirect");
        }
        Err(Failure::new(Reason::ServerError, format!("{what}: more than {MOST_REDIRECTS} redirects")).into())
    }

    async fn attempt(&self, api: &Api, parcel: &Parcel<'_>, url: &Url, what: &str) -> Result<Response, Failure> {
        let sending = Sending::open(parcel, &api.gate.speed).await?;
        let request = api
            .signed(self.client.request(parcel.method.clone(), url.clone()))
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, sending.content_type)
            .header(CONTENT_LENGTH, sending.length)
            .body(sending.body);
        let pass = api.cancellable(api.gate.enter()).await?;
        tracing::debug!(method = %parcel.method, %url, size = parcel.size, "sending a file to the forge");
        let response = async {
            tokio::select! {
                response = request.send() => response.map_err(|error| api.broken(what, error)),
                waited = stalled(sending.progress, api.timeout) => Err(silent(what, waited)),
            }
        };
        let response = api.cancellable(response).await?;
        let response = response.map_err(|failure| sending.trouble.get().cloned().unwrap_or(failure))?;
        pass.answered(response.status().as_u16());
        Ok(response)
    }
}

impl Api {
    /// A fresh schedule for work that takes more than one request.
    pub(in crate::forge) fn schedule(&self) -> Schedule {
        self.policy.start()
    }

    /// Waits before another try after `failure`.
    ///
    /// # Errors
    /// The failure itself when it is final.
    pub(in crate::forge) async fn again(&self, schedule: &mut Schedule, failure: &Failure) -> Result<(), Failure> {
        match schedule.next(failure) {
            Some(wait) => self.pause(failure, wait).await,
            None => Err(failure.clone()),
        }
    }

    /// Waits without a word: nothing has failed.
    ///
    /// # Errors
    /// `cancelled` when the run is stopped meanwhile.
    pub(in crate::forge) async fn rest(&self, wait: Duration) -> Result<(), Failure> {
        self.cancellable(tokio::time::sleep(wait)).await
    }

    /// Puts the token on a request; the caller has seen to its origin.
    pub(in crate::forge) fn signed(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.auth {
            Some((name, value)) => request.header(name, value),
            None => request,
        }
    }
}

impl Sending {
    async fn open(parcel: &Parcel<'_>, speed: &Speed) -> Result<Self, Failure> {
        let what = || format!("cannot read {} to upload it", parcel.file.display());
        let file = File::open(parcel.file).await.map_err(|error| Failure::local(what(), &error))?;
        let found = file.metadata().await.map_err(|error| Failure::local(what(), &error))?.len();
        if found != parcel.size {
            let text = format!("{}: it has {found} bytes, not {}", what(), parcel.size);
            return Err(Failure::new(Reason::LocalFailed, text));
        }
        let (beat, progress) = watch::channel(());
        let trouble = Arc::new(OnceLock::new());
        let (log, text) = (trouble.clone(), what());
        let speed = speed.clone();
        let paced = chunks(file, parcel.size, beat).then(move |chunk| {
            let speed = speed.clone();
            async move {
                speed.moved(chunk.as_ref().map_or(0, Bytes::len)).await;
                chunk
            }
        });
        let bytes = paced.inspect(move |chunk| {
            if let Err(error) = chunk {
                // The first is the one that broke it.
                let _ = log.set(Failure::local(&text, error));
            }
        });
        Ok(match parcel.field {
            None => Sending {
                body: Body::wrap_stream(bytes),
                length: parcel.size,
                content_type: parcel.content_type.to_owned(),
                progress,
                trouble,
            },
            Some(field) => {
                let boundary = format!("holocron{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
                // The forge takes the file's name from the URL: here stands nothing that would need quoting.
                let head = format!(
                    "--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"asset\"\r\n\
                     Content-Type: application/octet-stream\r\n\r\n"
                );
                let tail = format!("\r\n--{boundary}--\r\n");
                let length = parcel.size + (head.len() + tail.len()) as u64;
                let part = |text: String| stream::iter([io::Result::Ok(Bytes::from(text))]);
                Sending {
                    body: Body::wrap_stream(part(head).chain(bytes).chain(part(tail))),
                    length,
                    content_type: format!("multipart/form-data; boundary={boundary}"),
                    progress,
                    trouble,
                }
            }
        })
    }
}

/// `size` bytes of a file; a shorter one is an error.
fn chunks(file: File, size: u64, beat: watch::Sender<()>) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::try_unfold((file, size, beat), |(mut file, left, beat)| async move {
        if left == 0 {
            return Ok(None);
        }
        let mut chunk = vec![0; usize::try_from(left.min(CHUNK)).unwrap_or_default()];
        let read = file.read(&mut chunk).await?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was read"));
        }
        chunk.truncate(read);
        beat.send_replace(());
        Ok(Some((Bytes::from(chunk), (file, left - read as u64, beat))))
    })
}

/// Ends when nothing has moved for `timeout`, or when the server says nothing long after it has everything.
async fn stalled(mut progress: watch::Receiver<()>, timeout: Duration) -> Duration {
    loop {
        match tokio::time::timeout(timeout, progress.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => {
                let patience = timeout.max(DIGESTION);
                tokio::time::sleep(patience).await;
                return patience;
            }
            Err(_) => return timeout,
        }
    }
}

/// The failure of a transfer in which nothing moves any more.
pub(in crate::forge) fn silent(what: &str, timeout: Duration) -> Failure {
    Failure::new(Reason::TimedOut, format!("{what}: nothing moved for {} s", timeout.as_secs()))
}

#[cfg(test)]
mod tests;
