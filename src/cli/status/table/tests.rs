//! The status as people and machines see it.

use super::*;
use crate::base::failure::{Failure, Reason};
use crate::cycle::status::{RUNS, is_ok, json, schema};
use crate::model::Verdict;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    time("2026-11-20T12:00:00Z")
}

fn row(name: &str) -> StatusRow {
    StatusRow {
        name: name.into(),
        source: "github".into(),
        path: format!("/mirrors/h/{name}.git").into(),
        last_success: Some(time("2026-11-20T09:59:00Z")),
        last_attempt: Some(time("2026-11-20T09:59:00Z")),
        verdict: Some(Verdict::Current),
        size_bytes: Some(12_900_000),
        packs: Some(3),
        refs: Some(40),
        kept_refs: 0,
        failure: None,
        failures_in_a_row: 0,
        gone_since: None,
        fresh: true,
        missing: false,
        destinations: Vec::new(),
    }
}

fn rows() -> Vec<StatusRow> {
    let network = Failure::new(Reason::NetworkFailed, "cannot reach h").with_evidence("Could not resolve host: h");
    let held = Failure::new(Reason::Held, "30 of 40 refs are gone at the source");
    vec![
        row("ns/fresh"),
        StatusRow {
            verdict: Some(Verdict::Failed),
            failure: Some(network),
            failures_in_a_row: 3,
            fresh: false,
            ..row("ns/failed")
        },
        StatusRow { verdict: Some(Verdict::Held), failure: Some(held), failures_in_a_row: 1, ..row("ns/held") },
        StatusRow { gone_since: Some(time("2026-11-02T08:00:00Z")), kept_refs: 2, fresh: false, ..row("ns/gone") },
        StatusRow { last_success: Some(time("2026-11-10T12:00:00Z")), fresh: false, ..row("ns/old") },
        StatusRow {
            last_success: None,
            last_attempt: None,
            verdict: None,
            size_bytes: None,
            refs: None,
            fresh: false,
            ..row("ns/new")
        },
    ]
}

#[test]
fn each_mirror_has_a_line_and_failures_have_a_way_out() {
    insta::assert_snapshot!(table(&rows(), &[], now(), View::default()), @"
    name       last success      size  refs  kept  state
    ns/failed       2 h ago  12.3 MiB    40        failed 3 times
    ns/fresh        2 h ago  12.3 MiB    40        fresh
    ns/gone         2 h ago  12.3 MiB    40     2  gone since 2026-11-02
    ns/held         2 h ago  12.3 MiB    40        held
    ns/new            never                        never
    ns/old         10 d ago  12.3 MiB    40        late

    ns/failed: network_failed: cannot reach h.
      Could not resolve host: h
      hint: check the network, the proxy and the host name; the next run tries again.
    ns/held: held: 30 of 40 refs are gone at the source.
      hint: look at the source; when the deletions are meant, run again with --accept-deletions.

    6 mirrors: 1 fresh, 1 late, 1 never, 1 gone, 1 held, 1 failed; 61.5 MiB on disk.
    ");
}

#[test]
fn each_destination_has_a_line_below_its_mirror() {
    let rejected = Failure::new(Reason::PushRejected, "1 of 50 refs was refused");
    let there = |id: &str, verdict, failure| DestinationStatus {
        id: id.into(),
        place: format!("https://{id}.example.org/ns/a.git"),
        verdict,
        last_success: Some(time("2026-11-18T12:00:00Z")),
        failure,
        late: false,
        configured: true,
    };
    let row = StatusRow {
        destinations: vec![
            there("gitlab", PushVerdict::Current, None),
            there("codeberg", PushVerdict::Refused, Some(rejected)),
            DestinationStatus { last_success: None, ..there("bare", PushVerdict::Failed, None) },
        ],
        ..row("ns/a")
    };
    let rows = [row];
    insta::assert_snapshot!(table(&rows, &[], now(), View::default()), @"
    name          last success      size  refs  kept  state
    ns/a               2 h ago  12.3 MiB    40        fresh
      → gitlab         2 d ago                        current
      → codeberg       2 d ago                        refused
      → bare             never                        failed

    ns/a → codeberg: push_rejected: 1 of 50 refs was refused.

    1 mirror: 1 fresh; at destinations: 1 in step, 2 behind; 12.3 MiB on disk.
    ");
    let json: serde_json::Value = serde_json::from_str(&json(&rows, &[], now())).unwrap();
    insta::assert_snapshot!(json["mirrors"][0]["destinations"][1].to_string(), @r#"{"configured":true,"failure":{"evidence":null,"hint":null,"message":"1 of 50 refs was refused","reason":"push_rejected"},"id":"codeberg","last_success":"2026-11-18T12:00:00Z","late":false,"place":"https://codeberg.example.org/ns/a.git","verdict":"refused"}"#);
}

#[test]
fn a_destination_that_is_not_configured_any_more_is_named_so_and_not_counted() {
    let failed = DestinationStatus {
        id: "codeberg".into(),
        place: "https://codeberg.example.org/ns/a.git".into(),
        verdict: PushVerdict::Failed,
        last_success: Some(time("2026-11-18T12:00:00Z")),
        failure: Some(Failure::new(Reason::NetworkFailed, "cannot reach codeberg")),
        late: false,
        configured: false,
    };
    let rows = [StatusRow { destinations: vec![failed], ..row("ns/a") }];
    insta::assert_snapshot!(table(&rows, &[], now(), View::default()), @"
    name          last success      size  refs  kept  state
    ns/a               2 h ago  12.3 MiB    40        fresh
      → codeberg       2 d ago                        not configured any more

    1 mirror: 1 fresh; 12.3 MiB on disk.
    ");
    let json: serde_json::Value = serde_json::from_str(&json(&rows, &[], now())).unwrap();
    assert_eq!(json["mirrors"][0]["destinations"][0]["configured"], false);
}

#[tokio::test]
async fn the_last_runs_tell_when_how_long_and_what_came_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = crate::store::Store::open(&folder.path().join("state.sqlite")).await.unwrap().store;
    let totals = serde_json::json!({"mirrors": 233, "updated": 1, "current": 231, "failed": 1, "source_failures": 2,
        "destinations": {"pushed": 1, "current": 462, "failed": 3}});
    let id = store.begin_run(time("2026-11-20T09:59:00Z")).await.unwrap();
    store.finish_run(id, time("2026-11-20T10:01:05Z"), 3, &totals).await.unwrap();
    let id = store.begin_run(time("2026-11-20T11:00:00Z")).await.unwrap();
    store.finish_run(id, time("2026-11-20T11:00:02Z"), 0, &serde_json::json!({"mirrors": 1})).await.unwrap();
    store.begin_run(time("2026-11-20T11:59:30Z")).await.unwrap();
    let runs = store.recent_runs(RUNS).await.unwrap().rows;
    insta::assert_snapshot!(table(&[], &runs, now(), View::default()), @"
    last runs       time  end           done
    30 s ago              not finished
    1 h ago        2.0 s  exit 0        1 mirror
    2 h ago    2 min 5 s  exit 3        233 mirrors: 1 updated, 231 current, 1 failed; at destinations: 1 pushed, 462 current, 3 failed; 2 sources not listed

    0 mirrors.
    ");
    let json: serde_json::Value = serde_json::from_str(&json(&[], &runs, now())).unwrap();
    assert_eq!(json["runs"][2]["totals"]["destinations"]["current"], 462);
}

#[test]
fn what_is_late_failed_or_missing_needs_attention_and_what_is_kept_on_purpose_does_not() {
    let there = |verdict, late, configured| DestinationStatus {
        id: "codeberg".into(),
        place: "https://codeberg.example.org/ns/a.git".into(),
        verdict,
        last_success: None,
        failure: None,
        late,
        configured,
    };
    let with = |one| StatusRow { destinations: vec![one], ..row("ns/a") };
    let bad: Vec<String> = rows().iter().filter(|row| row.needs_attention()).map(|row| row.name.clone()).collect();
    assert_eq!(bad, ["ns/failed", "ns/held", "ns/old", "ns/new"]);
    for (row, needs) in [
        (row("ns/a"), false),
        (StatusRow { missing: true, ..row("ns/a") }, true),
        (StatusRow { verdict: Some(Verdict::Unavailable), ..row("ns/a") }, false),
        (with(there(PushVerdict::Current, false, true)), false),
        (with(there(PushVerdict::Current, true, true)), true),
        (with(there(PushVerdict::Refused, false, true)), true),
        (with(there(PushVerdict::Failed, true, false)), false),
    ] {
        assert_eq!(row.needs_attention(), needs, "{row:?}");
        assert_eq!(is_ok(&[row]), !needs);
    }
    assert!(!is_ok(&[]), "a storage without mirrors is no backup");
}

#[test]
fn a_store_without_mirrors_says_so() {
    assert_eq!(table(&[], &[], now(), View::default()), "0 mirrors.\n");
}

#[test]
fn json_has_absolute_times() {
    insta::assert_snapshot!(json(&rows()[1..2], &[], now()).replace(env!("CARGO_PKG_VERSION"), "0.0.0"), @r#"
    {
      "schema_version": 2,
      "holocron": "0.0.0",
      "now": "2026-11-20T12:00:00Z",
      "ok": false,
      "mirrors": [
        {
          "name": "ns/failed",
          "source": "github",
          "path": "/mirrors/h/ns/failed.git",
          "state": "failed",
          "fresh": false,
          "needs_attention": true,
          "last_success": "2026-11-20T09:59:00Z",
          "last_attempt": "2026-11-20T09:59:00Z",
          "verdict": "failed",
          "size_bytes": 12900000,
          "packs": 3,
          "refs": 40,
          "kept_refs": 0,
          "failure": {
            "reason": "network_failed",
            "message": "cannot reach h",
            "evidence": "Could not resolve host: h",
            "hint": "check the network, the proxy and the host name; the next run tries again."
          },
          "failures_in_a_row": 3,
          "gone_since": null,
          "destinations": []
        }
      ],
      "runs": []
    }
    "#);
}

#[test]
fn what_a_server_said_cannot_steer_the_terminal() {
    let words = "\u{1b}]0;title\u{7} \u{9b}2J \u{202e}";
    let failure = Failure::new(Reason::Unknown, words).with_evidence(words).with_hint(words);
    let there = DestinationStatus {
        id: words.into(),
        place: words.into(),
        verdict: PushVerdict::Failed,
        last_success: None,
        failure: Some(failure.clone()),
        late: false,
        configured: true,
    };
    let rows = [StatusRow { failure: Some(failure), source: words.into(), destinations: vec![there], ..row(words) }];
    for text in [table(&rows, &[], now(), View::default()), json(&rows, &[], now())] {
        assert!(!text.chars().any(|c| c != '\n' && crate::base::text::is_unprintable(c)), "{text:?}");
    }
}

#[test]
fn the_guide_names_every_field_and_state() {
    let guide = include_str!("../../../../docs/report.md");
    let schema = schema();
    let fields = crate::cycle::report::tests::properties(schema.as_value());
    assert!(fields.contains("failures_in_a_row"));
    let states = STATES.map(|state| state.as_str().to_owned());
    let missing: Vec<_> = fields.iter().chain(&states).filter(|name| !guide.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/report.md does not name {missing:?}");
}
