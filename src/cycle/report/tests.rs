//! Exit codes, trouble, and the report as a file.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use super::*;
use crate::base::secret::Secret;
use crate::model::Verdict;
use crate::model::destination::{PushCounts, RefusedRef};
pub(crate) use crate::model::tests::outcome;

/// A report of a run that began on 20 November 2026 and took 4.2 s.
pub(crate) fn report(outcomes: Vec<Outcome>) -> Report {
    Report {
        duration: Duration::from_millis(4_200),
        version: "0.0.0",
        outcomes,
        ..Report::new("2026-11-20T12:00:00Z".parse().unwrap(), "/mirrors")
    }
}

/// The outcome of `full` with this failure.
pub(crate) fn failed(full: &str, verdict: Verdict, failure: Failure) -> Outcome {
    Outcome { failure: Some(failure), ..outcome(full, verdict) }
}

/// The outcome on the destination `id`, after 400 ms.
pub(crate) fn there(id: &str, verdict: PushVerdict) -> DestinationOutcome {
    let place = format!("https://{id}.example.org/ns/a.git");
    DestinationOutcome { duration: Duration::from_millis(400), ..DestinationOutcome::new(id, place, verdict) }
}

/// The outcome on the destination `id`, with these refs refused in these words.
pub(crate) fn refused(id: &str, reason: Reason, refs: &[&str], words: &str) -> DestinationOutcome {
    let one = |name: &&str| RefusedRef::new(name, reason, words);
    DestinationOutcome {
        refs: PushCounts { refused: refs.len(), ..PushCounts::default() },
        refused: refs.iter().map(one).collect(),
        ..there(id, PushVerdict::Refused)
    }
}

/// The outcome on the destination `id` with this failure.
pub(crate) fn failed_there(id: &str, failure: Failure) -> DestinationOutcome {
    DestinationOutcome { duration: Duration::from_millis(400), ..DestinationOutcome::failed(id, "ns/a", failure) }
}

fn code(change: impl FnOnce(&mut Report)) -> u8 {
    let mut report = report(vec![outcome("ns/a", Verdict::Current)]);
    change(&mut report);
    report.exit_code()
}

/// A report that holds the text of `secret` wherever text can get into.
pub(crate) fn spilling(secret: &Secret) -> Report {
    let spill = || format!("spilt {}", secret.expose());
    let failure = Failure::new(Reason::Unknown, spill()).with_evidence(spill());
    let there = DestinationOutcome {
        place: spill(),
        notes: vec![spill()],
        failure: Some(failure.clone()),
        ..refused(&spill(), Reason::PushRejected, &[&spill()], &spill())
    };
    let broken = Outcome {
        notes: vec![spill()],
        destinations: vec![there],
        ..failed(&spill(), Verdict::Failed, failure.clone())
    };
    let mut report = report(vec![broken]);
    report.storage = spill().into();
    report.warnings = vec![spill()];
    report.source_failures = vec![SourceFailure { source: spill(), failure: failure.clone() }];
    report.refused = vec![RefusedPart { source: spill(), what: spill(), failure }];
    report
}

/// The names of all properties in a schema.
pub(crate) fn properties(schema: &Value) -> BTreeSet<String> {
    let own = schema.get("properties").and_then(Value::as_object).into_iter().flat_map(|map| map.keys().cloned());
    let inner = match schema {
        Value::Object(map) => map.values().flat_map(properties).collect::<Vec<_>>(),
        Value::Array(list) => list.iter().flat_map(properties).collect(),
        _ => Vec::new(),
    };
    own.chain(inner).collect()
}

#[test]
fn a_run_without_trouble_exits_with_0() {
    assert_eq!(code(|_| ()), 0);
    for verdict in [Verdict::Cloned, Verdict::Updated, Verdict::Empty, Verdict::Gone, Verdict::Unavailable] {
        assert_eq!(code(|report| report.outcomes.push(outcome("ns/b", verdict))), 0, "{verdict:?}");
    }
}

#[test]
fn whatever_needs_a_person_exits_with_3() {
    let failure = || Failure::new(Reason::AuthFailed, "x");
    assert_eq!(code(|report| report.outcomes.push(failed("ns/b", Verdict::Failed, failure()))), 3);
    assert_eq!(code(|report| report.outcomes.push(failed("ns/b", Verdict::Skipped, failure()))), 3);
    assert_eq!(code(|report| report.outcomes.push(outcome("ns/b", Verdict::Held))), 3);
    assert_eq!(code(|report| report.outcomes[0].degraded = true), 3);
    let source = SourceFailure { source: "github".into(), failure: failure() };
    assert_eq!(code(|report| *report = Report { source_failures: vec![source], ..self::report(vec![]) }), 3);
    let part = RefusedPart { source: "github".into(), what: "acme".into(), failure: failure() };
    assert_eq!(code(|report| report.refused = vec![part]), 3);
}

#[test]
fn a_destination_that_is_behind_exits_with_3() {
    let pushed_to = |verdict| code(|report| report.outcomes[0].destinations = vec![there("gitlab", verdict)]);
    for verdict in [PushVerdict::Pushed, PushVerdict::Current] {
        assert_eq!(pushed_to(verdict), 0, "{verdict:?}");
    }
    for verdict in [PushVerdict::Diverged, PushVerdict::Held, PushVerdict::Refused, PushVerdict::Failed] {
        assert_eq!(pushed_to(verdict), 3, "{verdict:?}");
    }
    assert_eq!(pushed_to(PushVerdict::Skipped), 3);
}

#[test]
fn a_destination_that_our_own_stopping_left_out_is_no_failure() {
    let left = Failure::new(Reason::Cancelled, "not tried");
    let skipped = Outcome { destinations: vec![failed_there("gitlab", left)], ..outcome("ns/a", Verdict::Updated) };
    let stopped = Report { interrupted: Some(Interrupt::Term), ..report(vec![skipped.clone()]) };
    assert_eq!((stopped.exit_code(), stopped.troubles().len()), (0, 0));
    assert!(stopped.json().contains(r#""degraded": false"#) && !stopped.json().contains(r#""degraded": true"#));
    assert_eq!(report(vec![skipped]).exit_code(), 3, "nobody stopped this one");
}

#[test]
fn each_reason_of_a_destination_is_a_trouble_and_what_is_pushed_is_news() {
    let behind =
        |one| report(vec![Outcome { destinations: vec![one], degraded: true, ..outcome("ns/a", Verdict::Current) }]);
    let troubles = |one| behind(one).troubles().into_iter().collect::<Vec<_>>();
    let at = |id: &str, reason| (format!("h/ns/a.git → {id}"), reason);
    let full = Failure::new(Reason::TooLarge, "x");
    let both = DestinationOutcome { failure: Some(full), ..refused("gitlab", Reason::PushRejected, &["a", "b"], "no") };
    assert_eq!(troubles(both.clone()), [at("gitlab", Reason::PushRejected), at("gitlab", Reason::TooLarge)]);
    assert_eq!(troubles(there("gitlab", PushVerdict::Diverged)), [at("gitlab", Reason::Diverged)]);
    assert!(!behind(both).is_news(), "it lasts");
    let pushed = DestinationOutcome {
        refs: PushCounts { created: 1, ..PushCounts::default() },
        ..there("gitlab", PushVerdict::Pushed)
    };
    let quiet = |one| report(vec![Outcome { destinations: vec![one], ..outcome("ns/a", Verdict::Current) }]);
    assert!(quiet(pushed).is_news() && !quiet(there("gitlab", PushVerdict::Current)).is_news());
}

#[test]
fn lasting_trouble_is_the_same_while_a_mirror_waits_for_its_next_try() {
    let failure = || Failure::new(Reason::NetworkFailed, "x");
    let tried = report(vec![failed("ns/a", Verdict::Failed, failure())]);
    let waiting = report(vec![failed("ns/a", Verdict::Skipped, failure())]);
    assert!(!tried.is_news() && !tried.troubles().is_empty());
    assert_eq!(tried.troubles(), waiting.troubles());
    let other = report(vec![failed("ns/a", Verdict::Failed, Failure::new(Reason::DiskFull, "x"))]);
    assert_ne!(tried.troubles(), other.troubles());
    assert!(report(vec![outcome("ns/a", Verdict::Current)]).troubles().is_empty());
}

#[test]
fn ctrl_c_exits_with_130_and_sigterm_with_what_the_outcomes_give() {
    let untried = || failed("ns/b", Verdict::Skipped, Failure::new(Reason::Cancelled, "not tried"));
    let broken = || failed("ns/c", Verdict::Failed, Failure::new(Reason::Corrupt, "x"));
    let stopped = |interrupt, outcomes: Vec<Outcome>| Report { interrupted: Some(interrupt), ..report(outcomes) };
    assert_eq!(stopped(Interrupt::Int, vec![]).exit_code(), 130);
    assert_eq!(stopped(Interrupt::Int, vec![broken()]).exit_code(), 130);
    assert_eq!(stopped(Interrupt::Term, vec![untried()]).exit_code(), 0);
    assert_eq!(stopped(Interrupt::Term, vec![untried(), broken()]).exit_code(), 3);
}

#[test]
fn the_written_report_is_the_json_document_and_leaves_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    let report = report(vec![outcome("ns/a", Verdict::Current)]);
    report.write(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), report.json());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn an_existing_report_is_replaced_and_keeps_its_mode_and_its_link() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("report.json"), folder.path().join("latest"));
    fs::write(&path, "an older and much longer text".repeat(1_000)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("report.json", &link).unwrap();
    let report = report(vec![]);
    report.write(&link).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), report.json());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn a_device_is_written_to_and_not_replaced() {
    report(vec![]).write(Path::new("/dev/null")).unwrap();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn a_report_that_cannot_be_written_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing/report.json");
    let failure = report(vec![]).write(&path).unwrap_err();
    assert_eq!(failure.reason(), Reason::LocalFailed);
    assert!(failure.message().ends_with("missing/report.json"), "{failure}");
}
