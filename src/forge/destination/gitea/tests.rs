//! Gitea as a destination, against recorded answers and a server that keeps rules as 1.21 and 1.23 do.

use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::*;
use crate::failure::Reason;
use crate::forge::destination::testing::{destination, essence, path, refused, target, unknown_stays_unknown, wish};
use crate::forge::testing::{Asked, Reply, Server, not_found, sample};
use crate::model::destination::DestinationKind::Gitea as KIND;

/// Where the recorded server stood.
const RECORDED_AT: &str = "http://127.0.0.1:41300";

/// Plays back one recorded exchange, moved to where we are.
fn recorded(asked: &Asked, name: &str) -> Reply {
    let response = &sample(&format!("gitea/{name}.json"))["response"];
    let body = response["body"].to_string().replace(RECORDED_AT, &asked.base);
    Reply::new(u16::try_from(response["status"].as_u64().unwrap()).unwrap(), body)
}

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
    assert!(failure.reason == Reason::Held && failure.message.contains("acme/new"), "{failure}");
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
    gitea.create(&Wish { visibility: Visibility::Public, ..wish("acme/rec7055-0") }).await.unwrap();
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
    assert_eq!(gitea.create(&wish("tester/hidden")).await.unwrap_err().reason, Reason::Forbidden);
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
        assert_eq!(failure.reason, reason, "{failure}");
        assert!(failure.way_out().unwrap().contains(hint), "{failure:?}");
        assert!(failure.evidence.is_some());
    }
    let full = r#"{"message":"user has reached maximum limit of repositories [limit: 3]"}"#;
    assert!(refused(KIND, 422, full).await.message.contains("quota"));
    assert!(refused(KIND, 413, r#"{"message":"quota exceeded"}"#).await.message.contains("quota"));
}

#[tokio::test]
async fn the_default_branch_is_set() {
    let server = Server::start(|_| Reply::new(200, "{}")).await;
    destination(KIND, &server).set_default_branch(&target("5", "acme/tool"), "trunk").await.unwrap();
    assert_eq!(server.changes(), ["PATCH /repos/acme/tool"]);
    assert_eq!(server.asked()[0].body, json!({"default_branch": "trunk"}));
}

const RULES: &str = "/repos/acme/tool/branch_protections";

/// Keeps rules as Gitea does.
#[derive(Default)]
struct Rules {
    rules: Vec<Value>,
    /// Knows forced pushes (1.23).
    forces: bool,
    writes: usize,
}

impl Rules {
    /// Every field of 1.21 with a value that is not its default, as recorded otherwise.
    fn old(name: &str) -> Value {
        let mut rule = sample("gitea/protection-list.json")["response"]["body"][0].clone();
        rule["rule_name"] = json!(name);
        rule["branch_name"] = json!(if name.contains('*') { "" } else { name });
        for (field, value) in [
            ("push_whitelist_usernames", json!(["ada", "bob"])),
            ("push_whitelist_teams", json!(["owners"])),
            ("enable_merge_whitelist", json!(true)),
            ("merge_whitelist_usernames", json!(["bob"])),
            ("merge_whitelist_teams", json!(["owners"])),
            ("enable_status_check", json!(true)),
            ("status_check_contexts", json!(["build"])),
            ("required_approvals", json!(2)),
            ("enable_approvals_whitelist", json!(true)),
            ("approvals_whitelist_username", json!(["ada"])),
            ("approvals_whitelist_teams", json!(["owners"])),
            ("block_on_rejected_reviews", json!(true)),
            ("block_on_official_review_requests", json!(true)),
            ("block_on_outdated_branch", json!(true)),
            ("dismiss_stale_approvals", json!(true)),
            ("require_signed_commits", json!(true)),
            ("protected_file_patterns", json!("*.lock")),
            ("unprotected_file_patterns", json!("*.md")),
        ] {
            assert!(rule.get(field).is_some(), "{field}");
            rule[field] = value;
        }
        rule
    }

    /// The same with what 1.23 added.
    fn new(name: &str) -> Value {
        let mut rule = Rules::old(name);
        for (field, value) in [
            ("enable_push", json!(true)),
            ("enable_push_whitelist", json!(true)),
            ("push_whitelist_deploy_keys", json!(true)),
            ("enable_force_push", json!(false)),
            ("enable_force_push_allowlist", json!(false)),
            ("force_push_allowlist_usernames", json!(["ada"])),
            ("force_push_allowlist_teams", json!(["owners"])),
            ("force_push_allowlist_deploy_keys", json!(false)),
            ("block_admin_merge_override", json!(true)),
            ("ignore_stale_approvals", json!(false)),
            ("priority", json!(3)),
        ] {
            rule[field] = value;
        }
        rule
    }

    /// A rule off: its list and its keys are off too (`EditBranchProtection`).
    fn settle(rule: &mut Value) {
        for (switch, list) in [("enable_push", "push_whitelist"), ("enable_force_push", "force_push_allowlist")] {
            if rule[switch] == false {
                rule[format!("enable_{list}")] = json!(false);
                rule[format!("{list}_deploy_keys")] = json!(false);
            }
        }
    }

    fn reply(&mut self, asked: &Asked) -> Reply {
        let name = asked.path().strip_prefix(RULES).map(|rest| rest.trim_start_matches('/').replace("%2F", "/"));
        let at = self.rules.iter().position(|rule| Some(rule["rule_name"].as_str().unwrap()) == name.as_deref());
        self.writes += 1;
        let edited = |rule: &mut Value| {
            for (field, value) in asked.body.as_object().unwrap() {
                assert!(!value.is_null(), "{field}");
                rule[field] = value.clone();
            }
            rule["updated_at"] = json!(format!("2026-11-21T00:00:{:02}Z", self.writes % 60));
            Rules::settle(rule);
        };
        match (asked.method.as_str(), name.as_deref(), at) {
            ("GET", None, _) if asked.path() == "/user" => recorded(asked, "user"),
            ("GET", Some(""), _) => Reply::json(&json!(self.rules)),
            ("POST", Some(""), _) => {
                let name = asked.body["rule_name"].as_str().unwrap();
                if self.rules.iter().any(|rule| rule["rule_name"] == name) {
                    return recorded(asked, "protection-create-again");
                }
                let mut rule = if self.forces { Rules::new(name) } else { Rules::old(name) };
                for value in rule.as_object_mut().unwrap().values_mut() {
                    match value {
                        Value::Array(list) => list.clear(),
                        Value::Bool(on) => *on = false,
                        Value::Number(_) => *value = json!(0),
                        _ => {}
                    }
                }
                edited(&mut rule);
                self.rules.push(rule);
                Reply::new(201, "{}")
            }
            ("GET", Some(_), Some(at)) => Reply::json(&self.rules[at]),
            ("PATCH", Some(_), Some(at)) => {
                edited(&mut self.rules[at]);
                Reply::json(&self.rules[at])
            }
            ("DELETE", Some(_), Some(at)) => {
                self.rules.remove(at);
                Reply::new(204, "")
            }
            (_, Some(_), None) => recorded(asked, "protection-get-404"),
            _ => not_found(),
        }
    }

    async fn serve(rules: Vec<Value>, forces: bool) -> (Server, Arc<Mutex<Rules>>) {
        let state = Arc::new(Mutex::new(Rules { rules, forces, writes: 0 }));
        let server = {
            let state = state.clone();
            Server::start(move |asked| state.lock().unwrap().reply(asked)).await
        };
        (server, state)
    }
}

/// Opens `branch` for `need`, hands over the opened rules, and restores twice; then all must be what it was.
async fn round_trip(rules: Vec<Value>, forces: bool, branch: &str, need: Need, opened: impl Fn(&[Value])) -> Server {
    let before = essence(&json!(rules));
    let (server, state) = Rules::serve(rules, forces).await;
    let gitea = destination(KIND, &server);
    let undos = gitea.rules(&target("5", "acme/tool"), branch, need).await.unwrap();
    assert_eq!(server.changes(), Vec::<String>::new());
    let undos: Vec<Undo> = serde_json::from_str(&serde_json::to_string(&undos).unwrap()).unwrap();
    assert!(!undos.is_empty());
    for undo in &undos {
        gitea.open_rule(undo, need).await.unwrap();
    }
    opened(&state.lock().unwrap().rules);
    for _ in 0..2 {
        for undo in &undos {
            gitea.restore_rule(undo).await.unwrap();
        }
        assert_eq!(essence(&json!(state.lock().unwrap().rules)), before);
    }
    server
}

#[tokio::test]
async fn a_push_lets_us_in_alone_and_the_rule_comes_back_field_by_field() {
    for (rule, forces) in [(Rules::old("main"), false), (Rules::new("main"), true)] {
        let was_on = rule["enable_push"] == true;
        round_trip(vec![rule], forces, "main", Need::Push, |rules| {
            assert_eq!((&rules[0]["enable_push"], &rules[0]["enable_push_whitelist"]), (&json!(true), &json!(true)));
            let admitted = if was_on { json!(["ada", "bob", "tester"]) } else { json!(["tester"]) };
            assert_eq!(rules[0]["push_whitelist_usernames"], admitted);
            assert_eq!(rules[0]["push_whitelist_teams"] == json!([]), !was_on);
            assert_eq!(rules[0]["require_signed_commits"], false);
            assert_eq!(rules[0]["protected_file_patterns"], "");
            assert_eq!(rules[0]["required_approvals"], 2);
        })
        .await;
    }
}

#[tokio::test]
async fn a_forced_push_is_let_in_where_the_server_can_and_else_its_rules_are_made_anew() {
    let new = vec![Rules::new("main"), Rules::new("ma*")];
    let server = round_trip(new, true, "main", Need::Force, |rules| {
        assert_eq!(rules[0]["enable_force_push"], true);
        assert_eq!(rules[0]["force_push_allowlist_usernames"], json!(["tester"]));
        assert_eq!(rules[0]["force_push_allowlist_teams"], json!([]));
        // Only the first rule that matches is in force.
        assert_eq!(rules[1]["enable_force_push"], false);
    })
    .await;
    assert!(server.changes().iter().all(|change| change.starts_with("PATCH")), "{:?}", server.changes());
    let old = vec![Rules::old("main"), Rules::old("other"), Rules::old("ma*")];
    round_trip(old, false, "main", Need::Force, |rules| assert_eq!(rules.len(), 1)).await;
}

#[tokio::test]
async fn a_deletion_takes_every_rule_that_matches_away_for_a_while() {
    for (rules, forces) in [
        (vec![Rules::old("rel/*"), Rules::old("main")], false),
        (vec![Rules::new("main"), Rules::new("rel/*"), Rules::new("rel/**")], true),
    ] {
        round_trip(rules, forces, "rel/1", Need::Delete, |rules| {
            assert!(rules.len() == 1 && rules[0]["rule_name"] == "main");
        })
        .await;
    }
}

#[tokio::test]
async fn a_rule_that_somebody_made_meanwhile_is_made_into_what_it_was() {
    let (server, state) = Rules::serve(vec![Rules::old("main")], false).await;
    let gitea = destination(KIND, &server);
    let undo = gitea.rules(&target("5", "acme/tool"), "main", Need::Force).await.unwrap().remove(0);
    let mut other = Rules::old("main");
    other["required_approvals"] = json!(7);
    other["merge_whitelist_usernames"] = json!(["eve"]);
    state.lock().unwrap().rules = vec![other];
    gitea.restore_rule(&undo).await.unwrap();
    assert_eq!(essence(&state.lock().unwrap().rules[0]), essence(&Rules::old("main")));
}

#[tokio::test]
async fn what_is_open_already_needs_no_undo() {
    let mut free = Rules::new("main");
    free["enable_push_whitelist"] = json!(false);
    free["require_signed_commits"] = json!(false);
    free["protected_file_patterns"] = json!("");
    let (server, _) = Rules::serve(vec![free], true).await;
    let gitea = destination(KIND, &server);
    assert_eq!(gitea.rules(&target("5", "acme/tool"), "main", Need::Push).await.unwrap(), []);
    assert_eq!(gitea.rules(&target("5", "acme/tool"), "free", Need::Delete).await.unwrap(), []);
    assert_eq!(gitea.rules(&target("5", "acme/tool"), "main", Need::Force).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_rule_that_does_not_come_back_whole_is_told() {
    let (server, state) = Rules::serve(vec![Rules::new("main")], true).await;
    let gitea = destination(KIND, &server);
    let mut undo = gitea.rules(&target("5", "acme/tool"), "main", Need::Push).await.unwrap().remove(0);
    // The server switches the keys off with the list, whatever is asked for.
    undo.before["enable_push"] = json!(false);
    let failure = gitea.restore_rule(&undo).await.unwrap_err();
    assert_eq!(failure.reason, Reason::ProtectedRefRejected);
    assert!(failure.message.contains("differs"), "{failure}");
    assert_eq!(state.lock().unwrap().rules.len(), 1);
}
