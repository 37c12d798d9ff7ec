//! One mirror, brought up to date: looked at, decided, fetched, moved, verified; or cloned; or healed.
//!
//! [`decide`] is pure and shared with the dry run; everything else here acts.

pub mod access;
pub mod adopt;
mod census;
pub mod checkout;
mod clone;
pub mod decide;
mod durable;
mod health;
mod incomplete;
mod names;
pub(crate) mod ours;
mod salvage;
pub mod storage;
pub mod tools;
mod update;
pub mod upkeep;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::base::failure::{Failure, Reason};
use crate::base::hosts::Pass;
use crate::base::url::RemoteUrl;
use crate::git::Remote;
use crate::git::refs::{Advertisement, LocalRefs};
use crate::mirror::tools::Tools;
use crate::model::{Outcome, RefCounts, Repo, Verdict};
use crate::progress::{Event, Sink};

use self::decide::Rules;
use self::update::Head;
pub(crate) use self::update::{forced as lost_by_moves, is_shallow};

/// One mirror to work on.
#[derive(Debug)]
pub struct Job<'a> {
    pub repo: &'a Repo,
    pub remote: Remote,
    /// Where it lies or will lie, relative to the storage root.
    pub place: PathBuf,
    pub rules: Rules,
    /// Refs that it had when it was last looked at, as the store remembers.
    pub recorded: usize,
    /// The URL that it was mirrored from last, as the store remembers.
    pub recorded_url: Option<RemoteUrl>,
    /// It was found in its place and never mirrored by us: a token may stand in its configuration.
    pub found: bool,
    /// Since when we are alone in the storage.
    pub alone_since: SystemTime,
    /// Its room at the source's host, which is told when the host asks for less.
    pub pass: &'a Pass,
}

impl Job<'_> {
    /// Whether what lies in its place is this mirror, as far as that can be told.
    pub fn is_ours(&self, tools: &Tools) -> bool {
        self.check_place(tools).is_ok() && ours::check_origin(&tools.storage.path(&self.place)).is_ok()
    }

    /// Refuses a place where something else lies than this mirror.
    fn check_place(&self, tools: &Tools) -> Result<(), Failure> {
        let urls: Vec<&RemoteUrl> = [&self.repo.url].into_iter().chain(&self.recorded_url).collect();
        ours::check(&tools.storage, &self.place, &urls)
    }
}

/// No git of ours works in a mirror when its turn comes, and nobody else's holds a lock for so long: what is older was
/// left by one that was killed while we watched.
const ABANDONED: Duration = Duration::from_secs(10 * 60);

/// What came of a mirror that did not fail.
#[derive(Debug)]
struct Done {
    verdict: Verdict,
    counts: RefCounts,
    received: u64,
    kept: usize,
    /// A guard's veto: the mirror is safe, and behind.
    held: Option<Failure>,
    /// The source lacks a part of its history, and so does the mirror.
    shallow: bool,
    /// Why some refs were left as they are while all others moved.
    left: Option<Failure>,
}

/// A mirror of a shallow source is better than none, and must not pass for the whole.
const SHALLOW: &str = "its source is a shallow clone: older history is missing there, and so in the mirror; complete it \
    with `git fetch --unshallow`, or exclude it.";

/// Brings one mirror up to date; whatever happens is told by the outcome.
pub async fn bring_up(job: &Job<'_>, tools: &Tools, sink: &dyn Sink) -> Outcome {
    let (started, began) = (Instant::now(), SystemTime::now());
    sink.tell(&Event::Started { path: &job.repo.path });
    let mut notes = Vec::new();
    let checked = job.check_place(tools);
    let is_foreign = checked.as_ref().is_err_and(|failure| failure.reason() == Reason::Held);
    let result = if let Err(foreign) = checked {
        Err(foreign)
    } else if tools.storage.has_mirror(&job.place) {
        update_or_heal(job, tools, sink, &mut notes).await
    } else {
        if job.recorded > 0 {
            notes.push(format!("the mirror that was here, with {} refs, is missing; cloned anew.", job.recorded));
        }
        clone::clone(job, tools, sink).await
    };
    let mut outcome = match result {
        Ok(done) => {
            if done.shallow {
                notes.push(SHALLOW.to_owned());
            }
            Outcome {
                verdict: if done.held.is_some() { Verdict::Held } else { done.verdict },
                refs: done.counts,
                received: done.received,
                kept: Some(done.kept),
                degraded: done.shallow || done.left.is_some(),
                failure: done.held.or(done.left),
                ..Outcome::new(job.repo, done.verdict)
            }
        }
        Err(failure) => Outcome::failed(job.repo, tools.storage.explain(incomplete::explain(&job.remote, failure))),
    };
    if matches!(outcome.verdict, Verdict::Cloned | Verdict::Updated | Verdict::Held) && !is_foreign {
        let dir = tools.storage.path(&job.place);
        let counted = dir.clone();
        // Where a slow disk holds nobody else up.
        outcome.disk = tokio::task::spawn_blocking(move || census::take(&counted)).await.ok().flatten();
        // A success that a power cut would undo is none.
        if let Err(failure) = durable::seal(&dir, tools.storage.root(), began).await {
            outcome = Outcome::failed(job.repo, tools.storage.explain(failure));
        }
    }
    outcome.mirror.clone_from(&job.place);
    outcome.notes.splice(0..0, notes);
    outcome.duration = started.elapsed();
    outcome
}

async fn update_or_heal(
    job: &Job<'_>,
    tools: &Tools,
    sink: &dyn Sink,
    notes: &mut Vec<String>,
) -> Result<Done, Failure> {
    let dir = tools.storage.path(&job.place);
    let locks = health::clear_litter(&dir, left_before(job.alone_since, SystemTime::now()))?;
    if !locks.is_empty() {
        notes.push(format!("removed {} left behind by a git that was killed.", names(&locks, &dir)));
    }
    let forgotten = match job.found {
        true => adopt::forget_tokens(&tools.git, &tools.storage, &job.place).await,
        false => Ok(()),
    };
    let looked = look(tools, &dir).await;
    if let (Err(_), Err(failure)) = (&looked, &forgotten) {
        notes.push(format!("a token may be left in its configuration: {failure}."));
    }
    let damage = match looked {
        Ok(local) => {
            ours::check_origin(&dir)?;
            if ours::is_outdated(&dir, &job.repo.url) {
                let (config, url) = (dir.join("config"), job.repo.url.to_string());
                tools.git.set_config(&config, "remote.origin.url", Some(&url)).await?;
            }
            // What could not be cleaned is not taken over: the next run tries again.
            forgotten?;
            match update::update(job, tools, sink, &dir, local).await {
                // Git met damage while it worked: ours, or the source's?
                Err(failure) if failure.reason() == Reason::Corrupt => match tools.git.check_objects(&dir).await {
                    Ok(()) => return Err(failure),
                    Err(damage) if damage.reason() == Reason::Corrupt => damage,
                    Err(other) => return Err(other),
                },
                result => return result,
            }
        }
        Err(failure) if failure.reason() == Reason::Corrupt => failure,
        // What lies there was a mirror: words we do not know are damage only when the objects are damaged.
        Err(failure) if matches!(failure.reason(), Reason::RemoteNotFound | Reason::Unknown) => {
            match tools.git.check_objects(&dir).await {
                Err(damage) if damage.reason() == Reason::Corrupt => damage,
                // It could not be looked at (killed, stopped, timed out): that is what a person must know.
                Err(other) if other.reason() != Reason::RemoteNotFound => return Err(other),
                Ok(()) | Err(_) => return Err(failure),
            }
        }
        Err(failure) => return Err(failure),
    };
    clone::replace(job, tools, sink, &damage, notes).await
}

/// What is older than this was left behind, when `now` is the time and we are alone since `alone_since`.
fn left_before(alone_since: SystemTime, now: SystemTime) -> SystemTime {
    alone_since.max(now - ABANDONED)
}

/// Whether a mirror that had refs looks whole from outside: its parts and packs are there, and so are some object and some ref. A few
/// system calls, so that it can be asked of every mirror in every run.
pub fn looks_whole(dir: &Path) -> bool {
    health::check(dir).is_ok() && health::has_objects(dir) && health::has_refs(dir)
}

/// Reads a mirror's refs after a look at its health; whatever makes that impossible is damage.
async fn look(tools: &Tools, dir: &Path) -> Result<LocalRefs, Failure> {
    health::check(dir)?;
    // The user's own configuration may be broken as well; that is no damage here.
    let config = dir.join("config").display().to_string();
    let is_ours = |failure: &Failure| failure.evidence().is_some_and(|line| line.ends_with(&config));
    tools.git.local_refs(dir).await.map_err(|failure| match failure.reason() {
        // `fatal: bad config line 1 in file <config>`
        Reason::LocalFailed if is_ours(&failure) => failure.with_reason(Reason::Corrupt),
        _ => failure,
    })
}

/// What a dry run shows of one mirror.
#[derive(Debug)]
pub struct Preview {
    pub verdict: Verdict,
    /// What would happen to its refs.
    pub refs: RefCounts,
    /// The same, one line each.
    pub notes: Vec<String>,
    /// The source's refs, where there is no mirror yet that has them.
    pub source: Option<Advertisement>,
}

/// Finds out what a run would do to one mirror; nothing is downloaded.
///
/// A moved ref counts as forwarded: only the objects, which nobody fetches here, tell whether it is forced.
///
/// # Errors
/// Whatever keeps us from looking at the source or the mirror.
pub async fn preview(job: &Job<'_>, tools: &Tools, sink: &dyn Sink) -> Result<Preview, Failure> {
    let dir = tools.storage.path(&job.place);
    job.check_place(tools)?;
    let source = tools.retry(&job.repo.path.to_string(), sink, || tools.git.ls_remote(&job.remote)).await?;
    let total = source.refs.len();
    let all_new = RefCounts { created: total, total, ..RefCounts::default() };
    if !tools.storage.has_mirror(&job.place) {
        let notes = vec![format!("would be cloned with {total} refs.")];
        return Ok(Preview { verdict: Verdict::WouldClone, refs: all_new, notes, source: Some(source) });
    }
    let local = match look(tools, &dir).await {
        Ok(local) => local,
        Err(failure) if failure.reason() == Reason::Corrupt => {
            let notes = vec![format!("is damaged and would be cloned anew: {failure}.")];
            return Ok(Preview { verdict: Verdict::WouldClone, refs: all_new, notes, source: Some(source) });
        }
        Err(failure) => return Err(failure),
    };
    let decision = decide::decide(&local, &source, &job.rules);
    let created = decision.take.iter().filter(|update| update.change.before().is_none()).count();
    let counts = RefCounts {
        created,
        forwarded: decision.take.len() - created,
        forced: 0,
        deleted: decision.delete.len(),
        total,
    };
    let head = if decision.held.is_none() { update::head_move(&dir, &source, job.repo)? } else { None };
    let head_line = head.as_ref().map(|head| match head {
        Head::Branch(target) => format!("would move HEAD to {target}."),
        Head::Commit(oid) => format!("would detach HEAD at {}.", oid.short()),
    });
    let lines = decision.take.iter().chain(&decision.delete).map(|update| format!("would {update}.")).chain(head_line);
    let held = decision.held.iter().map(|why| format!("would be held: {why}."));
    let verdict = match (&decision.held, decision.is_empty() && head.is_none()) {
        (Some(_), _) => Verdict::Held,
        (None, true) => Verdict::Current,
        (None, false) => Verdict::WouldUpdate,
    };
    let notes = held.chain(lines).collect();
    Ok(Preview { verdict, refs: counts, notes, source: None })
}

fn names(paths: &[PathBuf], dir: &Path) -> String {
    let shown: Vec<_> = paths.iter().map(|path| path.strip_prefix(dir).unwrap_or(path).display().to_string()).collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_our_time_alone_or_than_ten_minutes_was_left_behind() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let ago = |seconds| now - Duration::from_secs(seconds);
        assert_eq!(left_before(ago(5), now), ago(5), "before the run");
        assert_eq!(left_before(ago(86_400), now), ago(600), "during a watch");
    }
}
