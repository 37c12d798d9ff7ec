//! GitLab's rules there and back, against a server that keeps them as its API description says.

use std::sync::{Arc, Mutex};

use crate::forge::destination::testing::{destination, target};
use crate::forge::gitlab::protection::*;
use crate::forge::testing::{Asked, Reply, Server, not_found, sample};
use crate::model::destination::DestinationKind::Gitlab as KIND;

fn me() -> Reply {
    Reply::json(&json!({"id": 77, "username": "me", "name": "Me"}))
}

const RULES: &str = "/projects/9/protected_branches";

/// Keeps rules as GitLab does.
struct Rules {
    rules: Vec<Value>,
    /// Before 15.6 a rule cannot be changed; the status that is given instead.
    no_patch: Option<u16>,
    next_id: u64,
}

impl Rules {
    /// The levels that a POST asks for, with a new id each.
    fn levels(&mut self, body: &Value, what: &str) -> Value {
        let role =
            |level: &Value| json!({"access_level": level, "user_id": null, "group_id": null, "deploy_key_id": null});
        let asked = match (&body[format!("{what}_access_level")], &body[format!("allowed_to_{what}")]) {
            (Value::Null, Value::Null) if what == "unprotect" => vec![],
            (Value::Null, Value::Null) => vec![role(&json!(40))],
            (level, Value::Null) => vec![role(level)],
            (Value::Null, list) => list
                .as_array()
                .unwrap()
                .iter()
                .map(|asked| {
                    let mut level = role(asked.get("access_level").unwrap_or(&json!(40)));
                    asked.as_object().unwrap().iter().for_each(|(key, value)| level[key] = value.clone());
                    level
                })
                .collect(),
            both => panic!("two ways at once: {both:?}"),
        };
        let numbered = asked.into_iter().map(|mut level| {
            self.next_id += 1;
            level["id"] = json!(self.next_id);
            level
        });
        Value::Array(numbered.collect())
    }

    fn reply(&mut self, asked: &Asked) -> Reply {
        let name = asked.path().strip_prefix(RULES).map(|rest| rest.trim_start_matches('/').replace("%2F", "/"));
        let at = self.rules.iter().position(|rule| Some(rule["name"].as_str().unwrap()) == name.as_deref());
        match (asked.method.as_str(), name.as_deref(), at) {
            ("GET", None, _) if asked.path() == "/user" => me(),
            ("GET", Some(""), _) => Reply::json(&json!(self.rules)),
            ("POST", Some(""), _) => {
                let name = &asked.body["name"];
                if self.rules.iter().any(|rule| rule["name"] == *name) {
                    return Reply::new(409, r#"{"message":"Protected branch already exists"}"#);
                }
                let on = |field: &str| asked.body[field] == json!(true);
                let rule = json!({"id": self.next_id, "name": name,
                    "push_access_levels": self.levels(&asked.body, "push"),
                    "merge_access_levels": self.levels(&asked.body, "merge"),
                    "unprotect_access_levels": self.levels(&asked.body, "unprotect"),
                    "allow_force_push": on("allow_force_push"),
                    "code_owner_approval_required": on("code_owner_approval_required")});
                self.rules.push(rule);
                Reply::new(201, "{}")
            }
            ("PATCH", ..) if self.no_patch.is_some() => {
                Reply::new(self.no_patch.unwrap(), r#"{"error":"404 Not Found"}"#)
            }
            ("PATCH", Some(_), Some(at)) => {
                for (field, value) in asked.body.as_object().unwrap() {
                    assert!(["allow_force_push", "code_owner_approval_required"].contains(&field.as_str()), "{field}");
                    self.rules[at][field] = value.clone();
                }
                Reply::json(&self.rules[at])
            }
            ("GET", Some(_), Some(at)) => Reply::json(&self.rules[at]),
            ("DELETE", Some(_), Some(at)) => {
                self.rules.remove(at);
                Reply::new(204, "")
            }
            _ => Reply::new(404, r#"{"message":"404 Not found"}"#),
        }
    }

    async fn serve(rules: Value, no_patch: Option<u16>) -> (Server, Arc<Mutex<Rules>>) {
        let rules = rules.as_array().unwrap().clone();
        let state = Arc::new(Mutex::new(Rules { rules, no_patch, next_id: 1000 }));
        let server = {
            let state = state.clone();
            Server::start(move |asked| state.lock().unwrap().reply(asked)).await
        };
        (server, state)
    }
}

/// Rules without the ids that are given anew, in no order.
fn plain(rules: &[Value]) -> Value {
    let level = |level: &Value| {
        let named = ["user_id", "group_id", "deploy_key_id"].into_iter().find(|key| level[*key].is_u64());
        named.map_or_else(|| json!({"role": level["access_level"]}), |key| json!({key: level[key]}))
    };
    let levels = |rule: &Value, field: &str| {
        let mut levels: Vec<Value> = rule[field].as_array().unwrap().iter().map(level).collect();
        levels.sort_by_key(Value::to_string);
        levels
    };
    let mut rules: Vec<Value> = rules
        .iter()
        .map(|rule| {
            json!({"name": rule["name"], "push": levels(rule, "push_access_levels"),
                "merge": levels(rule, "merge_access_levels"), "unprotect": levels(rule, "unprotect_access_levels"),
                "force": rule["allow_force_push"], "owners": rule["code_owner_approval_required"]})
        })
        .collect();
    rules.sort_by_key(Value::to_string);
    json!(rules)
}

/// Opens `branch` for `need`, hands over the opened rules, and restores twice; then all must be what it was.
async fn round_trip(
    rules: Value,
    no_patch: Option<u16>,
    branch: &str,
    need: Need,
    opened: impl Fn(&[Value]),
) -> Server {
    let before = plain(rules.as_array().unwrap());
    let (server, state) = Rules::serve(rules, no_patch).await;
    let gitlab = destination(KIND, &server);
    let undos = gitlab.rules(&target("9", "acme/tool"), branch, need).await.unwrap();
    assert_eq!(server.changes(), Vec::<String>::new());
    let undos: Vec<Undo> = serde_json::from_str(&serde_json::to_string(&undos).unwrap()).unwrap();
    assert!(!undos.is_empty());
    for undo in &undos {
        gitlab.open_rule(undo, need).await.unwrap();
    }
    opened(&state.lock().unwrap().rules);
    for _ in 0..2 {
        for undo in &undos {
            gitlab.restore_rule(undo).await.unwrap();
        }
        assert_eq!(plain(&state.lock().unwrap().rules), before);
    }
    server
}

fn rule<'a>(rules: &'a [Value], name: &str) -> &'a Value {
    rules.iter().find(|rule| rule["name"] == name).unwrap()
}

fn samples() -> Value {
    sample("gitlab/protected-branches.json")
}

#[tokio::test]
async fn force_is_allowed_in_place_and_taken_back() {
    let server = round_trip(samples(), None, "release/1.0", Need::Force, |rules| {
        assert_eq!(rule(rules, "release/*")["allow_force_push"], true);
        assert_eq!(rule(rules, "*")["allow_force_push"], false);
    })
    .await;
    let patch = format!("PATCH {RULES}/release%2F*");
    assert_eq!(server.changes(), [patch.clone(), patch]);
}

#[tokio::test]
async fn an_old_server_has_the_rule_made_anew_with_the_people_it_named() {
    for status in [404, 405] {
        let server = round_trip(samples(), Some(status), "release/1.0", Need::Force, |rules| {
            let opened = rule(rules, "release/*");
            assert_eq!(opened["allow_force_push"], true);
            assert_eq!(
                plain(std::slice::from_ref(opened))[0]["push"],
                plain(&samples().as_array().unwrap()[1..2])[0]["push"]
            );
        })
        .await;
        assert!(server.changes().contains(&format!("DELETE {RULES}/release%2F*")));
    }
}

#[tokio::test]
async fn where_no_one_may_push_maintainers_may_for_a_while() {
    for need in [Need::Push, Need::Force] {
        round_trip(samples(), None, "main", need, |rules| {
            let opened = rule(rules, "main");
            assert_eq!(plain(std::slice::from_ref(opened))[0]["push"], json!([{"role": 40}]));
            assert_eq!(opened["code_owner_approval_required"], false);
            assert_eq!(opened["allow_force_push"], need == Need::Force);
            assert_eq!(plain(std::slice::from_ref(opened))[0]["merge"], json!([{"group_id": 1234}, {"role": 30}]));
        })
        .await;
    }
}

#[tokio::test]
async fn a_deletion_takes_every_rule_that_matches_away_and_puts_them_back_without_the_branch() {
    round_trip(samples(), None, "release/1.0", Need::Delete, |rules| {
        assert_eq!(rules.iter().map(|rule| &rule["name"]).collect::<Vec<_>>(), ["main"]);
    })
    .await;
}

#[tokio::test]
async fn what_lets_us_through_already_needs_no_undo() {
    let mut rules = samples();
    let (server, _) = Rules::serve(rules.clone(), None).await;
    let gitlab = destination(KIND, &server);
    assert_eq!(gitlab.rules(&target("9", "acme/tool"), "release/1", Need::Push).await.unwrap(), []);
    rules.as_array_mut().unwrap().pop();
    // One rule that allows it is enough, and the token's own user may be named.
    rules[1]["allow_force_push"] = json!(true);
    rules[1]["push_access_levels"] = json!([{"id": 1, "access_level": 40, "user_id": 77}]);
    let (server, _) = Rules::serve(rules, None).await;
    let gitlab = destination(KIND, &server);
    assert_eq!(gitlab.rules(&target("9", "acme/tool"), "release/1", Need::Force).await.unwrap(), []);
    assert_eq!(gitlab.rules(&target("9", "acme/tool"), "other", Need::Delete).await.unwrap(), []);
}

#[tokio::test]
async fn a_groups_rule_is_named_and_not_touched() {
    let mut rules = samples();
    rules[2]["inherited"] = json!(true);
    let (server, _) = Rules::serve(rules, None).await;
    let gitlab = destination(KIND, &server);
    for (branch, need) in [("other", Need::Push), ("release/1", Need::Force), ("main", Need::Delete)] {
        let failure = gitlab.rules(&target("9", "acme/tool"), branch, need).await.unwrap_err();
        assert_eq!(failure.reason(), Reason::ProtectedRefRejected);
        assert!(failure.message().contains("group"), "{failure}");
    }
    assert_eq!(server.changes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_killed_run_between_two_steps_is_repaired() {
    let (server, state) = Rules::serve(samples(), None).await;
    let gitlab = destination(KIND, &server);
    let undo = gitlab.rules(&target("9", "acme/tool"), "main", Need::Push).await.unwrap().remove(0);
    // Unprotected, and not protected again.
    state.lock().unwrap().rules.remove(0);
    gitlab.restore_rule(&undo).await.unwrap();
    assert_eq!(plain(&state.lock().unwrap().rules), plain(samples().as_array().unwrap()));
}

#[tokio::test]
async fn a_rule_that_does_not_come_back_whole_is_told() {
    let server = Server::start(|asked| match (asked.method.as_str(), asked.path()) {
        ("GET", "/user") => me(),
        ("GET", RULES) => Reply::json(&samples()),
        // The group was thrown out of the project: the rule comes back without it.
        ("GET", _) => {
            let mut rule = samples()[0].clone();
            rule["merge_access_levels"].as_array_mut().unwrap().pop();
            Reply::json(&rule)
        }
        _ => Reply::new(200, "{}"),
    })
    .await;
    let gitlab = destination(KIND, &server);
    let undo = gitlab.rules(&target("9", "acme/tool"), "main", Need::Push).await.unwrap().remove(0);
    let failure = gitlab.restore_rule(&undo).await.unwrap_err();
    assert!(failure.message().contains("`merge_access_levels` differs"), "{failure}");
}

#[tokio::test]
async fn a_token_that_may_not_see_rules_is_told_what_it_needs() {
    let server = Server::start(|_| not_found()).await;
    let failure = destination(KIND, &server).rules(&target("9", "acme/tool"), "main", Need::Force).await.unwrap_err();
    assert!(failure.reason() == Reason::Forbidden && failure.hint().unwrap().contains("maintainer"));
}

#[tokio::test]
async fn a_rule_that_names_somebody_who_is_gone_is_still_put_back_by_its_roles() {
    let (server, state) = {
        let state = Arc::new(Mutex::new(Rules { rules: vec![], no_patch: None, next_id: 0 }));
        let shared = state.clone();
        let server = Server::start(move |asked| match asked.body.get("allowed_to_push") {
            Some(_) => Reply::new(422, r#"{"message":["Push access levels user is not a member of the project"]}"#),
            None => shared.lock().unwrap().reply(asked),
        })
        .await;
        (server, state)
    };
    state.lock().unwrap().rules = samples().as_array().unwrap().clone();
    let gitlab = destination(KIND, &server);
    let undo = gitlab.rules(&target("9", "acme/tool"), "release/1", Need::Delete).await.unwrap().remove(0);
    gitlab.open_rule(&undo, Need::Delete).await.unwrap();
    let failure = gitlab.restore_rule(&undo).await.unwrap_err();
    assert!(failure.message().contains("could not be put back"), "{failure}");
    assert!(failure.evidence().unwrap().contains("not a member"));
    let rules = state.lock().unwrap().rules.clone();
    assert_eq!(plain(std::slice::from_ref(rule(&rules, "release/*")))[0]["push"], json!([{"role": 40}]));
}
