//! `holocron push`: its flags, and what it is told by them, the environment and the file.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};

use super::destination::{DestinationConfig, RunFrom};
use super::destinations::{self, Choice};
use super::environment::{Environment, EnvironmentLayer, read_flags};
use super::flags::MirrorArgs;
use super::layers::Layers;
use super::limits::Limits;
use super::problem::{ConfigError, Problem};
use super::raw::RawKind;
use super::values::Seconds;
use super::{Cliff, ColorChoice, Output, Purpose, absolute, open, run_from, server, settings, sources};
use crate::base::secret::SecretSource;
use crate::base::url::{Origin, RemoteUrl};
use crate::forge::web_origin;
use crate::git::GitTransport;
use crate::model::ForgeKind;

/// The flags without a variable: `HOLOCRON_ACCEPT_DELETIONS` is a list of the main job's.
pub(crate) const WITHOUT_VARIABLE: [&str; 1] = ["accept-deletions"];

/// What can be typed for `holocron push`.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct PushArgs {
    /// Push only to this destination: its id in the configuration file, or github, gitlab, gitea, codeberg when the
    /// file has none; several are separated by commas (repeatable) [default: all of the file]
    #[arg(long, value_name = "ID", value_delimiter = ',', help_heading = "Where to")]
    pub to: Vec<String>,

    /// The user, organisation or group that --to KIND pushes to; `{namespace}` and `{name}` in it are the source's
    /// [default: the token's own user]
    #[arg(long, value_name = "NAMESPACE", help_heading = "Where to")]
    pub destination_namespace: Option<String>,

    /// The checkout whose origin is mirrored [default: .]
    #[arg(short = 'C', long, value_name = "PATH", value_hint = ValueHint::DirPath, help_heading = "What to push")]
    pub directory: Option<PathBuf>,

    /// Mirror the repository at this URL instead of the checkout's origin
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url, help_heading = "What to push")]
    pub source_url: Option<String>,

    /// Believe the mass deletion in this repository
    #[arg(long, help_heading = "How")]
    pub accept_deletions: bool,

    /// Keep the bare clone in this directory between runs [default: a temporary directory]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "How")]
    pub storage: Option<PathBuf>,

    /// Print what would happen; push nothing
    #[arg(long, help_heading = "How")]
    pub dry_run: bool,

    /// How long git or a server may be silent, in seconds or as `5m` [default: 300]
    #[arg(long, value_name = "SEC", help_heading = "How")]
    pub timeout: Option<Seconds>,

    /// Who looks at refs, fetches and pushes over HTTP: auto is Holocron itself where it can, git is always git
    /// [default: auto]
    #[arg(long, value_name = "WHO", help_heading = "How")]
    pub transport: Option<GitTransport>,

    /// The configuration file [default: ./holocron.yaml, else ~/.config/holocron/holocron.yaml, else none]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "How")]
    pub config: Option<PathBuf>,

    /// Print one JSON document on stdout instead of the table
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    /// Write the JSON document to this file as well
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    pub report: Option<PathBuf>,

    /// No progress, only the report
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Output")]
    pub quiet: bool,

    /// Say more about each step; twice (`-vv`): the log too
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,

    /// When to use colour [default: auto]
    #[arg(long, value_name = "WHEN", help_heading = "Output")]
    pub color: Option<ColorChoice>,
}

/// The flags that mean the same for the main job; the others are read by [`load_push`] itself.
impl From<PushArgs> for MirrorArgs {
    fn from(args: PushArgs) -> Self {
        MirrorArgs {
            destination: args.to,
            destination_namespace: args.destination_namespace,
            storage: args.storage,
            dry_run: args.dry_run,
            timeout: args.timeout,
            transport: args.transport,
            config: args.config,
            json: args.json,
            report: args.report,
            quiet: args.quiet,
            verbose: args.verbose,
            color: args.color,
            ..MirrorArgs::default()
        }
    }
}

/// What `holocron push` needs to know; nothing in it is unchecked any more.
#[derive(Debug, Clone)]
pub struct PushLoaded {
    /// Never empty.
    pub destinations: Vec<DestinationConfig>,
    /// The tokens that may be the source's, the first that fits first: see [`PushLoaded::source_credential`].
    pub source_credentials: Vec<SourceCredential>,
    /// The forges that the source may be on, with their APIs.
    pub source_forges: Vec<(ForgeKind, url::Url)>,
    pub run_from: Option<RunFrom>,
    /// How many bytes of files of releases may lie here at a time.
    pub asset_tmp_max: u64,
    /// The checkout; absolute.
    pub directory: PathBuf,
    /// The repository to mirror instead of the checkout's origin.
    pub source_url: Option<RemoteUrl>,
    /// Where the bare clone is kept; absolute. `None` is a temporary directory.
    pub storage: Option<PathBuf>,
    pub dry_run: bool,
    /// The mass deletion in this repository was seen and is meant.
    pub accept_deletions: bool,
    pub cliff: Cliff,
    pub limits: Limits,
    /// How long git or a server may stay silent.
    pub timeout: Duration,
    /// How long one git command may take in all; `None` is for ever.
    pub time_limit: Option<Duration>,
    pub transport: GitTransport,
    pub output: Output,
    /// Variables that hold tokens of sources and destinations, whether or not this run uses them.
    pub hidden: Vec<String>,
    /// The configuration file that was read, as it was named.
    pub file: Option<PathBuf>,
}

/// A token that the source may be read with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceCredential {
    /// The only server that gets it; `None` is whichever the source lies on (`SOURCE_TOKEN`).
    pub origin: Option<Origin>,
    pub token: SecretSource,
    /// The user name that goes with it; `None` is the usual one of the host.
    pub user: Option<String>,
}

impl PushLoaded {
    /// The forge that a URL belongs to, as far as configuration and environment tell.
    pub fn forge_of(&self, url: &RemoteUrl) -> Option<(ForgeKind, url::Url)> {
        let host = url.host()?;
        let is_there = |(_, api): &&(ForgeKind, url::Url)| match url.is_http() {
            true => Some(&web_origin(api)) == url.origin(),
            false => web_origin(api).host.eq_ignore_ascii_case(host),
        };
        self.source_forges.iter().find(is_there).cloned()
    }

    /// Where the token for a source is read from, and the user name that goes with it: `SOURCE_TOKEN`, else the token
    /// of a source in the file or of the environment that belongs to this server.
    pub fn source_credential(&self, url: &RemoteUrl) -> Option<(SecretSource, String)> {
        let origin = url.origin().filter(|_| url.is_http())?;
        let fits = |found: &&SourceCredential| found.origin.as_ref().is_none_or(|own| own == origin);
        let found = self.source_credentials.iter().find(fits)?;
        // As the variable says, else as the URL does.
        let of_url = || url.user().map(str::to_owned);
        let user = found.user.clone().or_else(of_url).unwrap_or_else(|| usual_user(&origin.host).to_owned());
        Some((found.token.clone(), user))
    }
}

/// The user name that goes with a token on a host of which nothing is known but its name.
fn usual_user(host: &str) -> &'static str {
    match host {
        _ if host == "github.com" || host.ends_with(".ghe.com") || host.starts_with("github.") => "x-access-token",
        _ if host.split('.').any(|part| part == "gitlab") => "oauth2",
        _ => "git",
    }
}

/// Loads what `holocron push` needs.
///
/// # Errors
/// Everything that is wrong, each problem with its place and what to write instead; also when there is no destination.
pub fn load_push(args: &PushArgs, env: &dyn Environment) -> Result<PushLoaded, ConfigError> {
    let mut problems = Vec::new();
    let environment = EnvironmentLayer::read::<PushArgs>(env, &WITHOUT_VARIABLE, &mut problems);
    // What the main job does not have; its problems were told above.
    let (own, _) = read_flags::<PushArgs>(env, &WITHOUT_VARIABLE, &mut Vec::new());
    let flags = MirrorArgs::from(args.clone());
    let (file, problems) = open(&flags, &environment, env, problems)?;
    let mut layers = Layers::new(&flags, &environment, file.as_ref(), env, problems);

    let choice = destinations::named(&layers, "to").unwrap_or(Choice::File);
    let sources = sources::of_file(&mut layers);
    let before = layers.problems.len();
    let destinations = destinations::resolve(&mut layers, &choice, &[], Purpose::Mirror);
    if destinations.is_empty() && layers.problems.len() == before {
        layers.problems.push(
            Problem::new("", "there is no destination to push to")
                .hint("add `destinations` to the configuration file, or name a kind, such as `--to gitlab`"),
        );
    }
    let run_from = run_from::resolve(&mut layers);
    let here = env.directory();
    let storage = flags.storage.as_ref().or(environment.args.storage.as_ref()).map(|path| absolute(path, here, env));
    if let Some(storage) = &storage {
        destinations::outside_of_storage(&mut layers, &destinations, storage);
    }
    let typed = args.source_url.as_ref().map(|url| ("--source-url", url));
    let source_url = typed.or(own.source_url.as_ref().map(|url| ("HOLOCRON_SOURCE_URL", url)));
    let source_url = source_url.and_then(|(place, url)| parse_source(&mut layers, place, url));
    let directory = args.directory.as_ref().or(own.directory.as_ref());

    let of_file = sources.iter().filter_map(|source| Some((source.kind, source.api_url.clone()?)));
    let mut source_forges: Vec<(ForgeKind, url::Url)> = of_file.collect();
    let kinds = [ForgeKind::Github, ForgeKind::Gitlab, ForgeKind::Gitea];
    source_forges.extend(kinds.into_iter().filter_map(|kind| Some((kind, server::home(env, kind)?))));
    source_forges.extend(server::codeberg().map(|api| (ForgeKind::Gitea, api)));
    let mut source_credentials = credential_of_source(env);
    source_credentials.extend(sources.into_iter().filter_map(|source| {
        let api = source.api_url.as_ref().map(web_origin);
        let origin = api.or_else(|| source.urls.iter().find(|url| url.is_http())?.origin().cloned())?;
        Some(SourceCredential { origin: Some(origin), token: source.token?, user: Some(source.user) })
    }));
    source_credentials.extend(credentials_of_kinds(env));

    let config = settings::resolve(&mut layers, Vec::new(), Vec::new(), None);
    if !layers.problems.is_empty() {
        return Err(ConfigError::new(layers.problems));
    }
    Ok(PushLoaded {
        destinations,
        source_credentials,
        source_forges,
        run_from,
        asset_tmp_max: config.asset_tmp_max,
        directory: directory.map_or(here.to_owned(), |path| absolute(path, here, env)),
        source_url,
        storage,
        dry_run: config.dry_run,
        accept_deletions: args.accept_deletions,
        cliff: config.cliff,
        limits: config.limits,
        timeout: config.timeout,
        time_limit: config.time_limit,
        transport: config.transport,
        output: config.output,
        hidden: config.hidden,
        file: file.map(|file| file.path),
    })
}

fn parse_source(layers: &mut Layers<'_>, place: &str, text: &str) -> Option<RemoteUrl> {
    let problem = match RemoteUrl::parse_with_secret(text) {
        Ok((url, None)) => return Some(url),
        Ok((_, Some(_))) => Problem::new(place, "the URL has a password or token in it")
            .hint("take it out, and set SOURCE_TOKEN: what is typed can be seen by everyone on the machine"),
        Err(error) => Problem::new(place, format!("`{text}` cannot be mirrored: {error}"))
            .hint("write https://host/path, ssh://host/path, user@host:path or an absolute path"),
    };
    layers.problems.push(problem);
    None
}

/// `SOURCE_TOKEN`, `SOURCE_PASS` or `SOURCE_PASSWORD`, with `SOURCE_USER`.
fn credential_of_source(env: &dyn Environment) -> Vec<SourceCredential> {
    let user = server::user_variable(env, "SOURCE").map(|(_, user)| user);
    let token = server::token_variable(env, "SOURCE").map(SecretSource::Env);
    token.map(|token| SourceCredential { origin: None, token, user }).into_iter().collect()
}

/// The tokens of the kinds of forge, and the one that a GitLab pipeline has for its own server.
fn credentials_of_kinds(env: &dyn Environment) -> Vec<SourceCredential> {
    let kinds = [
        (RawKind::Github, "x-access-token"),
        (RawKind::Gitlab, "oauth2"),
        (RawKind::Gitea, "git"),
        (RawKind::Codeberg, "git"),
    ];
    let of_kind = |(kind, user): (RawKind, &str)| {
        let home = if kind == RawKind::Codeberg { server::codeberg()? } else { server::home(env, kind.forge())? };
        let token = SecretSource::Env(server::token_of_server(env, kind, &home)?.to_owned());
        Some(SourceCredential { origin: Some(web_origin(&home)), token, user: Some(user.to_owned()) })
    };
    let mut found: Vec<SourceCredential> = kinds.into_iter().filter_map(of_kind).collect();
    let pipeline = env.var("CI_SERVER_URL").and_then(|url| Origin::of(&url::Url::parse(&url).ok()?));
    if let Some(origin) = pipeline
        && server::is_set(env, "CI_JOB_TOKEN")
    {
        let token = SecretSource::Env("CI_JOB_TOKEN".to_owned());
        found.push(SourceCredential { origin: Some(origin), token, user: Some("gitlab-ci-token".to_owned()) });
    }
    found
}
