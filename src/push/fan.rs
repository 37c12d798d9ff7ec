//! All destinations of a run: which mirror goes where, and each mirror pushed to all of them side by side.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bstr::{BString, ByteSlice};
use futures_util::future::join_all;
use jiff::Timestamp;

use super::decide::in_scope;
use super::open::{Choice, Opened, Place};
use super::{PushJob, bring_up, journal, skipped};
use crate::advice::advise;
use crate::config::Config;
use crate::failure::{Failure, Reason};
use crate::forge::web_origin;
use crate::git::refs::LocalRefs;
use crate::mirror::is_shallow;
use crate::model::destination::{DestinationOutcome, PushVerdict};
use crate::model::{MirrorKey, Outcome, Repo, Status};
use crate::progress::Sink;
use crate::store::{DestinationRecord, Note, Store};
use crate::text::digest;
use crate::tools::Tools;

/// How long a destination that failed is left alone under `--watch`, as long as nothing new is to be pushed.
const REST: Duration = Duration::from_secs(15 * 60);

/// The destinations of a run and what is remembered of them.
#[derive(Default)]
pub struct Fan {
    ways: Vec<Way>,
    records: HashMap<(MirrorKey, String), DestinationRecord>,
}

/// One destination, as far as it could be opened.
struct Way {
    id: String,
    choice: Choice,
    /// It gets releases, too.
    releases: bool,
    opened: Result<Opened, Failure>,
    /// Where each repository goes, as far as it is known without asking, or why it goes nowhere.
    places: HashMap<MirrorKey, Result<Place, Failure>>,
}

/// Where the releases of a repository go.
pub struct ReleasePlace<'a> {
    /// The destination's id.
    pub id: &'a str,
    pub opened: Result<&'a Opened, Failure>,
    /// Where on it, or why nowhere.
    pub spot: Result<Place, Failure>,
}

/// What a mirror is when its destinations' turn comes.
pub struct Turn<'a> {
    pub repo: &'a Repo,
    /// The mirror's directory.
    pub dir: &'a Path,
    pub outcome: &'a Outcome,
    pub accepted: bool,
    /// The destinations are asked although nothing seems to have changed.
    pub full: bool,
}

impl Fan {
    /// Opens the destinations of the configuration; one that cannot be opened fails for each mirror, and for no other.
    pub async fn open(config: &Config, records: Vec<DestinationRecord>, tools: &Tools, sink: &Arc<dyn Sink>) -> Self {
        let ways = join_all(config.destinations.iter().map(|destination| async {
            let opened = Opened::open(destination, config, tools, sink).await;
            Way {
                id: destination.id.clone(),
                choice: Choice::of(destination),
                releases: destination.releases.is_some(),
                opened,
                places: HashMap::new(),
            }
        }));
        let key = |record: DestinationRecord| ((record.key.clone(), record.destination.clone()), record);
        Fan { ways: ways.await, records: records.into_iter().map(key).collect() }
    }

    /// Whether there is any destination.
    pub fn is_empty(&self) -> bool {
        self.ways.is_empty()
    }

    /// Closes branch rules that a killed run left open; returns what a person should know.
    pub async fn repair(&self, store: Option<&Store>) -> Vec<String> {
        let opened: Vec<&Opened> = self.ways.iter().filter_map(|way| way.opened.as_ref().ok()).collect();
        journal::repair(store, &opened).await
    }

    /// Finds the place of each repository, and refuses those that two of them would share.
    ///
    /// No destination is asked anything: one that is dead must not hold back what comes next.
    pub fn assign(&mut self, repos: &[Repo]) {
        for way in &mut self.ways {
            let mut taken: HashMap<String, MirrorKey> = HashMap::new();
            for repo in repos.iter().filter(|repo| way.choice.wants(&repo.path)) {
                let mut place = match &way.opened {
                    Ok(opened) => opened.spot(repo).and_then(|place| not_itself(opened, repo, place)),
                    Err(failure) => Err(failure.clone()),
                };
                if let Ok(found) = &place
                    && let Some(other) = taken.insert(found.to_string().to_lowercase(), repo.key())
                {
                    let failure = shared(found);
                    way.places.insert(other, Err(failure.clone()));
                    place = Err(failure);
                }
                way.places.insert(repo.key(), place);
            }
        }
    }

    /// The destinations that get this repository's releases.
    pub fn release_places(&self, repo: &Repo) -> impl Iterator<Item = ReleasePlace<'_>> {
        let key = repo.key();
        self.ways.iter().filter(|way| way.releases).filter_map(move |way| {
            let spot = way.places.get(&key)?.clone();
            Some(ReleasePlace { id: &way.id, opened: way.opened.as_ref().map_err(Clone::clone), spot })
        })
    }

    /// The mirrors that some destination has not got as it should, as far as is remembered.
    pub fn behind<'a>(&self, repos: impl Iterator<Item = &'a Repo>) -> HashSet<MirrorKey> {
        let settled = |way: &Way, key: &MirrorKey| match (&way.opened, way.places.get(key)) {
            (Ok(opened), Some(Ok(_))) => self
                .records
                .get(&(key.clone(), way.id.clone()))
                .is_some_and(|record| record.verdict.in_step() && record.rules.starts_with(&opened.digest())),
            // It does not go there.
            (_, None) => true,
            _ => false,
        };
        repos.map(Repo::key).filter(|key| !self.ways.iter().all(|way| settled(way, key))).collect()
    }

    /// The destinations that have not got this mirror's refs as they should, as far as is remembered.
    pub fn behind_of(&self, key: &MirrorKey) -> Vec<DestinationOutcome> {
        let goes = self.ways.iter().filter(|way| way.places.contains_key(key));
        let behind = goes.filter_map(|way| match self.records.get(&(key.clone(), way.id.clone())) {
            Some(record) if record.verdict.in_step() => None,
            Some(record) => {
                let outcome = DestinationOutcome::new(&way.id, &record.place, record.verdict);
                Some(DestinationOutcome { failure: record.failure.clone(), ..outcome })
            }
            None => {
                let failure = Failure::new(Reason::Unknown, "it is not pushed there yet");
                let failure = failure.with_hint("run `holocron` first: releases follow the refs.");
                Some(DestinationOutcome::failed(&way.id, key.id.as_str(), failure))
            }
        });
        behind.collect()
    }

    /// Pushes one mirror to every destination it goes to; one that fails holds no other back.
    pub async fn push(
        &self,
        turn: &Turn<'_>,
        config: &Config,
        store: Option<&Store>,
        tools: &Tools,
        sink: &dyn Sink,
    ) -> Vec<DestinationOutcome> {
        let key = turn.repo.key();
        // What was not tried, or is kept back by its forge, is no reason to speak of destinations.
        if self.ways.is_empty() || turn.outcome.verdict.status() == Status::Skipped {
            return Vec::new();
        }
        let ready = ready(turn, config, tools).await;
        let pushes = self.ways.iter().filter_map(|way| {
            let place = way.places.get(&key)?.clone();
            Some((way, place.and_then(|place| Ok((way.opened.as_ref().map_err(Clone::clone)?, place)))))
        });
        join_all(pushes.map(|(way, place)| self.push_one(way, place, turn, &ready, config, (store, tools, sink)))).await
    }

    async fn push_one(
        &self,
        way: &Way,
        place: Result<(&Opened, Place), Failure>,
        turn: &Turn<'_>,
        ready: &Result<(LocalRefs, Option<BString>), Failure>,
        config: &Config,
        (store, tools, sink): (Option<&Store>, &Tools, &dyn Sink),
    ) -> DestinationOutcome {
        let key = (turn.repo.key(), way.id.clone());
        let settled = match place {
            Ok((opened, spot)) => {
                let place = opened.settle(&spot).await;
                place.and_then(|place| not_itself(opened, turn.repo, place)).map(|place| (opened, place))
            }
            Err(failure) => Err(failure),
        };
        let (opened, place) = match settled {
            Ok(found) => found,
            Err(failure) => {
                let failed = DestinationOutcome::failed(&way.id, turn.repo.path.to_string(), failure);
                // By no rules at all: whatever comes next is tried.
                return self.remember(key, failed, String::new(), config, store, tools).await;
            }
        };
        let (refs, head) = match ready {
            Ok(ready) => ready,
            Err(failure) => return skipped(opened, &place.to_string(), failure),
        };
        let rules = format!("{} refs {}", opened.digest(), fingerprint(opened, refs, head.as_ref()));
        let known = self.records.get(&key).filter(|record| record.rules == rules && !turn.full);
        match known {
            Some(record) if record.verdict.in_step() => {
                return DestinationOutcome::new(&way.id, &record.place, PushVerdict::Current);
            }
            // It failed with just these refs a moment ago: under --watch it is given a rest.
            Some(record) if config.watch && tools.since(record.last_attempt) < REST => {
                let outcome = DestinationOutcome::new(&way.id, &record.place, record.verdict);
                return DestinationOutcome { failure: record.failure.clone(), ..outcome };
            }
            _ => {}
        }
        let job = PushJob {
            repo: turn.repo,
            mirror: turn.dir,
            refs,
            head: head.as_ref().map(|head| head.as_bstr()),
            destination: opened,
            place: &place,
            cliff: config.cliff,
            accepted: turn.accepted,
            store,
            dry_run: config.dry_run || !config.push,
        };
        if config.dry_run && !turn.dir.is_dir() {
            let outcome = DestinationOutcome::new(&way.id, place.to_string(), PushVerdict::Pushed);
            return DestinationOutcome { notes: vec!["would get what is cloned.".to_owned()], ..outcome };
        }
        let mut outcome = bring_up(&job, tools, sink).await;
        outcome.kind = Some(opened.config.kind);
        outcome.failure = outcome.failure.map(|failure| advise(failure, Some(opened.config.kind)));
        self.remember(key, outcome, rules, config, store, tools).await
    }

    /// Writes down how a mirror came out there, unless that was cut short or nothing was to be changed.
    async fn remember(
        &self,
        key: (MirrorKey, String),
        mut outcome: DestinationOutcome,
        rules: String,
        config: &Config,
        store: Option<&Store>,
        tools: &Tools,
    ) -> DestinationOutcome {
        let cancelled = outcome.failure.as_ref().is_some_and(|failure| failure.reason() == Reason::Cancelled);
        if let Some(store) = store.filter(|_| !cancelled && config.push) {
            let record = record(self.records.get(&key), key.0, &outcome, rules, tools.now());
            let recorded = match record.verdict {
                PushVerdict::Current => store.note(Note::Destination(Box::new(record))).await,
                _ => store.record_destination(&record).await,
            };
            if let Err(error) = recorded {
                outcome.failure.get_or_insert(error.into());
            }
        }
        outcome
    }
}

/// The mirror's refs and HEAD, when it may be pushed on.
async fn ready(turn: &Turn<'_>, config: &Config, tools: &Tools) -> Result<(LocalRefs, Option<BString>), Failure> {
    if turn.outcome.verdict.status() != Status::Success {
        let nothing = || Failure::new(Reason::Unknown, "the mirror is not up to date");
        return Err(turn.outcome.failure.clone().unwrap_or_else(nothing));
    }
    if is_shallow(turn.dir) {
        let message = "the source is shallow: a history that is cut off is not mirrored on as if it were whole";
        return Err(Failure::new(Reason::Held, message).with_hint("complete the source with `git fetch --unshallow`."));
    }
    if config.dry_run && !turn.dir.is_dir() {
        return Ok((LocalRefs::default(), None));
    }
    let refs = tools.git.local_refs(turn.dir).await?;
    let head = fs::read(turn.dir.join("HEAD")).ok();
    let branch =
        head.as_deref().and_then(|text| text.strip_prefix(b"ref: ")).map(|name| BString::from(name.trim_ascii()));
    Ok((refs, branch))
}

/// A text that is another when the refs that belong there are.
fn fingerprint(opened: &Opened, refs: &LocalRefs, head: Option<&BString>) -> String {
    digest(&format!("{head:?} {:?}", in_scope(&refs.refs, opened.config.refs)))
}

fn record(
    previous: Option<&DestinationRecord>,
    key: MirrorKey,
    outcome: &DestinationOutcome,
    rules: String,
    now: Timestamp,
) -> DestinationRecord {
    let last = previous.and_then(|record| record.last_success);
    DestinationRecord {
        key,
        destination: outcome.destination.clone(),
        place: outcome.place.clone(),
        rules,
        verdict: outcome.verdict,
        failure: outcome.failure.clone(),
        last_attempt: now,
        last_success: if outcome.verdict.in_step() { Some(now) } else { last },
    }
}

/// Refuses a place that is the repository's own.
fn not_itself(opened: &Opened, repo: &Repo, place: Place) -> Result<Place, Failure> {
    let same = match &place {
        Place::Path(path) => {
            let folder = opened.config.api_url.as_ref().map(|api| web_origin(api).folder());
            folder.as_deref() == Some(&repo.folder) && path.to_string().eq_ignore_ascii_case(&repo.path.to_string())
        }
        Place::Url(url) => url.same_repo(&repo.url),
    };
    match same {
        false => Ok(place),
        true => {
            let failure = Failure::new(Reason::Held, format!("{place} is the source itself: nothing was pushed"));
            Err(failure.with_hint("give the destination another `namespace`."))
        }
    }
}

fn shared(place: &Place) -> Failure {
    let message = format!("two repositories would land in {place}: neither was pushed there");
    let hint = "put `{namespace}` into the destination's namespace or name, or exclude one of them.";
    Failure::new(Reason::Held, message).with_hint(hint)
}
