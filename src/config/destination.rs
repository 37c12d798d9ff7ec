//! Where mirrors go beside the local disk, checked.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Transport;
use super::releases::ReleaseScope;
use crate::base::secret::SecretSource;
use crate::model::destination::DestinationKind;

/// One place to push mirrors to.
#[derive(Debug, Clone, PartialEq)]
pub struct DestinationConfig {
    /// Unique among sources and destinations; shown in reports.
    pub id: String,
    pub kind: DestinationKind,
    /// The API's base URL; `None` for plain git.
    pub api_url: Option<url::Url>,
    pub token: Option<SecretSource>,
    /// The user name that goes with the token in git's basic authentication.
    pub user: String,
    /// The user, organisation or group there; may have `{namespace}` (the source's) in it. Empty is the token's user.
    pub namespace: String,
    /// The repository's name there; `{name}` unless configured.
    pub name: String,
    /// Plain git: the URL or absolute directory, with `{namespace}` and `{name}` in it.
    pub url: Option<String>,
    pub visibility: DestinationVisibility,
    /// Make repositories that are missing.
    pub create: bool,
    pub refs: RefScope,
    pub divergence: Divergence,
    /// Globs on full or short ref names that are foreign: never moved, never deleted. `None` is the default: `gh-pages`
    /// when the source has no such branch.
    pub protect: Option<Vec<String>>,
    /// Globs on tags that may move under `divergence: keep`.
    pub rolling: Vec<String>,
    /// Delete what the source no longer has.
    pub prune: bool,
    pub protected_branches: ProtectedBranches,
    /// The releases that it gets.
    pub releases: Option<ReleaseScope>,
    /// Globs on the source's `namespace/name`; empty includes everything.
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    pub transport: Transport,
    pub ca_file: Option<PathBuf>,
    pub proxy: Option<url::Url>,
    pub ssh: SshConfig,
}

/// Who may see what is created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DestinationVisibility {
    #[default]
    Private,
    Internal,
    Public,
    /// As the source: what is private there is never made public.
    Same,
}

/// Which refs a destination gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefScope {
    /// Heads and tags, and notes when asked for; hidden namespaces of forges never.
    Some { heads: bool, tags: bool, notes: bool },
    /// Everything, as `git push --mirror` does: right for a plain git server.
    All,
}

impl Default for RefScope {
    fn default() -> Self {
        RefScope::Some { heads: true, tags: true, notes: false }
    }
}

/// What happens to a destination's ref that has commits the source lacks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Divergence {
    /// A mirror is a mirror: it is overwritten.
    #[default]
    Force,
    /// It stays and is reported.
    Keep,
}

/// What happens when a branch rule of the destination refuses a ref that must be forced or deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProtectedBranches {
    /// The rule is opened and left open.
    Allow,
    /// The rule is opened, the ref pushed, and the rule put back exactly as it was.
    #[default]
    Restore,
    /// Nothing is touched.
    Fail,
}

/// The primary forge: a pipeline that runs elsewhere, on a mirror, must not mirror back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFrom {
    /// As it was written: the id of a source or destination, or a host.
    pub forge: String,
    /// The host that git knows the forge by, lower case, without a port.
    pub host: String,
    pub otherwise: Otherwise,
}

/// What a pipeline does that does not run on the primary forge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Otherwise {
    /// It tells what would be pushed, and pushes nothing.
    #[default]
    ReadOnly,
    /// It ends at once.
    Exit,
    /// It pushes all the same.
    Ignore,
}

/// How ssh reaches a destination.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SshConfig {
    pub known_hosts: KnownHosts,
    pub key_file: Option<PathBuf>,
    pub passphrase: Option<SecretSource>,
}

/// What is done about a host key never seen before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KnownHosts {
    /// It is refused.
    #[default]
    Strict,
    /// It is accepted and remembered; a changed one is refused.
    AcceptNew,
}
