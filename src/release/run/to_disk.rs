//! The releases of one repository into the backup beside its mirror.

use std::collections::BTreeSet;

use super::{Projected, Projector, skipped, stop};
use crate::base::failure::{Failure, Reason};
use crate::config::releases::ReleaseScope;
use crate::model::Status;
use crate::model::projection::{DISK, ReleaseProblem, ReleaseVerdict, ReleasesOutcome};
use crate::model::release::Release;
use crate::release::backup::Backup;
use crate::release::wish::select;

impl Projector<'_> {
    /// Brings the backup in step with the source's listing.
    pub(super) async fn to_disk(&self, turn: &Projected<'_>, scope: &ReleaseScope) -> ReleasesOutcome {
        if turn.outcome.verdict.status() != Status::Success {
            return skipped(DISK, turn.outcome.failure.as_ref());
        }
        let look = self.looks.get(&(turn.repo.key(), DISK.to_owned()));
        let settings = crate::base::text::digest(&format!("{scope:?}"));
        if self.rests(turn, look, &settings) {
            return ReleasesOutcome::new(DISK, ReleaseVerdict::Current);
        }
        let listing = match self.listing(turn).await {
            Ok(listing) => listing,
            Err(failure) => return ReleasesOutcome::failed(DISK, failure),
        };
        let backup = Backup::of(&self.tools.storage.path(&turn.outcome.mirror));
        let mut outcome = ReleasesOutcome::new(DISK, ReleaseVerdict::Current);
        let mut stopped = None;
        for release in select(listing, scope).into_iter().filter(|release| self.only(&release.tag)) {
            if self.tools.stop.is_cancelled() {
                stopped = Some(Failure::new(Reason::Cancelled, "stopped on request"));
                break;
            }
            if let Err(failure) = self.save(turn, &backup, release, &mut outcome).await {
                outcome.counts.incomplete += 1;
                outcome.problems.push(ReleaseProblem { tag: release.tag.clone(), asset: None, failure });
            }
        }
        let listed: BTreeSet<&str> = listing.iter().map(|release| release.tag.as_str()).collect();
        if !self.config.dry_run {
            match backup.mark_deleted(&listed, self.tools.now()) {
                Ok(0) => {}
                Ok(marked) => outcome.notes.push(format!("{marked} deleted at the source, and kept.")),
                Err(failure) => outcome.failure = Some(failure),
            }
        }
        if stopped.is_none() && self.tools.stop.is_cancelled() {
            stopped = outcome.problems.iter().map(|problem| &problem.failure).find(is_stop).cloned();
        }
        outcome.problems.retain(|problem| !is_stop(&&problem.failure));
        stop(stopped, &mut outcome);
        self.conclude(turn, outcome, settings).await
    }

    /// Brings one release to the disk. A file that fails is a problem; the release is written down when all are here.
    async fn save(
        &self,
        turn: &Projected<'_>,
        backup: &Backup,
        release: &Release,
        outcome: &mut ReleasesOutcome,
    ) -> Result<(), Failure> {
        let is_new = !backup.place(&release.tag).join("release.json").exists();
        let Some(wanted) = backup.compare(release)? else {
            outcome.counts.in_sync += 1;
            return Ok(());
        };
        if self.config.dry_run {
            let verb = if is_new { "save" } else { "update" };
            outcome.notes.push(format!("would {verb} the release {} with {} new files.", release.tag, wanted.len()));
            outcome.counts.updated += 1;
            return Ok(());
        }
        let place = backup.prepare(&release.tag)?;
        let (mut fetched, mut failed) = (Vec::new(), false);
        for file in wanted {
            let folder = self.tools.storage.temporary()?;
            let path = folder.path().join("asset");
            let got = self.transfer.into_file(turn.source.as_ref(), file.asset, &path).await;
            let placed = got.and_then(|(size, digest)| {
                let target = place.join(&file.file);
                let moved = std::fs::File::open(&path).and_then(|data| data.sync_all());
                moved
                    .and_then(|()| std::fs::rename(&path, &target))
                    .map_err(|error| Failure::local(format!("cannot write {}", target.display()), &error))?;
                Ok((file.file, size, digest))
            });
            match placed {
                Ok(one) => {
                    outcome.counts.assets += 1;
                    outcome.counts.bytes += one.1;
                    fetched.push(one);
                }
                Err(failure) => {
                    failed = true;
                    let (tag, asset) = (release.tag.clone(), Some(file.asset.name.clone()));
                    outcome.problems.push(ReleaseProblem { tag, asset, failure });
                }
            }
        }
        // What is here is written down, so that only the rest is fetched next time.
        backup.save(release, &fetched, self.tools.now())?;
        match (failed, is_new) {
            (true, _) => outcome.counts.incomplete += 1,
            (false, true) => outcome.counts.created += 1,
            (false, false) => outcome.counts.updated += 1,
        }
        Ok(())
    }
}

fn is_stop(failure: &&Failure) -> bool {
    failure.reason() == Reason::Cancelled
}
