//! Git's smart HTTP protocol over our own client: to look at refs costs no process, no new connection, and one request.
//!
//! To fetch costs one process, git's `index-pack`, and one more request.
//!
//! Beside the git door, never instead of it: whatever is not understood exactly ([`Unhandled`]) is git's to answer, and
//! whatever is must come out as git would tell it. `obstacle.rs` says what is left to git from the first, `http.rs`
//! speaks HTTP, `exchange.rs` asks for refs, `listing.rs` and `packet.rs` are pure. `fetch/` brings objects, `clone.rs` makes a new mirror of them.

mod clone;
mod exchange;
mod fetch;
mod http;
mod listing;
mod obstacle;
mod packet;
mod push;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use reqwest::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use self::exchange::Unborn;
use self::http::{Http, Pulse, Service, Stop};
use self::listing::Abilities;
use self::obstacle::{Errand, Obstacles};
use super::refs::Advertisement;
use super::{Git, Remote};
use crate::base::client;
use crate::base::failure::{Failure, Reason};
use crate::base::url::Origin;

/// Who we say we are. Forges and the guards before them let a `git/` pass that they stop as a browser or robot otherwise.
const AGENT: &str = concat!("git/holocron-", env!("CARGO_PKG_VERSION"));

/// Who looks at refs, fetches and pushes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GitTransport {
    /// Holocron itself, over connections that it keeps, where it can do so as git would; git elsewhere.
    #[default]
    Auto,
    /// Git, always.
    Git,
}

/// Why something is left to git; no failure, and told to nobody but the debug log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unhandled(String);

/// What a client is made for. A CA file that changes under `--watch` makes another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    ca_file: Option<(PathBuf, Option<SystemTime>)>,
    proxy: Option<url::Url>,
}

/// The open connections, and what the user's settings say against using them.
#[derive(Debug, Default)]
pub(super) struct Wire {
    clients: Mutex<HashMap<Place, Client>>,
    /// What the servers that speak protocol version 2 can do, as one of their repositories told.
    servers: Mutex<HashMap<Origin, Abilities>>,
    /// The repositories that were told of in version 2 when they were looked at last: others of the same server may not be.
    second: Mutex<HashSet<String>>,
    /// Asked for at most once.
    settings: OnceCell<Obstacles>,
    pushes: push::Memory,
}

impl Wire {
    /// The client for a place, made when it is needed first.
    fn client(&self, place: Place, idle: Duration) -> Result<Client, Failure> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&place) {
            return Ok(client.clone());
        }
        let ca_file = place.ca_file.as_ref().map(|(path, _)| path.as_path());
        let client = client::build_for_git(ca_file, place.proxy.as_ref(), idle, AGENT)?;
        clients.insert(place, client.clone());
        Ok(client)
    }

    fn abilities(&self, remote: &Remote) -> Option<Abilities> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner).get(remote.url.origin()?).cloned()
    }

    /// Takes note of what a look at `remote` told, if it was in version 2.
    fn learn(&self, remote: &Remote, abilities: Option<Abilities>) {
        let (url, mut second) = (remote.url.to_string(), self.second.lock().unwrap_or_else(PoisonError::into_inner));
        match abilities.zip(remote.url.origin()) {
            Some((abilities, origin)) => {
                second.insert(url);
                self.servers.lock().unwrap_or_else(PoisonError::into_inner).insert(origin.clone(), abilities);
            }
            None => drop(second.remove(&url)),
        }
    }

    /// What the server of `remote` can do for it, as far as the last look told.
    fn abilities_for(&self, remote: &Remote) -> Option<Abilities> {
        let is_second = self.second.lock().unwrap_or_else(PoisonError::into_inner).contains(&remote.url.to_string());
        self.abilities(remote).filter(|_| is_second)
    }
}

/// What a look is for, in messages.
const LOOK: &str = "cannot read the refs of the source";

impl Git {
    /// Asks `remote` for its refs and HEAD without git; `None` when that is for git to do.
    ///
    /// # Errors
    /// As git would fail: the same reasons, `timed_out` and `cancelled` included.
    pub(super) async fn ls_refs(&self, remote: &Remote) -> Result<Option<Advertisement>, Failure> {
        let Some(wire) = &self.wire else { return Ok(None) };
        let asked = match self.obstacle(wire, remote, Errand::Look).await {
            Some(obstacle) => Err(Stop::Unhandled(obstacle)),
            None => self.in_time(LOOK, self.ask(wire, remote)).await,
        };
        settle(remote, asked)
    }

    async fn ask(&self, wire: &Wire, remote: &Remote) -> Result<Advertisement, Stop> {
        tracing::debug!(url = %remote.url, "list refs");
        let client = self.client(wire, remote)?;
        let exchange = self.exchange(&client, remote, LOOK);
        let told = exchange.refs(wire.abilities(remote), Unborn::NotAsked).await;
        wire.learn(remote, told.as_ref().ok().and_then(|(_, abilities)| abilities.clone()));
        Ok(told?.0)
    }

    /// Exchanges with `remote`, in whose failures `what` fails.
    fn exchange<'a>(&'a self, client: &'a Client, remote: &'a Remote, what: &'a str) -> Http<'a> {
        let (idle, speed) = (self.limits.idle, &self.resources.speed);
        Http { client, remote, service: Service::UploadPack, idle, pulse: Pulse::new(), speed, what }
    }

    /// The client for `remote`.
    fn client(&self, wire: &Wire, remote: &Remote) -> Result<Client, Unhandled> {
        // A CA file that cannot be read: git has words for it.
        wire.client(self.place(remote), self.limits.idle).map_err(|failure| Unhandled(failure.to_string()))
    }

    /// How `remote` is reached. As with git, the variable wins over the configuration.
    fn place(&self, remote: &Remote) -> Place {
        let ca_file = self.variable(obstacle::CA_FILE).map(PathBuf::from).or_else(|| remote.ca_file.clone());
        let changed = |path: &Path| std::fs::metadata(path).and_then(|data| data.modified()).ok();
        let ca_file = ca_file.map(|path| (path.clone(), changed(&path)));
        Place { ca_file, proxy: remote.proxy.clone() }
    }

    /// Waits for `work` as long as one command may take, and until we are asked to stop.
    async fn in_time<T>(&self, what: &str, work: impl Future<Output = Result<T, Stop>>) -> Result<T, Stop> {
        let limited = async {
            match self.limits.total {
                None => work.await,
                Some(total) => timeout(total, work).await.unwrap_or_else(|_| {
                    let text = format!("{what}: not done after {} s", total.as_secs());
                    Err(Failure::new(Reason::TimedOut, text).into())
                }),
            }
        };
        tokio::select! {
            biased;
            () = self.limits.stop.cancelled() => {
                Err(Failure::new(Reason::Cancelled, format!("{what}: stopped on request")).into())
            }
            done = limited => done,
        }
    }
}

/// What came of it; `None`, and a line in the debug log, when it is left to git.
fn settle<T>(remote: &Remote, done: Result<T, Stop>) -> Result<Option<T>, Failure> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(Stop::Failed(failure)) => Err(failure),
        Err(Stop::Unhandled(Unhandled(why))) => {
            tracing::debug!(url = %remote.url, why = crate::base::redact::redact(&why), "left to git");
            Ok(None)
        }
    }
}
