//! Gitea, Forgejo and Codeberg.
//!
//! With a token: `/user/repos` (own, and through teams) and then each organisation's own list. With owners: an
//! organisation's or a user's list. Servers cap the page size (`MAX_RESPONSE_ITEMS`), and send no ETags.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::base::failure::{Failure, Reason};
use crate::forge::gather::{Entry, Gathering, Home, at_the_entrance, check_id, check_scope};
use crate::forge::gitea::repo::RepoJson;
use crate::forge::http::paging::{Item, PageFailed, Told, pages};
use crate::forge::http::{Api, Auth};
use crate::forge::{Connection, Listing, Source};
use crate::model::Repo;

/// The default cap of both Gitea and Forgejo.
const PAGE: [(&str, &str); 2] = [("limit", "50"), ("page", "1")];

/// One Gitea as a source.
pub(in crate::forge) struct GiteaSource {
    api: Api,
    home: Home,
    owners: Vec<String>,
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

impl GiteaSource {
    /// A source at `connection.api_url` (`https://codeberg.org/api/v1`); nothing is sent yet.
    pub(in crate::forge) fn open(connection: Connection) -> Result<Self, Failure> {
        check_scope(&connection)?;
        let api = Api::new(&connection, Auth::Token)?;
        Ok(GiteaSource { api, home: Home::of(&connection), owners: connection.owners })
    }

    fn entry(&self, json: RepoJson) -> Entry {
        self.home.entry(json.raw())
    }

    async fn repos(&self, url: Url, take: &mut (dyn FnMut(Vec<Entry>) + Send)) -> Result<Told, PageFailed> {
        pages(&self.api, url, &|json| self.entry(json), take).await
    }

    /// Everything that the token can see.
    async fn list_all(&self, gathering: &mut Gathering<'_>) -> Result<(), Failure> {
        let own = self.api.url(&["user", "repos"], &PAGE);
        self.repos(own, &mut |page| gathering.take(page)).await.map_err(at_the_entrance)?;
        for Org(org) in self.orgs(gathering).await? {
            let url = self.api.url(&["orgs", &org, "repos"], &PAGE);
            match self.repos(url, &mut |page| gathering.take(page)).await {
                Ok(_) => {}
                Err(failed) => gathering.refuse_or_fail(&org, failed)?,
            }
        }
        Ok(())
    }

    /// The organisations of the token's user.
    async fn orgs(&self, gathering: &mut Gathering<'_>) -> Result<Vec<Org>, Failure> {
        let mut orgs = Vec::new();
        let convert = |json: OrgJson| Org(json.username.or(json.name).unwrap_or_default());
        let url = self.api.url(&["user", "orgs"], &PAGE);
        match pages(&self.api, url, &convert, &mut |page| orgs.extend(page)).await {
            Ok(_) => {}
            // A token without `read:organization` may not name them. What the user's teams have came with `/user/repos`.
            Err(failed) if failed.is_refusal() => gathering.lacks_organisations(&failed.failure, "read:organization"),
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
                let mut told = if no_org.failure.reason() == Reason::RemoteNotFound { failed } else { no_org };
                if told.failure.reason() == Reason::RemoteNotFound {
                    told.failure = told.failure.with_hint("check the name: the token sees no such owner.");
                }
                gathering.refuse_or_fail(owner, told)
            }
            Err(failed) => Err(failed.into()),
        }
    }
}

#[async_trait]
impl Source for GiteaSource {
    async fn list(&self, seen: &(dyn Fn(usize) + Send + Sync)) -> Result<Listing, Failure> {
        let mut gathering = Gathering::new(seen);
        if self.owners.is_empty() {
            self.list_all(&mut gathering).await?;
        }
        for owner in gathering.owners(&self.owners) {
            self.list_owner(owner, &mut gathering).await?;
        }
        Ok(gathering.done())
    }

    async fn find(&self, id: &str) -> Result<Option<Repo>, Failure> {
        check_id(id)?;
        match self.api.look(self.api.url(&["repositories", id], &[])).await? {
            Some(answer) => self.entry(answer.json()?).into_repo().map(Some),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::forge::testing::{Asked, Reply, Server, connection, list, not_found, paths, refused, sample, source};
    use crate::model::ForgeKind::Gitea as KIND;
    use crate::model::{RepoState, Visibility};

    /// Where the recorded server stood.
    const RECORDED_AT: &str = "http://127.0.0.1:41300";

    /// Plays back one recorded exchange, moved to where we are.
    fn recorded(asked: &Asked, name: &str) -> Reply {
        let response = &sample(&format!("gitea/{name}.json"))["response"];
        let here = |text: &str| text.replace(RECORDED_AT, &asked.base);
        let status = u16::try_from(response["status"].as_u64().unwrap()).unwrap();
        let reply = Reply::new(status, here(&response["body"].to_string()));
        match response["headers"]["Link"].as_str() {
            Some(link) => reply.with("link", here(link)),
            None => reply,
        }
    }

    /// The recorded server: it gives four repositories a page, whatever is asked for.
    async fn gitea() -> Server {
        let mut server = Server::start(|asked| match (asked.path(), asked.page()) {
            ("/api/v1/user/repos", page @ 1..=3) => recorded(asked, &format!("list-user-repos-page-{page}")),
            ("/api/v1/user/orgs", 1) => Reply::json(&json!([{"id": 2, "name": "acme", "username": "acme"}])),
            ("/api/v1/orgs/acme/repos", 1) => recorded(asked, "list-org-repos"),
            ("/api/v1/users/tester/repos", 1) => recorded(asked, "list-users-repos"),
            ("/api/v1/user/orgs" | "/api/v1/orgs/acme/repos" | "/api/v1/users/tester/repos", _) => {
                Reply::json(&json!([]))
            }
            ("/api/v1/repositories/5", _) => recorded(asked, "get-repo"),
            (path, _) if path.starts_with("/api/v1/orgs/") => recorded(asked, "list-org-repos-404"),
            _ => recorded(asked, "get-repo-404"),
        })
        .await;
        server.url = server.url.join("/api/v1").unwrap();
        server
    }

    #[tokio::test]
    async fn a_recorded_gitea_is_listed_whole_although_it_caps_its_pages() {
        let server = gitea().await;
        let listing = list(KIND, connection(&server.url)).await.unwrap();
        let ids: Vec<_> = listing.repos.iter().map(|repo| repo.id.as_str()).collect();
        assert_eq!(ids, ["6", "3", "4", "2", "5", "1", "7", "8", "9", "10", "11", "12"]);
        assert_eq!(listing.refused, []);
        let repo = |id: &str| listing.repos.iter().find(|repo| repo.id == id).unwrap();
        let arch = repo("6");
        assert_eq!((arch.path.to_string().as_str(), arch.archived), ("tester/arch", true));
        assert_eq!(arch.url.to_string(), format!("{}tester/arch.git", server.url.join("/").unwrap()));
        assert_eq!((arch.size_kib, arch.default_branch.as_deref()), (Some(127), Some("main")));
        assert_eq!((arch.state, arch.visibility), (RepoState::Filled, Visibility::Public));
        assert_eq!(arch.pushed_at, Some("2026-11-20T22:26:47Z".parse().unwrap()));
        assert_eq!((repo("7").state, repo("7").visibility), (RepoState::Empty, Visibility::Private));
        // A pull mirror: its newest commit is old, its last synchronisation is not.
        assert_eq!(repo("3").pushed_at, Some("2026-11-20T22:25:44Z".parse().unwrap()));
    }

    #[tokio::test]
    async fn an_owner_is_an_organisation_or_a_user_or_refused() {
        let server = gitea().await;
        let owners = ["acme", "tester", "nope"].map(str::to_owned).to_vec();
        let listing = list(KIND, Connection { owners, ..connection(&server.url) }).await.unwrap();
        let names = paths(&listing);
        assert_eq!((names.len(), names[0].as_str(), names[6].as_str()), (9, "acme/o1", "tester/r1"));
        assert_eq!(refused(&listing), ["nope"]);
    }

    #[tokio::test]
    async fn a_token_that_may_not_see_organisations_still_lists_an_owner() {
        let repo = json!({"id": 1, "full_name": "friend/a", "clone_url": "https://h/friend/a.git"});
        let server = Server::start(move |asked| match (asked.path(), asked.page()) {
            ("/users/friend/repos", 1) => Reply::json(&json!([repo])),
            ("/users/friend/repos", _) => Reply::json(&json!([])),
            (path, _) if path.starts_with("/orgs/") => Reply::new(
                403,
                r#"{"message":"token does not have at least one of required scope(s): [read:organization]"}"#,
            ),
            _ => not_found(),
        })
        .await;
        let listing = source(KIND, &server, &["friend", "nobody"]).list(&|_| ()).await.unwrap();
        assert_eq!((paths(&listing), refused(&listing)), (vec!["friend/a".to_owned()], vec!["nobody"]));
        assert!(listing.refused[0].failure.evidence().unwrap().contains("read:organization"));
    }

    #[tokio::test]
    async fn a_recorded_refusal_of_the_token_is_told_in_the_servers_words() {
        let server = Server::start(|asked| recorded(asked, "user-bad-token")).await;
        let failure = list(KIND, connection(&server.url)).await.unwrap_err();
        assert_eq!(failure.reason(), Reason::AuthFailed);
        assert_eq!(failure.evidence(), Some("user does not exist [uid: 0, name: , keyid: 0]"));
    }

    #[tokio::test]
    async fn a_repository_is_found_by_its_id_or_gone() {
        let server = gitea().await;
        let source = source(KIND, &server, &[]);
        assert_eq!(source.find("5").await.unwrap().unwrap().path.to_string(), "tester/p1");
        assert_eq!(source.find("6").await.unwrap(), None);
    }
}
