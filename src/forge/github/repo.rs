//! A repository in GitHub's answers.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::forge::gather::{Raw, time, visibility};
use crate::model::{RepoState, Visibility};

/// A repository, as far as we read it ("Repositories" of the REST API, version 2022-11-28).
#[derive(Deserialize)]
pub(super) struct RepoJson {
    id: u64,
    full_name: String,
    clone_url: Option<String>,
    ssh_url: Option<String>,
    default_branch: Option<String>,
    pushed_at: Option<String>,
    size: Option<u64>,
    visibility: Option<String>,
    #[serde(default)]
    private: bool,
    #[serde(default)]
    fork: bool,
    archived: Option<bool>,
    disabled: Option<bool>,
    topics: Option<Vec<String>>,
    description: Option<String>,
    /// Where a repository of the old import kind is fed from.
    pub(super) mirror_url: Option<IgnoredAny>,
}

impl RepoJson {
    /// The same in the words of all forges.
    pub(super) fn raw(self) -> Raw {
        let by_flag = if self.private { Visibility::Private } else { Visibility::Public };
        // GitHub has no word for "empty", and a small repository has size 0 too: only more than that tells.
        let state = match self.disabled {
            Some(true) => RepoState::Disabled,
            _ if self.size > Some(0) => RepoState::Filled,
            _ => RepoState::Ready,
        };
        Raw {
            id: self.id,
            full_name: self.full_name,
            http_url: self.clone_url,
            ssh_url: self.ssh_url,
            default_branch: self.default_branch,
            pushed_at: time(self.pushed_at.as_deref()),
            size_kib: self.size,
            // Enterprise Servers before 3.0 know only the flag.
            visibility: visibility(self.visibility.as_deref()).or(Some(by_flag)),
            fork: self.fork,
            archived: self.archived.unwrap_or(false),
            state: Some(state),
            topics: self.topics.unwrap_or_default(),
            description: self.description,
            // GitHub has no switch for them.
            releases_off: false,
        }
    }
}
