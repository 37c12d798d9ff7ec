//! GitHub's face for those who write: repositories made, set up and deleted.

use serde_json::{Value, json};

use super::api::{Ask, Reply};
use super::dialect::Dialect;
use super::github::{message, not_found, whole};
use super::github_protection as protection;
use super::model::AccountKind;
use super::write::{NotMade, Write};
use super::{github, model, releases_github};

/// What is read here, or else by [`github::answer`].
pub(super) fn read(ask: &Ask) -> Reply {
    let segments = by_name(ask);
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let ["repos", owner, name, rest @ ..] = segments.as_slice() else { return github::answer(ask) };
    if let Some(reply) = moved(ask, &format!("{owner}/{name}"), rest, 301) {
        return reply;
    }
    let Some(record) = ask.find(&format!("{owner}/{name}")).filter(|_| !rest.is_empty()) else {
        return github::answer(ask);
    };
    match rest {
        ["releases", rest @ ..] => releases_github::read(ask, record, rest),
        ["git", "ref", "tags", tag @ ..] => releases_github::tag(ask, record, &tag.join("/")),
        ["branches", branch] => match record.tip(branch) {
            Some(tip) => Reply::ok(protection::branch(ask, record, branch, &tip)),
            None => message(404, "Branch not found"),
        },
        ["branches", branch, "protection", rest @ ..] => protection::read(ask, record, branch, rest),
        ["rules", "branches", branch] => protection::rules_of_branch(record, branch),
        ["rulesets"] => protection::rulesets(record),
        ["actions", "permissions"] => {
            let enabled = record.settings.said.get("actions").cloned().unwrap_or(json!(true));
            Reply::ok(json!({"enabled": enabled, "allowed_actions": "all"}))
        }
        _ => github::answer(ask),
    }
}

/// The parts of the path, with a repository's name in place of its id when a part of it is asked for.
fn by_name(ask: &Ask) -> Vec<String> {
    let segments = ask.segments.clone();
    let [first, id, rest @ ..] = segments.as_slice() else { return segments };
    match ask.find_id(id).filter(|_| first == "repositories" && !rest.is_empty()) {
        Some(record) => [&["repos".to_owned(), record.namespace.clone(), record.name.clone()], rest].concat(),
        None => segments,
    }
}

/// The way to the releases of a repository that has another name now.
fn moved(ask: &Ask, full_name: &str, rest: &[&str], status: u16) -> Option<Reply> {
    if !matches!(rest.first(), Some(&("releases" | "git"))) || ask.find(full_name).is_some() {
        return None;
    }
    let record = ask.find_moved(full_name)?;
    let url = ask.moved_to(github::ROOT, 3, &format!("repositories/{}", record.id));
    Some(Reply::new(status, json!({"message": "Moved Permanently", "url": url})).header("location", url))
}

pub(super) fn write(write: &mut Write) -> Reply {
    let segments = by_name(&write.ask());
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    if !write.has_scope(&["repo", "public_repo"]) {
        return message(403, "Resource not accessible by personal access token")
            .header("x-oauth-scopes", "read:user")
            .header("x-accepted-oauth-scopes", "public_repo, repo");
    }
    match (write.method(), segments.as_slice()) {
        ("POST", ["user", "repos"]) => create(write, &write.viewer.clone()),
        ("POST", ["orgs", organisation, "repos"]) => {
            let found = write.model.find_account(organisation).filter(|a| a.kind == AccountKind::Organisation);
            let Some(path) = found.map(|account| account.path.clone()) else { return not_found() };
            if !write.model.is_member(&path, &write.viewer) {
                return message(403, "You need admin access to the organization before adding a repository to it.");
            }
            create(write, &path)
        }
        (method, ["repos", owner, name, rest @ ..]) => {
            if let Some(reply) = moved(&write.ask(), &format!("{owner}/{name}"), rest, 307) {
                return reply;
            }
            let Some(id) = write.ask().find(&format!("{owner}/{name}")).map(|record| record.id) else {
                return not_found();
            };
            if let ["releases", rest @ ..] = rest {
                return releases_github::write(write, id, rest);
            }
            if !write.is_admin(write.record(id)) {
                return message(403, "Must have admin rights to Repository.");
            }
            match (method, rest) {
                ("PATCH", []) => change(write, id),
                ("DELETE", []) => {
                    write.remove(id);
                    Reply::new(204, Value::Null)
                }
                _ if write.record(id).archived => message(403, "Repository was archived so is read-only."),
                ("PUT", ["actions", "permissions"]) => {
                    let enabled = write.body["enabled"].clone();
                    write.record_mut(id).settings.said.insert("actions".to_owned(), enabled);
                    Reply::new(204, Value::Null)
                }
                (_, ["branches", branch, "protection", rest @ ..]) => protection::write(write, id, branch, rest),
                _ => not_found(),
            }
        }
        _ => not_found(),
    }
}

fn create(write: &mut Write, namespace: &str) -> Reply {
    let Some(name) = write.text("name") else { return invalid("Validation Failed", "name", "missing_field", "") };
    let failed = |field: &str, text: &str| invalid("Repository creation failed.", field, "custom", text);
    let ok = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    match write.create(namespace, &name, Dialect::Github, ok) {
        Ok(id) => {
            write.publish(id);
            let ask = write.ask();
            whole(&ask, write.record(id)).status(201)
        }
        Err(NotMade::Exists) => failed("name", "name already exists on this account"),
        Err(NotMade::Reserved) => failed("name", "name is reserved"),
        // GitHub itself makes a hyphen of each bad letter, which a mirror must not want either.
        Err(NotMade::BadName) => {
            failed("name", "name can only contain ASCII letters, digits, and the characters ., -, and _")
        }
        Err(NotMade::Full(_)) => failed(
            "visibility",
            "Visibility can't be private. Please upgrade your subscription to create a new private repository.",
        ),
    }
}

fn invalid(text: &str, field: &str, code: &str, why: &str) -> Reply {
    let error = json!({"resource": "Repository", "code": code, "field": field, "message": why});
    let body = json!({"message": text, "errors": [error], "status": "422",
        "documentation_url": "https://docs.github.com/rest"});
    Reply::new(422, body)
}

fn change(write: &mut Write, id: u64) -> Reply {
    let archive = write.switch("archived");
    if write.record(id).archived && archive != Some(false) {
        return message(403, "Repository was archived so is read-only.");
    }
    if let Some(name) = write.text("name")
        && write.rename(id, &name).is_err()
    {
        return invalid("Repository update failed.", "name", "custom", "name already exists on this account");
    }
    if let Some(branch) = write.text("default_branch") {
        if write.record(id).is_empty() {
            let text =
                "Cannot update default branch for an empty repository. Please init the repository and push first.";
            return invalid("Validation Failed", "default_branch", "invalid", text);
        }
        if write.record(id).tip(&branch).is_none() {
            let text = format!(
                "The branch {branch} was not found. Please push that ref first or create it via the Git Data API."
            );
            return invalid("Validation Failed", "default_branch", "invalid", &text);
        }
        write.set_head(id, &branch);
    }
    let body = write.body.clone();
    let record: &mut model::Record = write.record_mut(id);
    record.settings.take(Dialect::Github, &body);
    record.archived = archive.unwrap_or(record.archived);
    write.set_visibility(id);
    write.publish(id);
    let ask = write.ask();
    whole(&ask, write.record(id))
}
