//! Releases of Gitea, Forgejo and Codeberg.

use async_trait::async_trait;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use url::Url;

use crate::base::failure::{Failure, Reason};
use crate::forge::Connection;
use crate::forge::gather::time;
use crate::forge::gitea::repo::RepoJson;
use crate::forge::http::{Answer, Auth, Parcel, Refusal};
use crate::forge::release::site::{self, Forge, Site, address, notes};
use crate::forge::release::{Created, Download, ReleaseDestination, ReleaseSource, Upload};
use crate::model::RepoPath;
use crate::model::release::{Asset, Features, Link, Release, ReleaseFields};

const SCOPE: &str = "the scope `write:repository`";

/// One Gitea whose releases are read or written.
pub(in crate::forge) struct GiteaReleases {
    site: Site,
    /// Whether the server keeps files without a byte as they are; asked when the first one is sent.
    keeps_empty: OnceCell<bool>,
}

/// A release, as far as we read it (`Release` of the server's own API description).
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
    assets: Vec<AttachmentJson>,
}

#[derive(Deserialize)]
struct VersionJson {
    version: String,
}

#[derive(Serialize, Deserialize)]
struct UserJson {
    login: String,
}

#[derive(Serialize, Deserialize)]
struct AttachmentJson {
    id: u64,
    name: String,
    size: Option<u64>,
    created_at: Option<String>,
    browser_download_url: String,
    /// Forgejo 8 and later: `external` is a link.
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl AttachmentJson {
    fn is_link(&self) -> bool {
        self.kind.as_deref() == Some("external")
    }
}

impl GiteaReleases {
    /// The releases at `connection.api_url`; nothing is sent yet.
    pub(in crate::forge) fn open(connection: &Connection) -> Result<Self, Failure> {
        Ok(GiteaReleases { site: Site::open(connection, Auth::Token, "Gitea", SCOPE)?, keeps_empty: OnceCell::new() })
    }

    /// The URL of something of a repository.
    fn url(&self, repo: &RepoPath, rest: &[&str], query: &[(&str, &str)]) -> Url {
        let namespace = repo.namespace();
        let segments: Vec<&str> = ["repos", &namespace, repo.name()].iter().chain(rest).copied().collect();
        self.site.api.url(&segments, query)
    }

    /// Before 1.17 a buffer of 1,024 zero bytes is kept in place of an empty file: its first bytes are read to tell what
    /// kind of file it is, and where there are none the buffer keeps its length.
    async fn keeps_empty(&self) -> Result<bool, Failure> {
        let ask = || async {
            let json: VersionJson = self.site.api.get(self.site.api.url(&["version"], &[])).await?;
            Ok(version(&json.version).is_none_or(|version| version >= (1, 17)))
        };
        self.keeps_empty.get_or_try_init(ask).await.copied()
    }

    fn read(answer: &Answer) -> Result<Release, Failure> {
        release(answer.json()?)
    }
}

/// `1.15.4`, `1.21.0+dev-5-g1234`, Forgejo's `7.0.1+gitea-1.22.0`: the first two numbers.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim_start_matches('v').split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn release(json: ReleaseJson) -> Result<Release, Failure> {
    let (links, assets): (Vec<_>, Vec<_>) = json.assets.into_iter().partition(AttachmentJson::is_link);
    Ok(Release {
        id: json.id.to_string(),
        tag: json.tag_name,
        title: json.name.unwrap_or_default(),
        notes: notes(json.body),
        draft: json.draft,
        prerelease: json.prerelease,
        latest: false,
        created_at: time(json.created_at.as_deref()),
        // A draft has the time of its making there.
        published_at: time(json.published_at.as_deref()).filter(|_| !json.draft),
        author: json.author.map(|author| author.login),
        page: json.html_url.and_then(|page| Url::parse(&page).ok()),
        assets: assets.into_iter().map(asset).collect::<Result<_, _>>()?,
        links: links.into_iter().map(link).collect::<Result<_, _>>()?,
    })
}

fn asset(json: AttachmentJson) -> Result<Asset, Failure> {
    Ok(Asset {
        id: json.id.to_string(),
        url: address(&json.browser_download_url, &json.name)?,
        stored_as: json.name.clone(),
        name: json.name,
        size: json.size,
        digest: None,
        content_type: None,
        updated_at: time(json.created_at.as_deref()),
        // An upload that breaks off leaves nothing: the row is written after the file.
        complete: true,
    })
}

fn link(json: AttachmentJson) -> Result<Link, Failure> {
    let url = address(&json.browser_download_url, &json.name)?;
    Ok(Link { id: json.id.to_string(), name: json.name, url, kind: None })
}

/// What is written. An edit leaves a title alone when it gets an empty one, so the tag, which the pages show in its place
/// anyway, is written instead.
fn body(fields: &ReleaseFields) -> Value {
    json!({
        "name": if fields.title.is_empty() { &fields.tag } else { &fields.title },
        "body": fields.notes,
        "draft": fields.draft,
        "prerelease": fields.prerelease,
    })
}

#[async_trait]
impl ReleaseSource for GiteaReleases {
    async fn releases(&self, repo: &RepoPath) -> Result<Vec<Release>, Failure> {
        // The most that a server gives by default (`api.MAX_RESPONSE_ITEMS`).
        let first = self.url(repo, &["releases"], &[("limit", "50")]);
        let all = self.site.list(first, |json: &ReleaseJson| json.id.to_string()).await?;
        let mut all = all.into_iter().map(release).collect::<Result<Vec<_>, _>>()?;
        // "the most recent non-prerelease, non-draft release of a repository, sorted by created_at", as the listing is.
        if let Some(latest) = all.iter_mut().find(|release| !release.draft && !release.prerelease) {
            latest.latest = true;
        }
        Ok(all)
    }

    async fn are_off(&self, repo: &RepoPath) -> bool {
        let json = self.site.api.get::<RepoJson>(self.url(repo, &[], &[])).await;
        json.is_ok_and(|json| json.has_releases == Some(false))
    }

    async fn download(&self, asset: &Asset, offset: u64, etag: Option<&str>) -> Result<Download, Failure> {
        self.site.fetch(asset, offset, etag).await
    }
}

#[async_trait]
impl Forge for GiteaReleases {
    fn site(&self) -> &Site {
        &self.site
    }

    async fn make(&self, repo: &RepoPath, fields: &ReleaseFields) -> Result<Release, Refusal> {
        let mut body = body(fields);
        body["tag_name"] = json!(fields.tag);
        let url = self.url(repo, &["releases"], &[]);
        let answer = self.site.change(Method::POST, url, Some(&body)).await?;
        Ok(GiteaReleases::read(&answer)?)
    }

    async fn send(&self, repo: &RepoPath, release: &Release, file: &Upload<'_>) -> Result<Asset, Refusal> {
        if file.size == 0 && !self.keeps_empty().await? {
            let message = "this Gitea makes 1,024 zero bytes of a file without a byte: it was not sent";
            let hint = "update the destination to GiteaReleases 1.17 or later, or leave the file out.";
            return Err(Failure::new(Reason::PushRejected, message).with_hint(hint).into());
        }
        let parcel = Parcel {
            method: Method::POST,
            url: self.url(repo, &["releases", &release.id, "assets"], &[("name", file.name)]),
            also: None,
            file: file.file,
            size: file.size,
            content_type: "",
            field: Some("attachment"),
        };
        let answer = self.site.files.send(&self.site.api, &parcel).await?;
        Ok(asset(answer.json()?)?)
    }

    async fn assets(&self, repo: &RepoPath, release: &Release) -> Result<Vec<Asset>, Failure> {
        let url = self.url(repo, &["releases", &release.id, "assets"], &[]);
        let all: Vec<AttachmentJson> = self.site.api.get(url).await?;
        all.into_iter().filter(|json| !json.is_link()).map(asset).collect()
    }

    fn is_taken(&self, refusal: &Refusal) -> bool {
        // "Release is has no Tag" (1.21), "Release already exists": the status is used for nothing else here.
        refusal.status == Some(StatusCode::CONFLICT)
    }

    /// A push fills a repository in git at once, and in the database when a queue comes to it. Until then a release is
    /// answered with 500 and a page for people.
    async fn counts_as_empty(&self, repo: &RepoPath, refusal: &Refusal) -> Result<bool, Failure> {
        if refusal.status != Some(StatusCode::INTERNAL_SERVER_ERROR) {
            return Ok(false);
        }
        match self.site.api.get::<RepoJson>(self.url(repo, &[], &[])).await {
            Ok(json) => Ok(json.empty),
            Err(failure) if failure.reason() == Reason::Cancelled => Err(failure),
            Err(failure) => {
                tracing::debug!("whether {repo} counts as empty cannot be told: {failure}");
                Ok(false)
            }
        }
    }
}

#[async_trait]
impl ReleaseDestination for GiteaReleases {
    /// Limits are each server's own (`[attachment]`, `[repository.release]`), and not told by the API.
    fn features(&self) -> Features {
        Features {
            drafts: true,
            prereleases: true,
            latest: false,
            links: false,
            empty_assets: true,
            most_assets: None,
            largest_asset: None,
            longest_notes: None,
        }
    }

    /// Kept as they are, and equal ones twice.
    fn stored_name(&self, name: &str) -> String {
        name.to_owned()
    }

    async fn has_tag(&self, repo: &RepoPath, tag: &str) -> Result<bool, Failure> {
        let segments: Vec<&str> = ["tags"].into_iter().chain(tag.split('/')).collect();
        let Some(answer) = self.site.api.look(self.url(repo, &segments, &[])).await? else { return Ok(false) };
        let found: Value = answer.json()?;
        match found["name"].as_str() {
            Some(name) => Ok(name == tag),
            None => Err(Failure::new(Reason::ServerError, format!("the answer about a tag of {repo} names no tag"))),
        }
    }

    async fn create(&self, repo: &RepoPath, fields: &ReleaseFields) -> Result<Created, Failure> {
        site::create(self, repo, fields).await
    }

    async fn edit(&self, repo: &RepoPath, id: &str, fields: &ReleaseFields) -> Result<Release, Failure> {
        let url = self.url(repo, &["releases", id], &[]);
        let answer = self.site.change(Method::PATCH, url, Some(&body(fields))).await;
        GiteaReleases::read(&answer.map_err(|refusal| self.site.refused(refusal))?)
    }

    async fn delete(&self, repo: &RepoPath, release: &Release) -> Result<(), Failure> {
        self.site.remove(self.url(repo, &["releases", &release.id], &[])).await
    }

    async fn upload(&self, repo: &RepoPath, release: &Release, file: &Upload<'_>) -> Result<Asset, Failure> {
        site::upload(self, repo, release, file).await
    }

    async fn delete_asset(&self, repo: &RepoPath, release: &Release, asset: &Asset) -> Result<(), Failure> {
        self.site.remove(self.url(repo, &["releases", &release.id, "assets", &asset.id], &[])).await
    }

    async fn put_link(&self, _: &RepoPath, _: &Release, _: &Link) -> Result<(), Failure> {
        Err(self.site.unsupported("links on releases"))
    }

    async fn delete_link(&self, repo: &RepoPath, release: &Release, link: &Link) -> Result<(), Failure> {
        self.site.remove(self.url(repo, &["releases", &release.id, "assets", &link.id], &[])).await
    }
}

#[cfg(test)]
mod tests;
