//! GitHub as a destination, against a server that keeps to its REST description.

use std::sync::{Arc, Mutex};

use super::*;
use crate::forge::destination::testing::{destination, essence, path, refused, target, unknown_stays_unknown, wish};
use crate::forge::testing::{Asked, Reply, Server, not_found, sample};
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
    assert_eq!(failure.reason, Reason::Held);
    assert!(failure.message.contains("acme/old") && failure.message.contains("acme/new"), "{failure}");
    for name in ["acme/gone", "acme/evil"] {
        let failure = github.find(&path(name)).await.unwrap_err();
        assert!(failure.reason == Reason::Held && failure.message.contains("evil.test"), "{failure}");
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
    assert_eq!(github.create(&wish("acme/hidden")).await.unwrap_err().reason, Reason::Forbidden);
}

#[tokio::test]
async fn each_refusal_names_its_cause() {
    for (status, body, reason, hint) in [
        (403, r#"{"message":"Resource not accessible by personal access token"}"#, Reason::Forbidden, "Administration"),
        (403, r#"{"message":"Repository quota exceeded"}"#, Reason::Forbidden, "limit"),
        (404, r#"{"message":"Not Found"}"#, Reason::RemoteNotFound, "create acme first"),
        (422, r#"{"message":"Invalid","errors":["name is reserved"]}"#, Reason::PushRejected, "map or exclude"),
        (422, r#"{"message":"Visibility is not allowed"}"#, Reason::PushRejected, "private"),
    ] {
        let failure = refused(KIND, status, body).await;
        assert_eq!(failure.reason, reason, "{failure}");
        assert!(failure.way_out().unwrap().contains(hint), "{failure:?}");
    }
    assert_eq!(refused(KIND, 502, "<html>").await.reason, Reason::ServerError);
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
    let internal = Wish { visibility: Visibility::Internal, ..wish("acme/tool") };
    let made = destination(KIND, &server).create(&internal).await.unwrap();
    assert_eq!(made.visibility, Some(Visibility::Private));
    let posts = server.asked().into_iter().filter(|asked| asked.method == "POST");
    assert!(posts.map(|asked| asked.body["private"].clone()).eq([json!(true), json!(true)]));
}

#[tokio::test]
async fn a_nested_namespace_has_no_place_on_github() {
    let server = Server::start(|_| not_found()).await;
    assert_eq!(destination(KIND, &server).find(&path("a/b/c")).await.unwrap_err().reason, Reason::PushRejected);
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn the_default_branch_is_set() {
    let server = Server::start(|_| Reply::new(200, "{}")).await;
    destination(KIND, &server).set_default_branch(&target("9", "acme/tool"), "trunk").await.unwrap();
    assert_eq!(server.changes(), ["PATCH /repos/acme/tool"]);
    assert_eq!(server.asked()[0].body, json!({"default_branch": "trunk"}));
}

/// A repository with one rule, for the branch `main` or a pattern.
#[derive(Clone)]
struct Protected {
    /// As a GET shows it; `None` without a rule for exactly this branch.
    shown: Option<Value>,
    pattern: &'static str,
    branch_is_there: bool,
    app: bool,
    rules: Value,
}

/// What a GET shows after a PUT.
fn shown(put: &Value, signatures: bool) -> Value {
    let switch = |field: &str| json!({"enabled": put[field] == json!(true)});
    let actors = |put: &Value| {
        let named = |list: &Value, key: &str| -> Vec<Value> {
            list.as_array().unwrap().iter().map(|name| json!({key: name})).collect()
        };
        json!({"users": named(&put["users"], "login"), "teams": named(&put["teams"], "slug"),
            "apps": named(&put["apps"], "slug")})
    };
    let mut shown = json!({"required_signatures": {"enabled": signatures}});
    for field in [
        "enforce_admins",
        "required_linear_history",
        "allow_force_pushes",
        "allow_deletions",
        "block_creations",
        "required_conversation_resolution",
        "lock_branch",
        "allow_fork_syncing",
    ] {
        shown[field] = switch(field);
    }
    for field in ["required_status_checks", "required_pull_request_reviews", "restrictions"] {
        assert!(put.get(field).is_some(), "GitHub refuses a PUT without {field}");
    }
    if let Some(checks) = put["required_status_checks"]["checks"].as_array() {
        let app = |check: &Value| check["app_id"].as_i64().filter(|id| *id != -1);
        let all: Vec<Value> =
            checks.iter().map(|check| json!({"context": check["context"], "app_id": app(check)})).collect();
        let contexts: Vec<&Value> = checks.iter().map(|check| &check["context"]).collect();
        let strict = &put["required_status_checks"]["strict"];
        shown["required_status_checks"] = json!({"strict": strict, "contexts": contexts, "checks": all});
    }
    if put["required_pull_request_reviews"].is_object() {
        let mut reviews = put["required_pull_request_reviews"].clone();
        for field in ["dismissal_restrictions", "bypass_pull_request_allowances"] {
            if let Some(put) = reviews.get(field).cloned() {
                reviews[field] = actors(&put);
            }
        }
        shown["required_pull_request_reviews"] = reviews;
    }
    if put["restrictions"].is_object() {
        shown["restrictions"] = actors(&put["restrictions"]);
    }
    shown
}

impl Protected {
    fn main() -> Self {
        let shown = Some(sample("github/protection.json"));
        Protected { shown, pattern: "main", branch_is_there: true, app: false, rules: json!([]) }
    }

    fn switch(&mut self, input: &Value) {
        let shown = self.shown.as_mut().unwrap();
        for (name, field) in [
            ("isAdminEnforced", "enforce_admins"),
            ("allowsForcePushes", "allow_force_pushes"),
            ("allowsDeletions", "allow_deletions"),
            ("lockBranch", "lock_branch"),
        ] {
            shown[field]["enabled"] = input[name].clone();
        }
    }

    fn rule(&self) -> Value {
        let on = |field: &str| self.shown.as_ref().map(|shown| shown[field]["enabled"].clone());
        json!({"id": "BPR_1", "pattern": self.pattern, "isAdminEnforced": on("enforce_admins"),
            "allowsForcePushes": on("allow_force_pushes"), "allowsDeletions": on("allow_deletions"),
            "lockBranch": on("lock_branch")})
    }

    fn reply(&mut self, asked: &Asked) -> Reply {
        const PROTECTION: &str = "/repos/acme/tool/branches/main/protection";
        let is_exact = self.pattern == "main";
        match (asked.method.as_str(), asked.path()) {
            ("GET", "/user") if self.app => Reply::new(403, r#"{"message":"Resource not accessible by integration"}"#),
            ("GET", "/user") => me(),
            ("GET", "/repos/acme/tool/rules/branches/main") => Reply::json(&self.rules),
            ("GET", "/repos/acme/tool/rulesets/4") => {
                Reply::json(&json!({"id": 4, "name": "no rewriting", "current_user_can_bypass": "never"}))
            }
            ("GET", "/repos/acme/tool/rulesets/5") => {
                Reply::json(&json!({"id": 5, "name": "for others", "current_user_can_bypass": "always"}))
            }
            ("POST", "/graphql") if asked.body["query"].as_str().unwrap().starts_with("mutation") => {
                assert_eq!(asked.body["variables"]["input"]["branchProtectionRuleId"], "BPR_1");
                self.switch(&asked.body["variables"]["input"]);
                Reply::json(&json!({"data": {"updateBranchProtectionRule": {}}}))
            }
            ("POST", "/graphql") => {
                let rule = if self.shown.is_some() { self.rule() } else { Value::Null };
                Reply::json(&json!({"data": {"repository": {"ref": {"branchProtectionRule": rule}}}}))
            }
            (_, path) if path.starts_with(PROTECTION) && !self.branch_is_there => {
                Reply::new(404, r#"{"message":"Branch not found"}"#)
            }
            ("GET", PROTECTION) => match &self.shown {
                Some(shown) if is_exact => Reply::json(shown),
                _ => Reply::new(404, r#"{"message":"Branch not protected"}"#),
            },
            ("PUT", PROTECTION) => {
                assert!(is_exact, "a second rule beside the pattern");
                let signatures = self.shown.as_ref().is_some_and(|s| s["required_signatures"]["enabled"] == true);
                self.shown = Some(shown(&asked.body, signatures));
                Reply::json(self.shown.as_ref().unwrap())
            }
            (method @ ("POST" | "DELETE"), "/repos/acme/tool/branches/main/protection/required_signatures") => {
                self.shown.as_mut().unwrap()["required_signatures"]["enabled"] = json!(method == "POST");
                Reply::new(if method == "POST" { 200 } else { 204 }, "")
            }
            _ => not_found(),
        }
    }

    async fn serve(self) -> (Server, Arc<Mutex<Protected>>) {
        let state = Arc::new(Mutex::new(self));
        let server = {
            let state = state.clone();
            Server::start(move |asked| state.lock().unwrap().reply(asked)).await
        };
        (server, state)
    }
}

/// Opens `main` for `need`, checks the opened state, and restores it twice; what is shown must then be what it was.
async fn round_trip(protected: Protected, need: Need, is_open: impl Fn(&Value)) -> Server {
    let before = essence(protected.shown.as_ref().unwrap());
    let (server, state) = protected.serve().await;
    let github = destination(KIND, &server);
    let undos = github.rules(&target("9", "acme/tool"), "main", need).await.unwrap();
    assert_eq!(undos.len(), 1);
    let unchanged = |change: &String| change == "POST /graphql";
    assert!(server.changes().iter().all(unchanged), "nothing is changed before the undo is written down");
    // What is written down is all that a later run has.
    let undo: Undo = serde_json::from_str(&serde_json::to_string(&undos[0]).unwrap()).unwrap();
    github.open_rule(&undo, need).await.unwrap();
    is_open(&essence(state.lock().unwrap().shown.as_ref().unwrap()));
    for _ in 0..2 {
        github.restore_rule(&undo).await.unwrap();
        assert_eq!(essence(state.lock().unwrap().shown.as_ref().unwrap()), before);
    }
    server
}

/// The fields of `opened` that are not those of the sample.
fn opened_fields(opened: &Value) -> Vec<String> {
    let before = essence(&sample("github/protection.json"));
    let before = before.as_object().unwrap();
    before.iter().filter(|(field, value)| opened.get(field.as_str()) != Some(*value)).map(|(f, _)| f.clone()).collect()
}

#[tokio::test]
async fn a_protection_is_opened_as_little_as_will_do_and_put_back_whole() {
    round_trip(Protected::main(), Need::Push, |opened| {
        assert_eq!(opened_fields(opened), ["enforce_admins", "lock_branch"]);
    })
    .await;
    round_trip(Protected::main(), Need::Force, |opened| {
        assert_eq!(opened_fields(opened), ["allow_force_pushes", "enforce_admins", "lock_branch"]);
    })
    .await;
    round_trip(Protected::main(), Need::Delete, |opened| {
        assert_eq!(opened_fields(opened), ["allow_deletions", "lock_branch"]);
    })
    .await;
}

#[tokio::test]
async fn a_protection_without_some_parts_is_put_back_without_them() {
    for part in [
        "required_status_checks",
        "required_pull_request_reviews",
        "restrictions",
        "required_signatures",
        "lock_branch",
    ] {
        let mut protected = Protected::main();
        let shown = protected.shown.as_mut().unwrap();
        match part {
            "required_signatures" | "lock_branch" => shown[part]["enabled"] = json!(false),
            part => drop(shown.as_object_mut().unwrap().remove(part)),
        }
        round_trip(protected, Need::Force, |opened| assert_eq!(opened["allow_force_pushes"]["enabled"], true)).await;
    }
    // A personal repository: no lists of people anywhere.
    let mut protected = Protected::main();
    let reviews = protected.shown.as_mut().unwrap()["required_pull_request_reviews"].as_object_mut().unwrap();
    reviews.remove("dismissal_restrictions");
    reviews.remove("bypass_pull_request_allowances");
    round_trip(protected, Need::Force, |_| ()).await;
}

#[tokio::test]
async fn an_app_is_let_through_what_administrators_are_exempt_from() {
    let app = Protected { app: true, ..Protected::main() };
    let server = round_trip(app, Need::Push, |opened| {
        for part in ["required_status_checks", "required_pull_request_reviews", "restrictions"] {
            assert_eq!(opened.get(part), None);
        }
        assert_eq!(opened["required_signatures"]["enabled"], false);
        assert_eq!(opened["allow_force_pushes"]["enabled"], false);
    })
    .await;
    let signatures = "/repos/acme/tool/branches/main/protection/required_signatures";
    assert!(server.changes().contains(&format!("DELETE {signatures}")));
    assert!(server.changes().contains(&format!("POST {signatures}")));
}

#[tokio::test]
async fn a_rule_with_a_pattern_is_switched_by_its_id_and_nothing_else_is_touched() {
    let pattern = Protected { pattern: "ma*", ..Protected::main() };
    let server = round_trip(pattern, Need::Force, |opened| {
        assert_eq!(opened_fields(opened), ["allow_force_pushes", "enforce_admins", "lock_branch"]);
    })
    .await;
    assert!(server.changes().iter().all(|change| change == "POST /graphql"), "{:?}", server.changes());
}

#[tokio::test]
async fn the_rule_of_a_branch_that_was_deleted_is_put_back_too() {
    let (server, state) = Protected::main().serve().await;
    let github = destination(KIND, &server);
    let undo = github.rules(&target("9", "acme/tool"), "main", Need::Delete).await.unwrap().remove(0);
    github.open_rule(&undo, Need::Delete).await.unwrap();
    state.lock().unwrap().branch_is_there = false;
    for _ in 0..2 {
        github.restore_rule(&undo).await.unwrap();
        assert_eq!(opened_fields(&essence(state.lock().unwrap().shown.as_ref().unwrap())), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_rule_that_does_not_come_back_whole_is_told() {
    let server = {
        let protected = Mutex::new(Protected::main());
        Server::start(move |asked| {
            let mut protected = protected.lock().unwrap();
            // The team is gone meanwhile: GitHub leaves it out without a word.
            let mut asked = asked.clone();
            if let Some(teams) = asked.body.pointer_mut("/restrictions/teams") {
                *teams = json!([]);
            }
            protected.reply(&asked)
        })
        .await
    };
    let github = destination(KIND, &server);
    let undo = github.rules(&target("9", "acme/tool"), "main", Need::Force).await.unwrap().remove(0);
    github.open_rule(&undo, Need::Force).await.unwrap();
    let failure = github.restore_rule(&undo).await.unwrap_err();
    assert!(failure.message.contains("`restrictions` differs"), "{failure}");
}

#[tokio::test]
async fn what_is_open_already_needs_no_undo() {
    let (server, state) = Protected { shown: None, ..Protected::main() }.serve().await;
    let github = destination(KIND, &server);
    for need in [Need::Push, Need::Force, Need::Delete] {
        assert_eq!(github.rules(&target("9", "acme/tool"), "main", need).await.unwrap(), []);
    }
    let mut free = sample("github/protection.json");
    free["lock_branch"]["enabled"] = json!(false);
    free["allow_deletions"]["enabled"] = json!(true);
    state.lock().unwrap().shown = Some(free);
    assert_eq!(github.rules(&target("9", "acme/tool"), "main", Need::Delete).await.unwrap(), []);
    state.lock().unwrap().branch_is_there = false;
    assert_eq!(github.rules(&target("9", "acme/tool"), "main", Need::Push).await.unwrap(), []);
}

#[tokio::test]
async fn a_ruleset_is_named_and_not_opened_unless_we_may_bypass_it() {
    let rules = json!([
        {"type": "non_fast_forward", "ruleset_source_type": "Organization", "ruleset_source": "acme", "ruleset_id": 4},
        {"type": "deletion", "ruleset_source_type": "Repository", "ruleset_source": "acme/tool", "ruleset_id": 5},
    ]);
    let (server, _) = Protected { rules, ..Protected::main() }.serve().await;
    let github = destination(KIND, &server);
    let failure = github.rules(&target("9", "acme/tool"), "main", Need::Force).await.unwrap_err();
    assert_eq!(failure.reason, Reason::ProtectedRefRejected);
    assert!(failure.message.contains("no rewriting") && failure.message.contains("non_fast_forward"), "{failure}");
    assert_eq!(github.rules(&target("9", "acme/tool"), "main", Need::Delete).await.unwrap().len(), 1);
    assert_eq!(github.rules(&target("9", "acme/tool"), "main", Need::Push).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_token_that_may_not_see_protections_is_told_what_it_needs() {
    let server = Server::start(|asked| match asked.path() {
        "/repos/acme/tool/rules/branches/main" => {
            Reply::new(403, r#"{"message":"Upgrade to GitHub Pro or make it public"}"#)
        }
        _ => not_found(),
    })
    .await;
    let failure = destination(KIND, &server).rules(&target("9", "acme/tool"), "main", Need::Force).await.unwrap_err();
    assert_eq!(failure.reason, Reason::Forbidden);
    assert!(failure.hint.unwrap().contains("Administration: write"));
}
