//! Progress as bars on a terminal: one for the run, below the lines of the repositories at work.
//!
//! ```text
//! ns/alpha: updated: ~2, 1.2 KiB, 0.4 s.
//!    3s  45% ns/beta: Receiving objects  1.2 MiB, 600.0 KiB/s
//!    1s      ns/gamma: Resolving deltas
//!   12s 120/233 mirrors, 2 failed  [==========>         ]  40.1 MiB, 3.3 MiB/s
//! ```
//! Each line is the time that it has been there and one `{wide_msg}`: indicatif cuts exactly that to the terminal's width at
//! every drawing, so nothing ever wraps (a wrapped line cannot be taken back). What a narrow terminal can do without stands
//! last.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::lines::lasting;
use super::said::Said;
use super::{Ending, Event, Screen, Sink};
use crate::base::text::{Detail, Paint, bytes, clean, count};
use crate::model::destination::DestinationOutcome;
use crate::model::{Outcome, RepoPath, Status};

/// How often the time is drawn anew where nothing else happens.
const SECOND: Duration = Duration::from_secs(1);

/// Tells a run's events as bars that move; what stays worth knowing becomes a line above them.
///
/// Counts one [`Event::Finished`] for each mirror that [`Event::Planned`] announced, also for those that needed no git.
/// The bars go away with the last of them, with the next `Planned`, and when the sink is dropped.
pub struct Bars {
    bars: MultiProgress,
    detail: Detail,
    paint: Paint,
    ending: Ending,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    listing: HashMap<String, ProgressBar>,
    active: HashMap<RepoPath, ProgressBar>,
    /// What a watch shows while it waits.
    resting: Option<ProgressBar>,
    overall: Option<Overall>,
    said: Said,
}

struct Overall {
    bar: ProgressBar,
    mirrors: usize,
    done: usize,
    failed: usize,
    /// Safe here, but a destination is behind.
    behind: usize,
    /// Bytes of the mirrors that are done.
    received: u64,
    /// Of those at work, in their present phases.
    moving: u64,
}

impl Bars {
    /// Bars on `target`, which is stderr or a test's terminal.
    pub fn new(target: ProgressDrawTarget, detail: Detail, paint: Paint, ending: Ending) -> Self {
        Bars { bars: MultiProgress::with_draw_target(target), detail, paint, ending, state: Mutex::default() }
    }

    /// The place for lines that must not tear the bars.
    pub fn screen(&self) -> Screen {
        Screen::above(self.bars.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line that is redrawn in place, above the overall bar when that is there.
    fn add(&self, state: &State) -> ProgressBar {
        let bar = ProgressBar::no_length().with_style(whole_line());
        let bar = match &state.overall {
            Some(overall) => self.bars.insert_before(&overall.bar, bar),
            None => self.bars.add(bar),
        };
        bar.enable_steady_tick(SECOND);
        bar
    }

    fn remove(&self, bar: &ProgressBar) {
        bar.finish_and_clear();
        self.bars.remove(bar);
    }

    fn plan(&self, state: &mut State, mirrors: usize) {
        self.clear(state);
        if mirrors == 0 {
            return;
        }
        let bar = self.bars.add(ProgressBar::no_length().with_style(whole_line()));
        bar.enable_steady_tick(SECOND);
        let overall = Overall { bar, mirrors, done: 0, failed: 0, behind: 0, received: 0, moving: 0 };
        overall.draw();
        state.overall = Some(overall);
    }

    fn finish(&self, state: &mut State, outcome: &Outcome) {
        if let Some(bar) = state.active.remove(&outcome.path) {
            self.remove(&bar);
        }
        if let Some(overall) = &mut state.overall {
            overall.done += 1;
            overall.received += outcome.received;
            overall.moving = state.active.values().map(ProgressBar::position).sum();
            let failed = outcome.verdict.status() == Status::Failed;
            overall.failed += usize::from(failed);
            overall.behind += usize::from(!failed && outcome.destinations.iter().any(DestinationOutcome::is_behind));
            overall.draw();
            if overall.done >= overall.mirrors {
                self.clear(state);
            }
        }
    }

    fn clear(&self, state: &mut State) {
        let overall = state.overall.take().map(|overall| overall.bar);
        let overall = overall.into_iter().chain(state.resting.take());
        let listing = state.listing.drain().map(|(_, bar)| bar);
        let active = state.active.drain().map(|(_, bar)| bar);
        for bar in listing.chain(active).chain(overall) {
            self.remove(&bar);
        }
    }
}

impl Sink for Bars {
    fn tell(&self, event: &Event<'_>) {
        let mut state = self.state();
        match event {
            Event::Listing { source } => {
                if let Some(bar) = state.resting.take() {
                    self.remove(&bar);
                }
                let bar = self.add(&state);
                bar.set_message(format!("{}: listing", clean(source)));
                if let Some(old) = state.listing.insert((*source).to_owned(), bar) {
                    self.remove(&old);
                }
            }
            Event::Listed { source, repos } => {
                if let Some(bar) = state.listing.get(*source) {
                    bar.set_message(format!("{}: listing: {}", clean(source), count(*repos, "repository")));
                }
            }
            Event::Planned { mirrors, .. } => self.plan(&mut state, *mirrors),
            Event::Started { path } => {
                let bar = self.add(&state);
                bar.set_message(at_work(None, "starting", path, ""));
                if let Some(old) = state.active.insert((*path).clone(), bar) {
                    self.remove(&old);
                }
            }
            Event::Phase { path, phase, percent, bytes } => {
                if let Some(bar) = state.active.get(*path) {
                    if let Some(bytes) = bytes {
                        bar.set_position(*bytes);
                    }
                    bar.set_message(at_work(*percent, phase, path, &moved(bar.position(), bar.elapsed())));
                }
                let moving = state.active.values().map(ProgressBar::position).sum();
                if let Some(overall) = &mut state.overall {
                    overall.moving = moving;
                    overall.draw();
                }
            }
            Event::Resting { until } => {
                self.clear(&mut state);
                let bar = self.add(&state);
                bar.set_message(format!("waiting until {until}"));
                state.resting = Some(bar);
            }
            Event::Finished { outcome } => self.finish(&mut state, outcome),
            Event::Retrying { .. } | Event::Projected { .. } | Event::Warning { .. } => {}
        }
        // Still under the lock: lines come in the order of their events.
        let screen = self.screen();
        let is_result = matches!(event, Event::Finished { .. } | Event::Projected { .. });
        if is_result && self.ending == Ending::Table && self.detail == Detail::Changes {
            return;
        }
        for line in lasting(event, self.detail, self.paint, &mut state.said) {
            screen.line(&line);
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        let mut state = std::mem::take(&mut *self.state());
        self.clear(&mut state);
    }
}

impl fmt::Debug for Bars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bars").field("detail", &self.detail).field("paint", &self.paint).finish_non_exhaustive()
    }
}

impl Overall {
    fn draw(&self) {
        const CELLS: usize = 20;
        let filled = CELLS * self.done.min(self.mirrors) / self.mirrors;
        let gauge: String = (0..CELLS)
            .map(|cell| match cell.cmp(&filled) {
                std::cmp::Ordering::Less => '=',
                std::cmp::Ordering::Equal => '>',
                std::cmp::Ordering::Greater => ' ',
            })
            .collect();
        let failed = if self.failed > 0 { format!(", {} failed", self.failed) } else { String::new() };
        let behind = if self.behind > 0 { format!(", {} behind", self.behind) } else { String::new() };
        let moved = moved(self.received + self.moving, self.bar.elapsed());
        let mirrors = count(self.mirrors, "mirror");
        self.bar.set_message(format!("{}/{mirrors}{failed}{behind}  [{gauge}]  {moved}", self.done));
    }
}

fn whole_line() -> ProgressStyle {
    ProgressStyle::with_template("{elapsed:>4} {wide_msg}").expect("the template is a constant that indicatif knows")
}

/// One repository at work: its name first, which a narrow terminal must not cut off.
fn at_work(percent: Option<u8>, phase: &str, path: &RepoPath, moved: &str) -> String {
    let percent = percent.map_or_else(String::new, |percent| format!("{percent}%"));
    format!("{percent:>4} {}: {}  {moved}", clean(&path.to_string()), clean(phase))
}

/// `1.2 MiB, 600.0 KiB/s`; the rate only when there was time for one, and nothing of nothing.
fn moved(amount: u64, span: Duration) -> String {
    match (amount, span.as_secs()) {
        (0, _) => String::new(),
        (_, 0) => bytes(amount),
        (_, seconds) => format!("{}, {}/s", bytes(amount), bytes(amount / seconds)),
    }
}

#[cfg(test)]
mod tests {
    use indicatif::InMemoryTerm;

    use super::super::lines::tests::outcome;
    use super::*;
    use crate::base::failure::{Failure, Reason};
    use crate::model::Verdict;

    fn bars(columns: u16) -> (InMemoryTerm, Bars) {
        let terminal = InMemoryTerm::new(12, columns);
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        (terminal, Bars::new(target, Detail::Changes, Paint::Plain, Ending::Elsewhere))
    }

    fn path(name: &str) -> RepoPath {
        RepoPath::new("ns", name).unwrap()
    }

    #[test]
    fn each_active_repository_has_a_line_with_gits_phase_above_the_overall_bar() {
        let (terminal, bars) = bars(80);
        bars.tell(&Event::Listing { source: "github" });
        bars.tell(&Event::Listed { source: "github", repos: 4 });
        insta::assert_snapshot!(terminal.contents(), @"  0s github: listing: 4 repositories");
        bars.tell(&Event::Planned { mirrors: 4, to_do: 4 });
        for name in ["a", "b", "c"] {
            bars.tell(&Event::Started { path: &path(name) });
        }
        bars.tell(&Event::Phase {
            path: &path("a"),
            phase: "Receiving objects",
            percent: Some(45),
            bytes: Some(1_258_291),
        });
        bars.tell(&Event::Phase { path: &path("b"), phase: "Resolving deltas", percent: None, bytes: None });
        insta::assert_snapshot!(terminal.contents(), @"
        0s  45% ns/a: Receiving objects  1.2 MiB
        0s      ns/b: Resolving deltas
        0s      ns/c: starting
        0s 0/4 mirrors  [>                   ]  1.2 MiB
        ");
    }

    #[test]
    fn a_change_and_a_failure_stay_above_the_bars_and_a_current_one_goes() {
        let (terminal, bars) = bars(80);
        bars.tell(&Event::Planned { mirrors: 4, to_do: 3 });
        for name in ["a", "b", "c"] {
            bars.tell(&Event::Started { path: &path(name) });
        }
        let mut failed = outcome("a", Verdict::Failed);
        failed.failure = Some(Failure::new(Reason::ServerError, "the server answered 500"));
        bars.tell(&Event::Finished { outcome: &failed });
        bars.tell(&Event::Finished { outcome: &outcome("b", Verdict::Current) });
        bars.tell(&Event::Finished { outcome: &outcome("c", Verdict::Updated) });
        bars.screen().line("a line of the log");
        insta::assert_snapshot!(terminal.contents(), @"
        ns/a: failed: server_error: the server answered 500.
        ns/c: updated: 0.4 s.
        a line of the log
          0s 3/4 mirrors, 1 failed  [===============>    ]
        ");
        bars.tell(&Event::Finished { outcome: &outcome("d", Verdict::Current) });
        insta::assert_snapshot!(terminal.contents(), @"
        ns/a: failed: server_error: the server answered 500.
        ns/c: updated: 0.4 s.
        a line of the log
        ");
    }

    #[test]
    fn a_destination_that_is_behind_stays_above_the_bars_and_is_counted() {
        let (terminal, bars) = bars(80);
        bars.tell(&Event::Planned { mirrors: 2, to_do: 1 });
        let failure = Failure::new(Reason::ServerError, "the server answered 503");
        let mut behind = outcome("a", Verdict::Current);
        behind.destinations = vec![DestinationOutcome::failed("gitlab", "ns/a", failure)];
        bars.tell(&Event::Finished { outcome: &behind });
        insta::assert_snapshot!(terminal.contents(), @"
        ns/a → gitlab: failed: server_error: the server answered 503.
          0s 1/2 mirrors, 1 behind  [==========>         ]
        ");
    }

    #[test]
    fn a_narrow_terminal_cuts_lines_instead_of_wrapping_them() {
        let (terminal, bars) = bars(30);
        bars.tell(&Event::Planned { mirrors: 233, to_do: 2 });
        for name in ["a-rather-long-repository-name", "日本語日本語日本語日本語"] {
            bars.tell(&Event::Started { path: &path(name) });
            bars.tell(&Event::Phase {
                path: &path(name),
                phase: "Receiving objects",
                percent: Some(7),
                bytes: Some(900),
            });
        }
        insta::assert_snapshot!(terminal.contents(), @"
        0s   7% ns/a-rather-long-rep
        0s   7% ns/日本語日本語日本
        0s 0/233 mirrors  [>
        ");
    }

    #[test]
    fn the_next_cycle_starts_with_a_bar_of_its_own() {
        let (terminal, bars) = bars(60);
        bars.tell(&Event::Planned { mirrors: 2, to_do: 2 });
        bars.tell(&Event::Started { path: &path("a") });
        bars.tell(&Event::Planned { mirrors: 3, to_do: 1 });
        insta::assert_snapshot!(terminal.contents(), @"  0s 0/3 mirrors  [>                   ]");
    }

    #[test]
    fn where_a_table_follows_no_result_is_told_twice() {
        let terminal = InMemoryTerm::new(10, 60);
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        let bars = Bars::new(target, Detail::Changes, Paint::Plain, Ending::Table);
        bars.tell(&Event::Planned { mirrors: 2, to_do: 2 });
        bars.tell(&Event::Finished { outcome: &outcome("a", Verdict::Updated) });
        bars.tell(&Event::Finished { outcome: &outcome("b", Verdict::Failed) });
        bars.tell(&Event::Warning { text: "this is told nowhere else" });
        assert_eq!(terminal.contents(), "warning: this is told nowhere else.");
    }

    #[test]
    fn a_watch_shows_until_when_it_waits_and_goes_on() {
        let (terminal, bars) = bars(60);
        bars.tell(&Event::Resting { until: "2026-11-20 12:10:00 UTC" });
        assert_eq!(terminal.contents(), "  0s waiting until 2026-11-20 12:10:00 UTC");
        bars.tell(&Event::Listing { source: "github" });
        assert_eq!(terminal.contents(), "  0s github: listing");
    }

    #[test]
    fn bytes_have_a_rate_as_soon_as_there_was_time_for_one() {
        assert_eq!(moved(0, Duration::from_secs(9)), "");
        assert_eq!(moved(1_258_291, Duration::from_millis(900)), "1.2 MiB");
        assert_eq!(moved(12_582_912, Duration::from_secs(4)), "12.0 MiB, 3.0 MiB/s");
    }

    #[test]
    fn nothing_moving_is_left_when_the_sink_is_dropped() {
        let (terminal, bars) = bars(60);
        bars.tell(&Event::Planned { mirrors: 2, to_do: 2 });
        bars.tell(&Event::Started { path: &path("a") });
        bars.tell(&Event::Warning { text: "this stays" });
        drop(bars);
        assert_eq!(terminal.contents(), "warning: this stays.");
    }
}
