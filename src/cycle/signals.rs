//! The wishes that reach a running Holocron from outside: stop, stop at once, read the configuration again, begin a cycle.

use std::io;
use std::sync::{Arc, OnceLock};

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
    cycle: Notify,
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

    /// Asks for a cycle before its time.
    pub fn wake(&self) {
        self.0.cycle.notify_one();
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

    /// A cycle was asked for.
    pub(super) async fn woken(&self) {
        self.0.cycle.notified().await;
    }

    /// A reload was asked for.
    pub(super) async fn reload_wanted(&self) {
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

#[cfg(test)]
mod tests {
    use super::*;

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
