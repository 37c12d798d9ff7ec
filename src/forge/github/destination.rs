//! GitHub.com, GitHub with data residency and GitHub Enterprise Server as a destination.

use async_trait::async_trait;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::base::failure::{Failure, Reason};
use crate::forge::Connection;
use crate::forge::destination::site::{Site, description, is_private};
use crate::forge::destination::{Destination, Need, Restored, Undo};
use crate::forge::github::repo::RepoJson;
use crate::forge::http::{Answer, Auth, Refusal};
use crate::model::destination::{NewRepo, Target};
use crate::model::{RepoPath, Visibility};

/// GitHub refuses longer descriptions ("description is too long (maximum is 350 characters)").
const LONGEST_DESCRIPTION: usize = 350;
/// What a token needs to create and configure repositories.
const SCOPE: &str = "the scope `repo` (classic) or the permission `Administration: write` on all repositories";

/// One GitHub as a destination.
pub(in crate::forge) struct GithubDestination {
    pub(super) site: Site,
}

impl GithubDestination {
    /// A destination at `connection.api_url`; nothing is sent yet.
    pub(in crate::forge) fn open(connection: &Connection) -> Result<Self, Failure> {
        Ok(GithubDestination { site: Site::open(connection, Auth::Bearer, "GitHub")? })
    }

    fn target(&self, asked: &RepoPath, answer: &Answer) -> Result<Target, Failure> {
        let json: RepoJson = answer.json()?;
        let is_fed = json.mirror_url.is_some();
        self.site.target(asked, json.raw(), is_fed)
    }

    /// GitHub makes a hyphen of each other letter, and thereby another repository than was asked for.
    fn check_name(&self, path: &RepoPath) -> Result<(), Failure> {
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        if path.name().chars().all(allowed) {
            return Ok(());
        }
        let text = format!("cannot create {path} on GitHub: a name there has letters, digits, `-`, `_` and `.` only");
        Err(Failure::new(Reason::PushRejected, text)
            .with_hint("map it to another name with this destination's `name`, or exclude it."))
    }

    async fn post(&self, namespace: &str, wish: &NewRepo, internal: bool) -> Result<Answer, Refusal> {
        let mut body = json!({
            "name": wish.path.name(),
            "private": is_private(wish.visibility),
            "description": description(wish.description.as_deref(), LONGEST_DESCRIPTION),
            "has_issues": false,
            "has_projects": false,
            "has_wiki": false,
            "auto_init": false,
        });
        let is_own = self.site.is_own(namespace).await?;
        // A user has no internal repositories, and no field to ask for one.
        if internal && !is_own {
            body["visibility"] = json!("internal");
        }
        let url = match is_own {
            true => self.site.api.url(&["user", "repos"], &[]),
            false => self.site.api.url(&["orgs", namespace, "repos"], &[]),
        };
        self.site.change(Method::POST, url, Some(&body)).await
    }

    /// Keeps the mirror from running the source's workflows; what is pushed is whole without it.
    async fn turn_actions_off(&self, path: &RepoPath) {
        let url = self.site.api.url(&["repos", &path.namespace(), path.name(), "actions", "permissions"], &[]);
        if let Err(refusal) = self.site.change(Method::PUT, url, Some(&json!({"enabled": false}))).await {
            tracing::debug!("{path} keeps its Actions: {}", refusal.failure);
        }
    }
}

#[async_trait]
impl Destination for GithubDestination {
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
        self.check_name(&wish.path)?;
        let internal = wish.visibility == Visibility::Internal;
        let mut made = self.post(&namespace, wish, internal).await;
        // Only organisations of an enterprise have internal repositories; the next narrower thing is private.
        if internal && matches!(&made, Err(refusal) if refusal.says("visibility") || refusal.says("internal")) {
            made = self.post(&namespace, wish, false).await;
        }
        let target = match made {
            Ok(answer) => self.target(&wish.path, &answer)?,
            Err(refusal)
                if refusal.status == Some(StatusCode::UNPROCESSABLE_ENTITY) && refusal.says("already exists") =>
            {
                return self.find(&wish.path).await?.ok_or_else(|| self.site.hidden(&wish.path));
            }
            Err(refusal) => return Err(self.site.not_created(&wish.path, refusal, SCOPE)),
        };
        if internal && target.visibility == Some(Visibility::Private) {
            self.site.warn_private(&wish.path);
        }
        self.turn_actions_off(&target.path).await;
        Ok(target)
    }

    async fn turn_off(&self, target: &Target) {
        self.turn_actions_off(&target.path).await;
    }

    async fn rename(&self, target: &Target, to: &RepoPath) -> Result<Target, Failure> {
        self.check_name(to)?;
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
        self.protection(target, branch, need).await
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
