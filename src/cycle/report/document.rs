//! The report for machines: one JSON document, an interface with a version.
//!
//! The structs are apart from the model's, so that code can change where the document may not. `docs/report.md` names
//! every field.

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, schema_for};
use serde::Serialize;

use self::destination::{Destination, DestinationTotals};
use self::releases::{ReleaseTotals, Releases};
use super::{Report, SCHEMA_VERSION};
use crate::base::failure::{Failure, Reason};
use crate::base::redact::redact;
use crate::base::text::is_unprintable;
use crate::git::{Fetches, Looks};
use crate::model::{Outcome, RefCounts, Status, Verdict};

mod destination;
mod releases;

/// The JSON report of one run.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Document {
    /// Grows when a field or one of its words goes or changes its meaning.
    schema_version: u32,
    /// The version of Holocron that wrote this.
    holocron: String,
    /// When the run began, RFC 3339 in UTC.
    #[schemars(with = "String")]
    started: Timestamp,
    /// When it ended, RFC 3339 in UTC.
    #[schemars(with = "String")]
    finished: Timestamp,
    duration_seconds: f64,
    /// The process's exit code, as far as this run decides it.
    exit_code: u8,
    dry_run: bool,
    /// `SIGINT` or `SIGTERM` when a signal ended the run early.
    interrupted: Option<String>,
    /// Mirrors that are not in `mirrors`, because a second signal ended the run before they had a result.
    unfinished: usize,
    /// The storage root.
    storage: String,
    totals: Totals,
    /// Every mirror, sorted by name.
    mirrors: Vec<Mirror>,
    /// Sources that could not be listed.
    source_failures: Vec<Source>,
    /// Parts of listings that were refused.
    refused: Vec<Part>,
    /// What was asked for and matched nothing.
    unmatched: Vec<Idle>,
    warnings: Vec<String>,
}

/// Sums over the run.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct Totals {
    mirrors: usize,
    cloned: usize,
    updated: usize,
    /// Of a dry run, as `would_update`.
    would_clone: usize,
    would_update: usize,
    current: usize,
    empty: usize,
    gone: usize,
    unavailable: usize,
    held: usize,
    failed: usize,
    skipped: usize,
    /// Counted among the others, too.
    degraded: usize,
    source_failures: usize,
    refused: usize,
    refs: RefCounts,
    bytes_received: u64,
    /// How often remotes were asked for their refs.
    looks: Looks,
    /// How often objects were brought from them.
    fetches: Fetches,
    /// Of the mirrors whose size is known.
    size_bytes: u64,
    destinations: DestinationTotals,
    releases: ReleaseTotals,
}

/// One mirror.
#[derive(Debug, Serialize, JsonSchema)]
struct Mirror {
    /// `namespace/name`.
    name: String,
    /// The id of the source that listed it.
    source: String,
    /// The mirror's directory.
    path: String,
    result: Status,
    verdict: Verdict,
    /// The mirror is safe, something beside it is behind, such as a destination.
    degraded: bool,
    duration_seconds: f64,
    refs: RefCounts,
    bytes_received: u64,
    /// What the mirror takes on disk; null when it was never counted.
    size_bytes: Option<u64>,
    /// Its packs; null when they were never counted.
    packs: Option<u64>,
    failure: Option<FailureDocument>,
    notes: Vec<String>,
    /// In the order of the configuration.
    destinations: Vec<Destination>,
    /// How its releases came out, on the disk and at each destination that gets them.
    releases: Vec<Releases>,
}

/// A source that could not be listed.
#[derive(Debug, Serialize, JsonSchema)]
struct Source {
    source: String,
    failure: FailureDocument,
}

/// A part of a listing that was refused.
#[derive(Debug, Serialize, JsonSchema)]
struct Part {
    source: String,
    /// An organisation, a repository.
    what: String,
    failure: FailureDocument,
}

/// Something that was asked for and matched nothing.
#[derive(Debug, Serialize, JsonSchema)]
struct Idle {
    /// A source, a setting with its pattern.
    what: String,
    failure: FailureDocument,
}

/// A failure as documents show it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FailureDocument {
    reason: Reason,
    message: String,
    /// Git's or the server's own words.
    evidence: Option<String>,
    /// What to do about it.
    hint: Option<String>,
}

impl Document {
    pub(crate) fn of(report: &Report) -> Self {
        let finished = jiff::SignedDuration::try_from(report.duration)
            .ok()
            .and_then(|duration| report.started.checked_add(duration).ok())
            .unwrap_or(report.started);
        Document {
            schema_version: SCHEMA_VERSION,
            holocron: report.version.to_owned(),
            started: report.started,
            finished,
            duration_seconds: seconds(report.duration),
            exit_code: report.exit_code(),
            dry_run: report.dry_run,
            interrupted: report.interrupted.map(|interrupt| interrupt.as_str().to_owned()),
            unfinished: report.unfinished,
            storage: redact(&report.storage.to_string_lossy()),
            totals: Totals::of(report),
            mirrors: report.sorted().into_iter().map(|outcome| Mirror::of(report, outcome)).collect(),
            source_failures: report
                .source_failures
                .iter()
                .map(|failed| Source { source: redact(&failed.source), failure: (&failed.failure).into() })
                .collect(),
            refused: report
                .refused
                .iter()
                .map(|part| Part {
                    source: redact(&part.source),
                    what: redact(&part.what),
                    failure: (&part.failure).into(),
                })
                .collect(),
            unmatched: report
                .unmatched
                .iter()
                .map(|idle| Idle { what: redact(&idle.what), failure: (&idle.failure).into() })
                .collect(),
            warnings: report.warnings.iter().map(|warning| redact(warning)).collect(),
        }
    }
}

/// The totals alone, as they stand in the document.
pub(crate) fn totals(report: &Report) -> serde_json::Value {
    // Numbers under fixed names: nothing in them can fail to be written.
    serde_json::to_value(Totals::of(report)).unwrap_or_default()
}

impl Totals {
    fn of(report: &Report) -> Self {
        let mut totals = Totals {
            mirrors: report.outcomes.len(),
            source_failures: report.source_failures.len(),
            refused: report.refused.len(),
            looks: report.looks,
            fetches: report.fetches,
            ..Totals::default()
        };
        for outcome in &report.outcomes {
            *match outcome.verdict {
                Verdict::Cloned => &mut totals.cloned,
                Verdict::Updated => &mut totals.updated,
                Verdict::WouldClone => &mut totals.would_clone,
                Verdict::WouldUpdate => &mut totals.would_update,
                Verdict::Current => &mut totals.current,
                Verdict::Empty => &mut totals.empty,
                Verdict::Gone => &mut totals.gone,
                Verdict::Unavailable => &mut totals.unavailable,
                Verdict::Held => &mut totals.held,
                Verdict::Failed => &mut totals.failed,
                Verdict::Skipped => &mut totals.skipped,
            } += 1;
            totals.degraded += usize::from(is_degraded(report, outcome));
            totals.refs.created += outcome.refs.created;
            totals.refs.forwarded += outcome.refs.forwarded;
            totals.refs.forced += outcome.refs.forced;
            totals.refs.deleted += outcome.refs.deleted;
            totals.refs.total += outcome.refs.total;
            totals.bytes_received += outcome.received;
            totals.size_bytes += outcome.disk.map_or(0, |disk| disk.bytes);
            outcome.destinations.iter().for_each(|one| totals.destinations.add(one, report.is_behind(one)));
            outcome.releases.iter().for_each(|one| totals.releases.add(one, report.lacks_releases(one)));
        }
        totals
    }
}

impl Mirror {
    fn of(report: &Report, outcome: &Outcome) -> Self {
        Mirror {
            name: redact(&outcome.path.to_string()),
            source: redact(&outcome.source),
            path: redact(&report.storage.join(&outcome.mirror).to_string_lossy()),
            result: outcome.verdict.status(),
            verdict: outcome.verdict,
            degraded: is_degraded(report, outcome),
            duration_seconds: seconds(outcome.duration),
            refs: outcome.refs.clone(),
            bytes_received: outcome.received,
            size_bytes: outcome.disk.map(|disk| disk.bytes),
            packs: outcome.disk.and_then(|disk| disk.packs),
            failure: outcome.failure.as_ref().map(FailureDocument::from),
            notes: outcome.notes.iter().map(|note| redact(note)).collect(),
            destinations: outcome.destinations.iter().map(Destination::from).collect(),
            releases: outcome.releases.iter().map(Releases::from).collect(),
        }
    }
}

/// What the exit code says: a destination that only our own stopping left out degrades nothing.
fn is_degraded(report: &Report, outcome: &Outcome) -> bool {
    outcome.degraded
        || outcome.destinations.iter().any(|one| report.is_behind(one))
        || outcome.releases.iter().any(|one| report.lacks_releases(one))
}

impl From<&Failure> for FailureDocument {
    fn from(failure: &Failure) -> Self {
        FailureDocument {
            reason: failure.reason(),
            message: redact(failure.message()),
            evidence: failure.evidence().map(redact),
            hint: failure.way_out().map(redact),
        }
    }
}

/// Returns the schema of the JSON report.
pub fn schema() -> Schema {
    schema_for!(Document)
}

/// Milliseconds are exact enough, and floats of them print short.
fn seconds(duration: std::time::Duration) -> f64 {
    duration.as_millis() as f64 / 1_000.0
}

/// Returns a document as indented JSON with a line break at its end.
///
/// Unprintable characters are written as `\u001b`: a reader gets them back as they were, a terminal never sees them.
pub(crate) fn text(document: &impl Serialize) -> String {
    let json = serde_json::to_string_pretty(document).expect("documents have text keys and no failing serialisers");
    let mut text = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        // Outside of strings JSON has only ASCII, and inside of them no raw line break.
        if c != '\n' && is_unprintable(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                text += &format!("\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
pub(crate) mod tests;
