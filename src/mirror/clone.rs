//! A first clone, and the clone that takes a damaged mirror's place: complete beside it, then moved in by one rename.

use std::path::PathBuf;

use tempfile::TempDir;

use super::decide::{cliff, decide};
use super::salvage::{Salvaged, Wreck};
use super::update::{follow_head, is_shallow};
use super::{Done, Job};
use crate::base::failure::{Failure, Reason};
use crate::git::RefEdit;
use crate::git::refs::{Advertisement, LocalRefs};
use crate::mirror::tools::Tools;
use crate::model::{RefCounts, RepoState, Verdict};
use crate::progress::{Event, Sink};

/// A complete clone that is not in its place yet; dropped, it is gone.
struct Fresh {
    /// Removes what is left of it.
    folder: TempDir,
    dir: PathBuf,
    refs: LocalRefs,
    received: u64,
    shallow: bool,
    /// It has commits, be it only those of a detached HEAD.
    filled: bool,
}

impl Fresh {
    fn done(&self) -> Done {
        let total = self.refs.refs.len();
        let verdict = if total == 0 && !self.filled { Verdict::Empty } else { Verdict::Cloned };
        let counts = RefCounts { created: total, total, ..RefCounts::default() };
        Done { verdict, counts, received: self.received, kept: 0, held: None, shallow: self.shallow, left: None }
    }
}

/// Clones a mirror into its place.
pub(super) async fn clone(job: &Job<'_>, tools: &Tools, sink: &dyn Sink) -> Result<Done, Failure> {
    let fresh = fresh(job, tools, sink).await?;
    tools.storage.place(&fresh.dir, &job.place)?;
    Ok(fresh.done())
}

/// Clones anew beside a damaged mirror, moves that aside and takes its place.
pub(super) async fn replace(
    job: &Job<'_>,
    tools: &Tools,
    sink: &dyn Sink,
    damage: &Failure,
    notes: &mut Vec<String>,
) -> Result<Done, Failure> {
    let why = damage.evidence().unwrap_or_else(|| damage.message());
    sink.tell(&Event::Warning { text: &format!("{}: the mirror is damaged ({why}); cloning it anew.", job.repo.path) });
    let fresh = fresh(job, tools, sink).await.map_err(|failure| {
        let message = format!("the mirror is damaged ({why}) and could not be cloned anew: {}", failure.message());
        failure.with_message(message)
    })?;
    let old = tools.storage.path(&job.place);
    let wreck = Wreck::open(&tools.git, &old, &fresh.dir, fresh.folder.path()).await;
    if let Some(held) = shrunk(job, &fresh, wreck.as_ref().ok().and_then(Option::as_ref)) {
        let message = format!("the mirror is damaged ({why}), and its source has lost refs: nothing was replaced");
        let hint =
            format!("look at {}; if it is meant, run again with --accept-deletions {}.", job.remote.url, job.repo.path);
        return Err(Failure::new(Reason::Held, message).with_evidence(held).with_hint(hint));
    }
    let saved = match wreck {
        Ok(Some(wreck)) => wreck.salvage(&tools.git, (&fresh.dir, &fresh.refs), &job.rules).await,
        Ok(None) => Ok(Salvaged::default()),
        Err(failure) => Err(failure),
    };
    let aside = tools.storage.damaged_place(&job.place, tools.now());
    tools.storage.place(&old, &aside)?;
    tools.storage.place(&fresh.dir, &job.place)?;
    notes.push(format!("was damaged ({why}); cloned anew, the damaged copy is kept in {}.", aside.display()));
    let kept = saved.as_ref().map_or(0, |saved| saved.saved);
    match saved {
        Ok(Salvaged { saved: 0, lost: 0 }) => {}
        Ok(Salvaged { saved, lost }) => {
            if saved > 0 {
                notes.push(format!("{} went from it into the new mirror.", refs(saved)));
            }
            if lost > 0 {
                notes.push(format!("{} could not be read and stayed in the damaged copy.", refs(lost)));
            }
        }
        Err(failure) => notes.push(format!("its kept refs stayed in the damaged copy: {failure}.")),
    }
    Ok(Done { kept, ..fresh.done() })
}

/// The cliff guard's word on taking `fresh` for a mirror of which only a wreck, or only its record, is left.
fn shrunk(job: &Job<'_>, fresh: &Fresh, wreck: Option<&Wreck>) -> Option<String> {
    if job.rules.accepted {
        return None;
    }
    let now = Advertisement { refs: fresh.refs.refs.clone(), ..Advertisement::default() };
    let by_refs = wreck.and_then(|wreck| decide(&wreck.refs, &now, &job.rules).held);
    // Refs that are themselves what is damaged are not listed: the record counts them.
    let has = now.refs.len();
    by_refs.or_else(|| cliff(job.recorded, job.recorded.saturating_sub(has), has, job.rules.cliff))
}

fn refs(count: usize) -> String {
    if count == 1 { "1 kept ref".to_owned() } else { format!("{count} kept refs") }
}

async fn fresh(job: &Job<'_>, tools: &Tools, sink: &dyn Sink) -> Result<Fresh, Failure> {
    let attempt = || async { once(job, tools, sink).await.inspect_err(|failure| job.pass.heard(failure)) };
    tools.retry(&job.repo.path.to_string(), sink, attempt).await
}

async fn once(job: &Job<'_>, tools: &Tools, sink: &dyn Sink) -> Result<Fresh, Failure> {
    let git = &tools.git;
    let folder = tools.storage.temporary()?;
    let dir = folder.path().join("mirror.git");
    let mut tell =
        |phase: &str, percent, bytes| sink.tell(&Event::Phase { path: &job.repo.path, phase, percent, bytes });
    let received = git.clone_mirror(&job.remote, &dir, &mut tell).await?;

    let mut refs = git.local_refs(&dir).await?;
    // The source is itself a mirror of ours: what it keeps is not the source's.
    let foreign = std::mem::take(&mut refs.kept);
    let drop_foreign: Vec<_> = foreign.into_iter().map(|(name, old)| RefEdit::Delete { name, old }).collect();
    git.move_refs(&dir, &drop_foreign).await?;

    let mut source = Advertisement::default();
    if refs.refs.is_empty() {
        // A connection cut inside the headers makes git clone "an empty repository" and report success.
        source = git.ls_remote(&job.remote).await?;
        if !source.refs.is_empty() {
            return Err(Failure::new(Reason::NetworkFailed, "the clone came back empty, and the source is not"));
        }
        if job.repo.state == RepoState::Filled && source.head_oid.is_none() {
            let message = "the source answers that it has no refs, and its forge says that it has content";
            return Err(Failure::new(Reason::ServerError, message));
        }
    }
    // Git has followed the HEAD that was advertised; one that names a branch not yet born is not.
    let head = std::fs::read_to_string(dir.join("HEAD")).unwrap_or_default();
    let born = head.strip_prefix("ref: ").is_some_and(|name| refs.refs.contains_key(name.trim().as_bytes()));
    if !born && head.starts_with("ref: ") {
        follow_head(git, &dir, &source, job.repo).await?;
    }
    let shallow = is_shallow(&dir);
    let filled = !refs.refs.is_empty() || source.head_oid.is_some();
    Ok(Fresh { folder, dir, refs, received, shallow, filled })
}
