//! Pure: what is asked of a server that sends objects (gitprotocol-v2(5), `fetch`).

use std::collections::BTreeSet;

use bstr::ByteSlice;

use super::super::AGENT;
use super::super::listing::Abilities;
use super::super::packet::line;
use crate::git::refs::{OWN, Oid, RefMap};

/// So many of ours are named to the server at most. It needs but one near each tip that we want; more make the request
/// larger than the pack.
const MOST_HAVES: usize = 1000;

/// Objects to be had, and what is here already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    wants: BTreeSet<Oid>,
    /// The nearest first.
    haves: Vec<Oid>,
    near: usize,
}

/// Whether the server may say that it does not know enough of what we have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Talk {
    Open,
    Done,
}

impl Wish {
    /// All of `wants`, for somebody who has nothing.
    pub fn all(wants: BTreeSet<Oid>) -> Self {
        Wish { wants, haves: Vec::new(), near: 0 }
    }

    /// `wants`, for a repository that has `refs`; `near` are those of their objects that the wanted most likely grew from.
    ///
    /// Kept refs are not named: their source has dropped them.
    pub fn more(wants: BTreeSet<Oid>, near: &[Oid], refs: &RefMap) -> Self {
        let here: BTreeSet<Oid> = refs.values().copied().collect();
        let of = |branches: bool| {
            let fits = move |name: &[u8]| name.starts_with(b"refs/heads/") == branches;
            refs.iter().filter(move |(name, _)| fits(name) && !name.starts_with_str(OWN)).map(|(_, &oid)| oid)
        };
        let mut named = BTreeSet::new();
        let mut haves: Vec<Oid> = near.iter().copied().filter(|oid| here.contains(oid) && named.insert(*oid)).collect();
        haves.truncate(MOST_HAVES);
        let near = haves.len();
        haves.extend(of(true).chain(of(false)).filter(|oid| named.insert(*oid)).take(MOST_HAVES - near));
        Wish { wants, haves, near }
    }

    /// Whether anything is named to the server as here.
    pub fn builds_upon(&self) -> bool {
        !self.haves.is_empty()
    }

    /// What the wanted most likely grew from.
    pub fn near(&self) -> &[Oid] {
        &self.haves[..self.near]
    }

    /// The request's body.
    pub fn request(&self, abilities: &Abilities, talk: Talk) -> Vec<u8> {
        let mut body = line("command=fetch");
        if abilities.agent {
            body += &line(&format!("agent={AGENT}"));
        }
        if let Some(format) = &abilities.format {
            body += &line(&format!("object-format={format}"));
        }
        body += "0001";
        if self.builds_upon() {
            // What is here need not be sent to be built upon.
            body += &line("thin-pack");
        }
        body += &line("ofs-delta");
        for want in &self.wants {
            body += &line(&format!("want {want}"));
        }
        for have in &self.haves {
            body += &line(&format!("have {have}"));
        }
        if talk == Talk::Done {
            body += &line("done");
        }
        (body + "0000").into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oid(number: u32) -> Oid {
        Oid::parse(format!("{number:040x}").as_bytes()).unwrap()
    }

    fn refs(names: &[(&str, u32)]) -> RefMap {
        names.iter().map(|&(name, number)| (name.into(), oid(number))).collect()
    }

    #[test]
    fn the_nearest_are_named_first_and_what_is_kept_not_at_all() {
        let kept = "refs/holocron/kept/20260101T000000Z/refs/heads/x";
        let here = refs(&[("refs/heads/a", 1), ("refs/heads/b", 2), ("refs/pull/1/head", 3), (kept, 9)]);
        let wants = BTreeSet::from([oid(7)]);
        let wish = Wish::more(wants.clone(), &[oid(3), oid(8)], &here);
        assert_eq!(wish, Wish { wants, haves: vec![oid(3), oid(1), oid(2)], near: 1 });
    }

    #[test]
    fn however_many_refs_there_are_the_request_stays_small() {
        let here: RefMap =
            (0..5000).map(|number| (format!("refs/pull/{number}/head").into(), oid(number + 1))).collect();
        let wish = Wish::more(BTreeSet::from([oid(6000)]), &[oid(4999)], &here);
        assert_eq!((wish.haves.len(), wish.haves[0]), (MOST_HAVES, oid(4999)));
    }
}
