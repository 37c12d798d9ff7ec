//! The default branch at a forge: pushed before the others into an empty repository, compared and set after the push.
//!
//! A forge chooses the default branch itself when the first branches arrive. Gitea takes `main` or `master`, or else the
//! first of the push; GitHub takes the name that its settings have, or else the first by name; GitLab leaves git's HEAD
//! at the instance's own default. Gitea remembers its choice beside git's HEAD, and the two can differ.

use bstr::{BStr, BString, ByteSlice};

use super::{Push, Refusals, edit};
use crate::base::failure::{Failure, Reason};
use crate::git::refs::{Advertisement, RefUpdate};
use crate::model::destination::DestinationKind;
use crate::push::plan::PushPlan;

const BRANCHES: &[u8] = b"refs/heads/";

impl Push<'_> {
    /// Pushes the default branch alone into a repository that has no branches yet, so that the forge cannot choose another.
    pub(super) async fn default_branch_alone(
        &self,
        there: &Advertisement,
        plan: &mut PushPlan,
        refusals: &mut Refusals,
    ) -> Result<(), Failure> {
        let Some(target) = self.target else { return Ok(()) };
        let Some(update) = goes_alone(self.job.head, there, plan) else { return Ok(()) };
        let said = target.default_branch.as_deref();
        if is_chosen_anyway(self.job.destination.config.kind, &update, said, plan) {
            return Ok(());
        }
        let refused = self.send(&[edit(&update)]).await?;
        if refused.is_empty() {
            plan.push.retain(|other| other.name != update.name);
            plan.done.push(update);
        }
        refusals.extend(refused);
        Ok(())
    }

    /// Makes the source's default branch that of the destination, in git's HEAD and in what the forge says. Returns what a
    /// person should know although nothing failed.
    ///
    /// `before` is what was there before the push, `now` what is there after it; `was_set` says that the forge has
    /// confirmed the default branch in between.
    pub(super) async fn default_branch_last(
        &self,
        before: &Advertisement,
        now: &Advertisement,
        was_set: bool,
        refusals: &Refusals,
    ) -> Result<Option<String>, Failure> {
        let Some(new) = self.job.head else { return Ok(None) };
        let is_there = now.refs.contains_key(new) && self.job.refs.refs.contains_key(new);
        if !is_there || refusals.contains_key(new) {
            return Ok(None);
        }
        let in_git = now.head.as_ref().is_some_and(|head| head == new);
        let said = was_set || self.forge_says(before, new).await?;
        if in_git && said {
            return Ok(None);
        }
        // Gitea changes git's HEAD only together with what it remembers.
        let is_gitea = self.target.is_some() && self.job.destination.config.kind == DestinationKind::Gitea;
        if let Some(other) = other_branch(now, new).filter(|_| said && is_gitea) {
            self.set_head(other).await?;
        }
        self.set_head(new).await?;
        self.see_head(new).await
    }

    /// The branches that are the default one there, for git or for the forge, and that are about to be deleted.
    pub(super) fn old_defaults(&self, there: &Advertisement, plan: &PushPlan) -> Vec<BString> {
        let said = self.target.filter(|_| has_branches(there)).and_then(|target| target.default_branch.as_deref());
        let said = said.map(|said| BString::from(format!("refs/heads/{said}")));
        let mut old: Vec<BString> = there.head.iter().cloned().chain(said).collect();
        let goes = |name: &BString| plan.delete.iter().any(|update| update.name == *name);
        old.retain(|name| self.job.head.is_some_and(|new| new != name) && goes(name));
        old.dedup();
        old
    }

    /// Whether the forge itself calls `branch` the default one.
    async fn forge_says(&self, before: &Advertisement, branch: &BStr) -> Result<bool, Failure> {
        let (Some(forge), Some(target)) = (&self.job.destination.forge, self.target) else { return Ok(true) };
        let said = match has_branches(before) {
            true => target.default_branch.clone(),
            // It made its choice when the first branches arrived.
            false => forge.find(&target.path).await?.and_then(|target| target.default_branch),
        };
        Ok(said.is_none_or(|said| branch.strip_prefix(BRANCHES) == Some(said.as_bytes())))
    }

    /// Looks whether git's HEAD followed what the forge confirmed.
    async fn see_head(&self, branch: &BStr) -> Result<Option<String>, Failure> {
        if self.target.is_none() {
            return Ok(None);
        }
        match self.look().await?.head {
            Some(head) if head == branch => Ok(None),
            Some(head) => {
                let text =
                    format!("the forge calls {} the default branch, and git's HEAD there does not", shown(branch));
                Err(Failure::new(Reason::ServerError, text).with_evidence(format!("HEAD is {head}")))
            }
            None => Ok(Some(format!(
                "git's HEAD there names no branch, so a clone checks nothing out; set another default branch on the forge, \
                 and then {} again.",
                shown(branch)
            ))),
        }
    }
}

/// The update of the default branch, where the others must wait for it.
fn goes_alone(head: Option<&BStr>, there: &Advertisement, plan: &PushPlan) -> Option<RefUpdate> {
    let branches = plan.push.iter().filter(|update| update.name.starts_with(BRANCHES)).count();
    let wanted = head.filter(|_| branches > 1 && !has_branches(there))?;
    plan.push.iter().find(|update| update.name == wanted).cloned()
}

/// Whether the forge makes this branch the default one also when all branches come together, as far as that is known.
/// `said` is what it calls the default branch of the empty repository.
fn is_chosen_anyway(kind: DestinationKind, update: &RefUpdate, said: Option<&str>, plan: &PushPlan) -> bool {
    let branch = update.name.as_bstr();
    let comes = |other: &str| plan.push.iter().any(|update| update.name == other);
    match kind {
        DestinationKind::Gitea if branch == "refs/heads/main" => !comes("refs/heads/master"),
        DestinationKind::Gitea if branch == "refs/heads/master" => !comes("refs/heads/main"),
        DestinationKind::Github => said.is_some_and(|said| branch.strip_prefix(BRANCHES) == Some(said.as_bytes())),
        _ => false,
    }
}

fn has_branches(there: &Advertisement) -> bool {
    there.refs.keys().any(|name| name.starts_with(BRANCHES))
}

/// A branch that can be the default one for a moment: what HEAD names, or else any.
fn other_branch<'a>(now: &'a Advertisement, new: &BStr) -> Option<&'a BStr> {
    let is_branch = |name: &&BString| name.starts_with(BRANCHES) && **name != new && now.refs.contains_key(*name);
    now.head.iter().chain(now.refs.keys()).find(is_branch).map(|name| name.as_bstr())
}

fn shown(branch: &BStr) -> String {
    branch.strip_prefix(BRANCHES).unwrap_or(branch).to_str_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::refs::{Change, Oid};

    fn there(names: &[&str], head: Option<&str>) -> Advertisement {
        let refs = names.iter().map(|name| (BString::from(*name), Oid::null())).collect();
        Advertisement { refs, head: head.map(BString::from), ..Advertisement::default() }
    }

    fn plan(names: &[&str]) -> PushPlan {
        let create = |name: &&str| RefUpdate { name: (*name).into(), change: Change::Create { new: Oid::null() } };
        PushPlan { push: names.iter().map(create).collect(), ..PushPlan::default() }
    }

    #[test]
    fn the_default_branch_goes_alone_only_where_a_forge_could_choose_another() {
        let trunk = BString::from("refs/heads/trunk");
        let alone = |there: &Advertisement, names: &[&str]| {
            goes_alone(Some(trunk.as_bstr()), there, &plan(names)).map(|update| update.name)
        };
        let (empty, tagged) = (there(&[], None), there(&["refs/tags/v1"], None));
        assert_eq!(alone(&empty, &["refs/heads/a", "refs/heads/trunk"]), Some(trunk.clone()));
        assert_eq!(alone(&tagged, &["refs/heads/a", "refs/heads/trunk"]), Some(trunk.clone()));
        assert_eq!(alone(&empty, &["refs/heads/trunk", "refs/tags/v1"]), None);
        assert_eq!(alone(&empty, &["refs/heads/a", "refs/heads/b"]), None);
        assert_eq!(alone(&there(&["refs/heads/a"], None), &["refs/heads/b", "refs/heads/trunk"]), None);
        assert_eq!(goes_alone(None, &empty, &plan(&["refs/heads/a", "refs/heads/trunk"])), None);
    }

    #[test]
    fn what_a_forge_chooses_anyway_needs_no_push_of_its_own() {
        let chosen = |kind, names: &[&str], said| {
            let plan = plan(names);
            is_chosen_anyway(kind, &plan.push[0], said, &plan)
        };
        let (gitea, github, gitlab) = (DestinationKind::Gitea, DestinationKind::Github, DestinationKind::Gitlab);
        assert!(chosen(gitea, &["refs/heads/main", "refs/heads/dev"], None));
        assert!(!chosen(gitea, &["refs/heads/main", "refs/heads/master"], Some("main")));
        assert!(!chosen(gitea, &["refs/heads/trunk", "refs/heads/dev"], Some("trunk")));
        assert!(chosen(github, &["refs/heads/trunk", "refs/heads/dev"], Some("trunk")));
        assert!(!chosen(github, &["refs/heads/trunk", "refs/heads/dev"], Some("main")));
        assert!(!chosen(gitlab, &["refs/heads/main", "refs/heads/dev"], Some("main")));
    }

    #[test]
    fn another_branch_is_what_head_names_or_any_other() {
        let trunk = BStr::new("refs/heads/trunk");
        let branches = ["refs/heads/a", "refs/heads/b", "refs/heads/trunk", "refs/tags/v1"];
        assert_eq!(other_branch(&there(&branches, Some("refs/heads/b")), trunk), Some(BStr::new("refs/heads/b")));
        assert_eq!(other_branch(&there(&branches, None), trunk), Some(BStr::new("refs/heads/a")));
        assert_eq!(other_branch(&there(&["refs/heads/trunk"], None), trunk), None);
    }
}
