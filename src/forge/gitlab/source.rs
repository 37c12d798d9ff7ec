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

use crate::base::failure::{Failure, Reason};
use crate::forge::gather::{Entry, Gathering, Home, Raw, at_the_entrance, check_id, check_scope, time, visibility};
use crate::forge::http::paging::{PageFailed, Told, pages};
use crate::forge::http::{Api, Auth};
use crate::forge::{Connection, Listing, Source};
use crate::model::{Repo, RepoState, Visibility};

/// The largest page that GitLab gives, oldest first: what is created while we page moves nothing.
const PAGE: [(&str, &str); 3] = [("per_page", "100"), ("order_by", "id"), ("sort", "asc")];

/// One GitLab as a source.
pub(in crate::forge) struct GitlabSource {
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
    releases_access_level: Option<String>,
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

impl GitlabSource {
    /// A source at `connection.api_url` (`https://gitlab.com/api/v4`); nothing is sent yet.
    pub(in crate::forge) fn open(connection: Connection) -> Result<Self, Failure> {
        check_scope(&connection)?;
        let api = Api::new(&connection, Auth::PrivateToken)?;
        Ok(GitlabSource { api, home: Home::of(&connection), owners: connection.owners })
    }

    fn entry(&self, json: ProjectJson) -> Entry {
        // Who is not signed in sees public projects only, without being told that they are.
        let unsaid = if self.api.has_token() { Visibility::Private } else { Visibility::Public };
        let state = match json.repository_access_level.as_deref() {
            Some("disabled") => RepoState::Disabled,
            _ => match json.empty_repo {
                Some(true) => RepoState::Empty,
                Some(false) => RepoState::Filled,
                None => RepoState::Ready,
            },
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
            releases_off: json.releases_access_level.as_deref() == Some("disabled"),
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
            Err(failed) if failed.is_refusal() && failed.failure.reason() == Reason::RemoteNotFound => failed,
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
    if failed.failure.reason() == Reason::RemoteNotFound {
        failed.failure = failed.failure.with_hint("check the name: the token sees no such group or user.");
    }
    failed
}

#[async_trait]
impl Source for GitlabSource {
    async fn list(&self, seen: &(dyn Fn(usize) + Send + Sync)) -> Result<Listing, Failure> {
        let mut gathering = Gathering::new(seen);
        if self.owners.is_empty() {
            self.projects(self.member_url(), &mut |page| gathering.take(page)).await.map_err(at_the_entrance)?;
        }
        for owner in gathering.owners(&self.owners) {
            self.list_owner(owner, &mut gathering).await?;
        }
        Ok(gathering.done())
    }

    async fn find(&self, id: &str) -> Result<Option<Repo>, Failure> {
        check_id(id)?;
        match self.api.look(self.api.url(&["projects", id], &[])).await? {
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
    use crate::model::ForgeKind::Gitlab as KIND;

    fn project(id: u64, path: &str) -> Value {
        json!({"id": id, "path_with_namespace": path, "http_url_to_repo": format!("https://gitlab.com/{path}.git")})
    }

    #[tokio::test]
    async fn every_field_that_matters_is_read() {
        let server = Server::with(&[("/projects", sample("gitlab/projects.json"))]).await;
        let listing = list(KIND, connection(&server.url)).await.unwrap();
        let [tool, new, issues_only] = &listing.repos[..] else { panic!("{listing:?}") };
        assert_eq!((tool.id.as_str(), tool.path.to_string().as_str()), ("31", "group/sub/tool"));
        assert_eq!(tool.url.to_string(), "https://gitlab.example.org/group/sub/tool.git");
        assert_eq!(tool.pushed_at, Some("2026-03-04T05:06:07.890Z".parse().unwrap()));
        assert_eq!((tool.visibility, tool.fork, tool.archived), (Visibility::Internal, true, true));
        assert_eq!((tool.size_kib, tool.state), (Some(2000), RepoState::Filled));
        assert_eq!((tool.topics.len(), tool.description.as_deref()), (1, None));
        assert_eq!((new.state, new.size_kib, new.default_branch.as_deref()), (RepoState::Empty, None, None));
        assert_eq!(issues_only.state, RepoState::Disabled);
    }

    #[tokio::test]
    async fn membership_is_asked_for_by_keys_with_the_token_in_gitlabs_header() {
        let server = Server::with(&[("/projects", json!([project(1, "me/a")]))]).await;
        list(KIND, connection(&server.url)).await.unwrap();
        let first = &server.asked()[0];
        for (name, value) in
            [("membership", "true"), ("pagination", "keyset"), ("order_by", "id"), ("sort", "asc"), ("per_page", "100")]
        {
            assert_eq!(first.query(name).as_deref(), Some(value));
        }
        // Archived projects are left in only when nothing is said about them.
        assert_eq!((first.query("archived"), first.query("simple")), (None, None));
        assert_eq!(first.header("private-token"), Some(crate::forge::testing::TOKEN));
    }

    #[tokio::test]
    async fn an_owner_is_a_group_with_its_subgroups_or_a_user_or_refused() {
        let server = Server::with(&[
            ("/groups/group%2Fsub/projects", json!([project(1, "group/sub/deep/a")])),
            ("/users/me/projects", json!([project(2, "me/b")])),
        ])
        .await;
        let listing = source(KIND, &server, &["group/sub", "me", "nobody", "no/group"]).list(&|_| ()).await.unwrap();
        assert_eq!(paths(&listing), ["group/sub/deep/a", "me/b"]);
        assert_eq!(refused(&listing), ["nobody", "no/group"]);
        let first = &server.asked()[0];
        assert_eq!(first.query("include_subgroups").as_deref(), Some("true"));
        assert_eq!(first.query("with_shared").as_deref(), Some("false"));
    }

    #[tokio::test]
    async fn a_group_that_is_forbidden_is_refused_and_one_that_fails_fails_the_listing() {
        let server = Server::start(|asked| match asked.path() {
            "/groups/closed/projects" => Reply::new(403, r#"{"message":"403 Forbidden"}"#),
            "/groups/bad/projects" => Reply::new(502, "<html>"),
            _ if asked.page() > 1 => Reply::json(&json!([])),
            _ => Reply::json(&json!([project(1, "open/a")])),
        })
        .await;
        let listing = source(KIND, &server, &["closed", "open"]).list(&|_| ()).await.unwrap();
        assert_eq!((paths(&listing), refused(&listing)), (vec!["open/a".to_owned()], vec!["closed"]));
        let failure = source(KIND, &server, &["open", "bad"]).list(&|_| ()).await.unwrap_err();
        assert_eq!(failure.reason(), Reason::ServerError);
    }

    #[tokio::test]
    async fn a_project_is_found_by_its_id_or_gone() {
        let server = Server::start(|asked| match asked.path() {
            "/projects/1" => Reply::json(&project(1, "me/moved")),
            _ => not_found(),
        })
        .await;
        let source = source(KIND, &server, &[]);
        assert_eq!(source.find("1").await.unwrap().unwrap().path.to_string(), "me/moved");
        assert_eq!(source.find("2").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_project_without_an_https_url_is_refused_by_name() {
        let nameless = json!([{"id": 1, "path_with_namespace": "me/a", "http_url_to_repo": null}, project(2, "me/b")]);
        let server = Server::with(&[("/projects", nameless)]).await;
        let listing = list(KIND, connection(&server.url)).await.unwrap();
        assert_eq!((paths(&listing), refused(&listing)), (vec!["me/b".to_owned()], vec!["me/a"]));
    }
}
