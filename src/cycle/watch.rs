//! Cycles again and again until told to stop. It knows only time and signals; what a cycle does is someone else's.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Why we stop; the exit code depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Ctrl-C (SIGINT): exit code 130.
    Interrupted,
    /// SIGTERM, or a closed terminal under a single run: a service that was told to end has done its work.
    Terminated,
}

/// What SIGHUP means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hangup {
    /// Read the config again: the custom of services.
    Reload,
    /// The terminal was closed: end, as by SIGTERM. Under `nohup` it means nothing.
    Terminate,
}

/// The wishes that reach a running Holocron from outside. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Signals(Arc<Wishes>);

#[derive(Debug, Default)]
struct Wishes {
    why: OnceLock<Stop>,
    stop: CancellationToken,
    now: CancellationToken,
    reload: Notify,
}

impl Signals {
    /// Listens to SIGINT, SIGTERM and SIGHUP from now on; needs a tokio runtime.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn install(hangup: Hangup) -> io::Result<Self> {
        let signals = Signals::default();
        let mut terminate = signal(SignalKind::terminate())?;
        // What our parent had us ignore stays ignored: SIGINT for a shell's background job, SIGHUP under nohup.
        let mut interrupt = unless_ignored(SignalKind::interrupt())?;
        let mut hung_up = match hangup {
            Hangup::Reload => Some(signal(SignalKind::hangup())?),
            Hangup::Terminate => unless_ignored(SignalKind::hangup())?,
        };
        let told = signals.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = next(&mut interrupt) => told.stop(Stop::Interrupted),
                    Some(()) = terminate.recv() => told.stop(Stop::Terminated),
                    () = next(&mut hung_up) => match hangup {
                        Hangup::Reload => told.reload(),
                        Hangup::Terminate => told.stop(Stop::Terminated),
                    },
                }
            }
        });
        Ok(signals)
    }

    /// Asks to stop: the first time in good order, from the second time on at once. The first reason counts.
    pub fn stop(&self, why: Stop) {
        match self.0.why.set(why) {
            Ok(()) => self.0.stop.cancel(),
            Err(_) => self.0.now.cancel(),
        }
    }

    /// Asks to read the config again; several wishes before it happens are one.
    pub fn reload(&self) {
        self.0.reload.notify_one();
    }

    /// Why we are stopping; `None` while we are not.
    pub fn stopped(&self) -> Option<Stop> {
        self.0.why.get().copied()
    }

    /// Cancelled by the first wish to stop: start nothing new, give git its grace.
    pub fn stopping(&self) -> &CancellationToken {
        &self.0.stop
    }

    /// Cancelled by the second: wait for nothing any more.
    pub fn now(&self) -> &CancellationToken {
        &self.0.now
    }

    async fn reload_wanted(&self) {
        self.0.reload.notified().await;
    }
}

/// Listens to a signal that is not ignored yet.
fn unless_ignored(kind: SignalKind) -> io::Result<Option<Signal>> {
    match ignored_signals() & (1 << (kind.as_raw_value() - 1)) {
        0 => signal(kind).map(Some),
        _ => Ok(None),
    }
}

/// The set of ignored signals, as bits from signal 1 on; where `/proc` does not tell, none.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or("0");
    u64::from_str_radix(mask.trim(), 16).unwrap_or(0)
}

/// The signal's next arrival; never, when it is not listened to.
async fn next(signal: &mut Option<Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending().await
}

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

/// What is done again and again. It learns of a wish to stop from its own clone of [`Signals`].
pub trait Cycle {
    /// How long to rest after the cycle that just ended; a reload may change it.
    fn pace(&self) -> Pace;

    /// Takes note that it rests for so long, unless it is woken up.
    fn rests(&self, rest: Duration);

    /// One cycle; it returns soon after [`Signals::stopping`] is cancelled.
    fn run(&mut self) -> impl Future<Output = ()>;

    /// Takes over a changed config; one that cannot be used is reported and the old one kept.
    fn reload(&mut self) -> impl Future<Output = ()>;
}

/// Runs cycles, with a rest after each, until asked to stop; returns why.
///
/// A stop ends a rest at once and is otherwise noticed after the cycle, which sees it too. A reload happens between
/// cycles, and the next one follows it without a rest.
pub async fn watch<C: Cycle>(cycles: &mut C, signals: &Signals) -> Stop {
    loop {
        if let Some(why) = signals.stopped() {
            return why;
        }
        cycles.run().await;
        let rest = cycles.pace().rest(fastrand::f64());
        if signals.stopped().is_none() {
            cycles.rests(rest);
        }
        tokio::select! {
            biased;
            () = signals.stopping().cancelled() => {}
            () = signals.reload_wanted() => cycles.reload().await,
            () = tokio::time::sleep(rest) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, sleep};

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

        async fn run(&mut self) {
            self.note("starts");
            tokio::select! {
                () = sleep(self.takes) => self.note("ends"),
                () = self.signals.stopping().cancelled() => {
                    // A cycle that puts things in order before it ends.
                    sleep(Duration::from_secs(2)).await;
                    self.note("tidied up");
                }
            }
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

    #[test]
    fn the_second_stop_means_now_and_the_first_reason_counts() {
        let signals = Signals::default();
        assert_eq!(signals.stopped(), None);
        signals.stop(Stop::Interrupted);
        assert!(signals.stopping().is_cancelled() && !signals.now().is_cancelled());
        signals.stop(Stop::Terminated);
        assert!(signals.now().is_cancelled());
        assert_eq!(signals.stopped(), Some(Stop::Interrupted));
    }

    /// SIGHUP alone: a test that failed to install its handler would end the whole test process, so it is the one
    /// signal that means nothing else to the other tests.
    #[tokio::test]
    async fn a_real_sighup_arrives_as_a_reload_or_as_a_stop() {
        let service = Signals::install(Hangup::Reload).unwrap();
        let single = Signals::install(Hangup::Terminate).unwrap();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap();
        service.reload_wanted().await;
        assert_eq!(service.stopped(), None);
        if ignored_signals() & 1 == 0 {
            single.stopping().cancelled().await;
            assert_eq!(single.stopped(), Some(Stop::Terminated));
        }
    }
}
