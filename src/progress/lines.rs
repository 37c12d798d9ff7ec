//! Progress as plain lines: one for each mirror that changed, failed or is held, one for each listing and each retry.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Event, Screen, Sink};
use crate::failure::Failure;
use crate::model::{Outcome, Status, Verdict};
use crate::text::{Detail, Paint, Tone, bytes, clean, count, duration, refs_changed, sentence};

/// Tells a run's events as lines.
#[derive(Debug)]
pub struct Lines {
    screen: Screen,
    detail: Detail,
    paint: Paint,
    /// A cycle has been planned: of later ones only what happens in them is told.
    planned: AtomicBool,
}

impl Lines {
    /// Lines on `screen`; with [`Detail::Everything`] also of mirrors that stayed as they were.
    pub fn new(screen: Screen, detail: Detail, paint: Paint) -> Self {
        Lines { screen, detail, paint, planned: AtomicBool::new(false) }
    }
}

impl Sink for Lines {
    fn tell(&self, event: &Event<'_>) {
        let is_routine = match event {
            Event::Listing { .. } => self.planned.load(Ordering::Relaxed),
            Event::Planned { .. } => self.planned.swap(true, Ordering::Relaxed),
            _ => false,
        };
        if is_routine && self.detail == Detail::Changes {
            return;
        }
        for line in lines(event, self.detail, self.paint) {
            self.screen.line(&line);
        }
    }
}

/// Returns what an event is worth in lines; most are worth none.
fn lines(event: &Event<'_>, detail: Detail, paint: Paint) -> Vec<String> {
    match event {
        Event::Listing { source } => vec![format!("{}: listing.", clean(source))],
        Event::Listed { source, repos } if detail == Detail::Everything => {
            vec![format!("{}: {} so far.", clean(source), count(*repos, "repository"))]
        }
        Event::Planned { mirrors, to_do } => vec![format!("{}, {to_do} to look at.", count(*mirrors, "mirror"))],
        Event::Started { path } if detail == Detail::Everything => {
            vec![format!("{}: started.", clean(&path.to_string()))]
        }
        Event::Listed { .. } | Event::Started { .. } | Event::Phase { .. } => Vec::new(),
        Event::Retrying { .. } | Event::Finished { .. } | Event::Warning { .. } => lasting(event, detail, paint),
    }
}

/// Returns the lines of the events that stay worth knowing when the bars have moved on.
pub(super) fn lasting(event: &Event<'_>, detail: Detail, paint: Paint) -> Vec<String> {
    match event {
        Event::Retrying { what, failure, wait } => vec![format!(
            "{}: {}: {}; trying again in {}.",
            clean(what),
            failure.reason,
            clean(&failure.message).trim_end_matches('.'),
            duration(*wait)
        )],
        Event::Finished { outcome } if detail == Detail::Everything || is_news(outcome) => finished(outcome, paint),
        Event::Warning { text } => {
            vec![format!("{}: {}", paint.dress(Tone::Warning, "warning"), sentence(&clean(text)))]
        }
        _ => Vec::new(),
    }
}

/// Whether a finished mirror is worth a line: it changed, failed, is held or degraded, or something was noted.
///
/// Skipped ones share a cause that was told before; the report lists them together.
fn is_news(outcome: &Outcome) -> bool {
    let changed = matches!(outcome.verdict, Verdict::Cloned | Verdict::Updated | Verdict::Failed | Verdict::Held);
    let attention = outcome.needs_attention() && outcome.verdict != Verdict::Skipped;
    changed || attention || !outcome.notes.is_empty()
}

fn finished(outcome: &Outcome, paint: Paint) -> Vec<String> {
    let name = clean(&outcome.path.to_string());
    let word = paint.dress(tone(outcome), &result(outcome));
    let done = if outcome.verdict.status() == Status::Success { done(outcome) } else { String::new() };
    let why = outcome.failure.as_ref().map_or_else(String::new, |failure| why(outcome.verdict, failure));
    let head: Vec<String> =
        [format!("{name}: {word}"), done, why].into_iter().filter(|part| !part.is_empty()).collect();
    let notes = outcome.notes.iter().map(|note| format!("{name}: {}", sentence(&clean(note))));
    [sentence(&head.join(": "))].into_iter().chain(notes).collect()
}

/// `+3 ~2, 12.3 MiB, 0.4 s`.
fn done(outcome: &Outcome) -> String {
    let refs = match outcome.verdict {
        Verdict::Cloned => count(outcome.refs.total, "ref"),
        _ => refs_changed(&outcome.refs),
    };
    let received = if outcome.received > 0 { bytes(outcome.received) } else { String::new() };
    let took = if outcome.duration.is_zero() { String::new() } else { duration(outcome.duration) };
    [refs, received, took].into_iter().filter(|fact| !fact.is_empty()).collect::<Vec<_>>().join(", ")
}

fn why(verdict: Verdict, failure: &Failure) -> String {
    let message = clean(&failure.message);
    match failure.reason.as_str() {
        // `held: held: …` would say it twice.
        reason if reason == verdict.as_str() => message,
        reason => format!("{reason}: {message}"),
    }
}

/// Returns the word for how a mirror came out: `updated`, `updated, degraded`.
pub(crate) fn result(outcome: &Outcome) -> String {
    let degraded = if outcome.degraded { ", degraded" } else { "" };
    format!("{}{degraded}", outcome.verdict.as_str())
}

/// Returns the colour for how a mirror came out.
pub(crate) fn tone(outcome: &Outcome) -> Tone {
    match outcome.verdict {
        Verdict::Failed => Tone::Bad,
        Verdict::Held => Tone::Warning,
        _ if outcome.degraded => Tone::Warning,
        Verdict::Cloned | Verdict::Updated => Tone::Good,
        Verdict::Current | Verdict::Empty => Tone::Faint,
        Verdict::Gone | Verdict::Unavailable | Verdict::Skipped => Tone::Neutral,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::screen::Paper;
    use super::*;
    use crate::failure::Reason;
    use crate::model::{MirrorKey, RefCounts, RepoPath};
    use crate::text::is_unprintable;

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
            size: None,
            kept: None,
            failure: None,
            notes: Vec::new(),
            destinations: Vec::new(),
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
            Event::Phase { path: &updated.path, phase: "Receiving objects", percent: Some(4) },
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
