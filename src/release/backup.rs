//! The releases of one repository in the backup on disk: `<mirror>.releases/<tag>/release.json`, its files, `SHA256SUMS`.
//!
//! `release.json` is written last and by one rename: a release that has one is whole. What the source deletes stays, and
//! is marked. Nothing is fetched again whose bytes are here.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

use super::state::identity;
use crate::base::failure::{Failure, Reason};
use crate::mirror::storage::releases_of;
use crate::model::release::{Asset, Link, Release, Sha256};

/// The shape of `release.json`. A program that knows only an older one must not write.
pub const SCHEMA: u32 = 1;
const DOCUMENT: &str = "release.json";
const SUMS: &str = "SHA256SUMS";
/// The longest name that file systems take, in bytes.
const LONGEST: usize = 255;

/// The folder of one repository's releases.
#[derive(Debug, Clone)]
pub struct Backup {
    folder: PathBuf,
}

/// A release as it is kept on disk: everything that its forge told of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedRelease {
    pub schema: u32,
    pub tag: String,
    pub title: String,
    pub notes: String,
    pub draft: bool,
    pub prerelease: bool,
    pub latest: bool,
    pub created_at: Option<Timestamp>,
    pub published_at: Option<Timestamp>,
    pub author: Option<String>,
    pub page: Option<Url>,
    /// The forge's own id of it.
    pub id: String,
    pub assets: Vec<SavedAsset>,
    pub links: Vec<Link>,
    /// When this was last written.
    pub saved_at: Timestamp,
    /// Since when the source has it no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
}

/// A file of a release as it is kept on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedAsset {
    /// The name that its maker gave it.
    pub name: String,
    /// Its name in this folder.
    pub file: String,
    /// In bytes.
    pub size: u64,
    pub sha256: Sha256,
    pub content_type: Option<String>,
    /// What tells this version of it from others at the source.
    pub source: String,
    /// Since when the source has it no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
}

/// A file that is yet to be fetched, and where to.
#[derive(Debug)]
pub struct Wanted<'a> {
    pub asset: &'a Asset,
    pub file: String,
}

impl Backup {
    /// The releases of the mirror at `mirror`; there need not be any yet.
    pub fn of(mirror: &Path) -> Self {
        Backup { folder: releases_of(mirror) }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All releases that are here.
    ///
    /// # Errors
    /// A folder or document that cannot be read, or that a newer program wrote.
    pub fn read(&self) -> Result<Vec<SavedRelease>, Failure> {
        let broken = |error: &io::Error| Failure::local(format!("cannot read {}", self.folder.display()), error);
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(broken(&error)),
        };
        let mut all = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| broken(&error))?;
            // A folder that somebody copied or renamed is theirs.
            let is_ours = |saved: &SavedRelease| entry.file_name().to_str() == Some(&file_name(&saved.tag));
            all.extend(read_document(&entry.path().join(DOCUMENT))?.filter(is_ours));
        }
        all.sort_by(|a, b| (a.published_at, &a.tag).cmp(&(b.published_at, &b.tag)));
        Ok(all)
    }

    /// The folder of one release.
    pub fn place(&self, tag: &str) -> PathBuf {
        self.folder.join(file_name(tag))
    }

    /// Where the bytes of a file are, its size and digest, when just this version of it is here.
    pub fn file(&self, tag: &str, asset: &Asset) -> Option<(PathBuf, u64, Sha256)> {
        let place = self.place(tag);
        let saved = read_document(&place.join(DOCUMENT)).ok().flatten().filter(|saved| saved.tag == tag)?;
        let found = saved.assets.into_iter().find(|saved| is_same(saved, asset))?;
        is_whole(&place, &found).then(|| (place.join(&found.file), found.size, found.sha256))
    }

    /// What a release needs to be as it is at the source: the files to fetch. `None` when it is so already.
    ///
    /// # Errors
    /// A document that cannot be read.
    pub fn compare<'a>(&self, release: &'a Release) -> Result<Option<Vec<Wanted<'a>>>, Failure> {
        let saved = self.saved(&release.tag)?;
        let place = self.place(&release.tag);
        let names = file_names(&release.assets);
        let wanted = release.assets.iter().zip(names).filter(|(asset, _)| asset.complete);
        // Under the name that it is to have: which of two that clash has which one may change.
        let is_here = |asset: &Asset, file: &str| {
            let mut kept = saved.iter().flat_map(|saved| &saved.assets);
            kept.any(|kept| kept.file == file && is_same(kept, asset) && is_whole(&place, kept))
        };
        let missing: Vec<Wanted<'_>> =
            wanted.filter(|(asset, file)| !is_here(asset, file)).map(|(asset, file)| Wanted { asset, file }).collect();
        let equal = saved.as_ref().is_some_and(|saved| document(release, Some(saved), &[], saved.saved_at) == *saved);
        Ok((!equal || !missing.is_empty()).then_some(missing))
    }

    /// Makes the folder of a release, where files are then put.
    ///
    /// # Errors
    /// A local failure.
    pub fn prepare(&self, tag: &str) -> Result<PathBuf, Failure> {
        let place = self.place(tag);
        fs::create_dir_all(&place)
            .map_err(|error| Failure::local(format!("cannot make {}", place.display()), &error))?;
        Ok(place)
    }

    /// Writes down a release whose files are all here; `fetched` are those that came just now.
    ///
    /// # Errors
    /// A local failure; what was written down before stands then.
    pub fn save(&self, release: &Release, fetched: &[(String, u64, Sha256)], now: Timestamp) -> Result<(), Failure> {
        let place = self.place(&release.tag);
        let saved = self.saved(&release.tag)?;
        let document = document(release, saved.as_ref(), fetched, now);
        write_document(&place, &document)
    }

    /// What is written down of the release of this tag, and of no other that the file system takes for it.
    fn saved(&self, tag: &str) -> Result<Option<SavedRelease>, Failure> {
        let place = self.place(tag);
        match read_document(&place.join(DOCUMENT))? {
            Some(other) if other.tag != tag => {
                let text = format!("{} holds the release of another tag, {}", place.display(), other.tag);
                let hint = "keep the backup on a file system that tells capitals apart, or leave one of the tags out.";
                Err(Failure::new(Reason::LocalFailed, text).with_hint(hint))
            }
            saved => Ok(saved),
        }
    }

    /// Marks what the source has no more, and returns how many were marked.
    ///
    /// # Errors
    /// A local failure.
    pub fn mark_deleted(&self, listed: &BTreeSet<&str>, now: Timestamp) -> Result<usize, Failure> {
        let mut marked = 0;
        for saved in self.read()? {
            if !listed.contains(saved.tag.as_str()) && saved.deleted_at.is_none() {
                let place = self.place(&saved.tag);
                write_document(&place, &SavedRelease { deleted_at: Some(now), saved_at: now, ..saved })?;
                marked += 1;
            }
        }
        Ok(marked)
    }
}

fn is_whole(place: &Path, kept: &SavedAsset) -> bool {
    fs::metadata(place.join(&kept.file)).is_ok_and(|data| data.len() == kept.size)
}

/// Whether what is kept is this version of the file.
fn is_same(saved: &SavedAsset, asset: &Asset) -> bool {
    let bytes = asset.digest.map_or(saved.source == identity(asset), |digest| digest == saved.sha256);
    saved.deleted_at.is_none() && saved.name == asset.name && bytes
}

/// What is written down of a release: as it is at the source now, with what is known of its files from before.
fn document(
    release: &Release,
    before: Option<&SavedRelease>,
    fetched: &[(String, u64, Sha256)],
    now: Timestamp,
) -> SavedRelease {
    let old = before.map_or(&[][..], |saved| &saved.assets);
    let mut assets = Vec::new();
    for (asset, file) in release.assets.iter().zip(file_names(&release.assets)) {
        let fresh = fetched.iter().find(|(name, ..)| *name == file).map(|(_, size, digest)| (*size, *digest));
        let known = || old.iter().find(|saved| saved.file == file && is_same(saved, asset));
        let Some((size, sha256)) = fresh.or_else(|| known().map(|saved| (saved.size, saved.sha256))) else { continue };
        assets.push(SavedAsset {
            name: asset.name.clone(),
            file,
            size,
            sha256,
            content_type: asset.content_type.clone(),
            source: identity(asset),
            deleted_at: None,
        });
    }
    // What was deleted upstream is kept, unless another file has its name now.
    let gone = old.iter().filter(|saved| !assets.iter().any(|asset| asset.file == saved.file));
    let gone: Vec<SavedAsset> =
        gone.map(|saved| SavedAsset { deleted_at: saved.deleted_at.or(Some(now)), ..saved.clone() }).collect();
    assets.extend(gone);
    SavedRelease {
        schema: SCHEMA,
        tag: release.tag.clone(),
        title: release.title.clone(),
        notes: release.notes.clone(),
        draft: release.draft,
        prerelease: release.prerelease,
        latest: release.latest,
        created_at: release.created_at,
        published_at: release.published_at,
        author: release.author.clone(),
        page: release.page.clone(),
        id: release.id.clone(),
        assets,
        links: release.links.clone(),
        saved_at: now,
        deleted_at: None,
    }
}

fn read_document(path: &Path) -> Result<Option<SavedRelease>, Failure> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(Failure::local(format!("cannot read {}", path.display()), &error)),
    };
    let unreadable = |why: String| {
        let error = io::Error::new(io::ErrorKind::InvalidData, why);
        Failure::local(format!("cannot read {}", path.display()), &error)
            .with_hint("move it aside; the next run writes it anew.")
    };
    #[derive(Deserialize)]
    struct Version {
        schema: u32,
    }
    let version: Version = serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
    if version.schema > SCHEMA {
        return Err(unreadable(format!("a newer Holocron wrote it (schema {}, {SCHEMA} is known)", version.schema)));
    }
    let saved: SavedRelease = serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
    // A backup may come from elsewhere, and what it names is read, and given to others.
    let leads_out = |asset: &&SavedAsset| {
        let mut parts = Path::new(&asset.file).components();
        !matches!((parts.next(), parts.next()), (Some(Component::Normal(name)), None) if name == asset.file.as_str())
    };
    match saved.assets.iter().find(leads_out) {
        Some(asset) => Err(unreadable(format!("`{}` is no name of a file in this folder", asset.file))),
        None => Ok(Some(saved)),
    }
}

fn write_document(place: &Path, document: &SavedRelease) -> Result<(), Failure> {
    let sums: String = document.assets.iter().map(|asset| format!("{}  {}\n", asset.sha256, asset.file)).collect();
    serde_json::to_string_pretty(document)
        .map_err(io::Error::from)
        .and_then(|text| replace(&place.join(SUMS), sums.as_bytes()).map(|()| text))
        .and_then(|text| replace(&place.join(DOCUMENT), format!("{text}\n").as_bytes()))
        .map_err(|error| Failure::local(format!("cannot write to {}", place.display()), &error))
}

/// Writes a file beside its place and moves it there, on the disk before it is seen.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    // As readable as the files beside it.
    let permissions = fs::Permissions::from_mode(0o666);
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().permissions(permissions).tempfile_in(folder)?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// The names of the files in the folder: each there once, whatever the source allows.
fn file_names(assets: &[Asset]) -> Vec<String> {
    let mut taken = BTreeSet::from([DOCUMENT.to_owned(), SUMS.to_lowercase()]);
    let name = |asset: &Asset| {
        let plain = file_name(&asset.name);
        // Some file systems take `A` and `a` for one name.
        if taken.insert(plain.to_lowercase()) {
            return plain;
        }
        let mut number = 2;
        while !taken.insert(format!("{plain}~{number}").to_lowercase()) {
            number += 1;
        }
        format!("{plain}~{number}")
    };
    assets.iter().map(name).collect()
}

/// A name that a file may have, the same for the same text and never for another: what it may not hold is written as
/// `%2F`, and what is too long ends in a digest of the whole.
fn file_name(text: &str) -> String {
    let mut name = String::new();
    for (at, c) in text.chars().enumerate() {
        let odd = c.is_control() || "/\\%:*?\"<>|".contains(c) || (at == 0 && ".-".contains(c));
        match odd {
            false => name.push(c),
            true => c.to_string().bytes().for_each(|byte| name.push_str(&format!("%{byte:02X}"))),
        }
    }
    // Room for `~2`.
    if name.len() <= LONGEST - 8 {
        return name;
    }
    let digest = crate::base::text::digest(text);
    let mut end = LONGEST - 8 - digest.len() - 1;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}~{digest}", &name[..end])
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256 as Hasher};

    use super::*;

    fn asset(name: &str, id: &str) -> Asset {
        Asset {
            id: id.to_owned(),
            name: name.to_owned(),
            stored_as: name.to_owned(),
            size: Some(3),
            digest: None,
            content_type: None,
            updated_at: None,
            url: Url::parse("https://h/x").unwrap(),
            complete: true,
        }
    }

    fn release(tag: &str, assets: Vec<Asset>) -> Release {
        Release {
            id: format!("id of {tag}"),
            tag: tag.to_owned(),
            title: String::new(),
            notes: String::new(),
            draft: false,
            prerelease: false,
            latest: false,
            created_at: None,
            published_at: None,
            author: None,
            page: None,
            assets,
            links: Vec::new(),
        }
    }

    /// Brings a release here as a run does, and returns what had to be fetched.
    fn bring(backup: &Backup, release: &Release) -> Vec<String> {
        let Some(wanted) = backup.compare(release).unwrap() else { return Vec::new() };
        let place = backup.prepare(&release.tag).unwrap();
        let digest = |text: &str| Sha256::new(Hasher::digest(text.as_bytes()).into());
        let mut fetched = Vec::new();
        for one in &wanted {
            let text = format!("{:>3}", one.asset.id);
            fs::write(place.join(&one.file), &text).unwrap();
            fetched.push((one.file.clone(), 3, digest(&text)));
        }
        backup.save(release, &fetched, Timestamp::UNIX_EPOCH).unwrap();
        wanted.into_iter().map(|one| one.file).collect()
    }

    fn backup() -> (tempfile::TempDir, Backup) {
        let folder = tempfile::tempdir().unwrap();
        let backup = Backup::of(&folder.path().join("a.git"));
        (folder, backup)
    }

    #[test]
    fn of_names_that_clash_each_keeps_its_bytes_when_one_goes() {
        let (_folder, backup) = backup();
        let both = release("v1", vec![asset("A", "1"), asset("a", "2")]);
        assert_eq!(bring(&backup, &both), ["A", "a~2"]);
        assert!(bring(&backup, &both).is_empty());
        let one = release("v1", vec![asset("a", "2")]);
        bring(&backup, &one);
        assert!(backup.compare(&one).unwrap().is_none(), "one run is enough");
        let saved = &backup.read().unwrap()[0];
        let kept: Vec<&SavedAsset> = saved.assets.iter().filter(|asset| asset.deleted_at.is_none()).collect();
        assert_eq!((kept.len(), kept[0].name.as_str()), (1, "a"), "{saved:#?}");
        assert_eq!(fs::read(backup.place("v1").join(&kept[0].file)).unwrap(), b"  2");
    }

    #[test]
    fn a_document_that_names_a_file_elsewhere_is_not_believed() {
        let (_folder, backup) = backup();
        bring(&backup, &release("v1", vec![asset("plain", "1")]));
        let document = backup.place("v1").join(DOCUMENT);
        let text = fs::read_to_string(&document).unwrap();
        for elsewhere in ["../../secret", "/etc/passwd", "..", "", "a/b", "./plain"] {
            fs::write(&document, text.replace(r#""file": "plain""#, &format!(r#""file": "{elsewhere}""#))).unwrap();
            let failure = backup.read().unwrap_err();
            assert!(failure.evidence().unwrap().contains("is no name of a file"), "{elsewhere}");
            assert!(backup.file("v1", &asset("plain", "1")).is_none());
        }
    }

    #[test]
    fn a_folder_that_holds_another_tag_is_neither_read_nor_written() {
        let (_folder, backup) = backup();
        bring(&backup, &release("v1", vec![asset("a", "1")]));
        // As a file system does that takes both names for one, or a person who made a copy.
        fs::rename(backup.place("v1"), backup.place("V1")).unwrap();
        assert!(backup.read().unwrap().is_empty());
        let failure = backup.compare(&release("V1", vec![])).unwrap_err();
        assert!(failure.message().contains("another tag, v1"), "{failure:?}");
        assert!(backup.save(&release("V1", vec![]), &[], Timestamp::UNIX_EPOCH).is_err());
        assert!(backup.file("V1", &asset("a", "1")).is_none());
    }

    #[test]
    fn any_name_becomes_one_that_a_file_may_have() {
        for (text, name) in [
            ("v1.0", "v1.0"),
            ("release/1.0", "release%2F1.0"),
            ("..", "%2E."),
            (".hidden", "%2Ehidden"),
            ("--force", "%2D-force"),
            ("50%", "50%25"),
            ("umläut (1)+x y", "umläut (1)+x y"),
        ] {
            assert_eq!(file_name(text), name);
        }
        let (long, other) = ("ä".repeat(200), format!("{}b", "ä".repeat(199)));
        assert!(file_name(&long).len() < LONGEST && file_name(&long) != file_name(&other));
    }
}
