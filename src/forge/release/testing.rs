//! What the tests of all forges' releases need.

use std::path::PathBuf;

use futures_util::TryStreamExt;
use sha2::Digest;

use crate::base::failure::Failure;
use crate::forge::release::{Download, ReleaseDestination, Upload};
use crate::forge::testing::{Server, connection};
use crate::model::RepoPath;
use crate::model::destination::DestinationKind;
use crate::model::release::{Asset, Release, ReleaseFields, Sha256};

pub fn destination(kind: DestinationKind, server: &Server) -> Box<dyn ReleaseDestination> {
    crate::forge::open::release_destination(kind, connection(&server.url)).unwrap()
}

/// The repository that all tests are about.
pub fn repo() -> RepoPath {
    RepoPath::parse("acme/tool").unwrap()
}

pub fn fields(tag: &str) -> ReleaseFields {
    ReleaseFields {
        tag: tag.to_owned(),
        title: "First".to_owned(),
        notes: "What is new.".to_owned(),
        draft: false,
        prerelease: false,
        latest: None,
        published_at: Some("2026-05-04T03:02:01Z".parse().unwrap()),
    }
}

/// A release as a listing gave it in an earlier step.
pub fn release(id: &str, tag: &str) -> Release {
    Release {
        id: id.to_owned(),
        tag: tag.to_owned(),
        title: "First".to_owned(),
        notes: "What is new.".to_owned(),
        draft: false,
        prerelease: false,
        latest: false,
        created_at: None,
        published_at: None,
        author: None,
        page: None,
        assets: vec![],
        links: vec![],
    }
}

/// An asset as a listing gave it in an earlier step.
pub fn asset(id: &str, name: &str, url: url::Url) -> Asset {
    Asset {
        id: id.to_owned(),
        name: name.to_owned(),
        stored_as: name.to_owned(),
        size: None,
        digest: None,
        content_type: None,
        updated_at: None,
        url,
        complete: true,
    }
}

/// A file on the disk, and what is known of it.
pub struct Local {
    _dir: tempfile::TempDir,
    path: PathBuf,
    size: u64,
    pub digest: Sha256,
}

impl Local {
    pub fn new(bytes: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        let digest = Sha256::new(sha2::Sha256::digest(bytes).into());
        Local { path, size: bytes.len() as u64, digest, _dir: dir }
    }

    pub fn upload<'a>(&'a self, name: &'a str) -> Upload<'a> {
        Upload { name, content_type: None, file: &self.path, size: self.size, digest: self.digest }
    }
}

/// All bytes of a download, or its failure.
pub async fn read(download: Download) -> Result<Vec<u8>, Failure> {
    download
        .bytes
        .try_fold(Vec::new(), |mut all, chunk| async move {
            all.extend_from_slice(&chunk);
            Ok(all)
        })
        .await
}
