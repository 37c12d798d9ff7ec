//! GitLab.com and GitLabs of one's own as a destination.

use async_trait::async_trait;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::base::failure::Failure;
use crate::forge::Connection;
use crate::forge::destination::site::{Site, description};
use crate::forge::destination::{Destination, Need, Restored, Undo};
use crate::forge::gather::{Raw, visibility};
use crate::forge::gitlab::groups::Groups;
use crate::forge::gitlab::{SCOPE, display_name, leaving, word};
use crate::forge::http::{Answer, Auth};
use crate::model::RepoPath;
use crate::model::destination::{ObjectFormat, Target, Wish};

/// `validates :description, length: { maximum: 2000 }` of a project.
const LONGEST_DESCRIPTION: usize = 2000;
/// What makes no sense on a mirror; a server that does not know one of them ignores it.
const OFF: &[&str] = &[
    "issues_access_level",
    "merge_requests_access_level",
    "wiki_access_level",
    "builds_access_level",
    "snippets_access_level",
    "pages_access_level",
    "container_registry_access_level",
];

/// One GitLab as a destination.
pub(in crate::forge) struct GitlabDestination {
    pub(super) site: Site,
    groups: Groups,
}

/// A project, as far as we read it ("Projects API").
#[derive(Deserialize)]
struct ProjectJson {
    id: u64,
    path_with_namespace: String,
    http_url_to_repo: Option<String>,
    ssh_url_to_repo: Option<String>,
    default_branch: Option<String>,
    visibility: Option<String>,
    archived: Option<bool>,
    mirror: Option<bool>,
    marked_for_deletion_on: Option<String>,
    /// The same under its older name, which the API's version 5 drops.
    marked_for_deletion_at: Option<String>,
}

impl GitlabDestination {
    /// A destination at `connection.api_url`; nothing is sent yet.
    pub(in crate::forge) fn open(connection: &Connection) -> Result<Self, Failure> {
        Ok(GitlabDestination { site: Site::open(connection, Auth::PrivateToken, "GitLab")?, groups: Groups::default() })
    }

    fn target(&self, asked: &RepoPath, answer: &Answer) -> Result<Target, Failure> {
        let json: ProjectJson = answer.json()?;
        let since = json.marked_for_deletion_on.as_ref().or(json.marked_for_deletion_at.as_ref());
        if since.is_some() || is_leaving(&json.path_with_namespace) {
            return Err(leaving("project", &asked.to_string(), since));
        }
        let raw = Raw {
            id: json.id,
            full_name: json.path_with_namespace,
            http_url: json.http_url_to_repo,
            ssh_url: json.ssh_url_to_repo,
            default_branch: json.default_branch,
            visibility: visibility(json.visibility.as_deref()),
            archived: json.archived.unwrap_or(false),
            ..Raw::default()
        };
        self.site.target(asked, raw, json.mirror.unwrap_or(false))
    }

    fn body(wish: &Wish, group: Option<u64>) -> Value {
        let mut body = json!({
            "name": display_name(wish.path.name()),
            "path": wish.path.name(),
            "visibility": word(wish.visibility),
            "description": description(wish.description.as_deref(), LONGEST_DESCRIPTION),
            "initialize_with_readme": false,
            "auto_devops_enabled": false,
            "shared_runners_enabled": false,
        });
        for feature in OFF {
            body[*feature] = json!("disabled");
        }
        if let Some(branch) = &wish.default_branch {
            body["default_branch"] = json!(branch);
        }
        // Left out, it is the user's own namespace.
        if let Some(group) = group {
            body["namespace_id"] = json!(group);
        }
        // gitlab-org/gitlab!137659, behind the feature flag `support_sha256_repositories`; a server without it knows no other
        // than SHA-1, and passes over the field.
        if wish.object_format == ObjectFormat::Sha256 {
            body["repository_object_format"] = json!("sha256");
        }
        body
    }
}

/// Whether GitLab 18 and later has renamed a path, or a group above it, because it is to be deleted:
/// `acme/tool-deletion_scheduled-4711`.
fn is_leaving(path: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    path.split('/').any(|part| part.rsplit_once("-deletion_scheduled-").is_some_and(|(_, id)| number(id)))
}

#[async_trait]
impl Destination for GitlabDestination {
    async fn find(&self, path: &RepoPath) -> Result<Option<Target>, Failure> {
        let url = self.site.api.url(&["projects", &path.to_string()], &[]);
        let found = self.site.look(url).await?.filter(|answer| !self.site.has_left(path, answer));
        found.map(|answer| self.target(path, &answer)).transpose()
    }

    async fn own_namespace(&self) -> Result<String, Failure> {
        Ok(self.site.me().await?.login.clone())
    }

    async fn create(&self, wish: &Wish) -> Result<Target, Failure> {
        let namespace = wish.path.namespace();
        let group = match self.site.is_own(&namespace).await? {
            true => None,
            false => Some(self.groups.bring_about(&self.site, &wish.path, wish.visibility).await?.id),
        };
        let url = self.site.api.url(&["projects"], &[]);
        match self.site.change(Method::POST, url, Some(&GitlabDestination::body(wish, group))).await {
            Ok(answer) => self.target(&wish.path, &answer),
            Err(refusal)
                if matches!(refusal.status, Some(StatusCode::BAD_REQUEST | StatusCode::CONFLICT))
                    && refusal.says("already been taken") =>
            {
                self.find(&wish.path).await?.ok_or_else(|| self.site.hidden(&wish.path))
            }
            Err(refusal) => Err(self.site.not_created(&wish.path, refusal, SCOPE)),
        }
    }

    async fn rename(&self, target: &Target, to: &RepoPath) -> Result<Target, Failure> {
        let url = self.site.api.url(&["projects", &target.id], &[]);
        let body = json!({"name": display_name(to.name()), "path": to.name()});
        self.target(to, &self.site.change(Method::PUT, url, Some(&body)).await?)
    }

    fn know(&self, ours: &[RepoPath]) {
        self.site.know(ours);
    }

    async fn set_default_branch(&self, target: &Target, branch: &str) -> Result<(), Failure> {
        let url = self.site.api.url(&["projects", &target.id], &[]);
        self.site.change_default_branch(Method::PUT, url, branch).await
    }

    async fn rules(&self, target: &Target, branch: &str, need: Need) -> Result<Vec<Undo>, Failure> {
        self.protections(target, branch, need).await
    }

    async fn open_rule(&self, undo: &Undo, need: Need) -> Result<(), Failure> {
        self.open_protection(undo, need).await
    }

    async fn restore_rule(&self, undo: &Undo) -> Result<Restored, Failure> {
        self.restore_protection(undo).await.map(|()| Restored::AsItWas)
    }
}

#[cfg(test)]
mod tests;
