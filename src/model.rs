//! The nouns: what forges have, where mirrors lie, and how a mirror came out.

pub mod advice;
pub mod destination;
pub mod projection;
pub mod release;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::failure::Failure;
use crate::base::url::RemoteUrl;

/// The kinds of source (later also of destination).
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    clap::ValueEnum,
    strum::IntoStaticStr,
    strum::Display,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum ForgeKind {
    /// GitHub.com or GitHub Enterprise.
    Github,
    /// GitLab.com or a GitLab of your own.
    Gitlab,
    /// Gitea, Forgejo and Codeberg.
    #[serde(alias = "forgejo", alias = "codeberg")]
    #[value(alias = "forgejo", alias = "codeberg")]
    Gitea,
    /// Repositories found under a directory.
    Dir,
    /// A list of URLs.
    Urls,
}

impl ForgeKind {
    /// The name as in config and on the command line.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether an API stands behind it.
    pub fn is_forge(self) -> bool {
        !matches!(self, ForgeKind::Dir | ForgeKind::Urls)
    }
}

/// Who may see a repository at its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    Public,
    Internal,
    Private,
}

/// Why a path from a forge may not become a path on disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("a part of it is empty")]
    Empty,
    #[error("`{0}` would leave the storage directory")]
    Escapes(String),
    /// Git takes a directory of this name for a repository, whose configuration runs programs.
    #[error("git would take a directory called `{0}` for a repository")]
    GitDir(String),
    #[error("`{0}` has a slash, a backslash or a control character in it")]
    Character(String),
    #[error("`{0}…` is longer than a file name can be")]
    TooLong(String),
}

/// `namespace/name` of a repository; the namespace may have several parts (GitLab's groups) or none (a directory's top).
///
/// Every part is safe as a file name: made only by [`RepoPath::new`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepoPath {
    namespace: Vec<String>,
    name: String,
}

/// File systems allow 255 bytes; `.git` and the suffix of a lock file must fit as well.
const LONGEST_PART: usize = 240;

impl RepoPath {
    /// Checks and keeps a repository's namespace and name.
    ///
    /// # Errors
    /// Refuses empty parts, `.`, `..` and `.git`, slashes within a part, control characters, and parts over 240 bytes.
    pub fn new(namespace: &str, name: &str) -> Result<Self, PathError> {
        let namespace: Vec<String> =
            namespace.split('/').filter(|_| !namespace.is_empty()).map(str::to_owned).collect();
        for part in namespace.iter().map(String::as_str).chain([name]) {
            if part.is_empty() {
                return Err(PathError::Empty);
            }
            if part == "." || part == ".." {
                return Err(PathError::Escapes(part.to_owned()));
            }
            if part.eq_ignore_ascii_case(".git") {
                return Err(PathError::GitDir(part.to_owned()));
            }
            if part.chars().any(|c| c.is_control() || c == '/' || c == '\\') {
                return Err(PathError::Character(part.escape_debug().to_string()));
            }
            if part.len() > LONGEST_PART {
                return Err(PathError::TooLong(part.chars().take(40).collect()));
            }
        }
        Ok(RepoPath { namespace, name: name.to_owned() })
    }

    /// Splits `a/b/name` at its last slash.
    ///
    /// # Errors
    /// As [`RepoPath::new`].
    pub fn parse(full: &str) -> Result<Self, PathError> {
        match full.rsplit_once('/') {
            Some((namespace, name)) if !namespace.is_empty() => RepoPath::new(namespace, name),
            Some((_, name)) => RepoPath::new("", name),
            None => RepoPath::new("", full),
        }
    }

    /// The last part.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The parts before the name, joined by slashes; empty where there are none.
    pub fn namespace(&self) -> String {
        self.namespace.join("/")
    }

    /// Where the mirror of this repository lies, relative to the storage root: `<folder>/<namespace>/<name>.git`.
    pub fn mirror_path(&self, folder: &str) -> PathBuf {
        self.place(folder, &format!("{}.git", self.name))
    }

    /// Where its checkout lies: beside the mirror, without `.git`.
    pub fn checkout_path(&self, folder: &str) -> PathBuf {
        self.place(folder, &self.name)
    }

    fn place(&self, folder: &str, last: &str) -> PathBuf {
        let mut path = PathBuf::from(folder);
        path.extend(&self.namespace);
        path.push(last);
        path
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.namespace {
            write!(f, "{part}/")?;
        }
        f.write_str(&self.name)
    }
}

impl TryFrom<String> for RepoPath {
    type Error = PathError;
    fn try_from(text: String) -> Result<Self, PathError> {
        RepoPath::parse(&text)
    }
}

impl From<RepoPath> for String {
    fn from(path: RepoPath) -> String {
        path.to_string()
    }
}

/// What the forge says about a repository's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RepoState {
    /// Something was pushed: an answer without refs contradicts it.
    Filled,
    /// Nothing special; it may still turn out to be empty.
    Ready,
    /// The forge says that nothing was ever pushed.
    Empty,
    /// Disabled by the forge, or its git access is switched off.
    Disabled,
    /// Blocked by the forge for legal reasons (HTTP 451, DMCA).
    Blocked,
}

/// One repository at its source, as the last listing showed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repo {
    /// The id of the source that listed it.
    pub source: String,
    /// The storage folder of its host (see [`crate::base::url::Origin::folder`]).
    pub folder: String,
    /// The forge's own id: it stays when the repository is renamed or transferred. For URLs and directories, the URL.
    pub id: String,
    pub path: RepoPath,
    /// What git is given, without any credential.
    pub url: RemoteUrl,
    /// The default branch's short name (`main`), where the listing tells.
    pub default_branch: Option<String>,
    /// When something was last pushed, where the listing tells.
    pub pushed_at: Option<Timestamp>,
    /// The forge's own estimate, in KiB.
    pub size_kib: Option<u64>,
    pub visibility: Visibility,
    pub fork: bool,
    pub archived: bool,
    pub state: RepoState,
    pub topics: BTreeSet<String>,
    pub description: Option<String>,
    /// Releases are switched off at the source, so that it has none to show.
    #[serde(default)]
    pub releases_off: bool,
}

impl Repo {
    /// What identifies the mirror of this repository in the store, whatever the repository is called today.
    pub fn key(&self) -> MirrorKey {
        MirrorKey { folder: self.folder.clone(), id: self.id.clone() }
    }

    /// Where its mirror lies, relative to the storage root.
    pub fn mirror_path(&self) -> PathBuf {
        self.path.mirror_path(&self.folder)
    }
}

/// A mirror's identity: its host's folder and the forge's own id of the repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MirrorKey {
    pub folder: String,
    pub id: String,
}

/// How a mirror (or one of its destinations) came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Success,
    Failed,
    Skipped,
}

/// What was done, or would be by a dry run, for the table and the JSON report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "lowercase")]
pub enum Verdict {
    /// Cloned for the first time.
    Cloned,
    /// Brought up to date: refs changed.
    Updated,
    /// A dry run found that there is no mirror yet.
    #[strum(to_string = "would clone")]
    WouldClone,
    /// A dry run found refs that would change.
    #[strum(to_string = "would update")]
    WouldUpdate,
    /// Nothing had changed.
    Current,
    /// The source has no refs, and never had any here.
    Empty,
    /// The source repository no longer exists; its mirror is kept.
    Gone,
    /// Stopped by a guard; nothing was deleted.
    Held,
    /// The forge has disabled or blocked the repository; its mirror is kept.
    Unavailable,
    /// Something went wrong; see the failure.
    Failed,
    /// Not tried in this run; the failure or the message says why.
    Skipped,
}

impl Verdict {
    /// The word for the table.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The contract's coarser word.
    pub fn status(self) -> Status {
        match self {
            Verdict::Cloned | Verdict::Updated | Verdict::Current | Verdict::Empty => Status::Success,
            Verdict::WouldClone | Verdict::WouldUpdate => Status::Success,
            Verdict::Held | Verdict::Failed => Status::Failed,
            Verdict::Gone | Verdict::Unavailable | Verdict::Skipped => Status::Skipped,
        }
    }
}

/// How many refs a mirror's update touched, and those that went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefCounts {
    pub created: usize,
    pub forwarded: usize,
    pub forced: usize,
    pub deleted: usize,
    /// Refs that the mirror has now, kept refs not counted.
    pub total: usize,
}

impl RefCounts {
    /// Refs that are not what they were.
    pub fn changed(&self) -> usize {
        self.created + self.forwarded + self.forced + self.deleted
    }
}

/// What changed, and nothing when nothing did: `+3 ~2 !1 -1` are created, moved forward, forced and deleted refs.
impl fmt::Display for RefCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [('+', self.created), ('~', self.forwarded), ('!', self.forced), ('-', self.deleted)];
        for (index, (sign, number)) in all.into_iter().filter(|(_, number)| *number > 0).enumerate() {
            let gap = if index == 0 { "" } else { " " };
            write!(f, "{gap}{sign}{number}")?;
        }
        Ok(())
    }
}

/// What a mirror takes on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OnDisk {
    /// Of all files.
    pub bytes: u64,
    /// `None` when they were not counted.
    pub packs: Option<u64>,
    /// Refs that are files of their own; they are not remembered from run to run.
    pub loose_refs: u64,
}

/// The result of one mirror in one run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// `namespace/name`.
    pub path: RepoPath,
    pub source: String,
    pub key: MirrorKey,
    /// Where the mirror lies, relative to the storage root.
    pub mirror: PathBuf,
    pub verdict: Verdict,
    /// The source is safe but something beside it is not (a checkout left behind, later a destination).
    pub degraded: bool,
    pub duration: Duration,
    pub refs: RefCounts,
    /// Bytes received from the source, from git's own progress.
    pub received: u64,
    /// What the mirror takes on disk, when it was counted.
    pub disk: Option<OnDisk>,
    /// Old tips that the mirror keeps, when they were counted.
    pub kept: Option<usize>,
    pub failure: Option<Failure>,
    /// Things a person should know that are no failures: moved, adopted, rebuilt, kept refs.
    pub notes: Vec<String>,
    /// How it came out on each destination, in the order of the configuration.
    pub destinations: Vec<destination::DestinationOutcome>,
    /// How its releases came out on the disk and on each destination that gets them.
    pub releases: Vec<projection::ReleasesOutcome>,
}

impl Outcome {
    /// An outcome with nothing in it but its verdict.
    pub fn new(repo: &Repo, verdict: Verdict) -> Self {
        Outcome {
            path: repo.path.clone(),
            source: repo.source.clone(),
            key: repo.key(),
            mirror: repo.mirror_path(),
            verdict,
            degraded: false,
            duration: Duration::ZERO,
            refs: RefCounts::default(),
            received: 0,
            disk: None,
            kept: None,
            failure: None,
            notes: Vec::new(),
            destinations: Vec::new(),
            releases: Vec::new(),
        }
    }

    /// An outcome that is a failure; a held mirror and a cancelled one get their own verdicts.
    pub fn failed(repo: &Repo, failure: Failure) -> Self {
        let verdict = match failure.reason() {
            crate::base::failure::Reason::Held => Verdict::Held,
            crate::base::failure::Reason::Cancelled => Verdict::Skipped,
            _ => Verdict::Failed,
        };
        Outcome { failure: Some(failure), ..Outcome::new(repo, verdict) }
    }

    /// Whether something beside the mirror is behind: a destination, or what `degraded` was set for.
    pub fn is_degraded(&self) -> bool {
        self.degraded
            || self.destinations.iter().any(destination::DestinationOutcome::is_behind)
            || self.releases.iter().any(projection::ReleasesOutcome::is_behind)
    }

    /// Whether a person has to look (exit code 3).
    pub fn needs_attention(&self) -> bool {
        self.is_degraded() || self.failure.is_some()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The outcome of `full` (`namespace/name`), after 400 ms.
    pub(crate) fn outcome(full: &str, verdict: Verdict) -> Outcome {
        let path = RepoPath::parse(full).unwrap();
        Outcome {
            mirror: path.mirror_path("h"),
            path,
            source: "github".into(),
            key: MirrorKey { folder: "h".into(), id: full.into() },
            verdict,
            degraded: false,
            duration: Duration::from_millis(400),
            refs: RefCounts::default(),
            received: 0,
            disk: None,
            kept: None,
            failure: None,
            notes: Vec::new(),
            destinations: Vec::new(),
            releases: Vec::new(),
        }
    }

    #[test]
    fn only_what_happened_to_refs_is_counted() {
        let refs = RefCounts { created: 3, forwarded: 2, forced: 1, deleted: 1, total: 9 };
        assert_eq!(refs.to_string(), "+3 ~2 !1 -1");
        assert_eq!(RefCounts { deleted: 4, ..RefCounts::default() }.to_string(), "-4");
        assert_eq!(RefCounts::default().to_string(), "");
    }

    #[test]
    fn a_verdict_is_one_word_for_the_store_and_may_be_two_for_the_table() {
        let stored = [Verdict::Cloned, Verdict::Updated, Verdict::Current, Verdict::Empty, Verdict::Gone];
        for verdict in stored.into_iter().chain([Verdict::Held, Verdict::Unavailable, Verdict::Failed]) {
            let json = serde_json::to_string(&verdict).unwrap();
            assert_eq!(json, format!("\"{}\"", verdict.as_str()));
        }
        assert_eq!([Verdict::WouldClone, Verdict::WouldUpdate].map(Verdict::as_str), ["would clone", "would update"]);
    }

    #[test]
    fn a_name_that_would_leave_the_storage_is_refused() {
        for (namespace, name) in [
            ("..", "x"),
            ("ns", ".."),
            ("ns", "."),
            ("ns", ".git"),
            (".GIT", "x"),
            ("ns", "a/b"),
            ("ns", "a\\b"),
            ("a//b", "x"),
        ] {
            assert!(RepoPath::new(namespace, name).is_err(), "{namespace}/{name}");
        }
        assert!(RepoPath::new("ns", "a\nb").is_err());
        assert!(RepoPath::new("ns", &"x".repeat(241)).is_err());
    }

    #[test]
    fn odd_but_harmless_names_keep_their_place() {
        for name in ["-oProxyCommand=x", "a b", "Ünï", ".github", "HEAD", "dots..dots", "name.git.inside"] {
            let path = RepoPath::new("group/sub", name).unwrap();
            assert_eq!(path.mirror_path("h"), PathBuf::from(format!("h/group/sub/{name}.git")));
        }
        assert_eq!(RepoPath::parse("x").unwrap().mirror_path("local"), PathBuf::from("local/x.git"));
    }
}
