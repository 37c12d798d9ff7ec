//! The report for machines: one JSON document, an interface with a version.
//!
//! The structs are apart from the model's, so that code can change where the document may not. `docs/report.md` names
//! every field.

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, schema_for};
use serde::Serialize;

use super::{Report, SCHEMA_VERSION};
use crate::failure::{Failure, Reason};
use crate::model::{Outcome, RefCounts, Status, Verdict};
use crate::secret::redact;
use crate::text::is_unprintable;

/// The JSON report of one run.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Document {
    /// Grows when a field goes or changes its meaning.
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
    /// The storage root.
    storage: String,
    totals: Totals,
    /// Every mirror, sorted by name.
    mirrors: Vec<Mirror>,
    /// Sources that could not be listed.
    source_failures: Vec<Source>,
    /// Parts of listings that were refused.
    refused: Vec<Part>,
    warnings: Vec<String>,
}

/// Sums over the run.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct Totals {
    mirrors: usize,
    cloned: usize,
    updated: usize,
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
    /// The mirror is safe, something beside it is behind.
    degraded: bool,
    duration_seconds: f64,
    refs: RefCounts,
    bytes_received: u64,
    failure: Option<FailureDocument>,
    notes: Vec<String>,
    destinations: Vec<Destination>,
}

/// One place that a mirror is pushed to. Nothing is pushed yet: the list is empty.
#[derive(Debug, Serialize, JsonSchema)]
struct Destination {
    name: String,
    result: Status,
    failure: Option<FailureDocument>,
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

/// A failure as documents show it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct FailureDocument {
    reason: Reason,
    message: String,
    /// Git's or the server's own words.
    evidence: Option<String>,
    /// What to do about it.
    hint: Option<String>,
}

impl Document {
    pub(super) fn of(report: &Report) -> Self {
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
            warnings: report.warnings.iter().map(|warning| redact(warning)).collect(),
        }
    }
}

/// The totals alone, as they stand in the document.
pub(super) fn totals(report: &Report) -> serde_json::Value {
    // Numbers under fixed names: nothing in them can fail to be written.
    serde_json::to_value(Totals::of(report)).unwrap_or_default()
}

impl Totals {
    fn of(report: &Report) -> Self {
        let mut totals = Totals {
            mirrors: report.outcomes.len(),
            source_failures: report.source_failures.len(),
            refused: report.refused.len(),
            ..Totals::default()
        };
        for outcome in &report.outcomes {
            *match outcome.verdict {
                Verdict::Cloned => &mut totals.cloned,
                Verdict::Updated => &mut totals.updated,
                Verdict::Current => &mut totals.current,
                Verdict::Empty => &mut totals.empty,
                Verdict::Gone => &mut totals.gone,
                Verdict::Unavailable => &mut totals.unavailable,
                Verdict::Held => &mut totals.held,
                Verdict::Failed => &mut totals.failed,
                Verdict::Skipped => &mut totals.skipped,
            } += 1;
            totals.degraded += usize::from(outcome.degraded);
            totals.refs.created += outcome.refs.created;
            totals.refs.forwarded += outcome.refs.forwarded;
            totals.refs.forced += outcome.refs.forced;
            totals.refs.deleted += outcome.refs.deleted;
            totals.refs.total += outcome.refs.total;
            totals.bytes_received += outcome.received;
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
            degraded: outcome.degraded,
            duration_seconds: seconds(outcome.duration),
            refs: outcome.refs.clone(),
            bytes_received: outcome.received,
            failure: outcome.failure.as_ref().map(FailureDocument::from),
            notes: outcome.notes.iter().map(|note| redact(note)).collect(),
            destinations: Vec::new(),
        }
    }
}

impl From<&Failure> for FailureDocument {
    fn from(failure: &Failure) -> Self {
        FailureDocument {
            reason: failure.reason,
            message: redact(&failure.message),
            evidence: failure.evidence.as_deref().map(redact),
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
pub(super) fn text(document: &impl Serialize) -> String {
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
pub(super) mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::super::tests::{failed, outcome, report};
    use super::super::{RefusedPart, SourceFailure};
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn the_document_has_its_version_and_every_mirror_sorted_by_name() {
        let failure = Failure::new(Reason::AuthFailed, "the server refused the token").with_evidence("HTTP 401");
        let updated = Outcome {
            refs: RefCounts { created: 1, total: 7, ..RefCounts::default() },
            received: 512,
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
          "storage": "/mirrors",
          "totals": {
            "mirrors": 2,
            "cloned": 0,
            "updated": 1,
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
            "bytes_received": 512
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
              "failure": {
                "reason": "auth_failed",
                "message": "the server refused the token",
                "evidence": "HTTP 401",
                "hint": "check the token of this source: it is missing, wrong or expired."
              },
              "notes": [],
              "destinations": []
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
              "failure": null,
              "notes": [
                "moved from ns/old"
              ],
              "destinations": []
            }
          ],
          "source_failures": [],
          "refused": [],
          "warnings": []
        }
        "#);
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
        let spill = || format!("spilt {}", secret.expose());
        let failure = Failure { evidence: Some(spill()), ..Failure::new(Reason::Unknown, spill()) };
        let broken = Outcome { notes: vec![spill()], ..failed(&spill(), Verdict::Failed, failure.clone()) };
        let mut report = report(vec![broken]);
        report.storage = spill().into();
        report.warnings = vec![spill()];
        report.source_failures = vec![SourceFailure { source: spill(), failure: failure.clone() }];
        report.refused = vec![RefusedPart { source: spill(), what: spill(), failure }];
        for text in [report.json(), report.table(Default::default())] {
            assert!(text.contains("spilt ***") && !text.contains("canary"), "{text}");
        }
    }

    /// The names of all properties in a schema.
    pub(in crate::report) fn properties(schema: &Value) -> BTreeSet<String> {
        let own = schema.get("properties").and_then(Value::as_object).into_iter().flat_map(|map| map.keys().cloned());
        let inner = match schema {
            Value::Object(map) => map.values().flat_map(properties).collect::<Vec<_>>(),
            Value::Array(list) => list.iter().flat_map(properties).collect(),
            _ => Vec::new(),
        };
        own.chain(inner).collect()
    }

    #[test]
    fn the_guide_names_every_field_and_every_word_of_the_document() {
        let guide = include_str!("../../docs/report.md");
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
        let missing: Vec<_> =
            fields.iter().chain(&words).filter(|name| !guide.contains(&format!("`{name}`"))).collect();
        assert!(missing.is_empty(), "docs/report.md does not name {missing:?}");
    }
}
