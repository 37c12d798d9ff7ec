//! Brings objects: one request, whose pack goes into one `git index-pack` as it comes.
//!
//! `wish.rs` and `answer.rs` are pure: what is asked for, and what is answered. `incoming.rs` reads the answer.

mod answer;
mod incoming;
mod wish;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;

use super::http::{Stop, unhandled};
use super::listing::Abilities;
use super::obstacle::Errand;
use super::{Unhandled, Wire, settle};
use crate::base::failure::{Failure, Reason};
use crate::git::look::apart;
use crate::git::pack::{Fetched, Indexed, Intake};
use crate::git::refs::Oid;
use crate::git::verbs::{Depth, Listener, Wanted};
use crate::git::{Git, Remote, disk};
pub(super) use incoming::{Ear, Incoming};
pub(super) use wish::Wish;

/// Pieces that wait for index-pack to take them, of 64 KiB at most.
const WAITING: usize = 1;

/// Up to so many bytes git tells of each object that came; of more it would be too long a tale.
const TOLD: u64 = 1 << 20;

/// For messages.
const FETCH: &str = "cannot fetch from the source";

impl Git {
    /// Brings what `dir` lacks of `wanted` without `git fetch`; `None` when that is for git to do. Everything reachable from
    /// the tips is there afterwards.
    ///
    /// # Errors
    /// As `git fetch` would fail. The repository is as it was then, but for litter of index-pack's.
    pub(in crate::git) async fn fetch_directly(
        &self,
        dir: &Path,
        remote: &Remote,
        wanted: &Wanted<'_>,
        listener: Listener<'_>,
    ) -> Result<Option<Fetched>, Failure> {
        let Some(wire) = &self.wire else { return Ok(None) };
        let done = match self.obstacle(wire, remote, Errand::Fetch).await {
            Some(obstacle) => Err(Stop::Unhandled(obstacle)),
            None => self.fetch_over(wire, dir, remote, wanted, listener).await,
        };
        settle(remote, done)
    }

    async fn fetch_over(
        &self,
        wire: &Wire,
        dir: &Path,
        remote: &Remote,
        wanted: &Wanted<'_>,
        listener: Listener<'_>,
    ) -> Result<Fetched, Stop> {
        if wanted.depth != Depth::AsIs {
            return unhandled("the mirror is shallow");
        }
        let abilities = wire.abilities_for(remote).filter(Abilities::sends_packs);
        let abilities = abilities.ok_or_else(|| Unhandled("the server does not speak version 2".into()))?;
        let (place, tips) = (dir.to_owned(), wanted.tips.clone());
        let at_hand = apart(move || disk::at_hand(&place, &tips)).await.ok().flatten();
        let (refs, here) = at_hand.ok_or_else(|| Unhandled("the mirror is not plain".into()))?;
        let named: BTreeSet<Oid> = refs.values().copied().collect();
        let new: BTreeSet<Oid> = wanted.tips.difference(&named).copied().collect();
        let wants: BTreeSet<Oid> = new.difference(&here).copied().collect();
        let mut fetched = match wants.is_empty() {
            true => Fetched::default(),
            false => {
                self.bring(wire, dir, remote, &abilities, &Wish::more(wants, wanted.near, &refs), listener).await?
            }
        };
        if new.is_empty() {
            return Ok(fetched);
        }
        // What is here already may be much, whoever brought it.
        let few = new.is_disjoint(&here) && fetched.received <= TOLD;
        let checked = self.are_connected(FETCH, dir, &remote.url, &new, few).await;
        if checked.is_err()
            && let Some(kept) = fetched.kept.take()
        {
            kept.discard();
        }
        match checked {
            Ok(history) => Ok(Fetched { history, ..fetched }),
            // What an earlier fetch left, and was not whole: git asks for all of it again.
            Err(failure) if failure.reason() == Reason::Corrupt && !here.is_subset(&named) => {
                unhandled("what is here is not connected")
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// Brings what is not here at all.
    async fn bring(
        &self,
        wire: &Wire,
        dir: &Path,
        remote: &Remote,
        abilities: &Abilities,
        wish: &Wish,
        listener: Listener<'_>,
    ) -> Result<Fetched, Stop> {
        tracing::debug!(url = %remote.url, "fetch");
        self.check_version().await?;
        let client = self.client(wire, remote)?;
        let exchange = self.exchange(&client, remote, FETCH);
        let ear = Mutex::new(listener);
        let mut incoming = self.in_time(FETCH, Incoming::open(&exchange, abilities, wish, &ear)).await?;
        let intake = Intake { what: FETCH, dir, arguments: &["--fix-thin"] };
        let indexed = self.take_in(&mut incoming, &intake, &ear).await?;
        Ok(Fetched { received: incoming.received, kept: indexed.kept, ..Fetched::default() })
    }

    /// Hands a pack to index-pack while it comes.
    ///
    /// # Errors
    /// What broke the pack off, else what index-pack says.
    pub(super) async fn take_in(
        &self,
        incoming: &mut Incoming<'_>,
        intake: &Intake<'_>,
        ear: Ear<'_, '_>,
    ) -> Result<Indexed, Failure> {
        let (pieces, taken) = mpsc::channel(WAITING);
        let hear = |line: &str| ear.lock().unwrap_or_else(PoisonError::into_inner).hear(line);
        let index = self.index_pack(intake, taken, hear);
        let mut sent = None;
        let indexed = {
            let send = incoming.send(pieces, ear);
            tokio::pin!(index, send);
            loop {
                tokio::select! {
                    biased;
                    indexed = &mut index => break indexed,
                    // However it ended, index-pack learns that there is no more, and comes to its own end.
                    done = &mut send, if sent.is_none() => sent = Some(done),
                }
            }
        };
        // In git's words, which are index-pack's, below the server's.
        let indexed = indexed.map_err(|rejected| rejected.told(intake.what, &incoming.words()));
        match sent {
            Some(Err(failure)) => Err(failure),
            Some(Ok(true)) => indexed,
            Some(Ok(false)) | None => {
                let indexed = indexed?;
                if let Some(kept) = indexed.kept {
                    kept.discard();
                }
                let message = format!("{}: the pack goes on behind its end", intake.what);
                Err(Failure::new(Reason::ServerError, message))
            }
        }
    }
}
