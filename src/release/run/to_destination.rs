//! The releases of one repository at one destination: plan, then act, or say what would be done.

use super::{Projected, Projector, skipped, source_name, stop};
use crate::base::failure::{Failure, Reason};
use crate::config::releases::ReleaseScope;
use crate::forge::release::ReleaseDestination;
use crate::model::destination::{DestinationOutcome, PushVerdict};
use crate::model::projection::{MadeRelease, ReleaseVerdict, ReleasesOutcome};
use crate::model::release::{Features, Release};
use crate::model::{RepoPath, Status};
use crate::push::fan::ReleasePlace;
use crate::push::open::Place;
use crate::release::act::{Act, Done};
use crate::release::backup::Backup;
use crate::release::plan::{Plan, is_ours, plan};
use crate::release::state::identity;
use crate::release::wish::{Rules, select};
use crate::store::ReleaseLook;

impl Projector<'_> {
    /// Brings one destination in step with the source's listing.
    pub(super) async fn to_destination(&self, turn: &Projected<'_>, place: &ReleasePlace<'_>) -> ReleasesOutcome {
        match refs_are_there(turn, place.id) {
            Err(failure) => skipped(place.id, failure.as_ref()),
            Ok(()) => match self.compare_and_act(turn, place).await {
                Ok(outcome) => outcome,
                Err(failure) => ReleasesOutcome::failed(place.id, failure),
            },
        }
    }

    async fn compare_and_act(
        &self,
        turn: &Projected<'_>,
        place: &ReleasePlace<'_>,
    ) -> Result<ReleasesOutcome, Failure> {
        let (id, key) = (place.id, turn.repo.key());
        let opened = place.opened.clone()?;
        let (Some(scope), Some(forge)) = (&opened.config.releases, &opened.releases) else {
            let mut outcome = ReleasesOutcome::new(id, ReleaseVerdict::Current);
            outcome.notes.push(format!("unsupported: {} has no releases.", opened.config.kind));
            return Ok(outcome);
        };
        let look = self.looks.get(&(key.clone(), id.to_owned()));
        let settings = crate::base::text::digest(&format!("{} {scope:?}", opened.digest()));
        if self.rests(turn, look, &settings) {
            return Ok(ReleasesOutcome::new(id, ReleaseVerdict::Current));
        }
        let path = match opened.place_with_owner(place.spot.as_ref().map_err(Clone::clone)?).await? {
            Place::Path(path) => path,
            Place::Url(url) => return Err(Failure::new(Reason::Unknown, format!("{url} has no releases"))),
        };
        let listing = self.listing(turn).await?;
        let made = self.made(&key, id).await?;
        let features = forge.features();
        let wanted = format!("{settings}-{}", digest(listing, &path.to_string()));
        if self.is_known_in_step(turn, id, look, &wanted) {
            return Ok(unchanged(id, listing, scope, &features, &made));
        }
        // A place without the repository, as an empty source has none, is not asked what it is not to have.
        if made.is_empty() && listing.is_empty() && !scope.prune {
            return Ok(self.conclude(turn, ReleasesOutcome::new(id, ReleaseVerdict::Current), wanted).await);
        }
        let there = self.there(turn, id, forge.as_ref(), &path).await?;
        let mirror = self.tools.storage.path(&turn.outcome.mirror);
        let tags = self.tags(&mirror).await?;
        let source = source_name(turn.repo);
        let stored_name = |name: &str| forge.stored_name(name);
        let only = |tag: &str| self.only(tag);
        let rules = Rules { scope, features: &features, source: &source, stored_name: &stored_name, only: &only };
        let mut plan = plan(listing, &there, &made, &tags, &rules);
        let known = |release: &Release| made.iter().find(|made| made.tag == release.tag);
        let ours = there.iter().filter(|release| is_ours(release, known(release), &rules)).count();
        let mut outcome = ReleasesOutcome::new(id, ReleaseVerdict::Current);
        tell(&plan, &mut outcome);
        if self.config.dry_run || !self.config.push {
            return Ok(preview(&plan, outcome));
        }
        if let Some(failure) = self.guard(plan.deletions.len(), ours, turn.repo) {
            outcome.failure = Some(failure);
            plan.deletions.clear();
        }
        let act = Act {
            destination: id,
            forge: forge.as_ref(),
            repo: &path,
            key: &key,
            source: turn.source.as_ref(),
            listing,
            tags: &tags,
            rules: &rules,
            transfer: &self.transfer,
            backup: self.config.releases.is_some().then(|| Backup::of(&mirror)),
            store: self.store,
        };
        add(act.carry_out(plan).await, &mut outcome);
        Ok(self.conclude(turn, outcome, wanted).await)
    }

    /// Whether nothing can have changed there since it was last compared and in step.
    fn is_known_in_step(&self, turn: &Projected<'_>, id: &str, look: Option<&ReleaseLook>, wanted: &str) -> bool {
        let due = |look: &ReleaseLook| self.config.full || self.tools.since(look.compared_at) >= self.config.full_every;
        // Where refs were pushed, tags came or the repository was made anew, and its releases went with the old one.
        let still = !was_pushed(turn, id) && !self.has_early(turn.repo, id);
        still && look.is_some_and(|look| look.rules == wanted && look.in_step && !due(look))
    }

    /// The releases that the destination has now.
    async fn there(
        &self,
        turn: &Projected<'_>,
        id: &str,
        forge: &dyn ReleaseDestination,
        path: &RepoPath,
    ) -> Result<Vec<Release>, Failure> {
        let no_repository = |failure: &Failure| failure.reason() == Reason::RemoteNotFound;
        match forge.releases(path).await {
            // A run would make the repository first.
            Err(failure) if self.config.dry_run && no_repository(&failure) && was_pushed(turn, id) => Ok(Vec::new()),
            Err(failure) if is_refused(&failure) && forge.are_off(path).await => Err(off_there(path, failure)),
            listed => listed.map_err(|failure| not_there(path, failure)),
        }
    }
}

/// Whether the refs of this repository arrived; `Err` with the reason when they did not.
fn refs_are_there(turn: &Projected<'_>, id: &str) -> Result<(), Option<Failure>> {
    if turn.outcome.verdict.status() != Status::Success {
        return Err(turn.outcome.failure.clone());
    }
    match turn.outcome.destinations.iter().find(|one| one.destination == id) {
        Some(one) if !one.verdict.in_step() => Err(one.failure.clone()),
        // Not spoken of: it was in step before, and nothing has changed.
        _ => Ok(()),
    }
}

/// Whether refs went there in this run, or would.
fn was_pushed(turn: &Projected<'_>, id: &str) -> bool {
    let pushed = |one: &DestinationOutcome| matches!(one.verdict, PushVerdict::Pushed | PushVerdict::WouldPush);
    turn.outcome.destinations.iter().any(|one| one.destination == id && pushed(one))
}

fn is_refused(failure: &Failure) -> bool {
    matches!(failure.reason(), Reason::Forbidden | Reason::RemoteNotFound)
}

fn off_there(path: &RepoPath, failure: Failure) -> Failure {
    Failure::new(Reason::Forbidden, format!("releases are switched off in {path}"))
        .with_evidence(failure.message())
        .with_hint("switch them on in the repository's settings, or set `releases: off` for this destination.")
}

/// The refs were there when they were looked at last; where the repository is no more, they have to come first.
fn not_there(path: &RepoPath, failure: Failure) -> Failure {
    match failure.reason() {
        Reason::RemoteNotFound => Failure::new(
            Reason::RemoteNotFound,
            format!("{path} is not there any more, or the token may not see it: no release was touched"),
        )
        .with_evidence(failure.message())
        .with_hint("run again with --full: a repository that is missing is made and pushed again."),
        _ => failure,
    }
}

/// How a place stands where nothing has changed since it was in step: of what it was to have, all that we did not make is
/// somebody else's.
fn unchanged(
    id: &str,
    listing: &[Release],
    scope: &ReleaseScope,
    features: &Features,
    made: &[MadeRelease],
) -> ReleasesOutcome {
    let chosen = select(listing, scope).into_iter().filter(|release| features.drafts || !release.draft);
    let (ours, foreign): (Vec<&Release>, Vec<&Release>) =
        chosen.partition(|release| made.iter().any(|made| made.tag == release.tag));
    let mut outcome = ReleasesOutcome::new(id, ReleaseVerdict::Current);
    (outcome.counts.in_sync, outcome.counts.foreign) = (ours.len(), foreign.len());
    let foreign: Vec<String> = foreign.into_iter().map(|release| release.tag.clone()).collect();
    tell_tags(&foreign, &[], &mut outcome);
    outcome
}

/// A digest of everything that should be at a place.
fn digest(listing: &[Release], place: &str) -> String {
    let files = |release: &Release| -> Vec<(String, String)> {
        release.assets.iter().map(|asset| (asset.name.clone(), identity(asset))).collect()
    };
    let all: Vec<_> = listing
        .iter()
        .map(|one| {
            let flags = (one.draft, one.prerelease, one.latest, one.published_at);
            (&one.tag, &one.title, &one.notes, flags, files(one), &one.links)
        })
        .collect();
    crate::base::text::digest(&format!("{place} {all:?}"))
}

/// Puts what a plan leaves alone, and why, into the outcome.
fn tell(plan: &Plan, outcome: &mut ReleasesOutcome) {
    outcome.counts.in_sync = plan.in_sync.len();
    outcome.counts.foreign = plan.foreign.len();
    outcome.counts.deferred = plan.deferred.len();
    outcome.problems.extend(plan.problems.iter().cloned());
    outcome.notes.extend(plan.notes.iter().cloned());
    tell_tags(&plan.foreign, &plan.deferred, outcome);
}

fn tell_tags(foreign: &[String], deferred: &[String], outcome: &mut ReleasesOutcome) {
    let foreign = foreign.iter().map(|tag| format!("{tag} is somebody else's release there, and stays as it is."));
    let deferred = deferred.iter().map(|tag| format!("{tag} is deferred: the tag is not there."));
    outcome.notes.extend(foreign.chain(deferred));
}

/// What a dry run says.
fn preview(plan: &Plan, mut outcome: ReleasesOutcome) -> ReleasesOutcome {
    outcome.notes.extend(plan.works.iter().map(|work| format!("would {work}.")));
    outcome.notes.extend(plan.deletions.iter().map(|release| format!("would delete the release {}.", release.tag)));
    let created = plan.works.iter().filter(|work| work.there.is_none()).count();
    outcome.counts.created = created;
    outcome.counts.updated = plan.works.len() - created;
    outcome.counts.deleted = plan.deletions.len();
    outcome.verdict = match (outcome.problems.is_empty() && plan.deferred.is_empty(), plan.is_empty()) {
        (false, _) => ReleaseVerdict::Behind,
        (true, false) => ReleaseVerdict::WouldProject,
        (true, true) => ReleaseVerdict::Current,
    };
    outcome
}

fn add(done: Done, outcome: &mut ReleasesOutcome) {
    let counts = &mut outcome.counts;
    counts.add(&done.counts);
    counts.foreign += done.foreign.len();
    counts.deferred += done.deferred.len();
    tell_tags(&done.foreign, &done.deferred, outcome);
    outcome.problems.extend(done.problems);
    stop(done.stopped, outcome);
}
