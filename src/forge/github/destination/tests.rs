//! GitHub as a destination, against a server that keeps to its REST description.

use serde_json::Value;

use crate::forge::destination::testing::{
    an_ignored_default_branch_is_noticed, destination, path, refused, target, unknown_stays_unknown, wish,
};
use crate::forge::github::destination::*;
use crate::forge::testing::{Asked, Reply, Server, not_found};
use crate::model::destination::DestinationKind::Github as KIND;

fn repo(asked: &Asked, full_name: &str) -> Value {
    json!({"id": 9, "full_name": full_name, "clone_url": format!("{}/{full_name}.git", asked.base), "private": true,
        "default_branch": "main", "archived": false, "mirror_url": null})
}

fn me() -> Reply {
    Reply::json(&json!({"id": 7, "login": "me"}))
}

#[tokio::test]
async fn a_repository_is_there_or_missing() {
    let server = Server::start(|asked| match asked.path() {
        "/repos/acme/Tool" => Reply::json(&repo(asked, "Acme/tool")),
        "/repos/acme/old" => {
            let mut repo = repo(asked, "acme/old");
            repo["archived"] = json!(true);
            repo["mirror_url"] = json!("https://svn.example.org/old");
            Reply::json(&repo)
        }
        _ => not_found(),
    })
    .await;
    let github = destination(KIND, &server);
    let found = github.find(&path("acme/Tool")).await.unwrap().unwrap();
    assert_eq!((found.path.to_string().as_str(), found.id.as_str()), ("Acme/tool", "9"));
    assert_eq!(found.url.to_string(), server.url.join("Acme/tool.git").unwrap().to_string());
    assert_eq!((found.default_branch.as_deref(), found.visibility), (Some("main"), Some(Visibility::Private)));
    assert!(!found.archived && !found.pull_mirror);
    let old = github.find(&path("acme/old")).await.unwrap().unwrap();
    assert!(old.archived && old.pull_mirror);
    assert_eq!(github.find(&path("acme/none")).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_neither_is_unknown() {
    unknown_stays_unknown(KIND).await;
    an_ignored_default_branch_is_noticed(KIND).await;
}

#[tokio::test]
async fn a_renamed_repository_and_one_on_another_host_are_held_by_name() {
    let server = Server::start(|asked| match asked.path() {
        "/repos/acme/old" => Reply::new(301, "{}").with("location", format!("{}/repositories/9", asked.base)),
        "/repositories/9" => Reply::json(&repo(asked, "acme/new")),
        "/repos/acme/gone" => Reply::new(301, "{}").with("location", "https://git.example.org.evil.test/x"),
        _ => Reply::json(&json!({"id": 9, "full_name": "acme/evil", "clone_url": "https://h.evil.test/acme/evil.git"})),
    })
    .await;
    let github = destination(KIND, &server);
    let failure = github.find(&path("acme/old")).await.unwrap_err();
    assert_eq!(failure.reason(), Reason::Held);
    assert!(failure.message().contains("acme/old") && failure.message().contains("acme/new"), "{failure}");
    for name in ["acme/gone", "acme/evil"] {
        let failure = github.find(&path(name)).await.unwrap_err();
        assert!(failure.reason() == Reason::Held && failure.message().contains("evil.test"), "{failure}");
    }
}

#[tokio::test]
async fn a_repository_is_made_for_the_tokens_user_or_for_an_organisation() {
    let server = Server::start(|asked| match (asked.method.as_str(), asked.path()) {
        (_, "/user") => me(),
        ("POST", "/user/repos") => Reply::json(&repo(asked, "Me/tool")),
        ("POST", "/orgs/acme/repos") => Reply::json(&repo(asked, "acme/tool")),
        // Not every plan lets Actions be switched off.
        _ => not_found(),
    })
    .await;
    let github = destination(KIND, &server);
    assert_eq!(github.own_namespace().await.unwrap(), "me");
    assert_eq!(github.create(&wish("Me/tool")).await.unwrap().path.to_string(), "Me/tool");
    assert_eq!(github.create(&wish("acme/tool")).await.unwrap().path.to_string(), "acme/tool");
    let changes = [
        "POST /user/repos",
        "PUT /repos/Me/tool/actions/permissions",
        "POST /orgs/acme/repos",
        "PUT /repos/acme/tool/actions/permissions",
    ];
    assert_eq!(server.changes(), changes);
    let asked = server.asked();
    let bodies: Vec<&Value> = asked.iter().filter(|asked| asked.method != "GET").map(|asked| &asked.body).collect();
    let body = json!({"name": "tool", "private": true, "description": "A tool", "has_issues": false,
        "has_projects": false, "has_wiki": false, "auto_init": false});
    assert_eq!((bodies[0], bodies[1], bodies[2]), (&body, &json!({"enabled": false}), &body));
    assert_eq!(asked.iter().filter(|asked| asked.path() == "/user").count(), 1);
}

#[tokio::test]
async fn losing_the_race_for_a_name_is_success_unless_it_is_hidden() {
    const TAKEN: &str = r#"{"message":"Repository creation failed.","errors":[{"resource":"Repository","code":"custom",
        "field":"name","message":"name already exists on this account"}]}"#;
    let server = Server::start(|asked| match (asked.method.as_str(), asked.path()) {
        (_, "/user") => me(),
        ("POST", _) => Reply::new(422, TAKEN),
        ("GET", "/repos/acme/tool") => Reply::json(&repo(asked, "acme/tool")),
        _ => not_found(),
    })
    .await;
    let github = destination(KIND, &server);
    assert_eq!(github.create(&wish("acme/tool")).await.unwrap().id, "9");
    assert_eq!(github.create(&wish("acme/hidden")).await.unwrap_err().reason(), Reason::Forbidden);
}

#[tokio::test]
async fn each_refusal_names_its_cause() {
    for (status, body, reason, hint) in [
        (403, r#"{"message":"Resource not accessible by personal access token"}"#, Reason::Forbidden, "Administration"),
        (403, r#"{"message":"Repository quota exceeded"}"#, Reason::Forbidden, "limit"),
        (404, r#"{"message":"Not Found"}"#, Reason::RemoteNotFound, "create acme first"),
        (422, r#"{"message":"Invalid","errors":["name is reserved"]}"#, Reason::PushRejected, "map or exclude"),
        (422, r#"{"message":"Visibility is not allowed"}"#, Reason::PushRejected, "private"),
        (
            422,
            r#"{"message":"Repository creation failed.","errors":[{"resource":"Repository","code":"custom","field":"visibility",
            "message":"Visibility can't be private. Please upgrade your subscription to create a new private repository."}]}"#,
            Reason::Forbidden,
            "raise the limit",
        ),
    ] {
        let failure = refused(KIND, status, body).await;
        assert_eq!(failure.reason(), reason, "{failure}");
        assert!(failure.way_out().unwrap().contains(hint), "{failure:?}");
    }
    assert_eq!(refused(KIND, 502, "<html>").await.reason(), Reason::ServerError);
}

#[tokio::test]
async fn a_name_that_github_would_change_is_not_made() {
    let server = Server::start(|_| me()).await;
    let failure = destination(KIND, &server).create(&wish("acme/c++ tool")).await.unwrap_err();
    assert_eq!((failure.reason(), server.asked().len()), (Reason::PushRejected, 0));
    assert!(failure.way_out().unwrap().contains("`name`"), "{failure:?}");
}

#[tokio::test]
async fn what_cannot_be_internal_becomes_private_never_public() {
    let server = Server::start(|asked| match (asked.method.as_str(), asked.path()) {
        (_, "/user") => me(),
        ("POST", _) if asked.body["visibility"] == "internal" => {
            Reply::new(422, r#"{"message":"Visibility can't be internal for this organization"}"#)
        }
        ("POST", _) => Reply::json(&repo(asked, "acme/tool")),
        _ => not_found(),
    })
    .await;
    let internal = NewRepo { visibility: Visibility::Internal, ..wish("acme/tool") };
    let made = destination(KIND, &server).create(&internal).await.unwrap();
    assert_eq!(made.visibility, Some(Visibility::Private));
    let posts = server.asked().into_iter().filter(|asked| asked.method == "POST");
    assert!(posts.map(|asked| asked.body["private"].clone()).eq([json!(true), json!(true)]));
}

#[tokio::test]
async fn a_nested_namespace_has_no_place_on_github() {
    let server = Server::start(|_| not_found()).await;
    assert_eq!(destination(KIND, &server).find(&path("a/b/c")).await.unwrap_err().reason(), Reason::PushRejected);
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn the_default_branch_is_set() {
    let server = Server::start(|_| Reply::new(200, r#"{"default_branch":"trunk"}"#)).await;
    destination(KIND, &server).set_default_branch(&target("9", "acme/tool"), "trunk").await.unwrap();
    assert_eq!(server.changes(), ["PATCH /repos/acme/tool"]);
    assert_eq!(server.asked()[0].body, json!({"default_branch": "trunk"}));
}
