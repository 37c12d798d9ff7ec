//! The upkeep of mirrors, after all else that a run has to do: few packs, few loose refs.
//!
//! Every fetch adds a pack, and each is opened by each git; every ref that moves becomes a file. No object is ever removed,
//! reachable or not, so nothing that a kept ref or a person may need. One mirror at a time, under the storage's lock, and
//! within a budget of time: what is cut short leaves what was there, and is made up for when the mirror is looked at next.

use std::cmp::Reverse;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{census, health, looks_whole};
use crate::base::failure::{Failure, Reason};
use crate::git::Git;
use crate::mirror::tools::Tools;
use crate::model::{OnDisk, Outcome, Status};
use crate::store::Store;

/// From this many packs on they are rolled up; git's own automatic upkeep begins there, too (`gc.autoPackLimit`).
const MOST_PACKS: u64 = 50;
/// From this many on, loose refs are packed.
const MOST_LOOSE_REFS: u64 = 200;

/// Does for the mirrors of a finished run what they need, those with the most packs first, for `budget` in all.
///
/// Looked at are those that went well in this run. What cannot be done is noted on the outcome: the mirror itself is as it
/// should be.
pub async fn keep_up(budget: Duration, tools: &Tools, store: Option<&Store>, outcomes: &mut [Outcome]) {
    let end = Instant::now() + budget;
    let mut due: Vec<&mut Outcome> = outcomes.iter_mut().filter(|outcome| is_due(outcome)).collect();
    due.sort_by_key(|outcome| Reverse(outcome.disk.and_then(|disk| disk.packs)));
    for outcome in due {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || tools.stop.is_cancelled() {
            tracing::debug!("{}: its upkeep waits for the next look at it", outcome.path);
            continue;
        }
        let dir = tools.storage.path(&outcome.mirror);
        if !looks_whole(&dir) {
            continue;
        }
        match tidy(&tools.git.within(left), &dir, outcome.disk.unwrap_or_default()).await {
            Ok(()) => {}
            Err(failure) if matches!(failure.reason(), Reason::TimedOut | Reason::Cancelled) => {
                tracing::debug!("{}: its upkeep was cut short: {failure}", outcome.path);
            }
            Err(failure) => outcome.notes.push(format!("its upkeep failed: {}.", tools.storage.explain(failure))),
        }
        outcome.disk = census::take(&dir).or(outcome.disk);
        if let (Some(store), Some(disk)) = (store, outcome.disk)
            && let Err(error) = store.record_disk(&outcome.key, disk).await
        {
            tracing::warn!("{}", Failure::from(error));
        }
    }
}

fn is_due(outcome: &Outcome) -> bool {
    // What the listing alone showed to be current took no time, and was not looked at.
    let looked_at = outcome.verdict.status() == Status::Success && !outcome.duration.is_zero();
    looked_at && outcome.disk.is_some_and(|disk| has_many_packs(disk) || has_many_loose_refs(disk))
}

fn has_many_packs(disk: OnDisk) -> bool {
    disk.packs.is_some_and(|packs| packs >= MOST_PACKS)
}

fn has_many_loose_refs(disk: OnDisk) -> bool {
    disk.loose_refs >= MOST_LOOSE_REFS
}

async fn tidy(git: &Git, dir: &Path, disk: OnDisk) -> Result<(), Failure> {
    let done = async {
        if has_many_loose_refs(disk) {
            git.pack_refs(dir).await?;
        }
        if has_many_packs(disk) { git.roll_up_packs(dir).await } else { Ok(()) }
    };
    let done = done.await;
    if done.is_err() {
        // A git that was killed may leave half a pack behind, and a lock. Nobody else works here.
        health::clear_litter(dir, SystemTime::now() + Duration::from_secs(1))?;
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Verdict;
    use crate::model::tests::outcome as of;

    fn outcome(verdict: Verdict, seconds: u64, packs: u64, loose_refs: u64) -> Outcome {
        let disk = Some(OnDisk { bytes: 1, packs: Some(packs), loose_refs });
        Outcome { disk, duration: Duration::from_secs(seconds), ..of("ns/a", verdict) }
    }

    #[test]
    fn due_is_what_went_well_was_looked_at_and_has_many_pieces() {
        for (is, wanted) in [
            (outcome(Verdict::Updated, 1, 50, 0), true),
            (outcome(Verdict::Current, 1, 50, 0), true),
            (outcome(Verdict::Updated, 1, 0, 200), true),
            (outcome(Verdict::Updated, 1, 49, 199), false),
            (outcome(Verdict::Current, 0, 50, 0), false),
            (outcome(Verdict::Held, 1, 50, 0), false),
            (outcome(Verdict::Failed, 1, 50, 0), false),
            (outcome(Verdict::Gone, 1, 50, 0), false),
        ] {
            assert_eq!(is_due(&is), wanted, "{:?} {:?}", is.verdict, is.disk);
        }
    }
}
