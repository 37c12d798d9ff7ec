//! Pure: from the configuration, the inventory and the last results to what this run will do, and why.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use globset::GlobSet;
use jiff::{SignedDuration, Timestamp};

use crate::base::failure::{Failure, Reason};
use crate::base::url::{LOCAL, RemoteUrl};
use crate::config::{Config, globs};
use crate::cycle::discover::Inventory;
use crate::cycle::scope::Scope;
use crate::mirror::storage::Storage;
use crate::model::{MirrorKey, Outcome, RefCounts, Repo, RepoPath, RepoState, Verdict};
use crate::store::MirrorRecord;

/// What a run will do.
#[derive(Debug, Default)]
pub struct Plan {
    /// Moves that make room, before anything else: from, to, relative to the storage root.
    pub evictions: Vec<Eviction>,
    /// Mirrors that change their place.
    pub moves: Vec<Move>,
    /// Mirrors that need git, largest first.
    pub tasks: Vec<Task>,
    /// Outcomes that need nothing to be done.
    pub settled: Vec<Settled>,
}

impl Plan {
    /// How many mirrors it is about.
    pub fn mirrors(&self) -> usize {
        self.tasks.len() + self.settled.len()
    }

    /// Leaves out the mirrors that `scope` does not name. What moves stays: where a mirror lies is everyone's business.
    pub fn narrow(&mut self, scope: &Scope) {
        let moving: HashSet<MirrorKey> = self.moves.iter().map(|step| step.repo.key()).collect();
        let stays = |key: &MirrorKey, path: &RepoPath| scope.wants(key, path) || moving.contains(key);
        self.tasks.retain(|task| stays(&task.repo.key(), &task.repo.path));
        self.settled.retain(|settled| stays(&settled.outcome.key, &settled.outcome.path));
    }
}

/// The mirror of a repository that is no more, in the place that another one needs.
#[derive(Debug, PartialEq)]
pub struct Eviction {
    pub key: MirrorKey,
    pub from: PathBuf,
}

/// A mirror that goes where its repository's name wants it.
#[derive(Debug, PartialEq)]
pub struct Move {
    pub repo: Repo,
    pub from: PathBuf,
    pub to: PathBuf,
    /// For the report: `was renamed from acme/old`.
    pub note: String,
}

/// One mirror to work on.
#[derive(Debug)]
pub struct Task {
    pub repo: Repo,
    pub place: PathBuf,
    pub why: Why,
    /// The deletions of this repository were seen and are meant.
    pub accepted: bool,
}

/// A result that is known without asking git.
#[derive(Debug)]
pub struct Settled {
    pub outcome: Outcome,
    /// What the store should remember from now on, when that changes.
    pub record: Option<MirrorRecord>,
}

/// Why a mirror is worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There is no mirror yet.
    New,
    /// It failed, was held or degraded last time, or was never recorded.
    Unsettled,
    /// The listing shows a newer push or another default branch.
    Changed,
    /// The listing tells no time of the last push.
    Untold,
    /// It was pushed to shortly before we looked last: the listing may lag behind.
    Recent,
    /// It was empty, which no listing contradicts for sure.
    Empty,
    /// Its mirror does not look whole.
    Damaged,
    /// A destination has not got it as it should.
    Behind,
    /// Its mirror has just come to its place: the record needs the new name.
    Moved,
    /// Its refs have not been compared for long, or were asked to be.
    Full,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::New => "there is no mirror yet",
            Why::Unsettled => "its last result was no success",
            Why::Changed => "the source has changed",
            Why::Untold => "the source does not tell when it changed",
            Why::Recent => "it was pushed to recently",
            Why::Empty => "it was empty",
            Why::Damaged => "its mirror does not look whole",
            Why::Behind => "a destination is behind",
            Why::Moved => "its mirror has moved",
            Why::Full => "a full comparison is due",
        })
    }
}

/// Makes the plan; decides everything that can be decided without git.
pub fn plan(
    config: &Config,
    storage: &Storage,
    inventory: &Inventory,
    records: &[MirrorRecord],
    now: Timestamp,
) -> Plan {
    let planner = Planner {
        config,
        inventory,
        records: records.iter().map(|record| (&record.key, record)).collect(),
        accepted: globs::of_repositories(&config.accept_deletions),
        now,
    };
    let mut plan = Plan::default();
    let repos = planner.without_collisions(inventory.folds_case, &mut plan);
    let mut moving = HashSet::new();
    for repo in &repos {
        if let Some(step) = planner.relocation(repo, storage, &mut plan) {
            moving.insert(step.from.clone());
            plan.moves.push(step);
        }
    }
    planner.make_room(&repos, &moving, &mut plan);
    planner.keep_apart(&repos, &moving, &mut plan);
    // So far only what cannot be mirrored is settled.
    let refused: HashSet<MirrorKey> = plan.settled.iter().map(|settled| settled.outcome.key.clone()).collect();
    for repo in repos.into_iter().filter(|repo| !refused.contains(&repo.key())) {
        planner.settle_or_work(repo, &mut plan);
    }
    let mirrored: HashSet<MirrorKey> = plan.tasks.iter().map(|task| task.repo.key()).collect();
    for key in inventory.gone.iter().filter(|key| !mirrored.contains(key)) {
        planner.gone(key, &mut plan);
    }
    for (key, failure) in inventory.unlisted.iter().filter(|(key, _)| !mirrored.contains(key)) {
        if let Some(record) = planner.records.get(key) {
            let outcome = Outcome { failure: Some(failure.clone()), ..of_record(record, Verdict::Failed) };
            plan.settled.push(Settled { outcome, record: None });
        }
    }
    plan.tasks.sort_by_key(|task| std::cmp::Reverse(planner.size_kib(&task.repo)));
    plan
}

struct Planner<'a> {
    config: &'a Config,
    inventory: &'a Inventory,
    records: HashMap<&'a MirrorKey, &'a MirrorRecord>,
    accepted: GlobSet,
    now: Timestamp,
}

impl Planner<'_> {
    /// The repositories whose mirrors have a place of their own; the others fail, the older mirror keeps its place.
    fn without_collisions(&self, fold: bool, plan: &mut Plan) -> Vec<Repo> {
        let place = |repo: &Repo| {
            let path = repo.mirror_path().to_string_lossy().into_owned();
            if fold { path.to_lowercase() } else { path }
        };
        let mut repos: Vec<&Repo> = self.inventory.repos.iter().collect();
        // Who has a mirror there already comes first.
        repos
            .sort_by_key(|repo| self.records.get(&repo.key()).is_none_or(|record| record.mirror != repo.mirror_path()));
        let mut taken: BTreeMap<String, &Repo> = BTreeMap::new();
        let mut kept = Vec::new();
        for repo in repos {
            let path = place(repo);
            let above = || Path::new(&path).ancestors().skip(1).find_map(|up| taken.get(&*up.to_string_lossy()));
            let below = || {
                let inside = format!("{path}/");
                taken
                    .range(inside.clone()..)
                    .next()
                    .filter(|(other, _)| other.starts_with(&inside))
                    .map(|(_, repo)| repo)
            };
            let Some(other) = taken.get(&path).or_else(above).or_else(below) else {
                taken.insert(path, repo);
                kept.push(repo.clone());
                continue;
            };
            let message = format!("its mirror would lie where that of {} ({}) lies", other.path, other.url);
            let hint = "exclude one of the two, or mirror them into different storage directories.";
            let failure = Failure::new(Reason::LocalFailed, message).with_hint(hint);
            plan.settled.push(Settled { outcome: Outcome::failed(repo, failure), record: None });
        }
        kept
    }

    /// The move that brings this repository's mirror where its name wants it.
    fn relocation(&self, repo: &Repo, storage: &Storage, plan: &mut Plan) -> Option<Move> {
        let to = repo.mirror_path();
        let step = |from: PathBuf, note: String| Some(Move { repo: repo.clone(), from, to: to.clone(), note });
        let present = |place: &PathBuf| self.inventory.present.contains(place);
        if let Some(record) = self.records.get(&repo.key()) {
            let staged = storage.staging_place(&record.key);
            // A mirror found aside was on its way when a run was killed; the place it left may be another's by now.
            let from = [&staged, &record.mirror].into_iter().find(|place| present(place))?;
            let note = format!("was renamed from {} at its source; the mirror moved along.", record.path);
            return if *from == to { None } else { step(from.clone(), note) };
        }
        if present(&to) {
            let stranger = self.inventory.unrecorded.get(&to)?;
            if !stranger.as_ref().is_some_and(|url| url.same_repo(&repo.url)) {
                let from = stranger.as_ref().map_or_else(|| "nobody knows where".to_owned(), ToString::to_string);
                let message = format!("{} is in its place, and came from {from}", to.display());
                let hint = "move that repository out of the storage directory.";
                let failure = Failure::new(Reason::LocalFailed, message).with_hint(hint);
                plan.settled.push(Settled { outcome: Outcome::failed(repo, failure), record: None });
            }
            return None;
        }
        let top = |place: &Path| place.components().count() == 1;
        let legacy = self
            .inventory
            .unrecorded
            .iter()
            .find(|(place, url)| top(place) && url.as_ref().is_some_and(|url| url.same_repo(&repo.url)));
        let (from, _) = legacy?;
        step(
            from.clone(),
            format!("was found as {} and adopted; no token is left in its configuration.", from.display()),
        )
    }

    /// Moves out of the way what lies in a place that is needed and is not itself about to move.
    ///
    /// Only a forge says that a name belongs to another repository now. A directory or a URL that this run does not ask
    /// for may be there still: its mirror stays, and the other repository is refused.
    fn make_room(&self, repos: &[Repo], moving: &HashSet<PathBuf>, plan: &mut Plan) {
        let wanted: HashMap<PathBuf, &Repo> = repos.iter().map(|repo| (repo.mirror_path(), repo)).collect();
        for record in self.in_order() {
            let Some(repo) = wanted.get(&record.mirror).filter(|repo| repo.key() != record.key) else { continue };
            // Two records of one place: a run was killed in between, and the one that wants it is right.
            let own = self.records.get(&repo.key()).is_some_and(|other| other.mirror == record.mirror);
            let lies_there = self.inventory.present.contains(&record.mirror) && !moving.contains(&record.mirror);
            if own || !lies_there || is_same(record, repo) {
                continue;
            }
            if is_of_forge(&record.key) || self.is_gone(record) {
                plan.evictions.push(Eviction { key: record.key.clone(), from: record.mirror.clone() });
            } else {
                plan.settled.push(taken(repo, record));
            }
        }
    }

    /// Refuses a repository whose mirror the file system would take for that of another one, which differs in case.
    fn keep_apart(&self, repos: &[Repo], moving: &HashSet<PathBuf>, plan: &mut Plan) {
        if !self.inventory.folds_case {
            return;
        }
        let folded = |path: &Path| path.to_string_lossy().to_lowercase();
        let wanted: HashMap<String, &Repo> = repos.iter().map(|repo| (folded(&repo.mirror_path()), repo)).collect();
        for record in self.in_order() {
            let Some(repo) = wanted.get(&folded(&record.mirror)).filter(|repo| repo.key() != record.key) else {
                continue;
            };
            let other_name = record.mirror != repo.mirror_path();
            let lies_there = self.inventory.present.contains(&record.mirror) && !moving.contains(&record.mirror);
            if other_name && lies_there && !self.is_gone(record) {
                plan.settled.push(taken(repo, record));
            }
        }
    }

    /// The records, always in the same order.
    fn in_order(&self) -> Vec<&MirrorRecord> {
        let mut records: Vec<&MirrorRecord> = self.records.values().copied().collect();
        records.sort_by(|one, other| one.key.cmp(&other.key));
        records
    }

    fn is_gone(&self, record: &MirrorRecord) -> bool {
        record.gone_since.is_some() || self.inventory.gone.contains(&record.key)
    }

    fn settle_or_work(&self, repo: Repo, plan: &mut Plan) {
        let record = self.records.get(&repo.key()).copied();
        let settle = |outcome| Settled { outcome, record: None };
        if let Some(word) = unavailable(&repo) {
            let mut outcome = Outcome::new(&repo, Verdict::Unavailable);
            let known = record.is_some_and(|record| record.verdict == Verdict::Unavailable);
            if !self.config.watch || !known {
                outcome.notes.push(format!("is {word} by its forge; a mirror made before is kept."));
            }
            // Recorded also where there is no mirror: under --watch it is news once.
            let before = record.cloned().unwrap_or_else(|| MirrorRecord::new(&repo));
            let record = (!known).then_some(MirrorRecord { verdict: Verdict::Unavailable, ..before });
            plan.settled.push(Settled { outcome, record });
            return;
        }
        let patient = self.config.watch && !self.config.full && !is_arriving(&repo, plan);
        if let Some(waiting) = record.filter(|_| patient).and_then(|record| self.backing_off(record)) {
            let outcome = Outcome { failure: waiting.failure.clone(), ..Outcome::new(&repo, Verdict::Skipped) };
            plan.settled.push(settle(outcome));
            return;
        }
        match self.why(&repo, record, plan) {
            Some(why) => {
                let accepted = self.accepted.is_match(repo.path.to_string());
                plan.tasks.push(Task { place: repo.mirror_path(), repo, why, accepted });
            }
            None => {
                let total = record.map_or(0, |record| usize::try_from(record.refs).unwrap_or(usize::MAX));
                let refs = RefCounts { total, ..RefCounts::default() };
                let disk = record.and_then(MirrorRecord::disk);
                plan.settled.push(settle(Outcome { refs, disk, ..Outcome::new(&repo, Verdict::Current) }));
            }
        }
    }

    /// How large a repository is: what its listing says, else what its mirror takes here.
    fn size_kib(&self, repo: &Repo) -> u64 {
        let here = || self.records.get(&repo.key()).and_then(|record| record.size_bytes).map(|bytes| bytes >> 10);
        repo.size_kib.or_else(here).unwrap_or(0)
    }

    fn backing_off<'r>(&self, record: &'r MirrorRecord) -> Option<&'r MirrorRecord> {
        record.retry_at.is_some_and(|at| at > self.now).then_some(record)
    }

    /// Why git must look at this repository; `None` when its mirror is current.
    fn why(&self, repo: &Repo, record: Option<&MirrorRecord>, plan: &Plan) -> Option<Why> {
        let arriving = is_arriving(repo, plan);
        let lies_there = self.inventory.present.contains(&repo.mirror_path());
        let evicted = plan.evictions.iter().any(|eviction| eviction.from == repo.mirror_path());
        if !arriving && (!lies_there || evicted) {
            return Some(Why::New);
        }
        let Some(record) = record else { return Some(Why::Unsettled) };
        if self.inventory.damaged.contains(&record.mirror) {
            return Some(Why::Damaged);
        }
        if self.config.full {
            return Some(Why::Full);
        }
        let Some(pushed_at) = repo.pushed_at else { return Some(Why::Untold) };
        if !record.covers(repo) {
            let changed = record.pushed_at != repo.pushed_at || record.default_branch != repo.default_branch;
            return Some(if changed { Why::Changed } else { Why::Unsettled });
        }
        if record.empty && repo.state != RepoState::Empty {
            return Some(Why::Empty);
        }
        let older_than = |time: Option<Timestamp>, age: std::time::Duration| {
            let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
            // A time in the future is a clock that was wrong once: it proves nothing.
            time.is_none_or(|time| time > self.now || self.now.duration_since(time) >= age)
        };
        if older_than(record.last_full, self.config.full_every) {
            return Some(Why::Full);
        }
        if arriving {
            return Some(Why::Moved);
        }
        if self.inventory.behind.contains(&record.key) {
            return Some(Why::Behind);
        }
        // Within the window after a push the listing may not show the next one yet (GitLab updates its time once an
        // hour), so a look taken then proves less than one taken later.
        let window = SignedDuration::try_from(self.config.window).unwrap_or(SignedDuration::MAX);
        let looked = record.last_full.unwrap_or(Timestamp::MIN);
        (looked.duration_since(pushed_at) < window).then_some(Why::Recent)
    }

    fn gone(&self, key: &MirrorKey, plan: &mut Plan) {
        let Some(record) = self.records.get(key) else { return };
        let has_mirror = self.inventory.present.contains(&record.mirror);
        if !has_mirror && record.last_success.is_none() {
            // There never was anything to keep.
            return;
        }
        let since = record.gone_since.unwrap_or(self.now);
        let mut outcome = of_record(record, Verdict::Gone);
        // Under --watch it is news once.
        let is_news = !self.config.watch || record.gone_since.is_none();
        if is_news {
            let day = since.strftime("%Y-%m-%d");
            let mirror = if has_mirror { "; the mirror is kept" } else { ", and there is no mirror of it" };
            outcome.notes.push(format!("is gone at its source since {day}{mirror}."));
        }
        plan.settled.push(Settled { outcome, record: is_news.then(|| record.gone(self.now)) });
    }
}

/// The outcome of a mirror that no listing shows.
fn of_record(record: &MirrorRecord, verdict: Verdict) -> Outcome {
    Outcome {
        path: record.path.clone(),
        source: record.source.clone(),
        key: record.key.clone(),
        mirror: record.mirror.clone(),
        verdict,
        degraded: false,
        duration: std::time::Duration::ZERO,
        refs: RefCounts::default(),
        received: 0,
        disk: record.disk(),
        kept: None,
        failure: None,
        notes: Vec::new(),
        destinations: Vec::new(),
        releases: Vec::new(),
    }
}

/// Whether a mirror is that of this repository, which was listed in another way then: by its forge, or on a list.
fn is_same(record: &MirrorRecord, repo: &Repo) -> bool {
    let one_way = is_of_forge(&record.key) && is_of_forge(&repo.key());
    let url = RemoteUrl::parse(&record.url).ok();
    let same = |url: &RemoteUrl| url.same_repo(&repo.url) && url.repo_path() == repo.url.repo_path();
    !one_way && record.key.folder == repo.folder && repo.folder != LOCAL && url.as_ref().is_some_and(same)
}

/// Whether a forge gave the id: forges count their repositories.
fn is_of_forge(key: &MirrorKey) -> bool {
    key.folder != LOCAL && key.id.bytes().all(|byte| byte.is_ascii_digit())
}

/// The failure of a repository whose place another one has.
fn taken(repo: &Repo, record: &MirrorRecord) -> Settled {
    let message = format!("its mirror would lie where that of {} lies, which was not deleted", record.url);
    let hint = "mirror the two into different storage directories, or move the older mirror out of this one.";
    let failure = Failure::new(Reason::LocalFailed, message).with_hint(hint);
    Settled { outcome: Outcome::failed(repo, failure), record: None }
}

/// Whether the mirror of this repository is about to come to its place.
fn is_arriving(repo: &Repo, plan: &Plan) -> bool {
    plan.moves.iter().any(|step| step.repo.id == repo.id && step.repo.folder == repo.folder)
}

fn unavailable(repo: &Repo) -> Option<&'static str> {
    match repo.state {
        RepoState::Disabled => Some("disabled"),
        RepoState::Blocked => Some("blocked"),
        RepoState::Filled | RepoState::Ready | RepoState::Empty => None,
    }
}

#[cfg(test)]
mod tests;
