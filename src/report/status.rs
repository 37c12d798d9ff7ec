//! `holocron status`: what the store knows of every mirror, as table and as JSON. Pure; `now` is given.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, schema_for};
use serde::Serialize;
use serde_json::Value;

use super::View;
use super::document::{self, FailureDocument};
use super::failures::{self, Entry};
use super::table::columns;
use crate::failure::Failure;
use crate::model::destination::PushVerdict;
use crate::model::{Status, Verdict};
use crate::secret::redact;
use crate::store::{DestinationRecord, Run};
use crate::text::{Tone, ago, bytes, clean, count, duration};

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
    fn tone(&self) -> Tone {
        match self.verdict {
            _ if !self.configured => Tone::Faint,
            PushVerdict::Pushed | PushVerdict::WouldPush | PushVerdict::Current => Tone::Neutral,
            PushVerdict::Failed => Tone::Bad,
            _ => Tone::Warning,
        }
    }

    /// Whether somebody has to look at it.
    fn needs_attention(&self) -> bool {
        self.configured && (self.late || !self.verdict.in_step())
    }

    fn state_text(&self) -> &'static str {
        if self.configured && self.late && self.verdict.in_step() {
            return "late";
        }
        if self.configured { self.verdict.as_str() } else { "not configured any more" }
    }
}

/// The version of the JSON status; 2 since the state `late`, which was `stale`.
const SCHEMA_VERSION: u32 = 2;

/// How many of the last runs are shown.
pub const RUNS: u32 = 5;

/// A mirror's state in one word: the first that is true of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
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

const STATES: [State; 8] = [
    State::Fresh,
    State::Late,
    State::Never,
    State::Gone,
    State::Unavailable,
    State::Held,
    State::Failed,
    State::Missing,
];

impl State {
    /// The word for table and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Gone => "gone",
            State::Held => "held",
            State::Failed => "failed",
            State::Unavailable => "unavailable",
            State::Never => "never",
            State::Fresh => "fresh",
            State::Late => "late",
            State::Missing => "missing",
        }
    }

    fn tone(self) -> Tone {
        match self {
            State::Failed | State::Missing => Tone::Bad,
            State::Held | State::Late | State::Never => Tone::Warning,
            State::Gone | State::Unavailable | State::Fresh => Tone::Neutral,
        }
    }
}

impl StatusRow {
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

    /// The state with what makes it worse: `failed 3 times`, `gone since 2026-11-02`.
    fn state_text(&self) -> String {
        let state = self.state();
        match (state, self.gone_since) {
            (State::Gone, Some(since)) => format!("gone since {}", since.strftime("%Y-%m-%d")),
            (State::Failed | State::Held, _) if self.failures_in_a_row > 1 => {
                format!("{} {} times", state.as_str(), self.failures_in_a_row)
            }
            _ => state.as_str().to_owned(),
        }
    }
}

/// Returns one line per mirror sorted by name, below it one per destination, the failures with their way out, the last
/// runs, and a summary.
pub fn table(rows: &[StatusRow], runs: &[Run], now: Timestamp, view: View) -> String {
    let rows = sorted(rows);
    let when = |last: Option<Timestamp>| last.map_or_else(|| "never".to_owned(), |then| ago(then, now));
    let cells = |row: &StatusRow| {
        [
            clean(&row.name),
            when(row.last_success),
            row.size_bytes.map_or_else(String::new, bytes),
            row.refs.map_or_else(String::new, |refs| refs.to_string()),
            if row.kept_refs > 0 { row.kept_refs.to_string() } else { String::new() },
            row.state_text(),
        ]
    };
    let cells_there = |one: &DestinationStatus| {
        let [size, refs, kept] = [const { String::new() }; 3];
        [format!("  → {}", clean(&one.id)), when(one.last_success), size, refs, kept, one.state_text().to_owned()]
    };
    let (cells, tones): (Vec<_>, Vec<_>) = rows
        .iter()
        .flat_map(|row| {
            let there = row.destinations.iter().map(|one| (cells_there(one), one.tone()));
            [(cells(row), row.state().tone())].into_iter().chain(there)
        })
        .unzip();
    let header = ["name", "last success", "size", "refs", "kept", "state"];
    let mut blocks = Vec::new();
    if !rows.is_empty() {
        blocks.push(columns(header, &[1, 2, 3, 4], cells, &tones, view));
    }
    let entries: Vec<Entry<'_>> = rows
        .iter()
        .flat_map(|row| {
            let here = row.failure.iter().map(|failure| (&row.source, clean(&row.name), failure));
            let there = row.destinations.iter().filter(|one| one.configured).filter_map(|one| {
                Some((&one.id, format!("{} → {}", clean(&row.name), clean(&one.id)), one.failure.as_ref()?))
            });
            here.chain(there)
        })
        .map(|(origin, name, failure)| Entry { origin, name, failure: Cow::Borrowed(failure) })
        .collect();
    if !entries.is_empty() {
        blocks.push(failures::render(&entries, view.detail, view.paint));
    }
    if !runs.is_empty() {
        blocks.push(last_runs(runs, now, view));
    }
    blocks.push(summary(&rows));
    blocks.join("\n")
}

fn summary(rows: &[&StatusRow]) -> String {
    let number = |state: State| rows.iter().filter(|row| row.state() == state).count();
    let counts: Vec<String> = STATES
        .iter()
        .map(|state| (number(*state), state.as_str()))
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| format!("{number} {word}"))
        .collect();
    let counts = if counts.is_empty() { String::new() } else { format!(": {}", counts.join(", ")) };
    let sizes: u64 = rows.iter().filter_map(|row| row.size_bytes).sum();
    let sizes = if sizes > 0 { format!("; {} on disk", bytes(sizes)) } else { String::new() };
    let there = || rows.iter().flat_map(|row| &row.destinations).filter(|one| one.configured);
    let in_step = there().filter(|one| one.verdict.in_step()).count();
    let there = match (in_step, there().count() - in_step) {
        (0, 0) => String::new(),
        (in_step, 0) => format!("; at destinations: {in_step} in step"),
        (in_step, behind) => format!("; at destinations: {in_step} in step, {behind} behind"),
    };
    format!("{}{counts}{there}{sizes}.\n", count(rows.len(), "mirror"))
}

/// One line per run: when it began, how long it took, how it ended, and what it did.
fn last_runs(runs: &[Run], now: Timestamp, view: View) -> String {
    let cells = |run: &Run| {
        let took = run.finished.and_then(|end| Duration::try_from(end.duration_since(run.started)).ok());
        let ended = run.exit_code.map_or_else(|| "not finished".to_owned(), |code| format!("exit {code}"));
        let took = took.map_or_else(String::new, duration);
        [ago(run.started, now), took, ended, run.totals.as_ref().map_or_else(String::new, done)]
    };
    let tone = |run: &Run| if run.exit_code == Some(0) { Tone::Neutral } else { Tone::Warning };
    let tones: Vec<Tone> = runs.iter().map(tone).collect();
    columns(["last runs", "time", "end", "done"], &[1], runs.iter().map(cells).collect(), &tones, view)
}

/// A run's totals in a few words: `233 mirrors: 1 updated, 231 current, 1 failed; at destinations: 1 pushed`.
fn done(totals: &Value) -> String {
    let number = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or(0);
    let counts = |from: &Value, words: &[&str]| {
        let counts = words.iter().map(|word| (number(&from[*word]), *word)).filter(|(number, _)| *number > 0);
        counts.map(|(number, word)| format!("{number} {word}")).collect::<Vec<_>>().join(", ")
    };
    const HERE: [&str; 9] =
        ["cloned", "updated", "current", "empty", "gone", "unavailable", "held", "failed", "skipped"];
    const THERE: [&str; 7] = ["pushed", "current", "diverged", "held", "refused", "failed", "skipped"];
    let part = |lead: &str, text: String| if text.is_empty() { text } else { format!("{lead}{text}") };
    let mut text = count(number(&totals["mirrors"]), "mirror") + &part(": ", counts(totals, &HERE));
    text += &part("; at destinations: ", counts(&totals["destinations"], &THERE));
    if number(&totals["source_failures"]) > 0 {
        text += &format!("; {} not listed", count(number(&totals["source_failures"]), "source"));
    }
    text
}

/// Whether there are mirrors and none of them needs attention.
pub fn is_ok(rows: &[StatusRow]) -> bool {
    !rows.is_empty() && !rows.iter().any(StatusRow::needs_attention)
}

fn sorted(rows: &[StatusRow]) -> Vec<&StatusRow> {
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

#[cfg(test)]
mod tests;
