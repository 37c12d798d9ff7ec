//! Releases of GitHub.com, GitHub with data residency and GitHub Enterprise Server.
//!
//! Source of what is not said otherwise: "Releases" and "Release assets" of the REST API, version 2022-11-28.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use crate::base::failure::{Failure, Reason};
use crate::base::url::Origin;
use crate::forge::Connection;
use crate::forge::gather::time;
use crate::forge::http::{Answer, Auth, Parcel, Refusal};
use crate::forge::release::pace::Pace;
use crate::forge::release::site::{self, Forge, Site, address, notes};
use crate::forge::release::{Created, Download, ReleaseDestination, ReleaseSource, Upload};
use crate::model::RepoPath;
use crate::model::release::{Asset, Features, Link, Release, ReleaseFields, Sha256};

mod name;

/// "Each release can have up to 1000 release assets" ("About releases").
const MOST_ASSETS: usize = 1000;
/// "Each file included in a release must be under 2 GiB" ("About releases").
const LARGEST_ASSET: u64 = (2 << 30) - 1;
/// "body is too long (maximum is 125000 characters)".
const LONGEST_NOTES: usize = 125_000;
const SCOPE: &str = "the scope `repo` (classic) or the permission `Contents: write`";

/// One GitHub whose releases are read or written.
pub(in crate::forge) struct GithubReleases {
    site: Site,
    /// Where files may go to although it is not the API's origin.
    uploads: Option<Origin>,
    /// The upload addresses that the API told, by a release's id.
    upload_urls: Mutex<HashMap<String, String>>,
}

/// A release, as far as we read it.
#[derive(Serialize, Deserialize)]
struct ReleaseJson {
    id: u64,
    tag_name: String,
    name: Option<String>,
    body: Option<String>,
    #[serde(default)]
    draft: bool,
    #[serde(default)]
    prerelease: bool,
    created_at: Option<String>,
    published_at: Option<String>,
    author: Option<UserJson>,
    html_url: Option<String>,
    upload_url: String,
    assets: Vec<AssetJson>,
}

#[derive(Serialize, Deserialize)]
struct UserJson {
    login: String,
}

#[derive(Serialize, Deserialize)]
struct AssetJson {
    id: u64,
    name: String,
    label: Option<String>,
    state: Option<String>,
    size: Option<u64>,
    digest: Option<String>,
    content_type: Option<String>,
    updated_at: Option<String>,
    url: String,
}

impl GithubReleases {
    /// The releases at `connection.api_url`; nothing is sent yet.
    pub(in crate::forge) fn open(connection: &Connection) -> Result<Self, Failure> {
        let mut site = Site::open(connection, Auth::Bearer, "GitHub", SCOPE)?;
        site.pace = Pace::of_github(&connection.api_url);
        Ok(GithubReleases { site, uploads: uploads_origin(&connection.api_url), upload_urls: Mutex::default() })
    }

    /// The URL of something of a repository.
    fn url(&self, repo: &RepoPath, rest: &[&str], query: &[(&str, &str)]) -> Url {
        let namespace = repo.namespace();
        let segments: Vec<&str> = ["repos", &namespace, repo.name()].iter().chain(rest).copied().collect();
        self.site.api.url(&segments, query)
    }

    fn release(&self, json: ReleaseJson) -> Result<Release, Failure> {
        let id = json.id.to_string();
        self.upload_urls().insert(id.clone(), json.upload_url);
        Ok(Release {
            id,
            tag: json.tag_name,
            title: json.name.unwrap_or_default(),
            notes: notes(json.body),
            draft: json.draft,
            prerelease: json.prerelease,
            latest: false,
            created_at: time(json.created_at.as_deref()),
            published_at: time(json.published_at.as_deref()),
            author: json.author.map(|author| author.login),
            page: json.html_url.and_then(|page| Url::parse(&page).ok()),
            assets: json.assets.into_iter().map(asset).collect::<Result<_, _>>()?,
            links: vec![],
        })
    }

    fn upload_urls(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        self.upload_urls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the files of a release go to: the API tells, and the token goes there only when it is GitHub's.
    async fn upload_url(&self, repo: &RepoPath, release: &Release) -> Result<Url, Failure> {
        let known = self.upload_urls().get(&release.id).cloned();
        let template = match known {
            Some(known) => known,
            None => {
                let json: ReleaseJson = self.site.api.get(self.url(repo, &["releases", &release.id], &[])).await?;
                json.upload_url
            }
        };
        let url = address(template.split('{').next().unwrap_or_default(), "the uploads of a release")?;
        if self.uploads.is_none() || Origin::of(&url) != self.uploads {
            self.site.api.check_origin(&url, "the upload address")?;
        }
        Ok(url)
    }

    /// The id of the release that GitHub shows as its latest; it may be set by hand.
    async fn latest(&self, repo: &RepoPath) -> Result<Option<String>, Failure> {
        let answer = self.site.api.look(self.url(repo, &["releases", "latest"], &[])).await?;
        let latest: Option<ReleaseJson> = answer.map(|answer| answer.json()).transpose()?;
        Ok(latest.map(|latest| latest.id.to_string()))
    }

    fn read(&self, answer: &Answer) -> Result<Release, Failure> {
        self.release(answer.json()?)
    }
}

/// Where GitHub takes files: `uploads.X` beside `api.X` on its own servers, the API's origin everywhere else.
fn uploads_origin(api: &Url) -> Option<Origin> {
    let web = api.host_str()?.strip_prefix("api.")?;
    let is_githubs = web == "github.com" || web.ends_with(".ghe.com");
    (is_githubs && api.scheme() == "https").then(|| Origin::new("https", &format!("uploads.{web}"), api.port()))
}

fn asset(json: AssetJson) -> Result<Asset, Failure> {
    let label = json.label.unwrap_or_default();
    Ok(Asset {
        id: json.id.to_string(),
        url: address(&json.url, &json.name)?,
        name: if name::is_original(&label, &json.name) { label } else { json.name.clone() },
        stored_as: json.name,
        size: json.size,
        digest: json.digest.as_deref().and_then(Sha256::parse),
        content_type: json.content_type,
        updated_at: time(json.updated_at.as_deref()),
        // Others are `starter` and `open`: an upload has begun, and may never end.
        complete: json.state.is_none_or(|state| state == "uploaded"),
    })
}

/// What is written. Never `target_commitish`: the tag is there, and without it GitHub would make one.
fn body(fields: &ReleaseFields) -> Value {
    json!({
        "tag_name": fields.tag,
        "name": fields.title,
        "body": fields.notes,
        "draft": fields.draft,
        "prerelease": fields.prerelease,
        "make_latest": match fields.latest {
            // "Drafts and prereleases cannot be set as latest."
            _ if fields.draft || fields.prerelease => "false",
            Some(true) => "true",
            Some(false) => "false",
            // GitHub's own default makes it latest, whatever its date and version.
            None => "legacy",
        },
    })
}

#[async_trait]
impl ReleaseSource for GithubReleases {
    async fn releases(&self, repo: &RepoPath) -> Result<Vec<Release>, Failure> {
        let first = self.url(repo, &["releases"], &[("per_page", "100")]);
        let all = self.site.list(first, |json: &ReleaseJson| json.id.to_string()).await?;
        let mut all = all.into_iter().map(|json| self.release(json)).collect::<Result<Vec<_>, _>>()?;
        if all.iter().any(|release| !release.draft && !release.prerelease) {
            let latest = self.latest(repo).await?;
            all.iter_mut().for_each(|release| release.latest = Some(&release.id) == latest.as_ref());
        }
        Ok(all)
    }

    async fn download(&self, asset: &Asset, offset: u64, etag: Option<&str>) -> Result<Download, Failure> {
        self.site.fetch(asset, offset, etag).await
    }
}

#[async_trait]
impl Forge for GithubReleases {
    fn site(&self) -> &Site {
        &self.site
    }

    async fn make(&self, repo: &RepoPath, fields: &ReleaseFields) -> Result<Release, Refusal> {
        let url = self.url(repo, &["releases"], &[]);
        let answer = self.site.change(Method::POST, url, Some(&body(fields))).await?;
        Ok(self.read(&answer)?)
    }

    async fn send(&self, repo: &RepoPath, release: &Release, file: &Upload<'_>) -> Result<Asset, Refusal> {
        let mut url = self.upload_url(repo, release).await?;
        // A server with another rule for names still has the label.
        let stored = name::stored(file.name);
        url.query_pairs_mut().clear().append_pair("name", &stored).append_pair("label", file.name);
        let parcel = Parcel {
            method: Method::POST,
            url,
            also: self.uploads.clone(),
            file: file.file,
            size: file.size,
            content_type: file.content_type.unwrap_or("application/octet-stream"),
            field: None,
        };
        self.site.pace.turn().await;
        let answer = self.site.files.send(&self.site.api, &parcel).await?;
        Ok(asset(answer.json()?)?)
    }

    async fn assets(&self, repo: &RepoPath, release: &Release) -> Result<Vec<Asset>, Failure> {
        let first = self.url(repo, &["releases", &release.id, "assets"], &[("per_page", "100")]);
        let all = self.site.list(first, |json: &AssetJson| json.id.to_string()).await?;
        all.into_iter().map(asset).collect()
    }

    fn is_taken(&self, refusal: &Refusal) -> bool {
        refusal.status == Some(StatusCode::UNPROCESSABLE_ENTITY) && refusal.says("already_exists")
    }
}

#[async_trait]
impl ReleaseDestination for GithubReleases {
    fn features(&self) -> Features {
        Features {
            drafts: true,
            prereleases: true,
            latest: true,
            links: false,
            // 422 "size must be greater than or equal to 1" (GitHub, "Upload a release asset").
            empty_assets: false,
            most_assets: Some(MOST_ASSETS),
            largest_asset: Some(LARGEST_ASSET),
            longest_notes: Some(LONGEST_NOTES),
        }
    }

    fn stored_name(&self, name: &str) -> String {
        name::stored(name)
    }

    async fn has_tag(&self, repo: &RepoPath, tag: &str) -> Result<bool, Failure> {
        let segments: Vec<&str> = ["git", "ref", "tags"].into_iter().chain(tag.split('/')).collect();
        let Some(answer) = self.site.api.look(self.url(repo, &segments, &[])).await? else { return Ok(false) };
        let found: Value = answer.json()?;
        match found["ref"].as_str() {
            Some(name) => Ok(name.strip_prefix("refs/tags/") == Some(tag)),
            None => {
                Err(Failure::new(Reason::ServerError, format!("GitHub's answer about a tag of {repo} names no ref")))
            }
        }
    }

    async fn create(&self, repo: &RepoPath, fields: &ReleaseFields) -> Result<Created, Failure> {
        site::create(self, repo, fields).await
    }

    async fn edit(&self, repo: &RepoPath, id: &str, fields: &ReleaseFields) -> Result<Release, Failure> {
        let url = self.url(repo, &["releases", id], &[]);
        let answer = self.site.change(Method::PATCH, url, Some(&body(fields))).await;
        self.read(&answer.map_err(|refusal| self.site.refused(refusal))?)
    }

    async fn delete(&self, repo: &RepoPath, release: &Release) -> Result<(), Failure> {
        self.site.remove(self.url(repo, &["releases", &release.id], &[])).await
    }

    async fn upload(&self, repo: &RepoPath, release: &Release, file: &Upload<'_>) -> Result<Asset, Failure> {
        site::upload(self, repo, release, file).await
    }

    async fn delete_asset(&self, repo: &RepoPath, _: &Release, asset: &Asset) -> Result<(), Failure> {
        self.site.remove(self.url(repo, &["releases", "assets", &asset.id], &[])).await
    }

    async fn put_link(&self, _: &RepoPath, _: &Release, _: &Link) -> Result<(), Failure> {
        Err(self.site.unsupported("links on releases"))
    }

    async fn delete_link(&self, _: &RepoPath, _: &Release, _: &Link) -> Result<(), Failure> {
        Err(self.site.unsupported("links on releases"))
    }
}

#[cfg(test)]
mod tests;
