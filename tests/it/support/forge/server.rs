//! One request: written down, struck by a fault or answered by the API's face or git.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderValue, Response, header};
use futures_util::Stream;

use super::Shared;
use super::api::{self, Ask, Reply, encode_path};
use super::connection::{Connections, Point, Then};
use super::fault::{self, Effect, rewrite_links};
use super::log::{Kind, Request, Sent, Service};
use super::upload::{self, Received, Spoil};
use super::{
    cgi, dialect, gitea, gitea_destination, github, github_destination, gitlab, gitlab_destination, releases_github,
};

/// One of a forge's two hosts: its own, or the one where the bytes of assets lie.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) forge: Arc<Shared>,
    pub(super) connections: Connections,
    pub(super) storage: bool,
}

pub(super) async fn handle(
    State(door): State<Door>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: axum::extract::Request,
) -> Response<Body> {
    let Door { forge, connections, storage } = door;
    let connection = connections.of(peer);
    connection.disarm();
    let (head, body) = request.into_parts();
    let (start, body) = cgi::peek(body.into_data_stream()).await;
    let query = head.uri.query().unwrap_or_default();
    let mut request = Request::new(head.method, head.uri.path(), query, head.headers, &start);
    request.peer = Some(peer);
    if storage {
        request.kind = Kind::Storage;
    }
    request.asset = forge.asset_name(&request);
    let number = forge.log.add(request.clone());
    let response = match forge.strike(&request) {
        None => forge.answer(number, &request, body, Spoil::No).await,
        Some(Effect::Answer(answer)) => {
            match request.kind {
                Kind::Api if request.is_write() => {
                    forge.log.sent(number, Sent::new(&cgi::take(body, usize::MAX).await));
                }
                // Who is still sending would hear a broken connection and no answer.
                Kind::Upload => cgi::drain(body).await,
                _ => {}
            }
            answer.response()
        }
        Some(Effect::Cut(point, then)) => {
            let response = forge.answer(number, &request, body, Spoil::No).await;
            connection.arm(point, then);
            response
        }
        Some(Effect::RewriteLinks(to)) => {
            let mut response = forge.answer(number, &request, body, Spoil::No).await;
            rewrite_links(&mut response, &forge.base, &to);
            response
        }
        Some(Effect::RedirectHost(to)) => {
            let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
            redirect(302, &format!("{to}{}{query}", request.path))
        }
        Some(Effect::CutUpload(bytes)) => {
            cgi::take(body, bytes).await;
            forge.abandon(&request);
            connection.arm(Point::Response(0), Then::Reset);
            plain(500, "never sent\n")
        }
        Some(Effect::Lost(answer)) => {
            match request.kind {
                Kind::Upload => drop(forge.take_file(number, &request, body, Spoil::No).await),
                _ => forge.log.sent(number, Sent::new(&cgi::take(body, usize::MAX).await)),
            }
            forge.abandon(&request);
            answer.response()
        }
        Some(Effect::Done(answer)) => {
            forge.answer(number, &request, body, Spoil::No).await;
            answer.response()
        }
        Some(Effect::Other) => forge.answer(number, &request, body, Spoil::Other).await,
        Some(Effect::Shorter(by)) => forge.answer(number, &request, body, Spoil::Shorter(by)).await,
        Some(Effect::Hang) => std::future::pending().await,
    };
    forge.log.answered(number, response.status().as_u16());
    response
}

impl Shared {
    async fn answer(
        &self,
        number: usize,
        request: &Request,
        body: impl Stream<Item = Result<Bytes, axum::Error>> + Send + Unpin + 'static,
        spoil: Spoil,
    ) -> Response<Body> {
        let response = match &request.kind {
            Kind::Upload => {
                let received = self.take_file(number, request, body, spoil).await;
                return self.answer_upload(request, received).response();
            }
            Kind::Api if request.is_write() => {
                let body = cgi::take(body, usize::MAX).await;
                self.log.sent(number, Sent::new(&body));
                self.answer_write(request, &body).response()
            }
            Kind::Api => self.answer_api(request).response(),
            Kind::Git { repo, service } => self.answer_git(request, repo, *service, body).await,
            Kind::Download | Kind::Storage => self.answer_download(request).await,
            Kind::Other => plain(404, "there is nothing here\n"),
        };
        if spoil == Spoil::No { response } else { fault::spoil(response, spoil) }
    }

    /// Writes the body of an upload to a file.
    async fn take_file(
        &self,
        number: usize,
        request: &Request,
        body: impl Stream<Item = Result<Bytes, axum::Error>> + Send + Unpin + 'static,
        spoil: Spoil,
    ) -> Received {
        let received = upload::receive(self.new_file(), request, body, spoil).await;
        self.log.sent(number, received.sent.clone());
        received
    }

    /// Leaves behind what an upload leaves that broke off: on GitHub a stub, elsewhere nothing.
    fn abandon(&self, request: &Request) {
        if request.kind == Kind::Upload && request.path.starts_with(releases_github::UPLOADS) {
            drop(self.answer_upload(request, Received::nothing(self.new_file())));
        }
    }

    fn answer_api(&self, request: &Request) -> Reply {
        type Face = (&'static str, fn(&Ask) -> Reply, fn(&str) -> Reply);
        const FACES: [Face; 3] = [
            (github::ROOT, github_destination::read, |_| github::bad_credentials()),
            (gitlab::ROOT, gitlab_destination::read, |_| gitlab::unauthorized()),
            (gitea::ROOT, gitea_destination::read, gitea::bad_token),
        ];
        let Some((root, answer, bad_token)) = FACES.iter().find(|(root, ..)| request.path.starts_with(root)) else {
            return Reply::new(404, serde_json::json!({"message": "Not Found"}));
        };
        let model = self.model();
        let Ok(viewer) = api::viewer(&model, &request.headers) else { return bad_token(&self.base) };
        let segments = api::segments(&request.path, root);
        answer(&Ask { request, model: &model, base: &self.base, viewer, segments })
    }

    async fn answer_git(
        &self,
        request: &Request,
        full_name: &str,
        service: Service,
        body: impl Stream<Item = Result<Bytes, axum::Error>> + Send + Unpin + 'static,
    ) -> Response<Body> {
        let (git_dir, viewer) = match self.git_access(request, full_name, service) {
            Ok(access) => access,
            Err(refusal) => return *refusal,
        };
        let action = request.path.rfind("/info/refs").or_else(|| request.path.rfind("/git-"));
        let Some(action) = action.map(|start| &request.path[start..]) else {
            return plain(404, "only git's smart protocol is spoken here\n");
        };
        self.interlude(&git_dir, service);
        if service == Service::Push {
            let mut model = self.model();
            let now = model.tick();
            let (failing, unnoticed) = (model.terms.html_500_after_push, model.terms.unnoticed_after_push);
            for record in model.repos.iter_mut().filter(|record| record.git_dir == git_dir) {
                record.pushed = now;
                if record.is_empty() {
                    record.releases.unnoticed = Arc::new(AtomicUsize::new(unnoticed));
                }
                record.releases.failing = failing;
            }
        }
        cgi::serve(&self.backend, &git_dir, action, viewer.as_deref(), request, body).await
    }

    /// The repository's directory and who asks, or the forge's refusal.
    fn git_access(
        &self,
        request: &Request,
        full_name: &str,
        service: Service,
    ) -> Result<(PathBuf, Option<String>), Box<Response<Body>>> {
        let model = self.model();
        let viewer = api::viewer(&model, &request.headers).map_err(|()| Box::new(unauthorized()))?;
        let viewer_may = |record: &&super::model::Record| model.can_see(record, viewer.as_deref());
        let Some(record) = model.find(full_name).filter(viewer_may) else {
            if let Some(moved) = model.find_moved(full_name).filter(viewer_may) {
                let action = request.path.rfind(".git/").map_or("", |end| &request.path[end + 4..]);
                let new = format!("{}/{}.git{action}?{}", self.base, encode_path(&moved.full_name()), request.query);
                return Err(Box::new(redirect(301, &new)));
            }
            // Who has not said who he is, is asked; existing and missing repositories look the same.
            let hidden = plain(404, "Repository not found.");
            return Err(Box::new(if viewer.is_none() { unauthorized() } else { hidden }));
        };
        if record.blocked {
            return Err(Box::new(plain(451, "Repository unavailable due to DMCA takedown.\n")));
        }
        if record.disabled {
            return Err(Box::new(plain(403, "Access to this repository has been disabled by the staff.\n")));
        }
        let is_push = matches!(service, Service::Push | Service::PushAdvertisement);
        if is_push && viewer.is_none() {
            return Err(Box::new(unauthorized()));
        }
        if let (true, Some(user)) = (is_push, viewer.as_deref()) {
            let token = api::token(&request.headers);
            if let Some((status, text)) = dialect::refusal(&model, record, user, token.as_deref()) {
                return Err(Box::new(plain(status.as_u16(), &text)));
            }
        }
        Ok((record.git_dir.clone(), viewer))
    }
}

fn plain(status: u16, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = status.try_into().expect("a real status");
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn unauthorized() -> Response<Body> {
    let mut response = plain(401, "Authentication is required.\n");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"test forge\""));
    response
}

fn redirect(status: u16, location: &str) -> Response<Body> {
    let mut response = plain(status, "moved\n");
    response.headers_mut().insert(header::LOCATION, HeaderValue::try_from(location).expect("a URL is a header value"));
    response
}
