//! What the releases of all forges have in common: whole listings, and writes whose answer was lost. Nothing is made
//! twice: before a POST is repeated, the forge is asked what came of the first.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::base::failure::{Failure, Reason};
use crate::forge::Connection;
use crate::forge::gather::shown;
use crate::forge::http::paging::{Item, pages};
use crate::forge::http::{Answer, Api, Ask, Auth, FileRequest, Files, Refusal};
use crate::forge::release::pace::Pace;
use crate::forge::release::{Created, Download, ReleaseDestination, Upload};
use crate::model::RepoPath;
use crate::model::release::{Asset, Release, ReleaseFields};

/// One forge whose releases are read or written.
pub(in crate::forge) struct Site {
    pub(in crate::forge) api: Api,
    pub(in crate::forge) files: Files,
    /// The forge's name, for messages.
    pub(in crate::forge) forge: &'static str,
    pub(in crate::forge) pace: Pace,
    /// What a token needs to write releases here.
    pub(in crate::forge) scope: &'static str,
}

/// What tells one forge's way of making things from another's, for [`create`] and [`upload`].
#[async_trait]
pub(in crate::forge) trait Forge: ReleaseDestination {
    fn site(&self) -> &Site;

    /// Asks for a release once.
    async fn make(&self, repo: &RepoPath, fields: &ReleaseFields) -> Result<Release, Refusal>;

    /// Sends a file once.
    async fn send(&self, repo: &RepoPath, release: &Release, file: &Upload<'_>) -> Result<Asset, Refusal>;

    /// The assets that a release has now.
    async fn assets(&self, repo: &RepoPath, release: &Release) -> Result<Vec<Asset>, Failure>;

    /// Whether a refusal means that one of this name is there already.
    fn is_taken(&self, refusal: &Refusal) -> bool;

    /// Whether the forge still counts the repository as empty, which a release there has to wait for; asked after a
    /// refusal that this may be the cause of.
    ///
    /// # Errors
    /// `cancelled` only: what cannot be told is no.
    async fn counts_as_empty(&self, _repo: &RepoPath, _refusal: &Refusal) -> Result<bool, Failure> {
        Ok(false)
    }
}

/// An entry of a listing with its id as text.
#[derive(Serialize, Deserialize)]
struct Listed<T> {
    id: String,
    entry: T,
}

impl<T: Serialize + DeserializeOwned + Send> Item for Listed<T> {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Site {
    /// The forge behind `connection`; nothing is sent yet.
    pub(in crate::forge) fn open(
        connection: &Connection,
        auth: Auth,
        forge: &'static str,
        scope: &'static str,
    ) -> Result<Self, Failure> {
        Ok(Site {
            api: Api::new(connection, auth)?,
            files: Files::open(connection)?,
            forge,
            pace: Pace::default(),
            scope,
        })
    }

    /// All entries of a listing, in the forge's order: the whole or a failure.
    pub(in crate::forge) async fn list<T>(&self, first: Url, id: fn(&T) -> String) -> Result<Vec<T>, Failure>
    where
        T: Serialize + DeserializeOwned + Send,
    {
        let mut all = Vec::new();
        let convert = |entry: T| Listed { id: id(&entry), entry };
        let mut take = |page: Vec<Listed<T>>| all.extend(page.into_iter().map(|listed| listed.entry));
        pages(&self.api, first, &convert, &mut take).await?;
        Ok(all)
    }

    /// A request that changes something.
    pub(in crate::forge) async fn change(
        &self,
        method: Method,
        url: Url,
        body: Option<&Value>,
    ) -> Result<Answer, Refusal> {
        self.pace.turn().await;
        self.api.attempt(&Ask::change(method, url, body)).await
    }

    /// Deletes what is at `url`; what the API says is not there any more is deleted.
    pub(in crate::forge) async fn remove(&self, url: Url) -> Result<(), Failure> {
        match self.change(Method::DELETE, url, None).await {
            Ok(_) => Ok(()),
            Err(refusal) if refusal.is_missing() => Ok(()),
            Err(refusal) => Err(self.refused(refusal)),
        }
    }

    /// Begins to fetch an asset.
    pub(in crate::forge) async fn fetch(
        &self,
        asset: &Asset,
        offset: u64,
        etag: Option<&str>,
    ) -> Result<Download, Failure> {
        let accept = "application/octet-stream";
        let wanted = FileRequest { url: &asset.url, accept, size: asset.size, offset, etag };
        self.files.fetch(&self.api, &wanted).await
    }

    /// The failure of a write, in words that lead to a way out.
    pub(in crate::forge) fn refused(&self, refusal: Refusal) -> Failure {
        let forge = self.forge;
        let (reason, hint) = match refusal.status {
            Some(StatusCode::FORBIDDEN) if refusal.says("archived") => {
                (Reason::Archived, "unarchive the repository there, or leave its releases out.".to_owned())
            }
            Some(StatusCode::PAYLOAD_TOO_LARGE) => {
                (Reason::TooLarge, format!("raise the limit on {forge} or in the proxy before it, or leave it out."))
            }
            Some(StatusCode::BAD_REQUEST | StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY) => {
                (Reason::PushRejected, format!("see what {forge} says."))
            }
            Some(StatusCode::FORBIDDEN | StatusCode::NOT_FOUND)
                if matches!(refusal.failure.reason(), Reason::Forbidden | Reason::RemoteNotFound) =>
            {
                (refusal.failure.reason(), format!("writing releases on {forge} takes {}.", self.scope))
            }
            _ => return refusal.failure,
        };
        let failure = refusal.failure.with_reason(reason);
        match failure.hint() {
            Some(_) => failure,
            None => failure.with_hint(hint),
        }
    }

    /// The failure of a thing that the forge has no room for.
    pub(in crate::forge) fn unsupported(&self, what: &str) -> Failure {
        Failure::new(Reason::Unknown, format!("{} has no {what}", self.forge))
    }
}

/// Whether a failure leaves it open what became of the request.
fn is_unclear(failure: &Failure) -> bool {
    failure.reason().is_transient() && failure.reason() != Reason::RateLimited
}

/// Makes a release; what is there already is found, and told apart from what we made when its answer was lost.
pub(in crate::forge) async fn create(
    forge: &dyn Forge,
    repo: &RepoPath,
    fields: &ReleaseFields,
) -> Result<Created, Failure> {
    let site = forge.site();
    let mut schedule = site.api.schedule();
    // Whether the answer to a request of ours was lost: what is there may be what came of it.
    let mut lost = false;
    let mut waited = false;
    loop {
        let refusal = match forge.make(repo, fields).await {
            Ok(release) => return Ok(Created::Made(release)),
            Err(refusal) => refusal,
        };
        let taken = forge.is_taken(&refusal);
        if !taken && !is_unclear(&refusal.failure) {
            return Err(site.refused(refusal));
        }
        if !waited && !taken && forge.counts_as_empty(repo, &refusal).await? {
            waited = true;
            until_filled(forge, repo, &refusal).await?;
            continue;
        }
        lost |= !taken;
        let mut there = forge.releases(repo).await?;
        there.retain(|release| release.tag == fields.tag);
        // A forge may have several drafts of one tag.
        if let Some(ours) = there.iter().position(|release| is_fresh(release, fields)).filter(|_| lost) {
            return Ok(Created::Made(there.swap_remove(ours)));
        }
        if !there.is_empty() {
            return Ok(Created::Found(there.swap_remove(0)));
        }
        if taken {
            return Err(site.refused(refusal));
        }
        site.api.again(&mut schedule, &refusal.failure).await?;
    }
}

/// The first wait for a forge that has not noticed a push yet; each further one is twice as long.
const FIRST_LOOK: Duration = Duration::from_millis(100);
/// How long it may take to notice: Gitea does it in a queue that all its repositories share.
const NOTICED_WITHIN: Duration = Duration::from_secs(60);

/// Waits until the forge knows of the push that came before: as long as it does not, it makes no release.
async fn until_filled(forge: &dyn Forge, repo: &RepoPath, refusal: &Refusal) -> Result<(), Failure> {
    let (mut wait, mut waited) = (FIRST_LOOK, Duration::ZERO);
    while waited < NOTICED_WITHIN {
        forge.site().api.rest(wait).await?;
        if !forge.counts_as_empty(repo, refusal).await? {
            return Ok(());
        }
        waited += wait;
        wait = (2 * wait).min(Duration::from_secs(5));
    }
    let message = format!("{repo} still counts as empty there, {} s after the push", waited.as_secs());
    let hint = "the next run tries again; when it stays so, restart the forge: its queue of pushes does not move.";
    Err(Failure::new(Reason::ServerError, message).with_hint(hint))
}

/// Whether it is as we ask for it, and nobody has added to it.
fn is_fresh(release: &Release, fields: &ReleaseFields) -> bool {
    let is_title = |title: &str| title == fields.title || (fields.title.is_empty() && title == fields.tag);
    is_title(&release.title)
        && release.notes == fields.notes
        && release.draft == fields.draft
        && release.prerelease == fields.prerelease
        && release.assets.is_empty()
        && release.links.is_empty()
}

/// Uploads a file to where no other of its name is, and sees that it arrived.
pub(in crate::forge) async fn upload(
    forge: &dyn Forge,
    repo: &RepoPath,
    release: &Release,
    file: &Upload<'_>,
) -> Result<Asset, Failure> {
    let site = forge.site();
    let mut schedule = site.api.schedule();
    loop {
        let failure = match forge.send(repo, release, file).await {
            Ok(asset) => match difference(&asset, file) {
                None => return Ok(asset),
                Some(difference) => {
                    forge.delete_asset(repo, release, &asset).await?;
                    difference
                }
            },
            Err(refusal) => {
                let taken = forge.is_taken(&refusal);
                if !taken && !is_unclear(&refusal.failure) {
                    return Err(site.refused(refusal));
                }
                match left_behind(forge, repo, release, file, taken).await? {
                    Left::Whole(asset) => return Ok(*asset),
                    // Somebody else's of this name is not ours to remove.
                    Left::Nothing if taken => return Err(site.refused(refusal)),
                    Left::Nothing => refusal.failure,
                    Left::Removed => {
                        let text =
                            format!("{}: what a broken upload left behind was removed", refusal.failure.message());
                        Failure::new(Reason::ServerError, text).with_retry_after(refusal.failure.retry_after())
                    }
                }
            }
        };
        site.api.again(&mut schedule, &failure).await?;
    }
}

/// What an upload without a good answer left.
enum Left {
    Whole(Box<Asset>),
    Removed,
    Nothing,
}

/// Looks for what an upload left, and removes what is not whole, and of two equal ones the second. `taken`: the forge
/// says that one of this name was there before, so that a whole one may be somebody else's.
async fn left_behind(
    forge: &dyn Forge,
    repo: &RepoPath,
    release: &Release,
    file: &Upload<'_>,
    taken: bool,
) -> Result<Left, Failure> {
    let stored = forge.stored_name(file.name);
    let (mut whole, mut removed) = (None, false);
    for asset in forge.assets(repo, release).await? {
        if asset.stored_as != stored {
            continue;
        }
        if whole.is_none() && asset.complete && difference(&asset, file).is_none() {
            whole = Some(asset);
        } else if !taken || !asset.complete {
            forge.delete_asset(repo, release, &asset).await?;
            removed = true;
        }
    }
    Ok(match whole {
        Some(asset) => Left::Whole(Box::new(asset)),
        None if removed => Left::Removed,
        None => Left::Nothing,
    })
}

/// What the forge has by its own account instead of the file; `None` when it is the same.
pub(in crate::forge) fn difference(asset: &Asset, file: &Upload<'_>) -> Option<Failure> {
    let has = match (asset.digest, asset.size) {
        (Some(digest), _) if digest == file.digest => return None,
        (None, Some(size)) if size == file.size => return None,
        (Some(digest), _) => format!("bytes with the SHA-256 {digest} instead of {}", file.digest),
        (None, Some(size)) => format!("{size} bytes instead of {}", file.size),
        (None, None) => "nothing to say about its size".to_owned(),
    };
    let text = format!("{} arrived damaged: the forge has {has}", shown(file.name));
    Some(Failure::new(Reason::ServerError, text))
}

/// Notes with line feeds only: forges keep what a browser's form sent, and that has carriage returns.
pub(in crate::forge) fn notes(text: Option<String>) -> String {
    let text = text.unwrap_or_default();
    match text.contains('\r') {
        true => text.replace("\r\n", "\n").replace('\r', "\n"),
        false => text,
    }
}

/// The address of a file as the forge gives it.
///
/// # Errors
/// `server_error` when it is no URL: a listing without it would not be whole.
pub(in crate::forge) fn address(text: &str, of: &str) -> Result<Url, Failure> {
    Url::parse(text).map_err(|error| {
        let text = format!("the address of {} is no URL ({error})", shown(of));
        Failure::new(Reason::ServerError, text)
    })
}
