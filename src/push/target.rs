//! The repository at a destination: found, or made where it is known to be missing.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::PushJob;
use super::open::Place;
use crate::base::failure::{Failure, Reason};
use crate::forge::destination::Destination;
use crate::git::Remote;
use crate::mirror::tools::Tools;
use crate::model::RepoPath;
use crate::model::destination::{NewRepo, ObjectFormat, Target};
use crate::progress::Sink;

/// A repository that can be pushed to.
pub(super) struct Resolved {
    pub remote: Remote,
    /// What the forge says of it; `None` for plain git.
    pub target: Option<Target>,
    pub created: bool,
}

/// Why there is none.
pub(super) enum NotThere {
    /// It would be made, if this were no dry run.
    Planned,
    Failed(Failure),
}

impl From<Failure> for NotThere {
    fn from(failure: Failure) -> Self {
        NotThere::Failed(failure)
    }
}

/// Finds the repository or makes it. Only a clear "it does not exist" lets it be made.
pub(super) async fn resolve(job: &PushJob<'_>, tools: &Tools, sink: &dyn Sink) -> Result<Resolved, NotThere> {
    match job.place {
        Place::Path(path) => {
            let Some(forge) = &job.destination.forge else {
                return Err(Failure::new(Reason::Unknown, format!("{path} has no forge")).into());
            };
            let (target, created) = match forge.find(path).await? {
                Some(target) => (target, false),
                None if !job.destination.config.create => {
                    let message = format!("{path} does not exist there, and `create` is off");
                    return Err(Failure::new(Reason::RemoteNotFound, message).into());
                }
                None if job.dry_run => return Err(NotThere::Planned),
                None => (make(job, forge.as_ref(), path, tools, sink).await?, true),
            };
            takes_pushes(&target)?;
            Ok(Resolved { remote: job.destination.remote(&target.url), target: Some(target), created })
        }
        Place::Url(url) => {
            let remote = job.destination.remote(url);
            let created = match job.destination.directory(job.place) {
                Some(dir) if !dir.exists() => {
                    if !job.destination.config.create {
                        let message = format!("{} does not exist, and `create` is off", dir.display());
                        return Err(Failure::new(Reason::RemoteNotFound, message).into());
                    }
                    if job.dry_run {
                        return Err(NotThere::Planned);
                    }
                    make_directory(job, &dir, tools).await?;
                    true
                }
                _ => false,
            };
            Ok(Resolved { remote, target: None, created })
        }
    }
}

/// Makes a repository that is known to be missing. A request that broke off may have done its work: what is there by
/// then was made by it.
async fn make(
    job: &PushJob<'_>,
    forge: &dyn Destination,
    path: &RepoPath,
    tools: &Tools,
    sink: &dyn Sink,
) -> Result<Target, Failure> {
    let object_format = object_format(job, tools).await?;
    let wish = NewRepo { object_format, ..job.destination.wish(job.repo, path) };
    let what = format!("{path} on {}", job.destination.config.id);
    let broke_off = AtomicBool::new(false);
    let attempt = || async {
        if broke_off.load(Ordering::Relaxed)
            && let Some(target) = forge.find(path).await?
        {
            forge.turn_off(&target).await;
            return Ok(Ok(target));
        }
        let made = forge.create(&wish).await;
        broke_off.store(true, Ordering::Relaxed);
        match made {
            // That was waited for already, and nothing was made.
            Err(failure) if failure.reason() == Reason::RateLimited => Ok(Err(failure)),
            made => made.map(Ok),
        }
    };
    tools.retry(&what, sink, attempt).await?
}

fn takes_pushes(target: &Target) -> Result<(), Failure> {
    if target.archived {
        let failure = Failure::new(Reason::Archived, format!("{} is archived there and takes no pushes", target.path));
        return Err(failure.with_hint("unarchive it, or exclude the repository from this destination."));
    }
    if target.pull_mirror {
        let message = format!("{} pulls from elsewhere by itself and takes no pushes", target.path);
        let hint = "turn its pull mirroring off, or name another namespace for this destination.";
        return Err(Failure::new(Reason::PushRejected, message).with_hint(hint));
    }
    Ok(())
}

/// The mirror's, which is the source's: as its refs have it, and where it has none as its configuration has it.
async fn object_format(job: &PushJob<'_>, tools: &Tools) -> Result<ObjectFormat, Failure> {
    match job.refs.refs.values().next() {
        Some(oid) if oid.to_string().len() == 64 => Ok(ObjectFormat::Sha256),
        Some(_) => Ok(ObjectFormat::Sha1),
        None => tools.git.object_format(job.mirror).await,
    }
}

/// Makes a bare repository: complete under another name first.
async fn make_directory(job: &PushJob<'_>, dir: &Path, tools: &Tools) -> Result<(), Failure> {
    let broken = |error| Failure::local(format!("cannot make {}", dir.display()), &error);
    let parent = dir.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(parent).map_err(broken)?;
    let folder = tempfile::Builder::new().prefix(".holocron-").tempdir_in(parent).map_err(broken)?;
    let fresh = folder.path().join("new.git");
    tools.git.init_bare(&fresh, object_format(job, tools).await?).await?;
    std::fs::rename(&fresh, dir).map_err(broken)
}
