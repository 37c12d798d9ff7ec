//! One mirror on one destination: found or made, compared, pushed, verified.
//!
//! [`decide`] is pure. The source's mirror is complete before this begins; whatever happens here leaves it alone.

mod act;
mod alias;
mod claims;
pub mod decide;
pub mod fan;
pub mod journal;
mod moved;
pub mod open;
pub mod patience;
pub mod plan;
mod protect;
mod refusal;
mod room;
mod shadow;
mod slice;
mod target;
mod template;
mod way;

use std::path::Path;
use std::time::Instant;

use self::open::{Opened, Place};
use crate::base::failure::Failure;
use crate::config::Cliff;
use crate::git::refs::LocalRefs;
use crate::mirror::tools::Tools;
use crate::model::destination::{DestinationOutcome, PushVerdict};
use crate::model::{MirrorKey, Repo};
use crate::progress::Sink;
use crate::store::Store;

/// One push to be made.
pub struct PushJob<'a> {
    pub repo: &'a Repo,
    /// The mirror's directory.
    pub mirror: &'a Path,
    /// The mirror's refs, as they were verified.
    pub refs: &'a LocalRefs,
    /// The branch that the mirror's HEAD names, in full.
    pub head: Option<&'a bstr::BStr>,
    pub destination: &'a Opened,
    pub place: &'a Place,
    /// Another repository whose copy was pushed to this place, as far as is remembered.
    pub holder: Option<&'a MirrorKey>,
    pub cliff: Cliff,
    pub accepted: bool,
    /// Where opened rules are written down; a dry run has none.
    pub store: Option<&'a Store>,
    /// Only look; create and push nothing.
    pub dry_run: bool,
    /// The mirror is there, with the objects of its refs; a dry run may know the refs alone.
    pub has_objects: bool,
}

/// Brings one destination in step with the mirror; whatever happens is told by the outcome.
pub async fn push_mirror(job: &PushJob<'_>, tools: &Tools, sink: &dyn Sink) -> DestinationOutcome {
    let started = Instant::now();
    let id = &job.destination.config.id;
    let place = job.place.to_string();
    let patience = &job.destination.patience;
    if let Some(failure) = patience.over() {
        let outcome = DestinationOutcome::failed(id, place, failure);
        return DestinationOutcome { verdict: PushVerdict::Skipped, ..outcome };
    }
    let mut outcome = match target::resolve(job, tools, sink).await {
        Ok(target::Resolved { remote, target, created }) => {
            patience.answered();
            let shown = remote.url.to_string();
            let mut outcome = act::push_to_remote(job, &remote, target.as_ref(), created, tools, sink).await;
            outcome.created = created;
            outcome.place = shown;
            outcome
        }
        Err(target::NotThere::Planned) => DestinationOutcome {
            notes: vec![format!(
                "would be created, with {} refs.",
                decide::in_scope(&job.refs.refs, job.destination.config.refs).len()
            )],
            ..DestinationOutcome::new(id, place, PushVerdict::WouldPush)
        },
        Err(target::NotThere::Failed(failure)) => {
            patience.unanswered(&failure);
            DestinationOutcome::failed(id, place, failure)
        }
    };
    outcome.failure.iter().for_each(|failure| patience.failed(failure));
    outcome.duration = started.elapsed();
    outcome
}

/// The outcome of a destination that is not tried because the mirror itself is not in order.
pub fn skipped(destination: &Opened, place: &str, failure: &Failure) -> DestinationOutcome {
    let message = format!("not pushed: the mirror is not up to date ({})", failure.reason());
    let failure = failure.clone().with_message(message).with_evidence("");
    DestinationOutcome {
        verdict: PushVerdict::Skipped,
        ..DestinationOutcome::failed(&destination.config.id, place, failure)
    }
}
