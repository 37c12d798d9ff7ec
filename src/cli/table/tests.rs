//! The report as people see it.

use proptest::prelude::*;

use super::*;
use crate::base::failure::{Failure, Reason};
use crate::base::text::{Paint, is_unprintable};
use crate::cycle::gaps::{RefusedPart, SourceFailure};
use crate::cycle::report::Interrupt;
use crate::cycle::report::tests::{failed, failed_there, outcome, refused, report, spilling, there};
use crate::model::RefCounts;
use crate::model::destination::{DestinationOutcome, PushCounts, PushVerdict, RefusedRef};

fn plain(report: &Report) -> String {
    render(report, View::default())
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
    let report = report(outcomes.chain([outcome("ns/e", Verdict::Empty), outcome("ns/g", Verdict::Gone)]).collect());
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
    let table = render(&mixed(), view);
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
    let table = render(&mixed(), View { detail: Detail::Everything, ..View::default() });
    for name in ["ns/x ", "ns/y ", "ns/empty "] {
        assert!(table.lines().any(|line| line.starts_with(name)), "{table}");
    }
}

#[test]
fn colours_do_not_shift_columns() {
    let colored = render(&mixed(), View { paint: Paint::Colored, ..View::default() });
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
      hint: check the token: it is missing, wrong or expired.
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

/// What was changed or is behind at destinations, and what is as it was.
fn pushed() -> Report {
    let pushed = DestinationOutcome {
        refs: PushCounts { created: 3, forwarded: 1, ..PushCounts::default() },
        ..there("gitlab", PushVerdict::Pushed)
    };
    let created =
        DestinationOutcome { created: true, notes: vec!["its default branch is `main` now".into()], ..pushed.clone() };
    let partly = DestinationOutcome {
        refs: PushCounts { created: 49, refused: 1, ..PushCounts::default() },
        ..refused("codeberg", Reason::ProtectedRefRejected, &["refs/heads/main"], "not allowed to force push")
    };
    let down = Failure::new(Reason::ServerError, "the server answered 503");
    let to = |name: &str, verdict, destinations| Outcome { destinations, ..outcome(name, verdict) };
    let current = |id| there(id, PushVerdict::Current);
    report(vec![
        to("ns/alpha", Verdict::Updated, vec![pushed, current("codeberg")]),
        to("ns/beta", Verdict::Current, vec![created, partly]),
        to("ns/down", Verdict::Current, vec![current("gitlab"), failed_there("codeberg", down)]),
        to("ns/same", Verdict::Current, vec![current("gitlab"), current("codeberg")]),
    ])
}

#[test]
fn a_destination_that_changed_or_is_behind_has_a_row_below_its_mirror() {
    insta::assert_snapshot!(plain(&pushed()), @"
    name          result             refs   received   time
    ns/alpha      updated                             0.4 s
      → gitlab    pushed             +3 ~1            0.4 s
    ns/beta       current, degraded                   0.4 s
      → gitlab    pushed, created    +3 ~1            0.4 s
      → codeberg  refused 1          +49              0.4 s
    ns/down       current, degraded                   0.4 s
      → codeberg  failed                              0.4 s
    refs: + created, ~ moved forward, ! moved by force, - deleted.

    ns/beta → gitlab: its default branch is `main` now.

    ns/beta → codeberg (refs/heads/main): protected_ref_rejected: not allowed to force push.
      hint: a rule of the destination forbids it: change it there, or leave the branch alone with `protect`.
    ns/down → codeberg: server_error: the server answered 503.

    4 mirrors: 1 updated, 3 current, 2 of them degraded; at destinations: 2 pushed, 4 current, 1 refused, 1 failed; nothing received in 4.2 s.
    ");
}

#[test]
fn every_destination_has_a_row_when_asked_for() {
    let table = render(&pushed(), View { detail: Detail::Everything, ..View::default() });
    assert_eq!(table.lines().filter(|line| line.starts_with("  → ")).count(), 8, "{table}");
}

#[test]
fn destinations_that_are_in_step_are_only_counted() {
    let to = |verdict| vec![there("gitlab", verdict), there("codeberg", verdict)];
    let mirror = |number| Outcome {
        destinations: to(PushVerdict::Current),
        ..outcome(&format!("ns/{number}"), Verdict::Current)
    };
    insta::assert_snapshot!(plain(&report((0..230).map(mirror).collect())), @"230 mirrors: 230 current; at destinations: 460 current; nothing received in 4.2 s.");
}

#[test]
fn a_destination_whose_token_was_refused_is_told_once_for_all_mirrors() {
    let skipped = |number: usize| {
        let failure = Failure::new(Reason::AuthFailed, "not tried: the token was refused before");
        let one = DestinationOutcome { failure: Some(failure), ..there("gitlab", PushVerdict::Skipped) };
        Outcome { degraded: true, destinations: vec![one], ..outcome(&format!("ns/{number:03}"), Verdict::Current) }
    };
    insta::assert_snapshot!(plain(&report((0..200).map(skipped).collect())), @"
    ns/000 → gitlab, ns/001 → gitlab, ns/002 → gitlab and 197 more: auth_failed: not tried: the token was refused before.
      hint: check the token: it is missing, wrong or expired.

    200 mirrors: 200 current, 200 of them degraded; at destinations: 200 skipped; nothing received in 4.2 s.
    ");
}

#[test]
fn refused_refs_are_named_as_far_as_three_are_and_equal_words_are_said_once() {
    let names: Vec<String> = (0..5000).map(|number| format!("refs/heads/{number:04}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut many = refused("gitlab", Reason::PushRejected, &names, "pre-receive hook declined");
    let tag = RefusedRef::new("refs/tags/v1", Reason::TooLarge, "over 100 MB");
    many.refused.push(tag);
    let one = refused("gitlab", Reason::PushRejected, &["refs/heads/main"], "pre-receive hook declined");
    let to = |name, one| Outcome { destinations: vec![one], ..outcome(name, Verdict::Current) };
    insta::assert_snapshot!(plain(&report(vec![to("ns/a", many), to("ns/b", one)])), @"
    name        result             refs  received   time
    ns/a        current, degraded                  0.4 s
      → gitlab  refused 5000                       0.4 s
    ns/b        current, degraded                  0.4 s
      → gitlab  refused 1                          0.4 s

    ns/a → gitlab (refs/heads/0000, refs/heads/0001, refs/heads/0002 and 4997 more), ns/b → gitlab (refs/heads/main): push_rejected: pre-receive hook declined.
    ns/a → gitlab (refs/tags/v1): too_large: over 100 MB.
      hint: raise the limit at the destination, or exclude the repository there.

    2 mirrors: 2 current, 2 of them degraded; at destinations: 2 refused; nothing received in 4.2 s.
    ");
}

#[test]
fn a_mirror_that_failed_says_for_its_destinations_too_why_nothing_was_pushed() {
    let failure = Failure::new(Reason::NetworkFailed, "cannot fetch https://h/ns/a");
    let skipped = DestinationOutcome { failure: Some(failure.clone()), ..there("gitlab", PushVerdict::Skipped) };
    let broken = Outcome { destinations: vec![skipped], ..failed("ns/a", Verdict::Failed, failure) };
    let table = plain(&report(vec![broken]));
    assert!(!table.contains('→') && table.matches("network_failed").count() == 1, "{table}");
}

#[test]
fn a_mirror_with_a_destination_that_was_not_reached_any_more_is_left_for_the_next_run() {
    let left = failed_there("gitlab", Failure::new(Reason::Cancelled, "not tried"));
    let mut report = report(vec![Outcome { destinations: vec![left], ..outcome("ns/a", Verdict::Current) }]);
    report.interrupted = Some(Interrupt::Term);
    insta::assert_snapshot!(plain(&report), @"
    1 mirror: 1 current; at destinations: 1 skipped; nothing received in 4.2 s.
    Stopped by SIGTERM: 1 mirror left for the next run.
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
        broken.destinations = vec![
            DestinationOutcome { notes: vec![words.clone()], ..failed_there(&words, failure.clone()) },
            refused(&words, Reason::PushRejected, &[&words], &words),
        ];
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

#[test]
fn a_secret_is_masked_wherever_it_got_into() {
    let secret = crate::base::secret::Secret::new("table-canary-1");
    let text = plain(&spilling(&secret));
    assert!(text.contains("spilt ***") && !text.contains("canary"), "{text}");
}
