//! The nouns of projections: how the releases of a repository came out at one place, and what we made there.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Status;
use crate::base::failure::{Failure, Reason};

/// The place that a backup's releases are at, beside the ids of destinations.
pub const DISK: &str = "local";

/// What was done at a place, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "lowercase")]
pub enum ReleaseVerdict {
    /// Something was written, and all that should be there is.
    Projected,
    /// A dry run found something to write.
    #[strum(to_string = "would project")]
    WouldProject,
    /// Nothing had to be written.
    Current,
    /// Something that should be there is not; the problems say what.
    Behind,
    Failed,
    /// Not tried; the failure says why.
    Skipped,
}

impl ReleaseVerdict {
    /// The word for the table.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The contract's coarser word.
    pub fn status(self) -> Status {
        match self {
            ReleaseVerdict::Projected | ReleaseVerdict::WouldProject | ReleaseVerdict::Current => Status::Success,
            ReleaseVerdict::Behind | ReleaseVerdict::Failed => Status::Failed,
            ReleaseVerdict::Skipped => Status::Skipped,
        }
    }

    /// Whether the place has what it should.
    pub fn in_step(self) -> bool {
        matches!(self, ReleaseVerdict::Projected | ReleaseVerdict::WouldProject | ReleaseVerdict::Current)
    }
}

/// How many releases are what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseCounts {
    /// As they should be, and nothing was written.
    pub in_sync: usize,
    pub created: usize,
    pub updated: usize,
    pub deleted: usize,
    /// Of the same tag, and made by somebody else: left as they are.
    pub foreign: usize,
    /// Some of their files or links are missing.
    pub incomplete: usize,
    /// Their tag is not at the destination.
    pub deferred: usize,
    /// Files copied.
    pub assets: usize,
    /// Bytes of the files copied.
    pub bytes: u64,
}

impl ReleaseCounts {
    /// Adds the others.
    pub fn add(&mut self, other: &ReleaseCounts) {
        let ReleaseCounts { in_sync, created, updated, deleted, foreign, incomplete, deferred, assets, bytes } = other;
        self.in_sync += in_sync;
        self.created += created;
        self.updated += updated;
        self.deleted += deleted;
        self.foreign += foreign;
        self.incomplete += incomplete;
        self.deferred += deferred;
        self.assets += assets;
        self.bytes += bytes;
    }

    /// Releases that are not what they were.
    pub fn changed(&self) -> usize {
        self.created + self.updated + self.deleted
    }
}

/// Why a release, or a file of it, is not as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseProblem {
    pub tag: String,
    /// The file or link, when it is about one.
    pub asset: Option<String>,
    pub failure: Failure,
}

/// How the releases of one repository came out at one place.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleasesOutcome {
    /// The destination's id, or [`DISK`].
    pub destination: String,
    pub verdict: ReleaseVerdict,
    pub duration: Duration,
    pub counts: ReleaseCounts,
    pub problems: Vec<ReleaseProblem>,
    /// Why nothing was done at all.
    pub failure: Option<Failure>,
    /// Things a person should know that are no failures; in a dry run what would be done.
    pub notes: Vec<String>,
}

impl ReleasesOutcome {
    /// An outcome with nothing in it but its verdict.
    pub fn new(destination: &str, verdict: ReleaseVerdict) -> Self {
        ReleasesOutcome {
            destination: destination.to_owned(),
            verdict,
            duration: Duration::ZERO,
            counts: ReleaseCounts::default(),
            problems: Vec::new(),
            failure: None,
            notes: Vec::new(),
        }
    }

    /// An outcome that is a failure.
    pub fn failed(destination: &str, failure: Failure) -> Self {
        let verdict = match failure.reason() {
            Reason::Cancelled => ReleaseVerdict::Skipped,
            _ => ReleaseVerdict::Failed,
        };
        ReleasesOutcome { failure: Some(failure), ..Self::new(destination, verdict) }
    }

    /// Counts releases that were deleted before their tags, in whatever way the rest came out.
    pub fn add_deleted(&mut self, number: usize) {
        self.counts.deleted += number;
        if number > 0 && self.verdict == ReleaseVerdict::Current {
            self.verdict = ReleaseVerdict::Projected;
        }
    }

    /// Whether the place has not got what it should; one that our own stopping left out is none that is behind.
    pub fn is_behind(&self) -> bool {
        let stopped = self.failure.as_ref().is_some_and(|failure| failure.reason() == Reason::Cancelled);
        !self.verdict.in_step() && !stopped
    }
}

/// A release that we made at a destination, as the store remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeRelease {
    pub tag: String,
    /// The forge's id of it.
    pub id: String,
    /// What it was made from (16 hex digits).
    pub state: String,
    /// It was seen to be whole. `false` while it is being made.
    pub complete: bool,
    pub assets: Vec<MadeAsset>,
    /// The names of the links that we put there.
    pub links: Vec<String>,
}

/// A file that we put there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeAsset {
    pub name: String,
    /// The forge's id of it.
    pub id: String,
    /// What tells this version of the file from others at the source.
    pub source: String,
}
