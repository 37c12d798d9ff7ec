//! GitLab.com and GitLabs of one's own.
//!
//! With a token and no owners: every project that its user is a member of, directly or through a group. With owners: a
//! group with its subgroups, or a user. Archived projects, and those waiting for their deletion, are listed like others.
//!
//! `last_activity_at` stands for the last push. GitLab writes it at most once an hour per project, so two pushes within an
//! hour may look like one: whoever skips by it must look again for an hour.

use async_trait::async_trait;
use serde::Deserialize;
use serde::de::IgnoredAny;
use url::Url;

use super::gather::{Entry, Gathering, Home, Raw, at_the_entrance, check_id, check_scope, time, visibility};
use super::http::{Api, Auth};
use super::paging::{PageFailed, Told, pages};
use super::{Connection, Listing, Source};
use crate::failure::{Failure, Reason};
use crate::model::{Repo, RepoState, Visibility};

/// The largest page that GitLab gives, oldest first: what is created while we page moves nothing.
const PAGE: [(&str, &str); 3] = [("per_page", "100"), ("order_by", "id"), ("sort", "asc")];

/// One GitLab as a source.
pub(super) struct Gitlab {
    api: Api,
    home: Home,
    owners: Vec<String>,
}

/// A project, as far as we read it ("Projects API"); without a token many of the fields are missing.
#[derive(Deserialize)]
struct ProjectJson {
    id: u64,
    path_with_namespace: String,
    http_url_to_repo: Option<String>,
    ssh_url_to_repo: Option<String>,
    default_branch: Option<String>,
    last_activity_at: Option<String>,
    visibility: Option<String>,
    forked_from_project: Option<IgnoredAny>,
    archived: Option<bool>,
    empty_repo: Option<bool>,
    repository_access_level: Option<String>,
    topics: Option<Vec<String>>,
    /// The name of `topics` before GitLab 14.
    tag_list: Option<Vec<String>>,
    description: Option<String>,
    statistics: Option<Statistics>,
}

#[derive(Deserialize)]
struct Statistics {
    /// In bytes.
    repository_size: Option<u64>,
}

impl Gitlab {
    /// A source at `connection.api_url` (`https://gitlab.com/api/v4`); nothing is sent yet.
    pub(super) fn open(connection: Connection) -> Result<Self, Failure> {
        check_scope(&connection)?;
        let api = Api::new(&connection, Auth::PrivateToken)?;
        Ok(Gitlab { api, home: Home::of(&connection), owners: connection.owners })
    }

    fn entry(&self, json: ProjectJson) -> Entry {
        // Who is not signed in sees public projects only, without being told that they are.
        let unsaid = if self.api.has_token() { Visibility::Private } else { Visibility::Public };
        let state = match json.repository_access_level.as_deref() {
            Some("disabled") => RepoState::Disabled,
            _ if json.empty_repo == Some(true) => RepoState::Empty,
            _ => RepoState::Ready,
        };
        self.home.entry(Raw {
            id: json.id,
            full_name: json.path_with_namespace,
            http_url: json.http_url_to_repo,
            ssh_url: json.ssh_url_to_repo,
            default_branch: json.default_branch,
            pushed_at: time(json.last_activity_at.as_deref()),
            size_kib: json.statistics.and_then(|statistics| statistics.repository_size).map(|bytes| bytes / 1024),
            visibility: visibility(json.visibility.as_deref()).or(Some(unsaid)),
            fork: json.forked_from_project.is_some(),
            archived: json.archived.unwrap_or(false),
            state: Some(state),
            topics: json.topics.or(json.tag_list).unwrap_or_default(),
            description: json.description,
        })
    }

    async fn projects(&self, url: Url, take: &mut (dyn FnMut(Vec<Entry>) + Send)) -> Result<Told, PageFailed> {
        pages(&self.api, url, &|json| self.entry(json), take).await
    }

    fn member_url(&self) -> Url {
        // Sizes come only where the user is at least a reporter; elsewhere the field is left out.
        let query = [("membership", "true"), ("statistics", "true"), ("pagination", "keyset")];
        self.api.url(&["projects"], &[&query[..], &PAGE].concat())
    }

    fn group_url(&self, group: &str) -> Url {
        let query = [("include_subgroups", "true"), ("with_shared", "false")];
        self.api.url(&["groups", group, "projects"], &[&query[..], &PAGE].concat())
    }

    fn user_url(&self, user: &str) -> Url {
        self.api.url(&["users", user, "projects"], &PAGE)
    }

    /// What one group or user has.
    async fn list_owner(&self, owner: &str, gathering: &mut Gathering<'_>) -> Result<(), Failure> {
        let no_group = match self.projects(self.group_url(owner), &mut |page| gathering.take(page)).await {
            Ok(_) => return Ok(()),
            Err(failed) if failed.is_refusal() && failed.failure.reason == Reason::RemoteNotFound => failed,
            Err(failed) => return gathering.refuse_or_fail(owner, failed),
        };
        // A user's name has no slash: what has one was a subgroup.
        if owner.contains('/') {
            return gathering.refuse_or_fail(owner, no_such_owner(no_group));
        }
        match self.projects(self.user_url(owner), &mut |page| gathering.take(page)).await {
            Ok(_) => Ok(()),
            Err(failed) => gathering.refuse_or_fail(owner, no_such_owner(failed)),
        }
    }
}

fn no_such_owner(mut failed: PageFailed) -> PageFailed {
    if failed.failure.reason == Reason::RemoteNotFound {
        failed.failure = failed.failure.with_hint("check the name: the token sees no such group or user.");
    }
    failed
}

#[async_trait]
impl Source for Gitlab {
    async fn list(&self, seen: &(dyn Fn(usize) + Send + Sync)) -> Result<Listing, Failure> {
        let mut gathering = Gathering::new(seen);
        if self.owners.is_empty() {
            self.projects(self.member_url(), &mut |page| gathering.take(page)).await.map_err(at_the_entrance)?;
        }
        for owner in &self.owners {
            self.list_owner(owner, &mut gathering).await?;
        }
        Ok(gathering.done())
    }

    async fn find(&self, id: &str) -> Result<Option<Repo>, Failure> {
        check_id(id)?;
        match self.api.get(self.api.url(&["projects", id], &[])).await {
            Ok(json) => self.entry(json).into_repo().map(Some),
            Err(failure) if failure.reason == Reason::RemoteNotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}
