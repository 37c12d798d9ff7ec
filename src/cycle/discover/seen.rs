//! Pure: two sources may show the same repository; one of them mirrors it.

use std::collections::HashSet;

use crate::model::{ForgeKind, MirrorKey, Repo};

/// The repositories that are taken already. Forges come first: they know more of a repository than its URL tells.
#[derive(Debug, Default)]
pub(super) struct Seen {
    keys: HashSet<MirrorKey>,
    /// Host and name of what forges list; forges fold the case of names.
    of_forges: HashSet<(String, String)>,
}

impl Seen {
    /// Whether nobody has shown this repository before; from now on somebody has.
    pub(super) fn is_new(&mut self, kind: ForgeKind, repo: &Repo) -> bool {
        let name = (repo.folder.clone(), repo.path.to_string().to_lowercase());
        if kind == ForgeKind::Urls && self.of_forges.contains(&name) {
            tracing::debug!("{} is on a list and is listed by its forge, too", repo.url);
            return false;
        }
        if kind.is_forge() {
            self.of_forges.insert(name);
        }
        self.keys.insert(repo.key())
    }
}
