//! The copy of another repository at the place where this one is to go: a repository was deleted or renamed at its source,
//! and a new one has its name.

use std::collections::BTreeSet;

use super::Push;
use crate::base::failure::{Failure, Reason};
use crate::git::refs::{Advertisement, Oid};

impl Push<'_> {
    /// Refuses to overwrite the copy of another repository, unless their histories meet or a person has accepted it. They
    /// meet when the mirror knows any commit or tag that a ref there names.
    pub(super) async fn may_overwrite(&self, there: &Advertisement) -> Result<(), Failure> {
        let Some(holder) = self.job.holder.filter(|_| !self.job.accepted) else { return Ok(()) };
        let theirs: BTreeSet<Oid> = there.refs.values().copied().collect();
        if theirs.is_empty() || !self.tools.git.known_objects(self.job.mirror, &theirs).await?.is_empty() {
            return Ok(());
        }
        let text = format!(
            "{} has the copy of another repository that had this name (id {} on {}), and their histories do not meet: \
             nothing was pushed",
            self.job.place, holder.id, holder.folder
        );
        let hint = format!(
            "rename the old copy at the destination to keep it; or run again with --accept-deletions {} to overwrite it.",
            self.job.repo.path
        );
        Err(Failure::new(Reason::Held, text).with_hint(hint))
    }
}
