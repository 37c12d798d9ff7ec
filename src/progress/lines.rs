//! Progress as plain lines: one for each mirror that changed, failed or is held, one for each destination where it
//! changed or is behind, one for each listing and each retry.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::destinations::{self, REFS};
use super::releases;
use super::said::{Change, Said};
use super::{Event, Screen, Sink};
use crate::base::failure::Failure;
use crate::base::text::{Detail, Paint, Tone, bytes, clean, count, duration, list, sentence};
use crate::model::destination::{DestinationOutcome, PushVerdict};
use crate::model::projection::{ReleaseVerdict, ReleasesOutcome};
use crate::model::{Outcome, Status, Verdict};

/// Tells a run's events as lines.
#[derive(Debug)]
pub struct Lines {
    screen: Screen,
    detail: Detail,
    paint: Paint,
    /// A cycle has been planned: of later ones only what happens in them is told.
    planned: AtomicBool,
    said: Mutex<Said>,
}

impl Lines {
    /// Lines on `screen`; with [`Detail::Everything`] also of mirrors that stayed as they were.
    pub fn new(screen: Screen, detail: Detail, paint: Paint) -> Self {
        Lines { screen, detail, paint, planned: AtomicBool::new(false), said: Mutex::default() }
    }
}

impl Sink for Lines {
    fn tell(&self, event: &Event<'_>) {
        let is_routine = match event {
            Event::Listing { .. } => self.planned.load(Ordering::Relaxed),
            Event::Planned { .. } => self.planned.swap(true, Ordering::Relaxed),
            _ => false,
        };
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = lines(event, self.detail, self.paint, &mut said);
        if is_routine && self.detail == Detail::Changes {
            return;
        }
        lines.iter().for_each(|line| self.screen.line(line));
    }
}

/// Returns what an event is worth in lines; most are worth none.
fn lines(event: &Event<'_>, detail: Detail, paint: Paint, said: &mut Said) -> Vec<String> {
    match event {
        Event::Listing { source } => vec![format!("{}: listing.", clean(source))],
        Event::Listed { source, repos } if detail == Detail::Everything => {
            vec![format!("{}: {} so far.", clean(source), count(*repos, "repository"))]
        }
        Event::Planned { mirrors, to_do } => {
            said.planned();
            vec![format!("{}, {to_do} to look at.", count(*mirrors, "mirror"))]
        }
        Event::Started { path } if detail == Detail::Everything => {
            vec![format!("{}: started.", clean(&path.to_string()))]
        }
        Event::Resting { until } if detail == Detail::Everything => vec![format!("waiting until {until}.")],
        Event::Started { .. } | Event::Phase { .. } | Event::Resting { .. } => Vec::new(),
        Event::Listed { .. }
        | Event::Retrying { .. }
        | Event::Finished { .. }
        | Event::Projected { .. }
        | Event::Warning { .. } => lasting(event, detail, paint, said),
    }
}

/// Returns the lines of the events that stay worth knowing when the bars have moved on. With [`Detail::Changes`] those of a
/// trouble that was told before and still stands are left out.
pub(super) fn lasting(event: &Event<'_>, detail: Detail, paint: Paint, said: &mut Said) -> Vec<String> {
    match event {
        Event::Listed { source, .. } => {
            said.answers(source);
            Vec::new()
        }
        Event::Planned { .. } => {
            said.planned();
            Vec::new()
        }
        Event::Retrying { what, failure, .. } if !said.retry(what, failure.reason()) && detail == Detail::Changes => {
            Vec::new()
        }
        Event::Retrying { what, failure, wait } => vec![format!(
            "{}: {}: {}; trying again in {}.",
            clean(what),
            failure.reason(),
            clean(failure.message()).trim_end_matches('.'),
            duration(*wait)
        )],
        Event::Finished { outcome } => finished(outcome, detail, paint, said),
        Event::Projected { outcome, releases } => projected(outcome, releases, detail, paint, said),
        Event::Warning { text } => {
            vec![format!("{}: {}", paint.dress(Tone::Warning, "warning"), sentence(&clean(text)))]
        }
        _ => Vec::new(),
    }
}

/// What a mirror is in trouble with: it failed, is held or degraded. A destination that is behind has a line of its own.
fn trouble(outcome: &Outcome) -> Option<String> {
    let in_trouble = matches!(outcome.verdict, Verdict::Failed | Verdict::Held)
        || destinations::is_degraded_itself(outcome)
        || outcome.failure.is_some();
    // Not the message: it may have a time in it that is another at each try.
    let reason = outcome.failure.as_ref().map_or("", |failure| failure.reason().as_str());
    in_trouble.then(|| format!("{} {reason}", result(outcome)))
}

/// What a destination is in trouble with.
fn trouble_there(outcome: &DestinationOutcome) -> Option<String> {
    let reasons = destinations::troubles(outcome)
        .into_iter()
        .map(|trouble| format!(" {} {}", trouble.failure.reason(), trouble.refs.join(" ")));
    outcome.is_behind().then(|| format!("{}{}", destinations::result(outcome), reasons.collect::<String>()))
}

/// The line of the mirror and its notes, then those of its destinations, each when it is worth one: something was changed
/// or noted, or a trouble began, changed or ended.
fn finished(outcome: &Outcome, detail: Detail, paint: Paint, said: &mut Said) -> Vec<String> {
    let name = clean(&outcome.path.to_string());
    let everything = detail == Detail::Everything;
    let mut lines = Vec::new();
    // Skipped ones share a cause that was told before, and are neither well nor in another trouble.
    let change = match outcome.verdict {
        Verdict::Skipped => Change::Well,
        _ => said.trouble(&name, trouble(outcome)),
    };
    let notes = said.notes(&name, &outcome.notes);
    let changed =
        matches!(outcome.verdict, Verdict::Cloned | Verdict::Updated | Verdict::WouldClone | Verdict::WouldUpdate);
    if everything || changed || matches!(change, Change::Begun | Change::Over) || !notes.is_empty() {
        let word = paint.dress(tone(outcome), &result(outcome));
        let done = if outcome.verdict.status() == Status::Success { done(outcome) } else { String::new() };
        let why = outcome.failure.as_ref().map_or_else(String::new, |failure| why(outcome.verdict.as_str(), failure));
        lines.push(line(&name, &word, &[done, why, over(change)]));
        lines.extend(notes_of(&name, notes, &outcome.notes, everything));
    }
    for one in &outcome.destinations {
        let name = format!("{name} → {}", clean(&one.destination));
        let change = match one.verdict {
            PushVerdict::Skipped => Change::Well,
            _ => said.trouble(&name, trouble_there(one)),
        };
        if one.verdict.in_step() {
            said.answers(&one.destination);
        }
        let notes = said.notes(&name, &one.notes);
        let changed = one.created || one.refs.changed() > 0 || one.verdict == PushVerdict::WouldPush;
        if !(everything || changed || matches!(change, Change::Begun | Change::Over) || !notes.is_empty()) {
            continue;
        }
        let word = paint.dress(destinations::tone(one), &destinations::result(one));
        let is_done = one.verdict.in_step() || one.refs.changed() > 0;
        let done = if is_done { facts([destinations::refs_changed(one), took(one.duration)]) } else { String::new() };
        lines.push(line(&name, &word, &[done, why_there(one), over(change)]));
        lines.extend(notes_of(&name, notes, &one.notes, everything));
    }
    lines
}

/// That a trouble is over, for a line that tells what came after it.
fn over(change: Change) -> String {
    if change == Change::Over { "the trouble is over".to_owned() } else { String::new() }
}

/// The notes that are news, or all of them.
fn notes_of<'a>(name: &str, news: Vec<&'a String>, all: &'a [String], everything: bool) -> Vec<String> {
    let notes = if everything { all.iter().collect() } else { news };
    notes.into_iter().map(|note| format!("{name}: {}", sentence(&clean(note)))).collect()
}

/// What the releases at a place are in trouble with.
fn trouble_with(releases: &ReleasesOutcome) -> Option<String> {
    let reasons = releases::troubles(releases).map(|(what, failure)| format!(" {}{what}", failure.reason()));
    releases.is_behind().then(|| format!("{}{}", releases::result(releases), reasons.collect::<String>()))
}

/// The line of a mirror's releases at one place, when it is worth one.
fn projected(
    outcome: &Outcome,
    releases: &ReleasesOutcome,
    detail: Detail,
    paint: Paint,
    said: &mut Said,
) -> Vec<String> {
    let name = releases::name(outcome, releases);
    let change = match releases.verdict {
        ReleaseVerdict::Skipped => Change::Well,
        _ => said.trouble(&name, trouble_with(releases)),
    };
    let is_news = releases::is_changed(releases) || matches!(change, Change::Begun | Change::Over);
    if detail == Detail::Changes && !is_news {
        return Vec::new();
    }
    let word = paint.dress(releases::tone(releases), &releases::result(releases));
    let copied = if releases.counts.bytes > 0 { bytes(releases.counts.bytes) } else { String::new() };
    let done = facts([releases::changed(releases), copied, took(releases.duration)]);
    let why = releases::troubles(releases)
        .next()
        .map_or_else(String::new, |(what, failure)| format!("{}{}", why(releases.verdict.as_str(), failure), what));
    let mut lines = vec![line(&name, &word, &[done, why, over(change)])];
    lines.extend(releases.notes.iter().map(|note| format!("{name}: {}", sentence(&clean(note)))));
    lines
}

/// `name: word: fact: fact.`; facts that are empty are left out.
fn line(name: &str, word: &str, facts: &[String]) -> String {
    let facts: String = facts.iter().filter(|fact| !fact.is_empty()).map(|fact| format!(": {fact}")).collect();
    sentence(&format!("{name}: {word}{facts}"))
}

/// `+3 ~2, 12.3 MiB, 0.4 s`.
fn done(outcome: &Outcome) -> String {
    let refs = match outcome.verdict {
        Verdict::Cloned | Verdict::WouldClone => count(outcome.refs.total, "ref"),
        _ => outcome.refs.to_string(),
    };
    let received = if outcome.received > 0 { bytes(outcome.received) } else { String::new() };
    facts([refs, received, took(outcome.duration)])
}

fn facts<const N: usize>(facts: [String; N]) -> String {
    facts.into_iter().filter(|fact| !fact.is_empty()).collect::<Vec<_>>().join(", ")
}

fn took(span: Duration) -> String {
    if span.is_zero() { String::new() } else { duration(span) }
}

/// The first of what went wrong at a destination; the report has the rest.
fn why_there(outcome: &DestinationOutcome) -> String {
    let troubles = destinations::troubles(outcome);
    let Some(first) = troubles.first() else { return String::new() };
    let refs = if first.refs.is_empty() { String::new() } else { format!(" ({})", clean(&list(&first.refs, REFS))) };
    why(outcome.verdict.as_str(), &first.failure) + &refs
}

fn why(verdict: &str, failure: &Failure) -> String {
    let message = clean(failure.message());
    match failure.reason().as_str() {
        // `held: held: …` would say it twice.
        reason if reason == verdict => message,
        reason => format!("{reason}: {message}"),
    }
}

/// Returns the word for how a mirror came out: `updated`, `updated, degraded`.
pub(crate) fn result(outcome: &Outcome) -> String {
    let degraded = if outcome.is_degraded() { ", degraded" } else { "" };
    format!("{}{degraded}", outcome.verdict.as_str())
}

/// Returns the colour for how a mirror came out.
pub(crate) fn tone(outcome: &Outcome) -> Tone {
    match outcome.verdict {
        Verdict::Failed => Tone::Bad,
        Verdict::Held => Tone::Warning,
        _ if outcome.is_degraded() => Tone::Warning,
        Verdict::Cloned | Verdict::Updated | Verdict::WouldClone | Verdict::WouldUpdate => Tone::Good,
        Verdict::Current | Verdict::Empty => Tone::Faint,
        Verdict::Gone | Verdict::Unavailable | Verdict::Skipped => Tone::Neutral,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::super::screen::Paper;
    use super::*;
    use crate::base::failure::Reason;
    use crate::base::text::is_unprintable;
    use crate::model::destination::{PushCounts, RefusedRef};
    use crate::model::{MirrorKey, RefCounts, RepoPath};

    /// An outcome of `ns/<name>` that took 400 ms.
    pub(in crate::progress) fn outcome(name: &str, verdict: Verdict) -> Outcome {
        let path = RepoPath::new("ns", name).unwrap();
        Outcome {
            mirror: path.mirror_path("h"),
            path,
            source: "github".into(),
            key: MirrorKey { folder: "h".into(), id: name.into() },
            verdict,
            degraded: false,
            duration: Duration::from_millis(400),
            refs: RefCounts::default(),
            received: 0,
            disk: None,
            kept: None,
            failure: None,
            notes: Vec::new(),
            destinations: Vec::new(),
            releases: Vec::new(),
        }
    }

    fn told(detail: Detail, paint: Paint, events: &[Event<'_>]) -> String {
        let paper = Paper::default();
        let sink = Lines::new(Screen::stream(paper.clone()), detail, paint);
        events.iter().for_each(|event| sink.tell(event));
        paper.text()
    }

    #[test]
    fn only_what_changed_or_failed_is_told() {
        let mut updated = outcome("updated", Verdict::Updated);
        updated.refs = RefCounts { created: 3, forwarded: 2, forced: 1, deleted: 1, total: 40 };
        updated.received = 12_900_000;
        updated.notes = vec!["moved from ns/old".into()];
        let mut cloned = outcome("cloned", Verdict::Cloned);
        cloned.refs = RefCounts { created: 12, total: 12, ..RefCounts::default() };
        let mut failed = outcome("failed", Verdict::Failed);
        failed.failure = Some(Failure::new(Reason::NetworkFailed, "cannot fetch https://h/ns/failed"));
        let mut held = outcome("held", Verdict::Held);
        held.failure = Some(Failure::new(Reason::Held, "30 of 40 refs are gone at the source"));
        let mut behind = outcome("behind", Verdict::Updated);
        behind.degraded = true;
        behind.failure = Some(Failure::new(Reason::LocalFailed, "the checkout was edited"));
        let current = outcome("current", Verdict::Current);
        let events = [
            Event::Listing { source: "github" },
            Event::Listed { source: "github", repos: 5 },
            Event::Planned { mirrors: 5, to_do: 4 },
            Event::Started { path: &updated.path },
            Event::Phase { path: &updated.path, phase: "Receiving objects", percent: Some(4), bytes: None },
            Event::Finished { outcome: &updated },
            Event::Finished { outcome: &cloned },
            Event::Finished { outcome: &failed },
            Event::Finished { outcome: &held },
            Event::Finished { outcome: &behind },
            Event::Finished { outcome: &current },
            Event::Warning { text: "the store was rebuilt" },
        ];
        insta::assert_snapshot!(told(Detail::Changes, Paint::Plain, &events), @"
        github: listing.
        5 mirrors, 4 to look at.
        ns/updated: updated: +3 ~2 !1 -1, 12.3 MiB, 0.4 s.
        ns/updated: moved from ns/old.
        ns/cloned: cloned: 12 refs, 0.4 s.
        ns/failed: failed: network_failed: cannot fetch https://h/ns/failed.
        ns/held: held: 30 of 40 refs are gone at the source.
        ns/behind: updated, degraded: 0.4 s: local_failed: the checkout was edited.
        warning: the store was rebuilt.
        ");
        insta::assert_snapshot!(told(Detail::Everything, Paint::Plain, &events), @"
        github: listing.
        github: 5 repositories so far.
        5 mirrors, 4 to look at.
        ns/updated: started.
        ns/updated: updated: +3 ~2 !1 -1, 12.3 MiB, 0.4 s.
        ns/updated: moved from ns/old.
        ns/cloned: cloned: 12 refs, 0.4 s.
        ns/failed: failed: network_failed: cannot fetch https://h/ns/failed.
        ns/held: held: 30 of 40 refs are gone at the source.
        ns/behind: updated, degraded: 0.4 s: local_failed: the checkout was edited.
        ns/current: current: 0.4 s.
        warning: the store was rebuilt.
        ");
    }

    /// Refs that were pushed, refused, and a destination that is down, skipped or in step.
    fn pushed() -> [Outcome; 3] {
        let refs = |created, refused| PushCounts { created, refused, ..PushCounts::default() };
        let there = |id: &str, verdict| DestinationOutcome {
            duration: Duration::from_millis(400),
            ..DestinationOutcome::new(id, "ns/x", verdict)
        };
        let refused = |number: usize| {
            RefusedRef::new(format!("refs/heads/{number}"), Reason::PushRejected, "pre-receive hook declined")
        };
        let mut both = outcome("both", Verdict::Updated);
        both.destinations = vec![
            DestinationOutcome { refs: refs(3, 0), created: true, ..there("gitlab", PushVerdict::Pushed) },
            DestinationOutcome {
                refs: refs(49, 5),
                refused: (0..5).map(refused).collect(),
                ..there("codeberg", PushVerdict::Refused)
            },
        ];
        let mut down = outcome("down", Verdict::Current);
        let failure = Failure::new(Reason::ServerError, "the server answered 503");
        down.destinations = vec![
            DestinationOutcome { failure: Some(failure.clone()), ..there("gitlab", PushVerdict::Failed) },
            DestinationOutcome { failure: Some(failure), ..there("codeberg", PushVerdict::Skipped) },
        ];
        let mut same = outcome("same", Verdict::Current);
        same.destinations = vec![there("gitlab", PushVerdict::Current)];
        [both, down, same]
    }

    #[test]
    fn a_destination_that_changed_or_is_behind_has_a_line_of_its_own() {
        let outcomes = pushed();
        let events = outcomes.each_ref().map(|outcome| Event::Finished { outcome });
        insta::assert_snapshot!(told(Detail::Changes, Paint::Plain, &events), @"
        ns/both: updated, degraded: 0.4 s.
        ns/both → gitlab: pushed, created: +3, 0.4 s.
        ns/both → codeberg: refused 5: +49, 0.4 s: push_rejected: pre-receive hook declined (refs/heads/0, refs/heads/1, refs/heads/2 and 2 more).
        ns/down → gitlab: failed: server_error: the server answered 503.
        ");
        insta::assert_snapshot!(told(Detail::Everything, Paint::Plain, &events[1..]), @"
        ns/down: current, degraded: 0.4 s.
        ns/down → gitlab: failed: server_error: the server answered 503.
        ns/down → codeberg: skipped: server_error: the server answered 503.
        ns/same: current: 0.4 s.
        ns/same → gitlab: current: 0.4 s.
        ");
    }

    #[test]
    fn of_later_cycles_only_what_happens_is_told() {
        let (updated, current) = (outcome("updated", Verdict::Updated), outcome("current", Verdict::Current));
        let mut waiting = outcome("waiting", Verdict::Skipped);
        waiting.failure = Some(Failure::new(Reason::NetworkFailed, "no connection"));
        let quiet = [
            Event::Listing { source: "github" },
            Event::Planned { mirrors: 3, to_do: 2 },
            Event::Finished { outcome: &current },
            Event::Finished { outcome: &waiting },
        ];
        let events = [quiet.as_slice(), &quiet, &[Event::Finished { outcome: &updated }]].concat();
        insta::assert_snapshot!(told(Detail::Changes, Paint::Plain, &events), @"
        github: listing.
        3 mirrors, 2 to look at.
        ns/updated: updated: 0.4 s.
        ");
    }

    #[test]
    fn a_retry_says_why_and_when() {
        let failure = Failure::new(Reason::RateLimited, "the server asks to wait");
        let event = Event::Retrying { what: "github", failure: &failure, wait: Duration::from_secs(90) };
        insta::assert_snapshot!(told(Detail::Changes, Paint::Plain, &[event]), @"github: rate_limited: the server asks to wait; trying again in 1 min 30 s.");
    }

    #[test]
    fn colour_comes_only_when_asked_for() {
        let failed = outcome("x", Verdict::Failed);
        let event = [Event::Finished { outcome: &failed }];
        assert_eq!(told(Detail::Changes, Paint::Plain, &event), "ns/x: failed.\n");
        assert_eq!(told(Detail::Changes, Paint::Colored, &event), "ns/x: \u{1b}[31mfailed\u{1b}[0m.\n");
    }

    proptest! {
        #[test]
        fn a_servers_words_cannot_steer_the_terminal(message in any::<String>(), note in any::<String>()) {
            let mut failed = outcome("x", Verdict::Failed);
            failed.failure = Some(Failure::new(Reason::Unknown, &message).with_evidence(&note));
            failed.notes = vec![note.clone()];
            let failure = Failure::new(Reason::NetworkFailed, &message);
            let events = [
                Event::Listing { source: &note },
                Event::Listed { source: &note, repos: 1 },
                Event::Finished { outcome: &failed },
                Event::Warning { text: &message },
                Event::Retrying { what: &note, failure: &failure, wait: Duration::ZERO },
            ];
            let told = told(Detail::Everything, Paint::Plain, &events);
            prop_assert!(told.lines().count() == 6, "{}", told);
            prop_assert!(!told.chars().any(|c| c != '\n' && is_unprintable(c)), "{:?}", told);
        }
    }
}
