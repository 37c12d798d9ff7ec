//! GitLab as a destination, against a server that keeps to its API description.

use std::sync::{Arc, Mutex};

use super::*;
use crate::failure::Reason;
use crate::forge::destination::testing::{destination, path, refused, target, unknown_stays_unknown, wish};
use crate::forge::testing::{Asked, Reply, Server, not_found, sample};
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
}

#[tokio::test]
async fn a_moved_project_is_held_by_both_names() {
    let server = Server::start(|asked| Reply::json(&project(asked, "group/new"))).await;
    let failure = destination(KIND, &server).find(&path("group/old")).await.unwrap_err();
    assert_eq!(failure.reason, Reason::Held);
    assert!(failure.message.contains("group/old") && failure.message.contains("group/new"), "{failure}");
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
    assert_eq!(failure.reason, Reason::RemoteNotFound);
    assert!(failure.message.contains("no group top") && failure.hint.is_some(), "{failure}");
    assert_eq!(server.changes(), Vec::<String>::new());
    let server = Server::start(|asked| match asked.path() {
        "/user" => me(),
        "/groups/top" => Reply::json(&json!({"id": 5})),
        _ => Reply::new(502, "<html>"),
    })
    .await;
    let failure = destination(KIND, &server).create(&wish("top/sub/tool")).await.unwrap_err();
    assert_eq!((failure.reason, server.changes().len()), (Reason::ServerError, 0));
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
    assert_eq!(gitlab.create(&wish("top/sub/hidden")).await.unwrap_err().reason, Reason::Forbidden);
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
        assert_eq!(failure.reason, reason, "{failure}");
        assert!(failure.way_out().unwrap().contains(hint), "{failure:?}");
    }
    assert_eq!(refused(KIND, 500, "{}").await.reason, Reason::ServerError);
}

#[tokio::test]
async fn the_default_branch_is_set() {
    let server = Server::start(|_| Reply::new(200, "{}")).await;
    destination(KIND, &server).set_default_branch(&target("9", "acme/tool"), "trunk").await.unwrap();
    assert_eq!(server.changes(), ["PUT /projects/9"]);
    assert_eq!(server.asked()[0].body, json!({"default_branch": "trunk"}));
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
        assert_eq!(failure.reason, Reason::ProtectedRefRejected);
        assert!(failure.message.contains("group"), "{failure}");
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
    assert!(failure.message.contains("`merge_access_levels` differs"), "{failure}");
}

#[tokio::test]
async fn a_token_that_may_not_see_rules_is_told_what_it_needs() {
    let server = Server::start(|_| not_found()).await;
    let failure = destination(KIND, &server).rules(&target("9", "acme/tool"), "main", Need::Force).await.unwrap_err();
    assert!(failure.reason == Reason::Forbidden && failure.hint.unwrap().contains("maintainer"));
}
