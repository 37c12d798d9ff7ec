//! How a forge treats those who write: dialect, scopes, limits, and what an old server does not know yet.

use std::collections::{BTreeMap, BTreeSet};

use super::dialect::Dialect;
use super::model::{Model, Record};

pub(super) struct Terms {
    pub(super) dialect: Dialect,
    /// The scopes of the tokens that do not have all.
    pub(super) scopes: BTreeMap<String, BTreeSet<String>>,
    /// The most repositories of one account.
    pub(super) quota: Option<usize>,
    /// Names that no repository may have.
    pub(super) reserved: BTreeSet<String>,
    /// GitLab's answer to `PATCH` of a protected branch, when it is too old for it.
    pub(super) gitlab_patch: Option<u16>,
    pub(super) gitea_version: String,
}

impl Default for Terms {
    fn default() -> Self {
        Terms {
            dialect: Dialect::default(),
            scopes: BTreeMap::new(),
            quota: None,
            reserved: BTreeSet::from([".".to_owned(), "..".to_owned()]),
            gitlab_patch: None,
            gitea_version: "1.21.0".to_owned(),
        }
    }
}

impl Model {
    /// Whose words git hears from a repository.
    pub(super) fn dialect(&self, record: &Record) -> Dialect {
        record.settings.dialect.unwrap_or(self.terms.dialect)
    }

    /// Whether a token has one of these scopes.
    pub(super) fn has_scope(&self, token: &str, any_of: &[&str]) -> bool {
        self.terms.scopes.get(token).is_none_or(|scopes| any_of.iter().any(|scope| scopes.contains(*scope)))
    }

    /// Whether this account has as many repositories as it may.
    pub(super) fn is_full(&self, namespace: &str) -> Option<usize> {
        let count = self.repos.iter().filter(|record| record.namespace == namespace).count();
        self.terms.quota.filter(|most| count >= *most)
    }

    /// Whether Gitea's rules can allow forced pushes: since 1.23.
    pub(super) fn gitea_knows_force_push(&self) -> bool {
        let mut numbers = self.terms.gitea_version.split('.').map(|part| part.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (1, 23)
    }
}
