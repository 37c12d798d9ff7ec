//! The generic packages of a GitLab project, where the files of its releases are.
//!
//! Ours are in one package, [`PACKAGE`], with a version for each tag; only there files are ever deleted. The link on the
//! release has the file's own name, the package a name that GitLab takes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt, TryStreamExt, stream};
use percent_encoding::percent_decode_str;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::base::failure::{Failure, Reason};
use crate::forge::gather::time;
use crate::forge::gitlab::releases::name::safe;
use crate::forge::gitlab::releases::{GitlabReleases, LinkJson};
use crate::forge::http::{Parcel, Refusal};
use crate::forge::release::Upload;
use crate::model::RepoPath;
use crate::model::release::{Asset, Link, Release, Sha256};

/// A name of our own, so that nothing that others publish is taken for ours.
pub(super) const PACKAGE: &str = "holocron-release";
/// How many packages are looked into at a time.
const AT_ONCE: usize = 4;

/// What is remembered of projects.
#[derive(Default)]
pub(super) struct Packages {
    ids: Mutex<HashMap<String, u64>>,
    /// "You must call this API endpoint serially when attempting to upload multiple files under the same package name
    /// and version" ("Generic packages repository"): one turn for each.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// A package: name and version.
type Version = (String, String);

/// Where a link points in generic packages.
struct PackageFile {
    /// The project's id or path.
    project: String,
    version: Version,
    file: String,
}

/// A file that a link points at.
pub(super) struct File {
    place: PackageFile,
    found: Stored,
}

enum Stored {
    There(FileJson),
    /// Its package can be read, and it is not there.
    Missing,
    /// The token may not see packages, or this one is hidden (`status=hidden`): only then it is not listed.
    Unknown,
}

#[derive(Serialize, Deserialize)]
struct PackageJson {
    id: u64,
    name: String,
    version: Option<String>,
}

#[derive(Serialize, Deserialize, Clone)]
struct FileJson {
    id: u64,
    package_id: u64,
    file_name: String,
    size: Option<u64>,
    file_sha256: Option<String>,
    created_at: Option<String>,
}

impl File {
    /// The asset that a link to this file is.
    pub(super) fn asset(self, link: LinkJson, url: Url) -> Asset {
        let json = match &self.found {
            Stored::There(json) => Some(json),
            Stored::Missing | Stored::Unknown => None,
        };
        let of_package = json.map(|json| format!("{}:{}", json.package_id, json.id)).unwrap_or_default();
        Asset {
            id: format!("{}:{of_package}", link.id),
            name: link.name,
            size: json.and_then(|json| json.size),
            digest: json.and_then(|json| Sha256::parse(json.file_sha256.as_deref()?)),
            content_type: None,
            updated_at: json.and_then(|json| time(json.created_at.as_deref())),
            url,
            complete: !matches!(self.found, Stored::Missing),
            stored_as: self.place.file,
        }
    }
}

impl GitlabReleases {
    /// The id of a project, asked for once.
    async fn project(&self, repo: &RepoPath) -> Result<u64, Failure> {
        let path = repo.to_string();
        let known =
            |ids: &Mutex<HashMap<String, u64>>| ids.lock().unwrap_or_else(PoisonError::into_inner).get(&path).copied();
        if let Some(id) = known(&self.packages.ids) {
            return Ok(id);
        }
        let project: Value = self.site.api.get(self.url(repo, &[], &[])).await?;
        let id = project["id"].as_u64();
        let id = id.ok_or_else(|| Failure::new(Reason::ServerError, format!("GitLab tells no id of {repo}")))?;
        self.packages.ids.lock().unwrap_or_else(PoisonError::into_inner).insert(path, id);
        Ok(id)
    }

    /// For each address the file of this project's generic packages that it points at, if it does.
    pub(super) async fn find_files(&self, repo: &RepoPath, links: &[Url]) -> Result<Vec<Option<File>>, Failure> {
        let mut places: Vec<Option<PackageFile>> = links.iter().map(|url| self.place(url)).collect();
        let is_id = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let id = match places.iter().flatten().any(|place| is_id(&place.project)) {
            true => Some(self.project(repo).await?.to_string()),
            false => None,
        };
        let path = repo.to_string();
        for place in &mut places {
            let ours =
                |place: &PackageFile| place.project.eq_ignore_ascii_case(&path) || Some(&place.project) == id.as_ref();
            *place = place.take().filter(ours);
        }
        let wanted: BTreeSet<&Version> = places.iter().flatten().map(|place| &place.version).collect();
        let files = self.files_of(repo, wanted).await?;
        let found = |place: &PackageFile| {
            let Some(files) = &files else { return Stored::Unknown };
            match files.get(&place.version) {
                Some(files) => newest(files, &place.file).map_or(Stored::Missing, |file| Stored::There(file.clone())),
                // Ours are never hidden.
                None if place.version.0 == PACKAGE => Stored::Missing,
                None => Stored::Unknown,
            }
        };
        Ok(places.into_iter().map(|place| place.map(|place| File { found: found(&place), place })).collect())
    }

    /// The place that a URL of this API names: `…/projects/ID/packages/generic/NAME/VERSION/FILE`.
    fn place(&self, url: &Url) -> Option<PackageFile> {
        self.site.api.check_origin(url, "a link").ok()?;
        let base = self.site.api.url(&["projects"], &[]);
        let rest = url.path().strip_prefix(base.path())?.strip_prefix('/')?;
        let parts = rest.split('/').map(|part| percent_decode_str(part).decode_utf8().ok());
        let parts: Vec<String> = parts.map(|part| part.map(String::from)).collect::<Option<_>>()?;
        let [project, packages, generic, name, version, file @ ..] = parts.as_slice() else { return None };
        let fits = packages == "packages" && generic == "generic" && !file.is_empty();
        let version = (name.clone(), version.clone());
        fits.then(|| PackageFile { project: project.clone(), version, file: file.join("/") })
    }

    /// The files of packages by their name and version; `None` when packages cannot be seen at all.
    async fn files_of(
        &self,
        repo: &RepoPath,
        wanted: BTreeSet<&Version>,
    ) -> Result<Option<BTreeMap<Version, Vec<FileJson>>>, Failure> {
        let mut ids = Vec::new();
        for name in wanted.iter().map(|(name, _)| name).collect::<BTreeSet<_>>() {
            let packages = match self.packages(repo, name, None).await {
                Ok(packages) => packages,
                // Packages may be turned off, or be for members only, where releases are not.
                Err(failure) if matches!(failure.reason(), Reason::Forbidden | Reason::RemoteNotFound) => {
                    return Ok(None);
                }
                Err(failure) if failure.reason() == Reason::AuthFailed && !self.site.api.has_token() => {
                    return Ok(None);
                }
                Err(failure) => return Err(failure),
            };
            ids.extend(packages.into_iter().filter_map(|json| Some(((json.name, json.version?), json.id))));
        }
        let ids = ids.into_iter().filter(|(version, _)| wanted.contains(version));
        let files = stream::iter(
            ids.map(|(version, id)| async move { Ok::<_, Failure>((version, self.files(repo, id).await?)) }),
        );
        let all: Vec<(Version, Vec<FileJson>)> = files.buffered(AT_ONCE).try_collect().await?;
        let mut files = BTreeMap::<Version, Vec<FileJson>>::new();
        all.into_iter().for_each(|(version, more)| files.entry(version).or_default().extend(more));
        Ok(Some(files))
    }

    /// The generic packages of this name; of one version, where the server can tell them apart.
    async fn packages(&self, repo: &RepoPath, name: &str, version: Option<&str>) -> Result<Vec<PackageJson>, Failure> {
        let mut query = vec![("package_type", "generic"), ("package_name", name), ("per_page", "100")];
        query.extend(version.map(|version| ("package_version", version)));
        let first = self.url(repo, &["packages"], &query);
        let mut all = self.site.list(first, |json: &PackageJson| json.id.to_string()).await?;
        // The name is a pattern to the server.
        all.retain(|json| json.name == name && version.is_none_or(|version| json.version.as_deref() == Some(version)));
        Ok(all)
    }

    async fn files(&self, repo: &RepoPath, package: u64) -> Result<Vec<FileJson>, Failure> {
        let first = self.url(repo, &["packages", &package.to_string(), "package_files"], &[("per_page", "100")]);
        self.site.list(first, |json: &FileJson| json.id.to_string()).await
    }

    /// Puts a file into the package of its tag, unless it is there already, and links it.
    pub(super) async fn put_file(
        &self,
        repo: &RepoPath,
        release: &Release,
        file: &Upload<'_>,
    ) -> Result<Asset, Refusal> {
        let project = self.project(repo).await?.to_string();
        let (version, name) = (safe(&release.tag), safe(file.name));
        let segments = ["projects", &project, "packages", "generic", PACKAGE, &version, &name];
        let url = self.site.api.url(&segments, &[]);
        let link = Link { id: String::new(), name: file.name.to_owned(), url, kind: Some("package".to_owned()) };
        let place = PackageFile { project, version: (PACKAGE.to_owned(), version.clone()), file: name.clone() };
        let as_asset = |json: FileJson, link: LinkJson| {
            let url = link_address(&link)?;
            Ok::<_, Failure>(File { place, found: Stored::There(json) }.asset(link, url))
        };

        let turn = self.packages.turn(&format!("{repo}\n{version}"));
        let turn = turn.lock().await;
        let json = match self.left_behind(repo, &version, &name, file).await? {
            Some(json) => json,
            None => self.put_bytes(repo, &version, &name, &link.url, file).await?,
        };
        drop(turn);
        // A link of this name to somewhere else is somebody's own.
        let is_ours = |there: &LinkJson| {
            let place = Url::parse(&there.url).ok().and_then(|url| self.place(&url));
            place.is_some_and(|place| place.version.0 == PACKAGE)
        };
        let link = self.write_link(repo, &release.tag, &link, &is_ours).await?;
        let mut asset = as_asset(json, link)?;
        if asset.digest == Some(file.digest) {
            // An answer right after the upload may have a size of 0.
            asset.size = Some(file.size);
        }
        Ok(asset)
    }

    /// The file as an earlier attempt left it without a link. Others of its name in our package are in its way: GitLab
    /// would keep both, or refuse the second.
    async fn left_behind(
        &self,
        repo: &RepoPath,
        version: &str,
        name: &str,
        file: &Upload<'_>,
    ) -> Result<Option<FileJson>, Failure> {
        let mut whole = None;
        for package in self.packages(repo, PACKAGE, Some(version)).await? {
            for json in self.files(repo, package.id).await? {
                if json.file_name != name {
                    continue;
                }
                if whole.is_none() && is_same(&json, file) {
                    whole = Some(json);
                } else {
                    self.remove_file(repo, json.package_id, json.id).await?;
                }
            }
        }
        Ok(whole)
    }

    async fn put_bytes(
        &self,
        repo: &RepoPath,
        version: &str,
        name: &str,
        url: &Url,
        file: &Upload<'_>,
    ) -> Result<FileJson, Refusal> {
        let mut url = url.clone();
        // Has the answer tell of the file; old servers say "201 Created" only.
        url.query_pairs_mut().append_pair("select", "package_file");
        // The one type that the endpoint is described with; GitLab keeps none. Of another the server might read fields.
        let content_type = "application/octet-stream";
        let (also, field) = (None, None);
        let parcel = Parcel { method: Method::PUT, url, also, file: file.file, size: file.size, content_type, field };
        let answer = match self.site.files.send(&self.site.api, &parcel).await {
            Ok(answer) => answer.json::<Value>()?,
            // "Duplicate package is not allowed": it came meanwhile, or the answer before was lost.
            Err(refusal) if is_duplicate(&refusal) => Value::Null,
            Err(refusal) => return Err(refusal),
        };
        let json = match serde_json::from_value(answer) {
            Ok(json) => Some(json),
            Err(_) => self.left_behind(repo, version, name, file).await?,
        };
        Ok(json.ok_or_else(|| {
            Failure::new(
                Reason::ServerError,
                format!("GitLab took {name} and has it not in the package {PACKAGE} {version}"),
            )
        })?)
    }

    /// Deletes the file behind an asset; one that is not in our own package is somebody else's.
    pub(super) async fn delete_file(&self, repo: &RepoPath, asset: &Asset) -> Result<(), Failure> {
        let is_ours = self.place(&asset.url).is_some_and(|place| place.version.0 == PACKAGE);
        let mut ids = asset.id.split(':').skip(1).map(|id| id.parse().ok());
        match (ids.next().flatten(), ids.next().flatten()) {
            (Some(package), Some(file)) if is_ours => self.remove_file(repo, package, file).await,
            _ => Ok(()),
        }
    }

    /// Deletes those of our packages that the files of these assets were the last of.
    pub(super) async fn delete_empty(&self, repo: &RepoPath, assets: &[Asset]) -> Result<(), Failure> {
        let ours = assets.iter().filter(|asset| self.place(&asset.url).is_some_and(|place| place.version.0 == PACKAGE));
        let packages: BTreeSet<u64> =
            ours.filter_map(|asset| asset.id.split(':').nth(1).and_then(|id| id.parse().ok())).collect();
        for package in packages {
            let is_empty = match self.files(repo, package).await {
                Ok(files) => files.is_empty(),
                // With its last file a package may go by itself.
                Err(failure) if failure.reason() == Reason::RemoteNotFound => false,
                Err(failure) => return Err(failure),
            };
            if is_empty {
                self.site.remove(self.url(repo, &["packages", &package.to_string()], &[])).await?;
            }
        }
        Ok(())
    }

    async fn remove_file(&self, repo: &RepoPath, package: u64, file: u64) -> Result<(), Failure> {
        let package = package.to_string();
        self.site.remove(self.url(repo, &["packages", &package, "package_files", &file.to_string()], &[])).await
    }
}

impl Packages {
    fn turn(&self, version: &str) -> Arc<tokio::sync::Mutex<()>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).entry(version.to_owned()).or_default().clone()
    }
}

fn link_address(link: &LinkJson) -> Result<Url, Failure> {
    super::address(&link.url, &link.name)
}

/// Of several files of one name GitLab serves the newest.
fn newest<'a>(files: &'a [FileJson], name: &str) -> Option<&'a FileJson> {
    files.iter().filter(|json| json.file_name == name).max_by_key(|json| json.id)
}

fn is_same(json: &FileJson, file: &Upload<'_>) -> bool {
    match json.file_sha256.as_deref().and_then(Sha256::parse) {
        Some(digest) => digest == file.digest,
        None => json.size == Some(file.size),
    }
}

fn is_duplicate(refusal: &Refusal) -> bool {
    matches!(refusal.status, Some(StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN | StatusCode::CONFLICT))
        && (refusal.says("duplicate") || refusal.says("already been taken"))
}
