//! The cycle service: runs cycles, keeps the last report, takes triggers, cancels, and passes events on.
//!
//! It knows nothing of terminals. Whoever started it prints through a [`Face`]; everyone else holds a [`Handle`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{Timestamp, Zoned};
use tokio::sync::watch::{Receiver, Sender};
use tokio_util::sync::CancellationToken;

use super::report::{Interrupt, Report};
use super::scope::Scope;
use super::session::Session;
use super::signals::{Signals, Stop};
use super::watch::{Cycle, Occasion, Pace, watch};
use crate::base::error::Error;
use crate::config::{Config, Loaded, SetBy};
use crate::mirror::tools::Tools;
use crate::progress::{Event, Results, Sink};

/// What the cycles are made with; a reload replaces all of it.
pub struct Setup {
    pub config: Config,
    pub tools: Tools,
    /// The deletions that the configuration file accepts in every cycle.
    pub lasting: Vec<String>,
}

impl Setup {
    /// The deletions that the configuration file accepts, as against a flag or a variable.
    pub fn lasting(loaded: &Loaded) -> Vec<String> {
        match loaded.origins.get("accept_deletions") {
            SetBy::File { .. } => loaded.config.accept_deletions.clone(),
            _ => Vec::new(),
        }
    }
}

/// What a person is shown of the cycles.
pub trait Face {
    /// A cycle ended with this report.
    fn ended(&mut self, config: &Config, report: &Report);

    /// A cycle of a watch could not be run; the next one comes in its time.
    fn failed(&mut self, error: &Error);

    /// The configuration was read again; an error says why the old one stays.
    fn reloaded(&mut self, result: Result<(), Error>);
}

/// Asks a running service for things, and learns what its cycles come to. Clones share one service.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

struct Shared {
    signals: Signals,
    /// What the next cycle was asked for.
    asked: Mutex<Option<Scope>>,
    /// Cancels the cycle at work.
    cycle: Mutex<Option<CancellationToken>>,
    reports: Sender<Option<Arc<Report>>>,
    listeners: Mutex<Vec<Arc<dyn Sink>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Handle {
    fn new(signals: Signals) -> Self {
        Handle(Arc::new(Shared {
            signals,
            asked: Mutex::default(),
            cycle: Mutex::default(),
            reports: Sender::new(None),
            listeners: Mutex::default(),
        }))
    }

    /// Asks for a cycle over `scope` as soon as the one at work has ended. What is asked for before it begins is done in
    /// one cycle.
    pub fn trigger(&self, scope: Scope) {
        let mut asked = locked(&self.0.asked);
        *asked = Some(match asked.take() {
            Some(earlier) => earlier.or(scope),
            None => scope,
        });
        drop(asked);
        self.0.signals.wake();
    }

    /// Cancels the cycle at work in good order; the service goes on. Whether there was one.
    pub fn cancel(&self) -> bool {
        let cycle = locked(&self.0.cycle);
        cycle.iter().for_each(CancellationToken::cancel);
        cycle.is_some()
    }

    /// Whether a cycle is at work.
    pub fn is_at_work(&self) -> bool {
        locked(&self.0.cycle).is_some()
    }

    /// The report of the last cycle, and of each one that follows.
    pub fn reports(&self) -> Receiver<Option<Arc<Report>>> {
        self.0.reports.subscribe()
    }

    /// Tells `listener` every event from now on, beside those who are told already.
    pub fn listen(&self, listener: Arc<dyn Sink>) {
        locked(&self.0.listeners).push(listener);
    }
}

/// Passes events on to whoever listens.
impl Sink for Handle {
    fn tell(&self, event: &Event<'_>) {
        let listeners = locked(&self.0.listeners).clone();
        listeners.iter().for_each(|listener| listener.tell(event));
    }
}

/// Runs cycles in one storage, which is its own as long as this lives.
pub struct Service {
    setup: Setup,
    session: Session,
    handle: Handle,
    /// What `handle` was told of the cycle at work.
    results: Arc<Results>,
}

impl Service {
    /// Opens the storage; `sink` is the first to be told of events.
    ///
    /// # Errors
    /// A storage that cannot be written, another run at work, a store that cannot be used, a wish to stop while it
    /// waited.
    pub async fn open(setup: Setup, sink: Arc<dyn Sink>, signals: &Signals) -> Result<Self, Error> {
        let session = Session::open(&setup.config, &setup.tools).await?;
        let handle = Handle::new(signals.clone());
        handle.listen(sink);
        let results = Arc::new(Results::before(Arc::new(handle.clone())));
        Ok(Service { setup, session, handle, results })
    }

    /// What others hold of it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs one cycle over `scope`, shows its report, and writes it where the configuration wants it.
    ///
    /// # Errors
    /// What keeps the cycle from going on, and a report that cannot be written.
    pub async fn run_cycle(&mut self, scope: &Scope, face: &mut impl Face) -> Result<Arc<Report>, Error> {
        self.results.clear();
        let Setup { config, tools, .. } = &self.setup;
        let begun = tools.now();
        let stop = tools.stop.child_token();
        let tools = tools.stopped_by(&stop);
        *locked(&self.handle.0.cycle) = Some(stop.clone());
        let sink: Arc<dyn Sink> = self.results.clone();
        let cycle = super::run((config, &tools, &sink), &self.session, scope);
        let report = tokio::select! {
            biased;
            // Asked twice: our children are killed as they are dropped, and the next run sweeps up.
            () = self.handle.0.signals.now().cancelled() => Ok(self.cut_short(begun)),
            report = cycle => report,
        };
        *locked(&self.handle.0.cycle) = None;
        let report = Report { interrupted: self.interrupted(&stop), ..report? };
        face.ended(config, &report);
        let report = Arc::new(report);
        self.handle.0.reports.send_replace(Some(report.clone()));
        match &config.output.report {
            Some(path) => report.write(path).map(|()| report).map_err(Error::from),
            None => Ok(report),
        }
    }

    /// Runs cycles until it is asked to stop, and returns why; `read` reads the configuration again.
    pub async fn watch(&mut self, face: &mut impl Face, read: impl Fn() -> Result<Setup, Error>) -> Stop {
        let signals = self.handle.0.signals.clone();
        watch(&mut Cycles { service: self, face, read }, &signals).await
    }

    /// What is known of a cycle that ended at once.
    fn cut_short(&self, begun: Timestamp) -> Report {
        let Setup { config, tools, .. } = &self.setup;
        let known = self.results.take();
        let mut report = Report::new(begun, &config.storage);
        report.dry_run = config.dry_run;
        report.duration = tools.since(begun);
        report.unfinished = known.unfinished();
        report.outcomes = known.outcomes;
        report.warnings.push(match known.planned {
            Some(_) => "stopped at once: what was at work had no time to end in good order.".to_owned(),
            None => "stopped at once, before the sources were listed.".to_owned(),
        });
        report
    }

    /// Why the cycle of `stop` was ended before its time.
    fn interrupted(&self, stop: &CancellationToken) -> Option<Interrupt> {
        match self.handle.0.signals.stopped() {
            Some(Stop::Interrupted) => Some(Interrupt::Int),
            Some(Stop::Terminated) => Some(Interrupt::Term),
            None => stop.is_cancelled().then_some(Interrupt::Cancel),
        }
    }

    /// What is asked for on the command line is meant once: whoever accepted one loss has not seen the next.
    fn asked_once(&mut self) {
        let Setup { config, lasting, .. } = &mut self.setup;
        config.full = false;
        config.accept_deletions.clone_from(lasting);
    }

    /// Takes over what the configuration says now: all of it or nothing.
    fn take_over(&mut self, setup: Result<Setup, Error>) -> Result<(), Error> {
        let setup = setup?;
        let storage = &setup.config.storage;
        if *storage != self.setup.config.storage {
            return Err(Error::run(format!("moving to {} needs a restart", storage.display())));
        }
        self.setup = setup;
        self.asked_once();
        Ok(())
    }
}

/// The cycles of a watch.
struct Cycles<'a, F, R> {
    service: &'a mut Service,
    face: &'a mut F,
    read: R,
}

impl<F: Face, R: Fn() -> Result<Setup, Error>> Cycle for Cycles<'_, F, R> {
    fn pace(&self) -> Pace {
        Pace::new(self.service.setup.config.interval)
    }

    fn rests(&self, rest: Duration) {
        let until = Zoned::now().checked_add(rest).map(|then| then.strftime("%Y-%m-%d %H:%M:%S %Z").to_string());
        self.service.results.tell(&Event::Resting { until: until.as_deref().unwrap_or("it is woken up") });
    }

    async fn run(&mut self, occasion: Occasion) -> bool {
        let asked = locked(&self.service.handle.0.asked).take();
        // What is due is everything, and what was asked for is a part of it.
        let scope = match (occasion, asked) {
            (Occasion::Due, _) => Scope::All,
            (Occasion::Asked, asked) => asked.unwrap_or_default(),
        };
        // The next cycle may fare better; only the first words of a watch are fatal.
        if let Err(error) = self.service.run_cycle(&scope, self.face).await {
            self.face.failed(&error);
        }
        self.service.asked_once();
        scope == Scope::All
    }

    async fn reload(&mut self) {
        let result = self.service.take_over((self.read)());
        self.face.reloaded(result);
    }
}
