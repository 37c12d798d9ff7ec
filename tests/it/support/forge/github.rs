//! GitHub's face (`/api/v3`, as GitHub Enterprise has it).

use serde_json::{Value, json};

use super::api::{Ask, Reply, encode_path, merged};
use super::dialect::Dialect;
use super::model::{Account, AccountKind, Affiliation, Record, Visibility, time};
use super::settings::shown;

pub(super) const ROOT: &str = "/api/v3";

/// A moment far enough for the limit never to be reset within a test.
const RESET: u64 = 4_102_444_800;

pub(super) fn bad_credentials() -> Reply {
    message(401, "Bad credentials")
}

pub(super) fn answer(ask: &Ask) -> Reply {
    let segments: Vec<&str> = ask.segments.iter().map(String::as_str).collect();
    let reply = match segments.as_slice() {
        ["user"] => match me(ask) {
            Some(account) => Reply::ok(full_account(ask, account)),
            None => message(401, "Requires authentication"),
        },
        ["user", "repos"] => match ask.viewer.as_deref() {
            Some(user) => list(ask, mine(ask, user)),
            None => message(401, "Requires authentication"),
        },
        ["user", "orgs"] => organisations(ask),
        ["users", user] => match ask.model.find_account(user) {
            Some(account) => Reply::ok(full_account(ask, account)),
            None => not_found(),
        },
        ["orgs", organisation] => match find(ask, organisation, AccountKind::Organisation) {
            Some(account) => Reply::ok(organisation_json(ask, account)),
            None => not_found(),
        },
        ["orgs", organisation, "repos"] => match find(ask, organisation, AccountKind::Organisation) {
            Some(account) => list(ask, ask.visible(|record| record.namespace == account.path)),
            None => not_found(),
        },
        // Only public ones, even for their owner.
        ["users", user, "repos"] => match ask.model.find_account(user) {
            Some(account) => {
                let public = |record: &Record| record.visibility == Visibility::Public;
                list(ask, ask.visible(|record| record.namespace == account.path && public(record)))
            }
            None => not_found(),
        },
        ["repos", owner, name] => one(ask, &format!("{owner}/{name}")),
        ["repositories", id] => ask.find_id(id).map_or_else(not_found, |record| whole(ask, record)),
        ["rate_limit"] => {
            let core = json!({"limit": 5000, "used": 1, "remaining": 4999, "reset": RESET});
            Reply::ok(json!({"resources": {"core": core}, "rate": core}))
        }
        _ => not_found(),
    };
    let reply = reply.header("x-ratelimit-limit", 5000).header("x-ratelimit-remaining", 4999);
    let reply = reply.header("x-ratelimit-used", 1).header("x-ratelimit-reset", RESET);
    reply
        .header("x-ratelimit-resource", "core")
        .header("x-github-media-type", "github.v3; format=json")
        .tagged(ask.request)
}

pub(super) fn message(status: u16, text: &str) -> Reply {
    let status_text = status.to_string();
    Reply::new(
        status,
        json!({"message": text, "documentation_url": "https://docs.github.com/rest", "status": status_text}),
    )
}

pub(super) fn not_found() -> Reply {
    message(404, "Not Found")
}

fn me<'a>(ask: &Ask<'a>) -> Option<&'a Account> {
    ask.viewer.as_deref().and_then(|user| ask.model.find_account(user))
}

fn find<'a>(ask: &Ask<'a>, path: &str, kind: AccountKind) -> Option<&'a Account> {
    ask.model.find_account(path).filter(|account| account.kind == kind)
}

fn one(ask: &Ask, full_name: &str) -> Reply {
    if let Some(record) = ask.find(full_name) {
        return whole(ask, record);
    }
    match ask.find_moved(full_name) {
        Some(record) => {
            let url = format!("{}{ROOT}/repositories/{}", ask.base, record.id);
            let body = json!({"message": "Moved Permanently", "url": url,
                "documentation_url": "https://docs.github.com/rest/guides/best-practices-for-using-the-rest-api#follow-redirects"});
            Reply::new(301, body).header("location", url)
        }
        None => not_found(),
    }
}

pub(super) fn whole(ask: &Ask, record: &Record) -> Reply {
    if record.blocked {
        let block =
            json!({"reason": "dmca", "created_at": time(record.created), "html_url": "https://github.com/github/dmca"});
        return Reply::new(451, json!({"message": "Repository access blocked", "block": block}));
    }
    let mut body = repository(ask, record);
    body["network_count"] = json!(0);
    body["subscribers_count"] = json!(1);
    Reply::ok(body)
}

/// The repositories of `/user/repos`: those of the user, filtered by `affiliation` and `visibility`.
fn mine<'a>(ask: &Ask<'a>, user: &str) -> Vec<&'a Record> {
    let all = "owner,collaborator,organization_member".to_owned();
    let affiliations = ask.request.parameter("affiliation").unwrap_or(all);
    let visibility = ask.request.parameter("visibility").unwrap_or("all".to_owned());
    ask.visible(|record| {
        let affiliation = match ask.model.affiliation(record, user) {
            Some(Affiliation::Owner) => "owner",
            Some(Affiliation::Collaborator) => "collaborator",
            Some(Affiliation::Member) => "organization_member",
            None => return false,
        };
        let is_public = record.visibility == Visibility::Public;
        let seen = visibility == "all" || (visibility == "public") == is_public;
        seen && affiliations.split(',').any(|wanted| wanted.trim() == affiliation)
    })
}

fn list(ask: &Ask, all: Vec<&Record>) -> Reply {
    page(ask, all, |record| repository(ask, record))
}

/// The page that was asked for, with its `Link`.
pub(super) fn page<T>(ask: &Ask, all: Vec<T>, json: impl Fn(&T) -> Value) -> Reply {
    let page = ask.page(all, ask.page_size("per_page", 30, 100));
    let reply = Reply::ok(page.items.iter().map(json).collect());
    match ask.links(&page, &["prev", "next", "last", "first"], ", ") {
        Some(links) => reply.header("link", links),
        None => reply,
    }
}

fn organisations(ask: &Ask) -> Reply {
    let Some(user) = ask.viewer.as_deref() else { return message(401, "Requires authentication") };
    let is_mine = |account: &&Account| account.kind == AccountKind::Organisation && account.members.contains(user);
    page(ask, ask.model.accounts.iter().filter(is_mine).collect(), |account| short_organisation(ask, account))
}

fn kind(account: &Account) -> &'static str {
    if account.kind == AccountKind::User { "User" } else { "Organization" }
}

/// An object's many `…_url` fields.
fn urls(base: &str, fields: &[(&str, &str)]) -> Value {
    fields.iter().map(|(name, path)| ((*name).to_owned(), json!(format!("{base}{path}")))).collect()
}

pub(super) fn account(ask: &Ask, account: &Account) -> Value {
    let url = format!("{}{ROOT}/users/{}", ask.base, encode_path(&account.path));
    let facts = json!({
        "login": account.path, "id": account.id, "node_id": format!("U_{}", account.id), "url": url,
        "avatar_url": format!("{}/avatars/u/{}", ask.base, account.id), "gravatar_id": "",
        "html_url": format!("{}/{}", ask.base, encode_path(&account.path)), "type": kind(account),
        "site_admin": false, "user_view_type": "public",
    });
    merged([facts, urls(&url, ACCOUNT_URLS)])
}

fn full_account(ask: &Ask, of: &Account) -> Value {
    let profile = json!({
        "name": null, "company": null, "email": null, "hireable": null, "bio": null, "location": null, "blog": "",
        "followers": 0, "following": 0, "public_gists": 0, "public_repos": 0,
        "created_at": time(0), "updated_at": time(0),
    });
    merged([account(ask, of), profile])
}

fn short_organisation(ask: &Ask, account: &Account) -> Value {
    let url = format!("{}{ROOT}/orgs/{}", ask.base, encode_path(&account.path));
    let facts = json!({
        "login": account.path, "id": account.id, "node_id": format!("O_{}", account.id), "url": url,
        "avatar_url": format!("{}/avatars/u/{}", ask.base, account.id), "description": null,
    });
    merged([facts, urls(&url, ORGANISATION_URLS)])
}

fn organisation_json(ask: &Ask, account: &Account) -> Value {
    let profile = json!({
        "type": "Organization", "html_url": format!("{}/{}", ask.base, encode_path(&account.path)),
        "public_repos": 0, "public_gists": 0, "followers": 0, "following": 0, "has_organization_projects": true,
        "has_repository_projects": true, "created_at": time(0), "updated_at": time(0), "archived_at": null,
    });
    merged([short_organisation(ask, account), profile])
}

/// A repository as in listings.
fn repository(ask: &Ask, record: &Record) -> Value {
    let url = format!("{}{ROOT}/repos/{}", ask.base, encode_path(&record.full_name()));
    let owner = ask.model.find_account(&record.namespace).expect("a repository's namespace has an account");
    let empty = record.is_empty();
    let facts = json!({
        "id": record.id, "node_id": format!("R_{}", record.id), "name": record.name, "full_name": record.full_name(),
        "private": record.visibility != Visibility::Public, "visibility": record.visibility.as_str(),
        "owner": account(ask, owner), "html_url": ask.web_url(record), "url": url, "description": null,
        "fork": record.fork, "archived": record.archived, "disabled": record.disabled, "topics": record.topics,
        "created_at": time(record.created), "updated_at": time(record.pushed), "pushed_at": time(record.pushed),
        "git_url": ask.web_url(record).replace("http", "git"), "ssh_url": ask.ssh_url(record),
        "clone_url": ask.clone_url(record), "svn_url": ask.web_url(record),
        "size": if empty { 0 } else { record.size_kb }, "default_branch": record.default_branch(),
    });
    let same_for_all = json!({
        "homepage": null, "stargazers_count": 0, "watchers_count": 0, "watchers": 0, "forks_count": 0, "forks": 0,
        "open_issues_count": 0, "open_issues": 0, "language": null, "license": null, "mirror_url": null,
        "is_template": false, "has_issues": true, "has_projects": true, "has_downloads": true, "has_wiki": true,
        "has_pages": false, "has_discussions": false, "allow_forking": true, "web_commit_signoff_required": false,
        "permissions": {"admin": false, "maintain": false, "push": true, "triage": true, "pull": true},
    });
    merged([facts, same_for_all, urls(&url, REPOSITORY_URLS), shown(ask, record, Dialect::Github)])
}

const ACCOUNT_URLS: &[(&str, &str)] = &[
    ("followers_url", "/followers"),
    ("following_url", "/following{/other_user}"),
    ("gists_url", "/gists{/gist_id}"),
    ("starred_url", "/starred{/owner}{/repo}"),
    ("subscriptions_url", "/subscriptions"),
    ("organizations_url", "/orgs"),
    ("repos_url", "/repos"),
    ("events_url", "/events{/privacy}"),
    ("received_events_url", "/received_events"),
];

const ORGANISATION_URLS: &[(&str, &str)] = &[
    ("repos_url", "/repos"),
    ("events_url", "/events"),
    ("hooks_url", "/hooks"),
    ("issues_url", "/issues"),
    ("members_url", "/members{/member}"),
    ("public_members_url", "/public_members{/member}"),
];

const REPOSITORY_URLS: &[(&str, &str)] = &[
    ("forks_url", "/forks"),
    ("keys_url", "/keys{/key_id}"),
    ("collaborators_url", "/collaborators{/collaborator}"),
    ("teams_url", "/teams"),
    ("hooks_url", "/hooks"),
    ("issue_events_url", "/issues/events{/number}"),
    ("events_url", "/events"),
    ("assignees_url", "/assignees{/user}"),
    ("branches_url", "/branches{/branch}"),
    ("tags_url", "/tags"),
    ("blobs_url", "/git/blobs{/sha}"),
    ("git_tags_url", "/git/tags{/sha}"),
    ("git_refs_url", "/git/refs{/sha}"),
    ("trees_url", "/git/trees{/sha}"),
    ("statuses_url", "/statuses/{sha}"),
    ("languages_url", "/languages"),
    ("stargazers_url", "/stargazers"),
    ("contributors_url", "/contributors"),
    ("subscribers_url", "/subscribers"),
    ("subscription_url", "/subscription"),
    ("commits_url", "/commits{/sha}"),
    ("git_commits_url", "/git/commits{/sha}"),
    ("comments_url", "/comments{/number}"),
    ("issue_comment_url", "/issues/comments{/number}"),
    ("contents_url", "/contents/{+path}"),
    ("compare_url", "/compare/{base}...{head}"),
    ("merges_url", "/merges"),
    ("archive_url", "/{archive_format}{/ref}"),
    ("downloads_url", "/downloads"),
    ("issues_url", "/issues{/number}"),
    ("pulls_url", "/pulls{/number}"),
    ("milestones_url", "/milestones{/number}"),
    ("notifications_url", "/notifications{?since,all,participating}"),
    ("labels_url", "/labels{/name}"),
    ("releases_url", "/releases{/id}"),
    ("deployments_url", "/deployments"),
];
