//! One mirror, brought up to date: looked at, decided, fetched, moved, verified; or cloned; or healed.
//!
//! [`decide`] is pure and shared with the dry run; everything else here acts.

pub mod adopt;
pub mod checkout;
mod clone;
pub mod decide;
mod health;
mod update;

use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use crate::failure::{Failure, Reason};
use crate::git::Remote;
use crate::git::refs::LocalRefs;
use crate::model::{Outcome, RefCounts, Repo, Verdict};
use crate::progress::{Event, Sink};
use crate::tools::Tools;

use self::decide::Rules;

/// One mirror to work on.
#[derive(Debug)]
pub struct Job<'a> {
    pub repo: &'a Repo,
    pub remote: Remote,
    /// Where it lies or will lie, relative to the storage root.
    pub place: PathBuf,
    pub rules: Rules,
    /// Since when we are alone in the storage.
    pub alone_since: SystemTime,
}

/// What came of a mirror that did not fail.
#[derive(Debug)]
struct Done {
    verdict: Verdict,
    counts: RefCounts,
    received: u64,
    kept: usize,
    /// A guard's veto: the mirror is safe, and behind.
    held: Option<Failure>,
}

/// Brings one mirror up to date; whatever happens is told by the outcome.
pub async fn bring_up(job: &Job<'_>, tools: &Tools, sink: &dyn Sink) -> Outcome {
    let started = Instant::now();
    sink.tell(&Event::Started { path: &job.repo.path });
    let mut notes = Vec::new();
    let result = if tools.storage.has_mirror(&job.place) {
        update_or_heal(job, tools, sink, &mut notes).await
    } else {
        clone::clone(job, tools, sink).await
    };
    let mut outcome = match result {
        Ok(done) => Outcome {
            verdict: if done.held.is_some() { Verdict::Held } else { done.verdict },
            refs: done.counts,
            received: done.received,
            kept: Some(done.kept),
            failure: done.held,
            ..Outcome::new(job.repo, done.verdict)
        },
        Err(failure) => Outcome::failed(job.repo, failure),
    };
    if matches!(outcome.verdict, Verdict::Cloned | Verdict::Updated) {
        outcome.size = size_of(&tools.storage.path(&job.place));
    }
    outcome.mirror.clone_from(&job.place);
    outcome.notes = notes;
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
    let locks = health::clear_litter(&dir, job.alone_since)?;
    if !locks.is_empty() {
        notes.push(format!("removed {} left behind by a git that was killed.", names(&locks, &dir)));
    }
    let damage = match look(tools, &dir).await {
        Ok(local) => match update::update(job, tools, sink, &dir, local).await {
            // Git met damage while it worked: ours, or the source's?
            Err(failure) if failure.reason == Reason::Corrupt => match tools.git.check_objects(&dir).await {
                Ok(()) => return Err(failure),
                Err(damage) if damage.reason == Reason::Corrupt => damage,
                Err(other) => return Err(other),
            },
            result => return result,
        },
        Err(failure) if failure.reason == Reason::Corrupt => failure,
        Err(failure) => return Err(failure),
    };
    clone::replace(job, tools, sink, &damage, notes).await
}

/// Reads a mirror's refs after a look at its health; whatever makes that impossible is damage.
async fn look(tools: &Tools, dir: &Path) -> Result<LocalRefs, Failure> {
    health::check(dir)?;
    tools.git.local_refs(dir).await.map_err(|failure| match failure.reason {
        // "not a git repository" and kin: what lies there was a mirror.
        Reason::RemoteNotFound | Reason::Unknown => Failure { reason: Reason::Corrupt, ..failure },
        _ => failure,
    })
}

/// What a dry run shows of one mirror: what would happen to its refs, counted and one line each.
///
/// A moved ref counts as forwarded: only the objects, which nobody fetches here, tell whether it is forced.
///
/// # Errors
/// Whatever keeps us from looking at the source or the mirror.
pub async fn preview(
    job: &Job<'_>,
    tools: &Tools,
    sink: &dyn Sink,
) -> Result<(Verdict, RefCounts, Vec<String>), Failure> {
    let dir = tools.storage.path(&job.place);
    let source = tools.retry(&job.repo.path.to_string(), sink, || tools.git.ls_remote(&job.remote)).await?;
    let total = source.refs.len();
    let all_new = RefCounts { created: total, total, ..RefCounts::default() };
    if !tools.storage.has_mirror(&job.place) {
        return Ok((Verdict::Cloned, all_new, vec![format!("would be cloned with {total} refs.")]));
    }
    let local = match look(tools, &dir).await {
        Ok(local) => local,
        Err(failure) if failure.reason == Reason::Corrupt => {
            return Ok((Verdict::Cloned, all_new, vec![format!("is damaged and would be cloned anew: {failure}.")]));
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
    let lines = decision.take.iter().chain(&decision.delete).map(|update| format!("would {update}."));
    let held = decision.held.iter().map(|why| format!("would be held: {why}."));
    let verdict = match (&decision.held, decision.is_empty()) {
        (Some(_), _) => Verdict::Held,
        (None, true) => Verdict::Current,
        (None, false) => Verdict::Updated,
    };
    Ok((verdict, counts, held.chain(lines).collect()))
}

fn names(paths: &[PathBuf], dir: &Path) -> String {
    let shown: Vec<_> = paths.iter().map(|path| path.strip_prefix(dir).unwrap_or(path).display().to_string()).collect();
    shown.join(", ")
}

/// The bytes of all files under `dir`; `None` when it cannot be read.
fn size_of(dir: &Path) -> Option<u64> {
    let mut total = 0;
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).ok()? {
            let entry = entry.ok()?;
            let data = entry.metadata().ok()?;
            if data.is_dir() {
                folders.push(entry.path());
            } else {
                total += data.len();
            }
        }
    }
    Some(total)
}
