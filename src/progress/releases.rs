//! How the releases of a repository came out at a place, in the words that lines and tables share.

use crate::base::failure::Failure;
use crate::base::text::{Tone, clean};
use crate::model::Outcome;
use crate::model::projection::{DISK, ReleaseVerdict, ReleasesOutcome};

/// `releases`, or `→ gitlab releases`.
pub(crate) fn place(outcome: &ReleasesOutcome) -> String {
    match outcome.destination.as_str() {
        DISK => "releases".to_owned(),
        id => format!("→ {} releases", clean(id)),
    }
}

/// `ns/alpha → gitlab releases`.
pub(crate) fn name(outcome: &Outcome, releases: &ReleasesOutcome) -> String {
    format!("{} {}", clean(&outcome.path.to_string()), place(releases))
}

/// Returns the word for how it came out: `projected`, `behind 2`.
pub(crate) fn result(outcome: &ReleasesOutcome) -> String {
    let word = outcome.verdict.as_str();
    let behind = outcome.counts.incomplete + outcome.counts.deferred;
    match outcome.verdict {
        ReleaseVerdict::Behind if behind > 0 => format!("{word} {behind}"),
        _ => word.to_owned(),
    }
}

/// Returns the colour for how it came out.
pub(crate) fn tone(outcome: &ReleasesOutcome) -> Tone {
    match outcome.verdict {
        ReleaseVerdict::Failed => Tone::Bad,
        ReleaseVerdict::Behind => Tone::Warning,
        ReleaseVerdict::Projected | ReleaseVerdict::WouldProject => Tone::Good,
        ReleaseVerdict::Current => Tone::Faint,
        ReleaseVerdict::Skipped => Tone::Neutral,
    }
}

/// Returns what happened to the releases there: `+3 ~2 -1`.
pub(crate) fn changed(outcome: &ReleasesOutcome) -> String {
    let counts = &outcome.counts;
    let signs = [('+', counts.created), ('~', counts.updated), ('-', counts.deleted)];
    let told = signs.iter().filter(|(_, number)| *number > 0).map(|(sign, number)| format!("{sign}{number}"));
    told.collect::<Vec<_>>().join(" ")
}

/// Whether something was changed there, or noted.
pub(crate) fn is_changed(outcome: &ReleasesOutcome) -> bool {
    outcome.verdict == ReleaseVerdict::WouldProject || outcome.counts.changed() > 0 || outcome.counts.assets > 0
}

/// Whether it is worth a line of its own: it was changed or is behind. Skipped ones share the cause of their refs.
pub(crate) fn is_news(outcome: &ReleasesOutcome) -> bool {
    is_changed(outcome) || outcome.is_behind() && outcome.verdict != ReleaseVerdict::Skipped
}

/// Returns what went wrong: of the whole first, then for each release or file, named.
pub(crate) fn troubles(outcome: &ReleasesOutcome) -> impl Iterator<Item = (String, &Failure)> {
    let whole = outcome.failure.iter().map(|failure| (String::new(), failure));
    whole.chain(outcome.problems.iter().map(|problem| {
        let what = match &problem.asset {
            Some(asset) => format!(" ({}: {})", clean(&problem.tag), clean(asset)),
            None => format!(" ({})", clean(&problem.tag)),
        };
        (what, &problem.failure)
    }))
}
