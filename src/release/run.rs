//! The releases of a run: for each repository the source's listing once, then the backup, then each destination whose
//! refs are in step.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bstr::ByteSlice;
use futures_util::{StreamExt, stream};
use tokio::sync::{OnceCell, Semaphore};

use super::disk::DiskReleases;
use super::plan::{is_at_source, is_only_ours};
use super::transfer::Transfer;
use crate::base::failure::{Failure, Reason};
use crate::config::{Config, globs};
use crate::forge::{self, release::ReleaseSource};
use crate::mirror::access::Access;
use crate::mirror::tools::{Api, Tools};
use crate::model::projection::{DISK, MadeRelease, ReleaseVerdict, ReleasesOutcome};
use crate::model::release::Release;
use crate::model::{ForgeKind, MirrorKey, Outcome, Repo, Verdict};
use crate::progress::{Event, Sink};
use crate::push::fan::{Fan, ReleasePlace};
use crate::push::open::Place;
use crate::store::{ReleaseLook, Store};

mod to_destination;
mod to_disk;

/// How long releases are left alone under `--watch` while their repository is quiet.
const REST: Duration = Duration::from_secs(60 * 60);

/// Everything that the releases of one run share.
pub struct Projector<'a> {
    config: &'a Config,
    tools: &'a Tools,
    sink: &'a Arc<dyn Sink>,
    fan: &'a Fan,
    /// What we made in earlier runs.
    memory: Option<&'a Store>,
    /// Where it is written down; a dry run has nowhere.
    store: Option<&'a Store>,
    looks: HashMap<(MirrorKey, String), ReleaseLook>,
    sources: HashMap<String, Result<Arc<dyn ReleaseSource>, Failure>>,
    transfer: Transfer<'a>,
    /// How many releases were deleted before their tags, by repository and destination.
    early: Mutex<HashMap<(MirrorKey, String), usize>>,
    /// A repository has one place at a time to itself; so many are under way.
    at_once: Semaphore,
}

/// One repository when its releases' turn comes.
struct Projected<'a> {
    repo: &'a Repo,
    outcome: &'a Outcome,
    source: Arc<dyn ReleaseSource>,
    /// The source's listing, asked for once and only when some place needs it.
    listing: OnceCell<Result<Vec<Release>, Failure>>,
}

/// Whether any place of this run gets releases.
pub fn is_wanted(config: &Config) -> bool {
    config.releases.is_some() || config.destinations.iter().any(|destination| destination.releases.is_some())
}

impl<'a> Projector<'a> {
    /// Prepares what the repositories share; nothing is asked yet. `access` is how each source is reached, and `store` is
    /// read from also in a dry run, which writes nothing.
    pub fn new(
        (config, tools, sink): (&'a Config, &'a Tools, &'a Arc<dyn Sink>),
        fan: &'a Fan,
        repos: &[Repo],
        access: &HashMap<String, Access>,
        store: Option<&'a Store>,
        looks: Vec<ReleaseLook>,
    ) -> Self {
        let open = |id: &String| (id.clone(), open_source(config, tools, sink, access, id));
        let ids: BTreeSet<&String> = repos.iter().map(|repo| &repo.source).collect();
        Projector {
            config,
            tools,
            sink,
            fan,
            memory: store,
            store: store.filter(|_| !config.dry_run && config.push),
            looks: looks.into_iter().map(|look| ((look.key.clone(), look.destination.clone()), look)).collect(),
            sources: ids.into_iter().map(open).collect(),
            transfer: Transfer::new(tools, sink.as_ref(), config.asset_tmp_max),
            early: Mutex::default(),
            at_once: Semaphore::new(config.concurrency),
        }
    }

    /// Brings the releases of every repository in step, and puts what came of it into its outcome.
    pub async fn project(&self, repos: &[Repo], outcomes: &mut [Outcome]) {
        let repos: HashMap<MirrorKey, &Repo> = repos.iter().map(|repo| (repo.key(), repo)).collect();
        stream::iter(outcomes)
            .for_each_concurrent(None, |outcome| async {
                if let Some(repo) = repos.get(&outcome.key) {
                    let Ok(_turn) = self.at_once.acquire().await else { return };
                    outcome.releases = self.one(repo, outcome).await;
                    for releases in &outcome.releases {
                        self.sink.tell(&Event::Projected { outcome, releases });
                    }
                }
            })
            .await;
    }

    /// Deletes releases of ours whose tag is about to go, before it does: without its tag a release would turn into a
    /// draft (GitHub, Gitea), which looks like somebody's work. What fails here is tried again after the refs.
    pub async fn before_push(&self, repo: &Repo, mirror: &Path) {
        if self.store.is_none() {
            return;
        }
        for place in self.fan.release_places(repo) {
            if let Err(failure) = self.prune_early(repo, mirror, &place).await {
                tracing::debug!("{} on {}: no release was deleted before its tag: {failure}", repo.path, place.id);
            }
        }
    }

    async fn prune_early(&self, repo: &Repo, mirror: &Path, place: &ReleasePlace<'_>) -> Result<(), Failure> {
        let Ok(opened) = &place.opened else { return Ok(()) };
        let (Some(scope), Some(forge), Ok(spot)) = (&opened.config.releases, &opened.releases, &place.spot) else {
            return Ok(());
        };
        // What is switched off is not gone.
        if !scope.prune || !opened.config.prune || repo.releases_off {
            return Ok(());
        }
        let (made, tags) = (self.made(&repo.key(), place.id).await?, self.tags(mirror).await?);
        let mut gone: Vec<&MadeRelease> = made.iter().filter(|made| !tags.contains(&made.tag)).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let source = self.source_of(repo)?;
        let listing = source.releases(&repo.path).await?;
        gone.retain(|made| !is_at_source(&listing, &made.tag, scope));
        if self.guard(gone.len(), made.len(), repo).is_some() {
            return Ok(());
        }
        let Place::Path(path) = opened.place_with_owner(spot).await? else { return Ok(()) };
        for release in forge.releases(&path).await? {
            let ours = gone.iter().find(|made| made.id == release.id && made.tag == release.tag);
            let ours = ours.filter(|made| is_only_ours(&release, Some(made), &source_name(repo)));
            if let (Some(made), Some(store)) = (ours, self.store) {
                forge.delete(&path, &release).await?;
                store.forget_release(&repo.key(), place.id, &made.tag).await?;
                let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
                *early.entry((repo.key(), place.id.to_owned())).or_default() += 1;
            }
        }
        Ok(())
    }

    /// Where the releases of a repository are read from.
    fn source_of(&self, repo: &Repo) -> Result<Arc<dyn ReleaseSource>, Failure> {
        match self.sources.get(&repo.source) {
            Some(Ok(source)) => Ok(source.clone()),
            // The backup of another Holocron has its releases beside it.
            _ if self.is_dir(repo) => Ok(Arc::new(DiskReleases::of(repo.url.as_file().unwrap_or(Path::new(""))))),
            Some(Err(failure)) => Err(failure.clone()),
            None => Err(Failure::new(Reason::Unknown, format!("the source {} is not known", repo.source))),
        }
    }

    async fn one(&self, repo: &Repo, outcome: &Outcome) -> Vec<ReleasesOutcome> {
        let places: Vec<ReleasePlace<'_>> = self.fan.release_places(repo).collect();
        if self.config.releases.is_none() && places.is_empty() {
            return Vec::new();
        }
        // The forge has closed the repository: there is nothing to ask it for, and what was saved stays as it is.
        if outcome.verdict == Verdict::Unavailable {
            return Vec::new();
        }
        let ids = || self.config.releases.iter().map(|_| DISK).chain(places.iter().map(|place| place.id));
        if repo.releases_off {
            return ids().map(switched_off).collect();
        }
        let source = match self.source_of(repo) {
            Ok(source) => source,
            Err(failure) => {
                let ids = ids();
                return ids.map(|id| ReleasesOutcome::failed(id, failure.clone())).collect();
            }
        };
        let turn = Projected { repo, outcome, source, listing: OnceCell::new() };
        let mut all = Vec::new();
        if let Some(scope) = &self.config.releases {
            all.push(self.timed(self.to_disk(&turn, scope)).await);
        }
        for place in &places {
            let mut outcome = self.timed(self.to_destination(&turn, place)).await;
            outcome.add_deleted(self.take_early(repo, place.id));
            all.push(outcome);
        }
        all
    }

    /// How many releases were deleted before their tags at this place, each time told once.
    fn take_early(&self, repo: &Repo, id: &str) -> usize {
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        early.remove(&(repo.key(), id.to_owned())).unwrap_or_default()
    }

    /// Whether releases were deleted there before their tags in this run.
    fn has_early(&self, repo: &Repo, id: &str) -> bool {
        let early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        early.contains_key(&(repo.key(), id.to_owned()))
    }

    /// Whether the release of this tag is to be looked at in this run.
    fn only(&self, tag: &str) -> bool {
        self.config.only_releases.as_ref().is_none_or(|filter| filter.wants_tag(tag))
    }

    fn is_dir(&self, repo: &Repo) -> bool {
        self.config.sources.iter().any(|source| source.id == repo.source && source.kind == ForgeKind::Dir)
    }

    async fn timed(&self, work: impl Future<Output = ReleasesOutcome>) -> ReleasesOutcome {
        let started = std::time::Instant::now();
        let outcome = work.await;
        ReleasesOutcome { duration: started.elapsed(), ..outcome }
    }

    async fn listing<'t>(&self, turn: &'t Projected<'_>) -> Result<&'t [Release], Failure> {
        let list = || async {
            let (source, path) = (&turn.source, &turn.repo.path);
            match source.releases(path).await {
                // The listing of repositories did not say so: it was made before, or the server is too old for it.
                Err(failure) if failure.reason() == Reason::Forbidden && source.are_off(path).await => {
                    Err(Failure::new(Reason::Forbidden, "releases are switched off at the source")
                        .with_evidence(failure.message())
                        .with_hint("run again; when it stays so, set `releases: off`."))
                }
                listed => listed,
            }
        };
        let listing = turn.listing.get_or_init(list).await;
        listing.as_deref().map_err(Clone::clone)
    }

    /// Under `--watch`, what is quiet and was in step a short while ago.
    fn rests(&self, turn: &Projected<'_>, look: Option<&ReleaseLook>, settings: &str) -> bool {
        // Who looked under other settings saw something else.
        let look = look.filter(|look| look.rules.starts_with(settings));
        let quiet = turn.outcome.verdict == Verdict::Current && !self.config.full;
        self.config.watch && quiet && look.is_some_and(|look| look.in_step && self.tools.since(look.looked_at) < REST)
    }

    async fn made(&self, key: &MirrorKey, destination: &str) -> Result<Vec<MadeRelease>, Failure> {
        let Some(store) = self.memory else { return Ok(Vec::new()) };
        let rows = store.made_releases(key, destination).await?;
        rows.ignored.iter().for_each(|row| tracing::warn!("{row}"));
        Ok(rows.rows)
    }

    /// The short names of the tags that the destination has, as its refs are in step with the mirror's.
    async fn tags(&self, mirror: &Path) -> Result<BTreeSet<String>, Failure> {
        if self.config.dry_run && !mirror.is_dir() {
            return Ok(BTreeSet::new());
        }
        let refs = self.tools.git.local_refs(mirror).await?.refs;
        let names = refs.keys().filter_map(|name| name.strip_prefix(b"refs/tags/"));
        Ok(names.map(|name| name.to_str_lossy().into_owned()).collect())
    }

    /// Most of what we made gone at once is more likely a bad day of the source.
    fn guard(&self, gone: usize, had: usize, repo: &Repo) -> Option<Failure> {
        let accepted = globs::of_repositories(&self.config.accept_deletions).is_match(repo.path.to_string());
        if accepted || gone == 0 {
            return None;
        }
        let why = crate::mirror::decide::cliff(had, gone, had - gone.min(had), self.config.cliff)?;
        let hint = format!("when it is meant, run again with --accept-deletions {}.", repo.path);
        Some(Failure::new(Reason::Held, "no release was deleted").with_evidence(why).with_hint(hint))
    }

    /// Says how it came out, and remembers it.
    async fn conclude(&self, turn: &Projected<'_>, mut outcome: ReleasesOutcome, rules: String) -> ReleasesOutcome {
        let counts = &outcome.counts;
        outcome.verdict = match &outcome.failure {
            Some(failure) if failure.reason() == Reason::Cancelled => ReleaseVerdict::Skipped,
            Some(_) => ReleaseVerdict::Behind,
            None if !outcome.problems.is_empty() || counts.deferred > 0 => ReleaseVerdict::Behind,
            None if counts.changed() > 0 || counts.assets > 0 => match self.config.dry_run {
                true => ReleaseVerdict::WouldProject,
                false => ReleaseVerdict::Projected,
            },
            None => ReleaseVerdict::Current,
        };
        // Who looked at a part knows nothing of the whole.
        let part = self.config.only_releases.as_ref().is_some_and(|filter| !filter.tags.is_empty());
        let Some(store) = self.store.filter(|_| !part) else { return outcome };
        let now = self.tools.now();
        let look = ReleaseLook {
            key: turn.repo.key(),
            destination: outcome.destination.clone(),
            rules,
            in_step: outcome.verdict.in_step(),
            looked_at: now,
            compared_at: now,
        };
        if let Err(error) = store.record_release_look(&look).await {
            outcome.failure.get_or_insert(error.into());
            outcome.verdict = ReleaseVerdict::Behind;
        }
        outcome
    }
}

/// Opens the API behind a source; `dir` and `urls` have none.
fn open_source(
    config: &Config,
    tools: &Tools,
    sink: &Arc<dyn Sink>,
    access: &HashMap<String, Access>,
    id: &str,
) -> Result<Arc<dyn ReleaseSource>, Failure> {
    let none = || Failure::new(Reason::Unknown, format!("the source {id} has no API to read releases from"));
    let source = config.sources.iter().find(|source| source.id == id).ok_or_else(none)?;
    let forge = source.forge.clone().or_else(|| Some((source.kind, source.api_url.clone()?)));
    let (kind, api_url) = forge.ok_or_else(none)?;
    let token = access.get(id).and_then(|access| access.credential.as_ref()).map(|it| it.secret.clone());
    let api = Api { id, url: &api_url, token, ca_file: &source.ca_file, proxy: &source.proxy };
    forge::open::release_source(kind, tools.connection(api, sink)).map(Arc::from)
}

/// Nothing to copy, and nothing that was copied before is touched: whoever switches releases on again finds them all.
fn switched_off(id: &str) -> ReleasesOutcome {
    let notes = vec!["releases are switched off at the source: there is nothing to copy.".to_owned()];
    ReleasesOutcome { notes, ..ReleasesOutcome::new(id, ReleaseVerdict::Current) }
}

fn skipped(id: &str, why: Option<&Failure>) -> ReleasesOutcome {
    let reason = why.map_or(Reason::Unknown, |failure| failure.reason());
    let failure = Failure::new(reason, "refs failed: no release was touched");
    ReleasesOutcome { failure: Some(failure), ..ReleasesOutcome::new(id, ReleaseVerdict::Skipped) }
}

/// What our mark names as the source: by name, and not by the forge's id, which a pipeline does not know.
fn source_name(repo: &Repo) -> String {
    format!("{}/{}", repo.folder, repo.path)
}

/// Our own stopping is no problem of any release; the others are told beside it.
fn stop(stopped: Option<Failure>, outcome: &mut ReleasesOutcome) {
    if outcome.problems.is_empty() && outcome.failure.is_none() {
        outcome.failure = stopped;
    } else if stopped.is_some() {
        outcome.notes.push("the run was stopped before everything was tried.".to_owned());
    }
}
