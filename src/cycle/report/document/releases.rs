//! What the document says of releases.

use schemars::JsonSchema;
use serde::Serialize;

use super::{FailureDocument, seconds};
use crate::base::redact::redact;
use crate::model::Status;
use crate::model::projection::{ReleaseCounts, ReleaseVerdict, ReleasesOutcome};

/// How the releases of a mirror came out at one place.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Releases {
    /// The destination's id; `local` is the backup on disk.
    id: String,
    status: Status,
    verdict: ReleaseVerdict,
    duration_seconds: f64,
    releases: ReleaseCounts,
    /// Releases and files that are not as they should be.
    problems: Vec<Problem>,
    failure: Option<FailureDocument>,
    notes: Vec<String>,
}

/// A release, or a file of it, that is not as it should be.
#[derive(Debug, Serialize, JsonSchema)]
struct Problem {
    tag: String,
    /// The file or link, when it is about one.
    asset: Option<String>,
    #[serde(flatten)]
    failure: FailureDocument,
}

/// Sums over all mirrors and their places.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct ReleaseTotals {
    #[serde(flatten)]
    releases: ReleaseCounts,
    /// Places that have not got what they should.
    behind: usize,
}

impl From<&ReleasesOutcome> for Releases {
    fn from(outcome: &ReleasesOutcome) -> Self {
        let problems = outcome.problems.iter().map(|problem| Problem {
            tag: redact(&problem.tag),
            asset: problem.asset.as_deref().map(redact),
            failure: (&problem.failure).into(),
        });
        Releases {
            id: redact(&outcome.destination),
            status: outcome.verdict.status(),
            verdict: outcome.verdict,
            duration_seconds: seconds(outcome.duration),
            releases: outcome.counts.clone(),
            problems: problems.collect(),
            failure: outcome.failure.as_ref().map(FailureDocument::from),
            notes: outcome.notes.iter().map(|note| redact(note)).collect(),
        }
    }
}

impl ReleaseTotals {
    /// Counts one more.
    pub(super) fn add(&mut self, outcome: &ReleasesOutcome, is_behind: bool) {
        self.releases.add(&outcome.counts);
        self.behind += usize::from(is_behind);
    }
}
