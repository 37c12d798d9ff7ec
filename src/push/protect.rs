//! Branch rules that stand in the way: opened, and put back exactly as they were.

use std::future::Future;

use bstr::ByteSlice;

use super::{PushJob, journal};
use crate::base::failure::Failure;
use crate::config::destination::ProtectedBranches;
use crate::forge::destination::{Destination, Need, Undo};
use crate::git::refs::{RefUpdate, is_branch};
use crate::model::destination::Target;

/// What came of a push with its rules open.
pub(super) struct Opening<T> {
    pub pushed: T,
    /// What a person should know about the rules.
    pub notes: Vec<String>,
    /// Why a rule may still be open.
    pub left_open: Option<Failure>,
}

/// Opens rules of one repository for one push at a time.
pub(super) struct Opener<'a> {
    pub job: &'a PushJob<'a>,
    pub forge: &'a dyn Destination,
    pub target: &'a Target,
}

impl Opener<'_> {
    /// Opens the rules on the ref of `update` for `need`, does `push`, and closes them; `None` when nothing was tried.
    ///
    /// Each rule is written down before it is opened, and closed also when the push fails or the run is stopped.
    pub async fn with_rules_open<T, P>(
        &self,
        update: &RefUpdate,
        need: Need,
        push: impl FnOnce() -> P,
    ) -> Result<Option<Opening<T>>, Failure>
    where
        P: Future<Output = Result<T, Failure>>,
    {
        let policy = self.job.destination.config.protected_branches;
        if policy == ProtectedBranches::Fail || !is_branch(update.name.as_bstr()) {
            return Ok(None);
        }
        let branch = update.name.strip_prefix(b"refs/heads/").unwrap_or(&update.name).to_str_lossy().into_owned();
        let rules = self.forge.rules(self.target, &branch, need).await?;
        if rules.is_empty() {
            return Ok(None);
        }
        let mut opened = Vec::new();
        let result = self.open_and(&rules, need, policy, &mut opened, push).await;
        let (notes, left_open) = match policy {
            ProtectedBranches::Restore => self.close(&opened).await,
            _ => (Vec::new(), None),
        };
        match (result, left_open) {
            (Ok(pushed), left_open) => Ok(Some(Opening { pushed, notes, left_open })),
            (Err(failure), _) => Err(failure),
        }
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

    /// Puts every rule back, and crosses out those that are.
    async fn close(&self, opened: &[Undo]) -> (Vec<String>, Option<Failure>) {
        let Some(repair) = &self.job.destination.repair else { return (Vec::new(), None) };
        let (store, id) = (self.job.store, &self.job.destination.config.id);
        put_back(repair.as_ref(), opened, async |undo: &Undo| journal::forget(store, id, undo).await).await
    }
}

/// Puts rules back, in the order they were found, whatever becomes of one; returns what a person should know, and the first
/// failure.
async fn put_back(
    repair: &dyn Destination,
    opened: &[Undo],
    forget: impl AsyncFn(&Undo) -> Result<(), Failure>,
) -> (Vec<String>, Option<Failure>) {
    let (mut notes, mut first) = (Vec::new(), None);
    for undo in opened {
        let closed = match repair.restore_rule(undo).await {
            Ok(restored) => {
                notes.extend(journal::note_of(restored, undo));
                forget(undo).await
            }
            Err(failure) => Err(failure),
        };
        first = first.or(closed.err());
    }
    (notes, first)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::base::failure::Reason;
    use crate::forge::destination::Restored;
    use crate::model::RepoPath;
    use crate::model::destination::NewRepo;

    /// Puts back whatever it is given, but for one rule, and remembers what it was asked.
    #[derive(Default)]
    struct Forge {
        asked: Mutex<Vec<String>>,
    }

    fn unused<T>() -> Result<T, Failure> {
        Err(Failure::new(Reason::Unknown, "not of this test"))
    }

    #[async_trait]
    impl Destination for Forge {
        async fn find(&self, _: &RepoPath) -> Result<Option<Target>, Failure> {
            unused()
        }
        async fn own_namespace(&self) -> Result<String, Failure> {
            unused()
        }
        async fn create(&self, _: &NewRepo) -> Result<Target, Failure> {
            unused()
        }
        async fn rename(&self, _: &Target, _: &RepoPath) -> Result<Target, Failure> {
            unused()
        }
        fn know(&self, _: &[RepoPath]) {}
        async fn set_default_branch(&self, _: &Target, _: &str) -> Result<(), Failure> {
            unused()
        }
        async fn rules(&self, _: &Target, _: &str, _: Need) -> Result<Vec<Undo>, Failure> {
            unused()
        }
        async fn open_rule(&self, _: &Undo, _: Need) -> Result<(), Failure> {
            unused()
        }
        async fn restore_rule(&self, undo: &Undo) -> Result<Restored, Failure> {
            self.asked.lock().unwrap().push(undo.rule.clone());
            match undo.rule.as_str() {
                "stuck" => Err(Failure::new(Reason::ServerError, "it stays open")),
                "gone" => Ok(Restored::GoneWithBranch),
                _ => Ok(Restored::AsItWas),
            }
        }
    }

    #[tokio::test]
    async fn rules_are_put_back_although_one_cannot_be_crossed_out_and_another_stays_open() {
        let undo = |rule: &str| Undo {
            target: "1".to_owned(),
            path: RepoPath::parse("ns/x").unwrap(),
            rule: rule.to_owned(),
            before: serde_json::Value::Null,
        };
        let opened = ["unnoted", "stuck", "gone", "last"].map(undo);
        let (forge, crossed_out) = (Forge::default(), Mutex::new(Vec::new()));
        let (notes, first) = put_back(&forge, &opened, async |undo: &Undo| {
            crossed_out.lock().unwrap().push(undo.rule.clone());
            match undo.rule.as_str() {
                "unnoted" => Err(Failure::new(Reason::DiskFull, "cannot be written")),
                _ => Ok(()),
            }
        })
        .await;
        assert_eq!(*forge.asked.lock().unwrap(), ["unnoted", "stuck", "gone", "last"]);
        assert_eq!(*crossed_out.lock().unwrap(), ["unnoted", "gone", "last"]);
        assert_eq!(first.unwrap().reason(), Reason::DiskFull);
        assert!(notes.len() == 1 && notes[0].contains("gone with its branch"), "{notes:?}");
    }
}
