//! GitLab's face (`/api/v4`).

use serde_json::{Value, json};

use super::api::{Ask, Reply, encode_path, merged};
use super::dialect::Dialect;
use super::model::{Account, AccountKind, Record, Visibility, time};
use super::settings::shown;

pub(super) const ROOT: &str = "/api/v4";

pub(super) fn unauthorized() -> Reply {
    Reply::new(401, json!({"message": "401 Unauthorized"}))
}

pub(super) fn answer(ask: &Ask) -> Reply {
    let segments: Vec<&str> = ask.segments.iter().map(String::as_str).collect();
    let reply = match segments.as_slice() {
        ["user"] => match ask.viewer.as_deref().and_then(|user| ask.model.find_account(user)) {
            Some(account) => Reply::ok(user(ask, account)),
            None => unauthorized(),
        },
        ["users"] => {
            let wanted = ask.request.parameter("username").unwrap_or_default();
            let found = ask.model.find_account(&wanted).filter(|account| account.kind == AccountKind::User);
            Reply::ok(found.iter().map(|account| user(ask, account)).collect())
        }
        ["users", name, "projects"] => match find(ask, name, AccountKind::User) {
            Some(account) => list(ask, ask.visible(|record| record.namespace == account.path)),
            None => not_found("User"),
        },
        ["projects"] => projects(ask),
        ["projects", name] => project(ask, name),
        ["groups"] => {
            let Some(viewer) = ask.viewer.as_deref() else { return unauthorized() };
            let mine = |a: &&Account| a.kind == AccountKind::Organisation && ask.model.is_member(&a.path, viewer);
            Reply::ok(ask.model.accounts.iter().filter(mine).map(|account| group(ask, account)).collect())
        }
        ["groups", name] => match find(ask, name, AccountKind::Organisation) {
            Some(account) => Reply::ok(group(ask, account)),
            None => not_found("Group"),
        },
        ["groups", name, "projects"] => match find(ask, name, AccountKind::Organisation) {
            Some(account) => {
                let below = format!("{}/", account.path);
                let subgroups = ask.flag("include_subgroups");
                list(
                    ask,
                    ask.visible(|record| {
                        record.namespace == account.path || (subgroups && record.namespace.starts_with(&below))
                    }),
                )
            }
            None => not_found("Group"),
        },
        ["version"] | ["metadata"] => match ask.viewer {
            Some(_) => Reply::ok(json!({"version": "17.10.0", "revision": "0000000"})),
            None => unauthorized(),
        },
        _ => Reply::new(404, json!({"error": "404 Not Found"})),
    };
    reply.tagged(ask.request)
}

pub(super) fn not_found(what: &str) -> Reply {
    Reply::new(404, json!({"message": format!("404 {what} Not Found")}))
}

/// An account by its id or path.
pub(super) fn find<'a>(ask: &Ask<'a>, name: &str, kind: AccountKind) -> Option<&'a Account> {
    let by_id = |id: u64| ask.model.accounts.iter().find(|account| account.id == id);
    let found = name.parse().map_or_else(|_| ask.model.find_account(name), by_id);
    found.filter(|account| account.kind == kind)
}

pub(super) fn project(ask: &Ask, name: &str) -> Reply {
    let found = if name.contains('/') { ask.find(name) } else { ask.find_id(name) };
    if let Some(record) = found {
        return Reply::ok(project_json(ask, record));
    }
    match ask.find_moved(name) {
        Some(record) => {
            let url = format!("{}{ROOT}/projects/{}", ask.base, record.id);
            Reply::new(301, json!({"message": "301 Moved Permanently"})).header("location", url)
        }
        None => not_found("Project"),
    }
}

/// `/projects`: all that the viewer may see, or only those of which he is a member.
fn projects(ask: &Ask) -> Reply {
    let viewer = ask.viewer.as_deref();
    let member = ask.flag("membership").then_some(());
    let owned = ask.flag("owned").then_some(());
    if viewer.is_none() && member.or(owned).is_some() {
        // GitLab shows an unknown visitor nothing here, rather than refusing.
        return list(ask, Vec::new());
    }
    let archived = ask.request.parameter("archived").map(|text| text == "true");
    let of_viewer = |record: &Record| viewer.is_some_and(|user| ask.model.affiliation(record, user).is_some());
    let owner = |record: &Record| viewer.is_some_and(|user| record.namespace.eq_ignore_ascii_case(user));
    list(
        ask,
        ask.visible(|record| {
            archived.is_none_or(|wanted| wanted == record.archived)
                && (member.is_none() || of_viewer(record))
                && (owned.is_none() || owner(record))
        }),
    )
}

fn list<'a>(ask: &Ask<'a>, mut all: Vec<&'a Record>) -> Reply {
    // Newest first is the default; ids grow with time.
    let ascending = ask.request.parameter("sort").as_deref() == Some("asc");
    if !ascending {
        all.reverse();
    }
    let size = ask.page_size("per_page", 20, 100);
    if ask.request.parameter("pagination").as_deref() == Some("keyset") {
        return keyset(ask, all, size, ascending);
    }
    paged(ask, all, |record| project_json(ask, record))
}

/// The page that was asked for by number, with its headers.
pub(super) fn paged<T>(ask: &Ask, all: Vec<T>, json: impl Fn(&T) -> Value) -> Reply {
    let size = ask.page_size("per_page", 20, 100);
    let page = ask.page(all, size);
    let text = |number: Option<usize>| number.map(|number| number.to_string()).unwrap_or_default();
    let reply = Reply::ok(page.items.iter().map(json).collect())
        .header("x-page", page.number)
        .header("x-per-page", size)
        .header("x-total", page.total)
        .header("x-total-pages", page.last())
        .header("x-prev-page", text(page.number.checked_sub(1).filter(|number| *number > 0)))
        .header("x-next-page", text(Some(page.number + 1).filter(|number| *number <= page.last())));
    match ask.links(&page, &["prev", "next", "first", "last"], ", ") {
        Some(links) => reply.header("link", links),
        None => reply,
    }
}

/// Pages by the last id seen: only `next`, and no totals.
fn keyset<'a>(ask: &Ask<'a>, mut all: Vec<&'a Record>, size: usize, ascending: bool) -> Reply {
    if ask.request.parameter("order_by").as_deref() != Some("id") {
        return Reply::new(405, json!({"error": "Keyset pagination is not yet available for this type of request"}));
    }
    let (parameter, is_further): (_, fn(u64, u64) -> bool) =
        if ascending { ("id_after", |id, seen| id > seen) } else { ("id_before", |id, seen| id < seen) };
    if let Some(seen) = ask.number(parameter) {
        all.retain(|record| is_further(record.id, seen as u64));
    }
    let more = all.len() > size;
    all.truncate(size);
    let reply = Reply::ok(all.iter().map(|record| project_json(ask, record)).collect());
    match all.last() {
        Some(last) if more => {
            reply.header("link", format!("<{}>; rel=\"next\"", ask.url_with(parameter, &last.id.to_string())))
        }
        _ => reply,
    }
}

pub(super) fn user(ask: &Ask, account: &Account) -> Value {
    json!({
        "id": account.id, "username": account.path, "name": account.path, "state": "active", "locked": false,
        "avatar_url": null, "web_url": format!("{}/{}", ask.base, encode_path(&account.path)),
        "created_at": time(0), "is_admin": false, "bot": false,
    })
}

pub(super) fn group(ask: &Ask, account: &Account) -> Value {
    let parent = account.path.rsplit_once('/').and_then(|(parent, _)| ask.model.find_account(parent));
    json!({
        "id": account.id, "name": account.path.rsplit('/').next(), "path": account.path.rsplit('/').next(),
        "full_path": account.path, "full_name": account.path.replace('/', " / "), "description": "",
        "visibility": "private", "parent_id": parent.map(|parent| parent.id), "created_at": time(0),
        "web_url": format!("{}/groups/{}", ask.base, encode_path(&account.path)), "avatar_url": null,
    })
}

pub(super) fn project_json(ask: &Ask, record: &Record) -> Value {
    let empty = record.is_empty();
    let account = ask.model.find_account(&record.namespace).expect("a repository's namespace has an account");
    let parent = record.namespace.rsplit_once('/').and_then(|(parent, _)| ask.model.find_account(parent));
    let namespace = json!({
        "id": account.id, "name": record.namespace.rsplit('/').next(), "path": record.namespace.rsplit('/').next(),
        "kind": if account.kind == AccountKind::User { "user" } else { "group" }, "full_path": record.namespace,
        "parent_id": parent.map(|parent| parent.id), "avatar_url": null,
        "web_url": format!("{}/{}", ask.base, encode_path(&record.namespace)),
    });
    let mut project = json!({
        "id": record.id, "description": null, "name": record.name, "path": record.name,
        "name_with_namespace": record.full_name().replace('/', " / "), "path_with_namespace": record.full_name(),
        "created_at": time(record.created), "updated_at": time(record.pushed), "last_activity_at": time(record.pushed),
        "default_branch": (!empty).then(|| default_branch(record)), "tag_list": record.topics, "topics": record.topics,
        "ssh_url_to_repo": ask.ssh_url(record), "http_url_to_repo": ask.clone_url(record), "web_url": ask.web_url(record),
        "readme_url": null, "forks_count": 0, "avatar_url": null, "star_count": 0, "namespace": namespace,
        "repository_storage": "default", "visibility": record.visibility.as_str(), "archived": record.archived,
        "empty_repo": empty, "repository_access_level": if record.disabled { "disabled" } else { "enabled" },
    });
    if record.visibility == Visibility::Public {
        project["container_registry_image_prefix"] = json!(record.full_name());
    }
    if record.fork {
        project["forked_from_project"] =
            json!({"id": 0, "name": "upstream", "path_with_namespace": "upstream/upstream"});
    }
    if ask.flag("statistics") {
        let bytes = if empty { 0 } else { record.size_kb * 1024 };
        project["statistics"] = json!({"commit_count": 1, "storage_size": bytes, "repository_size": bytes,
            "lfs_objects_size": 0, "job_artifacts_size": 0, "wiki_size": 0, "packages_size": 0});
    }
    merged([project, shown(ask, record, Dialect::Gitlab)])
}

/// What GitLab says is the default branch: what HEAD names, or else main, master or the first branch there is.
pub(super) fn default_branch(record: &Record) -> String {
    let said = record.default_branch();
    let first = || crate::support::refs_of(&record.git_dir).into_keys().find(|name| name.starts_with("refs/heads/"));
    let known = [said.as_str(), "main", "master"].into_iter().find(|branch| record.tip(branch).is_some());
    known.map(str::to_owned).or_else(|| Some(first()?["refs/heads/".len()..].to_owned())).unwrap_or(said)
}
