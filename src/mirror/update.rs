//! An existing mirror follows its source: look, decide, fetch objects, move refs, verify.
//!
//! Objects arrive before any ref moves, and refs move in transactions that check every old value, so whatever is cut
//! short leaves the mirror as it was or a step further, never with less.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bstr::{BString, ByteSlice};

use super::decide::{decide, transactions, without_loss};
use super::{Done, Job};
use crate::failure::{Failure, Reason};
use crate::git::Git;
use crate::git::refs::{Advertisement, Change, LocalRefs, Oid, RefUpdate, is_branch};
use crate::model::{RefCounts, Repo, Verdict};
use crate::progress::{Event, Sink};
use crate::tools::Tools;

/// From this many new refs on they are packed into one file at once.
const PACK_FROM: usize = 200;
/// Up to this many moved refs are compared one by one; more in one go, which is a little less exact.
const COMPARE_SINGLY: usize = 64;

pub(super) async fn update(
    job: &Job<'_>,
    tools: &Tools,
    sink: &dyn Sink,
    dir: &Path,
    local: LocalRefs,
) -> Result<Done, Failure> {
    let mut first = Some(local);
    tools
        .retry(&job.repo.path.to_string(), sink, || {
            let first = first.take();
            async move {
                // A further try may follow one that moved some refs: look again.
                let local = match first {
                    Some(local) => local,
                    None => tools.git.local_refs(dir).await?,
                };
                once(job, tools, sink, dir, local).await
            }
        })
        .await
}

async fn once(job: &Job<'_>, tools: &Tools, sink: &dyn Sink, dir: &Path, local: LocalRefs) -> Result<Done, Failure> {
    let git = &tools.git;
    let source = git.ls_remote(&job.remote).await?;
    let mut decision = decide(&local, &source, &job.rules);

    let tips: BTreeSet<Oid> = decision.take.iter().filter_map(|update| update.change.after()).collect();
    let mut received = 0;
    if !tips.is_empty() {
        let mut tell = |phase: &str, percent| sink.tell(&Event::Phase { path: &job.repo.path, phase, percent });
        received = git.fetch_objects(dir, &job.remote, &tips, &mut tell).await?;
    }
    let forced = forced(git, dir, &decision.take).await;
    if decision.held.is_some() {
        decision.take = without_loss(decision.take, &decision.delete, &forced);
        decision.delete.clear();
        decision.expired.clear();
    }

    let [make_room, take] = transactions(&decision, &forced, &local, &job.rules);
    git.move_refs(dir, &make_room).await?;
    git.move_refs(dir, &take).await.map_err(moved_on)?;
    let mut counts = count(&decision.take, &decision.delete, &forced);
    if counts.created >= PACK_FROM {
        git.pack_refs(dir).await?;
    }
    let head_moved = decision.held.is_none() && follow_head(git, dir, &source, job.repo).await?;

    let now = if make_room.is_empty() && take.is_empty() { local } else { git.local_refs(dir).await? };
    if decision.held.is_none() && now.refs != source.refs {
        return Err(Failure::new(Reason::RefRace, "the mirror's refs are not what the source advertised"));
    }
    counts.total = now.refs.len();
    let verdict = match () {
        () if counts.changed() > 0 || head_moved => Verdict::Updated,
        () if now.refs.is_empty() => Verdict::Empty,
        () => Verdict::Current,
    };
    let held = decision.held.map(|why| {
        let message = "nothing was deleted or moved by force: the source may be broken";
        let hint =
            format!("look at {}; if it is meant, run again with --accept-deletions {}.", job.remote.url, job.repo.path);
        Failure::new(Reason::Held, message).with_evidence(why).with_hint(hint)
    });
    Ok(Done { verdict, counts, received, kept: now.kept.len(), held })
}

/// The moved refs whose old tip the new one does not contain.
///
/// A tag that moves is always forced. What cannot be compared counts as forced, so that its old tip is kept.
async fn forced(git: &Git, dir: &Path, take: &[RefUpdate]) -> BTreeSet<BString> {
    let moves = |update: &RefUpdate| match update.change {
        Change::Move { old, new } => Some((update.name.clone(), old, new)),
        _ => None,
    };
    let (tags, rest): (Vec<_>, Vec<_>) =
        take.iter().filter_map(moves).partition(|(name, ..)| name.starts_with(b"refs/tags/"));
    let mut forced: BTreeSet<BString> = tags.into_iter().map(|(name, ..)| name).collect();
    if rest.len() <= COMPARE_SINGLY {
        for (name, old, new) in rest {
            if !git.is_ancestor(dir, old, new).await.unwrap_or(false) {
                forced.insert(name);
            }
        }
        return forced;
    }
    let (old, new): (Vec<_>, Vec<_>) = rest.iter().map(|(_, old, new)| (*old, *new)).unzip();
    let lost = git.unreachable(dir, &old, &new).await.unwrap_or(old);
    forced.extend(rest.into_iter().filter(|(_, old, _)| lost.contains(old)).map(|(name, ..)| name));
    forced
}

/// An object that is not there although the fetch succeeded: the ref moved between looking and fetching.
fn moved_on(failure: Failure) -> Failure {
    let missing = failure.evidence.as_deref().is_some_and(|line| line.contains("nonexistent object"));
    if missing { Failure { reason: Reason::RefRace, ..failure } } else { failure }
}

fn count(take: &[RefUpdate], delete: &[RefUpdate], forced: &BTreeSet<BString>) -> RefCounts {
    let mut counts = RefCounts { deleted: delete.len(), ..RefCounts::default() };
    for update in take {
        match update.change {
            Change::Create { .. } => counts.created += 1,
            _ if forced.contains(&update.name) => counts.forced += 1,
            _ => counts.forwarded += 1,
        }
    }
    counts
}

/// Points the mirror's HEAD where the source's HEAD points; returns whether it had to move.
///
/// A HEAD that names a branch not yet born is not advertised; the forge's default branch tells then.
pub(super) async fn follow_head(git: &Git, dir: &Path, source: &Advertisement, repo: &Repo) -> Result<bool, Failure> {
    let said = repo.default_branch.as_ref().map(|branch| BString::from(format!("refs/heads/{branch}")));
    let Some(target) = source.head.clone().or(said).filter(|target| is_branch(target.as_bstr())) else {
        return Ok(false);
    };
    let file = dir.join("HEAD");
    let head = fs::read(&file).map_err(|error| Failure::local(format!("cannot read {}", file.display()), &error))?;
    if head.strip_prefix(b"ref: ").map(|name| name.trim_ascii()) == Some(target.as_slice()) {
        return Ok(false);
    }
    git.set_head(dir, target.as_bstr()).await?;
    Ok(true)
}
