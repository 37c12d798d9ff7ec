//! `holocron config check`: whether a run would find what it needs, here and (`--online`) at the forges.

use std::sync::Arc;

use crate::base::error::{Error, ErrorKind, exit};
use crate::base::failure::Failure;
use crate::cli::args::CheckArgs;
use crate::config::{self, Config, Environment, Loaded, Problem, ProcessEnvironment, SetBy};
use crate::cycle::discover;
use crate::cycle::signals::Hangup;
use crate::forge::PageCache;
use crate::mirror::tools::Tools;
use crate::progress::{self, Manner, Sink};
use crate::push::open::Opened;

/// Checks the configuration; what is wrong is a numbered list.
pub(super) fn check(args: &CheckArgs) -> Result<u8, Error> {
    let env = ProcessEnvironment::read()?;
    let loaded = config::load(&args.mirror, &env)?;
    super::runtime()?.block_on(look(args.online, &loaded, Arc::new(env)))
}

async fn look(online: bool, loaded: &Loaded, env: Arc<dyn Environment>) -> Result<u8, Error> {
    let signals = super::mirror::listen(Hangup::Terminate)?;
    let tools = super::mirror::tools(&loaded.config, env.clone(), &signals);
    let mut problems = config::needs(loaded, env.as_ref()).await;
    let git = match &tools {
        Ok(tools) => tools.git.check_version().await.map(drop).map_err(Error::from),
        Err(error) => Err(error.clone()),
    };
    problems
        .extend([super::mirror::check_report(&loaded.config), git].into_iter().filter_map(Result::err).map(of_machine));
    if !problems.is_empty() {
        let count = match problems.len() {
            1 => "one thing that a run needs".to_owned(),
            count => format!("{count} things that a run needs"),
        };
        let message = format!("the configuration is right, but {count} cannot be used");
        return Err(Error::new(ErrorKind::Config, message).with_problems(problems.iter().map(Problem::with_hint)));
    }
    super::terminal::print(&config::check(loaded, env.as_ref()));
    if online { ask(loaded, &tools?).await } else { Ok(exit::OK) }
}

/// What is wrong with this machine, as one of the problems.
fn of_machine(error: Error) -> Problem {
    let causes = error.causes.iter().map(|cause| format!(": {cause}"));
    let problem = Problem::new("", causes.fold(error.message, |text, cause| text + &cause));
    match error.hints.is_empty() {
        true => problem,
        false => problem.hint(error.hints.join(" ")),
    }
}

/// Asks every forge what a run would ask it first: for the list of repositories, or whose the token is.
async fn ask(loaded: &Loaded, tools: &Tools) -> Result<u8, Error> {
    let config = &loaded.config;
    let (sink, _) = progress::open(Manner::Silent);
    let sink: Arc<dyn Sink> = Arc::from(sink);
    let mut problems = Vec::new();
    super::terminal::print("asked:\n");
    for (index, source) in config.sources.iter().enumerate() {
        let answer = match source.kind.is_forge() {
            true => sources_answer(index, config, tools, &sink).await,
            false => Ok("not asked, it has no API".to_owned()),
        };
        answered(&source.id, answer, "source", place(loaded, &format!("sources[{index}].kind")), &mut problems);
    }
    for destination in &config.destinations {
        let answer = match Opened::open(destination, tools, &sink).await {
            Ok(opened) => match &opened.forge {
                Some(forge) => forge.own_namespace().await.map(|name| format!("the token is that of {name}")),
                None => Ok("not asked, it has no API".to_owned()),
            },
            Err(failure) => Err(failure),
        };
        let place = place(loaded, &format!("destinations.{}.kind", destination.id));
        answered(&destination.id, answer, "destination", place, &mut problems);
    }
    match problems.len() {
        0 => Ok(exit::OK),
        count => {
            let message = format!("{count} of {} did not answer as a run needs it", entries(config));
            super::terminal::complain(&Error::run(message).with_problems(problems.iter().map(Problem::with_hint)));
            Ok(exit::SOME_FAILED)
        }
    }
}

fn entries(config: &Config) -> String {
    match config.sources.len() + config.destinations.len() {
        1 => "one source or destination".to_owned(),
        count => format!("{count} sources and destinations"),
    }
}

async fn sources_answer(index: usize, config: &Config, tools: &Tools, sink: &Arc<dyn Sink>) -> Result<String, Failure> {
    let (listed, wanted) =
        discover::count(&config.sources[index], config, tools, &Arc::<PageCache>::default(), sink).await?;
    let plural = if listed == 1 { "y" } else { "ies" };
    match wanted {
        0 if listed > 0 => {
            let text = format!("it lists {listed} repositor{plural}, and the filters leave none of them");
            Err(Failure::new(crate::base::failure::Reason::Unknown, text)
                .with_hint("correct `include`, `exclude` and the other filters."))
        }
        _ => Ok(format!("{listed} repositor{plural} listed, {wanted} wanted")),
    }
}

fn place(loaded: &Loaded, key: &str) -> String {
    match loaded.origins.get(key) {
        SetBy::Default => String::new(),
        set_by => set_by.to_string(),
    }
}

/// Prints an answer; a failure is kept for the list at the end.
fn answered(id: &str, answer: Result<String, Failure>, noun: &str, place: String, problems: &mut Vec<Problem>) {
    match answer {
        Ok(text) => super::terminal::print(&crate::base::redact::redact(&format!("  {id}: {text}\n"))),
        Err(failure) => {
            super::terminal::print(&format!("  {id}: failed ({})\n", failure.reason()));
            let why = failure.evidence().map(|evidence| format!(": {evidence}")).unwrap_or_default();
            let problem = Problem::new(place, format!("the {noun} `{id}`: {}{why}", failure.message()));
            problems.push(match failure.way_out() {
                Some(hint) => problem.hint(hint),
                None => problem,
            });
        }
    }
}
