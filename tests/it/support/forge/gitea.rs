//! Gitea's face (`/api/v1`), with the words of a real Gitea 1.21; Forgejo and Codeberg speak the same.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::api::{Ask, Reply, encode_path, merged};
use super::dialect::Dialect;
use super::model::{Account, AccountKind, Record, Visibility, time};
use super::settings::shown;

pub(super) const ROOT: &str = "/api/v1";

/// What Gitea writes where it has no date.
const NEVER: &str = "0001-01-01T00:00:00Z";

pub(super) fn bad_token(base: &str) -> Reply {
    let text = "user does not exist [uid: 0, name: , keyid: 0]";
    Reply::new(401, json!({"message": text, "url": format!("{base}/api/swagger")}))
}

pub(super) fn answer(ask: &Ask) -> Reply {
    let segments: Vec<&str> = ask.segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["version"] => Reply::ok(json!({"version": ask.model.terms.gitea_version})),
        ["user"] => match ask.viewer.as_deref().and_then(|user| ask.model.find_account(user)) {
            Some(account) => Reply::ok(user(ask, account)),
            None => token_required(ask),
        },
        ["user", "repos"] => match ask.viewer.as_deref() {
            Some(user) => list(ask, ask.visible(|record| ask.model.affiliation(record, user).is_some())),
            None => token_required(ask),
        },
        ["user", "orgs"] => match ask.viewer.as_deref() {
            Some(user) => {
                let mine = |a: &&Account| a.kind == AccountKind::Organisation && a.members.contains(user);
                page(ask, ask.model.accounts.iter().filter(mine).collect(), |account| organisation(ask, account))
            }
            None => token_required(ask),
        },
        ["users", name] => match ask.model.find_account(name) {
            Some(account) => Reply::ok(user(ask, account)),
            None => error(ask, "GetUserByName", json!([format!("user redirect does not exist [name: {name}]")])),
        },
        ["users", name, "repos"] => match ask.model.find_account(name) {
            Some(account) => list(ask, ask.visible(|record| record.namespace == account.path)),
            None => error(ask, "GetUserByName", json!([format!("user redirect does not exist [name: {name}]")])),
        },
        ["orgs", name, rest @ ..] => match (find_organisation(ask, name), rest) {
            (Some(account), []) => Reply::ok(organisation(ask, account)),
            (Some(account), ["repos"]) => list(ask, ask.visible(|record| record.namespace == account.path)),
            (Some(_), _) => not_found(ask),
            (None, _) => error(ask, "GetOrgByName", json!([format!("user redirect does not exist [name: {name}]")])),
        },
        ["repos", owner, name] => {
            let full_name = format!("{owner}/{name}");
            match (ask.find(&full_name), ask.find_moved(&full_name)) {
                (Some(record), _) => {
                    let unnoticed = &record.releases.unnoticed;
                    let is_unnoticed = |n: usize| n.checked_sub(1);
                    let late = unnoticed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, is_unnoticed).is_ok();
                    let mut shown = repository(ask, record);
                    shown["empty"] = json!(late || record.is_empty());
                    Reply::ok(shown)
                }
                (None, Some(record)) => {
                    let url = format!("{}{ROOT}/repos/{}", ask.base, encode_path(&record.full_name()));
                    Reply::new(307, Value::Null).header("location", url)
                }
                (None, None) => not_found(ask),
            }
        }
        ["repositories", id] => match ask.find_id(id) {
            Some(record) => Reply::ok(repository(ask, record)),
            None => not_found(ask),
        },
        _ => not_found(ask),
    }
}

pub(super) fn error(ask: &Ask, message: &str, errors: Value) -> Reply {
    Reply::new(404, json!({"errors": errors, "message": message, "url": format!("{}/api/swagger", ask.base)}))
}

pub(super) fn not_found(ask: &Ask) -> Reply {
    error(ask, "The target couldn't be found.", Value::Null)
}

pub(super) fn token_required(ask: &Ask) -> Reply {
    Reply::new(401, json!({"message": "token is required", "url": format!("{}/api/swagger", ask.base)}))
}

fn find_organisation<'a>(ask: &Ask<'a>, name: &str) -> Option<&'a Account> {
    ask.model.find_account(name).filter(|account| account.kind == AccountKind::Organisation)
}

fn list(ask: &Ask, all: Vec<&Record>) -> Reply {
    page(ask, all, |record| repository(ask, record))
}

/// The page that was asked for, with its `Link` and the total.
pub(super) fn page<T>(ask: &Ask, all: Vec<T>, json: impl Fn(&T) -> Value) -> Reply {
    let page = ask.page(all, ask.page_size("limit", 30, 50));
    let reply = Reply::ok(page.items.iter().map(json).collect());
    let reply =
        reply.header("x-total-count", page.total).header("access-control-expose-headers", "Link, X-Total-Count");
    match ask.links(&page, &["next", "last", "first", "prev"], ",") {
        Some(links) => reply.header("link", links),
        None => reply,
    }
}

pub(super) fn user(ask: &Ask, account: &Account) -> Value {
    json!({
        "id": account.id, "login": account.path, "login_name": "", "full_name": "", "email": "", "language": "",
        "avatar_url": format!("{}/avatars/{}", ask.base, account.id), "is_admin": false, "last_login": NEVER,
        "created": time(0), "restricted": false, "active": false, "prohibit_login": false, "location": "",
        "website": "", "description": "", "visibility": "public", "followers_count": 0, "following_count": 0,
        "starred_repos_count": 0, "username": account.path,
    })
}

fn organisation(ask: &Ask, account: &Account) -> Value {
    json!({
        "id": account.id, "name": account.path, "full_name": "", "email": "", "description": "", "website": "",
        "avatar_url": format!("{}/avatars/{}", ask.base, account.id), "location": "", "visibility": "public",
        "repo_admin_change_team_access": true, "username": account.path,
    })
}

pub(super) fn repository(ask: &Ask, record: &Record) -> Value {
    let owner = ask.model.find_account(&record.namespace).expect("a repository's namespace has an account");
    let url = format!("{}{ROOT}/repos/{}", ask.base, encode_path(&record.full_name()));
    let empty = record.is_empty();
    let facts = json!({
        "id": record.id, "owner": user(ask, owner), "name": record.name, "full_name": record.full_name(),
        "description": "", "empty": empty, "private": record.visibility != Visibility::Public, "fork": record.fork,
        "size": if empty { 27 } else { record.size_kb }, "languages_url": format!("{url}/languages"),
        "html_url": ask.web_url(record), "url": url, "ssh_url": ask.ssh_url(record), "clone_url": ask.clone_url(record),
        "default_branch": record.default_branch(), "archived": record.archived,
        "created_at": time(record.created), "updated_at": time(record.pushed),
        "archived_at": if record.archived { time(record.pushed) } else { "1970-01-01T00:00:00Z".to_owned() },
        "internal": record.visibility == Visibility::Internal, "topics": record.topics,
    });
    merged([facts, same_for_all(), settings(), shown(ask, record, Dialect::Gitea)])
}

fn same_for_all() -> Value {
    json!({
        "template": false, "parent": null, "mirror": false, "language": "", "link": "", "original_url": "",
        "website": "", "stars_count": 0, "forks_count": 0, "watchers_count": 1, "open_issues_count": 0,
        "open_pr_counter": 0, "release_counter": 0, "avatar_url": "", "mirror_interval": "", "mirror_updated": NEVER,
        "repo_transfer": null, "permissions": {"admin": false, "push": true, "pull": true},
    })
}

fn settings() -> Value {
    json!({
        "has_issues": true, "has_wiki": true, "has_pull_requests": true, "has_projects": true, "has_releases": true,
        "has_packages": true, "has_actions": false, "ignore_whitespace_conflicts": false, "allow_merge_commits": true,
        "allow_rebase": true, "allow_rebase_explicit": true, "allow_squash_merge": true, "allow_rebase_update": true,
        "default_delete_branch_after_merge": false, "default_merge_style": "merge",
        "default_allow_maintainer_edit": false,
        "internal_tracker": {"enable_time_tracker": true, "allow_only_contributors_to_track_time": true,
            "enable_issue_dependencies": true},
    })
}
