//! A first clone: refs listed, pack brought, and the files around it written here. One process, git's index-pack; of an
//! empty repository none.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::exchange::Unborn;
use super::fetch::{Incoming, Wish};
use super::http::{Stop, unhandled};
use super::listing::Abilities;
use super::obstacle::Errand;
use super::{Unhandled, Wire, settle};
use crate::base::failure::Failure;
use crate::git::disk::NewMirror;
use crate::git::look::apart;
use crate::git::pack::Intake;
use crate::git::refs::Oid;
use crate::git::verbs::Listener;
use crate::git::{Git, Remote};

/// For messages.
const CLONE: &str = "cannot clone the source";
const NEW: &str = "cannot write the new mirror";

impl Git {
    /// Clones all refs of `remote` into the new bare repository `into` without `git clone`, and returns the bytes received;
    /// `None` when that is for git to do, and then nothing is there.
    ///
    /// # Errors
    /// As `git clone` would fail. Nothing usable is left in `into` then.
    pub(in crate::git) async fn clone_directly(
        &self,
        remote: &Remote,
        into: &Path,
        listener: Listener<'_>,
    ) -> Result<Option<u64>, Failure> {
        let Some(wire) = &self.wire else { return Ok(None) };
        let done = match self.obstacle(wire, remote, Errand::Fetch).await {
            Some(obstacle) => Err(Stop::Unhandled(obstacle)),
            None => self.clone_over(wire, remote, into, listener).await,
        };
        settle(remote, done)
    }

    async fn clone_over(&self, wire: &Wire, remote: &Remote, into: &Path, listener: Listener<'_>) -> Result<u64, Stop> {
        tracing::debug!(url = %remote.url, "clone");
        let client = self.client(wire, remote)?;
        let exchange = self.exchange(&client, remote, CLONE);
        let (source, abilities) = self.in_time(CLONE, exchange.refs(wire.abilities(remote), Unborn::Asked)).await?;
        let Some(abilities) = abilities.filter(Abilities::sends_packs) else {
            return unhandled("the server does not speak version 2");
        };
        wire.learn(remote, Some(abilities.clone()));
        let mirror = NewMirror::of(&remote.url.to_string(), &source);
        let mirror = mirror.ok_or_else(|| Unhandled("its refs or its HEAD are not plain".into()))?;
        let tips: BTreeSet<Oid> = source.refs.values().copied().chain(source.head_oid).collect();
        if tips.is_empty() {
            in_new(NEW, into, move |into| mirror.found(into).and_then(|()| mirror.complete(into))).await?;
            return Ok(0);
        }
        self.check_version().await?;
        let ear = Mutex::new(listener);
        let wish = Wish::all(tips);
        let mut incoming = self.in_time(CLONE, Incoming::open(&exchange, &abilities, &wish, &ear)).await?;
        let mirror = Arc::new(mirror);
        let founder = mirror.clone();
        in_new(NEW, into, move |into| founder.found(into)).await?;
        // As `git clone` does (fetch-pack.c): a pack that names nothing outside of it needs no other look at what it reaches.
        let arguments = &["--check-self-contained-and-connected"];
        let intake = Intake { what: CLONE, dir: into, arguments };
        let indexed = self.take_in(&mut incoming, &intake, &ear).await?;
        drop(indexed.kept);
        if !indexed.is_self_contained || !in_new(NEW, into, move |into| mirror.complete(into)).await? {
            return Err(incoming.said("fatal: remote did not send all necessary objects").into());
        }
        Ok(incoming.received)
    }
}

async fn in_new<T: Send + 'static>(
    what: &str,
    into: &Path,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let place = into.to_owned();
    let done = apart(move || work(&place)).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|error| Failure::local(format!("{what} {}", into.display()), &error))
}
