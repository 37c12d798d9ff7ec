//! `holocron status`: what the store knows of every mirror, as table and as JSON. Pure; `now` is given.

use std::path::PathBuf;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, schema_for};
use serde::Serialize;

use super::document::{self, FailureDocument};
use super::failures::{self, Entry};
use super::table::columns;
use super::{SCHEMA_VERSION, View};
use crate::failure::Failure;
use crate::model::{Status, Verdict};
use crate::secret::redact;
use crate::text::{Tone, ago, bytes, clean, count};

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
}

/// A mirror's state in one word: the first that is true of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
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
    /// The last success is too long ago.
    Stale,
}

const STATES: [State; 7] =
    [State::Fresh, State::Stale, State::Never, State::Gone, State::Unavailable, State::Held, State::Failed];

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
            State::Stale => "stale",
        }
    }

    fn tone(self) -> Tone {
        match self {
            State::Failed => Tone::Bad,
            State::Held | State::Stale | State::Never => Tone::Warning,
            State::Gone | State::Unavailable | State::Fresh => Tone::Neutral,
        }
    }
}

impl StatusRow {
    /// Returns the state in one word.
    pub fn state(&self) -> State {
        let status = self.verdict.map(Verdict::status);
        if self.gone_since.is_some() || self.verdict == Some(Verdict::Gone) {
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
            State::Stale
        }
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

/// Returns one line per mirror sorted by name, the failures with their way out, and a summary.
pub fn table(rows: &[StatusRow], now: Timestamp, view: View) -> String {
    let rows = sorted(rows);
    let cells = rows.iter().map(|row| {
        [
            clean(&row.name),
            row.last_success.map_or_else(|| "never".to_owned(), |then| ago(then, now)),
            row.size_bytes.map_or_else(String::new, bytes),
            row.refs.map_or_else(String::new, |refs| refs.to_string()),
            if row.kept_refs > 0 { row.kept_refs.to_string() } else { String::new() },
            row.state_text(),
        ]
    });
    let tones: Vec<Tone> = rows.iter().map(|row| row.state().tone()).collect();
    let header = ["name", "last success", "size", "refs", "kept", "state"];
    let mut blocks = Vec::new();
    if !rows.is_empty() {
        blocks.push(columns(header, &[1, 2, 3, 4], cells.collect(), &tones, view));
    }
    let entries: Vec<Entry<'_>> = rows
        .iter()
        .filter_map(|row| Some(Entry { source: &row.source, name: clean(&row.name), failure: row.failure.as_ref()? }))
        .collect();
    if !entries.is_empty() {
        blocks.push(failures::render(&entries, view.detail, view.paint));
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
    format!("{}{counts}{sizes}.\n", count(rows.len(), "mirror"))
}

fn sorted(rows: &[StatusRow]) -> Vec<&StatusRow> {
    let mut rows: Vec<&StatusRow> = rows.iter().collect();
    rows.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.path.cmp(&b.path)));
    rows
}

/// The JSON document of `holocron status --json`.
#[derive(Debug, Serialize, JsonSchema)]
struct StatusDocument {
    /// Grows when a field goes or changes its meaning.
    schema_version: u32,
    /// The version of Holocron that wrote this.
    holocron: String,
    /// When the store was read, RFC 3339 in UTC.
    #[schemars(with = "String")]
    now: Timestamp,
    /// Every mirror, sorted by name.
    mirrors: Vec<MirrorStatus>,
}

/// One mirror.
#[derive(Debug, Serialize, JsonSchema)]
struct MirrorStatus {
    name: String,
    source: String,
    path: String,
    state: State,
    fresh: bool,
    #[schemars(with = "Option<String>")]
    last_success: Option<Timestamp>,
    #[schemars(with = "Option<String>")]
    last_attempt: Option<Timestamp>,
    verdict: Option<Verdict>,
    size_bytes: Option<u64>,
    refs: Option<u64>,
    kept_refs: usize,
    failure: Option<FailureDocument>,
    failures_in_a_row: u32,
    #[schemars(with = "Option<String>")]
    gone_since: Option<Timestamp>,
}

/// Returns the JSON document, indented, on lines of its own.
pub fn json(rows: &[StatusRow], now: Timestamp) -> String {
    let mirrors = sorted(rows).into_iter().map(|row| MirrorStatus {
        name: redact(&row.name),
        source: redact(&row.source),
        path: redact(&row.path.to_string_lossy()),
        state: row.state(),
        fresh: row.fresh,
        last_success: row.last_success,
        last_attempt: row.last_attempt,
        verdict: row.verdict,
        size_bytes: row.size_bytes,
        refs: row.refs,
        kept_refs: row.kept_refs,
        failure: row.failure.as_ref().map(FailureDocument::from),
        failures_in_a_row: row.failures_in_a_row,
        gone_since: row.gone_since,
    });
    document::text(&StatusDocument {
        schema_version: SCHEMA_VERSION,
        holocron: env!("CARGO_PKG_VERSION").to_owned(),
        now,
        mirrors: mirrors.collect(),
    })
}

/// Returns the schema of the JSON status.
pub fn schema() -> Schema {
    schema_for!(StatusDocument)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Reason;

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
            refs: Some(40),
            kept_refs: 0,
            failure: None,
            failures_in_a_row: 0,
            gone_since: None,
            fresh: true,
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
        insta::assert_snapshot!(table(&rows(), now(), View::default()), @"
        name       last success      size  refs  kept  state
        ns/failed       2 h ago  12.3 MiB    40        failed 3 times
        ns/fresh        2 h ago  12.3 MiB    40        fresh
        ns/gone         2 h ago  12.3 MiB    40     2  gone since 2026-11-02
        ns/held         2 h ago  12.3 MiB    40        held
        ns/new            never                        never
        ns/old         10 d ago  12.3 MiB    40        stale

        ns/failed: network_failed: cannot reach h.
          Could not resolve host: h
          hint: check the network, the proxy and the host name; the next run tries again.
        ns/held: held: 30 of 40 refs are gone at the source.
          hint: look at the source; when the deletions are meant, run again with --accept-deletions.

        6 mirrors: 1 fresh, 1 stale, 1 never, 1 gone, 1 held, 1 failed; 61.5 MiB on disk.
        ");
    }

    #[test]
    fn a_store_without_mirrors_says_so() {
        assert_eq!(table(&[], now(), View::default()), "0 mirrors.\n");
    }

    #[test]
    fn json_has_absolute_times() {
        insta::assert_snapshot!(json(&rows()[1..2], now()).replace(env!("CARGO_PKG_VERSION"), "0.0.0"), @r#"
        {
          "schema_version": 1,
          "holocron": "0.0.0",
          "now": "2026-11-20T12:00:00Z",
          "mirrors": [
            {
              "name": "ns/failed",
              "source": "github",
              "path": "/mirrors/h/ns/failed.git",
              "state": "failed",
              "fresh": false,
              "last_success": "2026-11-20T09:59:00Z",
              "last_attempt": "2026-11-20T09:59:00Z",
              "verdict": "failed",
              "size_bytes": 12900000,
              "refs": 40,
              "kept_refs": 0,
              "failure": {
                "reason": "network_failed",
                "message": "cannot reach h",
                "evidence": "Could not resolve host: h",
                "hint": "check the network, the proxy and the host name; the next run tries again."
              },
              "failures_in_a_row": 3,
              "gone_since": null
            }
          ]
        }
        "#);
    }

    #[test]
    fn what_a_server_said_cannot_steer_the_terminal() {
        let words = "\u{1b}]0;title\u{7} \u{9b}2J \u{202e}";
        let failure = Failure::new(Reason::Unknown, words).with_evidence(words).with_hint(words);
        let rows = [StatusRow { failure: Some(failure), source: words.into(), ..row(words) }];
        for text in [table(&rows, now(), View::default()), json(&rows, now())] {
            assert!(!text.chars().any(|c| c != '\n' && crate::text::is_unprintable(c)), "{text:?}");
        }
    }

    #[test]
    fn the_guide_names_every_field_and_state() {
        let guide = include_str!("../../docs/report.md");
        let schema = schema();
        let fields = document::tests::properties(schema.as_value());
        assert!(fields.contains("failures_in_a_row"));
        let states = STATES.map(|state| state.as_str().to_owned());
        let missing: Vec<_> =
            fields.iter().chain(&states).filter(|name| !guide.contains(&format!("`{name}`"))).collect();
        assert!(missing.is_empty(), "docs/report.md does not name {missing:?}");
    }
}
