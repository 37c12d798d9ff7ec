//! GitLab's face for those who write: projects and groups made and set up, and protected branches.

use serde_json::{Value, json};

use super::api::{Ask, Reply, encode_path};
use super::dialect::Dialect;
use super::gitlab::{self, not_found, project_json};
use super::model::{Account, AccountKind, Model, Record};
use super::protection::{Access, Protection, Role, Rule, fits};
use super::write::{NotMade, Write};
use super::{packages_gitlab, releases_gitlab};

/// What is read here, or else by [`gitlab::answer`].
pub(super) fn read(ask: &Ask) -> Reply {
    let segments: Vec<&str> = ask.segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["namespaces", ..] if ask.viewer.is_none() => gitlab::unauthorized(),
        ["namespaces", name] => match namespace(ask.model, name).filter(|account| may_see(ask, account)) {
            Some(account) => Reply::ok(namespace_json(ask, account)),
            None => not_found("Namespace"),
        },
        ["projects", name, rest @ ..] if !rest.is_empty() => {
            let Some(record) = find(ask, name) else {
                return moved(ask, name, rest).unwrap_or_else(|| not_found("Project"));
            };
            match rest {
                ["releases", rest @ ..] => releases_gitlab::read(ask, record, rest),
                ["repository", "tags", tag] => releases_gitlab::tag(ask, record, tag),
                ["packages", rest @ ..] => packages_gitlab::read(ask, record, rest),
                ["protected_branches"] => {
                    Reply::ok(record.settings.rules.iter().map(|rule| shown(ask.model, rule)).collect())
                }
                ["protected_branches", rule] => match record.rule(rule) {
                    Some(rule) => Reply::ok(shown(ask.model, rule)),
                    None => Reply::new(404, json!({"message": "404 Not found"})),
                },
                ["repository", "branches", branch] => match record.tip(branch) {
                    Some(tip) => Reply::ok(json!({
                        "name": branch, "commit": {"id": tip, "short_id": &tip[..8]}, "merged": false,
                        "protected": record.rules().iter().any(|rule| fits(&rule.name, branch, true)),
                        "default": gitlab::default_branch(record) == *branch, "can_push": true,
                        "developers_can_push": false, "developers_can_merge": false,
                        "web_url": format!("{}/-/tree/{}", ask.web_url(record), encode_path(branch)),
                    })),
                    None => not_found("Branch"),
                },
                _ => gitlab::answer(ask),
            }
        }
        _ => gitlab::answer(ask),
    }
}

/// The way to the releases and tags of a project that has another name now.
fn moved(ask: &Ask, name: &str, rest: &[&str]) -> Option<Reply> {
    if !matches!(rest.first(), Some(&("releases" | "packages" | "repository"))) {
        return None;
    }
    let record = ask.find_moved(name)?;
    let url = ask.moved_to(gitlab::ROOT, 2, &format!("projects/{}", record.id));
    Some(Reply::new(301, json!({"message": "301 Moved Permanently"})).header("location", url))
}

pub(super) fn write(write: &mut Write) -> Reply {
    let segments = write.segments.clone();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    if !write.has_scope(&["api"]) {
        let text = "The request requires higher privileges than provided by the access token.";
        return Reply::new(403, json!({"error": "insufficient_scope", "error_description": text, "scope": "api"}));
    }
    match (write.method(), segments.as_slice()) {
        ("POST", ["projects"]) => create(write),
        ("POST", ["groups"]) => create_group(write),
        (method, ["projects", name, rest @ ..]) => {
            let Some(id) = find(&write.ask(), name).map(|record| record.id) else {
                if moved(&write.ask(), name, rest).is_some() {
                    return Reply::new(405, json!({"message": "Non GET methods are not allowed for moved projects"}));
                }
                return not_found("Project");
            };
            match rest {
                ["releases", rest @ ..] => return releases_gitlab::write(write, id, rest),
                ["packages", rest @ ..] => return packages_gitlab::write(write, id, rest),
                _ => {}
            }
            if !write.is_admin(write.record(id)) {
                return forbidden();
            }
            match (method, rest) {
                ("PUT", []) => change(write, id),
                ("DELETE", []) => {
                    write.remove(id);
                    Reply::new(202, json!({"message": "202 Accepted"}))
                }
                ("POST", [what @ ("archive" | "unarchive")]) => {
                    write.record_mut(id).archived = *what == "archive";
                    write.publish(id);
                    project(write, id).status(201)
                }
                ("POST", ["protected_branches"]) => protect(write, id),
                (_, ["protected_branches", rule]) => change_rule(write, id, rule),
                _ => Reply::new(404, json!({"error": "404 Not Found"})),
            }
        }
        _ => Reply::new(404, json!({"error": "404 Not Found"})),
    }
}

pub(super) fn forbidden() -> Reply {
    Reply::new(403, json!({"message": "403 Forbidden"}))
}

pub(super) fn bad(message: Value) -> Reply {
    Reply::new(400, json!({"message": message}))
}

pub(super) fn find<'a>(ask: &Ask<'a>, name: &str) -> Option<&'a Record> {
    if name.contains('/') { ask.find(name) } else { ask.find_id(name) }
}

/// A user, organisation or group, by id or path.
fn namespace<'a>(model: &'a Model, name: &str) -> Option<&'a Account> {
    match name.parse::<u64>() {
        Ok(id) => model.accounts.iter().find(|account| account.id == id),
        Err(_) => model.find_account(name),
    }
}

fn may_see(ask: &Ask, account: &Account) -> bool {
    ask.viewer.as_deref().is_some_and(|user| account.path == user || ask.model.is_member(&account.path, user))
}

fn namespace_json(ask: &Ask, account: &Account) -> Value {
    let parent = account.path.rsplit_once('/').and_then(|(parent, _)| ask.model.find_account(parent));
    let name = account.path.rsplit('/').next();
    json!({
        "id": account.id, "name": name, "path": name, "full_path": account.path, "avatar_url": null,
        "kind": if account.kind == AccountKind::User { "user" } else { "group" },
        "parent_id": parent.map(|parent| parent.id),
        "web_url": format!("{}/{}", ask.base, encode_path(&account.path)),
    })
}

fn project(write: &Write, id: u64) -> Reply {
    let ask = write.ask();
    Reply::ok(project_json(&ask, write.record(id)))
}

fn create(write: &mut Write) -> Reply {
    let namespace = match write.number("namespace_id") {
        None => write.viewer.clone(),
        Some(id) => {
            let ask = write.ask();
            let found = namespace(ask.model, &id.to_string()).filter(|account| may_see(&ask, account));
            let Some(account) = found else { return bad(json!({"namespace": ["is not valid"]})) };
            account.path.clone()
        }
    };
    let name = write.text("path").or_else(|| write.text("name")).unwrap_or_default();
    let ok = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    match write.create(&namespace, &name, Dialect::Gitlab, ok) {
        Ok(id) => {
            // HEAD names the instance's own default: `default_branch` counts only together with a README.
            let default = write.text("default_branch").unwrap_or("main".to_owned());
            write.set_object_format(id, write.text("repository_object_format"));
            // GitLab does so at the first push, with its own default branch and the instance's default level.
            write.model.set_rule(id, &default, Protection::default());
            write.publish(id);
            project(write, id).status(201)
        }
        Err(NotMade::Exists) => {
            let taken = ["has already been taken"];
            bad(json!({"project_namespace.name": taken, "name": taken, "path": taken}))
        }
        Err(NotMade::Reserved) if name.ends_with(".git") => bad(json!({"path": [
            "can contain only letters, digits, '_', '-' and '.'. Cannot start with '-', end in '.git' or end in '.atom'"
        ]})),
        Err(NotMade::Reserved) => bad(json!({"path": [format!("{name} is a reserved name")]})),
        Err(NotMade::BadName) => bad(json!({"path": [
            "can contain only letters, digits, '_', '-' and '.'. Cannot start with '-', end in '.git' or end in '.atom'"
        ]})),
        Err(NotMade::Full(most)) => {
            let text =
                format!("You've reached your limit of {most} projects created. Contact your GitLab administrator.");
            bad(json!({"limit_reached": [text]}))
        }
    }
}

fn create_group(write: &mut Write) -> Reply {
    let (Some(path), Some(_)) = (write.text("path"), write.text("name")) else {
        return Reply::new(400, json!({"error": "name is missing, path is missing"}));
    };
    let full_path = match write.number("parent_id") {
        None => path,
        Some(id) => {
            let ask = write.ask();
            let Some(parent) = namespace(ask.model, &id.to_string()).filter(|parent| may_see(&ask, parent)) else {
                return not_found("Group");
            };
            format!("{}/{path}", parent.path)
        }
    };
    if write.model.find_account(&full_path).is_some() {
        return bad(json!("Failed to save group {:path=>[\"has already been taken\"]}"));
    }
    let viewer = write.viewer.clone();
    write.model.account(&full_path).members.insert(viewer);
    let ask = write.ask();
    let account = ask.model.find_account(&full_path).expect("just made");
    Reply::new(201, gitlab::group(&ask, account))
}

fn change(write: &mut Write, id: u64) -> Reply {
    if let Some(path) = write.text("path")
        && write.rename(id, &path).is_err()
    {
        return bad(json!({"path": ["has already been taken"]}));
    }
    if let Some(branch) = write.text("default_branch") {
        if write.record(id).tip(&branch).is_none() {
            let text =
                format!("Could not set the default branch. Do you have a branch named '{branch}' in your repository?");
            return bad(json!({"base": [text]}));
        }
        write.set_head(id, &branch);
    }
    let body = write.body.clone();
    write.record_mut(id).settings.take(Dialect::Gitlab, &body);
    write.set_visibility(id);
    write.publish(id);
    project(write, id)
}

fn protect(write: &mut Write, id: u64) -> Reply {
    let Some(name) = write.text("name") else { return Reply::new(400, json!({"error": "name is missing"})) };
    if write.record(id).rule(&name).is_some() {
        return Reply::new(409, json!({"message": format!("Protected branch '{name}' already exists")}));
    }
    let access = |level: &str, list: &str| {
        let given = write.body[list].as_array().cloned().unwrap_or_default();
        let level = write.number(level);
        let role = if level.is_none() && given.is_empty() { Role::Maintainers } else { role(level.unwrap_or(0)) };
        let mut access = Access { role, ..Access::nobody() };
        apply(&mut access, &given, 0, write.model);
        access
    };
    let mut protection = Protection {
        push: access("push_access_level", "allowed_to_push"),
        merge: access("merge_access_level", "allowed_to_merge"),
        force: write.switch("allow_force_push").unwrap_or(false),
        ..Protection::default()
    };
    take_settings(write, &mut protection);
    write.model.set_rule(id, &name, protection);
    write.publish(id);
    let shown = shown(write.model, write.record(id).rule(&name).expect("just set"));
    Reply::new(201, shown)
}

fn change_rule(write: &mut Write, id: u64, name: &str) -> Reply {
    if let ("PATCH", Some(status)) = (write.method(), write.model.terms.gitlab_patch) {
        let text = if status == 405 { "405 Not Allowed" } else { "404 Not Found" };
        return Reply::new(status, json!({"error": text}));
    }
    let Some(rule) = write.record(id).rule(name).cloned() else {
        return Reply::new(404, json!({"message": "404 Not found"}));
    };
    match write.method() {
        "DELETE" => {
            write.record_mut(id).settings.rules.retain(|rule| rule.name != name);
            write.publish(id);
            Reply::new(204, Value::Null)
        }
        "PATCH" => {
            let mut protection = rule.protection;
            let changes = |list: &str| write.body[list].as_array().cloned().unwrap_or_default();
            apply(&mut protection.push, &changes("allowed_to_push"), rule.id, write.model);
            apply(&mut protection.merge, &changes("allowed_to_merge"), rule.id, write.model);
            protection.force = write.switch("allow_force_push").unwrap_or(protection.force);
            take_settings(write, &mut protection);
            write.model.set_rule(id, name, protection);
            write.publish(id);
            Reply::ok(shown(write.model, write.record(id).rule(name).expect("just set")))
        }
        _ => Reply::new(405, json!({"error": "405 Not Allowed"})),
    }
}

/// What is carried and shown only.
fn take_settings(write: &Write, protection: &mut Protection) {
    for name in ["code_owner_approval_required", "unprotect_access_level"] {
        if !write.body[name].is_null() {
            protection.settings.insert(name.to_owned(), write.body[name].clone());
        }
    }
}

fn role(level: u64) -> Role {
    match level {
        30 => Role::Developers,
        40 => Role::Maintainers,
        _ => Role::Nobody,
    }
}

fn level(role: Role) -> u64 {
    match role {
        Role::Nobody => 0,
        Role::Maintainers => 40,
        Role::Developers => 30,
    }
}

/// The id of an access level within its rule.
fn level_id(rule: u64, level: u64) -> u64 {
    rule * 10_000 + level
}

/// Adds and removes (`_destroy`) access levels. One level of the role is kept: the most that was asked for last.
fn apply(access: &mut Access, changes: &[Value], rule: u64, model: &Model) {
    for change in changes {
        if change["_destroy"] == json!(true) {
            let id = change["id"].as_u64().unwrap_or(0);
            if id == level_id(rule, level(access.role)) {
                access.role = Role::Nobody;
            }
            access.users.retain(|user| model.find_account(user).is_none_or(|a| id != level_id(rule, 100 + a.id)));
        } else if let Some(level) = change["access_level"].as_u64() {
            access.role = role(level);
        } else if let Some(user) = change["user_id"].as_u64().and_then(|id| namespace(model, &id.to_string())) {
            access.users.insert(user.path.clone());
        }
    }
}

fn shown(model: &Model, rule: &Rule) -> Value {
    let entry = |id: u64, level: u64, text: &str, user: Option<u64>| {
        json!({"id": level_id(rule.id, id), "access_level": level, "access_level_description": text,
            "deploy_key_id": null, "user_id": user, "group_id": null})
    };
    let levels = |access: &Access| -> Vec<Value> {
        let role = match access.role {
            Role::Nobody if !access.users.is_empty() => None,
            Role::Nobody => Some("No one"),
            Role::Maintainers => Some("Maintainers"),
            Role::Developers => Some("Developers + Maintainers"),
        };
        let level = level(access.role);
        let users = access.users.iter().filter_map(|user| model.find_account(user));
        let users = users.map(|user| entry(100 + user.id, 40, &user.path, Some(user.id)));
        role.map(|text| entry(level, level, text, None)).into_iter().chain(users).collect()
    };
    let setting = |name: &str| rule.protection.settings.get(name);
    let unprotect = setting("unprotect_access_level").and_then(Value::as_u64);
    json!({
        "id": rule.id, "name": rule.name, "push_access_levels": levels(&rule.protection.push),
        "merge_access_levels": levels(&rule.protection.merge), "allow_force_push": rule.protection.force,
        "unprotect_access_levels":
            unprotect.map(|level| entry(5_000 + level, level, "Maintainers", None)).into_iter().collect::<Vec<_>>(),
        "code_owner_approval_required": setting("code_owner_approval_required").unwrap_or(&json!(false)),
        "inherited": false,
    })
}
