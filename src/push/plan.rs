//! What a push to one place will do.

use bstr::BString;

use crate::git::refs::RefUpdate;
use crate::model::destination::RefusedRef;

/// What happens at a destination.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PushPlan {
    /// Creations and moves.
    pub push: Vec<RefUpdate>,
    pub delete: Vec<RefUpdate>,
    /// Refs that stay as they are there although the mirror says otherwise, because they hold foreign commits.
    pub diverged: Vec<BString>,
    /// Refs that stay because a rule protects them.
    pub foreign: usize,
    /// Refs of the mirror that cannot be brought there, and why.
    pub unfit: Vec<RefusedRef>,
    /// What a person should know of what is left alone.
    pub notes: Vec<String>,
    /// Why nothing is deleted, when the guard says so.
    pub held: Option<String>,
    /// What was pushed before the rest, so that it could become the default branch.
    pub done: Vec<RefUpdate>,
}

impl PushPlan {
    /// Whether nothing has to be sent.
    pub fn is_empty(&self) -> bool {
        self.push.is_empty() && self.delete.is_empty()
    }
}
