//! The report for people.
//!
//! stdout gets rows only for what changed or needs attention; what stayed as it was is counted in the last line.

use std::borrow::Cow;
use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, Table};
use unicode_width::UnicodeWidthStr as _;

use self::destinations::{destination_entries, destination_name, destination_rows};
use self::releases::{release_entries, release_rows};
use crate::base::failure::Reason;
use crate::base::text::{Detail, Tone, bytes, clean, count, duration, sentence, shorten};
use crate::cli::failures::{self, Entry};
use crate::cli::terminal::View;
use crate::cycle::gaps::SourceFailure;
use crate::cycle::report::Report;
use crate::model::{Outcome, Verdict};
use crate::progress::{self, result, tone};

mod destinations;
mod releases;

/// The order in which the summary counts.
const VERDICTS: [Verdict; 11] = [
    Verdict::Cloned,
    Verdict::Updated,
    Verdict::WouldClone,
    Verdict::WouldUpdate,
    Verdict::Current,
    Verdict::Empty,
    Verdict::Gone,
    Verdict::Unavailable,
    Verdict::Held,
    Verdict::Failed,
    Verdict::Skipped,
];

/// Returns the whole report as text.
pub(super) fn render(report: &Report, view: View) -> String {
    let outcomes = report.sorted();
    let rows: Vec<&Outcome> = outcomes
        .iter()
        .copied()
        .filter(|outcome| view.detail == Detail::Everything || has_row(report, outcome))
        .collect();
    let blocks = [table_block(&rows, view), notes(&outcomes), trouble(report, &outcomes, view), summary(report)];
    blocks.into_iter().filter(|block| !block.is_empty()).collect::<Vec<_>>().join("\n")
}

/// Skipped mirrors have no row: they share a cause, which the failures tell once for all of them.
fn has_row(report: &Report, outcome: &Outcome) -> bool {
    let released = outcome.releases.iter().any(progress::releases::is_news);
    let there = released || outcome.destinations.iter().any(progress::destinations::is_news);
    match outcome.verdict {
        Verdict::Cloned | Verdict::Updated | Verdict::Held | Verdict::Failed => true,
        Verdict::WouldClone | Verdict::WouldUpdate => true,
        Verdict::Skipped => there || progress::destinations::is_degraded_itself(outcome),
        Verdict::Current | Verdict::Empty | Verdict::Gone | Verdict::Unavailable => {
            there || report.is_troubled(outcome) || outcome.refs.changed() > 0 || !outcome.notes.is_empty()
        }
    }
}

fn table_block(rows: &[&Outcome], view: View) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let (cells, tones): (Vec<_>, Vec<_>) = rows
        .iter()
        .flat_map(|outcome| {
            let received = if outcome.received > 0 { bytes(outcome.received) } else { String::new() };
            let name = clean(&outcome.path.to_string());
            let cells = [name, result(outcome), outcome.refs.to_string(), received, took(outcome.duration)];
            [(cells, tone(outcome))]
                .into_iter()
                .chain(destination_rows(outcome, view.detail))
                .chain(release_rows(outcome, view.detail))
        })
        .unzip();
    let explained = cells.iter().any(|row| !row[2].is_empty());
    let mut text = columns(["name", "result", "refs", "received", "time"], &[3, 4], cells, &tones, view);
    if explained {
        let legend = "refs: + created, ~ moved forward, ! moved by force, - deleted.";
        text += &format!("{}\n", view.paint.dress(Tone::Faint, legend));
    }
    text
}

fn took(span: Duration) -> String {
    if span.is_zero() { String::new() } else { duration(span) }
}

/// Returns a table without borders, one line per row, the first column shortened to what the terminal leaves it.
///
/// Each row is coloured as a whole after it was laid out, so that colours cannot shift columns.
pub(super) fn columns<const N: usize>(
    header: [&str; N],
    numbers: &[usize],
    mut rows: Vec<[String; N]>,
    tones: &[Tone],
    view: View,
) -> String {
    const GAP: usize = 2;
    const SHORTEST_NAME: usize = 8;
    if let Some(width) = view.width {
        let widest = |column: usize| rows.iter().map(|row| row[column].width()).chain([header[column].width()]).max();
        let others: usize = (1..N).filter_map(widest).map(|columns| columns + GAP).sum();
        let room = usize::from(width).saturating_sub(others).max(SHORTEST_NAME);
        rows.iter_mut().for_each(|row| row[0] = shorten(&row[0], room));
    }
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header).add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if index + 1 == N { 0 } else { GAP as u16 }));
        if numbers.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let tones = [Tone::Faint].iter().chain(tones);
    table.lines().zip(tones).map(|(line, tone)| view.paint.dress(*tone, line.trim_end()) + "\n").collect()
}

fn notes(outcomes: &[&Outcome]) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        let there = outcome.destinations.iter().map(|one| (destination_name(outcome, one), &one.notes));
        let released = outcome.releases.iter().map(|one| (progress::releases::name(outcome, one), &one.notes));
        let own = [(clean(&outcome.path.to_string()), &outcome.notes)];
        for (name, notes) in own.into_iter().chain(there).chain(released) {
            notes.iter().for_each(|note| text += &format!("{name}: {}\n", sentence(&clean(note))));
        }
    }
    text
}

/// Failures of sources first: they explain what is missing below.
fn trouble(report: &Report, outcomes: &[&Outcome], view: View) -> String {
    let sources = report.source_failures.iter().map(|failed| Entry {
        origin: &failed.source,
        name: format!("source {}", clean(&failed.source)),
        failure: Cow::Borrowed(&failed.failure),
    });
    let refused = report.refused.iter().map(|part| Entry {
        origin: &part.source,
        name: format!("{} of source {}", clean(&part.what), clean(&part.source)),
        failure: Cow::Borrowed(&part.failure),
    });
    let unmatched = report.unmatched.iter().map(|idle| Entry {
        origin: "",
        name: clean(&idle.what),
        failure: Cow::Borrowed(&idle.failure),
    });
    let mirrors = outcomes.iter().filter_map(|outcome| {
        let failure = Cow::Borrowed(outcome.failure.as_ref()?);
        Some(Entry { origin: &outcome.source, name: clean(&outcome.path.to_string()), failure })
    });
    let there = outcomes.iter().flat_map(|outcome| destination_entries(outcome));
    let released = outcomes.iter().flat_map(|outcome| release_entries(outcome));
    // What our own stopping left undone is one sentence of the summary, not a list of failures.
    let entries: Vec<Entry<'_>> = sources
        .chain(refused)
        .chain(unmatched)
        .chain(mirrors)
        .chain(there)
        .chain(released)
        .filter(|entry| !report.is_interruption(&entry.failure))
        .collect();
    let mut text = failures::render(&entries, view.detail, view.paint);
    for warning in &report.warnings {
        text += &format!("{}: {}\n", view.paint.dress(Tone::Warning, "warning"), sentence(&clean(warning)));
    }
    text
}

fn summary(report: &Report) -> String {
    let outcomes = &report.outcomes;
    let number = |verdict: Verdict| outcomes.iter().filter(|outcome| outcome.verdict == verdict).count();
    let mut counts: Vec<String> = VERDICTS
        .iter()
        .map(|verdict| (number(*verdict), verdict.as_str()))
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| format!("{number} {word}"))
        .collect();
    let degraded = outcomes.iter().filter(|outcome| outcome.is_degraded()).count();
    if degraded > 0 {
        counts.push(format!("{degraded} of them degraded"));
    }
    let received: u64 = outcomes.iter().map(|outcome| outcome.received).sum();
    let received = if received > 0 { bytes(received) } else { "nothing".to_owned() };
    let counts = if counts.is_empty() { String::new() } else { format!(": {}", counts.join(", ")) };
    let mut text = count(outcomes.len(), "mirror") + &counts;
    let is_held = |failed: &&SourceFailure| failed.failure.reason() == Reason::Held;
    let (held, failed): (Vec<_>, Vec<_>) = report.source_failures.iter().partition(is_held);
    for (sources, word) in [(failed, "not listed"), (held, "held")] {
        if !sources.is_empty() {
            text += &format!("; {} {word}", count(sources.len(), "source"));
        }
    }
    if !report.refused.is_empty() {
        text += &format!("; {} refused", count(report.refused.len(), "part"));
    }
    if !report.unmatched.is_empty() {
        text += &format!("; {} without a match", count(report.unmatched.len(), "selection"));
    }
    text += &destinations::summary(outcomes);
    text += &releases::summary(outcomes);
    text += &format!("; {received} received in {}.\n", duration(report.duration));
    if report.dry_run {
        text += "Dry run: nothing was written.\n";
    }
    if let Some(interrupt) = report.interrupted {
        let left = |outcome: &&Outcome| {
            let there = outcome.destinations.iter().filter_map(|one| one.failure.as_ref());
            outcome.failure.iter().chain(there).any(|failure| report.is_interruption(failure))
        };
        let left = count(outcomes.iter().filter(left).count() + report.unfinished, "mirror");
        text += &format!("Stopped by {}: {left} left for the next run.\n", interrupt.as_str());
    }
    text
}

#[cfg(test)]
mod tests;
