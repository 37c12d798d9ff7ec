//! GitLab's releases and their links: no drafts, no prereleases, and a tag that must be there or be asked for.

use serde_json::{Value, json};

use super::api::{Ask, Reply, encode_path};
use super::dialect::Dialect;
use super::gitlab::{self, ROOT, not_found, paged};
use super::gitlab_destination::{bad, forbidden};
use super::model::{Record, time};
use super::releases::{self, Link, Release, moment};
use super::write::Write;

pub(super) fn read(ask: &Ask, record: &Record, rest: &[&str]) -> Reply {
    if is_off(record) {
        return forbidden();
    }
    let mut shelf = releases::open(record, ask.base, Dialect::Gitlab);
    // It knows no drafts.
    shelf.list.retain(|release| !release.draft);
    let release = |tag: &str| shelf.list.iter().find(|release| release.tag == tag);
    match rest {
        [] => {
            let mut list: Vec<&Release> = shelf.list.iter().collect();
            list.sort_by_key(|release| std::cmp::Reverse((release.published.clone(), release.id)));
            paged(ask, list, |release| release_json(ask, record, release))
        }
        ["permalink", "latest"] => {
            let newest = shelf.list.iter().max_by_key(|release| (release.published.clone(), release.id));
            newest.map_or_else(missing, |release| Reply::ok(release_json(ask, record, release)))
        }
        [tag] => release(tag).map_or_else(missing, |release| Reply::ok(release_json(ask, record, release))),
        [tag, "assets", "links"] => match release(tag) {
            Some(release) => paged(ask, links(release), |link| link_json(ask, record, release, link)),
            None => missing(),
        },
        [tag, "assets", "links", id] => match release(tag).map(|r| (r, r.links.iter().find(|l| is(l, id)))) {
            Some((release, Some(link))) => Reply::ok(link_json(ask, record, release, link)),
            _ => missing(),
        },
        _ => Reply::new(404, json!({"error": "404 Not Found"})),
    }
}

fn is_off(record: &Record) -> bool {
    record.settings.said.get("releases_access_level") == Some(&json!("disabled"))
}

/// One tag.
pub(super) fn tag(ask: &Ask, record: &Record, name: &str) -> Reply {
    let Some(tag) = record.tag(name) else { return not_found("Tag") };
    let shelf = releases::open(record, ask.base, Dialect::Gitlab);
    let release = shelf.of_tag(name).map(|release| json!({"tag_name": name, "description": release.notes}));
    Reply::ok(json!({
        "name": name, "message": if tag.kind == "tag" { tag.message.as_str() } else { "" }, "target": tag.id,
        "commit": commit_json(record, &tag.commit), "release": release, "protected": false, "created_at": null,
    }))
}

pub(super) fn write(write: &mut Write, id: u64, rest: &[&str]) -> Reply {
    if !write.may_push(id) || write.record(id).archived || is_off(write.record(id)) {
        return forbidden();
    }
    write.shelf(id, Dialect::Gitlab);
    if let ("POST", []) = (write.method(), rest) {
        return create(write, id);
    }
    let Some(tag) = rest.first() else { return Reply::new(405, json!({"error": "405 Not Allowed"})) };
    let found = write.record(id).releases.list.iter().find(|release| release.tag == *tag && !release.draft);
    let Some(mut release) = found.cloned() else { return missing() };
    match (write.method(), &rest[1..]) {
        ("PUT", []) => {
            let body = &write.body;
            if let Err(reply) = take(body, &mut release) {
                return reply;
            }
            put(write, id, release)
        }
        ("DELETE", []) => {
            // The tag and the packages stay.
            let shown = release_json(&write.ask(), write.record(id), &release);
            write.record_mut(id).releases.list.retain(|known| known.id != release.id);
            Reply::ok(shown)
        }
        (_, ["assets", "links", ..]) if !write.model.terms.links => forbidden(),
        ("POST", ["assets", "links"]) => {
            let link = Link {
                id: write.model.next_id(),
                name: String::new(),
                url: String::new(),
                kind: "other".to_owned(),
                path: None,
            };
            put_link(write, id, release, link).map_or_else(|reply| reply, |reply| reply.status(201))
        }
        (method, ["assets", "links", link]) => {
            let Some(link) = release.links.iter().find(|known| is(known, link)).cloned() else { return missing() };
            match method {
                "PUT" => put_link(write, id, release, link).unwrap_or_else(|reply| reply),
                "DELETE" => {
                    release.links.retain(|known| known.id != link.id);
                    let shown = link_json(&write.ask(), write.record(id), &release, &link);
                    put(write, id, release);
                    Reply::ok(shown)
                }
                _ => Reply::new(405, json!({"error": "405 Not Allowed"})),
            }
        }
        _ => Reply::new(404, json!({"error": "404 Not Found"})),
    }
}

fn create(write: &mut Write, id: u64) -> Reply {
    let Some(tag) = write.text("tag_name") else { return Reply::new(400, json!({"error": "tag_name is missing"})) };
    if write.record(id).releases.is_taken(&tag, None) {
        return Reply::new(409, json!({"message": "Release already exists"}));
    }
    if !write.record(id).has_tag(&tag) {
        let Some(target) = write.text("ref") else {
            return Reply::new(422, json!({"message": "Ref is not specified"}));
        };
        if !write.record(id).make_tag(&tag, &target) {
            return Reply::new(422, json!({"message": format!("Target {target} is invalid")}));
        }
    }
    let (release, now, author) = (write.model.next_id(), write.model.tick(), write.viewer.clone());
    let mut release = Release {
        id: release,
        title: tag.clone(),
        tag,
        target: String::new(),
        notes: String::new(),
        draft: false,
        prerelease: false,
        created: now,
        updated: now,
        published: Some(time(now)),
        author,
        assets: Vec::new(),
        links: Vec::new(),
    };
    if let Err(reply) = take(&write.body, &mut release) {
        return reply;
    }
    for given in write.body["assets"]["links"].as_array().cloned().unwrap_or_default() {
        let link = write.model.next_id();
        let link = Link { id: link, name: String::new(), url: String::new(), kind: "other".to_owned(), path: None };
        match take_link(&given, link, &release) {
            Ok(link) => release.links.push(link),
            Err(reply) => return reply,
        }
    }
    put(write, id, release).status(201)
}

fn take(body: &Value, release: &mut Release) -> Result<(), Reply> {
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    release.title = text("name").unwrap_or_else(|| release.title.clone());
    release.notes = text("description").unwrap_or_else(|| release.notes.clone());
    if let Some(given) = text("released_at") {
        let Some(at) = moment(&given) else { return Err(Reply::new(400, json!({"error": "released_at is invalid"}))) };
        release.published = Some(at);
    }
    Ok(())
}

/// Puts a release in its place, or at the end, and shows it.
fn put(write: &mut Write, id: u64, release: Release) -> Reply {
    let shelf = &mut write.record_mut(id).releases;
    let release_id = release.id;
    match shelf.get_mut(release_id) {
        Some(known) => *known = release,
        None => shelf.list.push(release),
    }
    let (ask, record) = (write.ask(), write.record(id));
    Reply::ok(release_json(&ask, record, record.releases.get(release_id).expect("just put there")))
}

fn put_link(write: &mut Write, id: u64, mut release: Release, link: Link) -> Result<Reply, Reply> {
    let link = take_link(&write.body, link, &release)?;
    match release.links.iter_mut().find(|known| known.id == link.id) {
        Some(known) => *known = link.clone(),
        None => release.links.push(link.clone()),
    }
    let shown = link_json(&write.ask(), write.record(id), &release, &link);
    put(write, id, release);
    Ok(Reply::ok(shown))
}

/// Sets what a body says of a link; name and URL belong to one link of a release each.
fn take_link(body: &Value, mut link: Link, release: &Release) -> Result<Link, Reply> {
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    link.name = text("name").unwrap_or(link.name);
    link.url = text("url").unwrap_or(link.url);
    link.kind = text("link_type").unwrap_or(link.kind);
    link.path = text("direct_asset_path").or_else(|| text("filepath")).or(link.path);
    if link.name.is_empty() || link.url.is_empty() {
        return Err(Reply::new(400, json!({"error": "name is missing, url is missing"})));
    }
    if !["http://", "https://", "ftp://"].iter().any(|scheme| link.url.starts_with(scheme)) {
        return Err(bad(json!({"url": ["is blocked: Only allowed schemes are http, https, ftp"]})));
    }
    if !["other", "runbook", "image", "package"].contains(&link.kind.as_str()) {
        return Err(Reply::new(400, json!({"error": "link_type does not have a valid value"})));
    }
    if link.path.as_ref().is_some_and(|path| !path.starts_with('/')) {
        return Err(bad(json!({"filepath": ["is in an invalid format"]})));
    }
    let others = || release.links.iter().filter(|known| known.id != link.id);
    let taken = [
        ("name", others().any(|known| known.name == link.name)),
        ("url", others().any(|known| known.url == link.url)),
        ("filepath", link.path.is_some() && others().any(|known| known.path == link.path)),
    ];
    let taken: Vec<&str> = taken.iter().filter(|(_, taken)| *taken).map(|(field, _)| *field).collect();
    if taken.is_empty() {
        return Ok(link);
    }
    Err(bad(taken.into_iter().map(|field| (field.to_owned(), json!(["has already been taken"]))).collect()))
}

fn missing() -> Reply {
    Reply::new(404, json!({"message": "404 Not Found"}))
}

fn is(link: &Link, id: &str) -> bool {
    id.parse() == Ok(link.id)
}

/// The links as GitLab lists them: newest first.
fn links(release: &Release) -> Vec<&Link> {
    let mut links: Vec<&Link> = release.links.iter().collect();
    links.sort_by_key(|link| std::cmp::Reverse(link.id));
    links
}

fn link_json(ask: &Ask, record: &Record, release: &Release, link: &Link) -> Value {
    let page = format!("{}/-/releases/{}", ask.web_url(record), encode_path(&release.tag).replace('/', "%2F"));
    let direct = link.path.as_ref().map(|path| format!("{page}/downloads{path}"));
    json!({
        "id": link.id, "name": link.name, "url": link.url, "link_type": link.kind,
        "direct_asset_url": direct.unwrap_or_else(|| link.url.clone()),
    })
}

fn commit_json(record: &Record, id: &str) -> Value {
    json!({
        "id": id, "short_id": id.get(..8), "created_at": time(record.pushed), "parent_ids": [], "title": "", "message": "",
        "author_name": "Test", "author_email": "test@example.test", "authored_date": time(record.pushed),
        "committer_name": "Test", "committer_email": "test@example.test", "committed_date": time(record.pushed),
    })
}

fn release_json(ask: &Ask, record: &Record, release: &Release) -> Value {
    let (web, tag) = (ask.web_url(record), encode_path(&release.tag).replace('/', "%2F"));
    let author = ask.model.find_account(&release.author).map(|account| gitlab::user(ask, account));
    let sources: Vec<Value> = ["zip", "tar.gz", "tar.bz2", "tar"]
        .map(|format| json!({"format": format, "url": format!("{web}/-/archive/{tag}/{}-{tag}.{format}", record.name)}))
        .into();
    let links: Vec<Value> = links(release).iter().map(|link| link_json(ask, record, release, link)).collect();
    let published = release.published.clone().unwrap_or_else(|| time(release.created));
    let upcoming = published.parse::<jiff::Timestamp>().is_ok_and(|at| at > jiff::Timestamp::now());
    let commit = record.tag(&release.tag).map(|tag| commit_json(record, &tag.commit));
    json!({
        "tag_name": release.tag, "description": release.notes, "name": release.title,
        "created_at": time(release.created), "released_at": published, "upcoming_release": upcoming,
        "author": author, "commit": commit, "commit_path": format!("/{}/-/commit", record.full_name()),
        "tag_path": format!("/{}/-/tags/{tag}", record.full_name()),
        "assets": {"count": sources.len() + links.len(), "sources": sources, "links": links},
        "evidences": [], "_links": {
            "self": format!("{web}/-/releases/{tag}"), "edit_url": format!("{web}/-/releases/{tag}/edit"),
            "closed_issues_url": format!("{web}/-/issues?release_tag={tag}&state=closed"),
        },
    })
}

/// The root of a project in the API.
pub(super) fn api_url(ask: &Ask, record: &Record) -> String {
    format!("{}{ROOT}/projects/{}", ask.base, record.id)
}
