//! Mirrors change their places before anything is worked on: first what is in the way, then each to where its name wants it.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::base::failure::Failure;
use crate::base::url::RemoteUrl;
use crate::cycle::plan::{Eviction, Move};
use crate::mirror::tools::Tools;
use crate::mirror::{self, adopt};
use crate::model::MirrorKey;
use crate::store::{MirrorRecord, Store};

/// What became of the moves.
#[derive(Default)]
pub(super) struct Rearranged {
    /// Where mirrors lie now that were moved, if only aside.
    pub(super) moved: HashMap<MirrorKey, PathBuf>,
    /// Why mirrors could not be moved.
    pub(super) stuck: HashMap<MirrorKey, Failure>,
    /// Places still taken by another repository's mirror, which must not be mistaken for that of the new one.
    pub(super) occupied: HashMap<PathBuf, Failure>,
}

impl Rearranged {
    /// Why a mirror cannot be worked on in its place.
    pub(super) fn in_the_way(&self, key: &MirrorKey, place: &Path) -> Option<&Failure> {
        self.stuck.get(key).or_else(|| self.occupied.get(place))
    }
}

/// Moves mirrors, and remembers where they lie.
pub(super) struct Mover<'a> {
    pub(super) tools: &'a Tools,
    pub(super) store: Option<&'a Store>,
    pub(super) records: &'a HashMap<&'a MirrorKey, &'a MirrorRecord>,
    /// Since when we are alone in the storage.
    pub(super) alone_since: SystemTime,
}

impl Mover<'_> {
    /// Moves mirrors to their new places.
    pub(super) async fn rearrange(&self, evictions: &[Eviction], moves: &[Move]) -> Rearranged {
        let storage = &self.tools.storage;
        let Rearranged { mut moved, mut stuck, mut occupied } = Rearranged::default();
        for Eviction { key, from } in evictions {
            let to = storage.gone_place(from, &key.id);
            match self.set_aside(key, from, &to).await {
                Ok(()) => {
                    moved.insert(key.clone(), to);
                }
                Err(failure) => {
                    occupied.insert(from.clone(), failure);
                }
            }
        }
        // Where a place is taken by a mirror that is itself about to move, both wait aside first.
        let wanted: HashSet<&Path> = moves.iter().map(|step| step.to.as_path()).collect();
        for step in moves {
            let key = step.repo.key();
            let staged = storage.staging_place(&key);
            if step.from != staged && wanted.contains(step.from.as_path()) {
                match self.set_aside(&key, &step.from, &staged).await {
                    Ok(()) => {
                        moved.insert(key, staged);
                    }
                    Err(failure) => {
                        occupied.insert(step.from.clone(), failure.clone());
                        stuck.insert(key, failure);
                    }
                }
            }
        }
        for step in moves {
            let key = step.repo.key();
            if stuck.contains_key(&key) {
                continue;
            }
            let from = moved.get(&key).unwrap_or(&step.from).clone();
            let relocated = match occupied.get(&step.to) {
                Some(failure) => Err(failure.clone()),
                None if let Err(foreign) = self.check_ours(step, &from) => Err(foreign),
                None => {
                    let (git, places) = (&self.tools.git, (from.as_path(), step.to.as_path()));
                    adopt::relocate(git, storage, places, &step.repo.url, self.alone_since).await
                }
            };
            let recorded = match relocated {
                Ok(()) => self.moved(&key, &step.to).await,
                Err(failure) => Err(failure),
            };
            match recorded {
                Ok(()) => {
                    moved.insert(key, step.to.clone());
                }
                Err(failure) => {
                    stuck.insert(key, failure);
                }
            }
        }
        Rearranged { moved, stuck, occupied }
    }

    /// Refuses to move, and to change, what is not the mirror of this repository.
    fn check_ours(&self, step: &Move, from: &Path) -> Result<(), Failure> {
        let recorded = self.records.get(&step.repo.key()).and_then(|record| RemoteUrl::parse(&record.url).ok());
        let urls: Vec<&RemoteUrl> = [&step.repo.url].into_iter().chain(&recorded).collect();
        mirror::ours::check(&self.tools.storage, from, &urls)
    }

    /// Moves a mirror out of the way; where that cannot be remembered, it is moved back.
    async fn set_aside(&self, key: &MirrorKey, from: &Path, to: &Path) -> Result<(), Failure> {
        let storage = &self.tools.storage;
        storage.place(&storage.path(from), to)?;
        let remembered = match adopt::move_releases(storage, from, to) {
            Ok(()) => self.moved(key, to).await,
            Err(failure) => Err(failure),
        };
        if remembered.is_err() {
            storage.place(&storage.path(to), from)?;
            adopt::move_releases(storage, to, from)?;
        }
        remembered
    }

    /// Remembers where a mirror lies now, so that a run killed between move and result does not lose it.
    async fn moved(&self, key: &MirrorKey, to: &Path) -> Result<(), Failure> {
        let (Some(store), Some(record)) = (self.store, self.records.get(key)) else { return Ok(()) };
        let record = MirrorRecord { mirror: to.to_owned(), ..(*record).clone() };
        Ok(store.record(&record).await?)
    }
}
