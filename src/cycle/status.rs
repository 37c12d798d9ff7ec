//! What the store knows of every mirror, as rows and as a JSON document. Pure; `now` is given.

use std::path::PathBuf;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, schema_for};
use serde::Serialize;
use serde_json::Value;

use crate::base::failure::Failure;
use crate::base::redact::redact;
use crate::cycle::report::document::{self, FailureDocument};
use crate::mirror::storage::Storage;
use crate::model::destination::PushVerdict;
use crate::model::{Status, Verdict};
use crate::store::{DestinationRecord, MirrorRecord, Run};

/// What is known of one mirror.
#[derive(Debug, Clone, PartialEq)]
pub struct StatusRow {
    /// `namespace/name`.
    pub name: String,
    /// The id of the source that lists it.
    pub source: String,
    /// The mirror's directory.
    pub path: PathBuf,
    /// When it was last known to equal its source.
    pub last_success: Option<Timestamp>,
    pub last_attempt: Option<Timestamp>,
    /// How the last attempt came out.
    pub verdict: Option<Verdict>,
    /// On disk.
    pub size_bytes: Option<u64>,
    /// In how many packs its objects are.
    pub packs: Option<u64>,
    /// Refs in the mirror, kept ones not counted.
    pub refs: Option<u64>,
    pub kept_refs: usize,
    /// Why the last attempt failed.
    pub failure: Option<Failure>,
    pub failures_in_a_row: u32,
    /// Since when the repository no longer exists at its source.
    pub gone_since: Option<Timestamp>,
    /// The last success is recent enough to be relied on.
    pub fresh: bool,
    /// It was mirrored, and its directory does not exist any more.
    pub missing: bool,
    /// What is known of it on each destination it was pushed to.
    pub destinations: Vec<DestinationStatus>,
}

/// What is known of a mirror on one destination.
#[derive(Debug, Clone, PartialEq)]
pub struct DestinationStatus {
    /// The destination's id.
    pub id: String,
    /// Where on it, without any credential.
    pub place: String,
    /// How the last attempt came out.
    pub verdict: PushVerdict,
    /// When it was last in step.
    pub last_success: Option<Timestamp>,
    /// Why the last attempt failed.
    pub failure: Option<Failure>,
    /// The last success there is too long ago.
    pub late: bool,
    /// Whether the configuration still names it; nobody brings up to date what it does not.
    pub configured: bool,
}

impl From<DestinationRecord> for DestinationStatus {
    fn from(record: DestinationRecord) -> Self {
        let DestinationRecord { destination: id, place, verdict, last_success, failure, .. } = record;
        DestinationStatus { id, place, verdict, last_success, failure, late: false, configured: true }
    }
}

impl DestinationStatus {
    /// Whether somebody has to look at it.
    fn needs_attention(&self) -> bool {
        self.configured && (self.late || !self.verdict.in_step())
    }
}

/// The version of the JSON status; 2 since the state `late`, which was `stale`.
const SCHEMA_VERSION: u32 = 2;

/// How many of the last runs are shown.
pub const RUNS: u32 = 5;

/// A mirror's state in one word: the first that is true of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, strum::IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum State {
    /// It was mirrored, and its directory does not exist any more.
    Missing,
    /// The source repository no longer exists; its mirror is kept.
    Gone,
    /// A guard stopped the last attempt.
    Held,
    /// The last attempt failed.
    Failed,
    /// The forge has disabled or blocked the repository; its mirror is kept.
    Unavailable,
    /// It was never mirrored.
    Never,
    /// The last success is recent.
    Fresh,
    /// The last success is longer ago than `stale_after`.
    Late,
}

impl State {
    /// The word for table and JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl StatusRow {
    /// The row of a mirror, without what its destinations and its age say.
    pub fn of(record: MirrorRecord, storage: &Storage) -> Self {
        let path = storage.path(&record.mirror);
        StatusRow {
            name: record.path.to_string(),
            source: record.source,
            missing: record.last_success.is_some() && !path.is_dir(),
            path,
            last_success: record.last_success,
            last_attempt: record.last_attempt,
            verdict: Some(record.verdict),
            size_bytes: record.size_bytes,
            packs: record.packs,
            refs: record.last_success.map(|_| record.refs),
            kept_refs: usize::try_from(record.kept_refs).unwrap_or(usize::MAX),
            failure: record.failure,
            failures_in_a_row: record.failures_in_a_row,
            gone_since: record.gone_since,
            fresh: false,
            destinations: Vec::new(),
        }
    }

    /// Returns the state in one word.
    pub fn state(&self) -> State {
        let status = self.verdict.map(Verdict::status);
        if self.missing {
            State::Missing
        } else if self.gone_since.is_some() || self.verdict == Some(Verdict::Gone) {
            State::Gone
        } else if self.verdict == Some(Verdict::Held) {
            State::Held
        } else if self.failure.is_some() || status == Some(Status::Failed) {
            State::Failed
        } else if self.verdict == Some(Verdict::Unavailable) {
            State::Unavailable
        } else if self.last_success.is_none() {
            State::Never
        } else if self.fresh {
            State::Fresh
        } else {
            State::Late
        }
    }

    /// Whether somebody has to look at it or at one of its destinations; this is what `--check` finds.
    pub fn needs_attention(&self) -> bool {
        let here = match self.state() {
            State::Gone | State::Unavailable | State::Fresh => false,
            State::Missing | State::Held | State::Failed | State::Never | State::Late => true,
        };
        here || self.destinations.iter().any(DestinationStatus::needs_attention)
    }
}

/// Whether there are mirrors and none of them needs attention.
pub fn is_ok(rows: &[StatusRow]) -> bool {
    !rows.is_empty() && !rows.iter().any(StatusRow::needs_attention)
}

/// The rows in the order in which they are shown.
pub fn sorted(rows: &[StatusRow]) -> Vec<&StatusRow> {
    let mut rows: Vec<&StatusRow> = rows.iter().collect();
    rows.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.path.cmp(&b.path)));
    rows
}

/// The JSON document of `holocron status --json`.
#[derive(Debug, Serialize, JsonSchema)]
struct StatusDocument {
    /// Grows when a field or one of its words goes or changes its meaning.
    schema_version: u32,
    /// The version of Holocron that wrote this.
    holocron: String,
    /// When the store was read, RFC 3339 in UTC.
    #[schemars(with = "String")]
    now: Timestamp,
    /// Whether nothing needs attention: what `--check` says with its exit code.
    ok: bool,
    /// Every mirror, sorted by name.
    mirrors: Vec<MirrorStatus>,
    /// The last runs, the newest first; cycles of a watch in which nothing happened are not written down.
    runs: Vec<RunDocument>,
}

/// One run.
#[derive(Debug, Serialize, JsonSchema)]
struct RunDocument {
    #[schemars(with = "String")]
    started: Timestamp,
    #[schemars(with = "Option<String>")]
    finished: Option<Timestamp>,
    exit_code: Option<u8>,
    /// The report's `totals`.
    totals: Option<Value>,
}

impl From<&Run> for RunDocument {
    fn from(run: &Run) -> Self {
        let Run { started, finished, exit_code, totals, .. } = run.clone();
        RunDocument { started, finished, exit_code, totals }
    }
}

/// One mirror.
#[derive(Debug, Serialize, JsonSchema)]
struct MirrorStatus {
    name: String,
    source: String,
    path: String,
    state: State,
    fresh: bool,
    /// Whether somebody has to look at it or at one of its destinations.
    needs_attention: bool,
    #[schemars(with = "Option<String>")]
    last_success: Option<Timestamp>,
    #[schemars(with = "Option<String>")]
    last_attempt: Option<Timestamp>,
    verdict: Option<Verdict>,
    size_bytes: Option<u64>,
    packs: Option<u64>,
    refs: Option<u64>,
    kept_refs: usize,
    failure: Option<FailureDocument>,
    failures_in_a_row: u32,
    #[schemars(with = "Option<String>")]
    gone_since: Option<Timestamp>,
    destinations: Vec<DestinationDocument>,
}

/// One mirror on one destination.
#[derive(Debug, Serialize, JsonSchema)]
struct DestinationDocument {
    id: String,
    place: String,
    verdict: PushVerdict,
    #[schemars(with = "Option<String>")]
    last_success: Option<Timestamp>,
    failure: Option<FailureDocument>,
    /// Whether the last success there is longer ago than `stale_after`.
    late: bool,
    configured: bool,
}

impl From<&DestinationStatus> for DestinationDocument {
    fn from(status: &DestinationStatus) -> Self {
        DestinationDocument {
            id: redact(&status.id),
            place: redact(&status.place),
            verdict: status.verdict,
            last_success: status.last_success,
            failure: status.failure.as_ref().map(FailureDocument::from),
            late: status.late,
            configured: status.configured,
        }
    }
}

/// Returns the JSON document, indented, on lines of its own.
pub fn json(rows: &[StatusRow], runs: &[Run], now: Timestamp) -> String {
    let mirrors = sorted(rows).into_iter().map(|row| MirrorStatus {
        name: redact(&row.name),
        source: redact(&row.source),
        path: redact(&row.path.to_string_lossy()),
        state: row.state(),
        fresh: row.fresh,
        needs_attention: row.needs_attention(),
        last_success: row.last_success,
        last_attempt: row.last_attempt,
        verdict: row.verdict,
        size_bytes: row.size_bytes,
        packs: row.packs,
        refs: row.refs,
        kept_refs: row.kept_refs,
        failure: row.failure.as_ref().map(FailureDocument::from),
        failures_in_a_row: row.failures_in_a_row,
        gone_since: row.gone_since,
        destinations: row.destinations.iter().map(DestinationDocument::from).collect(),
    });
    document::text(&StatusDocument {
        schema_version: SCHEMA_VERSION,
        holocron: env!("CARGO_PKG_VERSION").to_owned(),
        now,
        ok: is_ok(rows),
        mirrors: mirrors.collect(),
        runs: runs.iter().map(RunDocument::from).collect(),
    })
}

/// Returns the schema of the JSON status.
pub fn schema() -> Schema {
    schema_for!(StatusDocument)
}
