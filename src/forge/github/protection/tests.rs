//! GitHub's protections there and back, against a server that keeps them as its REST description says.

use std::sync::{Arc, Mutex};

use crate::forge::destination::testing::{destination, essence, target};
use crate::forge::github::protection::*;
use crate::forge::testing::{Asked, Reply, Server, not_found, sample};
use crate::model::destination::DestinationKind::Github as KIND;

fn me() -> Reply {
    Reply::json(&json!({"id": 7, "login": "me"}))
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
    assert!(failure.message().contains("`restrictions` differs"), "{failure}");
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
    assert_eq!(failure.reason(), Reason::ProtectedRefRejected);
    assert!(failure.message().contains("no rewriting") && failure.message().contains("non_fast_forward"), "{failure}");
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
    assert_eq!(failure.reason(), Reason::Forbidden);
    assert!(failure.hint().unwrap().contains("Administration: write"));
}

#[tokio::test]
async fn a_protection_that_names_somebody_who_is_gone_has_its_switches_put_back() {
    let state = Arc::new(Mutex::new(Protected::main()));
    let shared = state.clone();
    let server = Server::start(move |asked| match asked.body.pointer("/lock_branch") {
        Some(locked) if *locked == true => {
            Reply::new(422, r#"{"message":"Validation Failed","errors":["No such team"]}"#)
        }
        _ => shared.lock().unwrap().reply(asked),
    })
    .await;
    let github = destination(KIND, &server);
    let undo = github.rules(&target("9", "acme/tool"), "main", Need::Force).await.unwrap().remove(0);
    github.open_rule(&undo, Need::Force).await.unwrap();
    let failure = github.restore_rule(&undo).await.unwrap_err();
    assert!(failure.evidence().unwrap().contains("No such team"));
    assert_eq!(opened_fields(&essence(state.lock().unwrap().shown.as_ref().unwrap())), Vec::<String>::new());
}
