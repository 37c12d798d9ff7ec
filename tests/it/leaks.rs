//! Canaries: secrets that are searched for everywhere afterwards, in every form that they may take.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bstr::ByteSlice as _;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::support::{RecordingGit, Run};

/// Some secrets, in all their looks.
pub struct Canaries(Vec<String>);

impl Canaries {
    /// Everything that each token may look like: itself, as part of a URL, and in base64 at each of its three positions.
    pub fn new(tokens: &[&str]) -> Self {
        let mut looks = Vec::new();
        for token in tokens {
            looks.extend([(*token).to_owned(), utf8_percent_encode(token, NON_ALPHANUMERIC).to_string()]);
            looks.push(url::form_urlencoded::byte_serialize(token.as_bytes()).collect());
            for engine in [STANDARD, URL_SAFE] {
                for lead in 0..3 {
                    let bytes: Vec<u8> = std::iter::repeat_n(b'x', lead).chain(token.bytes()).collect();
                    // Without the characters that its neighbours decide.
                    looks.push(engine.encode(&bytes)[4..bytes.len() / 3 * 4].to_owned());
                }
            }
        }
        Canaries(looks)
    }

    /// The look that is found, if there is any.
    pub fn find(&self, bytes: &[u8]) -> Option<&str> {
        self.0.iter().map(String::as_str).find(|look| bytes.contains_str(look))
    }

    #[track_caller]
    pub fn assert_absent(&self, place: &str, bytes: &[u8]) {
        if let Some(look) = self.find(bytes) {
            panic!("{look} in {place}:\n{}", String::from_utf8_lossy(&bytes[..bytes.len().min(20_000)]));
        }
    }

    #[track_caller]
    pub fn assert_run(&self, what: &str, run: &Run) {
        self.assert_absent(&format!("stdout of {what}"), run.stdout.as_bytes());
        self.assert_absent(&format!("stderr of {what}"), run.stderr.as_bytes());
    }

    /// Searches names and bytes of all files under a directory; returns how many there were.
    #[track_caller]
    pub fn assert_folder(&self, folder: &Path) -> usize {
        let mut files = 0;
        let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                self.assert_absent("a file name", path.to_string_lossy().as_bytes());
                if path.is_dir() {
                    folders.push(path);
                } else if path.is_file() {
                    files += 1;
                    self.assert_absent(&path.display().to_string(), &fs::read(&path).unwrap());
                }
            }
        }
        files
    }

    /// Searches arguments and environment of every git that was called; returns how many there were.
    #[track_caller]
    pub fn assert_git(&self, git: &RecordingGit) -> usize {
        let calls = git.calls();
        for call in &calls {
            self.assert_absent("the arguments of git", call.args.join("\n").as_bytes());
            self.assert_absent("the environment of git", format!("{:?}", call.env).as_bytes());
        }
        calls.len()
    }
}

/// What a hostile server may say of a token: every form of it.
pub fn echoed(token: &str) -> String {
    let basic = STANDARD.encode(format!("x-access-token:{token}"));
    let encoded = utf8_percent_encode(token, NON_ALPHANUMERIC);
    format!("you sent {token}, {encoded}, http://alice:{encoded}@host/x and Basic {basic}")
}
