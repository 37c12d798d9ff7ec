//! Gitea's releases and attachments, with the words and the habits of a real 1.21.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::api::{Ask, Reply, encode_path};
use super::dialect::Dialect;
use super::download::uuid;
use super::gitea::{self, ROOT, not_found, page};
use super::gitea_destination::fail;
use super::model::{Record, time};
use super::releases::{self, Asset, Blob, Release, github_name};
use super::upload::Received;
use super::write::Write;

/// What a real 1.21 sends, in short, when it fails on its way.
const FAILED: &str = "\n<!DOCTYPE html>\n<html lang=\"en-US\" class=\"theme-auto\">\n<head>\n\t<title>Internal Server Error - \
    Gitea test</title>\n</head>\n<body>\n\t<p>An error occurred:</p>\n\t<pre>PANIC: runtime error: invalid memory \
    address or nil pointer dereference</pre>\n</body>\n</html>\n";

pub(super) fn read(ask: &Ask, record: &Record, rest: &[&str]) -> Reply {
    if is_off(record) {
        return forbidden(ask);
    }
    let mut shelf = releases::open(record, ask.base, Dialect::Gitea);
    if !ask.may_push(record) {
        shelf.list.retain(|release| !release.draft);
    }
    let found =
        |release: Option<&Release>| release.map_or_else(|| not_found(ask), |r| Reply::ok(release_json(ask, record, r)));
    match rest {
        [] => {
            let wanted = |name: &str| ask.request.parameter(name).map(|text| text == "true");
            let (draft, prerelease) = (wanted("draft"), wanted("pre-release"));
            shelf.list.retain(|release| draft.is_none_or(|wanted| wanted == release.draft));
            shelf.list.retain(|release| prerelease.is_none_or(|wanted| wanted == release.prerelease));
            shelf.list.sort_by_key(|release| std::cmp::Reverse((release.created, release.id)));
            page(ask, shelf.list, |release| release_json(ask, record, release))
        }
        ["latest"] => found(shelf.latest()),
        ["tags", tag] => found(shelf.of_tag(tag)),
        [id] => found(number(id).and_then(|id| shelf.get(id))),
        [id, "assets"] => match number(id).and_then(|id| shelf.get(id)) {
            Some(release) => Reply::ok(release.assets.iter().map(|asset| asset_json(ask, asset)).collect()),
            None => not_found(ask),
        },
        [id, "assets", asset] => {
            let assets = number(id).and_then(|id| shelf.get(id)).map(|release| release.assets.as_slice());
            match assets.unwrap_or_default().iter().find(|known| Some(known.id) == number(asset)) {
                Some(asset) => Reply::ok(asset_json(ask, asset)),
                None => not_found(ask),
            }
        }
        _ => not_found(ask),
    }
}

/// Whether the unit is switched off, as it is in forks by default (`DEFAULT_FORK_REPO_UNITS`).
fn is_off(record: &Record) -> bool {
    record.settings.said.get("has_releases") == Some(&json!(false))
}

/// What `reqRepoReader` says.
fn forbidden(ask: &Ask) -> Reply {
    let text = "user should have specific read permission or be a repo admin or a site admin";
    Reply::new(403, json!({"message": text, "url": format!("{}/api/swagger", ask.base)}))
}

/// One tag, or all for the empty name.
pub(super) fn tags(ask: &Ask, record: &Record, name: &str) -> Reply {
    if name.is_empty() {
        return page(ask, record.tags().into_iter().collect(), |name| tag_json(ask, record, name));
    }
    if record.has_tag(name) { Reply::ok(tag_json(ask, record, name)) } else { not_found(ask) }
}

fn tag_json(ask: &Ask, record: &Record, name: &str) -> Value {
    let Some(tag) = record.tag(name) else { return Value::Null };
    let url = format!("{}{ROOT}/repos/{}/git/commits/{}", ask.base, encode_path(&record.full_name()), tag.id);
    let archive = format!("{}/archive/{}", ask.web_url(record), encode_path(name));
    json!({
        "name": name, "message": tag.message, "id": tag.id,
        "commit": {"url": url, "sha": tag.commit, "created": time(record.pushed)},
        "zipball_url": format!("{archive}.zip"), "tarball_url": format!("{archive}.tar.gz"),
    })
}

pub(super) fn write(write: &mut Write, id: u64, rest: &[&str]) -> Reply {
    if let Some(reply) = closed(write, id) {
        return reply;
    }
    write.shelf(id, Dialect::Gitea);
    if let ("POST", []) = (write.method(), rest) {
        return create(write, id);
    }
    let release = rest.first().and_then(|id| number(id)).filter(|r| write.record(id).releases.get(*r).is_some());
    let Some(release) = release else { return not_found(&write.ask()) };
    match (write.method(), &rest[1..]) {
        ("PATCH", []) => change(write, id, release),
        ("DELETE", []) => {
            // The tag stays.
            write.record_mut(id).releases.list.retain(|known| known.id != release);
            Reply::new(204, Value::Null)
        }
        (method, ["assets", asset]) => {
            let asset = number(asset).filter(|asset| write.record(id).releases.asset(*asset).is_some());
            let Some(asset) = asset else { return not_found(&write.ask()) };
            if method == "DELETE" {
                write.record_mut(id).releases.remove_asset(asset);
                return Reply::new(204, Value::Null);
            }
            let name = write.text("name");
            let mut all = write.record_mut(id).releases.list.iter_mut().flat_map(|release| &mut release.assets);
            let known = all.find(|known| known.id == asset).expect("just found");
            if let Some(name) = name.filter(|name| !name.is_empty()) {
                (known.stored, known.name) = (github_name(&name), name);
            }
            shown_asset(write, id, asset).status(201)
        }
        _ => not_found(&write.ask()),
    }
}

/// Keeps an attachment, also a second one of the same name.
pub(super) fn upload(write: &mut Write, received: Received) -> Reply {
    let segments = write.segments.clone();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let ["repos", owner, name, "releases", release, "assets"] = segments.as_slice() else {
        return not_found(&write.ask());
    };
    let Some(id) = write.ask().find(&format!("{owner}/{name}")).map(|record| record.id) else {
        return not_found(&write.ask());
    };
    if let Some(reply) = closed(write, id) {
        return reply;
    }
    let release = number(release).filter(|release| write.shelf(id, Dialect::Gitea).get(*release).is_some());
    let Some(release) = release else { return not_found(&write.ask()) };
    let Some(form_name) = received.form_name else {
        return fail(write, 500, "request Content-Type isn't multipart/form-data");
    };
    if let Some(wrong) = received.wrong.or((!received.whole).then_some("unexpected EOF")) {
        return fail(write, 500, wrong);
    }
    let name = write.request.parameter("name").filter(|name| !name.is_empty()).unwrap_or(form_name);
    let (asset, now) = (write.model.next_id(), write.model.tick());
    let stored = github_name(&name);
    let content_type = "application/octet-stream".to_owned();
    let mut blob = received.blob;
    if blob.size == 0 && !write.model.gitea_keeps_empty_files() {
        // The buffer of 1,024 bytes that tells the kind of a file is kept in its place.
        std::fs::write(&blob.file, [0; 1024]).expect("our own file");
        blob = Blob::new(blob.file.clone(), 1024);
    }
    let kept = Asset { id: asset, name, stored, content_type, blob, created: now, complete: true };
    write.record_mut(id).releases.get_mut(release).expect("just found").assets.push(kept);
    shown_asset(write, id, asset).status(201)
}

fn closed(write: &Write, id: u64) -> Option<Reply> {
    if is_off(write.record(id)) {
        return Some(forbidden(&write.ask()));
    }
    if !write.has_scope(&["write:repository"]) {
        let text = "token does not have at least one of required scope(s): [write:repository]";
        return Some(fail(write, 403, text));
    }
    if !write.may_push(id) {
        return Some(fail(write, 403, "user should have a permission to write to a repo"));
    }
    let record = write.record(id);
    let mirror = record.settings.pull_mirror.then(|| fail(write, 403, "mirror repository is read-only"));
    // Gitea's own words for every write to it.
    mirror.or_else(|| record.archived.then(|| fail(write, 423, &format!("{} is archived", record.full_name()))))
}

fn create(write: &mut Write, id: u64) -> Reply {
    let failing = &mut write.record_mut(id).releases.failing;
    if *failing > 0 {
        *failing -= 1;
        return Reply::html(500, FAILED);
    }
    let Some(tag) = write.text("tag_name").filter(|tag| !tag.is_empty()) else {
        return fail(write, 422, "[TagName]: Required");
    };
    let record = write.record(id);
    if record.is_empty() || record.releases.unnoticed.load(Ordering::SeqCst) > 0 {
        return Reply::html(500, FAILED);
    }
    // Also for a draft, in these words.
    if record.releases.of_tag(&tag).is_some() {
        return fail(write, 409, "Release is has no Tag");
    }
    let (draft, prerelease) = (write.switch("draft").unwrap_or(false), write.switch("prerelease").unwrap_or(false));
    let text = |name: &str| write.text(name).unwrap_or_default();
    let (target, title, notes) = (text("target_commitish"), text("name"), text("body"));
    if !draft && !makes_tag(record, &tag, &target) {
        return fail(write, 500, &format!("object does not exist [id: {target}, rel_path: ]"));
    }
    let (release, now, author) = (write.model.next_id(), write.model.tick(), write.viewer.clone());
    let (published, assets, links) = (Some(time(now)), Vec::new(), Vec::new());
    write.record_mut(id).releases.list.push(Release {
        id: release,
        tag,
        target,
        title,
        notes,
        draft,
        prerelease,
        created: now,
        updated: now,
        published,
        author,
        assets,
        links,
    });
    shown(write, id, release).status(201)
}

/// Makes the tag when it is missing, at the target or else the default branch.
fn makes_tag(record: &Record, tag: &str, target: &str) -> bool {
    let default = record.default_branch();
    record.has_tag(tag) || record.make_tag(tag, if target.is_empty() { &default } else { target })
}

/// Sets what the body says; an empty text changes nothing, as in Gitea.
fn change(write: &mut Write, id: u64, release: u64) -> Reply {
    let mut release = write.record(id).releases.get(release).expect("the caller found it").clone();
    let text = |name: &str, old: String| write.text(name).filter(|text| !text.is_empty()).unwrap_or(old);
    release.tag = text("tag_name", release.tag);
    release.target = text("target_commitish", release.target);
    release.title = text("name", release.title);
    release.notes = text("body", release.notes);
    release.draft = write.switch("draft").unwrap_or(release.draft);
    release.prerelease = write.switch("prerelease").unwrap_or(release.prerelease);
    if !release.draft && !makes_tag(write.record(id), &release.tag, &release.target) {
        return fail(write, 500, &format!("object does not exist [id: {}, rel_path: ]", release.target));
    }
    let release_id = release.id;
    *write.record_mut(id).releases.get_mut(release_id).expect("the caller found it") = release;
    shown(write, id, release_id)
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

fn shown(write: &Write, id: u64, release: u64) -> Reply {
    let (ask, record) = (write.ask(), write.record(id));
    Reply::ok(release_json(&ask, record, record.releases.get(release).expect("just written")))
}

fn shown_asset(write: &Write, id: u64, asset: u64) -> Reply {
    let (_, asset) = write.record(id).releases.asset(asset).expect("just written");
    Reply::ok(asset_json(&write.ask(), asset))
}

fn release_json(ask: &Ask, record: &Record, release: &Release) -> Value {
    let url = format!("{}{ROOT}/repos/{}/releases/{}", ask.base, encode_path(&record.full_name()), release.id);
    let (web, tag) = (ask.web_url(record), encode_path(&release.tag));
    let author = ask.model.find_account(&release.author).map_or(Value::Null, |account| gitea::user(ask, account));
    json!({
        "id": release.id, "tag_name": release.tag, "target_commitish": release.target, "name": release.title,
        "body": release.notes, "url": url, "html_url": format!("{web}/releases/tag/{tag}"),
        "tarball_url": format!("{web}/archive/{tag}.tar.gz"), "zipball_url": format!("{web}/archive/{tag}.zip"),
        "upload_url": format!("{url}/assets"), "draft": release.draft, "prerelease": release.prerelease,
        "created_at": time(release.created),
        "published_at": release.published.clone().unwrap_or_else(|| time(release.created)), "author": author,
        "assets": release.assets.iter().map(|asset| asset_json(ask, asset)).collect::<Vec<_>>(),
    })
}

fn asset_json(ask: &Ask, asset: &Asset) -> Value {
    let uuid = uuid(asset.id);
    json!({
        "id": asset.id, "name": asset.name, "size": asset.blob.size, "download_count": 0,
        "created_at": time(asset.created), "uuid": uuid,
        "browser_download_url": format!("{}/attachments/{uuid}", ask.base),
    })
}
