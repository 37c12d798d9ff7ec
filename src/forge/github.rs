//! GitHub.com, GitHub with data residency and GitHub Enterprise Server.
//!
//! With a token: `/user/repos` (own, collaborator, organisation member) and then each organisation's own list, because
//! the first leaves out what the user sees without being on a team. With owners: each one's list, and what `/user/repos`
//! has of a user, because `/users/{name}/repos` is public only. `size` is 0 for some repositories that are not empty, so
//! emptiness is git's to tell.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use url::Url;

use super::gather::{Entry, Gathering, Home, Raw, at_the_entrance, check_id, check_scope, time, visibility};
use super::http::{Api, Auth};
use super::paging::{Item, PageFailed, Told, pages};
use super::{Connection, Listing, Source};
use crate::failure::{Failure, Reason};
use crate::model::{Repo, RepoState, Visibility};

/// The largest page that GitHub gives.
const PER_PAGE: (&str, &str) = ("per_page", "100");
/// Oldest first: what is created while we page comes on the last page and moves nothing.
const ORDER: [(&str, &str); 2] = [("sort", "created"), ("direction", "asc")];

/// One GitHub as a source.
pub(super) struct Github {
    api: Api,
    home: Home,
    owners: Vec<String>,
}

/// A repository, as far as we read it ("Repositories" of the REST API, version 2022-11-28).
#[derive(Deserialize)]
struct RepoJson {
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
}

/// An organisation of the token's user.
#[derive(Serialize, Deserialize)]
struct Org {
    id: String,
    login: String,
}

#[derive(Deserialize)]
struct OrgJson {
    id: u64,
    login: String,
}

#[derive(Deserialize)]
struct Account {
    #[serde(rename = "type")]
    kind: String,
}

impl Item for Org {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Github {
    /// A source at `connection.api_url`; nothing is sent yet.
    pub(super) fn open(connection: Connection) -> Result<Self, Failure> {
        check_scope(&connection)?;
        let api = Api::new(&connection, Auth::Bearer)?;
        Ok(Github { api, home: Home::of(&connection), owners: connection.owners })
    }

    fn entry(&self, json: RepoJson) -> Entry {
        let by_flag = if json.private { Visibility::Private } else { Visibility::Public };
        self.home.entry(Raw {
            id: json.id,
            full_name: json.full_name,
            http_url: json.clone_url,
            ssh_url: json.ssh_url,
            default_branch: json.default_branch,
            pushed_at: time(json.pushed_at.as_deref()),
            size_kib: json.size,
            // Enterprise Servers before 3.0 know only the flag.
            visibility: visibility(json.visibility.as_deref()).or(Some(by_flag)),
            fork: json.fork,
            archived: json.archived.unwrap_or(false),
            state: json.disabled.unwrap_or(false).then_some(RepoState::Disabled),
            topics: json.topics.unwrap_or_default(),
            description: json.description,
        })
    }

    async fn repos(&self, url: Url, take: &mut (dyn FnMut(Vec<Entry>) + Send)) -> Result<Told, PageFailed> {
        pages(&self.api, url, &|json| self.entry(json), take).await
    }

    fn own_url(&self) -> Url {
        let query = [PER_PAGE, ("visibility", "all"), ("affiliation", "owner,collaborator,organization_member")];
        self.api.url(&["user", "repos"], &[&query[..], &ORDER].concat())
    }

    fn org_url(&self, org: &str) -> Url {
        self.api.url(&["orgs", org, "repos"], &[&[PER_PAGE, ("type", "all")][..], &ORDER].concat())
    }

    fn user_url(&self, user: &str) -> Url {
        self.api.url(&["users", user, "repos"], &[&[PER_PAGE, ("type", "owner")][..], &ORDER].concat())
    }

    /// Everything that the token can see.
    async fn list_all(&self, gathering: &mut Gathering<'_>) -> Result<(), Failure> {
        let mut told = self.repos(self.own_url(), &mut |page| gathering.take(page)).await.map_err(at_the_entrance)?;
        for org in self.orgs(&mut told).await? {
            // Refused or listed: either way it is accounted for.
            told.left_out.remove(&org.id);
            match self.repos(self.org_url(&org.login), &mut |page| gathering.take(page)).await {
                Ok(_) => {}
                Err(failed) => gathering.refuse_or_fail(&org.login, failed)?,
            }
        }
        for id in &told.left_out {
            let text =
                format!("the organisation with the id {id} was left out of the listing: it wants single sign-on");
            let hint = "authorise the token for the organisation's single sign-on in the token's settings.";
            gathering.refuse(&format!("organisation {id}"), Failure::new(Reason::Forbidden, text).with_hint(hint));
        }
        Ok(())
    }

    /// The organisations of the token's user.
    async fn orgs(&self, told: &mut Told) -> Result<Vec<Org>, Failure> {
        let mut orgs = Vec::new();
        let convert = |json: OrgJson| Org { id: json.id.to_string(), login: json.login };
        let url = self.api.url(&["user", "orgs"], &[PER_PAGE]);
        match pages(&self.api, url, &convert, &mut |page| orgs.extend(page)).await {
            Ok(more) => told.left_out.extend(more.left_out),
            // A token without `read:org` may not name them. What the user has there came with `/user/repos`.
            Err(failed) if failed.is_refusal() => tracing::warn!(
                "{}; repositories of organisations that the user is on no team for may be missing: give the token the \
                 scope read:org, or name the organisations as owners.",
                failed.failure
            ),
            Err(failed) => return Err(failed.into()),
        }
        Ok(orgs)
    }

    /// What one user or organisation has.
    async fn list_owner(
        &self,
        owner: &str,
        own: &mut Option<Vec<Entry>>,
        gathering: &mut Gathering<'_>,
    ) -> Result<(), Failure> {
        let account: Account = match self.api.get(self.api.url(&["users", owner], &[])).await {
            Ok(account) => account,
            Err(failure) if matches!(failure.reason, Reason::RemoteNotFound | Reason::Blocked) => {
                gathering.refuse(owner, failure.with_hint("check the name: there is no such user or organisation."));
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        let url = if account.kind == "Organization" { self.org_url(owner) } else { self.user_url(owner) };
        if account.kind != "Organization" && self.api.has_token() {
            if own.is_none() {
                *own = Some(self.own(gathering).await?);
            }
            gathering.take(own.iter().flatten().filter(|entry| entry.is_of(owner)).cloned());
        }
        match self.repos(url, &mut |page| gathering.take(page)).await {
            Ok(_) => Ok(()),
            Err(failed) => gathering.refuse_or_fail(owner, failed),
        }
    }

    /// What the token's user has and works on, private repositories included.
    async fn own(&self, gathering: &mut Gathering<'_>) -> Result<Vec<Entry>, Failure> {
        let mut own = Vec::new();
        match self.repos(self.own_url(), &mut |page| own.extend(page)).await {
            Ok(_) => {}
            // An app's installation token has no user, but can list what is public.
            Err(failed) => gathering.refuse_or_fail("private repositories of users", failed)?,
        }
        Ok(own)
    }
}

#[async_trait]
impl Source for Github {
    async fn list(&self, seen: &(dyn Fn(usize) + Send + Sync)) -> Result<Listing, Failure> {
        let mut gathering = Gathering::new(seen);
        if self.owners.is_empty() {
            self.list_all(&mut gathering).await?;
        }
        let mut own = None;
        for owner in &self.owners {
            self.list_owner(owner, &mut own, &mut gathering).await?;
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
