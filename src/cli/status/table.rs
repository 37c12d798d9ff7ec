//! The status as a table for people.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::base::text::{Tone, ago, bytes, clean, count, duration};
use crate::cli::failures::{self, Entry};
use crate::cli::table::columns;
use crate::cli::terminal::View;
use crate::cycle::status::{DestinationStatus, State, StatusRow, sorted};
use crate::model::destination::PushVerdict;
use crate::store::Run;

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
            state_text(row),
        ]
    };
    let cells_there = |one: &DestinationStatus| {
        let [size, refs, kept] = [const { String::new() }; 3];
        [format!("  → {}", clean(&one.id)), when(one.last_success), size, refs, kept, destination_text(one).to_owned()]
    };
    let (cells, tones): (Vec<_>, Vec<_>) = rows
        .iter()
        .flat_map(|row| {
            let there = row.destinations.iter().map(|one| (cells_there(one), destination_tone(one)));
            [(cells(row), state_tone(row.state()))].into_iter().chain(there)
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

fn state_tone(state: State) -> Tone {
    match state {
        State::Failed | State::Missing => Tone::Bad,
        State::Held | State::Late | State::Never => Tone::Warning,
        State::Gone | State::Unavailable | State::Fresh => Tone::Neutral,
    }
}

/// The state with what makes it worse: `failed 3 times`, `gone since 2026-11-02`.
fn state_text(row: &StatusRow) -> String {
    let state = row.state();
    match (state, row.gone_since) {
        (State::Gone, Some(since)) => format!("gone since {}", since.strftime("%Y-%m-%d")),
        (State::Failed | State::Held, _) if row.failures_in_a_row > 1 => {
            format!("{} {} times", state.as_str(), row.failures_in_a_row)
        }
        _ => state.as_str().to_owned(),
    }
}

fn destination_tone(status: &DestinationStatus) -> Tone {
    match status.verdict {
        _ if !status.configured => Tone::Faint,
        PushVerdict::Pushed | PushVerdict::WouldPush | PushVerdict::Current => Tone::Neutral,
        PushVerdict::Failed => Tone::Bad,
        _ => Tone::Warning,
    }
}

fn destination_text(status: &DestinationStatus) -> &'static str {
    if status.configured && status.late && status.verdict.in_step() {
        return "late";
    }
    if status.configured { status.verdict.as_str() } else { "not configured any more" }
}

#[cfg(test)]
mod tests;
