//! Requests to the forges' APIs, held against the table of what Holocron may ask for (`contract/endpoints.json`).
//!
//! A new request, parameter or field needs a line there, and `scripts/contract` says whether the forge's own description
//! agrees with it.

mod day;
mod table;

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::{Value, json};

use crate::support::Dialect;
use table::{Asked, Table};

/// Every request of the days stands in the table, and every line of the table is asked for on one of them.
async fn assert_all_in_the_table(kind: Dialect, forge: &str) {
    let table = Table::read();
    let (mut seen, mut problems) = (BTreeSet::new(), BTreeSet::new());
    for request in day::requests(kind).await {
        // The others are git's, and for files outside the APIs.
        if request.path.starts_with("/api/") {
            match table.check(&Asked::from(&request)) {
                Ok((of, lines)) if of == forge => seen.extend(lines),
                Ok(_) => {}
                Err(wrong) => problems.extend(wrong),
            }
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
    let (lines, unseen) = (table.lines(forge), table.unseen(forge));
    let never: BTreeSet<_> = lines.difference(&seen).filter(|line| !unseen.contains(*line)).collect();
    assert!(never.is_empty(), "in the table of {forge}, and never asked for: {never:#?}");
    let after_all: BTreeSet<_> = seen.intersection(&unseen).collect();
    assert!(after_all.is_empty(), "`unseen` in the table of {forge}, and asked for: {after_all:#?}");
}

#[tokio::test]
async fn all_that_github_is_asked_for_stands_in_the_table() {
    assert_all_in_the_table(Dialect::Github, "github").await;
}

#[tokio::test]
async fn all_that_gitlab_is_asked_for_stands_in_the_table() {
    assert_all_in_the_table(Dialect::Gitlab, "gitlab").await;
}

#[tokio::test]
async fn all_that_gitea_is_asked_for_stands_in_the_table() {
    assert_all_in_the_table(Dialect::Gitea, "gitea").await;
}

fn asked(method: Method, target: &str, body: Value) -> Asked {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (has_body, content_type) = (!body.is_null(), Some("application/json".to_owned()));
    Asked { method, path: path.to_owned(), query: query.to_owned(), content_type, body, has_body }
}

/// What is wrong with a request; nothing where it stands in the table.
fn wrong(asked: &Asked) -> Vec<String> {
    let told = Table::read().check(asked).err().unwrap_or_default();
    let called = format!("{} {}: ", asked.method, asked.path);
    told.into_iter().map(|text| text.replace(&called, "")).collect()
}

#[test]
fn a_request_that_does_not_stand_in_the_table_is_noticed() {
    let release = |body| asked(Method::POST, "/api/v3/repos/acme/tool/releases", body);
    assert_eq!(wrong(&release(json!({"tag_name": "v1", "make_latest": "legacy"}))), [""; 0]);
    for (request, told) in [
        (asked(Method::PUT, "/api/v3/repos/acme/tool/releases", json!({})), "no such endpoint in the table"),
        (asked(Method::GET, "/api/v3/repos/acme/tool/releases/", Value::Null), "no such endpoint in the table"),
        (asked(Method::GET, "/api/v31/user", Value::Null), "no such endpoint in the table"),
        (
            asked(Method::GET, "/api/v1/user/repos?per_page=1", Value::Null),
            "query.per_page does not stand in the table",
        ),
        (asked(Method::GET, "/api/v1/user/repos?limit=x", Value::Null), "query.limit is \"x\", not integer"),
        (asked(Method::DELETE, "/api/v1/repos/acme/tool/releases/1", json!({})), "it has a body"),
        (
            release(json!({"tag_name": "v1", "target_commitish": "main"})),
            "body.target_commitish does not stand in the table",
        ),
        (release(json!({"tag_name": 1})), "body.tag_name is 1, not string"),
        (release(json!({"tag_name": null})), "body.tag_name is null, not string"),
        (release(json!({"draft": true})), "body.tag_name is missing"),
        (
            release(json!({"tag_name": "v1", "make_latest": "yes"})),
            "body.make_latest is \"yes\", not string=true|false|legacy",
        ),
        (release(Value::Null), "the body is null, not an object"),
        (
            Asked { content_type: None, ..release(json!({"tag_name": "v1"})) },
            "the body is sent as None, not as application/json",
        ),
    ] {
        assert_eq!(wrong(&request), [told]);
    }
}

#[test]
fn what_lies_within_a_body_is_looked_at_too() {
    let url = "/api/v3/repos/acme/tool/branches/rel%2F1/protection";
    let good = json!({
        "required_status_checks": {"strict": true, "checks": [{"context": "ci", "app_id": -1}]}, "enforce_admins": true,
        "required_pull_request_reviews": null, "restrictions": {"users": ["alice"], "teams": []},
    });
    assert_eq!(wrong(&asked(Method::PUT, url, good.clone())), [""; 0]);
    for (pointer, value, told) in [
        (
            "/required_status_checks/checks/0/app_id",
            json!("7"),
            "body.required_status_checks.checks[].app_id is \"7\", not integer",
        ),
        ("/restrictions/users/0", json!({}), "body.restrictions.users[] is {}, not string"),
        ("/restrictions", json!({"users": []}), "body.restrictions.teams is missing"),
        ("/enforce_admins", Value::Null, "body.enforce_admins is null, not boolean"),
    ] {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        assert_eq!(wrong(&asked(Method::PUT, url, body)), [told]);
    }
}

#[test]
fn a_file_goes_by_the_type_that_the_forge_takes() {
    let url = "/api/v1/repos/acme/tool/releases/1/assets?name=a";
    let file = |kind: &str| Asked { content_type: Some(kind.to_owned()), ..asked(Method::POST, url, Value::Null) };
    assert_eq!(wrong(&file("multipart/form-data; boundary=x")), [""; 0]);
    assert_eq!(wrong(&file("text/plain")), ["the file is sent as Some(\"text/plain\"), not as multipart/form-data"]);
}
