//! An existing mirror follows its source: look, decide, fetch objects, move refs, verify.
//!
//! Objects arrive before any ref moves, and refs move in transactions that check every old value, so whatever is cut
//! short leaves the mirror as it was or a step further, never with less.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bstr::{BString, ByteSlice};

use super::decide::{Shelf, decide, transactions, without_loss};
use super::{Done, Job, health, names};
use crate::base::failure::{Failure, Reason};
use crate::git::refs::{Advertisement, Change, LocalRefs, Oid, RefUpdate, diff, is_branch};
use crate::git::{BULK, Depth, Fetched, Git, History, RefEdit, Wanted};
use crate::mirror::tools::Tools;
use crate::model::{RefCounts, Repo, Verdict};
use crate::progress::{Event, Sink};

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
                once(job, tools, sink, dir, local).await.inspect_err(|failure| job.pass.heard(failure))
            }
        })
        .await
}

async fn once(job: &Job<'_>, tools: &Tools, sink: &dyn Sink, dir: &Path, local: LocalRefs) -> Result<Done, Failure> {
    let git = &tools.git;
    let source = git.ls_remote(&job.remote).await?;
    same_format(dir, &local, &source)?;
    let mut decision = decide(&local, &source, &job.rules);
    let aside = names::set_aside(&mut decision, names::Room::of(dir));

    let head = if decision.held.is_none() { head_move(dir, &source, job.repo)? } else { None };

    let mut tips: BTreeSet<Oid> = decision.take.iter().filter_map(|update| update.change.after()).collect();
    if let Some(Head::Commit(oid)) = &head {
        tips.insert(*oid);
    }
    let mut depth = Depth::AsIs;
    if is_shallow(dir) {
        // The source may have got its whole history meanwhile, which no ref tells.
        depth = Depth::Whole;
        tips.extend(source.refs.values());
    }
    let mut fetched = Fetched::default();
    if !tips.is_empty() {
        let mut tell =
            |phase: &str, percent, bytes| sink.tell(&Event::Phase { path: &job.repo.path, phase, percent, bytes });
        let near: Vec<Oid> = decision.take.iter().filter_map(|update| update.change.before()).collect();
        let wanted = Wanted { tips: &tips, near: &near, depth };
        let done = git.fetch_objects(dir, &job.remote, &wanted, &mut tell).await;
        if done.is_err() {
            // Half a pack stays where it was written, and may be what fills the disk. Nobody else works here.
            health::clear_litter(dir, SystemTime::now() + Duration::from_secs(1))?;
        }
        fetched = done?;
    }
    let forced = forced(git, dir, &decision.take, &local, &fetched.history).await;
    if decision.held.is_some() {
        decision.take = without_loss(decision.take, &decision.delete, &forced);
        decision.delete.clear();
        decision.expired.clear();
    }

    let [mut make_room, take] = transactions(&decision, &forced, &local, &job.rules);
    if head.is_some() {
        make_room.extend(kept_head(git, dir, &source, &local, job).await);
    }
    git.transact(dir, &[&make_room, &take]).await.map_err(moved_on)?;
    let mut counts = count(&decision.take, &decision.delete, &forced);
    if take.len() + make_room.len() >= BULK {
        git.pack_refs(dir).await?;
    }
    if let Some(head) = &head {
        move_head(git, dir, head).await?;
    }

    // Refs name it by now.
    drop(fetched.kept.take());

    let now = if make_room.is_empty() && take.is_empty() { local } else { git.local_refs(dir).await? };
    let is_same = || match aside.is_empty() {
        true => now.refs == source.refs,
        false => diff(&now.refs, &source.refs).iter().all(|update| aside.contains(&update.name)),
    };
    if decision.held.is_none() && !is_same() {
        return Err(Failure::new(Reason::RefRace, "the mirror's refs are not what the source advertised"));
    }
    counts.total = now.refs.len();
    let verdict = match () {
        () if counts.changed() > 0 || head.is_some() => Verdict::Updated,
        () if now.refs.is_empty() && source.head_oid.is_none() => Verdict::Empty,
        () => Verdict::Current,
    };
    let held = decision.held.map(|why| {
        let message = "nothing was deleted or moved by force: the source may be broken";
        let hint =
            format!("look at {}; if it is meant, run again with --accept-deletions {}.", job.remote.url, job.repo.path);
        Failure::new(Reason::Held, message).with_evidence(why).with_hint(hint)
    });
    Ok(Done {
        verdict,
        counts,
        received: fetched.received,
        kept: now.kept.len(),
        held,
        shallow: is_shallow(dir),
        left: names::failure(&aside),
    })
}

/// Refuses a source whose objects have another kind of id than the mirror's: it was made anew.
fn same_format(dir: &Path, local: &LocalRefs, source: &Advertisement) -> Result<(), Failure> {
    let length = |oid: Option<&Oid>| oid.map(|oid| oid.to_string().len());
    let (here, there) = (length(local.refs.values().next()), length(source.refs.values().next()));
    if here.is_none() || there.is_none() || here == there {
        return Ok(());
    }
    let name = |length| if length == Some(40) { "SHA-1" } else { "SHA-256" };
    let message = format!("the source has {} objects by now, and the mirror has {}", name(there), name(here));
    let hint = format!(
        "it was made anew; if that is meant, move {} out of the storage directory, and the next run clones it.",
        dir.display()
    );
    Err(Failure::new(Reason::Held, message).with_hint(hint))
}

/// The moved refs whose old tip the new one does not contain.
///
/// A tag that moves is always forced, and so is a ref that pointed at no commit. What cannot be compared counts as
/// forced, so that its old tip is kept.
pub(crate) async fn forced(
    git: &Git,
    dir: &Path,
    take: &[RefUpdate],
    local: &LocalRefs,
    history: &History,
) -> BTreeSet<BString> {
    let moves = |update: &RefUpdate| match update.change {
        Change::Move { old, new } => Some((update.name.clone(), old, new)),
        _ => None,
    };
    let (always, rest): (Vec<_>, Vec<_>) = take
        .iter()
        .filter_map(moves)
        .partition(|(name, ..)| name.starts_with(b"refs/tags/") || local.not_commits.contains(name));
    let mut forced: BTreeSet<BString> = always.into_iter().map(|(name, ..)| name).collect();
    let rest: Vec<_> = rest.into_iter().filter(|(_, old, new)| !history.shows(*old, *new)).collect();
    if rest.len() <= COMPARE_SINGLY {
        for (name, old, new) in rest {
            if !git.is_ancestor(dir, old, new).await.unwrap_or(false) {
                forced.insert(name);
            }
        }
        return forced;
    }
    let (old, new): (Vec<_>, Vec<_>) = rest.iter().map(|(_, old, new)| (*old, *new)).unzip();
    let lost: HashSet<Oid> = git.unreachable(dir, &old, &new).await.unwrap_or(old).into_iter().collect();
    forced.extend(rest.into_iter().filter(|(_, old, _)| lost.contains(old)).map(|(name, ..)| name));
    forced
}

/// An object that is not there although the fetch succeeded: the ref moved between looking and fetching.
fn moved_on(failure: Failure) -> Failure {
    let missing = failure.evidence().is_some_and(|line| line.contains("nonexistent object"));
    if missing { failure.with_reason(Reason::RefRace) } else { failure }
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

/// Whether the repository `dir` lacks the history before some of its commits.
pub(crate) fn is_shallow(dir: &Path) -> bool {
    fs::metadata(dir.join("shallow")).is_ok_and(|data| data.len() > 0)
}

/// Where HEAD must go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Head {
    Branch(BString),
    /// HEAD is detached at the source: no branch may hold this commit.
    Commit(Oid),
}

/// The move that the mirror's HEAD must make to be where the source's is; `None` when it is there.
///
/// A HEAD that names a branch not yet born is not advertised; the forge's default branch tells then. Where nothing tells
/// a branch, HEAD is detached, or the server (git before 1.8.5) does not say what it names: then a branch with the same
/// commit will do.
pub(super) fn head_move(dir: &Path, source: &Advertisement, repo: &Repo) -> Result<Option<Head>, Failure> {
    let file = dir.join("HEAD");
    let text = fs::read(&file).map_err(|error| Failure::local(format!("cannot read {}", file.display()), &error))?;
    let branch = text.strip_prefix(b"ref: ").map(<[u8]>::trim_ascii);
    let said = repo.default_branch.as_ref().map(|branch| BString::from(format!("refs/heads/{branch}")));
    // A detached HEAD may be all that is left of a repository: a branch that is not there does not stand for it.
    let said = said.filter(|name| source.head_oid.is_none() || source.refs.contains_key(name));
    let wanted = match (source.head.clone().or(said), source.head_oid) {
        (Some(target), _) if is_branch(target.as_bstr()) => Head::Branch(target),
        (None, Some(oid)) if branch.is_none_or(|name| source.refs.get(name.as_bstr()) != Some(&oid)) => {
            Head::Commit(oid)
        }
        _ => return Ok(None),
    };
    let there = match &wanted {
        Head::Branch(target) => branch == Some(target.as_slice()),
        Head::Commit(oid) => text.trim_ascii() == oid.to_string().as_bytes(),
    };
    Ok((!there).then_some(wanted))
}

async fn move_head(git: &Git, dir: &Path, head: &Head) -> Result<(), Failure> {
    match head {
        Head::Branch(target) => git.set_head(dir, target.as_bstr()).await,
        Head::Commit(oid) => git.detach_head(dir, *oid).await,
    }
}

/// Points the mirror's HEAD where the source's HEAD points.
pub(super) async fn follow_head(git: &Git, dir: &Path, source: &Advertisement, repo: &Repo) -> Result<(), Failure> {
    match head_move(dir, source, repo)? {
        Some(head) => move_head(git, dir, &head).await,
        None => Ok(()),
    }
}

/// The kept ref for a commit that only the mirror's detached HEAD holds, before that moves on.
async fn kept_head(git: &Git, dir: &Path, source: &Advertisement, local: &LocalRefs, job: &Job<'_>) -> Option<RefEdit> {
    let old = fs::read(dir.join("HEAD")).ok().and_then(|text| Oid::parse(text.trim_ascii()))?;
    let tips: Vec<Oid> = source.refs.values().copied().chain(source.head_oid).collect();
    // What cannot be compared is kept.
    let lost = git.unreachable(dir, &[old], &tips).await.map_or(true, |lost| !lost.is_empty());
    let name = Shelf::open(local, &job.rules).filter(|_| lost)?.place(b"HEAD");
    Some(RefEdit::Create { name, new: old })
}
