//! The releases in the report for people: rows below their mirror, failures, a part of the summary.

use std::borrow::Cow;

use super::super::failures::Entry;
use super::took;
use crate::base::text::{Detail, Tone, bytes};
use crate::model::Outcome;
use crate::model::projection::{ReleaseVerdict, ReleasesOutcome};
use crate::progress::releases::{changed, is_news, name, place, result, tone, troubles};

/// Returns one row for each place where releases changed or are behind; for all of them when everything is asked for.
pub(super) fn release_rows(outcome: &Outcome, detail: Detail) -> Vec<([String; 5], Tone)> {
    let told = outcome.releases.iter().filter(|one| detail == Detail::Everything || is_news(one));
    told.map(|one| {
        let copied = if one.counts.bytes > 0 { bytes(one.counts.bytes) } else { String::new() };
        ([format!("  {}", place(one)), result(one), changed(one), copied, took(one.duration)], tone(one))
    })
    .collect()
}

/// Returns what went wrong with releases; where refs failed, their own failure says why.
pub(super) fn release_entries(outcome: &Outcome) -> Vec<Entry<'_>> {
    let told = outcome.releases.iter().filter(|one| one.verdict != ReleaseVerdict::Skipped);
    told.flat_map(|one| {
        let name = name(outcome, one);
        troubles(one).map(move |(what, failure)| Entry {
            origin: &one.destination,
            name: format!("{name}{what}"),
            failure: Cow::Borrowed(failure),
        })
    })
    .collect()
}

/// Returns `; releases: 3 created, 5 files copied, 1 behind`, or nothing when there are none.
pub(super) fn summary(outcomes: &[Outcome]) -> String {
    let all: Vec<&ReleasesOutcome> = outcomes.iter().flat_map(|outcome| &outcome.releases).collect();
    if all.is_empty() {
        return String::new();
    }
    let sum = |of: fn(&ReleasesOutcome) -> usize| all.iter().map(|one| of(one)).sum::<usize>();
    let counts = [
        (sum(|one| one.counts.created), "created"),
        (sum(|one| one.counts.updated), "updated"),
        (sum(|one| one.counts.deleted), "deleted"),
        (sum(|one| one.counts.in_sync), "in sync"),
        (sum(|one| one.counts.foreign), "foreign"),
        (sum(|one| one.counts.incomplete), "incomplete"),
        (sum(|one| one.counts.deferred), "deferred"),
        (sum(|one| one.counts.assets), "files copied"),
        (sum(|one| usize::from(one.verdict == ReleaseVerdict::Failed)), "failed"),
        (sum(|one| usize::from(one.verdict == ReleaseVerdict::Skipped)), "skipped"),
    ];
    let told: Vec<String> =
        counts.iter().filter(|(number, _)| *number > 0).map(|(number, word)| format!("{number} {word}")).collect();
    format!("; releases: {}", if told.is_empty() { "none".to_owned() } else { told.join(", ") })
}
