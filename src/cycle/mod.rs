//! The main job: what exists is discovered, what is to do is planned, and the plan is carried out and reported.

pub mod discover;
pub mod plan;
pub mod priority;
pub mod report;
pub mod run;
pub mod schedule;
pub mod session;
pub mod status;
pub mod watch;

use std::sync::Arc;

use self::plan::Task;
use self::report::Report;
use self::run::Runner;
use self::session::Session;
use crate::base::error::Error;
use crate::config::Config;
use crate::mirror::tools::Tools;
use crate::mirror::upkeep;
use crate::progress::{Event, Sink};
use crate::push::fan::Fan;
use crate::release::run::Projector;

/// Brings the releases alone in step, of what is mirrored and pushed already, or tells what that would do (`dry_run`).
///
/// # Errors
/// As [`mirror()`].
pub async fn project(config: &Config, tools: &Tools, session: &Session, sink: &Arc<dyn Sink>) -> Result<Report, Error> {
    let mut report = Report::new(tools.now(), &config.storage);
    let memory = session.recall(&mut report.warnings).await?;
    let mut inventory = discover::discover(config, tools, &memory.records, &memory.pages, sink).await;
    let mut fan = Fan::open(config, memory.destinations, tools, sink).await;
    fan.assign(&inventory.repos);
    report.source_failures = std::mem::take(&mut inventory.failures);
    report.refused = std::mem::take(&mut inventory.refused);
    report.unmatched = std::mem::take(&mut inventory.unmatched);
    report.warnings.append(&mut inventory.warnings);
    report.dry_run = config.dry_run;
    report.outcomes = crate::release::run::standing(config, &inventory, &memory.records, &fan);
    let projector = Projector::new(config, tools, sink, &inventory, &fan, session, memory.releases);
    projector.project(&inventory.repos, &mut report.outcomes).await;
    report.duration = tools.since(report.started);
    report.looks = tools.git.take_looks();
    report.fetches = tools.git.take_fetches();
    session.record(config, &report, &memory.pages, tools.now()).await;
    Ok(report)
}

/// Brings every mirror up to date once, or tells what that would do (`dry_run`).
///
/// # Errors
/// Only what keeps the run from going on: a store that cannot be read, a git that cannot be used. What goes wrong with
/// a source or a mirror is in the report.
pub async fn mirror(config: &Config, tools: &Tools, session: &Session, sink: &Arc<dyn Sink>) -> Result<Report, Error> {
    let mut report = Report::new(tools.now(), &config.storage);
    let memory = session.recall(&mut report.warnings).await?;
    let mut inventory = discover::discover(config, tools, &memory.records, &memory.pages, sink).await;
    let mut fan = Fan::open(config, memory.destinations, tools, sink).await;
    if !config.dry_run {
        report.warnings.extend(fan.repair(session.store()).await);
    }
    fan.assign(&inventory.repos);
    inventory.behind = fan.behind(inventory.repos.iter());
    let plan = plan::plan(config, &tools.storage, &inventory, &memory.records, tools.now());
    sink.tell(&Event::Planned { mirrors: plan.mirrors(), to_do: plan.tasks.len() });
    // A mirror that is there and unchanged needs no git at all.
    let needs_git = |task: &Task| !tools.git.may_do_without(&task.repo.url) || !tools.storage.has_mirror(&task.place);
    if plan.tasks.iter().any(needs_git) {
        tools.git.check_version().await?;
    }
    report.source_failures = std::mem::take(&mut inventory.failures);
    report.refused = std::mem::take(&mut inventory.refused);
    report.unmatched = std::mem::take(&mut inventory.unmatched);
    report.warnings.append(&mut inventory.warnings);
    let projector = crate::release::run::is_wanted(config)
        .then(|| Projector::new(config, tools, sink, &inventory, &fan, session, memory.releases));
    let mut runner = Runner::new(config, tools, sink.as_ref(), &inventory, &memory.records, session, &fan);
    runner.projector = projector.as_ref();
    report.dry_run = config.dry_run;
    session.lend_lock(true)?;
    report.outcomes = if config.dry_run { runner.preview(plan).await } else { runner.run(plan).await };
    session.lend_lock(false)?;
    if let Some(projector) = projector {
        projector.project(&inventory.repos, &mut report.outcomes).await;
    }
    if !config.dry_run {
        session.lend_lock(true)?;
        upkeep::keep_up(config.upkeep_budget(), tools, session.store(), &mut report.outcomes).await;
        session.lend_lock(false)?;
    }
    report.duration = tools.since(report.started);
    report.looks = tools.git.take_looks();
    report.fetches = tools.git.take_fetches();
    session.record(config, &report, &memory.pages, tools.now()).await;
    Ok(report)
}
