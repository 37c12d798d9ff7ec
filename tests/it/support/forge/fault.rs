//! Bad days: what goes wrong, for which requests, how many times.

use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::{HeaderName, HeaderValue, Response, header};
use futures_util::StreamExt as _;

use super::connection::{Point, Then};
use super::log::{Kind, Request, Service};
use super::upload::Spoil;

/// A fault: first what happens, then to which requests (all, when nothing is said), then how often.
///
/// ```ignore
/// forge.fault(Fault::status(503).on_api("/user/repos").page(2).once());
/// forge.fault(Fault::status(429).header("retry-after", "1").on_git("acme/alpha").times(2));
/// forge.fault(Fault::cut_in_body(2_000).on_git("acme/alpha").service(Service::FetchPack));
/// forge.fault(Fault::hang().after(5));
/// forge.fault(Fault::status(500).on_api("/releases").method("POST").once());
/// forge.fault(Fault::lost(502).on_upload("b.zip").once());
/// forge.fault(Fault::wrong_bytes().on_download("b.zip"));
/// ```
/// The first fault added that fits a request is used.
#[derive(Debug, Clone)]
pub struct Fault {
    effect: Effect,
    target: Target,
    service: Option<Service>,
    page: Option<u32>,
    method: Option<String>,
    within: Option<String>,
    skip: usize,
    times: usize,
}

#[derive(Debug, Clone)]
pub(super) enum Effect {
    Answer(Answer),
    /// The true answer, but not all of it.
    Cut(Point, Then),
    /// A reset after that much of the request's body; git never sees it.
    CutUpload(usize),
    /// The true answer, but its `Link` leads to another forge.
    RewriteLinks(String),
    /// To the same path and query on another forge.
    RedirectHost(String),
    Hang,
    /// The body is taken and nothing comes of it but a stub on GitHub.
    Lost(Answer),
    /// What was asked for is done, and the answer says something else.
    Done(Answer),
    /// Bytes that are others, of the same length.
    Other,
    /// So many bytes fewer, and nothing that tells.
    Shorter(usize),
}

/// An answer in place of the true one.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

#[derive(Debug, Clone)]
enum Target {
    All,
    Api(String),
    Git(Option<String>),
    Upload(String),
    Download(String),
}

impl Fault {
    fn new(effect: Effect) -> Self {
        Fault {
            effect,
            target: Target::All,
            service: None,
            page: None,
            method: None,
            within: None,
            skip: 0,
            times: usize::MAX,
        }
    }

    fn answer(status: u16, content_type: &str, body: &[u8]) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Self::new(Effect::Answer(Answer { status, headers, body: body.to_vec() }))
    }

    /// An answer with this status and a line of plain text; see [`Fault::header`] and [`Fault::body`].
    pub fn status(status: u16) -> Self {
        Self::answer(status, "text/plain", b"the test forge refuses this\n")
    }

    /// 200 and nothing, as `text/plain`: git takes it for a repository without refs. With
    /// [`Fault::with_git_type`] git sees a connection that hung up.
    pub fn empty_body() -> Self {
        Self::answer(200, "text/plain", b"")
    }

    /// 200 and one line of HTML without a line break, as a login page of a proxy: git takes it for a repository without
    /// refs. With [`Fault::with_git_type`] git sees a broken protocol.
    pub fn html_line() -> Self {
        Self::answer(200, "text/html", b"<html><body>Please sign in</body></html>")
    }

    /// A correct advertisement (protocol version 0) of a repository without any ref.
    pub fn zero_refs() -> Self {
        let line = format!(
            "{} capabilities^{{}}\0 multi_ack_detailed side-band-64k ofs-delta agent=git/test\n",
            "0".repeat(40)
        );
        let body = format!("001e# service=git-upload-pack\n0000{:04x}{line}0000", line.len() + 4);
        Self::answer(200, ADVERTISEMENT, body.as_bytes())
    }

    /// 302 to exactly this URL.
    pub fn redirect(url: &str) -> Self {
        Self::status(302).header("location", url)
    }

    /// 302 to the same path and query on another forge: `Fault::redirect_host(evil.url())`.
    pub fn redirect_host(base: impl Into<String>) -> Self {
        Self::new(Effect::RedirectHost(base.into()))
    }

    /// The true answer, but the URLs in its `Link` header lead to another forge.
    pub fn links_to_host(base: impl Into<String>) -> Self {
        Self::new(Effect::RewriteLinks(base.into()))
    }

    /// Closes the connection after that many bytes of the response, status line and headers included; 0: at once.
    pub fn cut_after(bytes: usize) -> Self {
        Self::new(Effect::Cut(Point::Response(bytes), Then::Close))
    }

    /// Closes the connection within the headers, after the status line.
    pub fn cut_in_headers() -> Self {
        Self::cut_after(30)
    }

    /// Closes the connection after that many bytes of the body (as on the wire, chunk sizes counted).
    pub fn cut_in_body(bytes: usize) -> Self {
        Self::new(Effect::Cut(Point::Body(bytes), Then::Close))
    }

    /// Resets the connection (RST) after that many bytes of the response.
    pub fn reset_after(bytes: usize) -> Self {
        Self::new(Effect::Cut(Point::Response(bytes), Then::Reset))
    }

    /// Resets the connection when that many bytes of the request's body have come: a push cut in its middle. Nothing of it
    /// arrives. (For a push that arrives but whose answer is lost: [`Fault::cut_after`] on [`Service::Push`].)
    pub fn cut_in_upload(bytes: usize) -> Self {
        Self::new(Effect::CutUpload(bytes))
    }

    /// Sends that many bytes of the body and then nothing more, without closing.
    pub fn stall_in_body(bytes: usize) -> Self {
        Self::new(Effect::Cut(Point::Body(bytes), Then::Stall))
    }

    /// Never answers, until the client goes or the test ends.
    pub fn hang() -> Self {
        Self::new(Effect::Hang)
    }

    /// This status after the whole body was taken, of which nothing is kept but GitHub's stub of an asset (`starter`).
    pub fn lost(status: u16) -> Self {
        Self::status(status).changed(Effect::Lost)
    }

    /// Does what was asked for, and says this status: an answer that got lost on its way.
    pub fn done_but(status: u16) -> Self {
        Self::status(status).changed(Effect::Done)
    }

    fn changed(mut self, change: fn(Answer) -> Effect) -> Self {
        self.effect = change(std::mem::take(self.invented()));
        self
    }

    /// As many bytes as there should be, but others: of a download what is sent, of an upload what is kept.
    pub fn wrong_bytes() -> Self {
        Self::new(Effect::Other)
    }

    /// So many bytes fewer at the end, and a `content-length` that agrees; of a download, or of what an upload leaves.
    pub fn shorter_by(bytes: usize) -> Self {
        Self::new(Effect::Shorter(bytes))
    }

    /// Sets a header of an invented answer.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let headers = &mut self.invented().headers;
        headers.retain(|(known, _)| known != name);
        headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body of an invented answer.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.invented().body = body.into();
        self
    }

    /// Sets a JSON body and its content type.
    pub fn json(self, body: &serde_json::Value) -> Self {
        self.header("content-type", "application/json; charset=utf-8").body(body.to_string())
    }

    /// Gives an invented answer the content type of a ref advertisement.
    pub fn with_git_type(self) -> Self {
        self.header("content-type", ADVERTISEMENT)
    }

    fn invented(&mut self) -> &mut Answer {
        match &mut self.effect {
            Effect::Answer(answer) | Effect::Lost(answer) | Effect::Done(answer) => answer,
            other => panic!("only an invented answer has headers and a body, not {other:?}"),
        }
    }

    /// Only API requests whose path (without the query) ends so: `"/user/repos"`, `""` for all.
    pub fn on_api(mut self, path_end: &str) -> Self {
        self.target = Target::Api(path_end.to_owned());
        self
    }

    /// Only uploads of the asset of this name, `""` for all. (The name as the request has it: GitLab's is made safe.)
    pub fn on_upload(mut self, asset: &str) -> Self {
        self.target = Target::Upload(asset.to_owned());
        self
    }

    /// Only requests for the bytes of the asset of this name, `""` for all; GitHub's redirect to them is not one.
    pub fn on_download(mut self, asset: &str) -> Self {
        self.target = Target::Download(asset.to_owned());
        self
    }

    /// Only requests with this method.
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Only requests whose path contains this.
    pub fn within(mut self, part: &str) -> Self {
        self.within = Some(part.to_owned());
        self
    }

    /// Only git requests for this repository.
    pub fn on_git(mut self, repo: &str) -> Self {
        self.target = Target::Git(Some(repo.to_owned()));
        self
    }

    /// Only git requests, whatever the repository.
    pub fn on_any_git(mut self) -> Self {
        self.target = Target::Git(None);
        self
    }

    /// Only this step of git's protocol.
    pub fn service(mut self, service: Service) -> Self {
        self.service = Some(service);
        self
    }

    /// Only this page of a listing (no `page` parameter is page 1).
    pub fn page(mut self, page: u32) -> Self {
        self.page = Some(page);
        self
    }

    /// Lets that many fitting requests pass first.
    pub fn after(mut self, requests: usize) -> Self {
        self.skip = requests;
        self
    }

    /// Ends after that many faults.
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// Ends after one.
    pub fn once(self) -> Self {
        self.times(1)
    }

    fn fits(&self, request: &Request) -> bool {
        let target = match (&self.target, &request.kind) {
            (Target::All, _) | (Target::Git(None), Kind::Git { .. }) => true,
            (Target::Api(end), Kind::Api | Kind::Upload) => request.path.ends_with(end),
            (Target::Upload(name), Kind::Upload) | (Target::Download(name), Kind::Download | Kind::Storage) => {
                let named = [request.asset.clone(), request.parameter("name")];
                name.is_empty() || named.iter().flatten().any(|known| known == name)
            }
            (Target::Git(Some(wanted)), Kind::Git { repo, .. }) => wanted.eq_ignore_ascii_case(repo),
            _ => false,
        };
        let service =
            self.service.is_none_or(|wanted| matches!(request.kind, Kind::Git { service, .. } if service == wanted));
        let page = || request.parameter("page").and_then(|page| page.parse().ok()).unwrap_or(1);
        let method = self.method.as_deref().is_none_or(|method| request.method.as_str() == method);
        let within = self.within.as_deref().is_none_or(|part| request.path.contains(part));
        target && service && method && within && self.page.is_none_or(|wanted| wanted == page())
    }

    /// What happens to this request, which counts; `None` when nothing does.
    pub(super) fn strike(&mut self, request: &Request) -> Option<Effect> {
        if self.times == 0 || !self.fits(request) {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.times -= 1;
        Some(self.effect.clone())
    }
}

const ADVERTISEMENT: &str = "application/x-git-upload-pack-advertisement";

impl Answer {
    pub(super) fn response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status.try_into().expect("a test names a real status");
        for (name, value) in self.headers {
            let name = HeaderName::try_from(name).expect("a test names a real header");
            response.headers_mut().append(name, HeaderValue::try_from(value).expect("a test gives a real value"));
        }
        response
    }
}

/// Makes the `Link` header lead from one base URL to another.
pub(super) fn rewrite_links(response: &mut Response<Body>, from: &str, to: &str) {
    let links = response.headers().get(header::LINK).and_then(|links| links.to_str().ok());
    if let Some(links) = links.map(|links| links.replace(from, to)) {
        response.headers_mut().insert(header::LINK, HeaderValue::try_from(links).expect("it was a header before"));
    }
}

/// Sends other bytes, or fewer, than the answer has.
pub(super) fn spoil(response: Response<Body>, spoil: Spoil) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    let length = body.size_hint().exact();
    let known = head.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let length: Option<u64> = known.or(length);
    let mut left = match (spoil, length) {
        (Spoil::Shorter(by), Some(length)) => {
            let left = length.saturating_sub(by as u64);
            head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(left));
            usize::try_from(left).expect("it fits")
        }
        (Spoil::Shorter(_), None) => panic!("an answer of unknown length cannot be made shorter"),
        _ => usize::MAX,
    };
    let mut first = spoil == Spoil::Other;
    let chunks = body.into_data_stream().map(move |chunk| {
        let mut chunk = chunk?.to_vec();
        chunk.truncate(left);
        left -= chunk.len();
        if let (true, Some(byte)) = (first, chunk.first_mut()) {
            (*byte, first) = (!*byte, false);
        }
        Ok::<_, axum::Error>(Bytes::from(chunk))
    });
    Response::from_parts(head, Body::from_stream(chunks))
}
