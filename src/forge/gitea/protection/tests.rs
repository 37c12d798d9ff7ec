//! Gitea's rules there and back, against a server that keeps them as 1.21 and 1.23 do.

use std::sync::{Arc, Mutex};

use crate::forge::destination::testing::{destination, essence, recorded, target};
use crate::forge::gitea::protection::*;
use crate::forge::testing::{Asked, Reply, Server, not_found, sample};
use crate::model::destination::DestinationKind::Gitea as KIND;

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
    fn older(name: &str) -> Value {
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
    fn newer(name: &str) -> Value {
        let mut rule = Rules::older(name);
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
                let mut rule = if self.forces { Rules::newer(name) } else { Rules::older(name) };
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
    for (rule, forces) in [(Rules::older("main"), false), (Rules::newer("main"), true)] {
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
    let new = vec![Rules::newer("main"), Rules::newer("ma*")];
    let server = round_trip(new, true, "main", Need::Force, |rules| {
        assert_eq!(rules[0]["enable_force_push"], true);
        assert_eq!(rules[0]["force_push_allowlist_usernames"], json!(["tester"]));
        assert_eq!(rules[0]["force_push_allowlist_teams"], json!([]));
        // Only the first rule that matches is in force.
        assert_eq!(rules[1]["enable_force_push"], false);
    })
    .await;
    assert!(server.changes().iter().all(|change| change.starts_with("PATCH")), "{:?}", server.changes());
    let old = vec![Rules::older("main"), Rules::older("other"), Rules::older("ma*")];
    round_trip(old, false, "main", Need::Force, |rules| assert_eq!(rules.len(), 1)).await;
}

#[tokio::test]
async fn a_deletion_takes_every_rule_that_matches_away_for_a_while() {
    for (rules, forces) in [
        (vec![Rules::older("rel/*"), Rules::older("main")], false),
        (vec![Rules::newer("main"), Rules::newer("rel/*"), Rules::newer("rel/**")], true),
    ] {
        round_trip(rules, forces, "rel/1", Need::Delete, |rules| {
            assert!(rules.len() == 1 && rules[0]["rule_name"] == "main");
        })
        .await;
    }
}

#[tokio::test]
async fn a_rule_that_somebody_made_meanwhile_is_made_into_what_it_was() {
    let (server, state) = Rules::serve(vec![Rules::older("main")], false).await;
    let gitea = destination(KIND, &server);
    let undo = gitea.rules(&target("5", "acme/tool"), "main", Need::Force).await.unwrap().remove(0);
    let mut other = Rules::older("main");
    other["required_approvals"] = json!(7);
    other["merge_whitelist_usernames"] = json!(["eve"]);
    state.lock().unwrap().rules = vec![other];
    gitea.restore_rule(&undo).await.unwrap();
    assert_eq!(essence(&state.lock().unwrap().rules[0]), essence(&Rules::older("main")));
}

#[tokio::test]
async fn what_is_open_already_needs_no_undo() {
    let mut free = Rules::newer("main");
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
    let (server, state) = Rules::serve(vec![Rules::newer("main")], true).await;
    let gitea = destination(KIND, &server);
    let mut undo = gitea.rules(&target("5", "acme/tool"), "main", Need::Push).await.unwrap().remove(0);
    // The server switches the keys off with the list, whatever is asked for.
    undo.before["enable_push"] = json!(false);
    let failure = gitea.restore_rule(&undo).await.unwrap_err();
    assert_eq!(failure.reason(), Reason::ProtectedRefRejected);
    assert!(failure.message().contains("differs"), "{failure}");
    assert_eq!(state.lock().unwrap().rules.len(), 1);
}

#[tokio::test]
async fn a_rule_that_names_somebody_who_is_gone_is_still_put_back_with_nobody() {
    let state = Arc::new(Mutex::new(Rules { rules: vec![Rules::older("main")], forces: false, writes: 0 }));
    let shared = state.clone();
    let server = Server::start(move |asked| match &asked.body["merge_whitelist_usernames"] {
        Value::Array(names) if !names.is_empty() && asked.method == "POST" => {
            Reply::new(422, r#"{"message":"User does not exist"}"#)
        }
        _ => shared.lock().unwrap().reply(asked),
    })
    .await;
    let gitea = destination(KIND, &server);
    let undo = gitea.rules(&target("5", "acme/tool"), "main", Need::Delete).await.unwrap().remove(0);
    gitea.open_rule(&undo, Need::Delete).await.unwrap();
    let failure = gitea.restore_rule(&undo).await.unwrap_err();
    assert_eq!(failure.evidence(), Some("User does not exist"));
    let rule = state.lock().unwrap().rules[0].clone();
    assert_eq!((&rule["enable_push"], &rule["merge_whitelist_usernames"]), (&json!(false), &json!([])));
    assert_eq!(rule["required_approvals"], 2);
}
