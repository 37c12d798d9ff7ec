//! A push: look, decide, push, deal with what was refused, verify.

mod default_branch;
mod former;

use std::collections::{BTreeMap, BTreeSet};

use bstr::{BStr, BString, ByteSlice};

use super::decide::{Ancestry, decide, differences, in_scope, pushes};
use super::plan::PushPlan;
use super::protect::{Opener, Opening};
use super::refusal::{self, Refusals};
use super::shadow::{Route, blocked_by, route};
use super::{PushJob, slice};
use crate::base::failure::{Failure, Reason};
use crate::base::text;
use crate::base::url::RemoteUrl;
use crate::config::destination::Divergence;
use crate::forge::destination::Need;
use crate::git::refs::{Advertisement, Change, Oid, RefMap, RefUpdate};
use crate::git::{History, PushEdit, Pushed, RefResult, Remote};
use crate::mirror::lost_by_moves;
use crate::mirror::tools::Tools;
use crate::model::destination::{DestinationOutcome, PushCounts, PushVerdict, RefusedRef, Target};
use crate::progress::{Event, Sink};

pub(super) async fn push_to_remote(
    job: &PushJob<'_>,
    remote: &Remote,
    target: Option<&Target>,
    created: bool,
    tools: &Tools,
    sink: &dyn Sink,
) -> DestinationOutcome {
    let id = &job.destination.config.id;
    let what = format!("{} on {id}", job.repo.path);
    let push = Push { job, remote, target, created, tools, sink };
    let result = tools.retry(&what, sink, || push.compare_and_push()).await;
    result.unwrap_or_else(|failure| DestinationOutcome::failed(id, remote.url.to_string(), failure))
}

struct Push<'a> {
    job: &'a PushJob<'a>,
    remote: &'a Remote,
    target: Option<&'a Target>,
    created: bool,
    tools: &'a Tools,
    sink: &'a dyn Sink,
}

/// The most pushes that are made of one because a hook declined it whole.
const MOST_PARTS: usize = 200;
/// The same while no ref at all was accepted: then the hook most likely declines everything.
const FRUITLESS_PARTS: usize = 16;

impl Push<'_> {
    /// Compares the mirror with the destination, brings the difference there, and looks whether it arrived.
    async fn compare_and_push(&self) -> Result<DestinationOutcome, Failure> {
        let there = self.look().await?;
        if self.job.has_objects {
            self.may_overwrite(&there).await?;
        }
        let (mut plan, forced) = self.decide(&there).await?;
        let mut outcome =
            DestinationOutcome::new(&self.job.destination.config.id, self.remote.url.to_string(), PushVerdict::Current);
        let mut refusals: Refusals = self.route(&plan, &there).blocked.into_iter().collect();
        refusals.extend(plan.unfit.iter().map(|unfit| (BString::from(unfit.name.as_str()), unfit.clone())));
        outcome.notes.append(&mut plan.notes);
        if self.job.dry_run {
            return Ok(self.preview(&plan, refusals, outcome));
        }
        let was_set = match self.default_branch_first(&there, &mut plan, &mut refusals).await {
            Ok(set) => set,
            Err(failure) => {
                self.leave_old_defaults(&there, &failure, &mut plan, &mut refusals);
                false
            }
        };
        self.default_branch_alone(&there, &mut plan, &mut refusals).await?;
        // The default branch may have gone ahead.
        let pushes = self.route(&plan, &there).pushes;
        for (at, push) in pushes.iter().enumerate() {
            let left = push.iter().filter(|edit| !refusals.contains_key(&edit.name)).cloned().collect::<Vec<_>>();
            let refused = self.send(&left).await?;
            refusals.extend(blocked_by(refused.keys(), &pushes[at + 1..]));
            refusals.extend(refused);
        }
        self.open_rules(&plan, &forced, &mut refusals, &mut outcome).await;
        let now = self.verify(&plan, &there, &refusals).await?;
        let now = now.as_ref().unwrap_or(&there);
        let set = self.default_branch_last(&there, now, was_set, &refusals).await;
        outcome.verified = true;
        outcome.refs = count(&plan, &forced, &refusals);
        let pushed = outcome.refs.changed() > 0;
        outcome.verdict = verdict(&plan, &refusals, pushed);
        if outcome.failure.is_some() && outcome.verdict.in_step() {
            outcome.verdict = PushVerdict::Failed;
        }
        outcome.failure = outcome.failure.take().or_else(|| held(self.job, &plan));
        outcome.refused =
            refusal::once_each(refusals.into_values().chain(plan.diverged.iter().map(diverged)).collect());
        self.note_default_branch(set, now, &mut outcome);
        Ok(outcome)
    }

    /// What a push would do.
    fn preview(&self, plan: &PushPlan, refusals: Refusals, mut outcome: DestinationOutcome) -> DestinationOutcome {
        let lines = plan.push.iter().chain(&plan.delete).map(|update| format!("would {update}."));
        outcome.notes.extend(plan.held.iter().map(|why| format!("would be held: {why}.")));
        outcome.notes.extend(lines);
        outcome.notes.extend(self.unknown_before_download(plan));
        outcome.verdict = match verdict(plan, &refusals, !plan.is_empty()) {
            PushVerdict::Pushed => PushVerdict::WouldPush,
            other => other,
        };
        outcome.refused = refusals.into_values().collect();
        outcome
    }

    /// The old default branch stays where it could not be replaced, and with it everything else that is not in its way.
    fn leave_old_defaults(
        &self,
        there: &Advertisement,
        failure: &Failure,
        plan: &mut PushPlan,
        refusals: &mut Refusals,
    ) {
        for old in self.old_defaults(there, plan) {
            plan.delete.retain(|update| update.name != old);
            if self.head_is_out_of_reach() {
                plan.foreign += 1;
                continue;
            }
            // Not in step: the next run must try again.
            let message = format!("not deleted, as it stays the default branch: {}", failure.message());
            let refusal = RefusedRef::new(&old, failure.reason(), message);
            refusals.insert(old, refusal);
        }
    }

    /// Notes what came of setting the default branch.
    fn note_default_branch(
        &self,
        set: Result<Option<String>, Failure>,
        now: &Advertisement,
        outcome: &mut DestinationOutcome,
    ) {
        let failure = match set {
            Ok(note) => return outcome.notes.extend(note),
            Err(failure) => failure,
        };
        outcome.notes.push(match self.head_is_out_of_reach() {
            true => self.head_by_hand(now.head.as_ref()),
            false => format!("the default branch stays as it is: {}.", failure.message()),
        });
        // A plain git server's HEAD is out of reach; a forge's is behind until it is set.
        if self.target.is_some() && outcome.verdict.in_step() {
            outcome.verdict = PushVerdict::Failed;
            outcome.failure = Some(failure);
        }
    }

    /// The destination's refs. One that was made a moment ago may not be known to its git side yet.
    async fn look(&self) -> Result<Advertisement, Failure> {
        self.tools.git.ls_remote(self.remote).await.map_err(|failure| {
            let message = failure.message().replace("the source", "the destination");
            match failure.reason() {
                Reason::RemoteNotFound if self.created => failure.with_reason(Reason::NetworkFailed).with_message(message),
                // Without an API nobody can make it from here.
                Reason::RemoteNotFound if self.target.is_none() => failure.with_message(message).with_hint(
                    "make it on the server with `git init --bare`; only in a directory of this machine it is made for you.",
                ),
                _ => failure.with_message(message),
            }
        })
    }

    fn route(&self, plan: &PushPlan, there: &Advertisement) -> Route {
        match self.remote.url.is_http() {
            true => route(plan, &there.refs, &self.job.refs.refs),
            false => Route { pushes: pushes(plan), ..Route::default() },
        }
    }

    async fn decide(&self, there: &Advertisement) -> Result<(PushPlan, BTreeSet<BString>), Failure> {
        let job = self.job;
        let rules = job.destination.rules(job.cliff, job.accepted);
        let changes = differences(&job.refs.refs, there, rules.scope);
        let git = &self.tools.git;
        let old: BTreeSet<Oid> = changes.iter().filter_map(|update| update.change.before()).collect();
        if !job.has_objects {
            // Whose commits are there is not known: as if all came from the source.
            let all = changes.iter().map(|update| update.name.clone()).collect();
            let ancestry = Ancestry { forward: all, known: old, peeled: RefMap::new() };
            return Ok((decide(&job.refs.refs, there, &ancestry, &rules), BTreeSet::new()));
        }
        let known = if old.is_empty() { old } else { git.known_objects(job.mirror, &old).await? };
        // What we do not have cannot be contained in what we push.
        let comparable: Vec<RefUpdate> = changes
            .iter()
            .filter(|update| update.change.before().is_some_and(|old| known.contains(&old)))
            .cloned()
            .collect();
        let lost = lost_by_moves(git, job.mirror, &comparable, job.refs, &History::default()).await;
        let moves = |update: &&RefUpdate| matches!(update.change, Change::Move { .. });
        let forward: BTreeSet<BString> = comparable
            .iter()
            .filter(moves)
            .filter(|update| !lost.contains(&update.name))
            .map(|update| update.name.clone())
            .collect();
        let forced = changes
            .iter()
            .filter(moves)
            .filter(|update| !forward.contains(&update.name))
            .map(|update| update.name.clone())
            .collect();
        let mut peeled = RefMap::new();
        if rules.divergence == Divergence::Keep && !changes.is_empty() {
            peeled = git.ls_remote(&Remote::plain(RemoteUrl::file(job.mirror))).await?.peeled;
        }
        let ancestry = Ancestry { forward, known, peeled };
        Ok((decide(&job.refs.refs, there, &ancestry, &rules), forced))
    }

    /// What a dry run that knows refs alone cannot say.
    fn unknown_before_download(&self, plan: &PushPlan) -> Option<String> {
        let moves = |update: &&RefUpdate| update.change.before().is_some();
        let number = plan.push.iter().chain(&plan.delete).filter(moves).count();
        (!self.job.has_objects && number > 0).then(|| {
            format!(
                "whether {} would lose commits there is known only when the source is downloaded.",
                text::count(number, "ref")
            )
        })
    }

    /// When the destination's default branch is about to be deleted, the new one must be there and set before. Returns
    /// whether it was set.
    async fn default_branch_first(
        &self,
        there: &Advertisement,
        plan: &mut PushPlan,
        refusals: &mut Refusals,
    ) -> Result<bool, Failure> {
        let Some(new) = self.job.head else { return Ok(false) };
        if self.old_defaults(there, plan).is_empty() {
            return Ok(false);
        }
        if let Some(at) = plan.push.iter().position(|update| update.name == new) {
            let update = plan.push.remove(at);
            let refused = self.send(&[edit(&update)]).await?;
            plan.push.insert(at, update);
            if let Some(refusal) = refused.values().next() {
                let failure =
                    Failure::new(refusal.reason, format!("{new} was refused")).with_evidence(&refusal.message);
                refusals.extend(refused);
                return Err(failure);
            }
            // It is there: what is left of the plan must not push it again with the old lease.
            plan.push.retain(|update| update.name != new);
            plan.done.push(RefUpdate { name: new.into(), change: plan_change(there, self.job, new) });
        }
        self.set_head(new).await?;
        Ok(true)
    }

    /// Whether it is a plain git server, whose HEAD only its administrator can set.
    fn head_is_out_of_reach(&self) -> bool {
        self.target.is_none() && self.job.destination.directory(self.job.place).is_none()
    }

    /// What the administrator of a plain git server is to do, where its HEAD names `now`.
    fn head_by_hand(&self, now: Option<&BString>) -> String {
        let wanted = self.job.head.map(ToString::to_string).unwrap_or_default();
        let now = now.filter(|now| **now != wanted).map_or_else(
            || "HEAD there names no branch".to_owned(),
            |now| match self.job.refs.refs.contains_key(now) {
                true => format!("HEAD there stays {now}"),
                false => format!("HEAD there stays {now}, which is therefore not deleted"),
            },
        );
        format!(
            "{now}: git cannot set it from here; run `git symbolic-ref HEAD {wanted}` in the repository on that server."
        )
    }

    async fn set_head(&self, branch: &BStr) -> Result<(), Failure> {
        let short = branch.strip_prefix(b"refs/heads/").unwrap_or(branch).to_str_lossy();
        if let (Some(forge), Some(target)) = (&self.job.destination.forge, self.target) {
            return forge.set_default_branch(target, &short).await;
        }
        match self.job.destination.directory(self.job.place) {
            Some(dir) => self.tools.git.set_head(&dir, branch).await,
            None => {
                let message = format!("a plain git server's HEAD cannot be set to {short} from here");
                Err(Failure::new(Reason::PushRejected, message))
            }
        }
    }

    /// Pushes, and returns what was refused. What is declined whole because of one ref is halved until the others are
    /// there, as long as that leads to anything.
    async fn send(&self, edits: &[PushEdit]) -> Result<Refusals, Failure> {
        let mut refusals = Refusals::new();
        let mut parts: Vec<Vec<PushEdit>> =
            Some(edits.to_vec()).filter(|edits| !edits.is_empty()).into_iter().collect();
        let (mut tries, mut accepted) = (0, false);
        while let Some(part) = parts.pop() {
            let done = self.send_together(&part).await;
            tries += 1;
            let (mut refused, declined) = match done {
                Ok((done, too_large)) => {
                    accepted |= done.results.iter().any(|(_, result)| *result == RefResult::Accepted);
                    let mut refused = refusal::read(&done);
                    let declined = refusal::declined_together(&done, &refused);
                    refused.extend(too_large.iter().map(|(name, why)| (name.clone(), refusal::of_failure(name, why))));
                    (refused, declined)
                }
                Err(failure) if edits.len() > 1 && refusal::may_be_one_ref(failure.reason()) => {
                    let names = part.iter().map(|edit| edit.name.clone());
                    let refused = names.clone().map(|name| (name.clone(), refusal::of_failure(&name, &failure)));
                    (refused.collect(), names.collect())
                }
                Err(failure) => return Err(failure),
            };
            let mut again: Vec<PushEdit> = part.into_iter().filter(|edit| declined.contains(&edit.name)).collect();
            let most = if accepted { MOST_PARTS } else { FRUITLESS_PARTS };
            if again.len() > 1 && tries < most {
                refused.retain(|name, _| !declined.contains(name));
                let rest = again.split_off(again.len() / 2);
                parts.extend([rest, again]);
            }
            refusals.extend(refused);
        }
        Ok(refusals)
    }

    /// One push, in slices along history where the whole is too large for the destination; beside its result, what is too
    /// large even so.
    async fn send_together(&self, edits: &[PushEdit]) -> Result<(Pushed, Vec<(BString, Failure)>), Failure> {
        let path = &self.job.repo.path;
        let mut tell = |phase: &str, percent, bytes| self.sink.tell(&Event::Phase { path, phase, percent, bytes });
        let git = &self.tools.git;
        match git.push(self.job.mirror, self.remote, edits, &mut tell).await {
            Err(failure) if failure.reason() == Reason::TooLarge => {
                slice::push(git, self.job.mirror, self.remote, edits, failure, &mut tell).await
            }
            result => result.map(|done| (done, Vec::new())),
        }
    }

    /// Opens the branch rules that stand in the way, pushes what they refused, and closes them again.
    async fn open_rules(
        &self,
        plan: &PushPlan,
        forced: &BTreeSet<BString>,
        refusals: &mut Refusals,
        outcome: &mut DestinationOutcome,
    ) {
        let (Some(forge), Some(target)) = (&self.job.destination.forge, self.target) else { return };
        let opener = Opener { job: self.job, forge: forge.as_ref(), target };
        let by_rule = |refusal: &RefusedRef| {
            refusal.reason == Reason::ProtectedRefRejected && !refusal::is_about_default_branch(refusal)
        };
        let names: Vec<BString> =
            refusals.iter().filter(|(_, refusal)| by_rule(refusal)).map(|(name, _)| name.clone()).collect();
        for name in names {
            let Some(update) = plan.push.iter().chain(&plan.delete).find(|update| update.name == name) else {
                continue;
            };
            let edit = edit(update);
            let need = match update.change {
                Change::Delete { .. } => Need::Delete,
                Change::Move { .. } if forced.contains(&name) => Need::Force,
                Change::Move { .. } | Change::Create { .. } => Need::Push,
            };
            match opener.with_rules_open(update, need, || self.send(std::slice::from_ref(&edit))).await {
                Ok(None) => {}
                Ok(Some(Opening { pushed, notes, left_open })) => {
                    refusals.remove(&name);
                    refusals.extend(pushed);
                    outcome.notes.extend(notes);
                    // What was pushed is pushed; the destination is not as it should be while a rule is open.
                    outcome.failure = outcome.failure.take().or(left_open);
                }
                Err(failure) => {
                    outcome.notes.push(format!("the rule on {name} stands: {failure}."));
                    if let Some(refusal) = refusals.get_mut(&name) {
                        refusal.reason = failure.reason();
                    }
                }
            }
        }
    }

    /// Looks again, unless there was nothing to do: what the destination advertises is what counts, of refs that were
    /// right before as well.
    async fn verify(
        &self,
        plan: &PushPlan,
        before: &Advertisement,
        refusals: &Refusals,
    ) -> Result<Option<Advertisement>, Failure> {
        if plan.is_empty() && plan.done.is_empty() {
            return Ok(None);
        }
        let scope = self.job.destination.config.refs;
        let now = self.look().await?;
        let mut expected = in_scope(&self.job.refs.refs, scope);
        // A symbolic ref moves with the ref that it leads to.
        expected.retain(|name, oid| before.refs.get(name) == Some(oid) && !before.symrefs.contains_key(name));
        let mut expected: BTreeMap<&BString, Option<Oid>> =
            expected.iter().map(|(name, oid)| (name, Some(*oid))).collect();
        let touched = plan.push.iter().chain(&plan.delete).chain(&plan.done);
        expected.extend(touched.map(|update| (&update.name, update.change.after())));
        let wrong = expected
            .into_iter()
            .find(|(name, oid)| !refusals.contains_key(*name) && now.refs.get(*name).copied() != *oid);
        match wrong {
            None => Ok(Some(now)),
            Some((name, _)) => Err(Failure::new(Reason::RefRace, "the destination does not show what was pushed")
                .with_evidence(name.to_string())),
        }
    }
}

fn edit(update: &RefUpdate) -> PushEdit {
    PushEdit { name: update.name.clone(), seen: update.change.before(), new: update.change.after() }
}

fn plan_change(there: &Advertisement, job: &PushJob<'_>, name: &BStr) -> Change {
    match (there.refs.get(name), job.refs.refs.get(name)) {
        (Some(&old), Some(&new)) => Change::Move { old, new },
        (None, Some(&new)) => Change::Create { new },
        (old, None) => Change::Delete { old: old.copied().unwrap_or_else(Oid::null) },
    }
}

fn count(plan: &PushPlan, forced: &BTreeSet<BString>, refusals: &Refusals) -> PushCounts {
    let mut counts =
        PushCounts { refused: refusals.len(), kept: plan.foreign + plan.diverged.len(), ..PushCounts::default() };
    let all = plan.push.iter().chain(&plan.delete).chain(&plan.done);
    for update in all.filter(|update| !refusals.contains_key(&update.name)) {
        match update.change {
            Change::Create { .. } => counts.created += 1,
            Change::Delete { .. } => counts.deleted += 1,
            Change::Move { .. } if forced.contains(&update.name) => counts.forced += 1,
            Change::Move { .. } => counts.forwarded += 1,
        }
    }
    counts
}

fn verdict(plan: &PushPlan, refusals: &Refusals, pushed: bool) -> PushVerdict {
    match () {
        () if !refusals.is_empty() => PushVerdict::Refused,
        () if plan.held.is_some() => PushVerdict::Held,
        () if !plan.diverged.is_empty() => PushVerdict::Diverged,
        () if pushed => PushVerdict::Pushed,
        () => PushVerdict::Current,
    }
}

/// A ref that stays because it holds commits that the source lacks.
fn diverged(name: &BString) -> RefusedRef {
    RefusedRef::new(name, Reason::Diverged, "it holds commits that the source lacks, and stays")
}

/// Why the guard held deletions; refused and diverged refs speak for themselves.
fn held(job: &PushJob<'_>, plan: &PushPlan) -> Option<Failure> {
    if let Some(why) = &plan.held {
        let hint = format!("when it is meant, run again with --accept-deletions {}.", job.repo.path);
        let failure = Failure::new(Reason::Held, "nothing was deleted at the destination").with_evidence(why);
        return Some(failure.with_hint(hint));
    }
    None
}
