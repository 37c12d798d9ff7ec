//! GitLab as a destination, against a server that keeps to its API description.

use std::sync::Mutex;

use crate::base::failure::Reason;
use crate::forge::destination::testing::{
    an_ignored_default_branch_is_noticed, destination, path, refused, target, unknown_stays_unknown, wish,
};
use crate::forge::gitlab::destination::*;
use crate::forge::testing::{Asked, Reply, Server, not_found};
use crate::model::Visibility;
use crate::model::destination::DestinationKind::Gitlab as KIND;

fn project(asked: &Asked, path: &str) -> Value {
    json!({"id": 9, "path_with_namespace": path, "http_url_to_repo": format!("{}/{path}.git", asked.base),
        "default_branch": null, "visibility": "private", "archived": false})
}

fn me() -> Reply {
    Reply::json(&json!({"id": 77, "username": "me", "name": "Me"}))
}

#[tokio::test]
async fn a_project_is_there_or_missing() {
    let server = Server::start(|asked| match asked.path() {
        "/projects/group%2Fsub%2Ftool" => Reply::json(&project(asked, "group/sub/tool")),
        "/projects/group%2Fpulls" => {
            let mut project = project(asked, "group/pulls");
            project["mirror"] = json!(true);
            project["archived"] = json!(true);
            project["default_branch"] = json!("trunk");
            Reply::json(&project)
        }
        _ => Reply::new(404, r#"{"message":"404 Project Not Found"}"#),
    })
    .await;
    let gitlab = destination(KIND, &server);
    let found = gitlab.find(&path("group/sub/tool")).await.unwrap().unwrap();
    assert_eq!((found.id.as_str(), found.path.to_string().as_str()), ("9", "group/sub/tool"));
    assert!(!found.archived && !found.pull_mirror && found.default_branch.is_none());
    let pulls = gitlab.find(&path("group/pulls")).await.unwrap().unwrap();
    assert!(pulls.archived && pulls.pull_mirror && pulls.default_branch.as_deref() == Some("trunk"));
    assert_eq!(gitlab.find(&path("group/none")).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_neither_is_unknown() {
    unknown_stays_unknown(KIND).await;
    an_ignored_default_branch_is_noticed(KIND).await;
}

#[tokio::test]
async fn a_moved_project_is_held_by_both_names() {
    let server = Server::start(|asked| Reply::json(&project(asked, "group/new"))).await;
    let failure = destination(KIND, &server).find(&path("group/old")).await.unwrap_err();
    assert_eq!(failure.reason(), Reason::Held);
    assert!(failure.message().contains("group/old") && failure.message().contains("group/new"), "{failure}");
}

#[tokio::test]
async fn a_project_or_group_that_is_to_be_deleted_says_so_and_how_it_comes_back() {
    let server = Server::start(|asked| match asked.path() {
        "/user" => me(),
        // GitLab 17: archived, and both names of the date.
        "/projects/acme%2Fold" => {
            let mut project = project(asked, "acme/old");
            for key in ["marked_for_deletion_on", "marked_for_deletion_at"] {
                project[key] = json!("2026-11-20");
            }
            project["archived"] = json!(true);
            Reply::json(&project)
        }
        // GitLab 18: renamed, and found by its old name still.
        "/projects/acme%2Fnew" => Reply::json(&project(asked, "acme/new-deletion_scheduled-9")),
        "/projects/acme%2Fsub%2Ftool" => Reply::json(&project(asked, "acme/sub-deletion_scheduled-5/tool")),
        "/groups/leaving" => Reply::json(&json!({"id": 5, "marked_for_deletion_on": "2026-11-20"})),
        _ => Reply::new(404, r#"{"message":"404 Project Not Found"}"#),
    })
    .await;
    let gitlab = destination(KIND, &server);
    let mut failures = Vec::new();
    for name in ["acme/old", "acme/new", "acme/sub/tool"] {
        failures.push(gitlab.find(&path(name)).await.unwrap_err());
    }
    failures.push(gitlab.create(&wish("leaving/tool")).await.unwrap_err());
    for failure in failures {
        assert_eq!(failure.reason(), Reason::Archived, "{failure}");
        assert!(failure.message().contains("marked for deletion"), "{failure}");
        assert!(failure.way_out().unwrap().contains("restore it"), "{failure}");
    }
    assert_eq!(server.changes(), Vec::<String>::new());
}

#[test]
fn only_gitlabs_own_suffix_means_deletion() {
    assert!(is_leaving("acme/tool-deletion_scheduled-9") && is_leaving("a-deletion_scheduled-1/b"));
    assert!(!is_leaving("acme/tool-deletion_scheduled-x") && !is_leaving("acme/deletion_scheduled"));
}

/// A GitLab with these groups, which makes groups and projects.
async fn with_groups(groups: &[&str]) -> Server {
    let groups = Mutex::new(groups.iter().map(|group| (*group).to_owned()).collect::<Vec<_>>());
    Server::start(move |asked| {
        let mut groups = groups.lock().unwrap();
        let group = |path: &str, at: usize| json!({"id": 100 + at, "full_path": path, "visibility": "internal"});
        match (asked.method.as_str(), asked.path()) {
            ("GET", "/user") => me(),
            ("GET", target) if target.starts_with("/groups/") => {
                let path = target["/groups/".len()..].replace("%2F", "/");
                match groups.iter().position(|group| *group == path) {
                    Some(at) => Reply::json(&group(&path, at)),
                    None => Reply::new(404, r#"{"message":"404 Group Not Found"}"#),
                }
            }
            ("POST", "/groups") => {
                let parent = &groups[usize::try_from(asked.body["parent_id"].as_u64().unwrap()).unwrap() - 100];
                let path = format!("{parent}/{}", asked.body["path"].as_str().unwrap());
                groups.push(path.clone());
                Reply::json(&group(&path, groups.len() - 1))
            }
            ("POST", "/projects") => {
                let namespace = match asked.body["namespace_id"].as_u64() {
                    Some(id) => groups[usize::try_from(id).unwrap() - 100].clone(),
                    None => "me".to_owned(),
                };
                Reply::json(&project(asked, &format!("{namespace}/{}", asked.body["path"].as_str().unwrap())))
            }
            _ => not_found(),
        }
    })
    .await
}

#[tokio::test]
async fn a_project_is_made_in_ones_own_namespace_with_everything_off() {
    let server = with_groups(&[]).await;
    let gitlab = destination(KIND, &server);
    assert_eq!(gitlab.own_namespace().await.unwrap(), "me");
    gitlab.create(&wish("me/.github")).await.unwrap();
    assert_eq!(server.changes(), ["POST /projects"]);
    let body = server.asked().pop().unwrap().body;
    for (field, value) in [
        ("name", json!("_.github")),
        ("path", json!(".github")),
        ("visibility", json!("private")),
        ("description", json!("A tool")),
        ("default_branch", json!("trunk")),
        ("initialize_with_readme", json!(false)),
        ("auto_devops_enabled", json!(false)),
        ("issues_access_level", json!("disabled")),
        ("merge_requests_access_level", json!("disabled")),
        ("wiki_access_level", json!("disabled")),
        ("builds_access_level", json!("disabled")),
    ] {
        assert_eq!(body[field], value, "{field}");
    }
    assert!(body.get("namespace_id").is_none() && body.get("repository_access_level").is_none());
}

#[tokio::test]
async fn missing_subgroups_are_made_one_by_one_and_known_from_then_on() {
    let server = with_groups(&["top", "top/a"]).await;
    let gitlab = destination(KIND, &server);
    let deep = Wish { visibility: Visibility::Public, ..wish("top/a/b/c/tool") };
    assert_eq!(gitlab.create(&deep).await.unwrap().path.to_string(), "top/a/b/c/tool");
    assert_eq!(server.changes(), ["POST /groups", "POST /groups", "POST /projects"]);
    let made: Vec<Value> =
        server.asked().into_iter().filter(|asked| asked.method == "POST").map(|asked| asked.body).collect();
    // No wider than the group above.
    assert_eq!(made[0], json!({"name": "b", "path": "b", "parent_id": 101, "visibility": "internal"}));
    assert_eq!((&made[1]["parent_id"], &made[2]["namespace_id"]), (&json!(102), &json!(103)));
    let asked = server.asked().len();
    gitlab.create(&wish("top/a/b/c/other")).await.unwrap();
    assert_eq!(server.asked().len(), asked + 1);
}

#[tokio::test]
async fn a_top_level_group_is_not_made_and_an_unknown_one_makes_nothing() {
    let server = with_groups(&[]).await;
    let failure = destination(KIND, &server).create(&wish("top/sub/tool")).await.unwrap_err();
    assert_eq!(failure.reason(), Reason::RemoteNotFound);
    assert!(failure.message().contains("no group top") && failure.hint().is_some(), "{failure}");
    assert_eq!(server.changes(), Vec::<String>::new());
    let server = Server::start(|asked| match asked.path() {
        "/user" => me(),
        "/groups/top" => Reply::json(&json!({"id": 5})),
        _ => Reply::new(502, "<html>"),
    })
    .await;
    let failure = destination(KIND, &server).create(&wish("top/sub/tool")).await.unwrap_err();
    assert_eq!((failure.reason(), server.changes().len()), (Reason::ServerError, 0));
}

#[tokio::test]
async fn losing_the_race_for_a_group_or_a_project_is_success() {
    let made = Mutex::new((false, false));
    let server = Server::start(move |asked| {
        let mut made = made.lock().unwrap();
        match (asked.method.as_str(), asked.path()) {
            ("GET", "/user") => me(),
            ("GET", "/groups/top") => Reply::json(&json!({"id": 5, "visibility": "private"})),
            ("POST", "/groups") => {
                made.0 = true;
                Reply::new(400, r#"{"message":"Failed to save group {:path=>[\"has already been taken\"]}"}"#)
            }
            ("GET", "/groups/top%2Fsub") if made.0 => Reply::json(&json!({"id": 6, "visibility": "private"})),
            ("POST", "/projects") => {
                assert_eq!(asked.body["namespace_id"], 6);
                made.1 = true;
                Reply::new(400, r#"{"message":{"project_namespace.name":["has already been taken"],"path":["has already been taken"]}}"#)
            }
            ("GET", "/projects/top%2Fsub%2Ftool") if made.1 => Reply::json(&project(asked, "top/sub/tool")),
            _ => not_found(),
        }
    })
    .await;
    let gitlab = destination(KIND, &server);
    assert_eq!(gitlab.create(&wish("top/sub/tool")).await.unwrap().id, "9");
    assert_eq!(gitlab.create(&wish("top/sub/hidden")).await.unwrap_err().reason(), Reason::Forbidden);
}

#[tokio::test]
async fn each_refusal_names_its_cause() {
    for (status, body, reason, hint) in [
        (403, r#"{"message":"403 Forbidden"}"#, Reason::Forbidden, "scope `api`"),
        (403, r#"{"error":"insufficient_scope","error_description":"needs api"}"#, Reason::Forbidden, "scope `api`"),
        (
            400,
            r#"{"message":{"limit_reached":["Your project limit is 10 projects!"]}}"#,
            Reason::Forbidden,
            "raise the limit",
        ),
        (400, r#"{"message":{"path":["badges is a reserved name"]}}"#, Reason::PushRejected, "reserved"),
        (
            400,
            r#"{"message":{"visibility_level":["public is not allowed in a private group."]}}"#,
            Reason::PushRejected,
            "`private`",
        ),
        (404, r#"{"message":"404 Namespace Not Found"}"#, Reason::RemoteNotFound, "create acme first"),
    ] {
        let failure = refused(KIND, status, body).await;
        assert_eq!(failure.reason(), reason, "{failure}");
        assert!(failure.way_out().unwrap().contains(hint), "{failure:?}");
    }
    assert_eq!(refused(KIND, 500, "{}").await.reason(), Reason::ServerError);
}

#[tokio::test]
async fn the_default_branch_is_set() {
    let server = Server::start(|_| Reply::new(200, r#"{"default_branch":"trunk"}"#)).await;
    destination(KIND, &server).set_default_branch(&target("9", "acme/tool"), "trunk").await.unwrap();
    assert_eq!(server.changes(), ["PUT /projects/9"]);
    assert_eq!(server.asked()[0].body, json!({"default_branch": "trunk"}));
}
