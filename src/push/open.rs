//! The destinations of a run: opened once, with their credentials, rules and the places their repositories go to.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use globset::GlobSet;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::decide::PushRules;
use super::patience::Patience;
use super::template::fill;
use crate::base::failure::{Failure, Reason};
use crate::base::secret::{Credential, Secret};
use crate::base::url::RemoteUrl;
use crate::config::destination::{DestinationConfig, DestinationVisibility, KnownHosts, SshConfig};
use crate::config::{Cliff, Transport, globs};
use crate::forge::destination::Destination;
use crate::forge::release::ReleaseDestination;
use crate::forge::{self, Connection};
use crate::git::{HostKeys, Remote, Ssh};
use crate::mirror::tools::{Api, Tools};
use crate::model::destination::{DestinationKind, NewRepo, ObjectFormat};
use crate::model::{Repo, RepoPath, Visibility};
use crate::progress::Sink;

/// One destination, ready to be pushed to.
pub struct Opened {
    pub config: DestinationConfig,
    /// The API; `None` for plain git.
    pub forge: Option<Arc<dyn Destination>>,
    /// The same, not to be stopped: what was opened is put back also when the run is stopped.
    pub repair: Option<Arc<dyn Destination>>,
    /// Where releases are written to; `None` when it gets none, or has none.
    pub releases: Option<Arc<dyn ReleaseDestination>>,
    token: Option<Secret>,
    ssh: Ssh,
    protect: Option<GlobSet>,
    rolling: GlobSet,
    /// Asked for once, whatever comes of it.
    own_namespace: OnceCell<Result<String, Failure>>,
    /// What it has shown of itself in this run.
    pub patience: Patience,
}

/// Where a repository goes on a destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// On a forge.
    Path(RepoPath),
    /// On a plain git server, or in a directory.
    Url(RemoteUrl),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Path(path) => path.fmt(f),
            Place::Url(url) => url.fmt(f),
        }
    }
}

impl Place {
    /// Whether it lies in the namespace of the token's user, who is not known yet.
    pub fn is_unsettled(&self) -> bool {
        matches!(self, Place::Path(path) if path.namespace().is_empty())
    }

    /// The repository's own name on a forge.
    pub fn name_there(&self) -> Option<&str> {
        match self {
            Place::Path(path) => Some(path.name()),
            Place::Url(_) => None,
        }
    }
}

impl Opened {
    /// Opens a destination; only its token is read, nothing is sent.
    ///
    /// # Errors
    /// A token that cannot be read, a CA file that cannot be used.
    pub async fn open(config: &DestinationConfig, tools: &Tools, sink: &Arc<dyn Sink>) -> Result<Self, Failure> {
        let token = match &config.token {
            Some(token) => Some(tools.secret(token).await?),
            None => None,
        };
        let connection = |cancel: CancellationToken| -> Option<Connection> {
            let url = config.api_url.as_ref()?;
            let (ca_file, proxy) = (&config.ca_file, &config.proxy);
            let api = Api { id: &config.id, url, token: token.clone(), ca_file, proxy };
            let transport_ssh = config.transport == Transport::Ssh;
            Some(Connection { transport_ssh, cancel, ..tools.connection(api, sink) })
        };
        let connect = |cancel| -> Result<Option<Arc<dyn Destination>>, Failure> {
            connection(cancel).map(|it| forge::open::destination(config.kind, it).map(Arc::from)).transpose()
        };
        let releases = connection(tools.stop.clone()).filter(|_| config.releases.is_some());
        let releases =
            releases.map(|it| forge::open::release_destination(config.kind, it).map(Arc::from)).transpose()?;
        Ok(Opened {
            forge: connect(tools.stop.clone())?,
            repair: connect(CancellationToken::new())?,
            releases,
            protect: config.protect.as_ref().map(|patterns| globs::of_refs(patterns)),
            rolling: globs::of_refs(&config.rolling),
            own_namespace: OnceCell::new(),
            ssh: ssh(config, tools).await?,
            patience: Patience::default(),
            token,
            config: config.clone(),
        })
    }

    /// Where this repository goes, as far as it is known without asking the destination: a path without a namespace
    /// lies in that of the token's own user.
    ///
    /// # Errors
    /// A name that may not be there.
    pub fn spot(&self, repo: &Repo) -> Result<Place, Failure> {
        let fill = |text: &str| fill(text, &repo.path.namespace(), repo.path.name());
        let hint = "map it to another name with this destination's `name` or `namespace`, or exclude it.";
        if let Some(url) = &self.config.url {
            let unusable = |why: String| Failure::new(Reason::Held, format!("cannot make the URL of its place: {why}"));
            let url = RemoteUrl::parse(&fill(url));
            return url.map(Place::Url).map_err(|error| unusable(error.to_string()).with_hint(hint));
        }
        let (namespace, name) = (fill(&self.config.namespace), fill(&self.config.name));
        let path = RepoPath::new(namespace.trim_matches('/'), &name);
        path.map(Place::Path).map_err(|error| {
            Failure::new(Reason::Held, format!("{namespace}/{name} cannot be its place: {error}")).with_hint(hint)
        })
    }

    /// The place that a [`Opened::spot`] is; the token's user is asked for once in a run.
    ///
    /// # Errors
    /// A forge that does not tell who the token's user is.
    pub async fn place_with_owner(&self, spot: &Place) -> Result<Place, Failure> {
        let (Place::Path(path), Some(forge)) = (spot, &self.forge) else { return Ok(spot.clone()) };
        if !path.namespace().is_empty() {
            return Ok(spot.clone());
        }
        let own = self.own_namespace.get_or_init(|| forge.own_namespace()).await.clone()?;
        let path = RepoPath::new(&own, path.name());
        path.map(Place::Path)
            .map_err(|error| Failure::new(Reason::Held, format!("the token's user {own} cannot be a place: {error}")))
    }

    /// The forge's API; empty for plain git, whose places are URLs.
    pub fn server(&self) -> &str {
        self.config.api_url.as_ref().map(url::Url::as_str).unwrap_or_default()
    }

    /// How git reaches a repository there.
    pub fn remote(&self, url: &RemoteUrl) -> Remote {
        let origin = match &self.config.api_url {
            Some(api) => Some(forge::web_origin(api)),
            None => url.origin().cloned(),
        };
        let credential = self.token.as_ref().zip(origin).map(|(token, origin)| Credential {
            origin,
            user: self.config.user.clone(),
            secret: token.clone(),
        });
        let credential = credential.map(|credential| credential.as_named_by(url));
        Remote {
            url: url.clone(),
            credential,
            ca_file: self.config.ca_file.clone(),
            proxy: self.config.proxy.clone(),
            ssh: self.ssh.clone(),
        }
    }

    /// How a repository is made there.
    pub fn wish(&self, repo: &Repo, path: &RepoPath) -> NewRepo {
        let visibility = match self.config.visibility {
            DestinationVisibility::Private => Visibility::Private,
            DestinationVisibility::Internal => Visibility::Internal,
            DestinationVisibility::Public => Visibility::Public,
            DestinationVisibility::Same => repo.visibility,
        };
        NewRepo {
            path: path.clone(),
            visibility,
            description: repo.description.clone(),
            default_branch: repo.default_branch.clone(),
            object_format: ObjectFormat::default(),
        }
    }

    /// The rules by which refs are pushed.
    pub fn rules(&self, cliff: Cliff, accepted: bool) -> PushRules {
        PushRules {
            scope: self.config.refs,
            divergence: self.config.divergence,
            protect: self.protect.clone(),
            rolling: self.rolling.clone(),
            prune: self.config.prune,
            cliff,
            accepted,
        }
    }

    /// A text that is another when the rules are: then other refs may belong there.
    pub fn digest(&self) -> String {
        let config = &self.config;
        let place = (config.kind, &config.api_url, &config.namespace, &config.name, &config.url);
        let rules = (config.refs, config.divergence, &config.protect, &config.rolling, config.prune);
        format!("{place:?} {rules:?}")
    }

    /// The directory of a destination on this machine; repositories are made there without any API.
    pub fn directory(&self, place: &Place) -> Option<PathBuf> {
        match place {
            Place::Url(url) if self.config.kind == DestinationKind::Git => url.as_file().map(PathBuf::from),
            _ => None,
        }
    }
}

/// Which repositories go to a destination.
pub struct Choice {
    include: GlobSet,
    exclude: GlobSet,
}

impl Choice {
    /// What the configuration of a destination chooses.
    pub fn of(config: &DestinationConfig) -> Self {
        Choice { include: globs::of_repositories(&config.include), exclude: globs::of_repositories(&config.exclude) }
    }

    /// Whether the repository of this name at the source goes there.
    pub fn wants(&self, path: &RepoPath) -> bool {
        let name = path.to_string();
        (self.include.is_empty() || self.include.is_match(&name)) && !self.exclude.is_match(&name)
    }
}

/// What ssh is told of a destination.
async fn ssh(config: &DestinationConfig, tools: &Tools) -> Result<Ssh, Failure> {
    let SshConfig { known_hosts, key_file, passphrase } = &config.ssh;
    if let Some(key) = key_file {
        File::open(key).map_err(|error| Failure::local(format!("cannot read the key {}", key.display()), &error))?;
    }
    let passphrase = match passphrase {
        Some(source) => Some(tools.secret(source).await?),
        None => None,
    };
    let host_keys = Some(match known_hosts {
        KnownHosts::Strict => HostKeys::Strict,
        KnownHosts::AcceptNew => HostKeys::AcceptNew,
    });
    Ok(Ssh { host_keys, key_file: key_file.clone(), passphrase })
}
