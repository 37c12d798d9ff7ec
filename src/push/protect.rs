//! Branch rules that stand in the way: opened, and put back exactly as they were.

use std::future::Future;

use bstr::ByteSlice;

use super::{PushJob, journal};
use crate::config::destination::ProtectedBranches;
use crate::failure::Failure;
use crate::forge::destination::{Destination, Need, Undo};
use crate::git::refs::{Change, RefUpdate, is_branch};
use crate::model::destination::Target;

/// Opens rules of one repository for one push at a time.
pub(super) struct Opener<'a> {
    pub job: &'a PushJob<'a>,
    pub forge: &'a dyn Destination,
    pub target: &'a Target,
}

impl Opener<'_> {
    /// Opens the rules on the ref of `update`, does `push`, and closes them; `None` when nothing was tried.
    ///
    /// Each rule is written down before it is opened, and closed also when the push fails or the run is stopped.
    pub async fn with_rules_open<T, P>(
        &self,
        update: &RefUpdate,
        push: impl FnOnce() -> P,
    ) -> Result<Option<T>, Failure>
    where
        P: Future<Output = Result<T, Failure>>,
    {
        let policy = self.job.destination.config.protected_branches;
        if policy == ProtectedBranches::Fail || !is_branch(update.name.as_bstr()) {
            return Ok(None);
        }
        let branch = update.name.strip_prefix(b"refs/heads/").unwrap_or(&update.name).to_str_lossy().into_owned();
        let need = match update.change {
            Change::Delete { .. } => Need::Delete,
            Change::Move { .. } => Need::Force,
            Change::Create { .. } => Need::Push,
        };
        let rules = self.forge.rules(self.target, &branch, need).await?;
        if rules.is_empty() {
            return Ok(None);
        }
        let mut opened = Vec::new();
        let result = self.open_and(&rules, need, policy, &mut opened, push).await;
        let closed = match policy {
            ProtectedBranches::Restore => self.close(&opened).await,
            _ => Ok(()),
        };
        let pushed = result?;
        closed?;
        Ok(Some(pushed))
    }

    async fn open_and<T, P>(
        &self,
        rules: &[Undo],
        need: Need,
        policy: ProtectedBranches,
        opened: &mut Vec<Undo>,
        push: impl FnOnce() -> P,
    ) -> Result<T, Failure>
    where
        P: Future<Output = Result<T, Failure>>,
    {
        for undo in rules {
            if policy == ProtectedBranches::Restore {
                let noted = journal::note(self.job.store, &self.job.destination.config.id, undo).await?;
                // Counted as open before it is: half an opening must be closed, too.
                opened.push(noted);
            }
            self.forge.open_rule(undo, need).await?;
        }
        push().await
    }

    /// Puts every rule back, in the order they were found; the first failure is told after all were tried.
    async fn close(&self, opened: &[Undo]) -> Result<(), Failure> {
        let Some(repair) = &self.job.destination.repair else { return Ok(()) };
        let mut result = Ok(());
        for undo in opened {
            let closed = repair.restore_rule(undo).await;
            match closed {
                Ok(()) => journal::forget(self.job.store, &self.job.destination.config.id, undo).await?,
                Err(failure) if result.is_ok() => result = Err(failure),
                Err(_) => {}
            }
        }
        result
    }
}
