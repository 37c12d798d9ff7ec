//! Git's packet lines: four hexadecimal digits of length, then the bytes (gitprotocol-common(5)).

use bytes::Bytes;

/// One packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// `0000`, the end of a list.
    Flush,
    /// `0001`, between the parts of a request.
    Delimiter,
    /// `0002`, the end of an answer.
    End,
    Data(&'a [u8]),
}

/// Four bytes that are no length of a packet.
#[derive(Debug, PartialEq, Eq)]
pub struct BadLength(pub [u8; 4]);

/// Takes packets out of bytes as they arrive, however they are cut into pieces.
#[derive(Debug, Default)]
pub struct Packets {
    /// What has arrived of a packet before the last piece.
    begun: Vec<u8>,
    /// What of the last piece was not taken yet.
    rest: Bytes,
    /// The packet that was taken last.
    taken: Bytes,
    is_touched: bool,
}

impl Packets {
    /// Adds what has arrived.
    pub fn feed(&mut self, bytes: Bytes) {
        self.is_touched |= !bytes.is_empty();
        self.rest = match self.rest.is_empty() {
            true => bytes,
            false => [&*self.rest, &*bytes].concat().into(),
        };
    }

    /// The next packet, or `None` until more has arrived.
    ///
    /// # Errors
    /// Bytes that are no length.
    pub fn next(&mut self) -> Result<Option<Packet<'_>>, BadLength> {
        let whole = if self.begun.is_empty() { self.cut_out()? } else { self.complete()? };
        match whole {
            Some(packet) => self.taken = packet,
            None => {
                // Pieces are large, and should not outlive their use.
                self.taken.clear();
                self.begun.extend_from_slice(&std::mem::take(&mut self.rest));
                return Ok(None);
            }
        }
        let (head, data) = self.taken.split_at(4);
        Ok(Some(match head {
            b"0000" => Packet::Flush,
            b"0001" => Packet::Delimiter,
            b"0002" => Packet::End,
            _ => Packet::Data(data),
        }))
    }

    /// A packet of the last piece alone.
    fn cut_out(&mut self) -> Result<Option<Bytes>, BadLength> {
        let Some(head) = self.rest.first_chunk() else { return Ok(None) };
        let size = size(head)?;
        Ok((self.rest.len() >= size).then(|| self.rest.split_to(size)))
    }

    /// The packet that has begun before.
    fn complete(&mut self) -> Result<Option<Bytes>, BadLength> {
        self.gather(4);
        let Some(head) = self.begun.first_chunk() else { return Ok(None) };
        let size = size(head)?;
        self.gather(size);
        Ok((self.begun.len() >= size).then(|| std::mem::take(&mut self.begun).into()))
    }

    /// Brings what has begun to this size, as far as there is more.
    fn gather(&mut self, size: usize) {
        let missing = size.saturating_sub(self.begun.len());
        self.begun.reserve_exact(missing);
        self.begun.extend_from_slice(&self.rest.split_to(missing.min(self.rest.len())));
    }

    /// Whether nothing has arrived at all.
    pub fn is_untouched(&self) -> bool {
        !self.is_touched
    }

    /// Whether all that arrived was taken; a packet that has only begun was not.
    pub fn is_empty(&self) -> bool {
        self.begun.is_empty() && self.rest.is_empty()
    }
}

/// The bytes of a packet that begins so.
fn size(head: &[u8; 4]) -> Result<usize, BadLength> {
    let digits = std::str::from_utf8(head).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    match digits.and_then(|digits| usize::from_str_radix(digits, 16).ok()) {
        None | Some(3) => Err(BadLength(*head)),
        Some(length) => Ok(length.max(4)),
    }
}

/// The packet of one line of a request, which is short and ours.
pub fn line(text: &str) -> String {
    format!("{:04x}{text}\n", text.len() + 5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Everything in `bytes`, arriving in pieces of `size`; a bad length ends it.
    fn all(bytes: &[u8], size: usize) -> (Vec<Option<Vec<u8>>>, bool, bool) {
        let mut packets = Packets::default();
        let mut found = Vec::new();
        for piece in bytes.chunks(size.max(1)) {
            packets.feed(Bytes::copy_from_slice(piece));
            loop {
                match packets.next() {
                    Ok(Some(Packet::Data(data))) => found.push(Some(data.to_owned())),
                    Ok(Some(_)) => found.push(None),
                    Ok(None) => break,
                    Err(_) => return (found, false, true),
                }
            }
        }
        (found, packets.is_empty(), false)
    }

    #[test]
    fn each_kind_of_packet_is_known_and_a_length_of_three_is_none() {
        let mut packets = Packets::default();
        packets.feed(Bytes::from_static(b"0000000100020004000ahello\n0003"));
        let expected = [Packet::Flush, Packet::Delimiter, Packet::End, Packet::Data(b""), Packet::Data(b"hello\n")];
        for packet in expected {
            assert_eq!(packets.next(), Ok(Some(packet)));
        }
        assert_eq!(packets.next(), Err(BadLength(*b"0003")));
    }

    #[test]
    fn signs_and_spaces_are_no_digits_of_a_length() {
        for head in [b"+00a", b" 00a", b"0x0a", b"<htm"] {
            let mut packets = Packets::default();
            packets.feed(Bytes::from_static(head));
            assert_eq!(packets.next(), Err(BadLength(*head)));
        }
    }

    #[test]
    fn a_line_of_ours_is_a_packet() {
        assert_eq!(line("peel"), "0009peel\n");
    }

    proptest! {
        #[test]
        fn what_was_sent_arrives_however_it_is_cut(
            sent in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..40)), 0..12),
            size in 1_usize..50,
        ) {
            let mut bytes = Vec::new();
            for packet in &sent {
                match packet {
                    Some(data) => {
                        bytes.extend_from_slice(format!("{:04x}", data.len() + 4).as_bytes());
                        bytes.extend_from_slice(data);
                    }
                    None => bytes.extend_from_slice(b"0000"),
                }
            }
            prop_assert_eq!(all(&bytes, size), (sent, true, false));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), size in 1_usize..50) {
            all(&bytes, size);
        }
    }
}
