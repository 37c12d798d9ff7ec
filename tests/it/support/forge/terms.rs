//! How a forge treats those who write: dialect, scopes, limits, and what an old server does not know yet.

use std::collections::{BTreeMap, BTreeSet};

use super::dialect::{Dialect, PUSH_SCOPES};
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
    /// The most releases in one page.
    pub(super) release_page: Option<usize>,
    /// How many release POSTs after a push are answered with a page for people, by Gitea.
    pub(super) html_500_after_push: usize,
    /// How many looks at a repository after its first push show it as empty still, by Gitea.
    pub(super) unnoticed_after_push: usize,
    /// Whether the forge tells the SHA-256 of its files.
    pub(super) digests: bool,
    /// Whether GitLab takes links.
    pub(super) links: bool,
    /// Whether a part of a file can be asked for.
    pub(super) ranges: bool,
    /// Whether GitHub takes assets without a byte; the real one does not.
    pub(super) empty_assets: bool,
    /// GitLab and Gitea redirect to the second host too, as with object storage.
    pub(super) object_storage: bool,
    /// Goes up when the links to the second host that were given out stop working.
    pub(super) storage_epoch: u64,
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
            release_page: None,
            html_500_after_push: 0,
            unnoticed_after_push: 0,
            digests: true,
            links: true,
            ranges: true,
            empty_assets: false,
            object_storage: false,
            storage_epoch: 0,
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

    /// Whether a user with this token may push, whatever the branch.
    pub(super) fn may_push(&self, record: &Record, user: &str, token: Option<&str>) -> bool {
        let member = self.affiliation(record, user).is_some() && !record.settings.readers.contains(user);
        member && token.is_none_or(|token| self.has_scope(token, &PUSH_SCOPES))
    }

    /// Whether this account has as many repositories as it may.
    pub(super) fn is_full(&self, namespace: &str) -> Option<usize> {
        let count = self.repos.iter().filter(|record| record.namespace == namespace).count();
        self.terms.quota.filter(|most| count >= *most)
    }

    /// Whether Gitea keeps a file without a byte as it is: since 1.17.
    pub(super) fn gitea_keeps_empty_files(&self) -> bool {
        let mut numbers = self.terms.gitea_version.split('.').map(|part| part.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (1, 17)
    }

    /// Whether Gitea's rules can allow forced pushes: since 1.23.
    pub(super) fn gitea_knows_force_push(&self) -> bool {
        self.gitea_is_from(1, 23)
    }

    /// Whether Gitea's rules have names of their own, and patterns: since 1.19.
    pub(super) fn gitea_knows_patterns(&self) -> bool {
        self.gitea_is_from(1, 19)
    }

    fn gitea_is_from(&self, major: u32, minor: u32) -> bool {
        let mut numbers = self.terms.gitea_version.split('.').map(|part| part.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (major, minor)
    }
}
