//! All destinations of a run: which mirror goes where, and each mirror pushed to all of them side by side.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use bstr::{BString, ByteSlice};
use futures_util::future::join_all;
use jiff::Timestamp;

use super::claims::{Claims, refuse_shared};
use super::decide::in_scope;
use super::moved::{self, Moved};
use super::open::{Choice, Opened, Place};
use super::way::Way;
use super::{PushJob, journal, push_mirror, skipped};
use crate::base::failure::{Failure, Reason};
use crate::base::text::digest;
use crate::config::Config;
use crate::forge::web_origin;
use crate::git::refs::{Advertisement, LocalRefs};
use crate::mirror::is_shallow;
use crate::mirror::tools::Tools;
use crate::model::advice::advise;
use crate::model::destination::{DestinationOutcome, PushVerdict};
use crate::model::{MirrorKey, Outcome, Repo, Status};
use crate::progress::Sink;
use crate::store::{Backoff, DestinationRecord, Note, Store};

/// What stands before the place in what is remembered of the rules of a push.
const AT: &str = " at ";

/// The destinations of a run and what is remembered of them.
#[derive(Default)]
pub struct Fan {
    ways: Vec<Way>,
    claims: Claims,
    records: HashMap<(MirrorKey, String), DestinationRecord>,
    /// The mirrors that were pushed to a place, by destination and place.
    holders: HashMap<(String, String), Vec<MirrorKey>>,
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
pub struct Pushable<'a> {
    pub repo: &'a Repo,
    /// The mirror's directory.
    pub dir: &'a Path,
    pub outcome: &'a Outcome,
    pub accepted: bool,
    /// The destinations are asked although nothing seems to have changed.
    pub full: bool,
    /// The source's refs, in a dry run that found no mirror.
    pub source: Option<&'a Advertisement>,
}

impl Fan {
    /// Opens the destinations of the configuration; one that cannot be opened fails for each mirror, and for no other.
    pub async fn open(config: &Config, records: Vec<DestinationRecord>, tools: &Tools, sink: &Arc<dyn Sink>) -> Self {
        let ways = join_all(config.destinations.iter().map(|destination| async {
            let opened = Opened::open(destination, tools, sink).await;
            Way {
                id: destination.id.clone(),
                choice: Choice::of(destination),
                releases: destination.releases.is_some(),
                opened,
                places: HashMap::new(),
            }
        }));
        let key = |record: DestinationRecord| ((record.key.clone(), record.destination.clone()), record);
        let records: HashMap<_, _> = records.into_iter().map(key).collect();
        Fan { ways: ways.await, claims: Claims::default(), holders: holders(&records), records }
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
            for repo in repos.iter().filter(|repo| way.choice.wants(&repo.path)) {
                let place = match &way.opened {
                    Ok(opened) => opened.spot(repo).and_then(|place| not_itself(opened, repo, place)),
                    Err(failure) => Err(failure.clone()),
                };
                way.places.insert(repo.key(), place);
            }
        }
        self.claims = refuse_shared(&mut self.ways, repos);
        for way in &self.ways {
            let Ok(Opened { forge: Some(forge), .. }) = &way.opened else { continue };
            let path = |place: &Place| match place {
                Place::Path(path) if !place.is_unsettled() => Some(path.clone()),
                _ => None,
            };
            forge.know(&way.places.values().flatten().filter_map(path).collect::<Vec<_>>());
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
            (Ok(opened), Some(Ok(spot))) => {
                let record = self.records.get(&(key.clone(), way.id.clone()));
                let as_now = |record: &&DestinationRecord| {
                    record.rules.starts_with(&opened.digest()) && is_at(place_on(record, opened), spot)
                };
                record.filter(as_now).is_some_and(|record| record.verdict.in_step() && record.former.is_empty())
            }
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
        turn: &Pushable<'_>,
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
        let ready = ready(turn, tools).await;
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
        turn: &Pushable<'_>,
        ready: &Result<(LocalRefs, Option<BString>), Failure>,
        config: &Config,
        (store, tools, sink): (Option<&Store>, &Tools, &dyn Sink),
    ) -> DestinationOutcome {
        let key = (turn.repo.key(), way.id.clone());
        let (opened, place) = match self.place_of(place, turn.repo).await {
            Ok(found) => found,
            Err(failure) => {
                let failed = DestinationOutcome::failed(&way.id, turn.repo.path.to_string(), failure);
                // By no rules at all: whatever comes next is tried.
                let rules = (String::new(), self.former(&key).to_vec());
                return self.remember(key, failed, rules, config, store, tools).await;
            }
        };
        let (refs, head) = match ready {
            Ok(ready) => ready,
            Err(failure) => return skipped(opened, &place.to_string(), failure),
        };
        let refs_now = fingerprint(opened, refs, head.as_ref());
        let rules = format!("{} refs {refs_now}{AT}{} {place}", opened.digest(), opened.server());
        let moved = self.follow(&key, opened, &place, config, tools).await;
        if let Some(outcome) = self.known(&key, &rules, turn.full, config.watch.then(|| tools.now())) {
            // Its old copies may be others than the last time.
            if !outcome.verdict.in_step() || moved.former == self.former(&key) {
                return DestinationOutcome { notes: moved.notes, ..outcome };
            }
            let outcome = DestinationOutcome { notes: moved.notes, ..outcome };
            return self.remember(key, outcome, (rules, moved.former), config, store, tools).await;
        }
        let job = PushJob {
            repo: turn.repo,
            mirror: turn.dir,
            refs,
            head: head.as_ref().map(|head| head.as_bstr()),
            destination: opened,
            place: &place,
            holder: self.holder(&key, opened, &place),
            cliff: config.cliff,
            accepted: turn.accepted,
            store,
            dry_run: config.dry_run || !config.push,
            has_objects: turn.source.is_none(),
        };
        let mut outcome = push_mirror(&job, tools, sink).await;
        outcome.kind = Some(opened.config.kind);
        outcome.notes.extend(moved.notes);
        outcome.failure = outcome.failure.map(|failure| advise(failure, Some(opened.config.kind)));
        self.remember(key, outcome, (rules, moved.former), config, store, tools).await
    }

    /// Where its earlier copies lie that were not removed yet.
    fn former(&self, key: &(MirrorKey, String)) -> &[String] {
        self.records.get(key).map_or(&[], |record| &record.former)
    }

    /// Where a repository goes, when nothing stands against it.
    async fn place_of<'p>(
        &self,
        place: Result<(&'p Opened, Place), Failure>,
        repo: &Repo,
    ) -> Result<(&'p Opened, Place), Failure> {
        let (opened, spot) = place?;
        let place = not_itself(opened, repo, opened.place_with_owner(&spot).await?)?;
        self.claims.check(&self.ways, opened, repo, &place).await?;
        Ok((opened, place))
    }

    /// What is known of a place without asking it: it was in step with just these refs, or it failed with them and the
    /// pause before another try, which grows under `--watch`, is not over at `now`.
    fn known(
        &self,
        key: &(MirrorKey, String),
        rules: &str,
        full: bool,
        now: Option<Timestamp>,
    ) -> Option<DestinationOutcome> {
        let record = self.records.get(key).filter(|record| record.rules == rules && !full)?;
        if record.verdict.in_step() {
            return Some(DestinationOutcome::new(&key.1, &record.place, PushVerdict::Current));
        }
        let waits = now.zip(record.retry_at).is_some_and(|(now, time)| now < time);
        let outcome = || DestinationOutcome::new(&key.1, &record.place, record.verdict);
        waits.then(|| DestinationOutcome { failure: record.failure.clone(), ..outcome() })
    }

    /// Lets the copy follow when its place is another than before, and looks for old copies that were left behind.
    async fn follow(
        &self,
        key: &(MirrorKey, String),
        opened: &Opened,
        place: &Place,
        config: &Config,
        tools: &Tools,
    ) -> Moved {
        let Some(record) = self.records.get(key) else { return Moved::default() };
        let here = place.to_string();
        let old = place_on(record, opened).filter(|old| record.last_success.is_some() && *old != here);
        if old.is_none() && record.former.is_empty() {
            return Moved::default();
        }
        // One that is not asked any more in this run is not asked this either.
        if opened.patience.over().is_some() {
            return Moved { former: record.former.clone(), notes: Vec::new() };
        }
        let taken = |former: &str| self.claims.is_taken(opened, former);
        let dry_run = config.dry_run || !config.push;
        moved::follow(opened, place, old, &record.former, taken, (dry_run, tools)).await
    }

    /// Another mirror that was pushed to this place, unless this one was as well.
    fn holder(&self, key: &(MirrorKey, String), opened: &Opened, place: &Place) -> Option<&MirrorKey> {
        let here = place.to_string();
        let own = self.records.get(key).filter(|record| record.last_success.is_some());
        if own.is_some_and(|record| place_on(record, opened) == Some(here.as_str())) {
            return None;
        }
        let spelled = format!("{} {here}", opened.server());
        self.holders.get(&(key.1.clone(), spelled))?.iter().find(|holder| **holder != key.0)
    }

    /// Writes down how a mirror came out there, unless that was cut short or nothing was to be changed.
    async fn remember(
        &self,
        key: (MirrorKey, String),
        mut outcome: DestinationOutcome,
        (rules, former): (String, Vec<String>),
        config: &Config,
        store: Option<&Store>,
        tools: &Tools,
    ) -> DestinationOutcome {
        let cancelled = outcome.failure.as_ref().is_some_and(|failure| failure.reason() == Reason::Cancelled);
        if let Some(store) = store.filter(|_| !cancelled && config.push) {
            let backoff = Backoff::of_destination(config.interval);
            let pace = (tools.now(), backoff);
            let record = record(self.records.get(&key), key.0, &outcome, (rules, former), pace);
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
async fn ready(turn: &Pushable<'_>, tools: &Tools) -> Result<(LocalRefs, Option<BString>), Failure> {
    if turn.outcome.verdict.status() != Status::Success {
        let nothing = || Failure::new(Reason::Unknown, "the mirror is not up to date");
        return Err(turn.outcome.failure.clone().unwrap_or_else(nothing));
    }
    if is_shallow(turn.dir) {
        let message = "the source is shallow: a history that is cut off is not mirrored on as if it were whole";
        return Err(Failure::new(Reason::Held, message).with_hint("complete the source with `git fetch --unshallow`."));
    }
    if let Some(source) = turn.source {
        let refs = LocalRefs { refs: source.refs.clone(), ..LocalRefs::default() };
        return Ok((refs, source.head.clone()));
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
    (rules, former): (String, Vec<String>),
    (now, backoff): (Timestamp, Backoff),
) -> DestinationRecord {
    let last = previous.and_then(|record| record.last_success);
    // Until it arrived at another place, the copy is where it was.
    let was = previous.filter(|_| last.is_some() && !outcome.verdict.in_step()).and_then(place_of);
    let rules = match was {
        Some(was) => format!("{}{AT}{was}", rules.rsplit_once(AT).map_or(rules.as_str(), |(rules, _)| rules)),
        None => rules,
    };
    let failures_in_a_row = match outcome.verdict.in_step() {
        true => 0,
        false => previous.map_or(0, |record| record.failures_in_a_row).saturating_add(1),
    };
    let asked = outcome.failure.as_ref().and_then(Failure::retry_after);
    DestinationRecord {
        key,
        destination: outcome.destination.clone(),
        place: outcome.place.clone(),
        rules,
        former,
        verdict: outcome.verdict,
        failure: outcome.failure.clone(),
        failures_in_a_row,
        retry_at: (failures_in_a_row > 0).then(|| backoff.next(failures_in_a_row, asked, now)),
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

/// The mirrors that arrived at each place.
fn holders(records: &HashMap<(MirrorKey, String), DestinationRecord>) -> HashMap<(String, String), Vec<MirrorKey>> {
    let mut holders: HashMap<_, Vec<MirrorKey>> = HashMap::new();
    for ((key, way), record) in records.iter().filter(|(_, record)| record.last_success.is_some()) {
        if let Some(place) = place_of(record) {
            holders.entry((way.clone(), place.to_owned())).or_default().push(key.clone());
        }
    }
    holders
}

/// The server and the place that a record is about, as the place was settled then.
fn place_of(record: &DestinationRecord) -> Option<&str> {
    record.rules.rsplit_once(AT).map(|(_, place)| place)
}

/// The place that a record is about, when it is on this server.
fn place_on<'a>(record: &'a DestinationRecord, opened: &Opened) -> Option<&'a str> {
    place_of(record)?.strip_prefix(opened.server())?.strip_prefix(' ')
}

/// Whether what was pushed to `place` was pushed to where `spot` is; whose namespace it is where the configuration names
/// none, only the forge can say.
fn is_at(place: Option<&str>, spot: &Place) -> bool {
    let spelled = spot.to_string();
    match spot.is_unsettled() {
        true => place.is_some_and(|place| place.rsplit('/').next() == Some(spelled.as_str())),
        false => place == Some(spelled.as_str()),
    }
}
