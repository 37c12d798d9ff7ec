//! Releases of GitLab.com and GitLabs of one's own.
//!
//! A GitLab release has no files, only links. A file is put into the project's generic packages, and a link of kind
//! `package` with the file's own name points at it; what is read is sorted the same way: links into the project's own
//! generic packages are assets, with size and digest from there, and all others are links.
//!
//! Source of what is not said otherwise: "Releases API", "Release links API", "Packages API".

use async_trait::async_trait;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use crate::base::failure::{Failure, Reason};
use crate::forge::Connection;
use crate::forge::gather::time;
use crate::forge::http::{Auth, Refusal};
use crate::forge::release::site::{self, Forge, Site, address, notes};
use crate::forge::release::{Created, Download, ReleaseDestination, ReleaseSource, Upload};
use crate::model::RepoPath;
use crate::model::release::{Asset, Features, Link, Release, ReleaseFields};

mod links;
mod name;
mod packages;

use name::safe;
use packages::Packages;

/// `validates :description, length: { maximum: Gitlab::Database::MAX_TEXT_SIZE_LIMIT }` of a release.
const LONGEST_NOTES: usize = 1_000_000;
/// "Maximum file size 5 GB" of a generic package on GitLab.com ("GitLab.com settings"); elsewhere it is the operator's.
const LARGEST_ON_GITLAB_COM: u64 = 5 << 30;
const SCOPE: &str = "the scope `api` and at least the role Developer";

/// One GitLab whose releases are read or written.
pub(in crate::forge) struct GitlabReleases {
    site: Site,
    packages: Packages,
    on_gitlab_com: bool,
}

/// A release, as far as we read it.
#[derive(Serialize, Deserialize)]
struct ReleaseJson {
    tag_name: String,
    name: Option<String>,
    description: Option<String>,
    created_at: Option<String>,
    released_at: Option<String>,
    #[serde(default)]
    upcoming_release: bool,
    author: Option<UserJson>,
    assets: Option<AssetsJson>,
    #[serde(rename = "_links")]
    addresses: Option<AddressesJson>,
}

/// A project, as far as releases depend on it.
#[derive(Deserialize)]
struct ProjectJson {
    releases_access_level: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct UserJson {
    username: String,
}

#[derive(Serialize, Deserialize)]
struct AssetsJson {
    #[serde(default)]
    links: Vec<LinkJson>,
}

#[derive(Serialize, Deserialize)]
struct AddressesJson {
    #[serde(rename = "self")]
    page: Option<String>,
}

/// A link of a release.
#[derive(Serialize, Deserialize, Clone)]
struct LinkJson {
    id: u64,
    name: String,
    url: String,
    link_type: Option<String>,
}

impl GitlabReleases {
    /// The releases at `connection.api_url`; nothing is sent yet.
    pub(in crate::forge) fn open(connection: &Connection) -> Result<Self, Failure> {
        Ok(GitlabReleases {
            site: Site::open(connection, Auth::PrivateToken, "GitLab", SCOPE)?,
            packages: Packages::default(),
            on_gitlab_com: connection.api_url.host_str() == Some("gitlab.com"),
        })
    }

    /// The URL of something of a project; its path, and a tag, are one segment each.
    fn url(&self, repo: &RepoPath, rest: &[&str], query: &[(&str, &str)]) -> Url {
        let path = repo.to_string();
        let segments: Vec<&str> = ["projects", &path].iter().chain(rest).copied().collect();
        self.site.api.url(&segments, query)
    }

    /// Makes releases of what the API sent, with their files looked up.
    async fn sorted(&self, repo: &RepoPath, all: Vec<ReleaseJson>) -> Result<Vec<Release>, Failure> {
        let mut links = Vec::new();
        for json in &all {
            for link in json.assets.iter().flat_map(|assets| &assets.links) {
                links.push(address(&link.url, &link.name)?);
            }
        }
        let found = self.find_files(repo, &links).await?;
        let mut found = links.into_iter().zip(found);
        let mut releases = Vec::new();
        for json in all {
            let (mut assets, mut links) = (Vec::new(), Vec::new());
            // As many as were looked up, in the same order.
            let of_this = json.assets.map(|assets| assets.links).unwrap_or_default();
            for (link, (url, file)) in of_this.into_iter().zip(&mut found) {
                match file {
                    Some(file) => assets.push(file.asset(link, url)),
                    None => links.push(links::link(link, url)),
                }
            }
            // GitLab shows the newest link first (app/models/releases/link.rs, scope `sorted`).
            assets.reverse();
            links.reverse();
            releases.push(Release {
                id: json.tag_name.clone(),
                title: json.name.unwrap_or_default(),
                notes: notes(json.description),
                draft: false,
                prerelease: false,
                latest: false,
                created_at: time(json.created_at.as_deref()),
                published_at: time(json.released_at.as_deref()),
                author: json.author.map(|author| author.username),
                page: json.addresses.and_then(|addresses| Url::parse(&addresses.page?).ok()),
                tag: json.tag_name,
                assets,
                links,
            });
        }
        Ok(releases)
    }

    async fn one(&self, repo: &RepoPath, json: ReleaseJson) -> Result<Release, Failure> {
        let tag = json.tag_name.clone();
        let one = self.sorted(repo, vec![json]).await?.pop();
        one.ok_or_else(|| Failure::new(Reason::ServerError, format!("nothing is known of the release {tag}")))
    }

    /// What is written. An empty title would be shown as the tag; it is written so, because an empty one is not kept.
    fn body(&self, fields: &ReleaseFields) -> Result<Value, Failure> {
        // What is a draft elsewhere must not be published here.
        if fields.draft {
            return Err(self.site.unsupported("draft releases"));
        }
        let mut body = json!({
            "name": if fields.title.is_empty() { &fields.tag } else { &fields.title },
            "description": fields.notes,
        });
        if let Some(time) = fields.published_at {
            body["released_at"] = json!(time.to_string());
        }
        Ok(body)
    }
}

#[async_trait]
impl ReleaseSource for GitlabReleases {
    async fn releases(&self, repo: &RepoPath) -> Result<Vec<Release>, Failure> {
        let first = self.url(repo, &["releases"], &[("per_page", "100")]);
        let all = self.site.list(first, |json: &ReleaseJson| json.tag_name.clone()).await?;
        // `releases/permalink/latest` is the first that is not to come, in the order of the listing (`released_at`).
        let latest = all.iter().position(|json| !json.upcoming_release);
        let mut all = self.sorted(repo, all).await?;
        if let Some(latest) = latest.and_then(|index| all.get_mut(index)) {
            latest.latest = true;
        }
        Ok(all)
    }

    async fn are_off(&self, repo: &RepoPath) -> bool {
        let json = self.site.api.get::<ProjectJson>(self.url(repo, &[], &[])).await;
        json.is_ok_and(|json| json.releases_access_level.as_deref() == Some("disabled"))
    }

    async fn download(&self, asset: &Asset, offset: u64, etag: Option<&str>) -> Result<Download, Failure> {
        self.site.fetch(asset, offset, etag).await
    }
}

#[async_trait]
impl Forge for GitlabReleases {
    fn site(&self) -> &Site {
        &self.site
    }

    async fn make(&self, repo: &RepoPath, fields: &ReleaseFields) -> Result<Release, Refusal> {
        let mut body = self.body(fields)?;
        // Without `ref` GitLab makes no tag.
        body["tag_name"] = json!(fields.tag);
        let url = self.url(repo, &["releases"], &[]);
        let answer = self.site.change(Method::POST, url, Some(&body)).await?;
        Ok(self.one(repo, answer.json()?).await?)
    }

    async fn send(&self, repo: &RepoPath, release: &Release, file: &Upload<'_>) -> Result<Asset, Refusal> {
        self.put_file(repo, release, file).await
    }

    async fn assets(&self, repo: &RepoPath, release: &Release) -> Result<Vec<Asset>, Failure> {
        let answer = self.site.api.get(self.url(repo, &["releases", &release.tag], &[])).await?;
        Ok(self.one(repo, answer).await?.assets)
    }

    fn is_taken(&self, refusal: &Refusal) -> bool {
        refusal.status == Some(StatusCode::CONFLICT)
    }
}

#[async_trait]
impl ReleaseDestination for GitlabReleases {
    fn features(&self) -> Features {
        Features {
            drafts: false,
            prereleases: false,
            latest: false,
            links: true,
            empty_assets: true,
            most_assets: None,
            largest_asset: self.on_gitlab_com.then_some(LARGEST_ON_GITLAB_COM),
            longest_notes: Some(LONGEST_NOTES),
        }
    }

    fn stored_name(&self, name: &str) -> String {
        safe(name)
    }

    async fn has_tag(&self, repo: &RepoPath, tag: &str) -> Result<bool, Failure> {
        let Some(answer) = self.site.api.look(self.url(repo, &["repository", "tags", tag], &[])).await? else {
            return Ok(false);
        };
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
        let answer = self.site.change(Method::PUT, url, Some(&self.body(fields)?)).await;
        self.one(repo, answer.map_err(|refusal| self.site.refused(refusal))?.json()?).await
    }

    /// Files first: a release that is still there after a break is deleted by the next run, and leaves no orphans.
    async fn delete(&self, repo: &RepoPath, release: &Release) -> Result<(), Failure> {
        for asset in &release.assets {
            self.delete_file(repo, asset).await?;
        }
        self.delete_empty(repo, &release.assets).await?;
        self.site.remove(self.url(repo, &["releases", &release.tag], &[])).await
    }

    async fn upload(&self, repo: &RepoPath, release: &Release, file: &Upload<'_>) -> Result<Asset, Failure> {
        site::upload(self, repo, release, file).await
    }

    async fn delete_asset(&self, repo: &RepoPath, release: &Release, asset: &Asset) -> Result<(), Failure> {
        let link = asset.id.split(':').next().unwrap_or_default();
        if !link.is_empty() {
            self.site.remove(self.url(repo, &["releases", &release.tag, "assets", "links", link], &[])).await?;
        }
        self.delete_file(repo, asset).await
    }

    async fn put_link(&self, repo: &RepoPath, release: &Release, link: &Link) -> Result<(), Failure> {
        let same_name = |there: &LinkJson| there.name == link.name;
        let written = self.write_link(repo, &release.tag, link, &same_name).await;
        written.map(|_| ()).map_err(|refusal| self.site.refused(refusal))
    }

    async fn delete_link(&self, repo: &RepoPath, release: &Release, link: &Link) -> Result<(), Failure> {
        self.site.remove(self.url(repo, &["releases", &release.tag, "assets", "links", &link.id], &[])).await
    }
}

#[cfg(test)]
mod tests;
