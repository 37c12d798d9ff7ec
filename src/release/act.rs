//! Carries a plan out at one destination: create, files, links, publish, verify, record. What is worth trying again, the
//! forge's client tries again by itself.

use std::collections::BTreeSet;
use std::path::PathBuf;

use futures_util::{StreamExt, stream};
use sha2::{Digest as _, Sha256 as Hasher};

use super::backup::Backup;
use super::plan::{self, Plan, Work, is_ours, made_asset};
use super::transfer::{Fetched, Transfer};
use super::wish::Rules;
use crate::base::failure::{Failure, Reason};
use crate::forge::release::{Created, ReleaseDestination, ReleaseSource, Upload};
use crate::model::projection::{MadeRelease, ReleaseCounts, ReleaseProblem};
use crate::model::release::{Asset, Release, ReleaseFields, Sha256};
use crate::model::{MirrorKey, RepoPath};
use crate::store::Store;

/// Releases of one repository whose files are under way at once.
const AT_ONCE: usize = 3;

/// One destination and what it takes to write there.
pub struct Act<'a> {
    pub destination: &'a str,
    pub forge: &'a dyn ReleaseDestination,
    pub repo: &'a RepoPath,
    pub key: &'a MirrorKey,
    pub source: &'a dyn ReleaseSource,
    /// The source's whole listing.
    pub listing: &'a [Release],
    pub tags: &'a BTreeSet<String>,
    pub rules: &'a Rules<'a>,
    pub transfer: &'a Transfer<'a>,
    /// The backup on disk, which has some of the files already.
    pub backup: Option<Backup>,
    pub store: Option<&'a Store>,
}

/// What came of it.
#[derive(Default)]
pub struct Done {
    pub counts: ReleaseCounts,
    pub problems: Vec<ReleaseProblem>,
    /// Somebody made a release of these tags in the meantime.
    pub foreign: Vec<String>,
    pub deferred: Vec<String>,
    /// Our own stopping, when it left something undone.
    pub stopped: Option<Failure>,
}

/// A release that is there, and what is left to be done for it.
struct Begun {
    release: Release,
    work: Work,
    created: bool,
}

/// How making a release began.
enum Start {
    Begun(Box<Begun>),
    InSync(MadeRelease),
    Foreign,
    Deferred,
}

impl Act<'_> {
    /// Carries the plan out; one release that fails holds no other back.
    pub async fn carry_out(&self, plan: Plan) -> Done {
        let mut done = Done::default();
        for made in &plan.in_sync {
            self.record(made, &mut done).await;
        }
        for release in &plan.deletions {
            if done.stopped.is_some() {
                break;
            }
            match self.delete(release).await {
                Ok(()) => done.counts.deleted += 1,
                Err(failure) => done.problem(&release.tag, None, failure),
            }
        }
        let mut begun = Vec::new();
        for work in plan.works {
            if done.stopped.is_some() {
                break;
            }
            let tag = work.fields.tag.clone();
            match self.begin(work).await {
                Ok(Start::Begun(one)) => begun.push(*one),
                Ok(Start::InSync(made)) => {
                    self.record(&made, &mut done).await;
                    done.counts.in_sync += 1;
                }
                Ok(Start::Foreign) => done.foreign.push(tag),
                Ok(Start::Deferred) => done.deferred.push(tag),
                Err(failure) => done.problem(&tag, None, failure),
            }
        }
        let finished = stream::iter(begun).map(|one| self.finish(one)).buffered(AT_ONCE).collect::<Vec<_>>().await;
        for one in finished {
            done.add(one);
        }
        done
    }

    async fn delete(&self, release: &Release) -> Result<(), Failure> {
        self.forge.delete(self.repo, release).await?;
        match self.store {
            Some(store) => Ok(store.forget_release(self.key, self.destination, &release.tag).await?),
            None => Ok(()),
        }
    }

    /// Makes the release, where it is not there yet: as a draft as long as something is missing.
    async fn begin(&self, work: Work) -> Result<Start, Failure> {
        if let Some(release) = work.there.clone() {
            // To publish is to make a missing tag. A forge turns a release whose tag was deleted into a draft.
            let published = release.draft && !work.fields.draft && self.rules.features.drafts;
            if published && !self.forge.has_tag(self.repo, &work.fields.tag).await? {
                return Ok(Start::Deferred);
            }
            return Ok(Start::Begun(Box::new(Begun { release, work, created: false })));
        }
        let tag = work.fields.tag.clone();
        // GitHub and Gitea would make a missing tag themselves, at whatever commit they like.
        if !work.fields.draft && !self.forge.has_tag(self.repo, &tag).await? {
            return Ok(Start::Deferred);
        }
        let at_once = work.upload.is_empty() && work.put_links.is_empty();
        let staged = ReleaseFields {
            draft: work.fields.draft || (self.rules.features.drafts && !at_once),
            latest: work.fields.latest.filter(|_| at_once),
            ..work.fields.clone()
        };
        let release = match self.forge.create(self.repo, &staged).await? {
            Created::Made(release) => release,
            // A lost answer, or another writer.
            Created::Found(release) if is_ours(&release, None, self.rules) => {
                let there = std::slice::from_ref(&release);
                let again = plan::plan(self.listing, there, &[], self.tags, self.rules);
                if let Some(made) = again.in_sync.into_iter().find(|made| made.tag == tag) {
                    return Ok(Start::InSync(made));
                }
                let work = again.works.into_iter().find(|work| work.fields.tag == tag && work.there.is_some());
                let Some(work) = work else { return Ok(Start::Deferred) };
                return Ok(Start::Begun(Box::new(Begun { release, work, created: true })));
            }
            Created::Found(_) => return Ok(Start::Foreign),
        };
        let work = Work { write: !at_once, ..work };
        Ok(Start::Begun(Box::new(Begun { release, work, created: true })))
    }

    async fn finish(&self, begun: Begun) -> Done {
        let mut done = Done::default();
        let Begun { mut release, mut work, created } = begun;
        let tag = work.fields.tag.clone();
        if let Err(failure) = self.fill(&release, &mut work, &mut done).await {
            done.problem(&tag, None, failure);
        }
        // What lacks a file is not published; what was published stays so.
        let missing = !done.is_whole();
        let hidden = missing && release.draft && self.rules.features.drafts;
        let changes = work.write || !work.upload.is_empty() || !work.remove.is_empty();
        if changes && !missing {
            match self.forge.edit(self.repo, &release.id, &work.fields).await {
                Ok(written) => release = written,
                Err(failure) => done.problem(&tag, None, failure),
            }
        } else if changes && !hidden {
            // The fields are right although a file is missing; the mark says that it is not whole.
            let notes = work.fields.notes.replace(&work.state, UNFINISHED);
            let fields = ReleaseFields { notes, ..work.fields.clone() };
            // What was so after the run before needs no second time.
            if plan::differs(&release, &fields, self.rules.features)
                && let Err(failure) = self.forge.edit(self.repo, &release.id, &fields).await
            {
                done.problem(&tag, None, failure);
            }
        }
        if done.is_whole()
            && let Err(failure) = self.verify(&release, &work)
        {
            done.problem(&tag, None, failure);
        }
        if done.is_whole() {
            let made = work.made(&release);
            self.record(&made, &mut done).await;
        }
        match (done.is_whole(), created) {
            (false, _) => done.counts.incomplete += 1,
            (true, true) => done.counts.created += 1,
            (true, false) => done.counts.updated += 1,
        }
        done
    }

    /// Files and links: what is new comes, in the source's order, and what is old goes.
    async fn fill(&self, release: &Release, work: &mut Work, done: &mut Done) -> Result<(), Failure> {
        let tag = work.fields.tag.clone();
        let uploads = work.upload.clone();
        // Those that may be there although nobody has said so.
        let mut begun: Vec<&Asset> = Vec::new();
        for asset in &uploads {
            match self.copy(release, asset, work, &mut begun, done).await {
                Ok(there) => {
                    done.counts.assets += 1;
                    done.counts.bytes += there.size.or(asset.size).unwrap_or_default();
                    begun.retain(|begun| begun.name != asset.name);
                    work.kept.push(made_asset(asset, &there));
                    self.record(&work.partly_made(release, &begun), done).await;
                }
                Err(failure) if failure.reason() == Reason::Cancelled => return Err(failure),
                Err(failure) => {
                    // A refusal leaves nothing there; what is unclear may have left something.
                    if !failure.reason().is_transient() && begun.pop_if(|begun| begun.name == asset.name).is_some() {
                        self.record(&work.partly_made(release, &begun), done).await;
                    }
                    done.problem(&tag, Some(&asset.name), failure);
                }
            }
        }
        // Those that nothing new has the name of, or whose successor did not come, and which then stay.
        let stays = |old: &Asset| uploads.iter().any(|new| plan::same_name(new, old, self.rules));
        for asset in work.remove.iter().filter(|old| !stays(old)) {
            self.forge.delete_asset(self.repo, release, asset).await?;
        }
        for link in &work.drop_links {
            self.forge.delete_link(self.repo, release, link).await?;
        }
        for link in &work.put_links {
            match self.forge.put_link(self.repo, release, link).await {
                Ok(()) => {}
                Err(failure) if failure.reason() == Reason::Cancelled => return Err(failure),
                Err(failure) => done.problem(&tag, Some(&link.name), failure),
            }
        }
        Ok(())
    }

    /// Puts one file there. What has its name, and is ours, goes when the new bytes are here, and not before.
    async fn copy<'w>(
        &self,
        release: &Release,
        asset: &'w Asset,
        work: &mut Work,
        begun: &mut Vec<&'w Asset>,
        done: &mut Done,
    ) -> Result<Asset, Failure> {
        let kept = match self.backup.as_ref().and_then(|backup| backup.file(&release.tag, asset)) {
            Some(kept) => is_intact(kept).await,
            None => None,
        };
        let file = match kept {
            Some((path, size, digest)) => Fetched::kept(path, size, digest),
            None => self.transfer.fetch(self.source, asset).await?,
        };
        // Written down first: what a kill leaves there is known as ours then.
        begun.push(asset);
        self.record(&work.partly_made(release, begun), done).await;
        for old in work.remove.extract_if(.., |old| plan::same_name(asset, old, self.rules)) {
            self.forge.delete_asset(self.repo, release, &old).await?;
        }
        let content_type = asset.content_type.as_deref();
        let upload = Upload { name: &asset.name, content_type, file: &file.path, size: file.size, digest: file.digest };
        let there = self.forge.upload(self.repo, release, &upload).await?;
        let wrong = there.size.is_some_and(|size| size != file.size)
            || there.digest.is_some_and(|digest| digest != file.digest)
            || !there.complete;
        match wrong {
            true => Err(Failure::new(Reason::ServerError, "the forge has other bytes than were sent")),
            false => Ok(there),
        }
    }

    /// What the forge answered last must be what was to be there.
    fn verify(&self, release: &Release, work: &Work) -> Result<(), Failure> {
        let lacking = |what: &str| {
            let message = "the forge does not show the release as it was written";
            Err(Failure::new(Reason::ServerError, message).with_evidence(what))
        };
        let want = &work.fields;
        let features = self.rules.features;
        if release.tag != want.tag || release.title.trim() != want.title.trim() {
            return lacking("its tag or title is another");
        }
        if super::marker::normal(&release.notes) != super::marker::normal(&want.notes) {
            return lacking("its notes are others");
        }
        if (features.drafts && release.draft != want.draft)
            || (features.prereleases && release.prerelease != want.prerelease)
        {
            return lacking("it is no draft, or no pre-release, as the source's");
        }
        match work.kept.iter().find(|kept| !release.assets.iter().any(|asset| asset.id == kept.id)) {
            // An answer to a creation without files has none to show.
            Some(kept) if work.write || !work.upload.is_empty() => lacking(&format!("{} is missing", kept.name)),
            _ => Ok(()),
        }
    }

    async fn record(&self, made: &MadeRelease, done: &mut Done) {
        let Some(store) = self.store else { return };
        if let Err(error) = store.record_release(self.key, self.destination, made).await {
            done.problem(&made.tag, None, error.into());
        }
    }
}

/// The file of a backup when its bytes are what was written down of them: a disk may lose some in the course of time.
async fn is_intact(kept: (PathBuf, u64, Sha256)) -> Option<(PathBuf, u64, Sha256)> {
    let task = tokio::task::spawn_blocking(move || {
        let mut hasher = Hasher::new();
        let mut file = std::fs::File::open(&kept.0).ok()?;
        std::io::copy(&mut file, &mut hasher).ok()?;
        (Sha256::new(hasher.finalize().into()) == kept.2).then_some(kept)
    });
    task.await.ok().flatten()
}

/// The state of a release that lacks something.
const UNFINISHED: &str = "0000000000000000";

impl Done {
    fn is_whole(&self) -> bool {
        self.problems.is_empty() && self.stopped.is_none()
    }

    fn problem(&mut self, tag: &str, asset: Option<&str>, failure: Failure) {
        if failure.reason() == Reason::Cancelled {
            self.stopped = Some(failure);
            return;
        }
        let failure = match failure.way_out() {
            Some(_) => failure,
            None => failure.with_hint("the next run tries again, and does only what is missing."),
        };
        self.problems.push(ReleaseProblem { tag: tag.to_owned(), asset: asset.map(str::to_owned), failure });
    }

    fn add(&mut self, other: Done) {
        self.counts.add(&other.counts);
        self.problems.extend(other.problems);
        self.foreign.extend(other.foreign);
        self.deferred.extend(other.deferred);
        self.stopped = self.stopped.take().or(other.stopped);
    }
}
