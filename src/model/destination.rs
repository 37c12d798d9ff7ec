//! The nouns of destinations: what is wished for there, what is there, and how a mirror came out on one of them.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{RepoPath, Status, Visibility};
use crate::base::failure::{Failure, Reason};
use crate::base::redact::redact;
use crate::base::url::RemoteUrl;

/// The kinds of destination.
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
    strum::IntoStaticStr,
    strum::Display,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum DestinationKind {
    /// GitHub.com or GitHub Enterprise.
    Github,
    /// GitLab.com or a GitLab of your own.
    Gitlab,
    /// Gitea, Forgejo and Codeberg.
    Gitea,
    /// A git server without an API, or a directory.
    Git,
}

impl DestinationKind {
    /// The name as in config and on the command line.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// How a repository is to be made on a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRepo {
    pub path: RepoPath,
    pub visibility: Visibility,
    pub description: Option<String>,
    /// The default branch's short name, where it is known.
    pub default_branch: Option<String>,
    /// The source's: a repository cannot change it later.
    pub object_format: ObjectFormat,
}

/// The hash by which a repository names its objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum ObjectFormat {
    #[default]
    Sha1,
    Sha256,
}

/// A repository on a destination, as its forge shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The forge's own id; for plain git the URL.
    pub id: String,
    /// Where it is: `namespace/name` as the forge spells it.
    pub path: RepoPath,
    /// What git is given, without any credential.
    pub url: RemoteUrl,
    /// The default branch's short name, where the forge tells.
    pub default_branch: Option<String>,
    /// Archived: it takes no pushes.
    pub archived: bool,
    /// It pulls from somewhere else by itself and takes no pushes.
    pub pull_mirror: bool,
    pub visibility: Option<Visibility>,
}

/// What was done at a destination, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "lowercase")]
pub enum PushVerdict {
    /// Refs were pushed, and all that should be there is.
    Pushed,
    /// A dry run found something to push or to make.
    #[strum(to_string = "would push")]
    WouldPush,
    /// Nothing had to be pushed.
    Current,
    /// Refs were left as they are because the destination has commits that the source lacks.
    Diverged,
    /// A guard stopped deletions.
    Held,
    /// Some refs were refused; the others are as they should be.
    Refused,
    Failed,
    /// Not tried; the failure says why.
    Skipped,
}

impl PushVerdict {
    /// The word for the table.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The contract's coarser word.
    pub fn status(self) -> Status {
        match self {
            PushVerdict::Pushed | PushVerdict::WouldPush | PushVerdict::Current => Status::Success,
            PushVerdict::Diverged | PushVerdict::Held | PushVerdict::Refused | PushVerdict::Failed => Status::Failed,
            PushVerdict::Skipped => Status::Skipped,
        }
    }

    /// Whether the destination is in step.
    pub fn in_step(self) -> bool {
        matches!(self, PushVerdict::Pushed | PushVerdict::WouldPush | PushVerdict::Current)
    }
}

/// How many refs a push touched at one destination.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PushCounts {
    pub created: usize,
    pub forwarded: usize,
    pub forced: usize,
    pub deleted: usize,
    /// Refused by the destination.
    pub refused: usize,
    /// Foreign or diverged refs that were left as they are.
    pub kept: usize,
}

impl PushCounts {
    /// Refs that are not what they were.
    pub fn changed(&self) -> usize {
        self.created + self.forwarded + self.forced + self.deleted
    }
}

/// One ref that a destination refused, or that we left as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefusedRef {
    /// The full ref name.
    pub name: String,
    pub reason: Reason,
    /// The destination's own words, redacted.
    pub message: String,
    /// The last lines that the destination printed about it, redacted and printable; given once where several refs were
    /// refused with the same ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
}

impl RefusedRef {
    /// A ref that was refused; secrets in `message` are masked.
    pub fn new(name: impl fmt::Display, reason: Reason, message: impl AsRef<str>) -> Self {
        let message = redact(message.as_ref().trim());
        RefusedRef { name: name.to_string(), reason, message, evidence: Vec::new() }
    }
}

/// How a mirror came out on one destination.
#[derive(Debug, Clone, PartialEq)]
pub struct DestinationOutcome {
    /// The destination's id.
    pub destination: String,
    /// What it is, where it was got so far; the way out of a failure differs.
    pub kind: Option<DestinationKind>,
    /// Where on it: the URL without any credential, or `namespace/name` when there is no URL yet.
    pub place: String,
    pub verdict: PushVerdict,
    /// It was created in this run.
    pub created: bool,
    /// What the destination advertises after the push is what it should.
    pub verified: bool,
    pub duration: Duration,
    pub refs: PushCounts,
    pub refused: Vec<RefusedRef>,
    pub failure: Option<Failure>,
    /// Things a person should know that are no failures.
    pub notes: Vec<String>,
}

impl DestinationOutcome {
    /// An outcome with nothing in it but its verdict.
    pub fn new(destination: &str, place: impl Into<String>, verdict: PushVerdict) -> Self {
        DestinationOutcome {
            destination: destination.to_owned(),
            kind: None,
            place: place.into(),
            verdict,
            created: false,
            verified: false,
            duration: Duration::ZERO,
            refs: PushCounts::default(),
            refused: Vec::new(),
            failure: None,
            notes: Vec::new(),
        }
    }

    /// An outcome that is a failure.
    pub fn failed(destination: &str, place: impl Into<String>, failure: Failure) -> Self {
        let verdict = match failure.reason() {
            Reason::Held => PushVerdict::Held,
            Reason::Diverged => PushVerdict::Diverged,
            Reason::Cancelled => PushVerdict::Skipped,
            _ => PushVerdict::Failed,
        };
        DestinationOutcome { failure: Some(failure), ..Self::new(destination, place, verdict) }
    }

    /// Whether the destination is not in step; one that our own stopping left out is none that is behind.
    pub fn is_behind(&self) -> bool {
        let stopped = self.failure.as_ref().is_some_and(|failure| failure.reason() == Reason::Cancelled);
        !self.verdict.in_step() && !stopped
    }
}
