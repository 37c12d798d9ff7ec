//! A repository in Gitea's answers.

use serde::Deserialize;

use crate::forge::gather::{Raw, time};
use crate::model::{RepoState, Visibility};

/// A repository, as far as we read it (`Repository` of the server's own API description).
#[derive(Deserialize)]
pub(super) struct RepoJson {
    id: u64,
    full_name: String,
    clone_url: Option<String>,
    ssh_url: Option<String>,
    default_branch: Option<String>,
    updated_at: Option<String>,
    mirror_updated: Option<String>,
    /// In KiB.
    size: Option<u64>,
    #[serde(default)]
    private: bool,
    #[serde(default)]
    internal: bool,
    #[serde(default)]
    fork: bool,
    #[serde(default)]
    pub(super) mirror: bool,
    #[serde(default)]
    pub(super) empty: bool,
    #[serde(default)]
    archived: bool,
    topics: Option<Vec<String>>,
    description: Option<String>,
    /// Older servers do not tell; nor do they, before 1.24, of the code.
    pub(super) has_releases: Option<bool>,
    has_code: Option<bool>,
}

impl RepoJson {
    /// The same in the words of all forges.
    pub(super) fn raw(self) -> Raw {
        let updated = time(self.updated_at.as_deref());
        // A pull mirror's `updated_at` is the date of its newest commit, which a moved branch need not change.
        let synced = time(self.mirror_updated.as_deref()).filter(|_| self.mirror);
        let visibility = match (self.private, self.internal) {
            (true, _) => Visibility::Private,
            (false, true) => Visibility::Internal,
            (false, false) => Visibility::Public,
        };
        let state = match self.has_code {
            Some(false) => RepoState::Disabled,
            _ if self.empty => RepoState::Empty,
            _ => RepoState::Filled,
        };
        Raw {
            id: self.id,
            full_name: self.full_name,
            http_url: self.clone_url,
            ssh_url: self.ssh_url,
            default_branch: self.default_branch,
            pushed_at: updated.max(synced),
            size_kib: self.size,
            visibility: Some(visibility),
            fork: self.fork,
            archived: self.archived,
            state: Some(state),
            topics: self.topics.unwrap_or_default(),
            description: self.description,
            releases_off: self.has_releases == Some(false),
        }
    }
}
