//! What the tests of all destinations need.

use serde_json::{Value, json};

use crate::base::failure::{Failure, Reason};
use crate::base::url::RemoteUrl;
use crate::forge::destination::Destination;
pub use crate::forge::testing::recorded;
use crate::forge::testing::{Reply, Server, connection};
use crate::model::destination::{DestinationKind, ObjectFormat, Target, Wish};
use crate::model::{RepoPath, Visibility};

pub fn destination(kind: DestinationKind, server: &Server) -> Box<dyn Destination> {
    crate::forge::open::destination(kind, connection(&server.url)).unwrap()
}

pub fn path(text: &str) -> RepoPath {
    RepoPath::parse(text).unwrap()
}

pub fn wish(text: &str) -> Wish {
    Wish {
        path: path(text),
        visibility: Visibility::Private,
        description: Some("A\ttool\u{7}".to_owned()),
        default_branch: Some("trunk".to_owned()),
        object_format: ObjectFormat::default(),
    }
}

/// A target as `find` gave it in an earlier step.
pub fn target(id: &str, text: &str) -> Target {
    Target {
        id: id.to_owned(),
        path: path(text),
        url: RemoteUrl::parse("https://h/x.git").unwrap(),
        default_branch: None,
        archived: false,
        pull_mirror: false,
        visibility: None,
    }
}

/// Whatever answers a lookup with neither a repository nor the API's own 404 leaves the question open.
pub async fn unknown_stays_unknown(kind: DestinationKind) {
    for (status, body, reason) in [
        (401, r#"{"message":"no"}"#, Reason::AuthFailed),
        (403, r#"{"message":"no"}"#, Reason::Forbidden),
        (404, "<html>no such page</html>", Reason::ServerError),
        (410, r#"{"message":"gone"}"#, Reason::ServerError),
        (429, "{}", Reason::RateLimited),
        (451, "{}", Reason::Blocked),
        (500, r#"{"message":"oops"}"#, Reason::ServerError),
        (502, "<html>", Reason::ServerError),
        (200, "<html>please log in</html>", Reason::ServerError),
        (200, r#"{"unexpected":true}"#, Reason::ServerError),
    ] {
        let server = Server::start(move |_| Reply::new(status, body).with("retry-after", "9999")).await;
        let failure = destination(kind, &server).find(&path("acme/tool")).await.unwrap_err();
        // A 403 with `Retry-After` is a limit.
        let reason = if status == 403 { Reason::RateLimited } else { reason };
        assert_eq!(failure.reason(), reason, "{status} {body}: {failure}");
        assert_eq!(server.changes(), Vec::<String>::new());
    }
}

/// A default branch that the forge did not take, although it answered with success, is no success.
pub async fn an_ignored_default_branch_is_noticed(kind: DestinationKind) {
    for (body, now) in [(r#"{"default_branch":"main"}"#, "main"), (r#"{"id":9}"#, "unknown")] {
        let server = Server::start(move |_| Reply::new(200, body)).await;
        let set = destination(kind, &server).set_default_branch(&target("9", "acme/tool"), "trunk").await;
        let failure = set.unwrap_err();
        assert!(failure.evidence().is_some_and(|text| text.contains(now)), "{failure}");
    }
}

/// The failure of creating `acme/tool` where the forge answers the POST so.
pub async fn refused(kind: DestinationKind, status: u16, body: &'static str) -> Failure {
    let server = Server::start(move |asked| match (asked.method.as_str(), asked.path()) {
        (_, "/user") => Reply::json(&json!({"id": 7, "login": "me", "username": "me"})),
        ("GET", "/groups/acme") => Reply::json(&json!({"id": 5, "visibility": "private"})),
        ("POST", _) => Reply::new(status, body),
        _ => Reply::new(404, r#"{"message":"Not Found"}"#),
    })
    .await;
    let failure = destination(kind, &server).create(&wish("acme/tool")).await.unwrap_err();
    assert_eq!(server.changes().len(), 1, "a refused creation is not tried again");
    if !failure.reason().is_transient() {
        assert!(failure.way_out().is_some() && failure.message().contains("acme/tool"), "{failure}");
    }
    failure
}

/// A JSON value without the addresses in it, and with people, teams and apps by their names only.
pub fn essence(value: &Value) -> Value {
    match value {
        Value::Array(values) => {
            let mut values: Vec<Value> = values.iter().map(essence).collect();
            values.sort_by_key(Value::to_string);
            Value::Array(values)
        }
        Value::Object(fields) => match fields.get("login").or(fields.get("slug")) {
            Some(name) => name.clone(),
            None => {
                let kept =
                    fields.iter().filter(|(key, _)| !key.ends_with("url") && *key != "id" && !key.ends_with("_at"));
                kept.map(|(key, value)| (key.clone(), essence(value))).collect()
            }
        },
        other => other.clone(),
    }
}
