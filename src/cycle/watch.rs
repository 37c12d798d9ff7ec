//! Cycles again and again until told to stop. It knows only time and signals; what a cycle does is someone else's.

use std::time::Duration;

use tokio::time::Instant;

use crate::cycle::signals::{Signals, Stop};

/// Longer than any watch; no clock overflows with it.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// How long to rest between cycles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// From the end of one cycle to the start of the next, at least.
    pub interval: Duration,
    /// How much longer it may take by chance, as a share of the interval from 0 to 1: not all at the same second.
    pub jitter: f64,
}

impl Pace {
    /// The interval with up to a tenth of jitter.
    pub fn new(interval: Duration) -> Self {
        Pace { interval, jitter: 0.1 }
    }

    /// One rest; `chance` is from 0 to 1.
    fn rest(self, chance: f64) -> Duration {
        let share = self.jitter * chance;
        let extra = if share > 0.0 { self.interval.mul_f64(share.min(1.0)) } else { Duration::ZERO };
        self.interval.saturating_add(extra)
    }
}

/// Why a cycle begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// Its time has come.
    Due,
    /// Someone asked for it.
    Asked,
}

/// What is done again and again. It learns of a wish to stop from its own clone of [`Signals`].
pub trait Cycle {
    /// How long to rest after the cycle that just ended; a reload may change it.
    fn pace(&self) -> Pace;

    /// Takes note that it rests for so long, unless it is woken up.
    fn rests(&self, rest: Duration);

    /// One cycle; it returns soon after [`Signals::stopping`] is cancelled. Whether it was about everything: a part that
    /// someone asks for does not put off the next whole cycle.
    fn run(&mut self, occasion: Occasion) -> impl Future<Output = bool>;

    /// Takes over a changed config; one that cannot be used is reported and the old one kept.
    fn reload(&mut self) -> impl Future<Output = ()>;
}

/// Runs cycles, with a rest after each, until asked to stop; returns why.
///
/// A stop ends a rest at once and is otherwise noticed after the cycle, which sees it too. A reload happens between
/// cycles, and the next one follows it without a rest.
pub async fn watch<C: Cycle>(cycles: &mut C, signals: &Signals) -> Stop {
    let mut occasion = Occasion::Due;
    let mut due = Instant::now();
    loop {
        if let Some(why) = signals.stopped() {
            return why;
        }
        if cycles.run(occasion).await {
            let now = Instant::now();
            due = now.checked_add(cycles.pace().rest(fastrand::f64())).unwrap_or(now + NEVER);
        }
        if signals.stopped().is_none() {
            cycles.rests(due.saturating_duration_since(Instant::now()));
        }
        occasion = Occasion::Due;
        tokio::select! {
            biased;
            () = signals.stopping().cancelled() => {}
            () = signals.reload_wanted() => cycles.reload().await,
            () = signals.woken() => occasion = Occasion::Asked,
            () = tokio::time::sleep_until(due) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    const MINUTE: Duration = Duration::from_secs(60);
    const EXACT: Pace = Pace { interval: MINUTE, jitter: 0.0 };

    /// Cycles that take a while and write down when they happened.
    struct Diary {
        begun: Instant,
        takes: Duration,
        pace: Pace,
        signals: Signals,
        lines: Vec<String>,
    }

    impl Diary {
        fn new(takes: Duration, signals: &Signals) -> Self {
            Diary { begun: Instant::now(), takes, pace: EXACT, signals: signals.clone(), lines: Vec::new() }
        }

        fn note(&mut self, what: &str) {
            self.lines.push(format!("{} {what}", self.begun.elapsed().as_secs()));
        }
    }

    impl Cycle for Diary {
        fn pace(&self) -> Pace {
            self.pace
        }

        fn rests(&self, _: Duration) {}

        async fn run(&mut self, occasion: Occasion) -> bool {
            if occasion == Occasion::Asked {
                self.note("a part");
                return false;
            }
            self.note("starts");
            tokio::select! {
                () = sleep(self.takes) => self.note("ends"),
                () = self.signals.stopping().cancelled() => {
                    // A cycle that puts things in order before it ends.
                    sleep(Duration::from_secs(2)).await;
                    self.note("tidied up");
                }
            }
            true
        }

        async fn reload(&mut self) {
            self.pace = Pace { interval: 2 * MINUTE, ..EXACT };
            self.note("reloads");
        }
    }

    /// Does something with the signals after so many seconds, while the watch goes on.
    fn later(signals: &Signals, seconds: u64, wish: impl FnOnce(&Signals) + Send + 'static) {
        let signals = signals.clone();
        tokio::spawn(async move {
            sleep(Duration::from_secs(seconds)).await;
            wish(&signals);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn the_interval_lies_between_the_end_of_a_cycle_and_the_next_start() {
        let signals = Signals::default();
        later(&signals, 150, |s| s.stop(Stop::Terminated));
        let mut diary = Diary::new(Duration::from_secs(10), &signals);
        assert_eq!(watch(&mut diary, &signals).await, Stop::Terminated);
        assert_eq!(diary.lines, ["0 starts", "10 ends", "70 starts", "80 ends", "140 starts", "150 ends"]);
        assert_eq!(diary.begun.elapsed(), Duration::from_secs(150), "no rest after a stop");
    }

    #[tokio::test(start_paused = true)]
    async fn a_day_of_instant_cycles_has_as_many_as_the_jitter_allows() {
        let signals = Signals::default();
        later(&signals, 24 * 3600, |s| s.stop(Stop::Terminated));
        let mut diary = Diary::new(Duration::ZERO, &signals);
        diary.pace = Pace::new(MINUTE);
        watch(&mut diary, &signals).await;
        let cycles = diary.lines.iter().filter(|line| line.ends_with("starts")).count();
        assert!((1309..=1440).contains(&cycles), "{cycles}");
    }

    #[test]
    fn a_rest_is_never_shorter_than_the_interval_nor_longer_than_its_jitter() {
        let pace = Pace::new(MINUTE);
        assert_eq!(pace.rest(0.0), MINUTE);
        assert_eq!(pace.rest(1.0), MINUTE + Duration::from_secs(6));
        for odd in [f64::NAN, f64::INFINITY, -1.0] {
            let rest = Pace { interval: MINUTE, jitter: odd }.rest(0.5);
            assert!((MINUTE..=2 * MINUTE).contains(&rest), "{odd}");
        }
        assert_eq!(Pace::new(Duration::MAX).rest(1.0), Duration::MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_the_rest_at_once() {
        let signals = Signals::default();
        later(&signals, 30, |s| s.stop(Stop::Interrupted));
        let mut diary = Diary::new(Duration::ZERO, &signals);
        assert_eq!(watch(&mut diary, &signals).await, Stop::Interrupted);
        assert_eq!(diary.begun.elapsed(), Duration::from_secs(30));
        assert_eq!(diary.lines, ["0 starts", "0 ends"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_during_a_cycle_lets_it_tidy_up() {
        let signals = Signals::default();
        later(&signals, 5, |s| s.stop(Stop::Interrupted));
        let mut diary = Diary::new(MINUTE, &signals);
        assert_eq!(watch(&mut diary, &signals).await, Stop::Interrupted);
        assert_eq!(diary.lines, ["0 starts", "7 tidied up"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_before_the_first_cycle_starts_none() {
        let signals = Signals::default();
        signals.stop(Stop::Terminated);
        let mut diary = Diary::new(MINUTE, &signals);
        assert_eq!(watch(&mut diary, &signals).await, Stop::Terminated);
        assert!(diary.lines.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_during_the_rest_is_followed_by_a_cycle_at_once() {
        let signals = Signals::default();
        later(&signals, 30, Signals::reload);
        later(&signals, 50, |s| s.stop(Stop::Terminated));
        let mut diary = Diary::new(Duration::ZERO, &signals);
        watch(&mut diary, &signals).await;
        assert_eq!(diary.lines, ["0 starts", "0 ends", "30 reloads", "30 starts", "30 ends"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_may_change_the_interval() {
        let signals = Signals::default();
        later(&signals, 30, Signals::reload);
        later(&signals, 151, |s| s.stop(Stop::Terminated));
        let mut diary = Diary::new(Duration::ZERO, &signals);
        watch(&mut diary, &signals).await;
        assert_eq!(diary.lines, ["0 starts", "0 ends", "30 reloads", "30 starts", "30 ends", "150 starts", "150 ends"]);
    }

    #[tokio::test(start_paused = true)]
    async fn reloads_during_a_cycle_happen_once_and_after_it() {
        let signals = Signals::default();
        later(&signals, 3, Signals::reload);
        later(&signals, 4, Signals::reload);
        later(&signals, 40, |s| s.stop(Stop::Terminated));
        let mut diary = Diary::new(Duration::from_secs(10), &signals);
        watch(&mut diary, &signals).await;
        assert_eq!(diary.lines, ["0 starts", "10 ends", "10 reloads", "10 starts", "20 ends"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_beats_a_reload() {
        let signals = Signals::default();
        later(&signals, 3, |s| {
            s.reload();
            s.stop(Stop::Interrupted);
        });
        let mut diary = Diary::new(Duration::from_secs(10), &signals);
        watch(&mut diary, &signals).await;
        assert_eq!(diary.lines, ["0 starts", "5 tidied up"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_is_asked_for_does_not_put_off_the_next_whole_cycle() {
        let signals = Signals::default();
        later(&signals, 20, Signals::wake);
        later(&signals, 40, Signals::wake);
        later(&signals, 70, |s| s.stop(Stop::Interrupted));
        let mut diary = Diary::new(Duration::ZERO, &signals);
        watch(&mut diary, &signals).await;
        assert_eq!(diary.lines, ["0 starts", "0 ends", "20 a part", "40 a part", "60 starts", "60 ends"]);
    }
}
