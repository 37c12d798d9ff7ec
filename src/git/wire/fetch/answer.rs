//! Pure: a server's answer to `fetch`, section by section (gitprotocol-v2(5)).

use std::collections::BTreeSet;

use bstr::ByteSlice;

use super::super::listing::{Trouble, strange, text_of};
use super::super::packet::Packet;
use crate::git::refs::Oid;

/// What a packet brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Nothing to act upon.
    Nothing,
    /// A piece of the pack.
    Pack(&'a [u8]),
    /// A piece of what the server shows to people while it works.
    Words(&'a [u8]),
    /// Why the server breaks off.
    Broken(&'a [u8]),
}

/// How far an answer has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Section {
    #[default]
    Start,
    Acknowledgments,
    /// Between two sections.
    Next,
    Pack,
    Whole,
    /// It ended without a pack: the server wants to hear more of what we have.
    Undecided,
}

/// Takes the packets of one answer.
#[derive(Debug, Default)]
pub struct Answer {
    section: Section,
    known: BTreeSet<Oid>,
    ready: bool,
}

impl Answer {
    /// Takes the next packet.
    ///
    /// # Errors
    /// Why this is no answer, or none that is understood here.
    pub fn take<'a>(&mut self, packet: &Packet<'a>) -> Result<Part<'a>, Trouble> {
        match (self.section, packet) {
            (Section::Pack, Packet::Data(data)) => return band(data),
            (Section::Pack, Packet::Flush) => self.section = Section::Whole,
            (Section::Start | Section::Next, Packet::Data(data)) => self.section = self.open(text_of(data)?)?,
            (Section::Acknowledgments, Packet::Data(data)) => self.acknowledge(text_of(data)?)?,
            (Section::Acknowledgments, Packet::Delimiter) if self.ready => self.section = Section::Next,
            (Section::Acknowledgments, Packet::Flush) if !self.ready => self.section = Section::Undecided,
            // What follows the end is nobody's.
            (Section::Whole | Section::Undecided, _) => {}
            _ => return Err(strange("an unexpected packet", b"")),
        }
        Ok(Part::Nothing)
    }

    fn open(&self, title: &[u8]) -> Result<Section, Trouble> {
        match title {
            b"acknowledgments" if self.section == Section::Start => Ok(Section::Acknowledgments),
            b"packfile" => Ok(Section::Pack),
            // A shallow source, packs to be fetched elsewhere: git knows what to do.
            _ => Err(strange("another section", title)),
        }
    }

    fn acknowledge(&mut self, line: &[u8]) -> Result<(), Trouble> {
        match line {
            b"NAK" => {}
            b"ready" => self.ready = true,
            _ => {
                let known = line.strip_prefix(b"ACK ").and_then(Oid::parse);
                self.known.insert(known.ok_or_else(|| strange("no acknowledgment", line))?);
            }
        }
        Ok(())
    }

    /// Whether nothing is to come.
    pub fn is_done(&self) -> bool {
        matches!(self.section, Section::Whole | Section::Undecided)
    }

    /// Whether the server wants to hear more before it sends anything.
    pub fn is_undecided(&self) -> bool {
        self.section == Section::Undecided
    }

    /// Whether the pack has begun.
    pub fn has_begun(&self) -> bool {
        matches!(self.section, Section::Pack | Section::Whole)
    }

    /// Whether the server has said that it has all these objects, too.
    pub fn knows(&self, haves: &[Oid]) -> bool {
        haves.iter().all(|have| self.known.contains(have))
    }
}

/// What a packet of the pack's section is, by its first byte.
fn band(data: &[u8]) -> Result<Part<'_>, Trouble> {
    match data.split_first() {
        Some((1, rest)) => Ok(Part::Pack(rest)),
        Some((2, rest)) => Ok(Part::Words(rest)),
        Some((3, rest)) => Ok(Part::Broken(rest)),
        // As git: an error need not know that it comes in the middle of a pack.
        _ => text_of(data).and_then(|text| Err(strange("no band of a pack", text.as_bstr()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn all(packets: &[Packet<'_>]) -> (Answer, Vec<Vec<u8>>, Option<Trouble>) {
        let (mut answer, mut pack) = (Answer::default(), Vec::new());
        for packet in packets {
            match answer.take(packet) {
                Ok(Part::Pack(piece)) => pack.push(piece.to_owned()),
                Ok(_) => {}
                Err(trouble) => return (answer, pack, Some(trouble)),
            }
        }
        (answer, pack, None)
    }

    #[test]
    fn a_pack_comes_at_once_or_behind_acknowledgments() {
        let ack = format!("ACK {A}\n");
        let pack = [
            Packet::Data(b"packfile\n"),
            Packet::Data(b"\x02Counting"),
            Packet::Data(b"\x01PACK"),
            Packet::Data(b"\x01rest"),
            Packet::Flush,
        ];
        let before = [
            Packet::Data(b"acknowledgments\n"),
            Packet::Data(ack.as_bytes()),
            Packet::Data(b"ready\n"),
            Packet::Delimiter,
        ];
        for before in [&before[..], &[]] {
            let packets: Vec<_> = before.iter().chain(&pack).cloned().collect();
            let (answer, found, trouble) = all(&packets);
            assert_eq!((found, trouble), (vec![b"PACK".to_vec(), b"rest".to_vec()], None));
            assert!(answer.is_done() && answer.has_begun() && !answer.is_undecided());
            // Every packet counts: whatever is left out, it is not whole.
            for left_out in 0..packets.len() {
                let mut fewer = packets.clone();
                let gone = fewer.remove(left_out);
                let (answer, found, trouble) = all(&fewer);
                let harmless = matches!(gone, Packet::Data(data) if data[0] < 4 || data.starts_with(b"ACK"));
                assert!(harmless || trouble.is_some() || !answer.is_done() || found.is_empty(), "{gone:?}");
            }
        }
    }

    #[test]
    fn a_server_that_wants_to_hear_more_has_said_what_it_knows() {
        let ack = format!("ACK {A}\n");
        let (answer, pack, trouble) =
            all(&[Packet::Data(b"acknowledgments\n"), Packet::Data(ack.as_bytes()), Packet::Flush]);
        assert!(answer.is_undecided() && answer.is_done() && !answer.has_begun());
        assert_eq!((pack.len(), trouble), (0, None));
        let (a, b) = (Oid::parse(A.as_bytes()).unwrap(), Oid::parse(&[b'b'; 40]).unwrap());
        assert!(answer.knows(&[a]) && !answer.knows(&[a, b]));
    }

    #[test]
    fn what_is_not_understood_is_strange_and_a_refusal_is_one() {
        for packets in [
            &[Packet::Flush][..],
            &[Packet::Data(b"shallow-info\n")],
            &[Packet::Data(b"packfile-uris\n")],
            &[Packet::Data(b"acknowledgments\n"), Packet::Data(b"what\n")],
            &[Packet::Data(b"acknowledgments\n"), Packet::Data(b"NAK\n"), Packet::Delimiter],
            &[Packet::Data(b"acknowledgments\n"), Packet::Data(b"ready\n"), Packet::Flush],
            &[Packet::Data(b"packfile\n"), Packet::Data(b"")],
            &[Packet::Data(b"packfile\n"), Packet::Data(b"\x04x")],
            &[Packet::Data(b"packfile\n"), Packet::Delimiter],
        ] {
            assert!(matches!(all(packets).2, Some(Trouble::Strange(_))), "{packets:?}");
        }
        let refused = Some(Trouble::Refused("upload-pack: not our ref".into()));
        assert_eq!(all(&[Packet::Data(b"ERR upload-pack: not our ref\n")]).2, refused);
        assert_eq!(all(&[Packet::Data(b"packfile\n"), Packet::Data(b"ERR upload-pack: not our ref\n")]).2, refused);
    }
}
