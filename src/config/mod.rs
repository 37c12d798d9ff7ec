//! What Holocron was asked to do, checked: flags over environment over file over defaults.
//!
//! [`load`] is the way in, [`load_push`] that of `holocron push`. The layers are `flags.rs`, `environment.rs` and `file.rs` (its shape in `raw.rs`); they meet
//! in `layers.rs`; `settings.rs`, `sources.rs` and `destinations.rs` check the values; `show.rs` prints what came out.

pub mod destination;
mod destinations;
mod entry;
mod environment;
mod file;
mod flags;
pub mod globs;
pub mod ids;
mod interpolate;
mod layers;
pub mod limits;
mod naming;
mod needs;
mod problem;
mod push;
mod raw;
pub mod releases;
mod run_from;
mod schema;
mod server;
mod settings;
mod show;
mod sources;
mod tree;
mod unknown;
mod values;

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

pub use self::environment::{Environment, ProcessEnvironment};
pub use self::flags::MirrorArgs;
pub(crate) use self::flags::variable;
pub use self::layers::{Origins, SetBy};
pub use self::needs::needs;
pub use self::problem::{ConfigError, Problem};
pub(crate) use self::push::WITHOUT_VARIABLE as PUSH_WITHOUT_VARIABLE;
pub use self::push::{PushArgs, PushLoaded, SourceCredential, load_push};
pub use self::show::{check, schema, show};
pub use self::values::{Hours, IoNice, Minutes, Seconds};

use self::destination::{DestinationConfig, RunFrom};
use self::environment::EnvironmentLayer;
use self::file::ConfigFile;
use self::layers::Layers;
use crate::base::secret::SecretSource;
use crate::base::url::RemoteUrl;
use crate::git::GitTransport;
use crate::model::{ForgeKind, Visibility};

/// A checked configuration and where it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: Config,
    /// Where each value was set, by its key (`keep`, `sources[0].owners`, `destinations.ID.namespace`).
    pub origins: Origins,
    /// The configuration file that was read, as it was named.
    pub file: Option<PathBuf>,
}

/// What the configuration is loaded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To mirror: tokens must be there.
    Mirror,
    /// To look at it, or at the store.
    Look,
}

/// Loads the configuration for a run of the main job.
///
/// # Errors
/// Everything that is wrong, each problem with its place and what to write instead. Nothing was run.
pub fn load(args: &MirrorArgs, env: &dyn Environment) -> Result<Loaded, ConfigError> {
    load_for(args, env, Purpose::Mirror)
}

/// Loads the configuration for a run or only to look at it (`status`, `config show`).
///
/// # Errors
/// As [`load`]; to look, neither a token nor a destination is needed.
pub fn load_for(args: &MirrorArgs, env: &dyn Environment, purpose: Purpose) -> Result<Loaded, ConfigError> {
    let mut problems = Vec::new();
    let environment = EnvironmentLayer::read::<MirrorArgs>(env, &[], &mut problems);
    let (file, problems) = open(args, &environment, env, problems)?;
    let mut layers = Layers::new(args, &environment, file.as_ref(), env, problems);
    let choice = destinations::choice(&mut layers);
    let sources = sources::resolve(&mut layers, purpose);
    let destinations = destinations::resolve(&mut layers, &choice, &sources, purpose);
    let run_from = run_from::resolve(&mut layers);
    let config = settings::resolve(&mut layers, sources, destinations, run_from);
    destinations::outside_of_storage(&mut layers, &config.destinations, &config.storage);
    match layers.problems.is_empty() {
        true => Ok(Loaded { config, origins: layers.origins, file: file.map(|file| file.path) }),
        false => Err(ConfigError::new(layers.problems)),
    }
}

/// The variables that hold tokens, as far as this configuration and custom know: nobody but us needs them.
pub fn token_variables(config: &Config) -> Vec<String> {
    let named = config.sources.iter().filter_map(|source| match &source.token {
        Some(SecretSource::Env(name)) => Some(name.clone()),
        _ => None,
    });
    let pushed = config.destinations.iter().flat_map(|destination| [&destination.token, &destination.ssh.passphrase]);
    let pushed = pushed.filter_map(|secret| match secret {
        Some(SecretSource::Env(name)) => Some(name.clone()),
        _ => None,
    });
    let usual = ["GITHUB_TOKEN", "GITLAB_TOKEN", "GITEA_TOKEN", "FORGEJO_TOKEN", "CODEBERG_TOKEN"].map(str::to_owned);
    named.chain(pushed).chain(usual).chain(config.hidden.iter().cloned()).collect()
}

/// Finds and reads the configuration file; hands on what was wrong before it.
fn open(
    args: &MirrorArgs,
    environment: &EnvironmentLayer,
    env: &dyn Environment,
    mut problems: Vec<Problem>,
) -> Result<(Option<ConfigFile>, Vec<Problem>), ConfigError> {
    let path = file::find(args.config.as_deref(), environment.args.config.as_deref(), env);
    match path.map(|path| file::read(&path, env)).transpose() {
        Ok(file) => {
            unknown::variables(env, file.as_ref(), &mut problems);
            Ok((file, problems))
        }
        Err(error) => {
            problems.extend(error.problems);
            Err(ConfigError::new(problems))
        }
    }
}

/// Whether `--credits` or its variable asks for the credits; it works with a broken configuration too.
pub fn wants_credits(args: &MirrorArgs, env: &dyn Environment) -> bool {
    args.credits || env.var(&variable("credits")).and_then(|text| values::switch(&text)).unwrap_or(false)
}

/// Makes a path absolute, without asking the disk: `~/` is the user's home, all else is relative to `base`.
fn absolute(path: &Path, base: &Path, env: &dyn Environment) -> PathBuf {
    let home = path.strip_prefix("~").ok().zip(env.var("HOME"));
    let joined = match home {
        Some((rest, home)) => Path::new(&home).join(rest),
        None => base.join(path),
    };
    // Drops `.` parts; a path that is a link stays the link.
    joined.components().collect()
}

/// Everything a run needs to know; nothing in it is unchecked any more.
#[derive(Debug, Clone)]
pub struct Config {
    pub sources: Vec<SourceConfig>,
    /// Where mirrors are pushed to; empty keeps them on this machine only.
    pub destinations: Vec<DestinationConfig>,
    /// The primary forge, for `holocron push`.
    pub run_from: Option<RunFrom>,
    /// The storage root; made absolute.
    pub storage: PathBuf,
    /// Mirrors worked on at the same time.
    pub concurrency: usize,
    /// Mirrors of one host worked on, and requests to its API under way, at the same time; less when the host asks for less.
    pub per_host: usize,
    pub limits: limits::Limits,
    /// Keep running, cycle after cycle.
    pub watch: bool,
    /// The rest between two cycles (`--watch`), up to a tenth of jitter not counted.
    pub interval: Duration,
    /// How long after a push its repository is looked at again although the listing shows nothing new.
    pub window: Duration,
    /// Every repository's refs are compared at least this often.
    pub full_every: Duration,
    /// How long a mirror may be without a success before `status` calls it late.
    pub stale_after: Duration,
    /// Compare every repository's refs in this run.
    pub full: bool,
    /// A browsable working tree beside each mirror.
    pub checkout: bool,
    /// The releases that are saved beside each mirror.
    pub releases: Option<releases::ReleaseScope>,
    /// Bring only releases in step, and only these; refs are left as they are.
    pub only_releases: Option<releases::ReleaseFilter>,
    /// How many bytes of files of releases may lie here at a time on their way to a destination.
    pub asset_tmp_max: u64,
    /// Print what would happen; write nothing.
    pub dry_run: bool,
    /// Push to the destinations; else they are only looked at.
    pub push: bool,
    /// Wait for another run on the same storage instead of giving up.
    pub wait: bool,
    /// Repositories (`namespace/name`, as globs) whose mass deletion was seen and is meant.
    pub accept_deletions: Vec<String>,
    pub cliff: Cliff,
    pub keep: Keep,
    /// How long git or a server may stay silent.
    pub timeout: Duration,
    /// How long one git command may take in all; `None` is for ever.
    pub time_limit: Option<Duration>,
    /// Who looks at refs, fetches and pushes over HTTP.
    pub transport: GitTransport,
    pub output: Output,
    /// Variables that hold tokens of sources and destinations, whether or not this run uses them.
    pub hidden: Vec<String>,
}

impl Config {
    /// How long the upkeep of mirrors may take at the end of a run: under `--watch` never longer than the rest between two
    /// cycles, so that the next one does not wait for it much.
    pub fn upkeep_budget(&self) -> Duration {
        let most = self.limits.maintenance;
        if self.watch { most.min(self.interval) } else { most }
    }
}

/// One place to read repositories from.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceConfig {
    /// Unique among the sources; shown in reports.
    pub id: String,
    /// The id that older versions gave it, which records of its mirrors may still have.
    pub former_id: Option<String>,
    pub kind: ForgeKind,
    /// The API's base URL without a trailing slash, such as `https://api.github.com`; `None` for `dir` and `urls`.
    pub api_url: Option<url::Url>,
    /// The forge behind the URLs of a `urls` source and its API, where it is known.
    pub forge: Option<(ForgeKind, url::Url)>,
    /// Where the token is read from; `None` lists public repositories only.
    pub token: Option<SecretSource>,
    /// The user name that goes with the token in git's basic authentication.
    pub user: String,
    /// Users, organisations or groups to list; empty lists everything the token can see.
    pub owners: Vec<String>,
    pub filters: Filters,
    pub transport: Transport,
    pub clone_urls: CloneUrls,
    /// PEM file with the CAs to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Proxy for API and git.
    pub proxy: Option<url::Url>,
    /// The directories to search (`dir`).
    pub dirs: Vec<PathBuf>,
    /// The repositories themselves (`urls`).
    pub urls: Vec<RemoteUrl>,
}

/// How git reaches the repositories of a forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    #[default]
    Https,
    Ssh,
}

/// Which HTTP URLs git is given for the repositories of a forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CloneUrls {
    /// Those that the forge lists.
    #[default]
    Listed,
    /// Their paths on the API's own host: for a forge that was never told its address (Gitea's `ROOT_URL`).
    ApiHost,
}

/// Which of the listed repositories are mirrored; the default is all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Filters {
    /// Globs on `namespace/name`, case-insensitive; empty includes everything.
    pub include: Vec<String>,
    /// Globs on `namespace/name`; they win over `include`.
    pub exclude: Vec<String>,
    /// Mirror forks too.
    pub forks: bool,
    /// Mirror archived repositories too.
    pub archived: bool,
    /// Only these visibilities; empty takes all.
    pub visibility: Vec<Visibility>,
    /// Only repositories with one of these topics; empty takes all.
    pub topics: Vec<String>,
    /// Nothing that the forge says is larger, in KiB.
    pub max_size_kib: Option<u64>,
}

impl Default for Filters {
    fn default() -> Self {
        Filters {
            include: Vec::new(),
            exclude: Vec::new(),
            forks: true,
            archived: true,
            visibility: Vec::new(),
            topics: Vec::new(),
            max_size_kib: None,
        }
    }
}

/// The guard against believing a bad day: how many deletions at once are held for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cliff {
    /// More than this share of the refs gone, in percent, is held; 100 holds only the loss of all.
    pub percent: u8,
    /// Below this number of refs only the loss of all of them is held.
    pub min_refs: usize,
}

impl Default for Cliff {
    fn default() -> Self {
        Cliff { percent: 50, min_refs: 10 }
    }
}

/// How long the old tips of deleted and force-moved refs stay reachable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    Forever,
    /// At least this many days; 0 keeps nothing.
    Days(u32),
}

impl Default for Keep {
    fn default() -> Self {
        Keep::Days(90)
    }
}

/// Where and how the run speaks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Output {
    /// One JSON document on stdout instead of the table.
    pub json: bool,
    /// The JSON document, written atomically to this file as well.
    pub report: Option<PathBuf>,
    pub quiet: bool,
    pub verbose: bool,
    /// The log's debug messages too.
    pub log: bool,
    pub color: ColorChoice,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    #[default]
    Auto,
    Always,
    Never,
}

#[cfg(test)]
mod tests;
