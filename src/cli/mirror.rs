//! `holocron mirror`: the main job, once or again and again, and what a person sees of it.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use anyhow::Context as _;

use super::args::credits;
use super::runtime;
use super::table;
use super::terminal::{print, style, view};
use crate::base::error::{Error, exit};
use crate::base::failure::Reason;
use crate::base::scratch;
use crate::base::text::Detail;
use crate::config::limits::Limits;
use crate::config::{self, Config, Environment, MirrorArgs, ProcessEnvironment};
use crate::cycle::priority;
use crate::cycle::report::Report;
use crate::cycle::scope::Scope;
use crate::cycle::service::{Face, Service, Setup};
use crate::cycle::signals::{Hangup, Signals, Stop};
use crate::git::askpass;
use crate::mirror::tools::Tools;
use crate::progress::{self, Event, Screen, Sink};

/// Does the main job, with a configuration that `change` has had a look at.
pub(super) fn mirror(args: MirrorArgs, change: impl FnOnce(&mut Config) -> Result<(), Error>) -> Result<u8, Error> {
    let env = ProcessEnvironment::read()?;
    if config::wants_credits(&args, &env) {
        print(&credits());
        return Ok(exit::OK);
    }
    let mut loaded = config::load(&args, &env)?;
    change(&mut loaded.config)?;
    let lasting = Setup::lasting(&loaded);
    let config = loaded.config;
    let (sink, screen) = open_screen(&config, |name| env.var(name));
    runtime()?.block_on(async {
        let signals = listen(if config.watch { Hangup::Reload } else { Hangup::Terminate })?;
        let tools = tools(&config, Arc::new(env), &signals)?;
        let read = || read_again(&args, &signals);
        carry_out(Setup { config, tools, lasting }, read, (sink, screen), &signals).await
    })
}

/// Opens stderr and the log as the configuration wants them, and takes its priorities; the threads of the runtime, which
/// come later, inherit these.
pub(super) fn open_screen(config: &Config, variable: impl Fn(&str) -> Option<String>) -> (Arc<dyn Sink>, Screen) {
    let style = style(&config.output, !config.watch);
    let (sink, screen) = progress::open(style.manner);
    // A second subscriber in one process is a test's business; ours is the first.
    if let Err(error) = progress::log::start(style, &screen, variable) {
        screen.line(&format!("the log cannot be set up: {error}"));
    }
    stand_back(&config.limits, sink.as_ref());
    (Arc::from(sink), screen)
}

/// Takes the priorities of the configuration; the runtime's threads, which come later, inherit them.
pub(super) fn stand_back(limits: &Limits, sink: &dyn Sink) {
    for warning in priority::stand_back(limits.nice, limits.ionice) {
        sink.tell(&Event::Warning { text: &warning });
    }
}

/// Listens to signals from now on.
pub(super) fn listen(hangup: Hangup) -> Result<Signals, Error> {
    Ok(Signals::install(hangup).context("cannot listen to signals")?)
}

/// Opens the storage and does the main job, once or again and again, until it is done or asked to stop.
pub(super) async fn carry_out(
    setup: Setup,
    read: impl Fn() -> Result<Setup, Error>,
    (sink, screen): (Arc<dyn Sink>, Screen),
    signals: &Signals,
) -> Result<u8, Error> {
    check_report(&setup.config)?;
    let (watch, quiet) = (setup.config.watch, setup.config.output.quiet);
    if !setup.config.dry_run {
        scratch::sweep(&[askpass::parent()]);
    }
    let mut service = match (Service::open(setup, sink, signals).await, signals.stopped()) {
        (Ok(service), _) => service,
        // Stopped while it waited for another run: nothing was begun.
        (Err(_), Some(why)) => return Ok(stopped(why)),
        (Err(error), None) => return Err(error),
    };
    let mut printer = Printer { screen: screen.clone(), troubles: BTreeSet::new() };
    let tell = async {
        signals.stopping().cancelled().await;
        if !quiet {
            screen.line("stopping: git gets a few seconds to end; ask again to stop at once.");
        }
        std::future::pending::<Infallible>().await
    };
    let done = async {
        match watch {
            true => Ok(stopped(service.watch(&mut printer, read).await)),
            false => Ok(service.run_cycle(&Scope::All, &mut printer).await?.exit_code()),
        }
    };
    tokio::select! {
        biased;
        done = done => done,
        never = tell => match never {},
    }
}

/// The exit code of a watch that was stopped, and of a run that was before it began.
fn stopped(why: Stop) -> u8 {
    match why {
        Stop::Interrupted => exit::INTERRUPTED,
        Stop::Terminated => exit::OK,
    }
}

/// What the configuration says now.
fn read_again(args: &MirrorArgs, signals: &Signals) -> Result<Setup, Error> {
    let env = ProcessEnvironment::read()?;
    let loaded = config::load(args, &env)?;
    let lasting = Setup::lasting(&loaded);
    let config = loaded.config;
    check_report(&config)?;
    let tools = tools(&config, Arc::new(env), signals)?;
    Ok(Setup { config, tools, lasting })
}

/// Finds out before the run whether its report can be written after it. The storage itself may not be there yet.
pub(super) fn check_report(config: &Config) -> Result<(), Error> {
    match &config.output.report {
        Some(path) if config.dry_run || !path.starts_with(&config.storage) => Report::check_path(path),
        _ => Ok(()),
    }
}

/// The effects that a configuration asks for, in the environment of this process.
pub(super) fn tools(config: &Config, environment: Arc<dyn Environment>, signals: &Signals) -> Result<Tools, Error> {
    let askpass = std::env::current_exe().context("cannot find this program")?;
    let variables = std::env::vars_os().collect();
    Ok(Tools::open(config, environment, (variables, askpass), signals.stopping())?)
}

/// Prints what the cycles come to.
struct Printer {
    screen: Screen,
    /// What was wrong in the last cycle: under `--watch` it is told when it comes and when it goes.
    troubles: BTreeSet<(String, Reason)>,
}

impl Face for Printer {
    fn ended(&mut self, config: &Config, report: &Report) {
        let output = &config.output;
        let detail = if output.verbose { Detail::Everything } else { Detail::Changes };
        let troubles = report.troubles();
        let quiet_cycle = config.watch && !report.is_news() && troubles == self.troubles;
        self.troubles = troubles;
        self.screen.suspend(|| {
            if output.json {
                print(&report.json());
            } else if !quiet_cycle {
                print(&table::render(report, view(detail, output.color)));
            }
        });
    }

    fn failed(&mut self, error: &Error) {
        self.screen.line(&error.to_string());
    }

    fn reloaded(&mut self, result: Result<(), Error>) {
        let line = match result {
            Ok(()) => "the configuration was read again.".to_owned(),
            Err(error) => error.context("the old configuration stays").to_string(),
        };
        self.screen.line(&line);
    }
}
