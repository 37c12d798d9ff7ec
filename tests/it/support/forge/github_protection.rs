//! GitHub's branch protection: one shape is sent, another is shown; and rulesets, which are only shown.

use serde_json::{Map, Value, json};

use super::api::{Ask, Reply, encode_path};
use super::github::{ROOT, account, message};
use super::model::{AccountKind, Affiliation, Record, time};
use super::protection::{Protection, Rule, fits};
use super::write::Write;

/// What is on or off by itself, as GitHub names it in both shapes.
const SWITCHES: [&str; 6] = [
    "required_linear_history",
    "block_creations",
    "required_conversation_resolution",
    "lock_branch",
    "allow_fork_syncing",
    "enforce_admins",
];
const REQUIRED: [&str; 4] =
    ["required_status_checks", "enforce_admins", "required_pull_request_reviews", "restrictions"];

pub(super) fn url(ask: &Ask, record: &Record) -> String {
    format!("{}{ROOT}/repos/{}", ask.base, encode_path(&record.full_name()))
}

pub(super) fn branch_url(ask: &Ask, record: &Record, branch: &str) -> String {
    format!("{}/branches/{}", url(ask, record), encode_path(branch))
}

/// A branch by itself; of its commit only the names are true.
pub(super) fn branch(ask: &Ask, record: &Record, name: &str, tip: &str) -> Value {
    let (url, web) = (format!("{}/commits/{tip}", url(ask, record)), ask.web_url(record));
    let who = json!({"name": "Test", "email": "test@example.test", "date": time(record.pushed)});
    let tree = json!({"sha": tip, "url": url});
    let commit = json!({
        "sha": tip, "node_id": "C_1", "url": url, "html_url": format!("{web}/commit/{tip}"), "comments_url": url,
        "commit": {"url": url, "author": who, "committer": who, "message": "", "comment_count": 0, "tree": tree},
        "author": null, "committer": null, "parents": [],
    });
    let own = branch_url(ask, record, name);
    json!({
        "name": name, "commit": commit, "_links": {"html": format!("{web}/tree/{name}"), "self": own},
        "protected": of_branch(record, name).is_some(), "protection": {"enabled": of_branch(record, name).is_some()},
        "protection_url": format!("{own}/protection"),
    })
}

/// The rule that holds for a branch: its own, or the oldest pattern that fits.
pub(super) fn of_branch<'a>(record: &'a Record, branch: &str) -> Option<&'a Rule> {
    record.rules().into_iter().find(|rule| fits(&rule.name, branch, false))
}

pub(super) fn read(ask: &Ask, record: &Record, branch: &str, rest: &[&str]) -> Reply {
    let viewer = ask.viewer.as_deref().and_then(|user| ask.model.affiliation(record, user));
    if !matches!(viewer, Some(Affiliation::Owner | Affiliation::Member)) {
        return message(404, "Not Found");
    }
    if record.tip(branch).is_none() {
        return message(404, "Branch not found");
    }
    let Some(rule) = of_branch(record, branch) else { return message(404, "Branch not protected") };
    match rest {
        [] => Reply::ok(shown(ask, record, branch, &rule.protection)),
        ["required_signatures"] => Reply::ok(signatures(ask, record, branch, &rule.protection)),
        _ => message(404, "Not Found"),
    }
}

pub(super) fn write(write: &mut Write, id: u64, branch: &str, rest: &[&str]) -> Reply {
    if write.record(id).tip(branch).is_none() {
        return message(404, "Branch not found");
    }
    match (write.method(), rest) {
        ("PUT", []) => put(write, id, branch),
        _ if write.record(id).rule(branch).is_none() => message(404, "Branch not protected"),
        ("DELETE", []) => {
            write.record_mut(id).settings.rules.retain(|rule| rule.name != branch);
            write.publish(id);
            Reply::new(204, Value::Null)
        }
        (method @ ("POST" | "DELETE"), ["required_signatures"]) => {
            let rule = write.record_mut(id).rule_mut(branch).expect("it was found");
            rule.protection.settings.remove("required_signatures");
            if method == "POST" {
                rule.protection.settings.insert("required_signatures".to_owned(), json!(true));
            }
            let protection = rule.protection.clone();
            write.publish(id);
            let ask = write.ask();
            match method {
                "POST" => Reply::ok(signatures(&ask, write.record(id), branch, &protection)),
                _ => Reply::new(204, Value::Null),
            }
        }
        _ => message(404, "Not Found"),
    }
}

/// Replaces a rule as a whole; only required signatures, which it cannot name, stay.
fn put(write: &mut Write, id: u64, branch: &str) -> Reply {
    let owner = write.model.find_account(&write.record(id).namespace).map(|account| account.kind);
    if let Err(problem) = check(&write.body, owner) {
        return message(422, &format!("Invalid request.\n\n{problem}"));
    }
    let mut settings = write.body.as_object().cloned().unwrap_or_default();
    let mut switch = |name: &str| settings.remove(name) == Some(json!(true));
    let (force, delete) = (switch("allow_force_pushes"), switch("allow_deletions"));
    let before = write.record(id).rule(branch).map(|rule| &rule.protection);
    if before.is_some_and(|rule| rule.has("required_signatures")) {
        settings.insert("required_signatures".to_owned(), json!(true));
    }
    write.model.set_rule(id, branch, Protection { force, delete, settings, ..Protection::default() });
    write.publish(id);
    let ask = write.ask();
    let record = write.record(id);
    Reply::ok(shown(&ask, record, branch, &record.rule(branch).expect("just set").protection))
}

/// What GitHub refuses to read: fields that are missing, unknown, or of the shape that its own answers have.
fn check(body: &Value, owner: Option<AccountKind>) -> Result<(), String> {
    let Value::Object(body) = body else { return Err("For 'links/1/schema', nil is not an object.".to_owned()) };
    if let Some(name) = REQUIRED.iter().find(|name| !body.contains_key(**name)) {
        return Err(format!("\"{name}\" wasn't supplied."));
    }
    let switches = SWITCHES.iter().chain(&["allow_force_pushes", "allow_deletions"]);
    let known = |name: &str| REQUIRED.contains(&name) || switches.clone().any(|switch| *switch == name);
    only(body, known)?;
    for name in switches.clone() {
        if body.get(*name).is_some_and(|value| !value.is_boolean() && !value.is_null()) {
            return Err(format!("For 'properties/{name}', {} is not a boolean.", body[*name]));
        }
    }
    if let Some(checks) = body["required_status_checks"].as_object() {
        only(checks, |name| ["strict", "contexts", "checks"].contains(&name))?;
        let list = checks.get("checks").and_then(Value::as_array).into_iter().flatten();
        for check in list.filter_map(Value::as_object) {
            only(check, |name| ["context", "app_id"].contains(&name))?;
            if check.get("app_id").is_some_and(|app| !app.is_i64()) {
                return Err("For 'properties/app_id', nil is not an integer.".to_owned());
            }
        }
    }
    if let Some(reviews) = body["required_pull_request_reviews"].as_object() {
        only(reviews, |name| {
            ["dismiss_stale_reviews", "require_code_owner_reviews", "required_approving_review_count"].contains(&name)
                || ["require_last_push_approval", "dismissal_restrictions", "bypass_pull_request_allowances"]
                    .contains(&name)
        })?;
        for name in ["dismissal_restrictions", "bypass_pull_request_allowances"] {
            reviews.get(name).map_or(Ok(()), |value| people(name, value))?;
        }
    }
    if !body["restrictions"].is_null() {
        if owner == Some(AccountKind::User) {
            return Err("Only organization repositories can have users and team restrictions".to_owned());
        }
        people("restrictions", &body["restrictions"])?;
    }
    Ok(())
}

fn only(object: &Map<String, Value>, known: impl Fn(&str) -> bool) -> Result<(), String> {
    match object.keys().find(|name| !known(name)) {
        Some(name) => Err(format!("\"{name}\" is not a permitted key.")),
        None => Ok(()),
    }
}

/// Users, teams and apps are sent by name, not as the objects that are shown.
fn people(name: &str, value: &Value) -> Result<(), String> {
    let Some(object) = value.as_object() else { return Err(format!("For 'properties/{name}', not an object.")) };
    only(object, |key| ["users", "teams", "apps"].contains(&key))?;
    let mut names = object.values().flat_map(|list| list.as_array().into_iter().flatten());
    match names.find(|name| !name.is_string()) {
        Some(wrong) => Err(format!("For 'properties/{name}', {wrong} is not a string.")),
        None => Ok(()),
    }
}

fn signatures(ask: &Ask, record: &Record, branch: &str, rule: &Protection) -> Value {
    let url = format!("{}/protection/required_signatures", branch_url(ask, record, branch));
    json!({"url": url, "enabled": rule.has("required_signatures")})
}

/// A rule as it is shown.
fn shown(ask: &Ask, record: &Record, branch: &str, rule: &Protection) -> Value {
    let base = format!("{}/protection", branch_url(ask, record, branch));
    let mut shown = json!({
        "url": base, "required_signatures": signatures(ask, record, branch, rule),
        "allow_force_pushes": {"enabled": rule.force}, "allow_deletions": {"enabled": rule.delete},
    });
    for switch in SWITCHES {
        shown[switch] = json!({"enabled": rule.has(switch)});
    }
    shown["enforce_admins"]["url"] = json!(format!("{base}/enforce_admins"));
    if let Some(checks) = rule.settings.get("required_status_checks") {
        let list = checks["checks"].as_array().cloned().unwrap_or_default();
        let contexts: Vec<&Value> = list.iter().map(|check| &check["context"]).collect();
        let apps = list.iter().map(|check| {
            let app = Some(&check["app_id"]).filter(|app| **app != json!(-1));
            json!({"context": check["context"], "app_id": app})
        });
        let url = format!("{base}/required_status_checks");
        shown["required_status_checks"] = json!({"url": url, "strict": checks["strict"], "contexts": contexts,
            "contexts_url": format!("{url}/contexts"), "checks": apps.collect::<Vec<_>>()});
    }
    if let Some(reviews) = rule.settings.get("required_pull_request_reviews") {
        let mut reviews = reviews.clone();
        let url = format!("{base}/required_pull_request_reviews");
        for name in ["dismissal_restrictions", "bypass_pull_request_allowances"] {
            if let Some(given) = reviews.get(name).cloned() {
                let mut people = shown_people(ask, &given);
                for (key, path) in [("url", ""), ("users_url", "/users"), ("teams_url", "/teams")] {
                    people[key] = json!(format!("{base}/{name}{path}"));
                }
                reviews[name] = people;
            }
        }
        reviews["url"] = json!(url);
        shown["required_pull_request_reviews"] = reviews;
    }
    if let Some(restrictions) = rule.settings.get("restrictions") {
        let url = format!("{base}/restrictions");
        let mut people = shown_people(ask, restrictions);
        for kind in ["users", "teams", "apps"] {
            people[format!("{kind}_url")] = json!(format!("{url}/{kind}"));
        }
        people["url"] = json!(url);
        shown["restrictions"] = people;
    }
    shown
}

fn shown_people(ask: &Ask, given: &Value) -> Value {
    let list = |kind: &str| given[kind].as_array().into_iter().flatten().filter_map(Value::as_str);
    let users = list("users").filter_map(|name| ask.model.find_account(name)).map(|user| account(ask, user));
    let team = |name: &str| {
        json!({"id": 1, "node_id": "T_1", "name": name, "slug": name, "description": null, "permission": "push",
            "privacy": "closed", "type": "organization", "url": "", "html_url": "", "members_url": "", "repositories_url": "", "parent": null})
    };
    let owner = ask.viewer.as_deref().and_then(|user| ask.model.find_account(user)).map(|user| account(ask, user));
    let app = |name: &str| {
        json!({"id": 1, "slug": name, "node_id": "A_1", "owner": owner, "name": name, "description": "", "external_url": "",
            "html_url": "", "created_at": time(0), "updated_at": time(0), "permissions": {}, "events": []})
    };
    json!({"users": users.collect::<Vec<_>>(), "teams": list("teams").map(team).collect::<Vec<_>>(),
        "apps": list("apps").map(app).collect::<Vec<_>>()})
}

/// `/rules/branches/{branch}`: the active rules of all rulesets.
pub(super) fn rules_of_branch(record: &Record, branch: &str) -> Reply {
    let sets = record.settings.rulesets.iter().filter(|set| fits(&set.branch, branch, false));
    let rules = sets.flat_map(|set| {
        set.types.iter().map(|kind| {
            json!({"type": kind, "ruleset_source_type": "Repository", "ruleset_source": record.full_name(),
                "ruleset_id": set.id})
        })
    });
    Reply::ok(rules.collect())
}

pub(super) fn rulesets(record: &Record) -> Reply {
    let sets = record.settings.rulesets.iter().map(|set| {
        json!({"id": set.id, "name": set.name, "target": "branch", "source_type": "Repository",
            "source": record.full_name(), "enforcement": "active"})
    });
    Reply::ok(sets.collect())
}
