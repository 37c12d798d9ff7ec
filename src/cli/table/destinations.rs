//! The destinations in the report for people: rows below their mirror, failures, a part of the summary.

use std::borrow::Cow;

use super::took;
use crate::base::text::{Detail, Tone, clean, list};
use crate::cli::failures::Entry;
use crate::model::destination::{DestinationOutcome, PushVerdict};
use crate::model::{Outcome, Status};
use crate::progress::destinations::{REFS, is_news, refs_changed, result, tone, troubles};

/// The order in which the summary counts.
const VERDICTS: [PushVerdict; 8] = [
    PushVerdict::Pushed,
    PushVerdict::WouldPush,
    PushVerdict::Current,
    PushVerdict::Diverged,
    PushVerdict::Held,
    PushVerdict::Refused,
    PushVerdict::Failed,
    PushVerdict::Skipped,
];

/// Returns one row for each destination that was changed or is behind; for all of them when everything is asked for.
pub(super) fn destination_rows(outcome: &Outcome, detail: Detail) -> Vec<([String; 5], Tone)> {
    let told = outcome.destinations.iter().filter(|one| detail == Detail::Everything || is_news(one));
    told.map(|one| {
        let name = format!("  → {}", clean(&one.destination));
        ([name, result(one), refs_changed(one), String::new(), took(one.duration)], tone(one))
    })
    .collect()
}

/// `ns/alpha → gitlab`.
pub(super) fn destination_name(outcome: &Outcome, destination: &DestinationOutcome) -> String {
    format!("{} → {}", clean(&outcome.path.to_string()), clean(&destination.destination))
}

/// Returns what went wrong at the destinations, the refused refs named as far as three are.
pub(super) fn destination_entries(outcome: &Outcome) -> Vec<Entry<'_>> {
    // Where the mirror itself failed, its own failure says why nothing was pushed.
    let is_explained =
        |one: &DestinationOutcome| one.verdict == PushVerdict::Skipped && outcome.verdict.status() == Status::Failed;
    let told = outcome.destinations.iter().filter(|one| !is_explained(one));
    told.flat_map(|one| {
        let name = destination_name(outcome, one);
        troubles(one).into_iter().map(move |trouble| Entry {
            origin: &one.destination,
            name: match trouble.refs.is_empty() {
                true => name.clone(),
                false => format!("{name} ({})", clean(&list(&trouble.refs, REFS))),
            },
            failure: Cow::Owned(trouble.failure),
        })
    })
    .collect()
}

/// Returns `; at destinations: 2 pushed, 1 failed`, or nothing when there are none.
pub(super) fn summary(outcomes: &[Outcome]) -> String {
    let all = || outcomes.iter().flat_map(|outcome| &outcome.destinations);
    let number = |verdict: PushVerdict| all().filter(|one| one.verdict == verdict).count();
    let counts: Vec<String> = VERDICTS
        .iter()
        .map(|verdict| (number(*verdict), verdict.as_str()))
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| format!("{number} {word}"))
        .collect();
    if counts.is_empty() { String::new() } else { format!("; at destinations: {}", counts.join(", ")) }
}
