//! Gitea as a destination, against recorded answers as 1.21 gave them.

use serde_json::Value;

use crate::base::failure::Reason;
use crate::forge::destination::testing::{
    an_ignored_default_branch_is_noticed, destination, path, recorded, refused, target, unknown_stays_unknown, wish,
};
use crate::forge::gitea::destination::*;
use crate::forge::testing::{Reply, Server};
use crate::model::destination::DestinationKind::Gitea as KIND;

#[tokio::test]
async fn a_recorded_repository_is_there_or_missing() {
    let server = Server::start(|asked| match asked.path() {
        "/repos/tester/p1" => recorded(asked, "get-repo"),
        _ => recorded(asked, "get-repo-404"),
    })
    .await;
    let gitea = destination(KIND, &server);
    let found = gitea.find(&path("tester/p1")).await.unwrap().unwrap();
    assert_eq!((found.id.as_str(), found.path.to_string().as_str()), ("5", "tester/p1"));
    assert_eq!(found.url.to_string(), server.url.join("tester/p1.git").unwrap().to_string());
    assert_eq!((found.default_branch.as_deref(), found.visibility), (Some("main"), Some(Visibility::Public)));
    assert!(!found.archived && !found.pull_mirror);
    assert_eq!(gitea.find(&path("tester/none")).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_neither_is_unknown() {
    unknown_stays_unknown(KIND).await;
    an_ignored_default_branch_is_noticed(KIND).await;
}

#[tokio::test]
async fn a_pull_mirror_an_archive_and_a_renamed_repository_are_told() {
    let server = Server::start(|asked| match asked.path() {
        "/repos/acme/old" => Reply::new(307, "{}").with("location", format!("{}/repos/acme/new", asked.base)),
        _ => Reply::json(&json!({"id": 1, "full_name": "acme/new", "mirror": true, "archived": true,
            "clone_url": format!("{}/acme/new.git", asked.base)})),
    })
    .await;
    let gitea = destination(KIND, &server);
    let found = gitea.find(&path("acme/new")).await.unwrap().unwrap();
    assert!(found.archived && found.pull_mirror);
    let failure = gitea.find(&path("acme/old")).await.unwrap_err();
    assert!(failure.reason() == Reason::Held && failure.message().contains("acme/new"), "{failure}");
}

#[tokio::test]
async fn a_recorded_repository_is_made_for_the_user_or_an_organisation() {
    let server = Server::start(|asked| match (asked.method.as_str(), asked.path()) {
        ("GET", "/user") => recorded(asked, "user"),
        ("POST", "/user/repos") => recorded(asked, "create-user-repo"),
        ("POST", "/orgs/acme/repos") => recorded(asked, "create-org-repo"),
        // A token without `write:repository` makes it, and cannot turn anything off.
        _ => recorded(asked, "create-user-repo-scope-missing"),
    })
    .await;
    let gitea = destination(KIND, &server);
    assert_eq!(gitea.own_namespace().await.unwrap(), "tester");
    let made = gitea.create(&wish("tester/rec7055")).await.unwrap();
    assert_eq!((made.id.as_str(), made.visibility), ("7", Some(Visibility::Private)));
    gitea.create(&NewRepo { visibility: Visibility::Public, ..wish("acme/rec7055-0") }).await.unwrap();
    let changes =
        ["POST /user/repos", "PATCH /repos/tester/rec7055", "POST /orgs/acme/repos", "PATCH /repos/acme/rec7055-0"];
    assert_eq!(server.changes(), changes);
    let bodies: Vec<Value> =
        server.asked().into_iter().filter(|asked| asked.method != "GET").map(|asked| asked.body).collect();
    let body = json!({"name": "rec7055", "private": true, "description": "A tool", "auto_init": false,
        "default_branch": "trunk"});
    assert_eq!(bodies[0], body);
    assert_eq!(bodies[2]["private"], false);
    for feature in ["has_issues", "has_wiki", "has_pull_requests", "has_projects", "has_actions"] {
        assert_eq!(bodies[1][feature], false);
    }
}

#[tokio::test]
async fn losing_the_race_for_a_name_is_success() {
    let server = Server::start(|asked| match (asked.method.as_str(), asked.path()) {
        ("GET", "/user") => recorded(asked, "user"),
        ("POST", "/user/repos") => recorded(asked, "create-user-repo-exists"),
        ("GET", "/repos/tester/p1") => recorded(asked, "get-repo"),
        _ => recorded(asked, "get-repo-404"),
    })
    .await;
    let gitea = destination(KIND, &server);
    assert_eq!(gitea.create(&wish("tester/p1")).await.unwrap().id, "5");
    assert_eq!(gitea.create(&wish("tester/hidden")).await.unwrap_err().reason(), Reason::Forbidden);
}

#[tokio::test]
async fn each_recorded_refusal_names_its_cause() {
    for (name, reason, hint) in [
        ("create-user-repo-bad-name", Reason::PushRejected, "reserved or not allowed"),
        ("create-user-repo-reserved", Reason::PushRejected, "reserved or not allowed"),
        ("create-user-repo-scope-missing", Reason::Forbidden, "write:repository"),
        ("create-org-repo-forbidden", Reason::Forbidden, "right to create in acme"),
        ("create-org-repo-no-org", Reason::RemoteNotFound, "create acme first"),
    ] {
        let server = Server::start(move |asked| match asked.path() {
            "/user" => recorded(asked, "user"),
            _ => recorded(asked, name),
        })
        .await;
        let failure = destination(KIND, &server).create(&wish("acme/tool")).await.unwrap_err();
        assert_eq!(failure.reason(), reason, "{failure}");
        assert!(failure.way_out().unwrap().contains(hint), "{failure:?}");
        assert!(failure.evidence().is_some());
    }
    let full = r#"{"message":"user has reached maximum limit of repositories [limit: 3]"}"#;
    assert!(refused(KIND, 422, full).await.message().contains("quota"));
    assert!(refused(KIND, 413, r#"{"message":"quota exceeded"}"#).await.message().contains("quota"));
}

#[tokio::test]
async fn the_default_branch_is_set() {
    let server = Server::start(|_| Reply::new(200, r#"{"default_branch":"trunk"}"#)).await;
    destination(KIND, &server).set_default_branch(&target("5", "acme/tool"), "trunk").await.unwrap();
    assert_eq!(server.changes(), ["PATCH /repos/acme/tool"]);
    assert_eq!(server.asked()[0].body, json!({"default_branch": "trunk"}));
}
