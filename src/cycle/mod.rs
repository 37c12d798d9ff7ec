//! The main job: what exists is discovered, what is to do is planned, and the plan is carried out and reported.
//!
//! [`run`] is one cycle on one screen, and each of its lines names the file to read next. [`service`] runs cycles.

pub mod discover;
pub mod gaps;
pub mod plan;
pub mod priority;
mod rearrange;
pub mod report;
mod run;
pub mod schedule;
pub mod scope;
pub mod service;
pub mod session;
pub mod signals;
mod standing;
pub mod status;
pub mod watch;

use std::sync::Arc;

use self::discover::Inventory;
use self::plan::Task;
use self::report::Report;
use self::run::Runner;
use self::scope::Scope;
use self::session::{Memory, Session};
use crate::base::error::Error;
use crate::config::Config;
use crate::mirror::tools::Tools;
use crate::mirror::upkeep;
use crate::model::Outcome;
use crate::progress::{Event, Sink};
use crate::push::fan::Fan;
use crate::release::run::{Projector, is_wanted};
use crate::store::MirrorRecord;

/// Brings the mirrors of `scope` up to date once, with their destinations and releases, or tells what that would do
/// (`dry_run`); with `only_releases` the releases alone, of what is mirrored and pushed already.
///
/// # Errors
/// Only what keeps the run from going on: a store that cannot be read, a git that cannot be used. What goes wrong with
/// a source or a mirror is in the report.
pub async fn run(
    (config, tools, sink): (&Config, &Tools, &Arc<dyn Sink>),
    session: &Session,
    scope: &Scope,
) -> Result<Report, Error> {
    let mut report = Report::new(tools.now(), &config.storage);
    report.dry_run = config.dry_run;
    let Memory { records, destinations, releases, pages } = session.recall(&mut report.warnings).await?;
    let (mut inventory, gaps) = discover::discover(config, tools, &records, &pages, sink).await;
    report.add(gaps);
    let mut fan = Fan::open(config, destinations, tools, sink).await;
    if config.only_releases.is_none() && !config.dry_run {
        report.warnings.extend(fan.repair(session.store()).await);
    }
    fan.assign(&inventory.repos);
    inventory.behind = fan.behind(inventory.repos.iter());
    let projector = is_wanted(config).then(|| {
        let shared = (config, tools, sink);
        Projector::new(shared, &fan, &inventory.repos, &inventory.access, session.memory(), releases)
    });
    report.outcomes = match config.only_releases {
        Some(_) => standing::standing(config, &inventory, &records, &fan, scope),
        None => {
            let shared = (config, tools, sink.as_ref());
            let runner = Runner::new(shared, &inventory, &records, session, &fan, projector.as_ref());
            mirrors(&runner, &inventory, &records, session, scope).await?
        }
    };
    report.note_nothing_of(scope);
    if let Some(projector) = &projector {
        projector.project(&inventory.repos, &mut report.outcomes).await;
    }
    if config.only_releases.is_none() && !config.dry_run {
        session.lend_lock(true)?;
        upkeep::keep_up(config.upkeep_budget(), tools, session.store(), &mut report.outcomes).await;
        session.lend_lock(false)?;
    }
    report.duration = tools.since(report.started);
    report.looks = tools.git.take_looks();
    report.fetches = tools.git.take_fetches();
    session.record(config, &report, &pages, tools.now()).await;
    Ok(report)
}

/// Plans and carries out what is to be done on disk and at the destinations.
async fn mirrors(
    runner: &Runner<'_>,
    inventory: &Inventory,
    records: &[MirrorRecord],
    session: &Session,
    scope: &Scope,
) -> Result<Vec<Outcome>, Error> {
    let (config, tools) = (runner.config, runner.tools);
    let mut plan = plan::plan(config, &tools.storage, inventory, records, tools.now());
    plan.narrow(scope);
    runner.sink.tell(&Event::Planned { mirrors: plan.mirrors(), to_do: plan.tasks.len() });
    // A mirror that is there and unchanged needs no git at all.
    let needs_git = |task: &Task| !tools.git.may_do_without(&task.repo.url) || !tools.storage.has_mirror(&task.place);
    if plan.tasks.iter().any(needs_git) {
        tools.git.check_version().await?;
    }
    session.lend_lock(true)?;
    let outcomes = if config.dry_run { runner.preview(plan).await } else { runner.run(plan).await };
    session.lend_lock(false)?;
    Ok(outcomes)
}
