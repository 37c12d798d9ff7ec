//! The JSON report, field by field.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::tests::{failed, failed_there, outcome, properties, refused, report, spilling, there};
use super::*;
use crate::base::secret::Secret;
use crate::model::OnDisk;
use crate::model::destination::{DestinationOutcome, PushCounts, PushVerdict};

#[test]
fn the_document_has_its_version_and_every_mirror_sorted_by_name() {
    let failure = Failure::new(Reason::AuthFailed, "the server refused the token").with_evidence("HTTP 401");
    let updated = Outcome {
        refs: RefCounts { created: 1, total: 7, ..RefCounts::default() },
        received: 512,
        disk: Some(OnDisk { bytes: 4096, packs: Some(3), loose_refs: 0 }),
        notes: vec!["moved from ns/old".into()],
        ..outcome("ns/b", Verdict::Updated)
    };
    let report = report(vec![updated, failed("ns/a", Verdict::Failed, failure)]);
    insta::assert_snapshot!(report.json(), @r#"
    {
      "schema_version": 1,
      "holocron": "0.0.0",
      "started": "2026-11-20T12:00:00Z",
      "finished": "2026-11-20T12:00:04.2Z",
      "duration_seconds": 4.2,
      "exit_code": 3,
      "dry_run": false,
      "interrupted": null,
      "unfinished": 0,
      "storage": "/mirrors",
      "totals": {
        "mirrors": 2,
        "cloned": 0,
        "updated": 1,
        "would_clone": 0,
        "would_update": 0,
        "current": 0,
        "empty": 0,
        "gone": 0,
        "unavailable": 0,
        "held": 0,
        "failed": 1,
        "skipped": 0,
        "degraded": 0,
        "source_failures": 0,
        "refused": 0,
        "refs": {
          "created": 1,
          "forwarded": 0,
          "forced": 0,
          "deleted": 0,
          "total": 7
        },
        "bytes_received": 512,
        "looks": {
          "direct": 0,
          "git": 0
        },
        "fetches": {
          "direct": 0,
          "git": 0
        },
        "size_bytes": 4096,
        "destinations": {
          "pushed": 0,
          "would_push": 0,
          "current": 0,
          "diverged": 0,
          "held": 0,
          "refused": 0,
          "failed": 0,
          "skipped": 0,
          "behind": 0,
          "created": 0,
          "refs": {
            "created": 0,
            "forwarded": 0,
            "forced": 0,
            "deleted": 0,
            "refused": 0,
            "kept": 0
          }
        },
        "releases": {
          "in_sync": 0,
          "created": 0,
          "updated": 0,
          "deleted": 0,
          "foreign": 0,
          "incomplete": 0,
          "deferred": 0,
          "assets": 0,
          "bytes": 0,
          "behind": 0
        }
      },
      "mirrors": [
        {
          "name": "ns/a",
          "source": "github",
          "path": "/mirrors/h/ns/a.git",
          "result": "failed",
          "verdict": "failed",
          "degraded": false,
          "duration_seconds": 0.4,
          "refs": {
            "created": 0,
            "forwarded": 0,
            "forced": 0,
            "deleted": 0,
            "total": 0
          },
          "bytes_received": 0,
          "size_bytes": null,
          "packs": null,
          "failure": {
            "reason": "auth_failed",
            "message": "the server refused the token",
            "evidence": "HTTP 401",
            "hint": "check the token: it is missing, wrong or expired."
          },
          "notes": [],
          "destinations": [],
          "releases": []
        },
        {
          "name": "ns/b",
          "source": "github",
          "path": "/mirrors/h/ns/b.git",
          "result": "success",
          "verdict": "updated",
          "degraded": false,
          "duration_seconds": 0.4,
          "refs": {
            "created": 1,
            "forwarded": 0,
            "forced": 0,
            "deleted": 0,
            "total": 7
          },
          "bytes_received": 512,
          "size_bytes": 4096,
          "packs": 3,
          "failure": null,
          "notes": [
            "moved from ns/old"
          ],
          "destinations": [],
          "releases": []
        }
      ],
      "source_failures": [],
      "refused": [],
      "unmatched": [],
      "warnings": []
    }
    "#);
}

#[test]
fn each_destination_says_what_it_has_and_what_it_lacks() {
    let partly = DestinationOutcome {
        created: true,
        verified: true,
        refs: PushCounts { created: 49, refused: 1, kept: 2, ..PushCounts::default() },
        notes: vec!["gh-pages was left alone".into()],
        ..refused("gitlab", Reason::ProtectedRefRejected, &["refs/heads/main"], "not allowed")
    };
    let down = failed_there("codeberg", Failure::new(Reason::ServerError, "the server answered 503"));
    let destinations = vec![partly, down, there("bare", PushVerdict::Current)];
    let report = report(vec![Outcome { destinations, ..outcome("ns/a", Verdict::Current) }]);
    let json: Value = serde_json::from_str(&report.json()).unwrap();
    let mirror = &json["mirrors"][0];
    assert_eq!(
        (&mirror["degraded"], &mirror["result"], &json["exit_code"]),
        (&true.into(), &"success".into(), &3.into())
    );
    assert_eq!(json["totals"]["degraded"], 1);
    insta::assert_snapshot!(serde_json::to_string_pretty(&mirror["destinations"]).unwrap(), @r#"
    [
      {
        "created": true,
        "degraded": true,
        "duration_seconds": 0.4,
        "failure": null,
        "id": "gitlab",
        "notes": [
          "gh-pages was left alone"
        ],
        "place": "https://gitlab.example.org/ns/a.git",
        "refs": {
          "created": 49,
          "deleted": 0,
          "forced": 0,
          "forwarded": 0,
          "kept": 2,
          "refused": 1
        },
        "refused": [
          {
            "evidence": [],
            "hint": "a rule of the destination forbids it: change it there, or leave the branch alone with `protect`.",
            "message": "not allowed",
            "name": "refs/heads/main",
            "reason": "protected_ref_rejected"
          }
        ],
        "status": "failed",
        "verdict": "refused",
        "verified": true
      },
      {
        "created": false,
        "degraded": false,
        "duration_seconds": 0.4,
        "failure": {
          "evidence": null,
          "hint": null,
          "message": "the server answered 503",
          "reason": "server_error"
        },
        "id": "codeberg",
        "notes": [],
        "place": "ns/a",
        "refs": {
          "created": 0,
          "deleted": 0,
          "forced": 0,
          "forwarded": 0,
          "kept": 0,
          "refused": 0
        },
        "refused": [],
        "status": "failed",
        "verdict": "failed",
        "verified": false
      },
      {
        "created": false,
        "degraded": false,
        "duration_seconds": 0.4,
        "failure": null,
        "id": "bare",
        "notes": [],
        "place": "https://bare.example.org/ns/a.git",
        "refs": {
          "created": 0,
          "deleted": 0,
          "forced": 0,
          "forwarded": 0,
          "kept": 0,
          "refused": 0
        },
        "refused": [],
        "status": "success",
        "verdict": "current",
        "verified": false
      }
    ]
    "#);
    insta::assert_snapshot!(json["totals"]["destinations"].to_string(), @r#"{"behind":2,"created":1,"current":1,"diverged":0,"failed":1,"held":0,"pushed":0,"refs":{"created":49,"deleted":0,"forced":0,"forwarded":0,"kept":2,"refused":1},"refused":1,"skipped":0,"would_push":0}"#);
}

#[test]
fn what_a_server_said_comes_back_unchanged_and_harmless() {
    let words = "\u{1b}[2J \u{9b}1m \u{202e} \u{e0041} 日本\nline two \"quoted\"";
    let report = report(vec![failed("ns/a", Verdict::Failed, Failure::new(Reason::Unknown, words))]);
    let json = report.json();
    assert!(!json.chars().any(|c| c != '\n' && is_unprintable(c)), "{json:?}");
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["mirrors"][0]["failure"]["message"], words);
}

#[test]
fn a_secret_is_masked_wherever_it_got_into() {
    let secret = Secret::new("report-canary-1");
    let text = spilling(&secret).json();
    assert!(text.contains("spilt ***") && !text.contains("canary"), "{text}");
}

#[test]
fn the_guide_names_every_field_and_every_word_of_the_document() {
    let guide = include_str!("../../../../docs/report.md");
    let schema = schema();
    let fields = properties(schema.as_value());
    assert!(fields.contains("schema_version") && fields.contains("evidence") && fields.contains("forwarded"));
    let words = schema.as_value().to_string();
    let words = regex::Regex::new(r#""const":"(\w+)""#)
        .unwrap()
        .captures_iter(&words)
        .map(|c| c[1].to_owned())
        .collect::<BTreeSet<_>>();
    assert!(words.contains("auth_failed") && words.contains("unavailable"), "{words:?}");
    let missing: Vec<_> = fields.iter().chain(&words).filter(|name| !guide.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/report.md does not name {missing:?}");
}
