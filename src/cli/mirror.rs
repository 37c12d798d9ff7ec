//! `holocron mirror`: the main job, once or again and again, and what a person sees of it.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::{Timestamp, Zoned};

use super::args::credits;
use super::runtime;
use super::table;
use super::terminal::{print, style, view};
use crate::base::error::{Error, exit};
use crate::base::failure::Reason;
use crate::base::hosts::Hosts;
use crate::base::retry::Policy;
use crate::base::scratch;
use crate::base::speed::Speed;
use crate::base::text::Detail;
use crate::config::limits::Limits;
use crate::config::{self, Config, Environment, Loaded, MirrorArgs, ProcessEnvironment, SetBy};
use crate::cycle::priority;
use crate::cycle::report::{Interrupt, Report};
use crate::cycle::session::Session;
use crate::cycle::watch::{Cycle, Hangup, Pace, Signals, Stop, watch};
use crate::git::{Git, Resources, Settings, askpass};
use crate::mirror::storage::Storage;
use crate::mirror::tools::Tools;
use crate::progress::{self, Event, Results, Screen, Sink};

/// Does the main job, with a configuration that `change` has had a look at.
pub(super) fn mirror(args: MirrorArgs, change: impl FnOnce(&mut Config) -> Result<(), Error>) -> Result<u8, Error> {
    let env = ProcessEnvironment::read()?;
    if config::wants_credits(&args, &env) {
        print(&credits());
        return Ok(exit::OK);
    }
    let mut loaded = config::load(&args, &env)?;
    change(&mut loaded.config)?;
    let lasting = lasting_acceptance(&loaded);
    let config = loaded.config;
    let style = style(&config.output, !config.watch);
    let (sink, screen) = progress::open(style.manner);
    // A second subscriber in one process is a test's business; ours is the first.
    if let Err(error) = progress::log::start(style, &screen, |name| env.var(name)) {
        screen.line(&format!("the log cannot be set up: {error}"));
    }
    stand_back(&config.limits, sink.as_ref());
    runtime()?.block_on(work(args, (config, lasting), Arc::new(env), Arc::from(sink), screen))
}

/// Takes the priorities of the configuration; the runtime's threads, which come later, inherit them.
pub(super) fn stand_back(limits: &Limits, sink: &dyn Sink) {
    for warning in priority::stand_back(limits.nice, limits.ionice) {
        sink.tell(&Event::Warning { text: &warning });
    }
}

async fn work(
    args: MirrorArgs,
    (config, lasting): (Config, Vec<String>),
    env: Arc<dyn Environment>,
    sink: Arc<dyn Sink>,
    screen: Screen,
) -> Result<u8, Error> {
    let hangup = if config.watch { Hangup::Reload } else { Hangup::Terminate };
    let signals = Signals::install(hangup).map_err(|error| Error::run("cannot listen to signals").caused_by(error))?;
    let tools = tools(&config, env, &signals)?;
    until_done(args, (config, lasting), tools, (sink, screen), signals).await
}

/// Opens the storage and does the main job, once or again and again, until it is done or asked to stop.
pub(super) async fn until_done(
    args: MirrorArgs,
    (config, lasting): (Config, Vec<String>),
    tools: Tools,
    (sink, screen): (Arc<dyn Sink>, Screen),
    signals: Signals,
) -> Result<u8, Error> {
    check_report(&config)?;
    if !config.dry_run {
        scratch::sweep(&[askpass::parent()]);
    }
    let session = match (Session::open(&config, &tools).await, signals.stopped()) {
        (Ok(session), _) => session,
        // Stopped while it waited for another run: nothing was begun.
        (Err(_), Some(Stop::Interrupted)) => return Ok(exit::INTERRUPTED),
        (Err(_), Some(Stop::Terminated)) => return Ok(exit::OK),
        (Err(error), None) => return Err(error),
    };
    let (told, quiet) = (screen.clone(), config.output.quiet);
    let tell = async {
        signals.stopping().cancelled().await;
        if !quiet {
            told.line("stopping: git gets a few seconds to end; ask again to stop at once.");
        }
        std::future::pending::<Infallible>().await
    };
    let results = Arc::new(Results::before(sink));
    let mut cycles = Cycles {
        args,
        config,
        lasting,
        tools,
        session,
        sink: Arc::clone(&results) as Arc<dyn Sink>,
        results,
        begun: Timestamp::now(),
        screen,
        signals: signals.clone(),
        troubles: BTreeSet::new(),
    };
    let done = tokio::select! {
        biased;
        // Asked twice: our children are killed as they are dropped, and the next run sweeps up.
        () = signals.now().cancelled() => None,
        done = cycles.until_done() => Some(done),
        never = tell => match never {},
    };
    done.unwrap_or_else(|| cycles.cut_short())
}

/// Finds out before the run whether its report can be written after it. The storage itself may not be there yet.
pub(super) fn check_report(config: &Config) -> Result<(), Error> {
    match &config.output.report {
        Some(path) if config.dry_run || !path.starts_with(&config.storage) => Report::check_path(path),
        _ => Ok(()),
    }
}

/// The deletions that the configuration file accepts, as against a flag or variable.
fn lasting_acceptance(loaded: &Loaded) -> Vec<String> {
    match loaded.origins.get("accept_deletions") {
        SetBy::File { .. } => loaded.config.accept_deletions.clone(),
        _ => Vec::new(),
    }
}

pub(super) fn tools(config: &Config, environment: Arc<dyn Environment>, signals: &Signals) -> Result<Tools, Error> {
    let askpass = std::env::current_exe().map_err(|error| Error::run("cannot find this program").caused_by(error))?;
    let token_variables = config::token_variables(config);
    let speed = Speed::new(config.limits.bytes_per_second);
    let git = Git::find(Settings {
        environment: std::env::vars_os().collect(),
        secrets: token_variables.clone(),
        askpass,
        idle: config.timeout,
        total: config.time_limit,
        resources: Resources::new(config.limits.memory, config.concurrency).bounded(speed.clone()),
        stop: signals.stopping().clone(),
        transport: config.transport,
    })?;
    Ok(Tools {
        git,
        storage: Storage::at(&config.storage),
        policy: Policy::default(),
        stop: signals.stopping().clone(),
        hosts: Arc::new(Hosts::new(config.per_host, config.limits.requests_per_second).bounded(speed)),
        environment,
        token_variables,
        clock: Timestamp::now,
    })
}

/// The main job, once or again and again.
struct Cycles {
    args: MirrorArgs,
    config: Config,
    /// Deletions that the configuration file accepts: those go on being accepted.
    lasting: Vec<String>,
    tools: Tools,
    session: Session,
    sink: Arc<dyn Sink>,
    /// The results that `sink` has of the cycle at work.
    results: Arc<Results>,
    begun: Timestamp,
    screen: Screen,
    signals: Signals,
    /// What was wrong in the last cycle: under `--watch` it is told when it comes and when it goes.
    troubles: BTreeSet<(String, Reason)>,
}

impl Cycles {
    async fn until_done(&mut self) -> Result<u8, Error> {
        if !self.config.watch {
            return self.once().await;
        }
        let signals = self.signals.clone();
        Ok(match watch(self, &signals).await {
            Stop::Interrupted => exit::INTERRUPTED,
            Stop::Terminated => exit::OK,
        })
    }

    async fn once(&mut self) -> Result<u8, Error> {
        self.results.clear();
        self.begun = self.tools.now();
        let (config, tools, session, sink) = (&self.config, &self.tools, &self.session, &self.sink);
        let mut report = match config.only_releases {
            Some(_) => crate::cycle::project(config, tools, session, sink).await?,
            None => crate::cycle::mirror(config, tools, session, sink).await?,
        };
        report.interrupted = self.interrupted();
        self.show(&report)?;
        Ok(report.exit_code())
    }

    /// Reports what is known of a cycle that a second signal ended at once.
    fn cut_short(&mut self) -> Result<u8, Error> {
        let known = self.results.take();
        let mut report = Report::new(self.begun, &self.config.storage);
        report.dry_run = self.config.dry_run;
        report.duration = self.tools.since(self.begun);
        report.interrupted = self.interrupted();
        report.unfinished = known.unfinished();
        report.outcomes = known.outcomes;
        report.warnings.push(match known.planned {
            Some(_) => "stopped at once: what was at work had no time to end in good order.".to_owned(),
            None => "stopped at once, before the sources were listed.".to_owned(),
        });
        self.show(&report)?;
        Ok(report.exit_code())
    }

    fn interrupted(&self) -> Option<Interrupt> {
        self.signals.stopped().map(|why| match why {
            Stop::Interrupted => Interrupt::Int,
            Stop::Terminated => Interrupt::Term,
        })
    }

    /// Takes over what the configuration says now: all of it or nothing.
    fn read_again(&mut self) -> Result<(), Error> {
        let env = ProcessEnvironment::read()?;
        let loaded = config::load(&self.args, &env)?;
        let lasting = lasting_acceptance(&loaded);
        let config = loaded.config;
        if config.storage != self.config.storage {
            return Err(Error::run(format!("moving to {} needs a restart", config.storage.display())));
        }
        check_report(&config)?;
        self.tools = tools(&config, Arc::new(env), &self.signals)?;
        (self.config, self.lasting) = (config, lasting);
        self.asked_once();
        Ok(())
    }

    /// What is asked for on the command line is meant once: whoever accepted one loss has not seen the next.
    fn asked_once(&mut self) {
        self.config.full = false;
        self.config.accept_deletions.clone_from(&self.lasting);
    }

    fn show(&mut self, report: &Report) -> Result<(), Error> {
        let output = &self.config.output;
        let detail = if output.verbose { Detail::Everything } else { Detail::Changes };
        let troubles = report.troubles();
        let quiet_cycle = self.config.watch && !report.is_news() && troubles == self.troubles;
        self.troubles = troubles;
        self.screen.suspend(|| {
            if output.json {
                print(&report.json());
            } else if !quiet_cycle {
                print(&table::render(report, view(detail, output.color)));
            }
        });
        match &output.report {
            Some(path) => Ok(report.write(path)?),
            None => Ok(()),
        }
    }
}

impl Cycle for Cycles {
    fn pace(&self) -> Pace {
        Pace::new(self.config.interval)
    }

    fn rests(&self, rest: Duration) {
        let until = Zoned::now().checked_add(rest).map(|then| then.strftime("%Y-%m-%d %H:%M:%S %Z").to_string());
        self.sink.tell(&Event::Resting { until: until.as_deref().unwrap_or("it is woken up") });
    }

    async fn run(&mut self) {
        // The next cycle may fare better; only the first words of a watch are fatal.
        if let Err(error) = self.once().await {
            self.screen.line(&error.to_string());
        }
        self.asked_once();
    }

    async fn reload(&mut self) {
        let line = match self.read_again() {
            Ok(()) => "the configuration was read again.".to_owned(),
            Err(error) => error.context("the old configuration stays").to_string(),
        };
        self.screen.line(&line);
    }
}
