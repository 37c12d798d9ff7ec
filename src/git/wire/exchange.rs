//! The refs of a server: asked for at once where its abilities are known, else for the abilities first.

use super::AGENT;
use super::http::{Http, Step, Stop};
use super::listing::{Abilities, Greeted, Greeting, Listing};
use super::packet;
use crate::base::failure::Reason;
use crate::git::refs::Advertisement;

/// Whether a HEAD that names a branch not yet born is asked for, as `git clone` does and `git ls-remote` does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unborn {
    Asked,
    NotAsked,
}

impl Http<'_> {
    /// Asks for the refs: at once for the list where the server's abilities are `known` from another repository of its, else
    /// for the abilities first. With the refs come the abilities of a server that speaks version 2 about this repository.
    pub async fn refs(
        &self,
        known: Option<Abilities>,
        unborn: Unborn,
    ) -> Result<(Advertisement, Option<Abilities>), Stop> {
        if let Some(known) = known {
            match self.list(&known, unborn).await {
                Ok(refs) => return Ok((refs, Some(known))),
                // More questions would be worse than one.
                Err(Stop::Failed(failure))
                    if matches!(failure.reason(), Reason::RateLimited | Reason::TimedOut | Reason::TooLarge) =>
                {
                    return Err(failure.into());
                }
                // This repository may be another: an old one, of another hash, moved, gone. Asked step by step, it tells.
                Err(_) => {}
            }
        }
        let mut greeting = Greeting::default();
        let answer = self.ask(self.first(), Step::First).await?;
        self.read(answer, Step::First, |packet| greeting.take(packet).map(|()| greeting.is_done())).await?;
        match greeting.finish().or_else(|trouble| self.trouble(trouble))? {
            Greeted::Refs(refs) => Ok((refs, None)),
            Greeted::Abilities(abilities) => Ok((self.list(&abilities, unborn).await?, Some(abilities))),
        }
    }

    async fn list(&self, abilities: &Abilities, unborn: Unborn) -> Result<Advertisement, Stop> {
        let mut body = packet::line("command=ls-refs");
        if abilities.agent {
            body += &packet::line(&format!("agent={AGENT}"));
        }
        if let Some(format) = &abilities.format {
            body += &packet::line(&format!("object-format={format}"));
        }
        // As `git ls-remote` asks: HEAD's target and what tags name, of all refs.
        body = body + "0001" + &packet::line("peel") + &packet::line("symrefs");
        let unborn = unborn == Unborn::Asked;
        if unborn && abilities.unborn {
            body += &packet::line("unborn");
        }
        let answer = self.ask(self.post(body + "0000"), Step::List).await?;
        let mut listing = Listing::of(abilities, unborn);
        self.read(answer, Step::List, |packet| listing.take(packet).map(|()| listing.is_done())).await?;
        Ok(listing.finish())
    }
}
