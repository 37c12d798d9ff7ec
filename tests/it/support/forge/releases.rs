//! The releases of a repository: one model for the three APIs, with the files on disk.
//!
//! GitHub and Gitea keep files as assets; GitLab keeps them in generic packages, with a link on the release. [`open`]
//! gives the form that a dialect has: what was made through one API is shown, and can be changed, through the others.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};

use sha2::{Digest as _, Sha256};

use super::api::{encode_path, segments};
use super::dialect::Dialect;
use super::gitlab;
use super::model::Record;
use crate::support::repo::{refs_of, run_git};

/// All releases of a repository, oldest first, and GitLab's generic packages.
#[derive(Debug, Clone, Default)]
pub(super) struct Shelf {
    pub(super) list: Vec<Release>,
    pub(super) files: Vec<PackageFile>,
    /// The release that somebody made the latest.
    pub(super) chosen: Option<u64>,
    /// How many POSTs are still to be answered with a page for people.
    pub(super) failing: usize,
    /// How many looks at the repository still show it as empty.
    pub(super) unnoticed: Arc<AtomicUsize>,
}

#[derive(Debug, Clone)]
pub(super) struct Release {
    pub(super) id: u64,
    pub(super) tag: String,
    /// What its maker named as the target; empty when nothing.
    pub(super) target: String,
    pub(super) title: String,
    pub(super) notes: String,
    pub(super) draft: bool,
    pub(super) prerelease: bool,
    /// Moments of the forge's clock.
    pub(super) created: u64,
    pub(super) updated: u64,
    /// As the APIs write it; `None` while it is a draft that never was published.
    pub(super) published: Option<String>,
    pub(super) author: String,
    pub(super) assets: Vec<Asset>,
    pub(super) links: Vec<Link>,
}

#[derive(Debug, Clone)]
pub(super) struct Asset {
    pub(super) id: u64,
    /// As people gave it.
    pub(super) name: String,
    /// As GitHub and GitLab's packages keep it.
    pub(super) stored: String,
    pub(super) content_type: String,
    pub(super) blob: Arc<Blob>,
    pub(super) created: u64,
    /// False for what an upload that broke off leaves on GitHub.
    pub(super) complete: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) url: String,
    pub(super) kind: String,
    /// GitLab's path for a permanent URL.
    pub(super) path: Option<String>,
}

/// A file in one of GitLab's generic packages.
#[derive(Debug, Clone)]
pub(super) struct PackageFile {
    pub(super) id: u64,
    pub(super) package: u64,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) file: String,
    pub(super) blob: Arc<Blob>,
    pub(super) created: u64,
}

/// Bytes on disk.
#[derive(Debug)]
pub(super) struct Blob {
    pub(super) file: PathBuf,
    pub(super) size: u64,
    digest: OnceLock<String>,
}

impl Blob {
    /// A file whose digest is worked out when somebody wants it.
    pub(super) fn new(file: PathBuf, size: u64) -> Arc<Self> {
        Arc::new(Blob { file, size, digest: OnceLock::new() })
    }

    /// A file whose digest is known.
    pub(super) fn known(file: PathBuf, size: u64, digest: &str) -> Arc<Self> {
        Arc::new(Blob { file, size, digest: OnceLock::from(digest.to_owned()) })
    }

    /// Of the bytes, in hex.
    pub(super) fn sha256(&self) -> &str {
        self.digest.get_or_init(|| {
            let mut file = fs::File::open(&self.file).expect("our own file");
            let (mut digest, mut chunk) = (Sha256::new(), vec![0; 1 << 20]);
            loop {
                match file.read(&mut chunk).expect("our own file") {
                    0 => break format!("{:x}", digest.finalize()),
                    read => digest.update(&chunk[..read]),
                }
            }
        })
    }
}

impl Shelf {
    /// The release that is shown as the latest: the chosen one, or else the newest that may be it.
    pub(super) fn latest(&self) -> Option<&Release> {
        let may_be = |release: &&Release| !release.draft && !release.prerelease;
        let chosen = self.list.iter().find(|release| Some(release.id) == self.chosen).filter(may_be);
        chosen.or_else(|| self.list.iter().filter(may_be).max_by_key(|release| (release.created, release.id)))
    }

    pub(super) fn get(&self, id: u64) -> Option<&Release> {
        self.list.iter().find(|release| release.id == id)
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Release> {
        self.list.iter_mut().find(|release| release.id == id)
    }

    /// The release of a tag: the published one first, then the newest draft.
    pub(super) fn of_tag(&self, tag: &str) -> Option<&Release> {
        let of_tag = || self.list.iter().rev().filter(|release| release.tag == tag);
        of_tag().find(|release| !release.draft).or_else(|| of_tag().next())
    }

    /// Whether a release of this tag is published, other than this one.
    pub(super) fn is_taken(&self, tag: &str, but: Option<u64>) -> bool {
        self.list.iter().any(|release| release.tag == tag && !release.draft && Some(release.id) != but)
    }

    /// The asset with this id and its release.
    pub(super) fn asset(&self, id: u64) -> Option<(&Release, &Asset)> {
        let all = self.list.iter().flat_map(|release| release.assets.iter().map(move |asset| (release, asset)));
        all.into_iter().find(|(_, asset)| asset.id == id)
    }

    /// Removes an asset; `false` when there was none.
    pub(super) fn remove_asset(&mut self, id: u64) -> bool {
        let found = self.asset(id).is_some();
        self.list.iter_mut().for_each(|release| release.assets.retain(|asset| asset.id != id));
        found
    }

    /// The newest file of this name in a package: GitLab keeps older ones beside it.
    pub(super) fn package_file(&self, name: &str, version: &str, file: &str) -> Option<&PackageFile> {
        self.files.iter().rev().find(|f| f.name == name && f.version == version && f.file == file)
    }
}

/// The releases in the form that a dialect has, after what the loss of a tag did to them.
pub(super) fn open(record: &Record, base: &str, dialect: Dialect) -> Shelf {
    let mut shelf = record.releases.clone();
    let gone = |release: &Release| !release.draft && !record.has_tag(&release.tag);
    match dialect {
        // A deleted tag takes its release along.
        Dialect::Gitlab => shelf.list.retain(|release| !gone(release)),
        // A deleted tag makes a draft of its release.
        _ => shelf.list.iter_mut().for_each(|release| release.draft |= gone(release)),
    }
    match dialect {
        Dialect::Gitlab => as_links(&mut shelf, record, base),
        _ => as_assets(&mut shelf, record, base),
    }
    shelf
}

/// The URL of a file in a generic package.
pub(super) fn package_url(record: &Record, base: &str, name: &str, version: &str, file: &str) -> String {
    let path = [name, version, file].map(encode_path).join("/");
    format!("{base}{}/projects/{}/packages/generic/{path}", gitlab::ROOT, record.id)
}

fn as_links(shelf: &mut Shelf, record: &Record, base: &str) {
    for release in &mut shelf.list {
        for asset in release.assets.drain(..).filter(|asset| asset.complete) {
            let version = format!("0.0.{}", asset.id);
            let url = package_url(record, base, "assets", &version, &asset.stored);
            let (id, file, name) = (asset.id, asset.stored, "assets".to_owned());
            release.links.push(Link { id, name: asset.name, url, kind: "package".to_owned(), path: None });
            shelf.files.push(PackageFile {
                id,
                package: id,
                name,
                version,
                file,
                blob: asset.blob,
                created: asset.created,
            });
        }
    }
}

fn as_assets(shelf: &mut Shelf, record: &Record, base: &str) {
    let files = shelf.clone();
    for release in &mut shelf.list {
        let (mut links, mut assets) = (Vec::new(), Vec::new());
        for link in release.links.drain(..) {
            match linked_file(&files, record, base, &link.url) {
                Some(file) => assets.push(Asset {
                    id: link.id,
                    name: link.name,
                    stored: file.file.clone(),
                    content_type: "application/octet-stream".to_owned(),
                    blob: file.blob.clone(),
                    created: file.created,
                    complete: true,
                }),
                None => links.push(link),
            }
        }
        release.links = links;
        release.assets.extend(assets);
    }
}

/// The package file of this repository that a URL leads to.
fn linked_file<'a>(shelf: &'a Shelf, record: &Record, base: &str, url: &str) -> Option<&'a PackageFile> {
    let path = url.strip_prefix(base)?.split(['?', '#']).next()?;
    let parts = segments(path.strip_prefix(gitlab::ROOT)?, "");
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let ["projects", project, "packages", "generic", name, version, file] = parts.as_slice() else { return None };
    let ours = *project == record.id.to_string() || *project == record.full_name();
    shelf.package_file(name, version, file).filter(|_| ours)
}

/// What git knows of a tag.
pub(super) struct Tag {
    pub(super) id: String,
    /// `tag` for an annotated one, else `commit`.
    pub(super) kind: String,
    pub(super) commit: String,
    pub(super) message: String,
}

impl Record {
    /// Whether a tag is there; looks at the disk, because a push changes it too.
    pub(super) fn has_tag(&self, tag: &str) -> bool {
        let name = format!("refs/tags/{tag}");
        let sane = !tag.is_empty() && !tag.contains("..") && !tag.starts_with('/') && !tag.contains('\0');
        let packed = || fs::read_to_string(self.git_dir.join("packed-refs")).unwrap_or_default();
        sane && (self.git_dir.join(&name).is_file()
            || packed().lines().any(|line| line.split_once(' ').is_some_and(|(_, packed)| packed == name)))
    }

    pub(super) fn tag(&self, tag: &str) -> Option<Tag> {
        if !self.has_tag(tag) {
            return None;
        }
        let name = format!("refs/tags/{tag}");
        let format = "--format=%(refname)%00%(objectname)%00%(objecttype)%00%(*objectname)%00%(contents:subject)";
        let listed = run_git(&self.git_dir, ["for-each-ref", format, &name], &[]);
        let of_it = listed.lines().find_map(|line| line.strip_prefix(&format!("{name}\0")).map(str::to_owned))?;
        let mut parts = of_it.split('\0').map(str::to_owned);
        let (id, kind) = (parts.next()?, parts.next()?);
        let commit = parts.next().filter(|peeled| !peeled.is_empty()).unwrap_or_else(|| id.clone());
        Some(Tag { id, kind, commit, message: parts.next().unwrap_or_default() })
    }

    /// All tags, sorted.
    pub(super) fn tags(&self) -> BTreeSet<String> {
        let names = refs_of(&self.git_dir).into_keys();
        names.filter_map(|name| name.strip_prefix("refs/tags/").map(str::to_owned)).collect()
    }

    /// Makes a tag at a branch, tag or commit, as releases do; `false` when there is no such thing.
    pub(super) fn make_tag(&self, tag: &str, target: &str) -> bool {
        let refs = refs_of(&self.git_dir);
        let named = [format!("refs/heads/{target}"), format!("refs/tags/{target}")];
        let found = named.iter().find_map(|name| refs.get(name)).or_else(|| refs.values().find(|id| *id == target));
        let Some(id) = found else { return false };
        run_git(&self.git_dir, ["update-ref", &format!("refs/tags/{tag}"), id], &[]);
        true
    }
}

/// The name under which GitHub keeps an asset of this name.
pub(super) fn github_name(name: &str) -> String {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._+@-".contains(c);
    let name: String = name.chars().map(|c| if fine(c) { c } else { '.' }).collect();
    // What would be a hidden file gets a name before the dot.
    if name.starts_with('.') { format!("default{name}") } else { name }
}

/// A moment as the APIs write it; `None` when this is none.
pub(super) fn moment(text: &str) -> Option<String> {
    text.parse::<jiff::Timestamp>().ok().map(|moment| moment.to_string())
}
