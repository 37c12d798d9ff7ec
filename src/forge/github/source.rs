//! GitHub.com, GitHub with data residency and GitHub Enterprise Server.
//!
//! With a token: `/user/repos` (own, collaborator, organisation member) and then each organisation's own list, because
//! the first leaves out what the user sees without being on a team. With owners: each one's list, and what `/user/repos`
//! has of a user, because `/users/{name}/repos` is public only. `size` is 0 for some repositories that are not empty, so
//! emptiness is git's to tell.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::base::failure::{Failure, Reason};
use crate::forge::gather::{Entry, Gathering, Home, at_the_entrance, check_id, check_scope};
use crate::forge::github::repo::RepoJson;
use crate::forge::http::paging::{Item, PageFailed, Told, pages};
use crate::forge::http::{Api, Auth};
use crate::forge::{Connection, Listing, Source};
use crate::model::Repo;

/// The largest page that GitHub gives.
const PER_PAGE: (&str, &str) = ("per_page", "100");
/// Oldest first: what is created while we page comes on the last page and moves nothing.
const ORDER: [(&str, &str); 2] = [("sort", "created"), ("direction", "asc")];

/// One GitHub as a source.
pub(in crate::forge) struct GithubSource {
    api: Api,
    home: Home,
    owners: Vec<String>,
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

impl GithubSource {
    /// A source at `connection.api_url`; nothing is sent yet.
    pub(in crate::forge) fn open(connection: Connection) -> Result<Self, Failure> {
        check_scope(&connection)?;
        let api = Api::new(&connection, Auth::Bearer)?;
        Ok(GithubSource { api, home: Home::of(&connection), owners: connection.owners })
    }

    fn entry(&self, json: RepoJson) -> Entry {
        self.home.entry(json.raw())
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
        let own = self.repos(self.own_url(), &mut |page| gathering.take(page)).await;
        let mut told = match own {
            Ok(told) => told,
            Err(failed) if is_of_app(&failed) => return self.list_installation(gathering).await,
            Err(failed) => return Err(at_the_entrance(failed)),
        };
        for org in self.orgs(&mut told, gathering).await? {
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

    /// What an app's installation token may see: all that the app was installed for.
    async fn list_installation(&self, gathering: &mut Gathering<'_>) -> Result<(), Failure> {
        let url = self.api.url(&["installation", "repositories"], &[PER_PAGE]);
        self.repos(url, &mut |page| gathering.take(page)).await.map(drop).map_err(at_the_entrance)
    }

    /// The organisations of the token's user.
    async fn orgs(&self, told: &mut Told, gathering: &mut Gathering<'_>) -> Result<Vec<Org>, Failure> {
        let mut orgs = Vec::new();
        let convert = |json: OrgJson| Org { id: json.id.to_string(), login: json.login };
        let url = self.api.url(&["user", "orgs"], &[PER_PAGE]);
        match pages(&self.api, url, &convert, &mut |page| orgs.extend(page)).await {
            Ok(more) => told.left_out.extend(more.left_out),
            // A token without `read:org` may not name them. What the user has there came with `/user/repos`.
            Err(failed) if failed.is_refusal() => gathering.lacks_organisations(&failed.failure, "read:org"),
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
            Err(failure) if matches!(failure.reason(), Reason::RemoteNotFound | Reason::Blocked) => {
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
            // An app's installation token has no user: what it may see is all that it was installed for.
            Err(failed) if is_of_app(&failed) => {
                let url = self.api.url(&["installation", "repositories"], &[PER_PAGE]);
                self.repos(url, &mut |page| own.extend(page)).await?;
            }
            Err(failed) => gathering.refuse_or_fail("private repositories of users", failed)?,
        }
        Ok(own)
    }
}

/// Whether a token was refused because it is an app's, which has no user (`Resource not accessible by integration`).
fn is_of_app(failed: &PageFailed) -> bool {
    failed.is_refusal()
        && failed.failure.reason() == Reason::Forbidden
        && failed.failure.evidence().is_some_and(|words| words.contains("not accessible by integration"))
}

#[async_trait]
impl Source for GithubSource {
    async fn list(&self, seen: &(dyn Fn(usize) + Send + Sync)) -> Result<Listing, Failure> {
        let mut gathering = Gathering::new(seen);
        if self.owners.is_empty() {
            self.list_all(&mut gathering).await?;
        }
        let mut own = None;
        for owner in gathering.owners(&self.owners) {
            self.list_owner(owner, &mut own, &mut gathering).await?;
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
    use serde_json::{Value, json};

    use super::*;
    use crate::forge::testing::{Reply, Server, connection, list, not_found, paths, refused, sample, source};
    use crate::model::ForgeKind::Github as KIND;
    use crate::model::{RepoState, Visibility};

    fn repo(id: u64, full_name: &str) -> Value {
        let clone_url = format!("https://github.com/{full_name}.git");
        json!({"id": id, "full_name": full_name, "clone_url": clone_url, "private": false})
    }

    #[tokio::test]
    async fn an_apps_installation_token_lists_what_the_app_was_installed_for() {
        let server = Server::start(|asked| match (asked.path(), asked.page()) {
            ("/user/repos", _) => Reply::new(403, r#"{"message":"Resource not accessible by integration"}"#),
            ("/installation/repositories", 1) => {
                let next = format!("<{}/installation/repositories?per_page=100&page=2>; rel=\"next\"", asked.base);
                Reply::json(&json!({"total_count": 2, "repositories": [repo(1, "acme/a")]})).with("link", next)
            }
            ("/installation/repositories", _) => {
                Reply::json(&json!({"total_count": 2, "repositories": [repo(2, "me/private")]})).with("link", "")
            }
            ("/users/me", _) => Reply::json(&json!({"type": "User"})),
            ("/users/me/repos", 1) => Reply::json(&json!([repo(3, "me/public")])),
            ("/users/me/repos", _) => Reply::json(&json!([])),
            _ => not_found(),
        })
        .await;
        let listing = list(KIND, connection(&server.url)).await.unwrap();
        assert_eq!((paths(&listing), refused(&listing).len()), (vec!["acme/a".into(), "me/private".into()], 0));
        // An owner that is a user has private repositories, too.
        let listing = source(KIND, &server, &["me"]).list(&|_| ()).await.unwrap();
        assert_eq!((paths(&listing), refused(&listing).len()), (vec!["me/private".into(), "me/public".into()], 0));
    }

    #[tokio::test]
    async fn a_scope_that_is_missing_and_an_owner_that_is_refused_have_words_of_their_own() {
        let server = Server::start(|asked| match (asked.path(), asked.page()) {
            ("/user/repos", 1) => Reply::json(&json!([repo(1, "me/a")])),
            ("/user/repos", _) => Reply::json(&json!([])),
            ("/users/acme", _) => Reply::json(&json!({"type": "Organization"})),
            _ => Reply::new(403, r#"{"message":"You need at least read:org scope"}"#),
        })
        .await;
        let listing = list(KIND, connection(&server.url)).await.unwrap();
        assert!(listing.warnings[0].starts_with("the token lacks the scope read:org,"), "{:?}", listing.warnings);
        let listing = source(KIND, &server, &["acme"]).list(&|_| ()).await.unwrap();
        let hint = listing.refused[0].failure.hint().unwrap();
        assert!(hint.contains("this owner's repositories"), "{hint}");
    }

    #[tokio::test]
    async fn every_field_that_matters_is_read() {
        let repos = sample("github/repos.json");
        let server = Server::with(&[("/user/repos", repos), ("/user/orgs", json!([]))]).await;
        let listing = list(KIND, connection(&server.url)).await.unwrap();
        let [alpha, frozen] = &listing.repos[..] else { panic!("{listing:?}") };
        assert_eq!((alpha.id.as_str(), alpha.path.to_string().as_str()), ("101", "octo/alpha"));
        assert_eq!(alpha.source, "test");
        assert_eq!(alpha.folder, server.url.authority().replace(':', "_"));
        assert_eq!(alpha.url.to_string(), "https://github.com/octo/alpha.git");
        assert_eq!(alpha.default_branch.as_deref(), Some("trunk"));
        assert_eq!(alpha.pushed_at, Some("2026-03-04T05:06:07Z".parse().unwrap()));
        assert_eq!((alpha.visibility, alpha.fork, alpha.archived), (Visibility::Private, true, false));
        // A size of 0 does not mean empty.
        assert_eq!((alpha.size_kib, alpha.state), (Some(0), RepoState::Ready));
        assert_eq!(alpha.topics, ["backup", "rust"].map(str::to_owned).into());
        assert_eq!((frozen.visibility, frozen.archived), (Visibility::Internal, true));
        assert_eq!((frozen.pushed_at, frozen.state), (None, RepoState::Disabled));
    }

    #[tokio::test]
    async fn a_token_lists_its_own_and_its_organisations_once_each() {
        let server = Server::with(&[
            ("/user/repos", json!([repo(1, "me/a"), repo(2, "acme/b")])),
            ("/user/orgs", json!([{"id": 9, "login": "acme"}])),
            ("/orgs/acme/repos", json!([repo(2, "acme/b"), repo(3, "acme/c")])),
        ])
        .await;
        let listing = list(KIND, connection(&server.url)).await.unwrap();
        assert_eq!(paths(&listing), ["me/a", "acme/b", "acme/c"]);
        let first = &server.targets()[0];
        for part in ["per_page=100", "visibility=all", "affiliation=owner%2Ccollaborator%2Corganization_member"] {
            assert!(first.contains(part), "{first}");
        }
        assert!(server.targets().iter().any(|target| target.contains("/orgs/acme/repos?per_page=100&type=all")));
    }

    #[tokio::test]
    async fn progress_counts_the_repositories_after_each_page() {
        let server = Server::with(&[("/user/repos", json!([repo(1, "me/a"), repo(2, "me/b")]))]).await;
        let counts = std::sync::Mutex::new(Vec::new());
        let source = source(KIND, &server, &[]);
        source.list(&|count| counts.lock().unwrap().push(count)).await.unwrap();
        assert_eq!(*counts.lock().unwrap(), [2, 2]);
    }

    #[tokio::test]
    async fn an_organisation_that_wants_single_sign_on_is_refused_and_the_rest_stands() {
        let server = Server::start(|asked| match asked.path() {
            _ if asked.page() > 1 => Reply::json(&json!([])),
            "/user/repos" => {
                Reply::json(&json!([repo(1, "me/a")])).with("x-github-sso", "partial-results; organizations=9,11")
            }
            "/user/orgs" => Reply::json(&json!([{"id": 9, "login": "strict"}, {"id": 10, "login": "open"}])),
            "/orgs/strict/repos" => {
                let body = r#"{"message":"Resource protected by organization SAML enforcement."}"#;
                Reply::new(403, body).with("x-github-sso", "required; url=https://github.com/orgs/strict/sso")
            }
            "/orgs/open/repos" => Reply::json(&json!([repo(2, "open/b")])),
            _ => not_found(),
        })
        .await;
        let listing = list(KIND, connection(&server.url)).await.unwrap();
        assert_eq!(paths(&listing), ["me/a", "open/b"]);
        assert_eq!(refused(&listing), ["strict", "organisation 11"]);
        for refused in &listing.refused {
            assert_eq!(refused.failure.reason(), Reason::Forbidden);
            assert!(refused.failure.hint().unwrap().contains("single sign-on"));
        }
    }

    #[tokio::test]
    async fn an_organisation_that_fails_fails_the_whole_listing() {
        for status in [401, 429, 500] {
            let server = Server::start(move |asked| match asked.path() {
                "/orgs/acme/repos" => Reply::new(status, "{}").with("retry-after", "9999"),
                _ if asked.page() > 1 => Reply::json(&json!([])),
                "/user/orgs" => Reply::json(&json!([{"id": 9, "login": "acme"}])),
                _ => Reply::json(&json!([repo(1, "me/a")])),
            })
            .await;
            assert!(list(KIND, connection(&server.url)).await.is_err(), "{status}");
        }
    }

    #[tokio::test]
    async fn a_token_that_may_not_name_organisations_lists_what_it_sees() {
        let server = Server::start(|asked| match asked.path() {
            _ if asked.page() > 1 => Reply::json(&json!([])),
            "/user/repos" => Reply::json(&json!([repo(1, "me/a")])),
            _ => Reply::new(403, r#"{"message":"You need at least read:org scope"}"#),
        })
        .await;
        let listing = list(KIND, connection(&server.url)).await.unwrap();
        assert_eq!((paths(&listing), refused(&listing)), (vec!["me/a".to_owned()], vec![]));
    }

    #[tokio::test]
    async fn owners_are_listed_as_what_they_are() {
        let server = Server::with(&[
            ("/users/acme", json!({"login": "acme", "type": "Organization"})),
            ("/users/Friend", json!({"login": "friend", "type": "User"})),
            ("/user/repos", json!([repo(1, "me/a"), repo(2, "friend/shared")])),
            ("/orgs/acme/repos", json!([repo(3, "acme/b")])),
            ("/users/Friend/repos", json!([repo(4, "friend/public"), repo(2, "friend/shared")])),
        ])
        .await;
        let listing = source(KIND, &server, &["acme", "Friend", "nobody", ".."]).list(&|_| ()).await.unwrap();
        assert_eq!(paths(&listing), ["acme/b", "friend/shared", "friend/public"]);
        assert_eq!(refused(&listing), ["..", "nobody"]);
        assert!(listing.refused.iter().all(|refused| refused.failure.reason() == Reason::RemoteNotFound));
        assert!(server.targets().iter().all(|target| target != "/users/"));
    }

    #[tokio::test]
    async fn public_repositories_of_an_owner_need_no_token() {
        let server = Server::with(&[
            ("/users/friend", json!({"login": "friend", "type": "User"})),
            ("/users/friend/repos", json!([repo(4, "friend/public")])),
        ])
        .await;
        let owners = vec!["friend".to_owned()];
        let listing = list(KIND, Connection { token: None, owners, ..connection(&server.url) }).await.unwrap();
        assert_eq!(paths(&listing), ["friend/public"]);
        assert!(server.asked().iter().all(|asked| asked.header("authorization").is_none()));
    }

    #[tokio::test]
    async fn neither_token_nor_owner_is_a_failure_before_anything_is_sent() {
        let server = Server::with(&[]).await;
        for kind in [crate::model::ForgeKind::Gitlab, KIND, crate::model::ForgeKind::Gitea] {
            let failure = list(kind, Connection { token: None, ..connection(&server.url) }).await.unwrap_err();
            assert_eq!(failure.reason(), Reason::AuthFailed);
        }
        assert_eq!(server.asked().len(), 0);
    }

    #[tokio::test]
    async fn a_wrong_address_says_so() {
        let server = Server::with(&[]).await;
        let failure = list(KIND, connection(&server.url)).await.unwrap_err();
        assert_eq!(failure.reason(), Reason::RemoteNotFound);
        assert!(failure.hint().unwrap().contains("api_url"));
    }

    #[tokio::test]
    async fn a_repository_is_found_by_its_id_gone_or_blocked() {
        let server = Server::start(|asked| match asked.path() {
            "/repositories/1" => Reply::json(&repo(1, "me/renamed")),
            "/repositories/2" => {
                Reply::new(451, r#"{"message":"Repository access blocked","block":{"reason":"dmca"}}"#)
            }
            "/repositories/3" => Reply::new(500, "{}"),
            _ => not_found(),
        })
        .await;
        let source = source(KIND, &server, &[]);
        assert_eq!(source.find("1").await.unwrap().unwrap().path.to_string(), "me/renamed");
        assert_eq!(source.find("2").await.unwrap_err().reason(), Reason::Blocked);
        assert_eq!(source.find("3").await.unwrap_err().reason(), Reason::ServerError);
        assert_eq!(source.find("4").await.unwrap(), None);
        assert_eq!(source.find("../user").await.unwrap_err().reason(), Reason::Unknown);
    }

    #[tokio::test]
    async fn ssh_urls_are_given_to_git_when_asked_for() {
        let repos = sample("github/repos.json");
        let server = Server::with(&[("/user/repos", repos), ("/user/orgs", json!([]))]).await;
        let listing = list(KIND, Connection { transport_ssh: true, ..connection(&server.url) }).await.unwrap();
        assert_eq!(listing.repos[0].url.to_string(), "git@github.com:octo/alpha.git");
    }

    #[tokio::test]
    async fn an_unchanged_listing_comes_from_the_cache_and_another_token_never_sees_it() {
        let server = Server::start(|asked| match (asked.header("if-none-match"), asked.path(), asked.page()) {
            (Some(_), ..) => Reply::new(304, ""),
            (None, "/user/repos", 1) => {
                Reply::json(&json!([repo(1, "me/a"), repo(2, "me/..")])).with("etag", "W/\"1\"")
            }
            _ => Reply::json(&json!([])).with("etag", "W/\"0\""),
        })
        .await;
        let mine = connection(&server.url);
        let first = list(KIND, mine.clone()).await.unwrap();
        assert_eq!((paths(&first), refused(&first)), (vec!["me/a".to_owned()], vec!["me/.."]));
        assert_eq!(list(KIND, mine.clone()).await.unwrap(), first);
        let asked = server.asked();
        assert!(asked[asked.len() / 2..].iter().all(|asked| asked.header("if-none-match").is_some()));
        let token = Some(crate::base::secret::Secret::new("another-token-9876543210"));
        list(KIND, Connection { token, ..mine }).await.unwrap();
        assert!(server.asked()[asked.len()..].iter().all(|asked| asked.header("if-none-match").is_none()));
    }
}
