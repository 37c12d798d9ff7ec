//! Git's packet lines: four hexadecimal digits of length, then the bytes (gitprotocol-common(5)).

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
    bytes: Vec<u8>,
    /// What of `bytes` was taken already.
    taken: usize,
}

impl Packets {
    /// Adds what has arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next packet, or `None` until more has arrived.
    ///
    /// # Errors
    /// Bytes that are no length.
    pub fn next(&mut self) -> Result<Option<Packet<'_>>, BadLength> {
        let rest = &self.bytes[self.taken..];
        let Some(head) = rest.first_chunk::<4>() else { return Ok(None) };
        let digits = std::str::from_utf8(head).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let length = digits.and_then(|digits| usize::from_str_radix(digits, 16).ok()).ok_or(BadLength(*head))?;
        let (size, packet) = match length {
            0 => (4, Packet::Flush),
            1 => (4, Packet::Delimiter),
            2 => (4, Packet::End),
            3 => return Err(BadLength(*head)),
            _ => match rest.get(4..length) {
                Some(data) => (length, Packet::Data(data)),
                None => return Ok(None),
            },
        };
        self.taken += size;
        Ok(Some(packet))
    }

    /// Whether nothing has arrived at all.
    pub fn is_untouched(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether all that arrived was taken; a packet that has only begun was not.
    pub fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
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
            packets.feed(piece);
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
        packets.feed(b"0000000100020004000ahello\n0003");
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
            packets.feed(head);
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
