//! From the command line to the exit code: each command, wired up.

mod check;
mod push;

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp, Zoned};

use crate::cli::{self, Cli, Command, ConfigAction, ManArgs, ReleaseAction, StatusArgs};
use crate::config::limits::Limits;
use crate::config::releases::ReleaseFilter;
use crate::config::{
    self, ColorChoice, Config, Environment, Loaded, MirrorArgs, Output, ProcessEnvironment, Purpose, SetBy,
};
use crate::error::{Error, exit};
use crate::failure::Reason;
use crate::git::{Git, Resources, Settings, askpass};
use crate::hosts::Hosts;
use crate::model::{MirrorKey, RepoPath};
use crate::priority;
use crate::progress::{self, Ending, Event, Manner, Results, Screen, Sink, Style};
use crate::push::open::Choice;
use crate::release::run::is_wanted;
use crate::report::status::{self, DestinationStatus, StatusRow};
use crate::report::{Interrupt, Report, View};
use crate::retry::Policy;
use crate::scratch;
use crate::session::Session;
use crate::speed::Speed;
use crate::storage::Storage;
use crate::store::MirrorRecord;
use crate::text::{Detail, Paint};
use crate::tools::Tools;
use crate::watch::{Cycle, Hangup, Pace, Signals, Stop, watch};

/// Does what the command line asks for and returns the process's exit code.
pub fn main() -> ExitCode {
    if let Some(answered) = askpass::answer_if_asked() {
        return answered;
    }
    priority::forbid_core_dumps();
    match cli::answer_if_asked() {
        Ok(false) => {}
        Ok(true) => return ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprint!("{error}");
            return ExitCode::from(exit::USAGE);
        }
    }
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(stop) if stop.exit_code == exit::OK => {
            let _ = anstream::stdout().write_all(stop.text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(stop) => {
            anstream::eprint!("{}", stop.text);
            return ExitCode::from(stop.exit_code);
        }
    };
    match dispatch(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            anstream::eprintln!("{error}");
            error.into()
        }
    }
}

fn dispatch(cli: Cli) -> Result<u8, Error> {
    match cli.command.unwrap_or(Command::Mirror(Box::new(cli.mirror))) {
        Command::Mirror(args) => mirror(*args, |_| Ok(())),
        Command::Push(args) => push::push(&args),
        Command::Release { action } => release(action),
        Command::Status(args) => show_status(args),
        Command::Config { action } => show_config(&action),
        Command::Completions { shell } => {
            print(&cli::script(shell).map_err(|error| Error::run("cannot make the script").caused_by(error))?);
            Ok(exit::OK)
        }
        Command::Man(args) => manual(&args),
    }
}

/// Prints an error that does not end the command by itself.
fn complain(error: &Error) {
    anstream::eprintln!("{error}");
}

/// Prints to stdout as it is; a reader that went away (`| head`) is no error of ours.
///
/// Whether there is colour in it was decided before: on a pipe `--color always` means what it says.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn manual(args: &ManArgs) -> Result<u8, Error> {
    if let Some(directory) = &args.out {
        let unwritten = |error| Error::run(format!("cannot write into {}", directory.display())).caused_by(error);
        cli::pages(directory).map_err(unwritten)?;
        return Ok(exit::OK);
    }
    let page = cli::page(&args.command).map_err(|error| Error::run("cannot make the manual page").caused_by(error))?;
    match page {
        Some(page) => print(&page),
        None => {
            let error = Error::usage(format!("there is no command `{}`", args.command.join(" ")));
            return Err(error.hint("`holocron --help` lists the commands."));
        }
    }
    Ok(exit::OK)
}

fn show_config(action: &ConfigAction) -> Result<u8, Error> {
    match action {
        ConfigAction::Check(args) => return check::check(args),
        ConfigAction::Show(args) => {
            let env = ProcessEnvironment::read()?;
            let loaded = config::load_for(args, &env, Purpose::Look)?;
            print(&config::show(&loaded, &env));
        }
        ConfigAction::Schema => print(&config::schema()),
    }
    Ok(exit::OK)
}

fn show_status(args: StatusArgs) -> Result<u8, Error> {
    let env = ProcessEnvironment::read()?;
    let check = args.check;
    let args = MirrorArgs::from(args);
    let config::Loaded { config, origins, .. } = config::load_for(&args, &env, Purpose::Look)?;
    let storage = Storage::at(&config.storage);
    // Destinations that are only typed are known to whoever typed them.
    let named = origins.destinations_of_file();
    let choices: HashMap<&str, Choice> =
        config.destinations.iter().map(|one| (one.id.as_str(), Choice::of(one))).collect();
    let is_configured = |id: &str, path: Option<&RepoPath>| {
        let is_wanted = || path.zip(choices.get(id)).is_none_or(|(path, choice)| choice.wants(path));
        named.is_empty() || named.contains(id) && is_wanted()
    };
    let (records, mut destinations, runs) = runtime()?.block_on(async {
        let Some(store) = Session::look(&storage).await? else {
            if !storage.root().is_dir() {
                let error = Error::usage(format!("there is no storage directory {}", storage.root().display()));
                return Err(error.hint("name it with --storage, or make it with a first run."));
            }
            return Ok(Default::default());
        };
        let (records, pushed) = (store.mirrors().await?, store.destinations().await?);
        let runs = store.recent_runs(status::RUNS).await?;
        records.ignored.iter().chain(&pushed.ignored).chain(&runs.ignored).for_each(|row| tracing::warn!("{row}"));
        let paths: HashMap<&MirrorKey, &RepoPath> =
            records.rows.iter().map(|record| (&record.key, &record.path)).collect();
        let mut destinations: HashMap<MirrorKey, Vec<DestinationStatus>> = HashMap::new();
        for record in pushed.rows {
            let (key, configured) =
                (record.key.clone(), is_configured(&record.destination, paths.get(&record.key).copied()));
            let status = DestinationStatus { configured, ..record.into() };
            destinations.entry(key).or_default().push(status);
        }
        Ok((records.rows, destinations, runs.rows))
    })?;
    let now = Timestamp::now();
    let limit = SignedDuration::try_from(config.stale_after).unwrap_or(SignedDuration::MAX);
    let is_recent = |last: Option<Timestamp>| last.is_some_and(|last| now.duration_since(last) <= limit);
    for status in destinations.values_mut().flatten() {
        status.late = !is_recent(status.last_success);
    }
    let row = |record: MirrorRecord| {
        let destinations = destinations.remove(&record.key).unwrap_or_default();
        let fresh = is_recent(record.last_success);
        StatusRow { destinations, fresh, ..status_row(record, &storage) }
    };
    let rows: Vec<_> = records.into_iter().map(row).collect();
    let color = config.output.color;
    let ok = status::is_ok(&rows);
    if config.output.json {
        print(&status::json(&rows, &runs, now));
    } else if !check {
        print(&status::table(&rows, &runs, now, view(Detail::Everything, color)));
    } else if !ok {
        let bad: Vec<_> = rows.into_iter().filter(StatusRow::needs_attention).collect();
        print(&status::table(&bad, &[], now, view(Detail::Everything, color)));
    }
    Ok(if check && !ok { exit::SOME_FAILED } else { exit::OK })
}

fn status_row(record: MirrorRecord, storage: &Storage) -> StatusRow {
    let path = storage.path(&record.mirror);
    StatusRow {
        name: record.path.to_string(),
        source: record.source,
        missing: record.last_success.is_some() && !path.is_dir(),
        path,
        last_success: record.last_success,
        last_attempt: record.last_attempt,
        verdict: Some(record.verdict),
        size_bytes: record.size_bytes,
        packs: record.packs,
        refs: record.last_success.map(|_| record.refs),
        kept_refs: usize::try_from(record.kept_refs).unwrap_or(usize::MAX),
        failure: record.failure,
        failures_in_a_row: record.failures_in_a_row,
        gone_since: record.gone_since,
        fresh: false,
        destinations: Vec::new(),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    // The work is done by git; we mostly wait. One thread hands pieces of packs on without waking another for each.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::run("cannot start").caused_by(error))
}

fn release(action: ReleaseAction) -> Result<u8, Error> {
    let (args, plan) = match action {
        ReleaseAction::Plan(args) => (*args, true),
        ReleaseAction::Sync(args) => (*args, false),
    };
    let filter = ReleaseFilter { repos: args.repos, tags: args.tag };
    for glob in filter.repos.iter().chain(&filter.tags) {
        let unusable = |error: globset::Error| Error::usage(format!("`{glob}` is not a glob: {}", error.kind()));
        globset::Glob::new(glob).map_err(unusable)?;
    }
    mirror(args.mirror, |config| {
        if config.watch {
            return Err(Error::usage("`holocron release` runs once").hint("`holocron --watch` does releases, too."));
        }
        if !is_wanted(config) {
            let error = Error::usage("no place gets releases");
            return Err(error.hint("set `releases: all` in the configuration file, or add `--releases`."));
        }
        config.dry_run |= plan;
        config.only_releases = Some(filter);
        Ok(())
    })
}

/// Does the main job, with a configuration that `change` has had a look at.
fn mirror(args: MirrorArgs, change: impl FnOnce(&mut Config) -> Result<(), Error>) -> Result<u8, Error> {
    let env = ProcessEnvironment::read()?;
    if config::wants_credits(&args, &env) {
        print(&cli::credits());
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
fn stand_back(limits: &Limits, sink: &dyn Sink) {
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
async fn until_done(
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
fn check_report(config: &Config) -> Result<(), Error> {
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

fn tools(config: &Config, environment: Arc<dyn Environment>, signals: &Signals) -> Result<Tools, Error> {
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
            Some(_) => crate::project(config, tools, session, sink).await?,
            None => crate::mirror(config, tools, session, sink).await?,
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
                print(&report.table(view(detail, output.color)));
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

/// How a run speaks; a single one ends with a table.
fn style(output: &Output, single: bool) -> Style {
    let detail = if output.verbose { Detail::Everything } else { Detail::Changes };
    let stderr = std::io::stderr();
    let paint = paint(output.color, stderr.is_terminal());
    let manner = match stderr.is_terminal() {
        _ if output.quiet => Manner::Silent,
        true if single && !output.json && std::io::stdout().is_terminal() => Manner::Bars(detail, paint, Ending::Table),
        true => Manner::Bars(detail, paint, Ending::Elsewhere),
        false => Manner::Lines(detail, paint),
    };
    Style { manner, log: output.log }
}

fn view(detail: Detail, color: ColorChoice) -> View {
    let stdout = std::io::stdout();
    let width = rustix::termios::tcgetwinsize(&stdout).ok().map(|size| size.ws_col).filter(|columns| *columns > 0);
    View { width, detail, paint: paint(color, stdout.is_terminal()) }
}

fn paint(color: ColorChoice, is_terminal: bool) -> Paint {
    let wanted = match color {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => is_terminal && shows_colour(|name| std::env::var_os(name)),
    };
    if wanted { Paint::Colored } else { Paint::Plain }
}

/// Whether the variables of a terminal allow colour on it.
fn shows_colour(env: impl Fn(&str) -> Option<OsString>) -> bool {
    // https://no-color.org: set and not empty.
    let refused = env("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && env("TERM").is_none_or(|value| value != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dumb_terminal_and_whoever_wants_none_get_no_colour() {
        let with = |name: &'static str, value: &'static str| {
            shows_colour(move |asked| (asked == name).then(|| OsString::from(value)))
        };
        assert!(!with("TERM", "dumb") && !with("NO_COLOR", "1"));
        assert!(with("TERM", "xterm") && with("NO_COLOR", "") && with("LANG", "C"));
    }
}
