//! The shape of `holocron.yaml`, as written: the JSON schema is made from it, and so are the keys that are accepted.

use std::path::PathBuf;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;

use super::destination::{DestinationVisibility, Divergence, KnownHosts, Otherwise, ProtectedBranches, RefScope};
use super::releases::Releases;
use super::values::{Hours, IoNice, Minutes, Seconds, Size};
use super::{CloneUrls, ColorChoice, Keep, Transport};
use crate::git::GitTransport;
use crate::model::destination::DestinationKind;
use crate::model::{ForgeKind, Visibility};

/// Texts as the schema describes them: none has a password in it. What else is wrong with one the program says.
const API_URL: &str = r"^\s*[Hh][Tt][Tt][Pp][Ss]?:/*[^/@?#]+(/[^?#]*)?$";
const HOST: &str = "^[^/@]*$";
const PROXY: &str = r"^\s*([Hh][Tt][Tt][Pp][Ss]?|[Ss][Oo][Cc][Kk][Ss]5[Hh]?):/*[^/@?#]+([/?#].*)?$";
/// `/path`, `scheme://user@host/path`, `user@host:path`, `[::1]:path`.
const REPOSITORY: &str = r"^\s*(~?/|[^-.:/\s][^:/\s]*:(//([^/:@]*:?@)?[^/@?#]*([/?#].*)?$|/?[^:/])|[^-:/\s]*\[)";
const VARIABLE: &str = "^[A-Za-z_][A-Za-z0-9_]*$";

/// The configuration of Holocron. Flags and environment variables win over it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "holocron.yaml")]
pub(crate) struct RawConfig {
    /// The directory that holds the mirrors, relative to this file.
    pub storage: Option<PathBuf>,
    /// Mirrors worked on at the same time, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub concurrency: Option<u32>,
    /// Mirrors of one host worked on, and requests to its API, at the same time, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub per_host: Option<u32>,
    /// How much memory all gits at work may take together, such as `512MiB`.
    pub memory: Option<Size>,
    /// Requests to the API of one host in a second, such as 10 or 0.5.
    pub requests_per_second: Option<f64>,
    /// Bytes in a second that Holocron moves over the network, such as `2MiB`; what git moves by itself is not bounded.
    pub bytes_per_second: Option<Size>,
    /// The CPU priority of Holocron and its gits, 0 to 19; the higher, the more it stands back.
    #[schemars(range(min = 0, max = 19))]
    pub nice: Option<u8>,
    /// The disk priority of Holocron and its gits (Linux).
    pub ionice: Option<IoNice>,
    /// How long the upkeep of mirrors after a run may take; a bare number counts seconds, 0 is none.
    pub maintenance: Option<Seconds>,
    /// The rest between two cycles; a bare number counts seconds.
    pub interval: Option<Seconds>,
    /// How long after a push its repository is looked at again; a bare number counts minutes.
    pub window: Option<Minutes>,
    /// Compare the refs of every repository at least this often; a bare number counts hours.
    pub full_every: Option<Hours>,
    /// How long a mirror may be without a success before `holocron status` calls it late; a bare number counts hours.
    pub stale_after: Option<Hours>,
    /// How many days old tips of deleted and force-moved refs stay, or `forever`.
    pub keep: Option<Keep>,
    /// A browsable working tree beside each mirror.
    pub checkout: Option<bool>,
    /// The releases that are saved beside each mirror: `off`, `all`, `latest`, or a map.
    pub releases: Option<Releases>,
    /// How much of releases' files may lie here at a time on its way to a destination, such as `4GiB`.
    pub asset_tmp_max: Option<Size>,
    /// How long git or a server may be silent; a bare number counts seconds.
    pub timeout: Option<Seconds>,
    /// How long one git command may take in all; a bare number counts seconds.
    pub time_limit: Option<Seconds>,
    /// Who looks at refs, fetches and pushes over HTTP.
    pub transport: Option<GitTransport>,
    /// Write the JSON report to this file, relative to this file.
    pub report: Option<PathBuf>,
    /// When to use colour.
    pub color: Option<ColorChoice>,
    /// How many deletions at once are held for a person.
    pub cliff: RawCliff,
    /// Globs on `namespace/name` of repositories whose mass deletion was seen and is meant.
    pub accept_deletions: Option<Vec<String>>,
    /// What applies to every source that does not say otherwise.
    pub filters: RawFilters,
    /// Where repositories are read from.
    pub sources: Option<Vec<RawSource>>,
    /// Where mirrors are pushed to; without it they stay on this machine.
    pub destinations: Option<Vec<RawDestination>>,
    /// Where `holocron push` belongs: a pipeline that runs elsewhere, on a mirror, must not mirror back.
    pub run_from: Option<RawRunFrom>,
}

/// The guard against believing a bad day.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawCliff {
    /// More than this share of the refs gone, in percent, is held; 100 holds only the loss of all.
    #[schemars(range(min = 0, max = 100))]
    pub percent: Option<u32>,
    /// Below this number of refs only the loss of all of them is held.
    pub min_refs: Option<u32>,
}

/// Which of the listed repositories are mirrored.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawFilters {
    /// Globs on `namespace/name`; only what matches one is mirrored.
    pub include: Option<Vec<String>>,
    /// Globs on `namespace/name`; what matches one is left out.
    pub exclude: Option<Vec<String>>,
    /// Mirror forks too.
    pub forks: Option<bool>,
    /// Mirror archived repositories too.
    pub archived: Option<bool>,
    /// Only these visibilities.
    pub visibility: Option<Vec<Visibility>>,
    /// Only repositories with one of these topics.
    pub topics: Option<Vec<String>>,
    /// Nothing that the forge says is larger.
    pub max_size: Option<Size>,
}

/// One place to read repositories from.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawSource {
    /// A name for it, unique among the sources; its kind when not given.
    pub id: Option<String>,
    /// What it is.
    #[schemars(required)]
    pub kind: Option<RawKind>,
    /// The forge's host, such as `git.example.org`; the API's URL is derived from it.
    #[schemars(regex(pattern = HOST))]
    pub host: Option<String>,
    /// The API's base URL, instead of `host`.
    #[schemars(regex(pattern = API_URL))]
    pub api_url: Option<String>,
    /// Where the token is read from; never the token itself.
    pub token: Option<RawToken>,
    /// The user name that goes with the token.
    pub user: Option<String>,
    /// Users, organisations or groups to list instead of everything the token can see.
    pub owners: Option<Vec<String>>,
    /// Globs on `namespace/name`; only what matches one is mirrored.
    pub include: Option<Vec<String>>,
    /// Globs on `namespace/name`; what matches one is left out.
    pub exclude: Option<Vec<String>>,
    /// Mirror forks too.
    pub forks: Option<bool>,
    /// Mirror archived repositories too.
    pub archived: Option<bool>,
    /// Only these visibilities.
    pub visibility: Option<Vec<Visibility>>,
    /// Only repositories with one of these topics.
    pub topics: Option<Vec<String>>,
    /// Nothing that the forge says is larger.
    pub max_size: Option<Size>,
    /// How git reaches the repositories.
    pub transport: Option<Transport>,
    /// Whose host is in the URLs that git is given over HTTP: the listed one, or the API's.
    pub clone_urls: Option<CloneUrls>,
    /// PEM file with the CAs to trust beside the system's, relative to this file.
    pub ca_file: Option<PathBuf>,
    /// Proxy for API and git: `http://`, `https://` or `socks5://`.
    #[schemars(regex(pattern = PROXY))]
    pub proxy: Option<String>,
    /// The directories to search (kind `dir`), relative to this file.
    pub dirs: Option<Vec<PathBuf>>,
    /// The repositories themselves (kind `urls`).
    #[schemars(inner(regex(pattern = REPOSITORY)))]
    pub urls: Option<Vec<String>>,
    /// A file with one URL per line (kind `urls`), relative to this file.
    pub urls_file: Option<PathBuf>,
}

/// One place to push mirrors to.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawDestination {
    /// A name for it, unique among sources and destinations; its kind when not given.
    pub id: Option<String>,
    /// What it is.
    #[schemars(required)]
    pub kind: Option<RawDestinationKind>,
    /// The forge's host, such as `git.example.org`; the API's URL is derived from it.
    #[schemars(regex(pattern = HOST))]
    pub host: Option<String>,
    /// The API's base URL, instead of `host`.
    #[schemars(regex(pattern = API_URL))]
    pub api_url: Option<String>,
    /// Where the token is read from; never the token itself.
    pub token: Option<RawToken>,
    /// The user name that goes with the token.
    pub user: Option<String>,
    /// The user, organisation or group there; `{namespace}` and `{name}` are the source's. The token's own user when
    /// not given.
    pub namespace: Option<String>,
    /// The repository's name there; `{namespace}` and `{name}` are the source's.
    pub name: Option<String>,
    /// URL or absolute directory (kind `git`), with `{name}` and usually `{namespace}` in it.
    #[schemars(regex(pattern = REPOSITORY))]
    pub url: Option<String>,
    /// Who may see what is created.
    pub visibility: Option<DestinationVisibility>,
    /// Make repositories that are missing.
    pub create: Option<bool>,
    /// Which refs are pushed: a list of `heads`, `tags` and `notes`, or `all`.
    pub refs: Option<RefScope>,
    /// What happens to a ref there that has commits the source lacks.
    pub divergence: Option<Divergence>,
    /// Globs on refs there that are foreign: never moved, never deleted.
    pub protect: Option<Vec<String>>,
    /// Globs on tags that may move under `divergence: keep`.
    pub rolling: Option<Vec<String>>,
    /// Delete there what the source no longer has.
    pub prune: Option<bool>,
    /// What happens when a branch rule there refuses what must be forced or deleted.
    pub protected_branches: Option<ProtectedBranches>,
    /// Which releases it gets: `off`, `all`, `latest`, or a map.
    pub releases: Option<Releases>,
    /// Globs on the source's `namespace/name`; only what matches one is pushed.
    pub include: Option<Vec<String>>,
    /// Globs on the source's `namespace/name`; what matches one is not pushed.
    pub exclude: Option<Vec<String>>,
    /// How git reaches the repositories there.
    pub transport: Option<Transport>,
    /// PEM file with the CAs to trust beside the system's, relative to this file.
    pub ca_file: Option<PathBuf>,
    /// Proxy for API and git: `http://`, `https://` or `socks5://`.
    #[schemars(regex(pattern = PROXY))]
    pub proxy: Option<String>,
    /// How ssh reaches it.
    pub ssh: Option<RawSsh>,
}

/// How ssh reaches a destination; your ssh configuration and agent are used as well.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawSsh {
    /// What is done about a host key never seen before.
    pub known_hosts: Option<KnownHosts>,
    /// The private key, relative to this file.
    pub key_file: Option<PathBuf>,
    /// Where the key's passphrase is read from; never the passphrase itself.
    pub passphrase: Option<RawToken>,
}

/// The primary forge, where `holocron push` may run.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawRunFrom {
    /// The `id` of a source or destination, or a host such as `github.com`.
    #[schemars(required)]
    pub forge: Option<String>,
    /// What a pipeline does that runs elsewhere.
    pub otherwise: Option<Otherwise>,
}

/// Where a token is read from: exactly one of these.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawToken {
    /// An environment variable.
    #[schemars(regex(pattern = VARIABLE))]
    pub env: Option<String>,
    /// The first line of a file, relative to this file.
    pub file: Option<PathBuf>,
    /// The first line that a shell command prints.
    pub command: Option<String>,
}

/// A source's kind as people call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawKind {
    Github,
    Gitlab,
    Gitea,
    Forgejo,
    Codeberg,
    Dir,
    Urls,
}

impl RawKind {
    pub const NAMES: [&str; 7] = ["github", "gitlab", "gitea", "forgejo", "codeberg", "dir", "urls"];

    /// The kind of a name typed on the command line.
    pub fn of(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "github" => RawKind::Github,
            "gitlab" => RawKind::Gitlab,
            "gitea" => RawKind::Gitea,
            "forgejo" => RawKind::Forgejo,
            "codeberg" => RawKind::Codeberg,
            "dir" => RawKind::Dir,
            "urls" => RawKind::Urls,
            _ => return None,
        })
    }

    /// The name as it is written.
    pub fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    pub fn forge(self) -> ForgeKind {
        match self {
            RawKind::Github => ForgeKind::Github,
            RawKind::Gitlab => ForgeKind::Gitlab,
            RawKind::Gitea | RawKind::Forgejo | RawKind::Codeberg => ForgeKind::Gitea,
            RawKind::Dir => ForgeKind::Dir,
            RawKind::Urls => ForgeKind::Urls,
        }
    }
}

/// A destination's kind as people call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RawDestinationKind {
    Github,
    Gitlab,
    Gitea,
    Forgejo,
    Codeberg,
    Git,
}

impl RawDestinationKind {
    pub const NAMES: [&str; 6] = ["github", "gitlab", "gitea", "forgejo", "codeberg", "git"];

    /// The kind of a name typed on the command line.
    pub fn of(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "github" => RawDestinationKind::Github,
            "gitlab" => RawDestinationKind::Gitlab,
            "gitea" => RawDestinationKind::Gitea,
            "forgejo" => RawDestinationKind::Forgejo,
            "codeberg" => RawDestinationKind::Codeberg,
            "git" => RawDestinationKind::Git,
            _ => return None,
        })
    }

    /// The name as it is written.
    pub fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    pub fn kind(self) -> DestinationKind {
        match self {
            RawDestinationKind::Github => DestinationKind::Github,
            RawDestinationKind::Gitlab => DestinationKind::Gitlab,
            RawDestinationKind::Gitea | RawDestinationKind::Forgejo | RawDestinationKind::Codeberg => {
                DestinationKind::Gitea
            }
            RawDestinationKind::Git => DestinationKind::Git,
        }
    }

    /// The kind of server behind it; plain git is one without an API.
    pub fn server(self) -> RawKind {
        match self {
            RawDestinationKind::Github => RawKind::Github,
            RawDestinationKind::Gitlab => RawKind::Gitlab,
            RawDestinationKind::Gitea => RawKind::Gitea,
            RawDestinationKind::Forgejo => RawKind::Forgejo,
            RawDestinationKind::Codeberg => RawKind::Codeberg,
            RawDestinationKind::Git => RawKind::Urls,
        }
    }
}

/// The JSON schema of the file, for `config schema` and for finding unknown keys.
pub(crate) fn schema() -> serde_json::Value {
    // Inlined, so that walking it needs no references followed.
    let generator = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).into_generator();
    generator.into_root_schema_for::<RawConfig>().to_value()
}

/// The keys that a part of the schema accepts; `None` where it is not a map.
pub(crate) fn properties(schema: &serde_json::Value) -> Option<&serde_json::Map<String, serde_json::Value>> {
    let alternatives = || ["anyOf", "oneOf"].iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
    match schema.get("properties") {
        Some(properties) => properties.as_object(),
        None => alternatives().find_map(properties),
    }
}

/// The schema of a list's items; `None` where it is not a list.
pub(crate) fn items(schema: &serde_json::Value) -> Option<&serde_json::Value> {
    let alternatives = || ["anyOf", "oneOf"].iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
    schema.get("items").or_else(|| alternatives().find_map(items))
}
