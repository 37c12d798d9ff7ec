//! The bytes of assets on their way out: from the forge's own host or the second one, whole or a part.

use std::io::SeekFrom;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::Response;
use futures_util::stream;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::api::{self, Ask, Reply, encode_path, segments};
use super::dialect::Dialect;
use super::log::{Kind, Request};
use super::model::{Model, Record};
use super::releases::{self, Blob};
use super::{Shared, gitlab, gitlab_destination};

/// Where the second host keeps the bytes.
const STORAGE: &str = "/github-production-release-asset/";

/// A file that may be sent.
pub(super) struct Found {
    blob: Arc<Blob>,
    /// Goes into the ETag: a file that takes the place of another has another.
    id: u64,
    name: String,
    content_type: String,
}

/// The URL on the second host that gives out one asset, to whoever has it.
pub(super) fn storage_url(model: &Model, record: &Record, id: u64, name: &str) -> String {
    let signature = signature(model, id);
    let name = encode_path(name);
    format!("{}{STORAGE}{}/{id}?sig={signature}&filename={name}", model.storage, record.id)
}

fn signature(model: &Model, id: u64) -> String {
    format!("storage-signature-{}-{id:08x}", model.terms.storage_epoch)
}

/// Gitea's id of an attachment in URLs.
pub(super) fn uuid(id: u64) -> String {
    format!("{id:08x}-0000-4000-8000-{id:012x}")
}

impl Shared {
    /// Answers a request for the bytes of an asset.
    pub(super) async fn answer_download(&self, request: &Request) -> Response<Body> {
        let (found, ranges) = {
            let model = self.model();
            let found = if request.kind == Kind::Storage {
                stored(&model, request)
            } else {
                asked(&model, &self.base, request)
            };
            (found, model.terms.ranges)
        };
        match found {
            Ok(found) => send(request, &found, ranges).await,
            Err(reply) => reply.response(),
        }
    }

    /// The name of the asset that a request carries or asks for.
    pub(super) fn asset_name(&self, request: &Request) -> Option<String> {
        let last = || request.path.rsplit('/').next();
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        match request.kind {
            Kind::Upload => {
                let named = request.parameter("label").filter(|label| !label.is_empty());
                let named = named.or_else(|| request.parameter("name"));
                named.or_else(|| last().filter(|last| *last != "assets").map(decoded))
            }
            Kind::Storage => {
                let model = self.model();
                let asset = last().and_then(|id| id.parse().ok()).and_then(|id| by_id(&model, id, Dialect::Gitea));
                asset.map(|(_, found)| found.name).or_else(|| request.parameter("filename"))
            }
            Kind::Download if request.path.starts_with("/attachments/") => {
                let model = self.model();
                by_uuid(&model, &request.path).map(|(_, found)| found.name)
            }
            Kind::Download => last().map(decoded),
            _ => None,
        }
    }
}

/// What the second host gives out: to those with a good link, and to nobody who shows another credential too.
fn stored(model: &Model, request: &Request) -> Result<Found, Reply> {
    if request.authorization().is_some() {
        let text = "<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>";
        return Err(Reply::html(400, text));
    }
    let id = request.path.strip_prefix(STORAGE).and_then(|rest| rest.split('/').nth(1)?.parse().ok());
    let id = id.filter(|id| request.parameter("sig").as_deref() == Some(&signature(model, *id)));
    let refused = || Reply::html(403, "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>");
    let (_, found) = id.and_then(|id| by_id(model, id, Dialect::Gitea)).ok_or_else(refused)?;
    Ok(found)
}

/// What the forge's own host gives out, or where it sends the client.
fn asked(model: &Model, base: &str, request: &Request) -> Result<Found, Reply> {
    let missing = || Reply::html(404, "<html><title>Page Not Found</title></html>");
    let viewer = api::viewer(model, &request.headers).map_err(|()| gitlab::unauthorized())?;
    let is_api = request.path.starts_with(gitlab::ROOT);
    let parts = segments(&request.path, if is_api { gitlab::ROOT } else { "" });
    let ask = Ask { request, model, base, viewer, segments: parts.clone() };
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (record, found) = match parts.as_slice() {
        ["attachments", _] => by_uuid(model, &request.path).ok_or_else(missing)?,
        ["projects", project, "packages", "generic", name, version, file] if is_api => {
            let record = gitlab_destination::find(&ask, project).ok_or_else(|| gitlab::not_found("Project"))?;
            let shelf = releases::open(record, base, Dialect::Gitlab);
            let file = shelf.package_file(name, version, file).ok_or_else(|| gitlab::not_found("Package"))?;
            let content_type = "application/octet-stream".to_owned();
            let found = Found { blob: file.blob.clone(), id: file.id, name: file.file.clone(), content_type };
            (record, found)
        }
        [owner, name, "releases", "download", tag @ .., file] => {
            let record = ask.find(&format!("{owner}/{name}")).ok_or_else(missing)?;
            let shelf = releases::open(record, base, Dialect::Github);
            let release = shelf.of_tag(&tag.join("/")).filter(|release| !release.draft).ok_or_else(missing)?;
            let is_it = |asset: &&releases::Asset| asset.complete && (asset.stored == *file || asset.name == *file);
            let asset = release.assets.iter().rev().find(is_it).ok_or_else(missing)?;
            (record, of_asset(asset))
        }
        [namespace @ .., "-", "releases", tag, "downloads", path] if !namespace.is_empty() && !path.is_empty() => {
            return Err(permanent(&ask, &namespace.join("/"), tag, path).unwrap_or_else(missing));
        }
        _ => return Err(missing()),
    };
    if !model.can_see(record, ask.viewer.as_deref()) {
        return Err(missing());
    }
    let github = parts.get(2) == Some(&"releases") && model.dialect(record) == Dialect::Github;
    if github || model.terms.object_storage {
        return Err(Reply::html(302, "").header("location", storage_url(model, record, found.id, &found.name)));
    }
    Ok(found)
}

/// GitLab's permanent URL of a link: a redirect to where the link leads.
fn permanent(ask: &Ask, full_name: &str, tag: &str, path: &str) -> Option<Reply> {
    let record = ask.find(full_name)?;
    let shelf = releases::open(record, ask.base, Dialect::Gitlab);
    let release = shelf.of_tag(tag)?;
    let link = release.links.iter().find(|link| link.path.as_deref() == Some(&format!("/{path}")))?;
    Some(Reply::html(302, "").header("location", &link.url))
}

fn by_uuid<'a>(model: &'a Model, path: &str) -> Option<(&'a Record, Found)> {
    let wanted = path.rsplit('/').next()?;
    let id = u64::from_str_radix(wanted.split('-').next()?, 16).ok()?;
    by_id(model, id, Dialect::Gitea).filter(|_| uuid(id) == wanted)
}

/// A file of any repository.
fn by_id(model: &Model, id: u64, dialect: Dialect) -> Option<(&Record, Found)> {
    model.repos.iter().find_map(|record| {
        let shelf = releases::open(record, "", dialect);
        if let Some((_, asset)) = shelf.asset(id) {
            return asset.complete.then(|| (record, of_asset(asset)));
        }
        let file = shelf.files.iter().find(|file| file.id == id)?;
        let content_type = "application/octet-stream".to_owned();
        Some((record, Found { blob: file.blob.clone(), id, name: file.file.clone(), content_type }))
    })
}

fn of_asset(asset: &releases::Asset) -> Found {
    let (name, content_type) = (asset.name.clone(), asset.content_type.clone());
    Found { blob: asset.blob.clone(), id: asset.id, name, content_type }
}

/// Sends a file, or the part that was asked for.
async fn send(request: &Request, found: &Found, ranges: bool) -> Response<Body> {
    let size = found.blob.size;
    let etag = format!("\"asset-{}\"", found.id);
    let same = request.header("if-range").is_none_or(|known| known == etag);
    let asked = request.header("range").filter(|_| ranges && same).and_then(|range| part(range, size));
    let mut response = Response::builder().header("content-type", found.content_type.as_str()).header("etag", etag);
    if ranges {
        response = response.header("accept-ranges", "bytes");
    }
    let (start, end) = match asked {
        None => (0, size),
        Some(Ok((start, end))) => {
            response = response.status(206).header("content-range", format!("bytes {start}-{}/{size}", end - 1));
            (start, end)
        }
        Some(Err(())) => {
            let response = response.status(416).header("content-range", format!("bytes */{size}"));
            return response.body(Body::empty()).expect("real headers");
        }
    };
    let mut file = tokio::fs::File::open(&found.blob.file).await.expect("our own file");
    file.seek(SeekFrom::Start(start)).await.expect("our own file");
    let chunks = stream::unfold(file.take(end - start), |mut file| async move {
        let mut chunk = vec![0; 64 * 1024];
        match file.read(&mut chunk).await {
            Ok(0) => None,
            Ok(read) => {
                chunk.truncate(read);
                Some((Ok(Bytes::from(chunk)), file))
            }
            Err(error) => Some((Err(error), file)),
        }
    });
    response.header("content-length", end - start).body(Body::from_stream(chunks)).expect("real headers")
}

/// The bytes from and up to, of a `Range`; `Err` when the file has none of them, `None` when it is not understood.
fn part(range: &str, size: u64) -> Option<Result<(u64, u64), ()>> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (start, end) = match (from.parse::<u64>().ok(), to.parse::<u64>().ok()) {
        (Some(start), Some(last)) => (start, last.saturating_add(1).min(size)),
        (Some(start), None) if to.is_empty() => (start, size),
        (None, Some(count)) if from.is_empty() => (size.saturating_sub(count), size),
        _ => return None,
    };
    Some(if start < end { Ok((start, end)) } else { Err(()) })
}
