//! What the document says of destinations.

use schemars::JsonSchema;
use serde::Serialize;

use super::{FailureDocument, seconds};
use crate::base::failure::{Failure, Reason};
use crate::base::redact::redact;
use crate::model::Status;
use crate::model::advice::advise;
use crate::model::destination::{DestinationOutcome, PushCounts, PushVerdict};

/// How a mirror came out on one destination.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Destination {
    /// The destination's id.
    id: String,
    /// Where on it: a URL without any credential, or `namespace/name`.
    place: String,
    status: Status,
    verdict: PushVerdict,
    /// It has what it takes; some refs there are behind.
    degraded: bool,
    /// The repository was created in this run.
    created: bool,
    /// What it advertises after the push is what it should.
    verified: bool,
    duration_seconds: f64,
    refs: PushCounts,
    /// Refs that were refused or left as they are.
    refused: Vec<Refused>,
    failure: Option<FailureDocument>,
    notes: Vec<String>,
}

/// One ref that was refused or left as it is.
#[derive(Debug, Serialize, JsonSchema)]
struct Refused {
    name: String,
    reason: Reason,
    /// The destination's own words.
    message: String,
    /// The last lines that the destination's server and hooks printed, at most 20; given once where several refs were
    /// refused with the same ones.
    evidence: Vec<String>,
    /// What to do about it.
    hint: Option<String>,
}

/// Sums over all mirrors and their destinations.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct DestinationTotals {
    pushed: usize,
    /// Of a dry run.
    would_push: usize,
    current: usize,
    diverged: usize,
    held: usize,
    refused: usize,
    failed: usize,
    skipped: usize,
    /// Counted among the others, too.
    behind: usize,
    /// Counted among the others, too.
    created: usize,
    refs: PushCounts,
}

impl From<&DestinationOutcome> for Destination {
    fn from(outcome: &DestinationOutcome) -> Self {
        let refused = outcome.refused.iter().map(|one| Refused {
            name: redact(&one.name),
            reason: one.reason,
            message: redact(&one.message),
            evidence: one.evidence.iter().map(|line| redact(line)).collect(),
            hint: advise(Failure::new(one.reason, &one.message), outcome.kind).way_out().map(str::to_owned),
        });
        Destination {
            id: redact(&outcome.destination),
            place: redact(&outcome.place),
            status: outcome.verdict.status(),
            verdict: outcome.verdict,
            degraded: matches!(outcome.verdict, PushVerdict::Diverged | PushVerdict::Held | PushVerdict::Refused),
            created: outcome.created,
            verified: outcome.verified,
            duration_seconds: seconds(outcome.duration),
            refs: outcome.refs.clone(),
            refused: refused.collect(),
            failure: outcome.failure.as_ref().map(FailureDocument::from),
            notes: outcome.notes.iter().map(|note| redact(note)).collect(),
        }
    }
}

impl DestinationTotals {
    /// Counts one more.
    pub(super) fn add(&mut self, outcome: &DestinationOutcome, is_behind: bool) {
        *match outcome.verdict {
            PushVerdict::Pushed => &mut self.pushed,
            PushVerdict::WouldPush => &mut self.would_push,
            PushVerdict::Current => &mut self.current,
            PushVerdict::Diverged => &mut self.diverged,
            PushVerdict::Held => &mut self.held,
            PushVerdict::Refused => &mut self.refused,
            PushVerdict::Failed => &mut self.failed,
            PushVerdict::Skipped => &mut self.skipped,
        } += 1;
        self.behind += usize::from(is_behind);
        self.created += usize::from(outcome.created);
        self.refs.created += outcome.refs.created;
        self.refs.forwarded += outcome.refs.forwarded;
        self.refs.forced += outcome.refs.forced;
        self.refs.deleted += outcome.refs.deleted;
        self.refs.refused += outcome.refs.refused;
        self.refs.kept += outcome.refs.kept;
    }
}
