//! Gitea, Forgejo and Codeberg as a destination.

use async_trait::async_trait;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::base::failure::Failure;
use crate::forge::Connection;
use crate::forge::destination::site::{Site, description, is_private};
use crate::forge::destination::{Destination, Need, Restored, Undo};
use crate::forge::gitea::repo::RepoJson;
use crate::forge::http::{Answer, Auth};
use crate::model::destination::{NewRepo, ObjectFormat, Target};
use crate::model::{RepoPath, Visibility};

/// `MaxSize(2048)` of `CreateRepoOption`.
const LONGEST_DESCRIPTION: usize = 2048;
/// What a token needs to create and configure repositories.
const SCOPE: &str = "the scopes `write:repository` and `write:user` (for an organisation `write:organization`)";

/// One Gitea as a destination.
pub(in crate::forge) struct GiteaDestination {
    pub(super) site: Site,
}

impl GiteaDestination {
    /// A destination at `connection.api_url`; nothing is sent yet.
    pub(in crate::forge) fn open(connection: &Connection) -> Result<Self, Failure> {
        Ok(GiteaDestination { site: Site::open(connection, Auth::Token, "Gitea")? })
    }

    fn target(&self, asked: &RepoPath, answer: &Answer) -> Result<Target, Failure> {
        let json: RepoJson = answer.json()?;
        let is_fed = json.mirror;
        self.site.target(asked, json.raw(), is_fed)
    }

    /// Turns off what cannot be turned off while creating; the mirror is whole without it.
    async fn turn_features_off(&self, path: &RepoPath) {
        let url = self.site.api.url(&["repos", &path.namespace(), path.name()], &[]);
        let body = json!({
            "has_issues": false,
            "has_wiki": false,
            "has_pull_requests": false,
            "has_projects": false,
            "has_actions": false,
        });
        if let Err(refusal) = self.site.change(Method::PATCH, url, Some(&body)).await {
            tracing::debug!("{path} keeps its issues, wiki and Actions: {}", refusal.failure);
        }
    }
}

#[async_trait]
impl Destination for GiteaDestination {
    async fn find(&self, path: &RepoPath) -> Result<Option<Target>, Failure> {
        let namespace = self.site.flat_namespace(path)?;
        let url = self.site.api.url(&["repos", &namespace, path.name()], &[]);
        let found = self.site.look(url).await?.filter(|answer| !self.site.has_left(path, answer));
        found.map(|answer| self.target(path, &answer)).transpose()
    }

    async fn own_namespace(&self) -> Result<String, Failure> {
        Ok(self.site.me().await?.login.clone())
    }

    async fn create(&self, wish: &NewRepo) -> Result<Target, Failure> {
        let namespace = self.site.flat_namespace(&wish.path)?;
        let mut body = json!({
            "name": wish.path.name(),
            "private": is_private(wish.visibility),
            "description": description(wish.description.as_deref(), LONGEST_DESCRIPTION),
            "auto_init": false,
        });
        if let Some(branch) = &wish.default_branch {
            body["default_branch"] = json!(branch);
        }
        // An older server knows no other than SHA-1, and passes over the field.
        if wish.object_format == ObjectFormat::Sha256 {
            body["object_format_name"] = json!("sha256");
        }
        let url = match self.site.is_own(&namespace).await? {
            true => self.site.api.url(&["user", "repos"], &[]),
            false => self.site.api.url(&["orgs", &namespace, "repos"], &[]),
        };
        let target = match self.site.change(Method::POST, url, Some(&body)).await {
            Ok(answer) => self.target(&wish.path, &answer)?,
            Err(refusal) if refusal.status == Some(StatusCode::CONFLICT) && refusal.says("already exist") => {
                return self.find(&wish.path).await?.ok_or_else(|| self.site.hidden(&wish.path));
            }
            Err(refusal) => return Err(self.site.not_created(&wish.path, refusal, SCOPE)),
        };
        if wish.visibility == Visibility::Internal && target.visibility == Some(Visibility::Private) {
            self.site.warn_private(&wish.path);
        }
        self.turn_features_off(&target.path).await;
        Ok(target)
    }

    async fn turn_off(&self, target: &Target) {
        self.turn_features_off(&target.path).await;
    }

    async fn rename(&self, target: &Target, to: &RepoPath) -> Result<Target, Failure> {
        let url = self.site.api.url(&["repos", &target.path.namespace(), target.path.name()], &[]);
        let body = json!({"name": to.name()});
        self.target(to, &self.site.change(Method::PATCH, url, Some(&body)).await?)
    }

    fn know(&self, ours: &[RepoPath]) {
        self.site.know(ours);
    }

    async fn set_default_branch(&self, target: &Target, branch: &str) -> Result<(), Failure> {
        let url = self.site.api.url(&["repos", &target.path.namespace(), target.path.name()], &[]);
        self.site.change_default_branch(Method::PATCH, url, branch).await
    }

    async fn rules(&self, target: &Target, branch: &str, need: Need) -> Result<Vec<Undo>, Failure> {
        self.protections(target, branch, need).await
    }

    async fn open_rule(&self, undo: &Undo, need: Need) -> Result<(), Failure> {
        self.open_protection(undo, need).await
    }

    async fn restore_rule(&self, undo: &Undo) -> Result<Restored, Failure> {
        self.restore_protection(undo).await
    }
}

#[cfg(test)]
mod tests;
