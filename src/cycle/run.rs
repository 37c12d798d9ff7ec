//! Carries a plan out: so many mirrors at a time, so many per host, each result recorded as soon as it stands, those that
//! changed nothing together.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;

use crate::base::failure::{Failure, Reason};
use crate::base::hosts::Pass;
use crate::base::url::RemoteUrl;
use crate::config::Config;
use crate::cycle::discover::Inventory;
use crate::cycle::plan::{Move, Plan, Settled, Task, Why};
use crate::cycle::rearrange::{Mover, Rearranged};
use crate::cycle::schedule::Schedule;
use crate::cycle::session::Session;
use crate::git::refs::Advertisement;
use crate::mirror::access::Access;
use crate::mirror::checkout::{self, Checkout};
use crate::mirror::decide::Rules;
use crate::mirror::tools::Tools;
use crate::mirror::{self, Job};
use crate::model::destination::DestinationOutcome;
use crate::model::{MirrorKey, Outcome, Repo, Status, Verdict};
use crate::progress::{Event, Sink};
use crate::push::fan::{Fan, Pushable};
use crate::release::run::Projector;
use crate::store::{Backoff, MirrorRecord, Note, Store, after};

/// Everything the mirrors of one run share.
pub struct Runner<'a> {
    pub config: &'a Config,
    pub tools: &'a Tools,
    pub sink: &'a dyn Sink,
    pub inventory: &'a Inventory,
    pub records: HashMap<&'a MirrorKey, &'a MirrorRecord>,
    /// Where mirrors go beside the local disk.
    pub fan: &'a Fan,
    /// Their releases, where any place gets such.
    pub projector: Option<&'a Projector<'a>>,
    /// Where results are remembered; a dry run has nowhere.
    pub store: Option<&'a Store>,
    /// Since when we are alone in the storage.
    pub alone_since: SystemTime,
    /// Sources whose credential was refused once: it is not tried again in this run.
    refused: Mutex<BTreeSet<String>>,
    /// The folders in which mirrors lie.
    folders: HashSet<PathBuf>,
}

impl<'a> Runner<'a> {
    /// A runner for one plan over `inventory`; `projector` deletes releases whose tags are about to go.
    pub fn new(
        (config, tools, sink): (&'a Config, &'a Tools, &'a dyn Sink),
        inventory: &'a Inventory,
        records: &'a [MirrorRecord],
        session: &'a Session,
        fan: &'a Fan,
        projector: Option<&'a Projector<'a>>,
    ) -> Self {
        let places = inventory.repos.iter().map(Repo::mirror_path);
        let folders = checkout::folders(places.chain(records.iter().map(|record| record.mirror.clone())));
        let records = records.iter().map(|record| (&record.key, record)).collect();
        let refused = Mutex::default();
        let (store, alone_since) = (session.store(), session.alone_since());
        Runner { config, tools, sink, inventory, records, fan, projector, store, alone_since, refused, folders }
    }

    /// Carries out the whole plan and returns every mirror's outcome.
    pub async fn run(&self, plan: Plan) -> Vec<Outcome> {
        let Runner { tools, store, alone_since, .. } = *self;
        let mover = Mover { tools, store, records: &self.records, alone_since };
        let rearranged = mover.rearrange(&plan.evictions, &plan.moves).await;
        let notes: HashMap<MirrorKey, &str> =
            plan.moves.iter().map(|step| (step.repo.key(), step.note.as_str())).collect();
        let mut outcomes = self.record_settled(plan.settled, &rearranged, &notes).await;
        let worked = self.in_turn(plan.tasks, |task, pass| {
            let (rearranged, notes) = (&rearranged, &notes);
            async move {
                let key = task.repo.key();
                let started = self.tools.now();
                let mut outcome = match rearranged.in_the_way(&key, &task.place) {
                    Some(failure) => Outcome::failed(&task.repo, failure.clone()),
                    None => self.update_mirror(&task, &pass).await,
                };
                if let Some(note) = notes.get(&key) {
                    outcome.notes.insert(0, (*note).to_owned());
                }
                if rearranged.stuck.contains_key(&key) {
                    outcome.mirror = self.lies(&key, rearranged).unwrap_or(outcome.mirror);
                }
                self.remember(&task.repo, &mut outcome, started).await;
                outcome
            }
        });
        outcomes.extend(worked.await);
        if let Some(store) = self.store
            && let Err(error) = store.flush().await
        {
            let failure = Failure::from(error);
            let has_note = |one: &&mut Outcome| can_wait(one) || !one.destinations.is_empty();
            outcomes.iter_mut().filter(has_note).for_each(|one| unrecorded(one, failure.clone()));
        }
        outcomes
    }

    /// Looks at what a plan would do, and does nothing.
    pub async fn preview(&self, plan: Plan) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = plan.settled.into_iter().map(|settled| settled.outcome).collect();
        let moves: HashMap<MirrorKey, &Move> = plan.moves.iter().map(|step| (step.repo.key(), step)).collect();
        let looked = self.in_turn(plan.tasks, |task, pass| {
            let step = moves.get(&task.repo.key()).copied();
            async move { self.look(&task, &pass, step).await }
        });
        outcomes.extend(looked.await);
        outcomes
    }

    /// Does `work` for every task, each when its turn comes, and tells what came of it.
    async fn in_turn<W>(&self, tasks: Vec<Task>, work: impl Fn(Task, Pass) -> W) -> Vec<Outcome>
    where
        W: Future<Output = Outcome>,
    {
        let tasks = tasks.into_iter().map(|task| (task.repo.folder.clone(), task));
        let mut schedule = Schedule::new(tasks, self.config.concurrency);
        let mut working = FuturesUnordered::new();
        let mut outcomes = Vec::new();
        loop {
            while let Some(turn) = schedule.next(|host| self.tools.hosts.git(host).try_enter()) {
                let share = self.tools.git.share();
                let work = work(turn.task, turn.pass);
                working.push(async move {
                    let outcome = work.await;
                    drop(share);
                    (outcome, turn.end)
                });
            }
            // With nothing at work every host has room for one: nothing waits any more.
            let Some((outcome, end)) = working.next().await else { return outcomes };
            schedule.done(end);
            self.sink.tell(&Event::Finished { outcome: &outcome });
            outcomes.push(outcome);
        }
    }

    async fn record_settled(
        &self,
        settled: Vec<Settled>,
        rearranged: &Rearranged,
        notes: &HashMap<MirrorKey, &str>,
    ) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for Settled { mut outcome, mut record } in settled {
            // A mirror that needs no git may have moved all the same, such as that of a repository that is gone.
            if let Some(place) = rearranged.moved.get(&outcome.key) {
                outcome.mirror.clone_from(place);
                record.iter_mut().for_each(|record| record.mirror.clone_from(place));
            }
            if outcome.verdict == Verdict::Current && self.config.checkout {
                self.first_check_out(&mut outcome).await;
            }
            if let Some(note) = notes.get(&outcome.key) {
                outcome.notes.insert(0, (*note).to_owned());
            }
            if let Some(failure) = rearranged.stuck.get(&outcome.key) {
                outcome.degraded = true;
                outcome.failure.get_or_insert_with(|| failure.clone());
            }
            if let Some(record) = record {
                self.record(&mut outcome, record).await;
            }
            self.sink.tell(&Event::Finished { outcome: &outcome });
            outcomes.push(outcome);
        }
        outcomes
    }

    /// Where a mirror lies that could not be brought to its place.
    fn lies(&self, key: &MirrorKey, rearranged: &Rearranged) -> Option<PathBuf> {
        rearranged.moved.get(key).or_else(|| self.records.get(key).map(|record| &record.mirror)).cloned()
    }

    fn access(&self, repo: &Repo) -> Access {
        self.inventory.access.get(&repo.source).cloned().unwrap_or_default()
    }

    fn job<'t>(&self, task: &'t Task, access: &Access, pass: &'t Pass) -> Job<'t> {
        let rules = Rules {
            cliff: self.config.cliff,
            keep: self.config.keep,
            accepted: task.accepted,
            forge: self.config.sources.iter().any(|source| source.id == task.repo.source && source.kind.is_forge()),
            now: self.tools.now(),
        };
        let record = self.records.get(&task.repo.key());
        Job {
            repo: &task.repo,
            remote: access.remote(&task.repo.url),
            place: task.place.clone(),
            rules,
            found: record.is_none_or(|record| record.last_success.is_none()),
            recorded_url: record.and_then(|record| RemoteUrl::parse(&record.url).ok()),
            recorded: record.map_or(0, |record| usize::try_from(record.refs).unwrap_or(usize::MAX)),
            alone_since: self.alone_since,
            pass,
        }
    }

    async fn update_mirror(&self, task: &Task, pass: &Pass) -> Outcome {
        let repo = &task.repo;
        let access = self.access(repo);
        if self.tools.stop.is_cancelled() {
            return Outcome::failed(repo, Failure::new(Reason::Cancelled, "not tried: the run was stopped"));
        }
        let job = self.job(task, &access, pass);
        let has_credential = job.remote.credential().is_some();
        if has_credential && self.is_refused(&repo.source) {
            let message = "not tried: the source's credential was refused before";
            return Outcome {
                verdict: Verdict::Skipped,
                ..Outcome::failed(repo, Failure::new(Reason::AuthFailed, message))
            };
        }
        tracing::debug!("{}: {}", repo.path, task.why);
        let mut outcome = mirror::bring_up(&job, self.tools, self.sink).await;
        outcome.failure = outcome.failure.map(|failure| access.explain(&repo.url, failure));
        match outcome.failure.as_ref().map(|failure| failure.reason()) {
            Some(Reason::AuthFailed) if has_credential => self.refuse(&repo.source),
            Some(Reason::AuthFailed) if repo.url.is_http() => {
                let hint = "no token was sent: the repository is private or not there; give its source a token \
                    (`token: {env: NAME}` in the configuration), or take it out.";
                outcome.failure = outcome.failure.map(|failure| failure.with_hint(hint));
            }
            // The forge says so for itself; it is no failure of ours, and the mirror made before is kept.
            Some(Reason::Blocked) => {
                outcome.verdict = Verdict::Unavailable;
                outcome.failure = None;
                let before = self.records.get(&repo.key());
                // Under --watch it is news once.
                if !self.config.watch || before.is_none_or(|record| record.verdict != Verdict::Unavailable) {
                    outcome.notes.push("is blocked by its forge (HTTP 451); a mirror made before is kept.".to_owned());
                }
            }
            None if self.config.checkout => self.check_out(&mut outcome).await,
            _ => {}
        }
        if outcome.verdict.status() == Status::Success {
            pass.eased();
        }
        if outcome.disk.is_none() {
            // Not counted anew when nothing was changed.
            outcome.disk = self.records.get(&repo.key()).and_then(|record| record.disk());
        }
        // What is somebody else's is pushed nowhere.
        if job.is_ours(self.tools) {
            self.push(task, &mut outcome, None).await;
        }
        outcome
    }

    async fn push(&self, task: &Task, outcome: &mut Outcome, source: Option<&Advertisement>) {
        let dir = self.tools.storage.path(&outcome.mirror);
        let turn = Pushable {
            repo: &task.repo,
            dir: &dir,
            outcome,
            accepted: task.accepted,
            full: self.config.full || task.why == Why::Full,
            source,
        };
        if let Some(projector) = self.projector.filter(|_| turn.outcome.verdict.status() == Status::Success) {
            projector.before_push(&task.repo, &dir).await;
        }
        let pushed = self.fan.push(&turn, self.config, self.store, self.tools, self.sink).await;
        outcome.degraded |= pushed.iter().any(DestinationOutcome::is_behind);
        outcome.destinations = pushed;
    }

    /// Makes the checkout of a mirror that needs no git otherwise, when there is none.
    async fn first_check_out(&self, outcome: &mut Outcome) {
        let tree = self.tree(outcome);
        if !self.tools.storage.path(&tree).join(".git").exists() && !self.tools.stop.is_cancelled() {
            self.check_out(outcome).await;
        }
    }

    /// Where the checkout of a mirror lies, or would lie.
    fn tree(&self, outcome: &Outcome) -> PathBuf {
        let usual = outcome.path.checkout_path(&outcome.key.folder);
        let is_there = self.tools.storage.path(&usual).join(".git").exists();
        if is_there || !self.folders.contains(&usual) { usual } else { checkout::beside(&usual) }
    }

    async fn check_out(&self, outcome: &mut Outcome) {
        let tree = self.tree(outcome);
        let Tools { git, storage, .. } = self.tools;
        match checkout::follow(git, storage, &outcome.mirror, &tree, self.alone_since).await {
            Ok(Checkout::LeftAlone(why)) => outcome.notes.push(format!("the checkout was left alone: {why}.")),
            Ok(_) => {}
            Err(failure) => {
                outcome.degraded = true;
                outcome.failure = Some(failure);
            }
        }
    }

    async fn look(&self, task: &Task, pass: &Pass, step: Option<&Move>) -> Outcome {
        let access = self.access(&task.repo);
        let mut job = self.job(task, &access, pass);
        let mut notes = Vec::new();
        if let Some(step) = step {
            job.place.clone_from(&step.from);
            notes.push(format!("would move from {} to {}.", step.from.display(), step.to.display()));
        }
        match mirror::preview(&job, self.tools, self.sink).await {
            Ok(preview) => {
                notes.extend(preview.notes);
                let refs = preview.refs;
                let mut outcome = Outcome { notes, refs, ..Outcome::new(&task.repo, preview.verdict) };
                outcome.mirror.clone_from(&job.place);
                self.push(task, &mut outcome, preview.source.as_ref()).await;
                outcome
            }
            Err(failure) => {
                let failure = access.explain(&task.repo.url, failure);
                Outcome { notes, ..Outcome::failed(&task.repo, failure) }
            }
        }
    }

    /// Writes down what came of a mirror whose work began at `started`: what was pushed since may have been missed.
    async fn remember(&self, repo: &Repo, outcome: &mut Outcome, started: Timestamp) {
        let previous = self.records.get(&repo.key()).copied();
        let backoff = Backoff::new(self.config.interval);
        let record = match (outcome.verdict, previous) {
            // Cut short: what it was before proves nothing any more. What was not begun is as it was.
            (Verdict::Skipped, Some(previous)) if outcome.duration > Duration::ZERO => {
                MirrorRecord { verdict: Verdict::Skipped, ..previous.clone() }
            }
            (Verdict::Skipped, _) => return,
            _ => after(previous, repo, outcome, self.tools.now(), backoff).looked_at(started),
        };
        self.record(outcome, record).await;
    }

    async fn record(&self, outcome: &mut Outcome, record: MirrorRecord) {
        let Some(store) = self.store else { return };
        let recorded = match can_wait(outcome) {
            true => store.note(Note::Mirror(Box::new(record))).await,
            false => store.record(&record).await,
        };
        if let Err(error) = recorded {
            unrecorded(outcome, error.into());
        }
    }

    fn is_refused(&self, source: &str) -> bool {
        self.refused.lock().unwrap_or_else(std::sync::PoisonError::into_inner).contains(source)
    }

    fn refuse(&self, source: &str) {
        self.refused.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(source.to_owned());
    }
}

/// Whether the record of a mirror is worth no trip to the disk of its own: were it lost, one look would tell it again.
fn can_wait(outcome: &Outcome) -> bool {
    matches!(outcome.verdict, Verdict::Current | Verdict::Empty | Verdict::Gone | Verdict::Unavailable)
}

/// A result that could not be written down: the mirror is as it is, and the next run will look at it again.
fn unrecorded(outcome: &mut Outcome, failure: Failure) {
    outcome.degraded = true;
    outcome.failure.get_or_insert(failure);
}
