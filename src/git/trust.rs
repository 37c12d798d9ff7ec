//! Whom git trusts, in one file: the same CAs at half the cost.
//!
//! libcurl over GnuTLS, which Debian's git is built with, reads its CA file and then every file of the system's directory of
//! CAs, some 290 with all their links, in each process: 21 of the 30 ms of CPU time of a `git ls-remote`. Told of one file
//! that has each certificate of both once, and of an empty directory, it trusts the same ones and needs half the time
//! (libcurl 7.88 `lib/vtls/gtls.c`; git's `GIT_SSL_CAINFO` and `GIT_SSL_CAPATH`).

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bstr::ByteSlice as _;
use tokio::process::Command;
use tokio::sync::{Mutex, OnceCell};

use super::{Git, Remote};
use crate::base::failure::Failure;

/// The program that speaks HTTP, among git's own.
const HELPER: &str = "git-remote-https";
/// As Debian calls libcurl over GnuTLS. Its default CA file and directory are these two.
const LIBRARY: &str = "libcurl-gnutls";
const DIRECTORY: &str = "/etc/ssl/certs";
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

const CA_FILE: &str = "GIT_SSL_CAINFO";
const CA_DIRECTORY: &str = "GIT_SSL_CAPATH";

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// What was found out, and the files that were written, by the CA file that each of them begins with.
#[derive(Debug, Default)]
pub(super) struct Trust {
    is_dear: OnceCell<bool>,
    files: Mutex<HashMap<PathBuf, (Option<SystemTime>, PathBuf)>>,
}

/// What git is told instead of `file`.
pub(super) struct Cheaper {
    all: PathBuf,
    none: PathBuf,
    file: PathBuf,
}

impl Cheaper {
    pub(super) fn tell(&self, command: &mut Command) {
        command.env(CA_FILE, &self.all).env(CA_DIRECTORY, &self.none);
    }

    /// Git's words with the file in them that the user knows.
    pub(super) fn translate(&self, stderr: &str) -> String {
        stderr.replace(&*self.all.to_string_lossy(), &self.file.to_string_lossy())
    }
}

impl Git {
    /// What spares git the reading of each CA by itself; nothing where it would not do so, and where the user has settled
    /// the matter.
    pub(super) async fn cheaper_trust(&self, remote: &Remote) -> Option<Cheaper> {
        let is_https = remote.url.origin().is_some_and(|origin| origin.scheme == "https");
        if !is_https || self.variable(CA_DIRECTORY).is_some() || !self.trust_is_dear().await {
            return None;
        }
        // As git has it: the variable wins.
        let named = self.variable(CA_FILE).filter(|file| !file.is_empty()).map(PathBuf::from);
        let file = named.or_else(|| remote.ca_file.clone()).unwrap_or_else(|| BUNDLE.into());
        let trusted = self.trusted(&file).await;
        // Git has words for a file that cannot be read, and all the time that it wants.
        let told = |error: &io::Error| tracing::debug!("the CAs of {} are not put together: {error}", file.display());
        let (all, none) = trusted.inspect_err(told).ok()?;
        Some(Cheaper { all, none, file })
    }

    /// Whether this git reads all CAs in each process, and no setting of the user's says which ones it is to trust.
    async fn trust_is_dear(&self) -> bool {
        let ask = || async {
            let is_gnutls = match self.exec_path().await {
                Ok(folder) => fs::read(folder.join(HELPER)).is_ok_and(|bytes| bytes.contains_str(LIBRARY)),
                Err(failure) => {
                    tracing::debug!("git does not say where its programs are: {failure}");
                    false
                }
            };
            is_gnutls && Path::new(DIRECTORY).is_dir() && !self.is_http_configured().await
        };
        *self.trust.is_dear.get_or_init(ask).await
    }

    /// Where git's own programs lie.
    async fn exec_path(&self) -> Result<PathBuf, Failure> {
        let call = self.call("cannot ask git for its programs", None, &["--exec-path"].map(OsStr::new));
        let output = self.succeed(call, |_| ()).await?.stdout;
        Ok(PathBuf::from(OsStr::from_bytes(output.trim_ascii_end())))
    }

    /// One file with everything that `ca_file` and the system's directory hold, and an empty directory.
    async fn trusted(&self, ca_file: &Path) -> io::Result<(PathBuf, PathBuf)> {
        let changed = fs::metadata(ca_file)?.modified().ok();
        let (place, mut files) = (self.counter.folder().join("trust"), self.trust.files.lock().await);
        let empty = place.join("none");
        if let Some((_, known)) = files.get(ca_file).filter(|(when, _)| *when == changed) {
            return Ok((known.clone(), empty));
        }
        fs::create_dir_all(&empty)?;
        let file = place.join(format!("{}.pem", files.len()));
        // No command reads it yet, or reads the one that it takes the place of, which stays open.
        let fresh = file.with_extension("new");
        fs::write(&fresh, gather(ca_file, Path::new(DIRECTORY))?)?;
        fs::rename(&fresh, &file)?;
        files.insert(ca_file.to_owned(), (changed, file.clone()));
        Ok((file, empty))
    }
}

/// All certificates of a file, which must have some, and of the files of a directory, each once.
fn gather(file: &Path, directory: &Path) -> io::Result<String> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.retain(|path| path != file && !is_hash(path) && path.is_file());
    paths.sort();
    let (mut seen, mut all) = (BTreeSet::new(), String::new());
    for path in std::iter::once(file.to_owned()).chain(paths) {
        let text = fs::read(&path)?;
        for certificate in certificates(&String::from_utf8_lossy(&text)) {
            if seen.insert(certificate.to_owned()) {
                all.push_str(certificate);
                all.push('\n');
            }
        }
        if all.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it holds no certificate"));
        }
    }
    Ok(all)
}

fn certificates(text: &str) -> impl Iterator<Item = &str> {
    let begins = text.match_indices(BEGIN).map(|(begin, _)| &text[begin..]);
    begins.filter_map(|rest| Some(&rest[..rest.find(END)? + END.len()]))
}

/// Whether it is one of OpenSSL's links (`1d3472b9.0`), whose target lies beside it.
fn is_hash(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let Some((hash, number)) = name.split_once('.') else { return false };
    hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_hexdigit()) && number.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_certificate_of_the_file_and_of_the_directory_is_there_once() {
        let folder = tempfile::tempdir().unwrap();
        let certificate = |name: &str| format!("{BEGIN}\n{name}\n{END}\n");
        let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
        let (one, two, own) = (certificate("one"), certificate("two"), certificate("own"));
        write("bundle.crt", format!("# one\n{one}\n{two}"));
        write("two.pem", two.clone());
        write("local.pem", own.clone());
        write("0123abcd.0", own.clone());
        write("broken.pem", format!("{BEGIN}\ncut off"));
        fs::create_dir(folder.path().join("java")).unwrap();
        let elsewhere = tempfile::NamedTempFile::new().unwrap();
        fs::write(&elsewhere, certificate("corporate")).unwrap();
        let gathered = |file: &Path| gather(file, folder.path()).unwrap();
        assert_eq!(gathered(&folder.path().join("bundle.crt")), format!("{one}{two}{own}"));
        assert_eq!(gathered(elsewhere.path()), format!("{}{one}{two}{own}", certificate("corporate")));
        for useless in ["none", "broken.pem"] {
            assert!(gather(&folder.path().join(useless), folder.path()).is_err(), "{useless}");
        }
    }
}
