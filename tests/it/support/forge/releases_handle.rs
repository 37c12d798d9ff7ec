//! Releases as a test makes them, changes them by hand, and reads them back.

use std::fs;
use std::io::{Seek, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;

use super::dialect::Dialect;
use super::log::{Kind, Request};
use super::model::time;
use super::releases::{self, Asset, Blob, Link, Release, github_name, moment};
use super::{Forge, Place};
use crate::support::Repo;

/// A release as a person would find it, the same whatever API it was made through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseSeen {
    pub tag: String,
    pub title: String,
    pub notes: String,
    pub draft: bool,
    pub prerelease: bool,
    pub latest: bool,
    /// In the order in which they came. A file in a GitLab package counts when a link of the release leads to it.
    pub assets: Vec<AssetSeen>,
    /// Name and URL of what lies elsewhere, in the order in which they came.
    pub links: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetSeen {
    /// As people gave it: GitHub's label, the name of GitLab's link.
    pub name: String,
    /// As the forge keeps it.
    pub stored: String,
    pub size: u64,
    /// In hex.
    pub sha256: String,
    /// `false` for the stub of an upload that broke off.
    pub complete: bool,
}

/// One release of a repository on a forge, to be filled; every method does its work at once and returns the handle:
///
/// ```ignore
/// repo.release("v1").title("One").notes("First.").asset("a.zip", b"…").asset_of_size("big", 1 << 30).link("docs", url);
/// repo.edit_release("v1", |release| release.notes("Better."));
/// ```
#[derive(Clone)]
pub struct ReleaseHandle {
    repo: Repo,
    id: u64,
}

/// Methods for a repository's releases.
impl Repo {
    /// Makes a published release without anything, by alice. A tag that is missing is made on the default branch.
    pub fn release(&self, tag: &str) -> ReleaseHandle {
        if !self.refs().contains_key(&format!("refs/tags/{tag}")) {
            self.tag(tag);
        }
        self.add_release(tag, false)
    }

    /// Makes a draft; a tag is not made.
    pub fn draft_release(&self, tag: &str) -> ReleaseHandle {
        self.add_release(tag, true)
    }

    fn add_release(&self, tag: &str, draft: bool) -> ReleaseHandle {
        let Place { forge, id } = self.place();
        let mut model = forge.model();
        let (release, now) = (model.next_id(), model.tick());
        let record = model.record_mut(*id).expect("this repository was removed from its forge");
        record.releases.list.push(Release {
            id: release,
            tag: tag.to_owned(),
            target: String::new(),
            title: String::new(),
            notes: String::new(),
            draft,
            prerelease: false,
            created: now,
            updated: now,
            published: (!draft).then(|| time(now)),
            author: super::model::DEFAULT_USER.to_owned(),
            assets: Vec::new(),
            links: Vec::new(),
        });
        ReleaseHandle { repo: self.clone(), id: release }
    }

    /// Changes a release by hand, as a person would.
    ///
    /// # Panics
    /// When there is none of this tag.
    pub fn edit_release(&self, tag: &str, edit: impl FnOnce(ReleaseHandle) -> ReleaseHandle) -> Self {
        let id = self.look(|record| record.releases.of_tag(tag).map(|release| release.id));
        let id = id.unwrap_or_else(|| panic!("no release {tag}"));
        edit(ReleaseHandle { repo: self.clone(), id });
        self.clone()
    }

    /// Deletes a release with its assets by hand; the tag stays.
    pub fn remove_release(&self, tag: &str) -> Self {
        self.change(|record| record.releases.list.retain(|release| release.tag != tag))
    }

    /// All releases, oldest first.
    pub fn releases(&self) -> Vec<ReleaseSeen> {
        let base = self.place().forge.base.clone();
        self.look(|record| {
            let shelf = releases::open(record, &base, Dialect::Gitea);
            let latest = shelf.latest().map(|release| release.id);
            shelf.list.iter().map(|release| seen(release, Some(release.id) == latest)).collect()
        })
    }

    /// The release of a tag.
    ///
    /// # Panics
    /// When there is none.
    pub fn seen_release(&self, tag: &str) -> ReleaseSeen {
        let found = self.releases().into_iter().find(|release| release.tag == tag);
        found.unwrap_or_else(|| panic!("no release {tag}, but {:?}", self.releases()))
    }

    /// The forge's ids of a release (first) and its assets: what is made anew has others.
    pub fn release_ids(&self, tag: &str) -> Vec<u64> {
        let base = self.place().forge.base.clone();
        self.look(|record| {
            let shelf = releases::open(record, &base, Dialect::Gitea);
            let release = shelf.of_tag(tag);
            let ids = |release: &Release| release.assets.iter().map(|asset| asset.id).collect::<Vec<_>>();
            release.map(|release| [vec![release.id], ids(release)].concat()).unwrap_or_default()
        })
    }

    /// The bytes of an asset.
    pub fn asset_bytes(&self, tag: &str, name: &str) -> Vec<u8> {
        let base = self.place().forge.base.clone();
        self.look(|record| {
            let shelf = releases::open(record, &base, Dialect::Gitea);
            let release = shelf.of_tag(tag).unwrap_or_else(|| panic!("no release {tag}"));
            let asset = release.assets.iter().rev().find(|asset| asset.name == name);
            let asset = asset.unwrap_or_else(|| panic!("no asset {name} in {:?}", seen(release, false)));
            fs::read(&asset.blob.file).expect("our own file")
        })
    }

    /// The files in GitLab's generic packages: package, version, name.
    pub fn package_files(&self) -> Vec<(String, String, String)> {
        self.look(|record| {
            let files = record.releases.files.iter();
            files.map(|file| (file.name.clone(), file.version.clone(), file.file.clone())).collect()
        })
    }
}

impl ReleaseHandle {
    fn change(&self, change: impl FnOnce(&mut Release)) -> Self {
        let Place { forge, id } = self.repo.place();
        let mut model = forge.model();
        let now = model.tick();
        let base = forge.base.clone();
        let record = model.record_mut(*id).expect("this repository was removed from its forge");
        // The others stay in the form that they have: their files keep their ids.
        let opened = releases::open(record, &base, Dialect::Gitea).get(self.id).cloned();
        let release = record.releases.get_mut(self.id).expect("this release was removed");
        release.clone_from(&opened.expect("it is there in every form"));
        release.updated = now;
        change(release);
        drop(model);
        self.clone()
    }

    pub fn title(&self, title: &str) -> Self {
        self.change(|release| release.title = title.to_owned())
    }

    /// Its Markdown.
    pub fn notes(&self, notes: &str) -> Self {
        self.change(|release| release.notes = notes.to_owned())
    }

    pub fn prerelease(&self) -> Self {
        self.change(|release| release.prerelease = true)
    }

    /// No longer a prerelease.
    pub fn stable(&self) -> Self {
        self.change(|release| release.prerelease = false)
    }

    /// No longer shown to the public.
    pub fn draft(&self) -> Self {
        self.change(|release| release.draft = true)
    }

    /// No longer a draft.
    pub fn published(&self) -> Self {
        self.change(|release| {
            release.draft = false;
            release.published.get_or_insert_with(|| time(release.created));
        })
    }

    /// Published at this moment: `"2024-05-01T00:00:00Z"`.
    pub fn published_at(&self, at: &str) -> Self {
        let at = moment(at).expect("a moment");
        self.change(|release| release.published = Some(at))
    }

    /// Made the latest, whatever its age.
    pub fn latest(&self) -> Self {
        let id = self.id;
        self.repo.change(|record| record.releases.chosen = Some(id));
        self.clone()
    }

    /// Adds an asset.
    pub fn asset(&self, name: &str, bytes: &[u8]) -> Self {
        let file = self.repo.place().forge.new_file();
        fs::write(&file, bytes).expect("our own directory");
        self.add_asset(name, Blob::new(file, bytes.len() as u64))
    }

    /// Adds an asset of so many bytes, which take no room on most disks; no two MiB of it are alike.
    pub fn asset_of_size(&self, name: &str, size: u64) -> Self {
        let file = self.repo.place().forge.new_file();
        write_sparse(&file, size);
        self.add_asset(name, Blob::new(file, size))
    }

    fn add_asset(&self, name: &str, blob: Arc<Blob>) -> Self {
        let (id, now) = self.numbers();
        let (name, stored) = (name.to_owned(), github_name(name));
        let content_type = "application/octet-stream".to_owned();
        let asset = Asset { id, name, stored, content_type, blob, created: now, complete: true };
        self.change(|release| release.assets.push(asset))
    }

    /// The media type of the asset that was added last; only GitHub tells it.
    pub fn content_type(&self, kind: &str) -> Self {
        self.change(|release| {
            if let Some(asset) = release.assets.last_mut() {
                asset.content_type = kind.to_owned();
            }
        })
    }

    /// Adds the stub of an upload that broke off, as GitHub keeps it.
    pub fn starter(&self, name: &str) -> Self {
        self.asset(name, b"").change(|release| {
            if let Some(asset) = release.assets.last_mut() {
                asset.complete = false;
            }
        })
    }

    /// Puts other bytes in the place of an asset: a new one in the same position.
    pub fn replace_asset(&self, name: &str, bytes: &[u8]) -> Self {
        self.asset(name, bytes).change(|release| {
            let asset = release.assets.pop().expect("just added");
            let place = release.assets.iter().position(|known| known.name == name);
            release.assets[place.unwrap_or_else(|| panic!("no asset {name}"))] = asset;
        })
    }

    /// Renames an asset; its id and bytes stay.
    pub fn rename_asset(&self, old: &str, new: &str) -> Self {
        self.change(|release| {
            let asset = release.assets.iter_mut().find(|asset| asset.name == old);
            let asset = asset.unwrap_or_else(|| panic!("no asset {old}"));
            (asset.name, asset.stored) = (new.to_owned(), github_name(new));
        })
    }

    /// Removes all assets of this name.
    pub fn remove_asset(&self, name: &str) -> Self {
        self.change(|release| release.assets.retain(|asset| asset.name != name))
    }

    /// Adds a link to a file elsewhere; only GitLab shows it.
    pub fn link(&self, name: &str, url: &str) -> Self {
        let (id, _) = self.numbers();
        let (name, url) = (name.to_owned(), url.to_owned());
        let link = Link { id, name, url, kind: "other".to_owned(), path: None };
        self.change(|release| release.links.push(link))
    }

    /// Removes the link of this name.
    pub fn remove_link(&self, name: &str) -> Self {
        self.change(|release| release.links.retain(|link| link.name != name))
    }

    /// The repository, to go on with.
    pub fn repo(&self) -> Repo {
        self.repo.clone()
    }

    fn numbers(&self) -> (u64, u64) {
        let mut model = self.repo.place().forge.model();
        (model.next_id(), model.tick())
    }
}

/// Methods for a forge with releases.
impl Forge {
    /// `http://host:port` of the second host, where the bytes of assets lie.
    pub fn storage_url(&self) -> String {
        self.shared.model().storage.clone()
    }

    /// The most releases in one page.
    pub fn release_page_cap(&self, most: usize) {
        self.shared.model().terms.release_page = Some(most);
    }

    /// As a real Gitea 1.21: after each push to a repository its first so many release POSTs get status 500 and a page.
    pub fn html_500_after_push(&self, times: usize) {
        self.shared.model().terms.html_500_after_push = times;
    }

    /// As a real Gitea: after the first push to a repository so many looks at it still show it as empty, and as long as
    /// they do, a release POST gets status 500 and a page.
    pub fn unnoticed_after_push(&self, looks: usize) {
        self.shared.model().terms.unnoticed_after_push = looks;
    }

    /// Tells no SHA-256 of its files, as a GitHub Enterprise before 3.18.
    pub fn without_digests(&self) {
        self.shared.model().terms.digests = false;
    }

    /// Gives out files as a whole only.
    pub fn without_ranges(&self) {
        self.shared.model().terms.ranges = false;
    }

    /// GitLab refuses links on releases (403).
    pub fn links_forbidden(&self) {
        self.shared.model().terms.links = false;
    }

    /// GitHub takes assets without a byte; the real one answers 422.
    pub fn takes_empty_assets(&self) {
        self.shared.model().terms.empty_assets = true;
    }

    /// GitLab and Gitea redirect downloads to the second host too, as with object storage.
    pub fn object_storage(&self) {
        self.shared.model().terms.object_storage = true;
    }

    /// The redirects to the second host that were given out stop working (403).
    pub fn expire_storage_links(&self) {
        self.shared.model().terms.storage_epoch += 1;
    }

    /// The requests to the APIs that asked for a change, uploads included.
    pub fn writes(&self) -> Vec<Request> {
        self.requests().into_iter().filter(Request::is_write).collect()
    }

    /// The uploads of assets.
    pub fn uploads(&self) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.kind == Kind::Upload).collect()
    }

    /// The requests for the bytes of assets, on both hosts.
    pub fn downloads(&self) -> Vec<Request> {
        let fits = |request: &Request| matches!(request.kind, Kind::Download | Kind::Storage);
        self.requests().into_iter().filter(fits).collect()
    }

    /// The requests to the second host that showed it a credential, which it must never see.
    pub fn storage_leaks(&self) -> Vec<Request> {
        let leaks = |request: &Request| request.kind == Kind::Storage && request.authorization().is_some();
        self.requests().into_iter().filter(leaks).collect()
    }
}

fn seen(release: &Release, latest: bool) -> ReleaseSeen {
    let asset = |asset: &Asset| AssetSeen {
        name: asset.name.clone(),
        stored: asset.stored.clone(),
        size: asset.blob.size,
        sha256: asset.blob.sha256().to_owned(),
        complete: asset.complete,
    };
    ReleaseSeen {
        tag: release.tag.clone(),
        title: release.title.clone(),
        notes: release.notes.clone(),
        draft: release.draft,
        prerelease: release.prerelease,
        latest,
        assets: release.assets.iter().map(asset).collect(),
        links: release.links.iter().map(|link| (link.name.clone(), link.url.clone())).collect(),
    }
}

/// A file with holes: the number of each MiB stands at its beginning.
fn write_sparse(path: &Path, size: u64) {
    let mut file = fs::File::create(path).expect("our own directory");
    file.set_len(size).expect("our own file");
    for mib in 0..size >> 20 {
        file.seek(SeekFrom::Start(mib << 20)).expect("our own file");
        file.write_all(&(mib + 1).to_le_bytes()).expect("our own file");
    }
}
