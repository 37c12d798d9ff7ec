//! Pure: from the packets of a server's answers to its refs.
//!
//! [`Greeting`] reads the answer to the first request: with protocol version 2 it is a list of what the server can do,
//! with versions 0 and 1 the refs themselves (gitprotocol-http(5), gitprotocol-v2(5), gitprotocol-pack(5)).
//! [`Listing`] reads version 2's answer to `ls-refs`. Both take packets until they are whole.

use bstr::{BStr, BString, ByteSlice};

use super::packet::Packet;
use crate::git::refs::{Advertisement, Oid};

/// Why an answer is not one that tells refs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The server says so itself, in an `ERR` packet: its words.
    Refused(String),
    /// A ref that no repository has: the line.
    Unfit(String),
    /// Nothing that is understood here: what it is. Git may know better.
    Strange(String),
}

pub(super) fn strange(what: &str, line: &[u8]) -> Trouble {
    Trouble::Strange(format!("{what}: {}", line.as_bstr()))
}

/// How many digits the object ids of a repository have.
fn digits(format: &[u8]) -> Result<usize, Trouble> {
    match format {
        b"sha1" => Ok(40),
        b"sha256" => Ok(64),
        _ => Err(strange("an unknown hash", format)),
    }
}

/// Takes an `ERR` packet for what it is, and the line break off any other.
pub(super) fn text_of(data: &[u8]) -> Result<&[u8], Trouble> {
    let text = data.strip_suffix(b"\n").unwrap_or(data);
    match text.strip_prefix(b"ERR ") {
        Some(words) => Err(Trouble::Refused(words.to_str_lossy().into_owned())),
        None => Ok(text),
    }
}

fn take(into: &mut Advertisement, oid: Oid, name: &[u8]) -> Result<(), Trouble> {
    // Git prints one ref per line; a name with a line break in it would be two.
    if name.contains(&b'\n') || into.take(oid, name.as_bstr()).is_err() {
        return Err(Trouble::Unfit(format!("{oid}\t{}", name.as_bstr())));
    }
    Ok(())
}

/// What a server of protocol version 2 can do, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abilities {
    /// The hash of the repository, when the server names it, and then wants to hear it again.
    pub format: Option<String>,
    /// Whether it wants to hear who asks.
    pub agent: bool,
    /// Whether it tells what HEAD names when that is not yet born.
    pub unborn: bool,
    /// Whether it sends objects.
    fetch: bool,
    digits: usize,
}

impl Abilities {
    /// Whether objects can be had of this server in a way that is spoken here.
    pub fn sends_packs(&self) -> bool {
        self.fetch && self.digits == 40
    }
}

/// What the first answer was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Greeted {
    /// Protocol version 2: the refs must be asked for.
    Abilities(Abilities),
    /// Protocol version 0 or 1: these are the refs.
    Refs(Advertisement),
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Step {
    #[default]
    Start,
    /// After `# service=git-upload-pack`, which a flush ends.
    Service,
    /// What tells the version.
    First,
    Abilities,
    Refs,
    Done,
}

/// Reads the answer to `info/refs?service=git-upload-pack`.
#[derive(Debug, Default)]
pub struct Greeting {
    step: Step,
    version_2: bool,
    lists_refs: bool,
    unborn: bool,
    fetches: bool,
    agent: bool,
    format: Option<BString>,
    refs: Advertisement,
    /// What HEAD names, if it is there.
    head: Option<BString>,
}

impl Greeting {
    /// Takes the next packet.
    ///
    /// # Errors
    /// Why this is no answer that tells refs.
    pub fn take(&mut self, packet: &Packet<'_>) -> Result<(), Trouble> {
        let data = match packet {
            Packet::Data(data) => text_of(data)?,
            Packet::Flush => return self.flush(),
            Packet::Delimiter | Packet::End => return Err(strange("an unexpected packet", b"")),
        };
        match self.step {
            Step::Start if data == b"# service=git-upload-pack" => self.step = Step::Service,
            // Git takes it without the line about the service as well.
            Step::Start | Step::First if data == b"version 2" => (self.step, self.version_2) = (Step::Abilities, true),
            Step::First if data == b"version 1" => self.step = Step::Refs,
            Step::First => {
                self.step = Step::Refs;
                self.first_ref(data)?;
            }
            Step::Abilities => self.ability(data),
            Step::Refs if self.format.is_none() => self.first_ref(data)?,
            Step::Refs => self.more_refs(data)?,
            Step::Start | Step::Service => return Err(strange("not git's protocol", data)),
            Step::Done => {}
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Trouble> {
        self.step = match self.step {
            Step::Service => Step::First,
            Step::Abilities | Step::Refs | Step::Done => Step::Done,
            // A repository without any ref, at a server that has nothing to say of itself.
            Step::First => return Err(strange("nothing behind the name of the service", b"")),
            Step::Start => return Err(strange("not git's protocol", b"0000")),
        };
        Ok(())
    }

    fn ability(&mut self, line: &[u8]) {
        if line == b"ls-refs" || line.starts_with(b"ls-refs=") {
            self.lists_refs = true;
            self.unborn = line[b"ls-refs".len()..].split(|byte| b"= ".contains(byte)).any(|word| word == b"unborn");
        } else if line == b"fetch" || line.starts_with(b"fetch=") {
            self.fetches = true;
        } else if line == b"agent" || line.starts_with(b"agent=") {
            self.agent = true;
        } else if let Some(format) = line.strip_prefix(b"object-format=") {
            self.format = Some(format.into());
        }
    }

    /// The first ref has, behind a zero byte, what the server can do.
    fn first_ref(&mut self, line: &[u8]) -> Result<(), Trouble> {
        let (line, abilities) = line.split_once_str("\0").unwrap_or((line, b""));
        let values = |key: &'static [u8]| abilities.split_str(" ").filter_map(move |word| word.strip_prefix(key));
        self.format = Some(values(b"object-format=").next().unwrap_or(b"sha1").into());
        self.head = values(b"symref=HEAD:").next().map(Into::into);
        // Git names HEAD alone here; others may name more.
        for pair in values(b"symref=") {
            if let Some((name, target)) = pair.split_once_str(":").filter(|(name, _)| *name != b"HEAD") {
                self.refs.take_symref(name.as_bstr(), target.as_bstr());
            }
        }
        self.more_refs(line)
    }

    fn more_refs(&mut self, line: &[u8]) -> Result<(), Trouble> {
        // How a shallow repository ends its list.
        if line.starts_with(b"shallow ") {
            return Ok(());
        }
        let digits = digits(self.format.as_ref().map_or(b"sha1", |format| format.as_slice()))?;
        let (oid, name) = line.split_once_str(" ").ok_or_else(|| strange("no ref", line))?;
        let oid = Oid::parse(oid).filter(|_| oid.len() == digits).ok_or_else(|| strange("no ref", line))?;
        // Of a repository without any ref only the server's abilities are told.
        if name == b"capabilities^{}" {
            return Ok(());
        }
        take(&mut self.refs, oid, name)
    }

    /// Whether the answer is whole.
    pub fn is_done(&self) -> bool {
        self.step == Step::Done
    }

    /// What it was.
    ///
    /// # Errors
    /// A server of version 2 that cannot list refs, or has an unknown hash.
    pub fn finish(mut self) -> Result<Greeted, Trouble> {
        if !self.version_2 {
            self.refs.head = self.head.filter(|_| self.refs.head_oid.is_some());
            return Ok(Greeted::Refs(self.refs));
        }
        if !self.lists_refs {
            return Err(strange("a server that lists no refs", b""));
        }
        let digits = digits(self.format.as_ref().map_or(b"sha1", |format| format.as_slice()))?;
        let format = self.format.map(|format| format.to_string());
        Ok(Greeted::Abilities(Abilities {
            format,
            agent: self.agent,
            unborn: self.unborn,
            fetch: self.fetches,
            digits,
        }))
    }
}

/// Reads the answer to `ls-refs`.
#[derive(Debug)]
pub struct Listing {
    digits: usize,
    unborn: bool,
    refs: Advertisement,
    done: bool,
}

impl Listing {
    /// An answer of a server that can do this; `unborn` is whether it was asked for a HEAD that is.
    pub fn of(abilities: &Abilities, unborn: bool) -> Self {
        Listing { digits: abilities.digits, unborn, refs: Advertisement::default(), done: false }
    }

    /// Takes the next packet.
    ///
    /// # Errors
    /// Why this is no answer that tells refs.
    pub fn take(&mut self, packet: &Packet<'_>) -> Result<(), Trouble> {
        match packet {
            // What follows the list is nobody's.
            _ if self.done => Ok(()),
            Packet::Flush => {
                self.done = true;
                Ok(())
            }
            Packet::Data(data) => self.one(text_of(data)?),
            Packet::Delimiter | Packet::End => Err(strange("an unexpected packet", b"")),
        }
    }

    /// `<oid> <ref>`, or `unborn HEAD` where that was asked for, then `symref-target:<ref>` and `peeled:<oid>` where they apply.
    fn one(&mut self, line: &[u8]) -> Result<(), Trouble> {
        if let (true, Some(target)) = (self.unborn, line.strip_prefix(b"unborn HEAD symref-target:")) {
            self.refs.unborn = Some(target.into());
            return Ok(());
        }
        let mut words = line.split_str(" ");
        let id = |word: Option<&[u8]>| word.filter(|word| word.len() == self.digits).and_then(Oid::parse);
        let (Some(oid), Some(name)) = (id(words.next()), words.next()) else { return Err(strange("no ref", line)) };
        let (mut peeled, mut target): (Option<Oid>, Option<&BStr>) = (None, None);
        for word in words {
            if let Some(oid) = word.strip_prefix(b"peeled:") {
                peeled = Some(id(Some(oid)).ok_or_else(|| strange("no ref", line))?);
            } else if let Some(name) = word.strip_prefix(b"symref-target:") {
                target = Some(name.as_bstr());
            }
        }
        take(&mut self.refs, oid, name)?;
        if let Some(oid) = peeled {
            take(&mut self.refs, oid, &[name, b"^{}"].concat())?;
        }
        if let Some(target) = target {
            self.refs.take_symref(name.as_bstr(), target);
        }
        Ok(())
    }

    /// Whether the answer is whole.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// The refs.
    pub fn finish(self) -> Advertisement {
        self.refs
    }
}

#[cfg(test)]
mod tests;
