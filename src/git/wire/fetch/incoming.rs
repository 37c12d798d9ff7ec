//! A pack on its way: asked for, read packet by packet, handed on piece by piece, its last one only when all is well.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use reqwest::Response;
use reqwest::header::CONTENT_ENCODING;
use tokio::sync::mpsc;

use super::super::http::{HUNG_UP, Http, MOST_BEHIND, Step, Stop, unhandled};
use super::super::listing::{Abilities, Trouble};
use super::super::packet::{BadLength, Packets};
use super::answer::{Answer, Part};
use super::wish::{Talk, Wish};
use crate::base::failure::{Failure, Reason};
use crate::git::verbs::Listener;

/// From this size on git compresses a request.
const COMPRESSED: usize = 1024;
/// How much of what a server says is kept: git shows it to people.
const MOST_WORDS: usize = 16 << 10;

/// Who hears of progress, from the server's side and from git's.
pub type Ear<'a, 'b> = &'a Mutex<Listener<'b>>;

/// The answer to a request for objects, which has begun to send a pack.
pub struct Incoming<'a> {
    exchange: &'a Http<'a>,
    response: Response,
    packets: Packets,
    answer: Answer,
    words: Words,
    /// The bytes of the pack so far.
    pub received: u64,
}

/// What the server says while it works.
#[derive(Default)]
struct Words {
    /// A line that has only begun.
    begun: Vec<u8>,
    /// What is no progress, line by line as git shows it.
    kept: String,
}

impl Words {
    fn hear(&mut self, bytes: &[u8], ear: Ear<'_, '_>) {
        for &byte in bytes {
            if byte != b'\n' && byte != b'\r' {
                self.begun.push(byte);
                continue;
            }
            let line = format!("remote: {}", String::from_utf8_lossy(&std::mem::take(&mut self.begun)));
            ear.lock().unwrap_or_else(PoisonError::into_inner).hear(&line);
            if byte == b'\n' && self.kept.len() + line.len() < MOST_WORDS {
                self.kept += &line;
                self.kept.push('\n');
            }
        }
        self.begun.truncate(MOST_WORDS);
    }
}

impl<'a> Incoming<'a> {
    /// Asks for the pack of a wish, and reads until it begins.
    ///
    /// The server may not see what of ours the wanted grew from. Where it knows what that should be, there is no more to tell
    /// (a branch with a history of its own, a tag on an old commit); where it does not, because history was rewritten and
    /// forgotten, git goes on telling until they meet, and is spared the larger pack.
    pub async fn open(
        exchange: &'a Http<'a>,
        abilities: &Abilities,
        wish: &Wish,
        ear: Ear<'_, '_>,
    ) -> Result<Self, Stop> {
        let talk = if wish.builds_upon() { Talk::Open } else { Talk::Done };
        let mut incoming = Incoming::ask(exchange, wish.request(abilities, talk)).await?;
        incoming.begin(ear).await?;
        if talk == Talk::Open && incoming.answer.is_undecided() {
            if !incoming.answer.knows(wish.near()) {
                return unhandled("the source does not know what its refs were");
            }
            incoming = Incoming::ask(exchange, wish.request(abilities, Talk::Done)).await?;
            incoming.begin(ear).await?;
        }
        if !incoming.answer.has_begun() {
            return unhandled("the server does not decide what to send");
        }
        Ok(incoming)
    }

    async fn ask(exchange: &'a Http<'a>, body: Vec<u8>) -> Result<Self, Stop> {
        let request = match body.len() {
            length if length > COMPRESSED => exchange.post(gzip(&body)?).header(CONTENT_ENCODING, "gzip"),
            _ => exchange.post(body),
        };
        let response = exchange.ask(request, Step::Pack).await?;
        Ok(Incoming {
            exchange,
            response,
            packets: Packets::default(),
            answer: Answer::default(),
            words: Words::default(),
            received: 0,
        })
    }

    /// Reads until the pack begins, or the answer is at its end without one.
    async fn begin(&mut self, ear: Ear<'_, '_>) -> Result<(), Stop> {
        self.packet(ear).await?;
        while !self.answer.has_begun() && !self.answer.is_done() {
            self.packet(ear).await?;
        }
        match self.answer.is_undecided() {
            true => self.drain().await,
            false => Ok(()),
        }
    }

    /// Hands the pack on, piece by piece; returns whether all of it was taken.
    ///
    /// The last piece is held back until the answer has come to its end as it promised: a pack without it is none, and
    /// index-pack leaves it where it is.
    pub async fn send(&mut self, pieces: mpsc::Sender<Bytes>, ear: Ear<'_, '_>) -> Result<bool, Failure> {
        let mut held = Bytes::new();
        // Once a pack has begun there is nothing to leave to git.
        while let Some(next) = self.piece(ear).await.map_err(|stop| self.failed(stop))? {
            if next.is_empty() {
                // A sign of life: a server may count and compress for longer than anybody should be silent.
                let _ = pieces.try_send(next);
                continue;
            }
            self.received += next.len() as u64;
            if pieces.send(std::mem::replace(&mut held, next)).await.is_err() {
                return Ok(false);
            }
        }
        Ok(pieces.send(held).await.is_ok())
    }

    /// The next piece of the pack, empty where a packet has nothing of it; `None` at the end of the answer, which is as whole as
    /// HTTP promised.
    async fn piece(&mut self, ear: Ear<'_, '_>) -> Result<Option<Bytes>, Stop> {
        match self.answer.is_done() {
            true => self.drain().await.map(|()| None),
            false => self.packet(ear).await.map(Some),
        }
    }

    /// Reads one packet; returns what it has of the pack.
    async fn packet(&mut self, ear: Ear<'_, '_>) -> Result<Bytes, Stop> {
        loop {
            match self.packets.next() {
                Ok(Some(packet)) => match self.answer.take(&packet) {
                    Ok(Part::Nothing) => {}
                    Ok(Part::Pack(bytes)) => return Ok(Bytes::copy_from_slice(bytes)),
                    Ok(Part::Words(bytes)) => self.words.hear(bytes, ear),
                    Ok(Part::Broken(bytes)) => {
                        let lines = String::from_utf8_lossy(bytes);
                        let lines: String = lines.lines().map(|line| format!("remote: {line}\n")).collect();
                        return Err(self.said(&format!("{lines}fatal: early EOF")).into());
                    }
                    Err(Trouble::Refused(words)) => {
                        return Err(self.said(&format!("fatal: remote error: {words}")).into());
                    }
                    // Within a pack nothing is left to git.
                    Err(Trouble::Strange(what)) if self.answer.has_begun() => {
                        return Err(self.said(&format!("fetch-pack: protocol error: {what}")).into());
                    }
                    Err(trouble) => return self.exchange.trouble(trouble),
                },
                Ok(None) => match self.exchange.piece(&mut self.response).await? {
                    Some(bytes) => {
                        self.packets.feed(bytes);
                        continue;
                    }
                    None if self.answer.has_begun() => {
                        let line = "fetch-pack: unexpected disconnect while reading sideband packet";
                        return Err(self.said(&format!("{line}\nfatal: early EOF")).into());
                    }
                    None if self.packets.is_untouched() => return unhandled("an answer without a word"),
                    None => return Err(self.said("fatal: expected 'packfile'").into()),
                },
                Err(BadLength(head)) => {
                    let head = String::from_utf8_lossy(&head).into_owned();
                    let line = format!("remote-curl: bad line length character: {head}");
                    return Err(self.said(&format!("{line}\n{HUNG_UP}")).into());
                }
            }
            return Ok(Bytes::new());
        }
    }

    /// Reads what follows the answer, so that the connection can be used again, and knows that it ended as it should.
    async fn drain(&mut self) -> Result<(), Stop> {
        let mut behind = 0;
        while let Some(bytes) = self.exchange.piece(&mut self.response).await? {
            behind += bytes.len();
            if behind > MOST_BEHIND {
                break;
            }
        }
        Ok(())
    }

    /// What the server said, line by line as git shows it, the last one even without its end.
    pub fn words(&self) -> String {
        let Words { begun, kept } = &self.words;
        match begun.is_empty() {
            true => kept.clone(),
            false => format!("{kept}remote: {}\n", String::from_utf8_lossy(begun)),
        }
    }

    /// The failure that git tells of in these words, and the server's before them.
    pub fn said(&self, words: &str) -> Failure {
        self.exchange.said(&format!("{}{words}", self.words()))
    }

    fn failed(&self, stop: Stop) -> Failure {
        match stop {
            Stop::Failed(failure) => failure,
            Stop::Unhandled(why) => {
                let message = format!("{}: the answer broke off in the pack", self.exchange.what);
                Failure::new(Reason::NetworkFailed, message).with_evidence(why.0)
            }
        }
    }
}

fn gzip(body: &[u8]) -> Result<Vec<u8>, Failure> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let done = encoder.write_all(body).and_then(|()| encoder.finish());
    done.map_err(|error| Failure::local("cannot compress a request", &error))
}
