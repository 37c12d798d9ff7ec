//! GitHub's releases and assets, with its habits: drafts for those who push only, tags made on the way, names made safe.

use serde_json::{Value, json};

use super::api::{Ask, Reply, encode_path};
use super::dialect::Dialect;
use super::download::storage_url;
use super::github::{self, ROOT, message, not_found, page};
use super::model::{Record, time};
use super::releases::{self, Asset, Release, github_name};
use super::upload::Received;
use super::write::Write;

/// The root of the API that takes assets, as GitHub Enterprise has it.
pub(super) const UPLOADS: &str = "/api/uploads";

/// The most characters in the notes.
const LONGEST_NOTES: usize = 125_000;

pub(super) fn read(ask: &Ask, record: &Record, rest: &[&str]) -> Reply {
    let mut shelf = releases::open(record, ask.base, Dialect::Github);
    if !ask.may_push(record) {
        shelf.list.retain(|release| !release.draft);
    }
    let found = |release: Option<&Release>| release.map_or_else(not_found, |r| Reply::ok(release_json(ask, record, r)));
    match rest {
        [] => {
            // Drafts first, then by the date of creation.
            shelf.list.sort_by_key(|release| std::cmp::Reverse((release.draft, release.created, release.id)));
            page(ask, shelf.list, |release| release_json(ask, record, release)).tagged(ask.request)
        }
        ["latest"] => found(shelf.latest()),
        // Never a draft, and a tag with slashes is not encoded.
        ["tags", tag @ ..] => found(shelf.of_tag(&tag.join("/")).filter(|release| !release.draft)),
        ["assets", id] => match number(id).and_then(|id| shelf.asset(id)) {
            Some((release, asset)) => asset_reply(ask, record, release, asset),
            None => not_found(),
        },
        [id] => found(number(id).and_then(|id| shelf.get(id))),
        [id, "assets"] => match number(id).and_then(|id| shelf.get(id)) {
            Some(release) => page(ask, release.assets.iter().collect(), |a| asset_json(ask, record, release, a)),
            None => not_found(),
        },
        _ => not_found(),
    }
}

/// One tag, as a reference.
pub(super) fn tag(ask: &Ask, record: &Record, name: &str) -> Reply {
    let Some(tag) = record.tag(name) else { return not_found() };
    let url = format!("{}{ROOT}/repos/{}", ask.base, encode_path(&record.full_name()));
    let object = json!({"sha": tag.id, "type": tag.kind, "url": format!("{url}/git/{}s/{}", tag.kind, tag.id)});
    Reply::ok(json!({
        "ref": format!("refs/tags/{name}"), "node_id": format!("REF_{}", tag.id), "object": object,
        "url": format!("{url}/git/refs/tags/{}", encode_path(name)),
    }))
}

pub(super) fn write(write: &mut Write, id: u64, rest: &[&str]) -> Reply {
    if let Some(reply) = closed(write, id) {
        return reply;
    }
    write.shelf(id, Dialect::Github);
    match (write.method(), rest) {
        ("POST", []) => create(write, id),
        ("DELETE", ["assets", asset]) => {
            let removed = write.record_mut(id).releases.remove_asset(number(asset).unwrap_or(0));
            if removed { Reply::new(204, Value::Null) } else { not_found() }
        }
        ("PATCH", ["assets", asset]) => rename_asset(write, id, number(asset).unwrap_or(0)),
        (method @ ("PATCH" | "DELETE"), [release]) => {
            let Some(release) = number(release).filter(|release| write.record(id).releases.get(*release).is_some())
            else {
                return not_found();
            };
            if method == "PATCH" {
                return change(write, id, release);
            }
            // The tag stays.
            write.record_mut(id).releases.list.retain(|known| known.id != release);
            Reply::new(204, Value::Null)
        }
        _ => not_found(),
    }
}

/// Keeps an asset that came to the other API.
pub(super) fn upload(write: &mut Write, received: Received) -> Reply {
    let segments = write.segments.clone();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let ["repos", owner, name, "releases", release, "assets"] = segments.as_slice() else { return not_found() };
    let Some(id) = write.ask().find(&format!("{owner}/{name}")).map(|record| record.id) else { return not_found() };
    if let Some(reply) = closed(write, id) {
        return reply;
    }
    let release = number(release).filter(|release| write.shelf(id, Dialect::Github).get(*release).is_some());
    let Some(release) = release else { return not_found() };
    let Some(name) = write.request.parameter("name").filter(|name| !name.is_empty()) else {
        return invalid("ReleaseAsset", "missing_field", "name", None);
    };
    // It takes no body of unknown length.
    let empty = write.model.terms.empty_assets && write.request.header("transfer-encoding").is_none();
    if write.request.header("content-length").is_none() && !empty {
        return message(400, "Bad Content-Length: ");
    }
    if received.whole && received.blob.size == 0 && !write.model.terms.empty_assets {
        let text = "size must be greater than or equal to 1";
        return invalid("ReleaseAsset", "custom", "size", Some(text));
    }
    let stored = github_name(&name);
    if write.record(id).releases.get(release).is_some_and(|r| r.assets.iter().any(|a| a.stored == stored)) {
        return invalid("ReleaseAsset", "already_exists", "name", None);
    }
    let label = write.request.parameter("label").filter(|label| !label.is_empty());
    let content_type = write.request.header("content-type").unwrap_or("application/octet-stream").to_owned();
    let (asset, now) = (write.model.next_id(), write.model.tick());
    let asset = Asset {
        id: asset,
        name: label.unwrap_or_else(|| stored.clone()),
        stored,
        content_type,
        blob: received.blob,
        created: now,
        complete: received.whole,
    };
    let shelf = &mut write.record_mut(id).releases;
    shelf.get_mut(release).expect("just found").assets.push(asset);
    let ask = write.ask();
    let record = write.record(id);
    let release = record.releases.get(release).expect("just found");
    let asset = release.assets.last().expect("just pushed");
    if !asset.complete {
        return message(502, "Server Error");
    }
    Reply::new(201, asset_json(&ask, record, release, asset))
}

/// Why nobody, or not this token, may write releases here.
fn closed(write: &Write, id: u64) -> Option<Reply> {
    if !write.may_push(id) || !write.has_scope(&["repo", "public_repo"]) {
        return Some(message(403, "Resource not accessible by personal access token"));
    }
    write.record(id).archived.then(|| message(403, "Repository was archived so is read-only."))
}

fn create(write: &mut Write, id: u64) -> Reply {
    let Some(tag) = write.text("tag_name").filter(|tag| !tag.is_empty()) else {
        return invalid("Release", "missing_field", "tag_name", None);
    };
    let (release, now, author) = (write.model.next_id(), write.model.tick(), write.viewer.clone());
    let release = Release {
        id: release,
        tag,
        target: String::new(),
        title: String::new(),
        notes: String::new(),
        draft: true,
        prerelease: false,
        created: now,
        updated: now,
        published: None,
        author,
        assets: Vec::new(),
        links: Vec::new(),
    };
    take(write, id, release, Some(false)).map_or_else(|reply| reply, |reply| reply.status(201))
}

fn change(write: &mut Write, id: u64, release: u64) -> Reply {
    let now = write.model.tick();
    let mut release = write.record(id).releases.get(release).expect("the caller found it").clone();
    release.updated = now;
    take(write, id, release, None).unwrap_or_else(|reply| reply)
}

/// Sets what the body says of a release, publishes it when it is no draft (any more), and shows it.
fn take(write: &mut Write, id: u64, mut release: Release, default_draft: Option<bool>) -> Result<Reply, Reply> {
    let was_draft = release.draft;
    release.draft = write.switch("draft").or(default_draft).unwrap_or(release.draft);
    release.prerelease = write.switch("prerelease").unwrap_or(release.prerelease);
    release.tag = write.text("tag_name").unwrap_or(release.tag);
    release.target = write.text("target_commitish").unwrap_or(release.target);
    release.title = write.text("name").unwrap_or(release.title);
    release.notes = write.text("body").unwrap_or(release.notes);
    if release.notes.chars().count() > LONGEST_NOTES {
        let text = format!("body is too long (maximum is {LONGEST_NOTES} characters)");
        return Err(invalid("Release", "custom", "body", Some(&text)));
    }
    let make_latest = write.body["make_latest"].as_str().map(str::to_owned);
    if make_latest.as_deref() == Some("true") && (release.draft || release.prerelease) {
        let text = "drafts and prereleases cannot be set as latest";
        return Err(invalid("Release", "custom", "make_latest", Some(text)));
    }
    if !release.draft {
        publish(write, id, &mut release)?;
    }
    let shelf = &mut write.record_mut(id).releases;
    match make_latest.as_deref() {
        Some("true") => shelf.chosen = Some(release.id),
        // One that is published is the latest unless somebody says otherwise.
        None if was_draft && !release.draft && !release.prerelease => shelf.chosen = Some(release.id),
        Some(_) if shelf.chosen == Some(release.id) => shelf.chosen = None,
        Some("false") => {
            // It must not become the latest by its age either.
            let before = shelf.latest().filter(|before| before.id != release.id).map(|before| before.id);
            shelf.chosen = shelf.chosen.or(before);
        }
        _ => {}
    }
    let release_id = release.id;
    match shelf.get_mut(release_id) {
        Some(known) => *known = release,
        None => shelf.list.push(release),
    }
    let (ask, record) = (write.ask(), write.record(id));
    let release = record.releases.get(release_id).expect("just put there");
    Ok(Reply::ok(release_json(&ask, record, release)))
}

/// Makes the tag when it is missing: what the real one does without being asked.
fn publish(write: &mut Write, id: u64, release: &mut Release) -> Result<(), Reply> {
    let record = write.record(id);
    if record.releases.is_taken(&release.tag, Some(release.id)) {
        return Err(invalid("Release", "already_exists", "tag_name", None));
    }
    if !record.has_tag(&release.tag) {
        if record.is_empty() {
            return Err(message(422, "Repository is empty."));
        }
        let default = record.default_branch();
        let target = if release.target.is_empty() { &default } else { &release.target };
        if !record.make_tag(&release.tag, target) {
            return Err(invalid("Release", "invalid", "target_commitish", None));
        }
    }
    if release.published.is_none() {
        release.published = Some(time(write.model.tick()));
    }
    Ok(())
}

fn rename_asset(write: &mut Write, id: u64, asset: u64) -> Reply {
    let (name, label) = (write.text("name"), write.text("label"));
    let shelf = &mut write.record_mut(id).releases;
    let all = shelf.list.iter_mut().flat_map(|release| &mut release.assets);
    let Some(known) = all.into_iter().find(|known| known.id == asset) else { return not_found() };
    known.stored = name.map_or_else(|| known.stored.clone(), |name| github_name(&name));
    known.name = label.filter(|label| !label.is_empty()).unwrap_or_else(|| known.stored.clone());
    let (ask, record) = (write.ask(), write.record(id));
    let (release, asset) = record.releases.asset(asset).expect("just found");
    Reply::ok(asset_json(&ask, record, release, asset))
}

fn invalid(resource: &str, code: &str, field: &str, text: Option<&str>) -> Reply {
    let mut error = json!({"resource": resource, "code": code, "field": field});
    if let Some(text) = text {
        error["message"] = json!(text);
    }
    Reply::new(
        422,
        json!({"message": "Validation Failed", "errors": [error], "status": "422",
            "documentation_url": "https://docs.github.com/rest/releases/releases"}),
    )
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

fn author(ask: &Ask, name: &str) -> Value {
    ask.model.find_account(name).map_or(Value::Null, |account| github::account(ask, account))
}

fn release_json(ask: &Ask, record: &Record, release: &Release) -> Value {
    let full_name = encode_path(&record.full_name());
    let url = format!("{}{ROOT}/repos/{full_name}/releases/{}", ask.base, release.id);
    let uploads = format!("{}{UPLOADS}/repos/{full_name}/releases/{}/assets{{?name,label}}", ask.base, release.id);
    // A draft has no page under its tag.
    let page = if release.draft { format!("untagged-{:020x}", release.id) } else { encode_path(&release.tag) };
    let ball = |kind: &str| {
        let tag = encode_path(&release.tag);
        (!release.draft).then(|| format!("{}{ROOT}/repos/{full_name}/{kind}/{tag}", ask.base))
    };
    let target = if release.target.is_empty() { record.default_branch() } else { release.target.clone() };
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    json!({
        "url": url, "assets_url": format!("{url}/assets"), "upload_url": uploads,
        "html_url": format!("{}/releases/tag/{page}", ask.web_url(record)), "id": release.id,
        "author": author(ask, &release.author), "node_id": format!("RE_{}", release.id), "tag_name": release.tag,
        "target_commitish": target, "name": text(&release.title), "draft": release.draft, "immutable": false,
        "prerelease": release.prerelease, "created_at": time(release.created), "updated_at": time(release.updated),
        "published_at": release.published.as_ref().filter(|_| !release.draft),
        "assets": release.assets.iter().map(|asset| asset_json(ask, record, release, asset)).collect::<Vec<_>>(),
        "tarball_url": ball("tarball"), "zipball_url": ball("zipball"), "body": text(&release.notes),
    })
}

fn asset_json(ask: &Ask, record: &Record, release: &Release, asset: &Asset) -> Value {
    let repo = encode_path(&record.full_name());
    let page = if release.draft { format!("untagged-{:020x}", release.id) } else { encode_path(&release.tag) };
    let label = if asset.name == asset.stored { "" } else { &asset.name };
    let mut json = json!({
        "url": format!("{}{ROOT}/repos/{repo}/releases/assets/{}", ask.base, asset.id), "id": asset.id,
        "node_id": format!("RA_{}", asset.id), "name": asset.stored, "label": label,
        "uploader": author(ask, &release.author), "content_type": asset.content_type,
        "state": if asset.complete { "uploaded" } else { "starter" },
        "size": if asset.complete { asset.blob.size } else { 0 }, "download_count": 0,
        "created_at": time(asset.created), "updated_at": time(asset.created),
        "browser_download_url":
            format!("{}/releases/download/{page}/{}", ask.web_url(record), encode_path(&asset.stored)),
    });
    if ask.model.terms.digests {
        json["digest"] = if asset.complete { json!(format!("sha256:{}", asset.blob.sha256())) } else { Value::Null };
    }
    json
}

/// The asset, or the way to its bytes, by what the client accepts.
fn asset_reply(ask: &Ask, record: &Record, release: &Release, asset: &Asset) -> Reply {
    if ask.request.header("accept") != Some("application/octet-stream") {
        return Reply::ok(asset_json(ask, record, release, asset));
    }
    if !asset.complete {
        return not_found();
    }
    Reply::new(302, Value::Null).header("location", storage_url(ask.model, record, asset.id, &asset.stored))
}
