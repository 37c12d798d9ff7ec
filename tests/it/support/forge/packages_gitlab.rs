//! GitLab's generic packages, which keep the files of releases: equal names are kept beside each other.

use serde_json::{Value, json};

use super::api::{Ask, Reply};
use super::dialect::Dialect;
use super::gitlab::{not_found, paged};
use super::gitlab_destination::{find, forbidden};
use super::model::{Record, time};
use super::releases::{self, PackageFile, Shelf};
use super::releases_gitlab::api_url;
use super::upload::Received;
use super::write::Write;

pub(super) fn read(ask: &Ask, record: &Record, rest: &[&str]) -> Reply {
    let shelf = releases::open(record, ask.base, Dialect::Gitlab);
    match rest {
        [] => {
            let wanted = |name: &str| ask.request.parameter(name).filter(|text| !text.is_empty());
            let mut packages = packages(&shelf);
            // The name is a search, the version is exact.
            packages.retain(|package| wanted("package_name").is_none_or(|name| package.name.contains(&name)));
            packages.retain(|package| wanted("package_version").is_none_or(|version| package.version == version));
            packages.retain(|_| wanted("package_type").is_none_or(|kind| kind == "generic"));
            if ask.request.parameter("sort").as_deref() == Some("desc") {
                packages.reverse();
            }
            paged(ask, packages, |package| package_json(record, package))
        }
        [id] => match packages(&shelf).iter().find(|package| Some(package.package) == number(id)) {
            Some(package) => Reply::ok(package_json(record, package)),
            None => missing(),
        },
        [id, "package_files"] => {
            let files: Vec<&PackageFile> = shelf.files.iter().filter(|file| Some(file.package) == number(id)).collect();
            if files.is_empty() {
                return missing();
            }
            paged(ask, files, |file| file_json(ask, record, file))
        }
        _ => Reply::new(404, json!({"error": "404 Not Found"})),
    }
}

pub(super) fn write(write: &mut Write, id: u64, rest: &[&str]) -> Reply {
    if !write.may_push(id) || write.record(id).archived {
        return forbidden();
    }
    let files = &mut write.shelf(id, Dialect::Gitlab).files;
    let before = files.len();
    match (write.method(), rest) {
        ("DELETE", [package]) => {
            let files = &mut write.record_mut(id).releases.files;
            files.retain(|file| Some(file.package) != number(package));
        }
        ("DELETE", [package, "package_files", file]) => {
            let is_it = |known: &PackageFile| Some(known.package) == number(package) && Some(known.id) == number(file);
            write.record_mut(id).releases.files.retain(|known| !is_it(known));
        }
        _ => return Reply::new(404, json!({"error": "404 Not Found"})),
    }
    if write.record(id).releases.files.len() == before { missing() } else { Reply::new(204, Value::Null) }
}

/// Keeps a file, also a second one of the same name.
pub(super) fn upload(write: &mut Write, received: Received) -> Reply {
    let segments = write.segments.clone();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let ["projects", project, "packages", "generic", name, version, file] = segments.as_slice() else {
        return Reply::new(404, json!({"error": "404 Not Found"}));
    };
    let Some(id) = find(&write.ask(), project).map(|record| record.id) else { return not_found("Project") };
    if !write.has_scope(&["api"]) || !write.may_push(id) || write.record(id).archived {
        return forbidden();
    }
    for (field, text, fine) in [
        ("package_name", name, is_name(name)),
        ("package_version", version, is_version(version)),
        ("file_name", file, is_file(file)),
    ] {
        if !fine || text.len() > 255 {
            return Reply::new(400, json!({"error": format!("{field} is invalid")}));
        }
    }
    if !received.whole {
        return Reply::new(400, json!({"message": "400 Bad Request"}));
    }
    let (file_id, now) = (write.model.next_id(), write.model.tick());
    let shelf = write.shelf(id, Dialect::Gitlab);
    let known = shelf.files.iter().find(|known| known.name == *name && known.version == *version);
    let package = known.map_or(file_id, |known| known.package);
    shelf.files.push(PackageFile {
        id: file_id,
        package,
        name: (*name).to_owned(),
        version: (*version).to_owned(),
        file: (*file).to_owned(),
        blob: received.blob,
        created: now,
    });
    let (ask, record) = (write.ask(), write.record(id));
    if write.request.parameter("select").as_deref() != Some("package_file") {
        return Reply::new(201, json!({"message": "201 Created"}));
    }
    Reply::new(201, file_json(&ask, record, record.releases.files.last().expect("just pushed")))
}

fn is_name(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._-+~@".contains(c);
    !name.is_empty() && !name.starts_with(['~', '@']) && name.chars().all(fine)
}

fn is_version(version: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    !version.is_empty() && !version.contains("..") && version.chars().all(fine)
}

fn is_file(file: &str) -> bool {
    is_name(file) && !file.contains("..")
}

/// One file of each package, in order of the packages.
fn packages(shelf: &Shelf) -> Vec<&PackageFile> {
    let mut packages: Vec<&PackageFile> = Vec::new();
    for file in &shelf.files {
        if !packages.iter().any(|known| known.package == file.package) {
            packages.push(file);
        }
    }
    packages
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

fn missing() -> Reply {
    Reply::new(404, json!({"message": "404 Not found"}))
}

fn package_json(record: &Record, package: &PackageFile) -> Value {
    json!({
        "id": package.package, "name": package.name, "version": package.version, "package_type": "generic",
        "status": "default", "created_at": time(package.created), "last_downloaded_at": null, "tags": [],
        "project_id": record.id, "project_path": record.full_name(), "versions": [],
        "_links": {"web_path": format!("/{}/-/packages/{}", record.full_name(), package.package),
            "delete_api_path": null},
    })
}

fn file_json(ask: &Ask, record: &Record, file: &PackageFile) -> Value {
    json!({
        "id": file.id, "package_id": file.package, "created_at": time(file.created), "file_name": file.file,
        "size": file.blob.size, "file_md5": null, "file_sha1": null,
        "file_sha256": ask.model.terms.digests.then(|| file.blob.sha256().to_owned()),
        "file": {"url": format!("{}/packages/{}/package_files/{}", api_url(ask, record), file.package, file.id)},
    })
}
