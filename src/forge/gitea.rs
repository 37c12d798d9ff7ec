//! Gitea, Forgejo and Codeberg.
//!
//! With a token: `/user/repos` (own, and through teams) and then each organisation's own list. With owners: an
//! organisation's or a user's list. Servers cap the page size (`MAX_RESPONSE_ITEMS`), and send no ETags.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use url::Url;

use super::gather::{Entry, Gathering, Home, Raw, at_the_entrance, check_id, check_scope, time};
use super::http::{Api, Auth};
use super::paging::{Item, PageFailed, Told, pages};
use super::{Connection, Listing, Source};
use crate::failure::{Failure, Reason};
use crate::model::{Repo, RepoState, Visibility};

/// The default cap of both Gitea and Forgejo.
const PAGE: [(&str, &str); 2] = [("limit", "50"), ("page", "1")];

/// One Gitea as a source.
pub(super) struct Gitea {
    api: Api,
    home: Home,
    owners: Vec<String>,
}

/// A repository, as far as we read it (`Repository` of the server's own API description).
#[derive(Deserialize)]
struct RepoJson {
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
    mirror: bool,
    #[serde(default)]
    empty: bool,
    #[serde(default)]
    archived: bool,
    topics: Option<Vec<String>>,
    description: Option<String>,
}

/// An organisation of the token's user, by its name.
#[derive(Serialize, Deserialize)]
struct Org(String);

#[derive(Deserialize)]
struct OrgJson {
    /// Gitea's and Forgejo's older name of `name`; both send it still.
    username: Option<String>,
    name: Option<String>,
}

impl Item for Org {
    fn id(&self) -> &str {
        &self.0
    }
}

impl Gitea {
    /// A source at `connection.api_url` (`https://codeberg.org/api/v1`); nothing is sent yet.
    pub(super) fn open(connection: Connection) -> Result<Self, Failure> {
        check_scope(&connection)?;
        let api = Api::new(&connection, Auth::Token)?;
        Ok(Gitea { api, home: Home::of(&connection), owners: connection.owners })
    }

    fn entry(&self, json: RepoJson) -> Entry {
        let updated = time(json.updated_at.as_deref());
        // A pull mirror's `updated_at` is the date of its newest commit, which a moved branch need not change.
        let synced = time(json.mirror_updated.as_deref()).filter(|_| json.mirror);
        let visibility = match (json.private, json.internal) {
            (true, _) => Visibility::Private,
            (false, true) => Visibility::Internal,
            (false, false) => Visibility::Public,
        };
        self.home.entry(Raw {
            id: json.id,
            full_name: json.full_name,
            http_url: json.clone_url,
            ssh_url: json.ssh_url,
            default_branch: json.default_branch,
            pushed_at: updated.max(synced),
            size_kib: json.size,
            visibility: Some(visibility),
            fork: json.fork,
            archived: json.archived,
            state: json.empty.then_some(RepoState::Empty),
            topics: json.topics.unwrap_or_default(),
            description: json.description,
        })
    }

    async fn repos(&self, url: Url, take: &mut (dyn FnMut(Vec<Entry>) + Send)) -> Result<Told, PageFailed> {
        pages(&self.api, url, &|json| self.entry(json), take).await
    }

    /// Everything that the token can see.
    async fn list_all(&self, gathering: &mut Gathering<'_>) -> Result<(), Failure> {
        let own = self.api.url(&["user", "repos"], &PAGE);
        self.repos(own, &mut |page| gathering.take(page)).await.map_err(at_the_entrance)?;
        for Org(org) in self.orgs().await? {
            let url = self.api.url(&["orgs", &org, "repos"], &PAGE);
            match self.repos(url, &mut |page| gathering.take(page)).await {
                Ok(_) => {}
                Err(failed) => gathering.refuse_or_fail(&org, failed)?,
            }
        }
        Ok(())
    }

    /// The organisations of the token's user.
    async fn orgs(&self) -> Result<Vec<Org>, Failure> {
        let mut orgs = Vec::new();
        let convert = |json: OrgJson| Org(json.username.or(json.name).unwrap_or_default());
        let url = self.api.url(&["user", "orgs"], &PAGE);
        match pages(&self.api, url, &convert, &mut |page| orgs.extend(page)).await {
            Ok(_) => {}
            // A token without `read:organization` may not name them. What the user's teams have came with `/user/repos`.
            Err(failed) if failed.is_refusal() => tracing::warn!(
                "{}; repositories of organisations that the user is on no team for may be missing: give the token the \
                 scope read:organization, or name the organisations as owners.",
                failed.failure
            ),
            Err(failed) => return Err(failed.into()),
        }
        orgs.retain(|Org(name)| !name.is_empty());
        Ok(orgs)
    }

    /// What one organisation or user has.
    async fn list_owner(&self, owner: &str, gathering: &mut Gathering<'_>) -> Result<(), Failure> {
        let url = self.api.url(&["orgs", owner, "repos"], &PAGE);
        let no_org = match self.repos(url, &mut |page| gathering.take(page)).await {
            Ok(_) => return Ok(()),
            Err(failed) if failed.is_refusal() => failed,
            Err(failed) => return Err(failed.into()),
        };
        // A token without `read:organization` gets 403 for every name, be it an organisation or a user.
        let url = self.api.url(&["users", owner, "repos"], &PAGE);
        match self.repos(url, &mut |page| gathering.take(page)).await {
            Ok(_) => Ok(()),
            Err(failed) if failed.is_refusal() => {
                let mut told = if no_org.failure.reason == Reason::RemoteNotFound { failed } else { no_org };
                if told.failure.reason == Reason::RemoteNotFound {
                    told.failure = told.failure.with_hint("check the name: the token sees no such owner.");
                }
                gathering.refuse_or_fail(owner, told)
            }
            Err(failed) => Err(failed.into()),
        }
    }
}

#[async_trait]
impl Source for Gitea {
    async fn list(&self, seen: &(dyn Fn(usize) + Send + Sync)) -> Result<Listing, Failure> {
        let mut gathering = Gathering::new(seen);
        if self.owners.is_empty() {
            self.list_all(&mut gathering).await?;
        }
        for owner in &self.owners {
            self.list_owner(owner, &mut gathering).await?;
        }
        Ok(gathering.done())
    }

    async fn find(&self, id: &str) -> Result<Option<Repo>, Failure> {
        check_id(id)?;
        match self.api.get(self.api.url(&["repositories", id], &[])).await {
            Ok(json) => self.entry(json).into_repo().map(Some),
            Err(failure) if failure.reason == Reason::RemoteNotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}
