//! A backup's releases as a source: what [`super::backup`] wrote is read as any forge's listing is.

use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio::io::AsyncReadExt;

use super::backup::{Backup, SavedRelease};
use crate::base::failure::{Failure, Reason};
use crate::forge::release::{Download, ReleaseSource};
use crate::model::RepoPath;
use crate::model::release::{Asset, Release};

/// How much of a file is read at once.
const CHUNK: usize = 256 * 1024;

/// The releases beside one repository on this machine.
#[derive(Debug)]
pub struct DiskReleases {
    backup: Backup,
}

impl DiskReleases {
    /// Those of the repository in the directory `mirror`.
    pub fn of(mirror: &Path) -> Self {
        DiskReleases { backup: Backup::of(mirror) }
    }
}

#[async_trait]
impl ReleaseSource for DiskReleases {
    async fn releases(&self, _: &RepoPath) -> Result<Vec<Release>, Failure> {
        let mut saved = self.backup.read()?;
        // What was deleted at the source of the backup is kept here, and is nobody's release any more.
        saved.retain(|release| release.deleted_at.is_none());
        saved.reverse();
        // One that left the scope is not written any more, and still says what it said last.
        let mut has_latest = false;
        for release in &mut saved {
            release.latest &= !has_latest;
            has_latest |= release.latest;
        }
        saved.into_iter().map(|release| self.release(release)).collect()
    }

    async fn download(&self, asset: &Asset, offset: u64, _: Option<&str>) -> Result<Download, Failure> {
        let path = asset.url.to_file_path().unwrap_or_default();
        let broken = |error: std::io::Error| Failure::local(format!("cannot read {}", path.display()), &error);
        let mut file = std::fs::File::open(&path).map_err(broken)?;
        let size = file.metadata().map_err(broken)?.len();
        file.seek(SeekFrom::Start(offset)).map_err(broken)?;
        let name = path.display().to_string();
        let bytes = futures_util::stream::try_unfold(tokio::fs::File::from_std(file), move |mut file| {
            let name = name.clone();
            async move {
                let mut chunk = vec![0; CHUNK];
                let read = file.read(&mut chunk).await;
                let read = read.map_err(|error| Failure::local(format!("cannot read {name}"), &error))?;
                chunk.truncate(read);
                Ok((read > 0).then(|| (bytes::Bytes::from(chunk), file)))
            }
        });
        Ok(Download { offset, size: Some(size), etag: Some(size.to_string()), bytes: bytes.boxed() })
    }
}

impl DiskReleases {
    fn release(&self, saved: SavedRelease) -> Result<Release, Failure> {
        let place = self.backup.place(&saved.tag);
        let url = |path: PathBuf| {
            let absolute = std::path::absolute(&path).unwrap_or(path);
            let name = absolute.display().to_string();
            url::Url::from_file_path(absolute)
                .map_err(|()| Failure::new(Reason::LocalFailed, format!("{name} is no path")))
        };
        let assets = saved.assets.into_iter().filter(|asset| asset.deleted_at.is_none()).map(|asset| {
            Ok(Asset {
                id: asset.source,
                url: url(place.join(&asset.file))?,
                stored_as: asset.file,
                name: asset.name,
                size: Some(asset.size),
                digest: Some(asset.sha256),
                content_type: asset.content_type,
                updated_at: None,
                complete: true,
            })
        });
        Ok(Release {
            assets: assets.collect::<Result<_, Failure>>()?,
            id: saved.id,
            tag: saved.tag,
            title: saved.title,
            notes: saved.notes,
            draft: saved.draft,
            prerelease: saved.prerelease,
            latest: saved.latest,
            created_at: saved.created_at,
            published_at: saved.published_at,
            author: saved.author,
            page: saved.page,
            links: saved.links,
        })
    }
}
