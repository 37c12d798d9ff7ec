//! Pure: what a server that is pushed to says of itself first, its refs and what it can do (gitprotocol-pack(5)).

use std::collections::{BTreeMap, BTreeSet};

use bstr::{BString, ByteSlice};

use crate::git::refs::Oid;
use crate::git::wire::listing::Trouble;
use crate::git::wire::packet::Packet;

/// A repository to push to, as it describes itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Receiver {
    /// Its refs, but for those that it hides from pushes.
    pub refs: BTreeMap<BString, Oid>,
    /// What else it has: the tips of repositories that it borrows objects from.
    pub borrowed: BTreeSet<Oid>,
    abilities: Vec<String>,
}

impl Receiver {
    /// Whether it can do this.
    pub fn can(&self, ability: &str) -> bool {
        self.abilities.iter().any(|known| known == ability)
    }

    /// The hash by which it names objects.
    pub fn format(&self) -> &str {
        self.abilities.iter().find_map(|known| known.strip_prefix("object-format=")).unwrap_or("sha1")
    }

    /// How many digits its object ids have; `None` for a hash that is not known here.
    pub fn digits(&self) -> Option<usize> {
        match self.format() {
            "sha1" => Some(40),
            "sha256" => Some(64),
            _ => None,
        }
    }

    /// Everything that it is known to have.
    pub fn tips(&self) -> BTreeSet<Oid> {
        self.refs.values().chain(&self.borrowed).copied().collect()
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Step {
    #[default]
    Start,
    /// After `# service=git-receive-pack`, which a flush ends.
    Service,
    First,
    More,
    Done,
}

/// Reads the answer to `info/refs?service=git-receive-pack`.
#[derive(Debug, Default)]
pub struct Greeting {
    step: Step,
    found: Receiver,
}

fn strange(what: &str, line: &[u8]) -> Trouble {
    Trouble::Strange(format!("{what}: {}", line.as_bstr()))
}

impl Greeting {
    /// Takes the next packet.
    ///
    /// # Errors
    /// Why this is no repository that can be pushed to from here.
    pub fn take(&mut self, packet: &Packet<'_>) -> Result<(), Trouble> {
        let data = match packet {
            Packet::Data(data) => data.strip_suffix(b"\n").unwrap_or(data),
            Packet::Flush => {
                self.step = match self.step {
                    Step::Service => Step::First,
                    Step::More | Step::Done => Step::Done,
                    Step::Start | Step::First => return Err(strange("not git's protocol", b"0000")),
                };
                return Ok(());
            }
            Packet::Delimiter | Packet::End => return Err(strange("an unexpected packet", b"")),
        };
        if let Some(words) = data.strip_prefix(b"ERR ") {
            return Err(Trouble::Refused(words.to_str_lossy().into_owned()));
        }
        match self.step {
            Step::Start if data == b"# service=git-receive-pack" => self.step = Step::Service,
            Step::First if data == b"version 1" => {}
            Step::First => {
                self.step = Step::More;
                let (line, abilities) = data.split_once_str("\0").unwrap_or((data, b""));
                self.found.abilities = abilities.to_str_lossy().split_ascii_whitespace().map(str::to_owned).collect();
                self.one(line)?;
            }
            Step::More => self.one(data)?,
            Step::Start | Step::Service => return Err(strange("not git's protocol", data)),
            Step::Done => {}
        }
        Ok(())
    }

    fn one(&mut self, line: &[u8]) -> Result<(), Trouble> {
        // What is behind its tips is not all there, so that they say little of what it has.
        if line.starts_with(b"shallow ") {
            return Err(strange("a repository whose history is cut off", line));
        }
        let digits = self.found.digits().ok_or_else(|| strange("an unknown hash", self.found.format().as_bytes()))?;
        let (oid, name) = line.split_once_str(" ").ok_or_else(|| strange("no ref", line))?;
        let oid = Oid::parse(oid).filter(|_| oid.len() == digits).ok_or_else(|| strange("no ref", line))?;
        match name {
            // Of a repository without any ref only the server's abilities are told.
            b"capabilities^{}" => {}
            b".have" => drop(self.found.borrowed.insert(oid)),
            name => drop(self.found.refs.insert(name.into(), oid)),
        }
        Ok(())
    }

    /// Whether the answer is whole.
    pub fn is_done(&self) -> bool {
        self.step == Step::Done
    }

    /// The repository.
    pub fn finish(self) -> Receiver {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::wire::packet::Packets;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    /// Reads these lines; an empty one is a flush.
    fn greet(lines: &[&str]) -> Result<Option<Receiver>, Trouble> {
        let packet = |line: &&str| match line.is_empty() {
            true => "0000".to_owned(),
            false => format!("{:04x}{line}", line.len() + 4),
        };
        let mut packets = Packets::default();
        packets.feed(lines.iter().map(packet).collect::<String>().into());
        let mut greeting = Greeting::default();
        while let Some(packet) = packets.next().unwrap() {
            greeting.take(&packet)?;
        }
        Ok(greeting.is_done().then(|| greeting.finish()))
    }

    #[test]
    fn refs_borrowed_tips_and_abilities_are_told_apart() {
        let first = format!("{A} refs/heads/main\0report-status delete-refs object-format=sha1 agent=git/2.47\n");
        let (more, have) = (format!("{B} refs/tags/v1\n"), format!("{B} .have\n"));
        let found = greet(&["# service=git-receive-pack\n", "", &first, &more, &have, ""]).unwrap().unwrap();
        assert_eq!(found.refs.keys().collect::<Vec<_>>(), ["refs/heads/main", "refs/tags/v1"]);
        assert_eq!((found.borrowed.len(), found.tips().len()), (1, 2));
        assert!(found.can("report-status") && !found.can("report-status-v2"));
        assert_eq!((found.format(), found.digits()), ("sha1", Some(40)));
    }

    #[test]
    fn an_empty_repository_has_abilities_and_no_refs() {
        let null = "0".repeat(40);
        let line = format!("{null} capabilities^{{}}\0report-status side-band-64k\n");
        let found = greet(&["# service=git-receive-pack\n", "", &line, ""]).unwrap().unwrap();
        assert!(found.tips().is_empty() && found.can("side-band-64k"));
    }

    #[test]
    fn what_is_not_whole_or_not_understood_is_no_receiver() {
        let first = format!("{A} refs/heads/main\0report-status\n");
        assert_eq!(greet(&["# service=git-receive-pack\n", "", &first]), Ok(None));
        let odd = format!("{A} refs/heads/main\0object-format=md5\n");
        let short = format!("{} refs/heads/main\0report-status\n", &A[..39]);
        let cut_off = format!("shallow {A}\n");
        for lines in [
            &["# service=git-upload-pack\n", ""][..],
            &["<html>"],
            &["# service=git-receive-pack\n", "", ""],
            &["# service=git-receive-pack\n", "", &odd],
            &["# service=git-receive-pack\n", "", &short],
            &["# service=git-receive-pack\n", "", "version 2\n"],
            &["# service=git-receive-pack\n", "", &first, &cut_off],
        ] {
            assert!(matches!(greet(lines), Err(Trouble::Strange(_))), "{lines:?}");
        }
        let refused = greet(&["# service=git-receive-pack\n", "", "ERR no\n"]);
        assert_eq!(refused, Err(Trouble::Refused("no".into())));
    }
}
