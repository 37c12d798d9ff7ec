//! The bytes of files: from the source to this machine, once, checked, and never more on the disk than allowed.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use sha2::{Digest as _, Sha256 as Hasher};
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::base::failure::{Failure, Reason};
use crate::forge::release::ReleaseSource;
use crate::mirror::tools::Tools;
use crate::model::release::{Asset, Sha256};
use crate::progress::Sink;

/// The unit of the budget.
const UNIT: u64 = 1 << 20;

/// Brings files here.
pub struct Transfer<'a> {
    tools: &'a Tools,
    sink: &'a dyn Sink,
    /// In [`UNIT`]s.
    budget: Semaphore,
    most: u64,
}

/// A file that was brought here, or that was here already. It is gone when this is dropped, if it is ours.
pub struct Fetched<'a> {
    pub path: PathBuf,
    /// In bytes.
    pub size: u64,
    pub digest: Sha256,
    _ours: Option<(TempDir, SemaphorePermit<'a>)>,
}

impl Fetched<'_> {
    /// A file that is here to stay.
    pub fn kept(path: PathBuf, size: u64, digest: Sha256) -> Self {
        Fetched { path, size, digest, _ours: None }
    }
}

impl<'a> Transfer<'a> {
    /// Brings files into the storage's temporary folder, at most `most` bytes of them at a time.
    pub fn new(tools: &'a Tools, sink: &'a dyn Sink, most: u64) -> Self {
        let units = usize::try_from(most / UNIT).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        Transfer { tools, sink, budget: Semaphore::new(units), most }
    }

    /// Brings a file here; what breaks off is gone on with where it broke off.
    ///
    /// # Errors
    /// `too_large` for a file over the budget, what the source says, `corrupt` when length or digest are not what the
    /// source said.
    pub async fn fetch(&self, source: &dyn ReleaseSource, asset: &Asset) -> Result<Fetched<'_>, Failure> {
        // One whose size its source does not tell may be as large as that, and no larger.
        let size = asset.size.unwrap_or(self.most);
        if size > self.most {
            return Err(too_large(&format!("the file has {}", crate::base::text::bytes(size)), self.most));
        }
        let units = u32::try_from(size.div_ceil(UNIT).max(1)).unwrap_or(u32::MAX);
        let units = units.min(u32::try_from(self.most / UNIT).unwrap_or(u32::MAX).max(1));
        let permit = self.tools.until_stopped(self.budget.acquire_many(units)).await?;
        let permit = permit.map_err(|_| Failure::new(Reason::Cancelled, "no file is fetched any more"))?;
        let folder = self.tools.storage.temporary()?;
        let path = folder.path().join("asset");
        let (size, digest) = self.bring(source, asset, &path, self.most).await?;
        Ok(Fetched { path, size, digest, _ours: Some((folder, permit)) })
    }

    /// Brings a file to `path`, which is made or overwritten; returns its length and digest.
    ///
    /// # Errors
    /// As [`Transfer::fetch`].
    pub async fn into_file(
        &self,
        source: &dyn ReleaseSource,
        asset: &Asset,
        path: &Path,
    ) -> Result<(u64, Sha256), Failure> {
        self.bring(source, asset, path, u64::MAX).await
    }

    async fn bring(
        &self,
        source: &dyn ReleaseSource,
        asset: &Asset,
        path: &Path,
        most: u64,
    ) -> Result<(u64, Sha256), Failure> {
        let broken = |error| Failure::local(format!("cannot write {}", path.display()), &error);
        let part = Part { file: File::create(path).map_err(broken)?, hasher: Hasher::new(), size: 0, etag: None, most };
        let part = tokio::sync::Mutex::new(part);
        let attempt = || async { part.lock().await.go_on(source, asset, path, &self.tools.stop).await };
        self.tools.retry(&asset.name, self.sink, attempt).await??;
        let part = part.into_inner();
        let digest = Sha256::new(part.hasher.finalize().into());
        let wrong = |what: String| {
            let failure = Failure::new(Reason::Corrupt, "the file is not what its source says it is");
            let hint = "the next run fetches it again; when it stays so, upload it anew at the source.";
            Err(failure.with_evidence(what).with_hint(hint))
        };
        match (asset.size, asset.digest) {
            (Some(size), _) if size != part.size => wrong(format!("{} bytes came, {size} were told", part.size)),
            (_, Some(told)) if told != digest => wrong(format!("its SHA-256 is {digest}, {told} was told")),
            _ => Ok((part.size, digest)),
        }
    }
}

fn too_large(what: &str, most: u64) -> Failure {
    let message = format!("{what}, and no more than {} may lie here at a time", crate::base::text::bytes(most));
    let hint = "allow more with --asset-tmp-max, or leave the file out.";
    Failure::new(Reason::TooLarge, message).with_hint(hint)
}

/// As much of a file as is here.
struct Part {
    file: File,
    hasher: Hasher,
    size: u64,
    etag: Option<String>,
    /// In bytes: what may lie here.
    most: u64,
}

impl Part {
    /// `Ok` of a failure when there is nothing to go on with: the source has tried to begin as often as is of use.
    async fn go_on(
        &mut self,
        source: &dyn ReleaseSource,
        asset: &Asset,
        path: &Path,
        stop: &tokio_util::sync::CancellationToken,
    ) -> Result<Result<(), Failure>, Failure> {
        let broken = |error| Failure::local(format!("cannot write {}", path.display()), &error);
        // Without a validator nobody can tell whether the rest belongs to what is here.
        let offset = if self.etag.is_some() { self.size } else { 0 };
        let mut download = match source.download(asset, offset, self.etag.as_deref()).await {
            Ok(download) => download,
            Err(failure) => return Ok(Err(failure)),
        };
        if download.offset != self.size {
            if download.offset != 0 {
                return Err(Failure::new(
                    Reason::ServerError,
                    "the server sent another part of the file than was asked for",
                ));
            }
            self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(broken)?;
            (self.hasher, self.size) = (Hasher::new(), 0);
        }
        self.etag = download.etag.take();
        loop {
            let chunk = tokio::select! {
                () = stop.cancelled() => return Err(Failure::new(Reason::Cancelled, "stopped on request")),
                chunk = download.bytes.next() => chunk,
            };
            let Some(chunk) = chunk.transpose()? else { break };
            if self.size + chunk.len() as u64 > self.most {
                return Ok(Err(too_large("more of the file came than was told", self.most)));
            }
            self.file.write_all(&chunk).map_err(broken)?;
            self.hasher.update(&chunk);
            self.size += chunk.len() as u64;
        }
        match download.size {
            Some(size) if size != self.size => {
                let message = format!("the file broke off after {} of {size} bytes", self.size);
                Err(Failure::new(Reason::NetworkFailed, message))
            }
            _ => Ok(Ok(())),
        }
    }
}
