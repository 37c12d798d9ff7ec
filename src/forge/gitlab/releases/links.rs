//! Links of a GitLab release. Names and addresses are each there once per release, so what is "already been taken" is
//! looked at again and brought to what it should be.

use reqwest::{Method, StatusCode};
use serde_json::json;
use url::Url;

use crate::base::failure::Failure;
use crate::forge::gitlab::releases::{GitlabReleases, LinkJson};
use crate::forge::http::{Ask, Refusal};
use crate::model::RepoPath;
use crate::model::release::Link;

/// A link as the API sends it.
pub(super) fn link(json: LinkJson, url: Url) -> Link {
    Link { id: json.id.to_string(), name: json.name, url, kind: json.link_type }
}

impl GitlabReleases {
    /// The links that a release has now.
    async fn links(&self, repo: &RepoPath, tag: &str) -> Result<Vec<LinkJson>, Failure> {
        let first = self.url(repo, &["releases", tag, "assets", "links"], &[("per_page", "100")]);
        self.site.list(first, |json: &LinkJson| json.id.to_string()).await
    }

    /// Makes a link; one that is in its way, by name or address, is changed into it when it is `ours`.
    pub(super) async fn write_link(
        &self,
        repo: &RepoPath,
        tag: &str,
        link: &Link,
        ours: &(dyn Fn(&LinkJson) -> bool + Sync),
    ) -> Result<LinkJson, Refusal> {
        let body = json!({"name": link.name, "url": link.url, "link_type": link.kind.as_deref().unwrap_or("other")});
        let url = self.url(repo, &["releases", tag, "assets", "links"], &[]);
        // A second one of this name cannot come of it.
        let ask = Ask::change(Method::POST, url, Some(&body)).repeatable();
        let refusal = match self.site.api.attempt(&ask).await {
            Ok(answer) => return Ok(answer.json()?),
            Err(refusal) if is_taken(&refusal) => refusal,
            Err(refusal) => return Err(refusal),
        };
        let there = self.links(repo, tag).await?;
        let is_it = |there: &&LinkJson| there.name == link.name && there.url == link.url.as_str();
        if let Some(there) = there.iter().find(is_it)
            && (link.kind.is_none() || there.link_type == link.kind)
        {
            return Ok(there.clone());
        }
        let in_the_way = |there: &&LinkJson| there.name == link.name || there.url == link.url.as_str();
        let mut in_the_way = there.iter().filter(in_the_way);
        // When name and address are taken by two, either would have to go.
        let (Some(there), None) = (in_the_way.next().filter(|there| ours(there)), in_the_way.next()) else {
            return Err(refusal);
        };
        let id = there.id.to_string();
        let url = self.url(repo, &["releases", tag, "assets", "links", &id], &[]);
        Ok(self.site.change(Method::PUT, url, Some(&body)).await?.json()?)
    }
}

/// "Name has already been taken", "Url has already been taken".
fn is_taken(refusal: &Refusal) -> bool {
    matches!(refusal.status, Some(StatusCode::BAD_REQUEST | StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY))
        && refusal.says("already been taken")
}
