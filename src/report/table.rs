//! The report for people.
//!
//! stdout gets rows only for what changed or needs attention; what stayed as it was is counted in the last line.

use comfy_table::{CellAlignment, ContentArrangement, Table};
use unicode_width::UnicodeWidthStr as _;

use super::failures::{self, Entry};
use super::{Report, View};
use crate::model::{Outcome, Verdict};
use crate::progress::{result, tone};
use crate::text::{Detail, Tone, bytes, clean, count, duration, refs_changed, sentence, shorten};

/// The order in which the summary counts.
const VERDICTS: [Verdict; 9] = [
    Verdict::Cloned,
    Verdict::Updated,
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
    match outcome.verdict {
        Verdict::Cloned | Verdict::Updated | Verdict::Held | Verdict::Failed => true,
        Verdict::Skipped => outcome.degraded,
        Verdict::Current | Verdict::Empty | Verdict::Gone | Verdict::Unavailable => {
            report.needs_attention(outcome) || outcome.refs.changed() > 0 || !outcome.notes.is_empty()
        }
    }
}

fn table_block(rows: &[&Outcome], view: View) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let cells = rows.iter().map(|outcome| {
        let received = if outcome.received > 0 { bytes(outcome.received) } else { String::new() };
        let took = if outcome.duration.is_zero() { String::new() } else { duration(outcome.duration) };
        [clean(&outcome.path.to_string()), result(outcome), refs_changed(&outcome.refs), received, took]
    });
    let tones: Vec<Tone> = rows.iter().map(|outcome| tone(outcome)).collect();
    let mut text = columns(["name", "result", "refs", "received", "time"], &[3, 4], cells.collect(), &tones, view);
    if rows.iter().any(|outcome| outcome.refs.changed() > 0) {
        let legend = "refs: + created, ~ moved forward, ! moved by force, - deleted.";
        text += &format!("{}\n", view.paint.dress(Tone::Faint, legend));
    }
    text
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
    let note =
        |outcome: &Outcome, note: &str| format!("{}: {}\n", clean(&outcome.path.to_string()), sentence(&clean(note)));
    outcomes.iter().flat_map(|outcome| outcome.notes.iter().map(move |text| note(outcome, text))).collect()
}

/// Failures of sources first: they explain what is missing below.
fn trouble(report: &Report, outcomes: &[&Outcome], view: View) -> String {
    let sources = report.source_failures.iter().map(|failed| Entry {
        source: &failed.source,
        name: format!("source {}", clean(&failed.source)),
        failure: &failed.failure,
    });
    let refused = report.refused.iter().map(|part| Entry {
        source: &part.source,
        name: format!("{} of source {}", clean(&part.what), clean(&part.source)),
        failure: &part.failure,
    });
    let mirrors = outcomes.iter().filter_map(|outcome| {
        let failure = outcome.failure.as_ref()?;
        Some(Entry { source: &outcome.source, name: clean(&outcome.path.to_string()), failure })
    });
    // What our own stopping left undone is one sentence of the summary, not a list of failures.
    let entries: Vec<Entry<'_>> =
        sources.chain(refused).chain(mirrors).filter(|entry| !report.is_interruption(entry.failure)).collect();
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
    let degraded = outcomes.iter().filter(|outcome| outcome.degraded).count();
    if degraded > 0 {
        counts.push(format!("{degraded} of them degraded"));
    }
    let received: u64 = outcomes.iter().map(|outcome| outcome.received).sum();
    let received = if received > 0 { bytes(received) } else { "nothing".to_owned() };
    let counts = if counts.is_empty() { String::new() } else { format!(": {}", counts.join(", ")) };
    let mut text = count(outcomes.len(), "mirror") + &counts;
    if !report.source_failures.is_empty() {
        text += &format!("; {} not listed", count(report.source_failures.len(), "source"));
    }
    if !report.refused.is_empty() {
        text += &format!("; {} refused", count(report.refused.len(), "part"));
    }
    text += &format!("; {received} received in {}.\n", duration(report.duration));
    if report.dry_run {
        text += "Dry run: nothing was written.\n";
    }
    if let Some(interrupt) = report.interrupted {
        let left = |outcome: &&Outcome| outcome.failure.as_ref().is_some_and(|failure| report.is_interruption(failure));
        let left = count(outcomes.iter().filter(left).count(), "mirror");
        text += &format!("Stopped by {}: {left} left for the next run.\n", interrupt.as_str());
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{failed, outcome, report};
    use super::super::{Interrupt, RefusedPart, SourceFailure};
    use super::*;
    use crate::failure::{Failure, Reason};
    use crate::model::RefCounts;
    use crate::text::{Paint, is_unprintable};

    fn plain(report: &Report) -> String {
        report.table(View::default())
    }

    /// Two changes, one failure, one held, one degraded, two that are current, one empty.
    fn mixed() -> Report {
        let updated = Outcome {
            refs: RefCounts { created: 3, forwarded: 2, forced: 1, deleted: 1, total: 40 },
            received: 12_900_000,
            notes: vec!["moved from ns/old".into()],
            ..outcome("ns/updated", Verdict::Updated)
        };
        let cloned = Outcome {
            refs: RefCounts { created: 12, total: 12, ..RefCounts::default() },
            received: 2_048,
            ..outcome("ns/cloned-with-a-rather-long-name", Verdict::Cloned)
        };
        let gone = Failure::new(Reason::Held, "30 of 40 refs are gone at the source");
        let network = Failure::new(Reason::NetworkFailed, "cannot fetch https://h/ns/failed")
            .with_evidence("fatal: unable to access 'https://h/ns/failed/': Could not resolve host: h");
        report(vec![
            updated,
            failed("ns/failed", Verdict::Failed, network),
            failed("ns/held", Verdict::Held, gone),
            Outcome { degraded: true, ..outcome("ns/degraded", Verdict::Current) },
            outcome("ns/x", Verdict::Current),
            outcome("ns/y", Verdict::Current),
            outcome("ns/empty", Verdict::Empty),
            cloned,
        ])
    }

    #[test]
    fn a_run_in_which_nothing_changed_is_one_line() {
        let outcomes = (0..230).map(|number| outcome(&format!("ns/{number}"), Verdict::Current));
        let report =
            report(outcomes.chain([outcome("ns/e", Verdict::Empty), outcome("ns/g", Verdict::Gone)]).collect());
        insta::assert_snapshot!(plain(&report), @"232 mirrors: 230 current, 1 empty, 1 gone; nothing received in 4.2 s.");
    }

    #[test]
    fn changes_and_trouble_have_rows_and_trouble_has_a_way_out() {
        insta::assert_snapshot!(plain(&mixed()), @"
        name                               result             refs         received   time
        ns/cloned-with-a-rather-long-name  cloned             +12           2.0 KiB  0.4 s
        ns/degraded                        current, degraded                         0.4 s
        ns/failed                          failed                                    0.4 s
        ns/held                            held                                      0.4 s
        ns/updated                         updated            +3 ~2 !1 -1  12.3 MiB  0.4 s
        refs: + created, ~ moved forward, ! moved by force, - deleted.

        ns/updated: moved from ns/old.

        ns/failed: network_failed: cannot fetch https://h/ns/failed.
          fatal: unable to access 'https://h/ns/failed/': Could not resolve host: h
          hint: check the network, the proxy and the host name; the next run tries again.
        ns/held: held: 30 of 40 refs are gone at the source.
          hint: look at the source; when the deletions are meant, run again with --accept-deletions.

        8 mirrors: 1 cloned, 1 updated, 3 current, 1 empty, 1 held, 1 failed, 1 of them degraded; 12.3 MiB received in 4.2 s.
        ");
    }

    #[test]
    fn a_narrow_terminal_shortens_names_and_wraps_no_row() {
        let view = View { width: Some(60), ..View::default() };
        let table = mixed().table(view);
        let rows: Vec<&str> = table.lines().take_while(|line| !line.starts_with("refs:")).collect();
        assert!(rows.iter().all(|line| line.width() <= 60), "{table}");
        insta::assert_snapshot!(rows.join("\n"), @"
        name         result             refs         received   time
        ns/cl…-name  cloned             +12           2.0 KiB  0.4 s
        ns/degraded  current, degraded                         0.4 s
        ns/failed    failed                                    0.4 s
        ns/held      held                                      0.4 s
        ns/updated   updated            +3 ~2 !1 -1  12.3 MiB  0.4 s
        ");
    }

    #[test]
    fn everything_has_a_row_when_asked_for() {
        let table = mixed().table(View { detail: Detail::Everything, ..View::default() });
        for name in ["ns/x ", "ns/y ", "ns/empty "] {
            assert!(table.lines().any(|line| line.starts_with(name)), "{table}");
        }
    }

    #[test]
    fn colours_do_not_shift_columns() {
        let colored = mixed().table(View { paint: Paint::Colored, ..View::default() });
        assert!(colored.contains("\u{1b}[31mns/failed"), "{colored}");
        assert_eq!(anstream::adapter::strip_str(&colored).to_string(), plain(&mixed()));
    }

    #[test]
    fn sources_that_failed_stand_first_and_in_the_summary() {
        let auth = || Failure::new(Reason::AuthFailed, "the server refused the token").with_evidence("HTTP 401");
        let mut report = report(vec![]);
        report.source_failures = vec![SourceFailure { source: "gitlab".into(), failure: auth() }];
        report.refused = vec![RefusedPart {
            source: "github".into(),
            what: "organisation acme".into(),
            failure: Failure::new(Reason::Forbidden, "it wants single sign-on"),
        }];
        report.warnings = vec!["the store was damaged and is new; every mirror was looked at".into()];
        insta::assert_snapshot!(plain(&report), @"
        source gitlab: auth_failed: the server refused the token.
          HTTP 401
          hint: check the token of this source: it is missing, wrong or expired.
        organisation acme of source github: forbidden: it wants single sign-on.
          hint: give the token access to this repository, or exclude the repository.
        warning: the store was damaged and is new; every mirror was looked at.

        0 mirrors; 1 source not listed; 1 part refused; nothing received in 4.2 s.
        ");
    }

    #[test]
    fn an_interrupted_run_counts_what_is_left_and_lists_no_failures() {
        let untried = |name: &str| failed(name, Verdict::Skipped, Failure::new(Reason::Cancelled, "not tried"));
        let mut report = report(vec![outcome("ns/a", Verdict::Current), untried("ns/b"), untried("ns/c")]);
        report.interrupted = Some(Interrupt::Term);
        insta::assert_snapshot!(plain(&report), @"
        3 mirrors: 1 current, 2 skipped; nothing received in 4.2 s.
        Stopped by SIGTERM: 2 mirrors left for the next run.
        ");
    }

    #[test]
    fn a_dry_run_says_that_nothing_was_written() {
        let report = Report { dry_run: true, ..report(vec![]) };
        insta::assert_snapshot!(plain(&report), @"
        0 mirrors; nothing received in 4.2 s.
        Dry run: nothing was written.
        ");
    }

    proptest! {
        #[test]
        fn a_servers_words_cannot_steer_the_terminal(words in any::<String>(), name in "[^/\\\\\\pC]{1,20}") {
            prop_assume!(name != "." && name != "..");
            let failure = Failure::new(Reason::Unknown, &words).with_evidence(&words).with_hint(&words);
            let mut broken = failed(&name, Verdict::Failed, failure.clone());
            broken.notes = vec![words.clone()];
            broken.source = words.clone();
            let mut report = report(vec![broken]);
            report.source_failures = vec![SourceFailure { source: words.clone(), failure: failure.clone() }];
            report.refused = vec![RefusedPart { source: words.clone(), what: words.clone(), failure }];
            report.warnings = vec![words];
            for text in [plain(&report), report.json()] {
                prop_assert!(!text.chars().any(|c| c != '\n' && is_unprintable(c)), "{:?}", text);
            }
            prop_assert!(serde_json::from_str::<serde_json::Value>(&report.json()).is_ok());
        }
    }
}
