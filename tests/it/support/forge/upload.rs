//! The bytes of assets on their way in: written to a file as they come, plain or as the one part of a form.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Bytes;
use futures_util::{Stream, StreamExt};
use sha2::{Digest as _, Sha256};

use super::gitea;
use super::log::{Request, Sent};
use super::releases::Blob;

/// No end of a form is longer.
const LONGEST_END: usize = 512;

/// What a fault does to the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Spoil {
    No,
    /// As long, and other bytes.
    Other,
    /// So many bytes fewer.
    Shorter(usize),
}

/// A file that came in.
pub(super) struct Received {
    pub(super) blob: Arc<Blob>,
    /// As far as its digest and, up to a length, its bytes are for the log.
    pub(super) sent: Sent,
    /// The file's name in the form; `None` when it came plain.
    pub(super) form_name: Option<String>,
    /// Why there is no file, as Gitea says it.
    pub(super) wrong: Option<&'static str>,
    /// All of it came.
    pub(super) whole: bool,
}

impl Received {
    /// What is left of an upload that broke off.
    pub(super) fn nothing(file: PathBuf) -> Self {
        fs::write(&file, "").expect("our own directory");
        Received { blob: Blob::new(file, 0), sent: Sent::default(), form_name: None, wrong: None, whole: false }
    }
}

/// Writes a request's body to this file.
pub(super) async fn receive(
    file: PathBuf,
    request: &Request,
    mut body: impl Stream<Item = Result<Bytes, axum::Error>> + Unpin,
    spoil: Spoil,
) -> Received {
    let mut sink = Sink::create(&file, spoil == Spoil::Other);
    let mut form = Form::of(request);
    let mut whole = true;
    while let Some(chunk) = body.next().await {
        match (chunk, &mut form) {
            (Ok(chunk), Some(form)) => form.push(&chunk, &mut sink),
            (Ok(chunk), None) => sink.write(&chunk),
            // The client went, or less came than it had promised.
            (Err(_), _) => whole = false,
        }
    }
    let wrong = form.as_mut().and_then(|form| form.end(&mut sink));
    let form_name = form.map(|form| form.name);
    let sent = sink.sent();
    let blob = match spoil {
        Spoil::No => Blob::known(file, sent.size, &sent.sha256),
        Spoil::Other => Blob::new(file, sent.size),
        Spoil::Shorter(by) => {
            let size = sent.size.saturating_sub(by as u64);
            let opened = fs::OpenOptions::new().write(true).open(&file).expect("our own file");
            opened.set_len(size).expect("our own file");
            Blob::new(file, size)
        }
    };
    Received { blob, sent, form_name, wrong, whole }
}

/// The file, its digest, and its beginning.
struct Sink {
    file: fs::File,
    digest: Sha256,
    size: u64,
    kept: Vec<u8>,
    spoilt: bool,
}

impl Sink {
    fn create(file: &Path, spoilt: bool) -> Self {
        let file = fs::File::create(file).expect("our own directory");
        Sink { file, digest: Sha256::new(), size: 0, kept: Vec::new(), spoilt }
    }

    fn write(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.digest.update(bytes);
        if self.kept.len() <= 1 << 20 {
            self.kept.extend_from_slice(bytes);
        }
        if self.spoilt && self.size == 0 {
            self.file.write_all(&[!bytes[0]]).and_then(|()| self.file.write_all(&bytes[1..]))
        } else {
            self.file.write_all(bytes)
        }
        .expect("there is room in the temporary directory");
        self.size += bytes.len() as u64;
    }

    fn sent(self) -> Sent {
        let whole = self.kept.len() as u64 == self.size && self.size <= 1 << 20;
        let bytes = if whole { self.kept } else { Vec::new() };
        Sent { bytes, size: self.size, sha256: format!("{:x}", self.digest.finalize()) }
    }
}

/// A form with one part, `attachment`, read as it comes.
struct Form {
    boundary: String,
    /// What came before the part's bytes; `None` in them.
    head: Option<Vec<u8>>,
    /// What came last: the form's end may be in it.
    tail: Vec<u8>,
    name: String,
    wrong: Option<&'static str>,
}

impl Form {
    fn of(request: &Request) -> Option<Self> {
        let request = Some(request).filter(|request| request.path.starts_with(gitea::ROOT))?;
        let kind = request.header("content-type")?.strip_prefix("multipart/form-data")?;
        let boundary = kind.split("boundary=").nth(1)?.split(';').next()?.trim().trim_matches('"').to_owned();
        Some(Form { boundary, head: Some(Vec::new()), tail: Vec::new(), name: String::new(), wrong: None })
    }

    fn push(&mut self, chunk: &[u8], sink: &mut Sink) {
        match &mut self.head {
            Some(head) => {
                head.extend_from_slice(chunk);
                let Some(end) = head.windows(4).position(|part| part == b"\r\n\r\n") else { return };
                let rest = head.split_off(end + 4);
                let text = String::from_utf8_lossy(head).into_owned();
                self.read_head(&text);
                self.head = None;
                self.tail = rest;
            }
            None => self.tail.extend_from_slice(chunk),
        }
        if self.tail.len() > LONGEST_END {
            let sure = self.tail.len() - LONGEST_END;
            sink.write(&self.tail[..sure]);
            self.tail.drain(..sure);
        }
    }

    fn read_head(&mut self, text: &str) {
        let value = |name: &str| {
            let (_, rest) = text.split_once(&format!(" {name}=\""))?;
            rest.split('"').next().map(str::to_owned)
        };
        if value("name").as_deref() != Some("attachment") {
            self.wrong = Some("http: no such file");
        }
        self.name = value("filename").unwrap_or_default();
    }

    /// Writes the last bytes; returns why it was no proper form.
    fn end(&mut self, sink: &mut Sink) -> Option<&'static str> {
        let end = format!("\r\n--{}--", self.boundary);
        let at = self.tail.windows(end.len()).rposition(|part| part == end.as_bytes());
        match at {
            _ if self.head.is_some() => self.wrong = Some("multipart: NextPart: EOF"),
            None => self.wrong = Some("multipart: NextPart: EOF"),
            Some(at) => sink.write(&self.tail[..at]),
        }
        self.wrong
    }
}
