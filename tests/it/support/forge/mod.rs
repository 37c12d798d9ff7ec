//! A forge in this process: one model, the APIs of GitHub, GitLab and Gitea over it, and git's smart HTTP.

mod api;
mod cgi;
mod connection;
mod destination;
mod dialect;
mod download;
mod enforce;
mod fault;
mod gitea;
mod gitea_destination;
mod github;
mod github_destination;
mod github_protection;
mod gitlab;
mod gitlab_destination;
mod handle;
mod log;
mod model;
mod packages_gitlab;
mod protection;
mod releases;
mod releases_gitea;
mod releases_github;
mod releases_gitlab;
mod releases_handle;
mod server;
mod settings;
mod terms;
mod tls;
mod upload;
mod write;

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum_server::tls_rustls::RustlsAcceptor;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use connection::{Connections, CutAcceptor, SocketAcceptor};
use destination::Interlude;
use log::Log;
use model::{AccountKind, DEFAULT_USER, Model};
use server::Door;

use super::repo::Repo;

pub use dialect::Dialect;
pub use fault::Fault;
pub use handle::Place;
pub use log::{Kind, Request, Sent, Service};
pub use protection::{Access, Protection, Role};
pub use releases_handle::{AssetSeen, ReleaseHandle, ReleaseSeen};

pub(super) use enforce::replace;

/// No test waits so long for a request unless it never comes.
const HANG: Duration = Duration::from_secs(60);

/// A forge on a free port of 127.0.0.1. It ends, and its repositories are removed, when this is dropped.
///
/// There is one user at first, `alice`, whose token is [`Forge::token`]. She is a member of every organisation that a
/// repository's name brings into being; [`Forge::organisation`] makes others. For plain HTTP it also works as a proxy
/// for itself under any host name: set [`Forge::url`] as proxy and look at the `host` header of its requests.
pub struct Forge {
    shared: Arc<Shared>,
    dir: TempDir,
    servers: Vec<(JoinHandle<()>, axum_server::Handle<SocketAddr>)>,
}

/// What the server and the handles of repositories share.
pub(super) struct Shared {
    base: String,
    /// Where the repositories lie.
    dir: PathBuf,
    backend: PathBuf,
    model: Mutex<Model>,
    faults: Mutex<Vec<Fault>>,
    log: Log,
    files: AtomicU64,
    bytes: Arc<AtomicU64>,
    interludes: Mutex<Vec<Interlude>>,
}

impl Shared {
    fn model(&self) -> MutexGuard<'_, Model> {
        // A test that panicked with it locked has failed already; the server need not follow.
        self.model.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn strike(&self, request: &Request) -> Option<fault::Effect> {
        let mut faults = self.faults.lock().expect("no holder panics");
        faults.iter_mut().find_map(|fault| fault.strike(request))
    }
}

impl Shared {
    /// A path for the bytes of an asset.
    fn new_file(&self) -> PathBuf {
        self.dir.join(format!("asset-{}", self.files.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Forge {
    /// A forge that speaks HTTP.
    pub async fn start() -> Self {
        Self::serve(None).await
    }

    /// A forge that speaks HTTPS as `localhost`, with a certificate of a CA of its own ([`Forge::ca_file`]).
    pub async fn start_tls() -> Self {
        let dir = tempdir();
        let config = tls::config(&Self::ca_path(&dir)).await;
        Self::serve(Some((dir, RustlsAcceptor::new(config)))).await
    }

    /// The same with the certificate that `openssl req -x509 -subj /CN=<name>` makes: it signed itself, calls itself a CA, and has
    /// no other name. [`Forge::ca_file`] is that very certificate.
    pub async fn start_self_signed(name: &str) -> Self {
        let dir = tempdir();
        let config = tls::self_signed(&Self::ca_path(&dir), name).await;
        Self::serve(Some((dir, RustlsAcceptor::new(config)))).await
    }

    async fn serve(tls: Option<(TempDir, RustlsAcceptor)>) -> Self {
        let (own, base) = listener(tls.is_some());
        let (second, storage) = listener(tls.is_some());
        let (dir, tls) = match tls {
            Some((dir, tls)) => (dir, Some(tls)),
            None => (tempdir(), None),
        };
        let mut model = Model::default();
        model.storage = storage;
        model.add_account(DEFAULT_USER, AccountKind::User, BTreeSet::new());
        model.tokens.insert(token_of(DEFAULT_USER), DEFAULT_USER.to_owned());
        let shared = Arc::new(Shared {
            base,
            dir: dir.path().to_owned(),
            backend: cgi::backend(),
            model: Mutex::new(model),
            faults: Mutex::default(),
            log: Log::default(),
            files: AtomicU64::default(),
            bytes: Arc::default(),
            interludes: Mutex::default(),
        });
        let open = |listener, storage| {
            let door = Door { forge: shared.clone(), connections: Connections::default(), storage };
            listen(listener, door, tls.clone())
        };
        let servers = vec![open(own, false), open(second, true)];
        Forge { shared, dir, servers }
    }

    /// `http://127.0.0.1:<port>`, or `https://localhost:<port>`.
    pub fn url(&self) -> &str {
        &self.shared.base
    }

    /// The root of the GitHub API.
    pub fn github_api(&self) -> String {
        format!("{}{}", self.url(), github::ROOT)
    }

    /// The root of the GitLab API.
    pub fn gitlab_api(&self) -> String {
        format!("{}{}", self.url(), gitlab::ROOT)
    }

    /// The root of the Gitea API.
    pub fn gitea_api(&self) -> String {
        format!("{}{}", self.url(), gitea::ROOT)
    }

    /// The certificate of the CA, in PEM; only after [`Forge::start_tls`].
    pub fn ca_file(&self) -> PathBuf {
        Self::ca_path(&self.dir)
    }

    fn ca_path(dir: &TempDir) -> PathBuf {
        dir.path().join("ca.pem")
    }

    /// The token of the user `alice`.
    pub fn token(&self) -> String {
        token_of(DEFAULT_USER)
    }

    /// Makes a user and returns his token: `forge.user("bob")`.
    pub fn user(&self, name: &str) -> String {
        let mut model = self.shared.model();
        if model.find_account(name).is_none() {
            model.add_account(name, AccountKind::User, BTreeSet::new());
        }
        model.tokens.insert(token_of(name), name.to_owned());
        token_of(name)
    }

    /// Lets another token act for a user, such as a canary.
    pub fn accept_token(&self, user: &str, token: &str) {
        self.shared.model().tokens.insert(token.to_owned(), user.to_owned());
    }

    /// Refuses a token from now on.
    pub fn revoke(&self, token: &str) {
        self.shared.model().tokens.remove(token);
    }

    /// Makes an organisation, or a group (`acme/tools`), with exactly these members.
    pub fn organisation(&self, path: &str, members: &[&str]) {
        let members = members.iter().map(|member| (*member).to_owned()).collect();
        self.shared.model().account(path).members = members;
    }

    /// Makes an empty public repository. Its namespace becomes an organisation with alice in it, unless it is known.
    pub fn repo(&self, full_name: &str) -> Repo {
        let (namespace, name) = full_name.rsplit_once('/').expect("a full name is namespace/name");
        let mut model = self.shared.model();
        model.account(namespace);
        let (id, repo) = self.shared.add_repo(&mut model, namespace, name);
        self.shared.publish(&mut model, id);
        repo
    }

    /// The most repositories in one page, so that paging shows with few.
    pub fn page_size(&self, size: usize) {
        self.shared.model().page_size = Some(size);
    }

    /// Adds a fault; the first one that fits a request strikes.
    pub fn fault(&self, fault: Fault) {
        self.shared.faults.lock().expect("no holder panics").push(fault);
    }

    /// Removes all faults.
    pub fn heal(&self) {
        self.shared.faults.lock().expect("no holder panics").clear();
    }

    /// All requests since the start or the last [`Forge::reset_log`], in order.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.log.all()
    }

    /// The requests to the APIs.
    pub fn api_requests(&self) -> Vec<Request> {
        let is_api = |request: &Request| request.kind == Kind::Api;
        self.requests().into_iter().filter(is_api).collect()
    }

    /// Git's requests for a repository, by the path that was asked for.
    pub fn git_requests(&self, full_name: &str) -> Vec<Request> {
        let fits = |request: &Request| matches!(&request.kind, Kind::Git { repo, .. } if repo == full_name);
        self.requests().into_iter().filter(fits).collect()
    }

    /// How many bytes went over the wire since the start, both ways.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Forgets the requests so far.
    pub fn reset_log(&self) {
        self.shared.log.clear();
    }

    /// Waits for a request that fits (also one that is in the log already): how a test meets a run in the middle.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn until(&self, fits: impl Fn(&Request) -> bool) -> Request {
        match tokio::time::timeout(HANG, self.shared.log.until(fits)).await {
            Ok(request) => request,
            Err(_) => panic!("the awaited request never came, but these: {:#?}", self.requests()),
        }
    }

    /// Reports ssh URLs that begin so.
    pub(super) fn set_ssh(&self, base: String) {
        self.shared.model().ssh = Some(base);
    }
}

impl Drop for Forge {
    fn drop(&mut self) {
        self.servers.iter().for_each(|(server, _)| server.abort());
    }
}

/// A free port, and the URL of what will be served there.
fn listener(tls: bool) -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a socket can be non-blocking");
    let port = listener.local_addr().expect("it is bound").port();
    let url = if tls { format!("https://localhost:{port}") } else { format!("http://127.0.0.1:{port}") };
    (listener, url)
}

/// Serves one of the hosts.
fn listen(
    listener: TcpListener,
    door: Door,
    tls: Option<RustlsAcceptor>,
) -> (JoinHandle<()>, axum_server::Handle<SocketAddr>) {
    let (connections, bytes) = (door.connections.clone(), door.forge.bytes.clone());
    let app = Router::new().fallback(server::handle).with_state(door);
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let stop = axum_server::Handle::new();
    let server = axum_server::from_tcp(listener).expect("the runtime takes sockets").handle(stop.clone());
    // HTTP/1.1 only: a connection that is cut must take exactly one response with it.
    let socket = SocketAcceptor { connections: connections.clone(), bytes };
    let server = match tls {
        Some(tls) => {
            let server = server.acceptor(CutAcceptor { inner: tls.acceptor(socket), connections }).http1_only();
            tokio::spawn(async move { server.serve(app).await.expect("the listener stays") })
        }
        None => {
            let server = server.acceptor(CutAcceptor { inner: socket, connections }).http1_only();
            tokio::spawn(async move { server.serve(app).await.expect("the listener stays") })
        }
    };
    (server, stop)
}

fn tempdir() -> TempDir {
    tempfile::Builder::new().prefix("holocron-forge-").tempdir().expect("a temporary directory")
}

/// Tokens look like tokens, so that a leak is found, and are long enough to be masked.
fn token_of(user: &str) -> String {
    format!("test-token-of-{user}-f0a1b2c3d4")
}
