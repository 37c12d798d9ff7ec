//! Gitea's face for those who write, with the words of a real Gitea 1.21.

use serde_json::{Map, Value, json};

use super::api::{Ask, Reply, encode_path};
use super::dialect::Dialect;
use super::gitea::{self, not_found, repository};
use super::model::{AccountKind, Model, time};
use super::protection::{Access, Protection, Role, Rule};
use super::releases_gitea;
use super::write::{NotMade, Write};

/// What is read here, or else by [`gitea::answer`].
pub(super) fn read(ask: &Ask) -> Reply {
    let segments: Vec<&str> = ask.segments.iter().map(String::as_str).collect();
    let ["repos", owner, name, rest @ ..] = segments.as_slice() else { return gitea::answer(ask) };
    if let Some(reply) = moved(ask, &format!("{owner}/{name}"), rest) {
        return reply;
    }
    let Some(record) = ask.find(&format!("{owner}/{name}")).filter(|_| !rest.is_empty()) else {
        return gitea::answer(ask);
    };
    match rest {
        ["releases", rest @ ..] => releases_gitea::read(ask, record, rest),
        ["tags", tag @ ..] => releases_gitea::tags(ask, record, &tag.join("/")),
        ["branch_protections"] => Reply::ok(record.settings.rules.iter().map(|rule| shown(ask.model, rule)).collect()),
        ["branch_protections", rule] => match record.rule(rule) {
            Some(rule) => Reply::ok(shown(ask.model, rule)),
            None => not_found(ask),
        },
        ["branches", branch] => match record.tip(branch) {
            Some(tip) => Reply::ok(json!({
                "name": branch, "commit": {"id": tip}, "protected": record.rule(branch).is_some(),
                "required_approvals": 0, "enable_status_check": false, "status_check_contexts": [],
                "user_can_push": true, "user_can_merge": true, "effective_branch_protection_name": "",
            })),
            None => not_found(ask),
        },
        _ => gitea::answer(ask),
    }
}

/// The way to the releases and tags of a repository that has another name now.
fn moved(ask: &Ask, full_name: &str, rest: &[&str]) -> Option<Reply> {
    if !matches!(rest.first(), Some(&("releases" | "tags"))) || ask.find(full_name).is_some() {
        return None;
    }
    let record = ask.find_moved(full_name)?;
    let url = ask.moved_to(gitea::ROOT, 3, &format!("repos/{}", encode_path(&record.full_name())));
    Some(Reply::new(307, Value::Null).header("location", url))
}

pub(super) fn write(write: &mut Write) -> Reply {
    let segments = write.segments.clone();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let wanted: &[&str] = match segments.first() {
        Some(&"user") => &["write:user", "write:repository"],
        Some(&"orgs") => &["write:organization", "write:repository"],
        _ => &["write:repository"],
    };
    if let Some(missing) = wanted.iter().find(|scope| !write.has_scope(&[scope])) {
        return fail(write, 403, &format!("token does not have at least one of required scope(s): [{missing}]"));
    }
    match (write.method(), segments.as_slice()) {
        ("POST", ["user", "repos"]) => create(write, &write.viewer.clone()),
        ("POST", ["orgs", name, "repos"]) => {
            let found = write.model.find_account(name).filter(|account| account.kind == AccountKind::Organisation);
            let Some(path) = found.map(|account| account.path.clone()) else {
                let errors = json!([format!("user redirect does not exist [name: {name}]")]);
                return gitea::error(&write.ask(), "GetOrgByName", errors);
            };
            if !write.model.is_member(&path, &write.viewer) {
                return fail(write, 403, "Given user is not allowed to create repository in organization.");
            }
            create(write, &path)
        }
        (method, ["repos", owner, name, rest @ ..]) => {
            if let Some(reply) = moved(&write.ask(), &format!("{owner}/{name}"), rest) {
                return reply;
            }
            let Some(id) = write.ask().find(&format!("{owner}/{name}")).map(|record| record.id) else {
                return not_found(&write.ask());
            };
            if let ["releases", rest @ ..] = rest {
                return releases_gitea::write(write, id, rest);
            }
            if !write.is_admin(write.record(id)) {
                return fail(write, 403, "user should be an owner or a collaborator with admin write of a repository");
            }
            match (method, rest) {
                ("PATCH", []) => change(write, id),
                ("DELETE", []) => {
                    write.remove(id);
                    Reply::new(204, Value::Null)
                }
                ("POST", ["branch_protections"]) => protect(write, id),
                (_, ["branch_protections", rule]) => change_rule(write, id, rule),
                _ => not_found(&write.ask()),
            }
        }
        _ => not_found(&write.ask()),
    }
}

pub(super) fn fail(write: &Write, status: u16, text: &str) -> Reply {
    Reply::new(status, json!({"message": text, "url": format!("{}/api/swagger", write.forge.base)}))
}

fn create(write: &mut Write, namespace: &str) -> Reply {
    let Some(name) = write.text("name") else { return fail(write, 422, "[Name]: Required") };
    let ok = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    match write.create(namespace, &name, Dialect::Gitea, ok) {
        Ok(id) => {
            if let Some(branch) = write.text("default_branch").filter(|branch| !branch.is_empty()) {
                write.set_head(id, &branch);
            }
            write.set_object_format(id, write.text("object_format_name"));
            write.publish(id);
            shown_repository(write, id).status(201)
        }
        Err(NotMade::Exists) => fail(write, 409, "The repository with the same name already exists."),
        Err(NotMade::Reserved) if name.ends_with(".git") => {
            fail(write, 422, "name pattern is not allowed [pattern: *.git]")
        }
        Err(NotMade::Reserved) => fail(write, 422, &format!("name is reserved [name: {name}]")),
        Err(NotMade::BadName) => fail(write, 422, "[Name]: AlphaDashDot"),
        Err(NotMade::Full(most)) => {
            fail(write, 403, &format!("user has reached maximum limit of repositories [limit: {most}]"))
        }
    }
}

fn shown_repository(write: &Write, id: u64) -> Reply {
    let ask = write.ask();
    Reply::ok(repository(&ask, write.record(id)))
}

fn change(write: &mut Write, id: u64) -> Reply {
    if let Some(name) = write.text("name")
        && write.rename(id, &name).is_err()
    {
        return fail(write, 422, "repo name already taken");
    }
    if let Some(branch) = write.text("default_branch") {
        // A branch that is not there is left alone without a word, as in Gitea.
        if write.record(id).is_empty() || write.record(id).tip(&branch).is_some() {
            write.set_gitea_default(id, &branch);
        }
    }
    let (body, archive) = (write.body.clone(), write.switch("archived"));
    let record = write.record_mut(id);
    record.settings.take(Dialect::Gitea, &body);
    record.archived = archive.unwrap_or(record.archived);
    write.set_visibility(id);
    write.publish(id);
    shown_repository(write, id)
}

fn protect(write: &mut Write, id: u64) -> Reply {
    let name = write.text("rule_name").or_else(|| write.text("branch_name")).unwrap_or_default();
    if write.record(id).rule(&name).is_some() {
        return fail(write, 403, "Branch protection already exist");
    }
    // Before 1.19: "Currently protection must match an actual branch".
    if !write.model.gitea_knows_patterns() && write.record(id).tip(&name).is_none() {
        return not_found(&write.ask());
    }
    let protection = Protection { push: Access::nobody(), ..Protection::default() };
    write.model.set_rule(id, &name, taken(&write.body, protection));
    write.publish(id);
    Reply::new(201, shown(write.model, write.record(id).rule(&name).expect("just set")))
}

fn change_rule(write: &mut Write, id: u64, name: &str) -> Reply {
    let Some(protection) = write.record(id).rule(name).map(|rule| rule.protection.clone()) else {
        return not_found(&write.ask());
    };
    match write.method() {
        "DELETE" => {
            write.record_mut(id).settings.rules.retain(|rule| rule.name != name);
            write.publish(id);
            Reply::new(204, Value::Null)
        }
        "PATCH" => {
            write.model.set_rule(id, name, taken(&write.body, protection));
            write.publish(id);
            Reply::ok(shown(write.model, write.record(id).rule(name).expect("just set")))
        }
        _ => Reply::new(405, Value::Null),
    }
}

/// The settings that are neither who may push nor whether by force.
const SETTINGS: [(&str, &str); 18] = [
    ("push_whitelist_teams", "[]"),
    ("push_whitelist_deploy_keys", "false"),
    ("enable_merge_whitelist", "false"),
    ("merge_whitelist_usernames", "[]"),
    ("merge_whitelist_teams", "[]"),
    ("enable_status_check", "false"),
    ("status_check_contexts", "null"),
    ("required_approvals", "0"),
    ("enable_approvals_whitelist", "false"),
    ("approvals_whitelist_username", "[]"),
    ("approvals_whitelist_teams", "[]"),
    ("block_on_rejected_reviews", "false"),
    ("block_on_official_review_requests", "false"),
    ("block_on_outdated_branch", "false"),
    ("dismiss_stale_approvals", "false"),
    ("require_signed_commits", "false"),
    ("protected_file_patterns", "\"\""),
    ("unprotected_file_patterns", "\"\""),
];

/// A rule with what a body says of it; what it does not name stays.
fn taken(body: &Value, mut protection: Protection) -> Protection {
    let push = body["enable_push"].as_bool().unwrap_or(may_push(&protection));
    let whitelist = body["enable_push_whitelist"].as_bool().unwrap_or(has_whitelist(&protection));
    if let Some(users) = body["push_whitelist_usernames"].as_array() {
        protection.push.users = users.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    }
    protection.push.role = match protection.push.role {
        _ if !push || whitelist => Role::Nobody,
        Role::Nobody => Role::Developers,
        same => same,
    };
    if !push && !protection.push.users.is_empty() {
        // As in Gitea, the list is kept while nobody may push.
        protection.settings.insert("push_off".to_owned(), json!(true));
    } else {
        protection.settings.remove("push_off");
    }
    if let Some(force) = body["enable_force_push"].as_bool() {
        protection.force = force;
    }
    for (name, off) in SETTINGS {
        let off: Value = serde_json::from_str(off).expect("it is written here");
        match &body[name] {
            Value::Null => {}
            value if *value == off => drop(protection.settings.remove(name)),
            value => drop(protection.settings.insert(name.to_owned(), value.clone())),
        }
    }
    protection
}

fn has_whitelist(protection: &Protection) -> bool {
    protection.push.role == Role::Nobody && !protection.push.users.is_empty() && !protection.has("push_off")
}

fn may_push(protection: &Protection) -> bool {
    protection.push.role != Role::Nobody || has_whitelist(protection)
}

fn shown(model: &Model, rule: &Rule) -> Value {
    let protection = &rule.protection;
    let mut shown = Map::new();
    let branch = if rule.name.contains('*') { "" } else { rule.name.as_str() };
    for (name, value) in [
        ("branch_name", json!(branch)),
        ("rule_name", json!(rule.name)),
        ("enable_push", json!(may_push(protection))),
        ("enable_push_whitelist", json!(has_whitelist(protection))),
        ("push_whitelist_usernames", json!(protection.push.users)),
        ("created_at", json!(time(rule.created))),
        ("updated_at", json!(time(rule.updated))),
    ] {
        shown.insert(name.to_owned(), value);
    }
    for (name, off) in SETTINGS {
        let off = || serde_json::from_str(off).expect("it is written here");
        shown.insert(name.to_owned(), protection.settings.get(name).cloned().unwrap_or_else(off));
    }
    if model.gitea_knows_force_push() {
        for (name, value) in [
            ("enable_force_push", json!(protection.force)),
            ("enable_force_push_allowlist", json!(false)),
            ("force_push_allowlist_usernames", json!([])),
            ("force_push_allowlist_teams", json!([])),
            ("force_push_allowlist_deploy_keys", json!(false)),
        ] {
            shown.insert(name.to_owned(), value);
        }
    }
    Value::Object(shown)
}
