//! Where repositories are written to: one trait, one implementation per kind of forge.
//!
//! [`open::destination`](super::open::destination) gives the one behind a forge's API. What they share stands in `site`.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::base::failure::Failure;
use crate::model::RepoPath;
use crate::model::destination::{NewRepo, Target};

pub(in crate::forge) mod site;
#[cfg(test)]
pub(in crate::forge) mod testing;

/// What a branch rule must allow for a push to go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// Any push at all.
    Push,
    Force,
    Delete,
}

/// How a rule that was opened is put back exactly as it was. It is written down before anything is changed, so that a
/// killed run is repaired by the next one; it holds no secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Undo {
    /// The forge's id of the repository.
    pub target: String,
    pub path: RepoPath,
    /// The branch or pattern that the rule is about.
    pub rule: String,
    /// What the forge needs to hear to have it as it was; only the forge that made it reads it.
    pub before: serde_json::Value,
}

/// What became of a rule that was to be put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    AsItWas,
    /// Its branch is deleted, and the server keeps no rule for a branch that is not there.
    GoneWithBranch,
}

/// A forge that repositories are pushed to. A failure always leaves the question open: it never means "missing".
#[async_trait]
pub trait Destination: Send + Sync {
    /// Looks a repository up; `None` when the forge says that it does not exist.
    ///
    /// # Errors
    /// Anything else, as unknown: network, limits, a server's failure, a token that may not look.
    async fn find(&self, path: &RepoPath) -> Result<Option<Target>, Failure>;

    /// The namespace of the token's own user, for destinations without a configured one.
    ///
    /// # Errors
    /// A request fails ([the reasons](crate::forge#failures)).
    async fn own_namespace(&self) -> Result<String, Failure>;

    /// Makes a repository (and the groups above it, where the forge has such and the token may), empty, with what makes
    /// no sense on a mirror turned off. One that exists by then is success.
    ///
    /// # Errors
    /// A request fails ([the reasons](crate::forge#failures)): missing scope, reserved name, quota, a namespace that is
    /// not there.
    async fn create(&self, wish: &NewRepo) -> Result<Target, Failure>;

    /// Turns off what makes no sense on a mirror and is not turned off by making it. [`Destination::create`] does this
    /// itself; it is for a repository whose creation broke off. What cannot be turned off stays on: the mirror is whole.
    async fn turn_off(&self, _target: &Target) {}

    /// Gives a repository another name within its namespace.
    ///
    /// # Errors
    /// A request fails ([the reasons](crate::forge#failures)).
    async fn rename(&self, target: &Target, to: &RepoPath) -> Result<Target, Failure>;

    /// Learns where our own repositories are: one that answers under another of these names has left the name that was
    /// asked for, which is free then.
    fn know(&self, ours: &[RepoPath]);

    /// Makes `branch` (short name), which exists there, the default one.
    ///
    /// # Errors
    /// A request fails ([the reasons](crate::forge#failures)).
    async fn set_default_branch(&self, target: &Target, branch: &str) -> Result<(), Failure>;

    /// Says what would have to be changed so that `branch` (short name) takes a push that needs `need`: one undo for
    /// each rule, made before anything is changed. Empty when no rule that this token can see stands in the way.
    ///
    /// # Errors
    /// A request fails ([the reasons](crate::forge#failures)), and rules that cannot be opened this way (GitHub's
    /// rulesets), with the reason.
    async fn rules(&self, target: &Target, branch: &str, need: Need) -> Result<Vec<Undo>, Failure>;

    /// Opens the rule that `undo` describes for `need`.
    ///
    /// # Errors
    /// A request fails ([the reasons](crate::forge#failures)).
    async fn open_rule(&self, undo: &Undo, need: Need) -> Result<(), Failure>;

    /// Puts a rule back exactly as it was; doing it twice is doing it once.
    ///
    /// # Errors
    /// A request fails ([the reasons](crate::forge#failures)).
    async fn restore_rule(&self, undo: &Undo) -> Result<Restored, Failure>;
}
