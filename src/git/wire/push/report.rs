//! Pure: what a server answers to a push, its report and its words (gitprotocol-pack(5), "Report Status").
//!
//! Where both sides know side bands, the packets of the report travel in those of the answer, among words for people.

use std::collections::HashMap;

use bstr::{BString, ByteSlice};
use bytes::Bytes;

use crate::git::RefResult;
use crate::git::process::Text;
use crate::git::wire::http::PUSH_HUNG_UP;
use crate::git::wire::packet::{BadLength, Packet, Packets};

/// Reads the answer to a push, as it arrives.
#[derive(Default)]
pub struct Answer {
    side_bands: bool,
    outer: Packets,
    inner: Packets,
    report: Report,
    said: Text,
    /// How the server ended it, in its words.
    fatal: Option<String>,
}

impl Answer {
    /// Of a push that asked for side bands, or did not.
    pub fn new(side_bands: bool) -> Self {
        Answer { side_bands, ..Answer::default() }
    }

    /// Takes what has arrived, and tells `on_line` each line of the server's, progress included.
    ///
    /// # Errors
    /// Bytes that are no packets.
    pub fn feed(&mut self, bytes: Bytes, on_line: &mut impl FnMut(&str)) -> Result<(), BadLength> {
        if !self.side_bands {
            return self.read_report(bytes);
        }
        self.outer.feed(bytes);
        let mut piece = Vec::new();
        while let Some(packet) = self.outer.next()? {
            match packet {
                Packet::Data([1, data @ ..]) => piece.extend_from_slice(data),
                Packet::Data([2, data @ ..]) => self.said.push(data, on_line),
                Packet::Data([3, data @ ..]) => self.fatal = Some(data.to_str_lossy().trim().to_owned()),
                _ => {}
            }
        }
        self.read_report(piece.into())
    }

    fn read_report(&mut self, bytes: Bytes) -> Result<(), BadLength> {
        self.inner.feed(bytes);
        while let Some(packet) = self.inner.next()? {
            match packet {
                Packet::Data(line) => self.report.take(line),
                _ => self.report.whole = true,
            }
        }
        Ok(())
    }

    /// What came of the push, and the server's words as git shows them.
    pub fn finish(self, on_line: &mut impl FnMut(&str)) -> (Verdict, String) {
        let mut words = String::new();
        for line in self.said.finish(on_line).lines() {
            words.push_str(&format!("remote: {line}\n"));
        }
        let verdict = match (self.report.whole, self.report.unpacked, self.fatal) {
            (true, Some(unpacked), _) if unpacked == "ok" => Verdict::Told(self.report.refs),
            (true, Some(unpacked), _) => {
                words.push_str(&format!("error: remote unpack failed: {unpacked}\n"));
                Verdict::NotTaken(self.report.refs)
            }
            (_, _, Some(fatal)) => {
                words.push_str(&format!("remote: {fatal}\n{PUSH_HUNG_UP}"));
                Verdict::None
            }
            (true, None, None) => {
                words.push_str(&format!("error: unable to parse remote unpack status\n{PUSH_HUNG_UP}"));
                Verdict::None
            }
            (false, _, None) => {
                words.push_str(PUSH_HUNG_UP);
                Verdict::None
            }
        };
        (verdict, words)
    }
}

/// What an answer comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The server's word on each ref that it has one for.
    Told(HashMap<BString, RefResult>),
    /// The same, of a pack that it did not take: no ref has moved.
    NotTaken(HashMap<BString, RefResult>),
    /// No report, or not the whole of one.
    None,
}

#[derive(Default)]
struct Report {
    /// `ok`, or why the pack was not taken.
    unpacked: Option<String>,
    refs: HashMap<BString, RefResult>,
    whole: bool,
}

impl Report {
    fn take(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if self.unpacked.is_none() {
            // With anything else before it, it is no report.
            self.unpacked = line.strip_prefix(b"unpack ").map(|status| status.to_str_lossy().into_owned());
        } else if let Some(name) = line.strip_prefix(b"ok ") {
            self.refs.insert(name.into(), RefResult::Accepted);
        } else if let Some(refused) = line.strip_prefix(b"ng ") {
            let (name, why) = refused.split_once_str(" ").unwrap_or((refused, b"failed"));
            self.refs.insert(name.into(), RefResult::Refused(summary(&why.to_str_lossy())));
        }
        // `option …` tells where a hook of the server's put a ref instead (report-status-v2); the look afterwards shows.
    }
}

/// The summary that `git push --porcelain` has for a server's word on a ref. Some of them are git's own, and it takes them
/// for its own from any server (2.47, transport-helper.c).
fn summary(why: &str) -> String {
    match why {
        "non-fast forward" => "[rejected] (non-fast-forward)".to_owned(),
        "already exists" | "fetch first" | "needs force" | "stale info" | "remote ref updated since checkout" => {
            format!("[rejected] ({why})")
        }
        why => format!("[remote rejected] ({why})"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet(data: &str) -> String {
        format!("{:04x}{data}", data.len() + 4)
    }

    /// The answer made of packets of bands, cut into pieces of `size`.
    fn read(side_bands: bool, bytes: &[u8], size: usize) -> (Verdict, String, Vec<String>) {
        let mut lines = Vec::new();
        let mut answer = Answer::new(side_bands);
        for piece in bytes.chunks(size) {
            answer.feed(Bytes::copy_from_slice(piece), &mut |line: &str| lines.push(line.to_owned())).unwrap();
        }
        let (verdict, words) = answer.finish(&mut |_: &str| ());
        (verdict, words, lines)
    }

    fn told(refs: &[(&str, Option<&str>)]) -> Verdict {
        let result = |why: &Option<&str>| match why {
            None => RefResult::Accepted,
            Some(why) => RefResult::Refused((*why).to_owned()),
        };
        Verdict::Told(refs.iter().map(|(name, why)| ((*name).into(), result(why))).collect())
    }

    #[test]
    fn the_report_and_the_servers_words_are_told_apart_however_they_are_cut() {
        let report = packet("unpack ok\n") + &packet("ok refs/heads/main\n") + &packet("option refname refs/x\n");
        let report = report + &packet("ng refs/heads/dev hook declined\n") + "0000";
        let (one, two) = report.split_at(30);
        let bytes = packet(&format!("\u{1}{one}"))
            + &packet("\u{2}Unpacking objects: 50% (1/2)\rUnpacking obj")
            + &packet("\u{2}ects: 100% (2/2), done.\nerror: no\n")
            + &packet(&format!("\u{1}{two}"))
            + "0000";
        for size in [1, 3, 50, 1000] {
            let (verdict, words, lines) = read(true, bytes.as_bytes(), size);
            let refused = Some("[remote rejected] (hook declined)");
            assert_eq!(verdict, told(&[("refs/heads/main", None), ("refs/heads/dev", refused)]));
            assert_eq!(words, "remote: Unpacking objects: 100% (2/2), done.\nremote: error: no\n");
            assert_eq!(lines[0], "Unpacking objects: 50% (1/2)");
        }
        assert_eq!(read(false, report.as_bytes(), 7).0, read(true, bytes.as_bytes(), 7).0);
    }

    #[test]
    fn a_pack_that_was_not_taken_is_said_as_git_says_it() {
        let report = packet("unpack index-pack abnormal exit\n") + &packet("ng refs/heads/a unpacker error\n") + "0000";
        let (verdict, words, _) = read(false, report.as_bytes(), 100);
        let Verdict::NotTaken(refs) = verdict else { panic!("{verdict:?}") };
        assert_eq!(Verdict::Told(refs), told(&[("refs/heads/a", Some("[remote rejected] (unpacker error)"))]));
        assert_eq!(words, "error: remote unpack failed: index-pack abnormal exit\n");
    }

    #[test]
    fn an_answer_without_a_whole_report_is_none() {
        let half = packet("unpack ok\n") + &packet("ok refs/heads/a\n");
        for (answer, words) in [
            (String::new(), PUSH_HUNG_UP.to_owned()),
            (packet(&format!("\u{1}{half}")), PUSH_HUNG_UP.to_owned()),
            (packet("\u{2}no disk\n"), format!("remote: no disk\n{PUSH_HUNG_UP}")),
            (packet("\u{3}gone\n"), format!("remote: gone\n{PUSH_HUNG_UP}")),
            (packet("\u{1}0000"), format!("error: unable to parse remote unpack status\n{PUSH_HUNG_UP}")),
        ] {
            let found = read(true, answer.as_bytes(), 100);
            assert_eq!((found.0, found.1), (Verdict::None, words), "{answer:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_packets_are_an_error() {
        let mut answer = Answer::new(true);
        assert_eq!(answer.feed(Bytes::from_static(b"<html>"), &mut |_: &str| ()), Err(BadLength(*b"<htm")));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in "(0|1|4|8|a|\u{1}|\u{2}|\u{3}|\n|unpack ok|ok |ng |refs/x| ){0,60}", side_bands: bool) {
            let mut answer = Answer::new(side_bands);
            let _ = answer.feed(bytes.into(), &mut |_: &str| ());
            answer.finish(&mut |_: &str| ());
        }
    }
}
