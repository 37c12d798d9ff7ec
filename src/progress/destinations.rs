//! How a mirror came out on a destination, in the words that lines and tables share.

use std::collections::HashMap;

use crate::base::failure::{Failure, Reason};
use crate::base::text::Tone;
use crate::model::advice::advise;
use crate::model::destination::{DestinationOutcome, PushVerdict, RefusedRef};
use crate::model::{Outcome, RefCounts};

/// Returns the word for how it came out: `pushed`, `pushed, created`, `refused 3`.
pub(crate) fn result(outcome: &DestinationOutcome) -> String {
    let word = outcome.verdict.as_str();
    let diverged = || outcome.refused.iter().filter(|one| one.reason == Reason::Diverged).count();
    let number = match outcome.verdict {
        PushVerdict::Refused => outcome.refs.refused,
        PushVerdict::Diverged => diverged(),
        _ => 0,
    };
    let number = if number > 0 { format!(" {number}") } else { String::new() };
    format!("{word}{number}{}", if outcome.created { ", created" } else { "" })
}

/// Returns the colour for how it came out.
pub(crate) fn tone(outcome: &DestinationOutcome) -> Tone {
    match outcome.verdict {
        PushVerdict::Failed => Tone::Bad,
        PushVerdict::Diverged | PushVerdict::Held | PushVerdict::Refused => Tone::Warning,
        PushVerdict::Pushed | PushVerdict::WouldPush => Tone::Good,
        PushVerdict::Current => Tone::Faint,
        PushVerdict::Skipped => Tone::Neutral,
    }
}

/// Returns what happened to the refs there: `+3 ~2 !1 -1`.
pub(crate) fn refs_changed(outcome: &DestinationOutcome) -> String {
    let refs = &outcome.refs;
    RefCounts { created: refs.created, forwarded: refs.forwarded, forced: refs.forced, deleted: refs.deleted, total: 0 }
        .to_string()
}

/// Whether a mirror is degraded by something else than its destinations, such as a checkout.
pub(crate) fn is_degraded_itself(outcome: &Outcome) -> bool {
    outcome.degraded && !outcome.destinations.iter().any(DestinationOutcome::is_behind)
}

/// Whether something was changed there, or noted.
pub(crate) fn is_changed(outcome: &DestinationOutcome) -> bool {
    outcome.verdict == PushVerdict::WouldPush
        || outcome.created
        || outcome.refs.changed() > 0
        || !outcome.notes.is_empty()
}

/// Whether it is worth a line of its own: it was changed or is behind.
///
/// Skipped ones share a cause, which is told once for all of them.
pub(crate) fn is_news(outcome: &DestinationOutcome) -> bool {
    is_changed(outcome) || outcome.is_behind() && outcome.verdict != PushVerdict::Skipped
}

/// What went wrong there, and for which refs; no refs when it is the destination as a whole.
pub(crate) struct Trouble<'a> {
    pub refs: Vec<&'a str>,
    pub failure: Failure,
}

/// Returns what went wrong: the failure of the whole first, then the refused refs, those with equal words together and with
/// the destination's last lines about them.
pub(crate) fn troubles(outcome: &DestinationOutcome) -> Vec<Trouble<'_>> {
    let whole = outcome.failure.iter().map(|failure| Trouble { refs: Vec::new(), failure: failure.clone() });
    // Thousands of refs may be refused, each in words of its own.
    let mut known: HashMap<(Reason, &str), usize> = HashMap::new();
    let mut groups: Vec<Vec<&RefusedRef>> = Vec::new();
    for refused in &outcome.refused {
        let at = *known.entry((refused.reason, &refused.message)).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[at].push(refused);
    }
    whole.chain(groups.iter().map(|group| together(group, outcome))).collect()
}

/// One trouble of refs that were refused with the same reason in the same words.
fn together<'a>(group: &[&'a RefusedRef], outcome: &DestinationOutcome) -> Trouble<'a> {
    let mut lines: Vec<&str> = Vec::new();
    for line in group.iter().flat_map(|refused| &refused.evidence) {
        if lines.len() == MOST_LINES {
            break;
        }
        if !lines.contains(&line.as_str()) && *line != group[0].message {
            lines.push(line);
        }
    }
    let failure = Failure::new(group[0].reason, &group[0].message);
    Trouble {
        refs: group.iter().map(|refused| refused.name.as_str()).collect(),
        failure: advise(failure, outcome.kind).with_evidence(lines.join("\n")),
    }
}

/// The most lines of a destination that are shown about refs that were refused together.
const MOST_LINES: usize = 20;

/// Refs named of those that were refused in the same words; the rest is counted.
pub(crate) const REFS: usize = 3;
