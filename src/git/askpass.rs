//! Both ends of the credential hand-over: git runs this very binary to ask, and we answer over a socket.
//!
//! The socket lives in a directory only we may enter and only as long as one git command; the secret is never in a
//! file, an argument, a URL or git's configuration.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use crate::base::failure::Failure;
use crate::base::scratch::Scratch;
use crate::base::secret::{Credential, Secret};
use crate::base::url::RemoteUrl;

/// Names the socket; where it is set, this process is git's askpass and nothing else.
pub const MARKER: &str = "HOLOCRON_ASKPASS";

/// What askpass says when the prompt names another place than the credential's; git shows it on its stderr.
pub(crate) const REFUSAL: &str = "holocron: no credential belongs to";

/// Answers git's question when this process was started as askpass; `None` when it was not.
pub fn answer_if_asked() -> Option<ExitCode> {
    let socket = std::env::var_os(MARKER)?;
    let prompt = std::env::args_os().nth(1).unwrap_or_default().to_string_lossy().into_owned();
    match ask(Path::new(&socket), &prompt) {
        Ok(answer) if !answer.is_empty() => {
            println!("{answer}");
            Some(ExitCode::SUCCESS)
        }
        Ok(_) => {
            match asked_url(&prompt) {
                Some(url) => eprintln!("{REFUSAL} {url}"),
                // A question of ssh's: it goes on with the next key.
                None => eprintln!("holocron: not answered: {prompt}"),
            }
            Some(ExitCode::FAILURE)
        }
        Err(error) => {
            eprintln!("holocron: askpass cannot reach the run it belongs to: {error}");
            Some(ExitCode::FAILURE)
        }
    }
}

fn ask(socket: &Path, prompt: &str) -> std::io::Result<String> {
    let mut stream = std::os::unix::net::UnixStream::connect(socket)?;
    stream.write_all(prompt.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The URL in `Username for 'https://host': ` (git 1.7.9 and later; never translated).
fn asked_url(prompt: &str) -> Option<RemoteUrl> {
    let quoted = prompt.split_once('\'')?.1.rsplit_once('\'')?.0;
    RemoteUrl::parse(quoted).ok()
}

/// What one command may be told.
#[derive(Debug, Clone)]
enum Answers {
    Login(Credential),
    /// The passphrase of this key, or of whichever key is asked about.
    Passphrase {
        key: Option<PathBuf>,
        passphrase: Secret,
    },
}

impl Answers {
    fn to(&self, prompt: &str) -> &str {
        match self {
            Answers::Login(credential) => login(prompt, credential),
            Answers::Passphrase { key, passphrase } if opens(prompt, key.as_deref()) => passphrase.expose(),
            Answers::Passphrase { .. } => "",
        }
    }
}

/// Whether ssh asks for the passphrase of `key`: `Enter passphrase for key '/path': `, the path cut off after 100 bytes
/// (OpenSSH 8.4 to 10, sshconnect2.c).
fn opens(prompt: &str, key: Option<&Path>) -> bool {
    let Some(key) = key else { return prompt.starts_with("Enter passphrase") };
    let key = key.as_os_str().as_bytes();
    let shown = String::from_utf8_lossy(&key[..key.len().min(100)]);
    prompt.strip_prefix("Enter passphrase for key '").and_then(|rest| rest.strip_suffix("': ")) == Some(&*shown)
}

/// The answer to `prompt`, empty when the credential does not belong to the place the prompt names.
fn login<'a>(prompt: &str, credential: &'a Credential) -> &'a str {
    match asked_url(prompt) {
        Some(url) if url.origin() == Some(&credential.origin) => {
            if prompt.starts_with("Username") {
                &credential.user
            } else if prompt.starts_with("Password") {
                credential.secret.expose()
            } else {
                ""
            }
        }
        _ => "",
    }
}

/// A directory for the sockets of one run, only ours (0700), gone with it.
#[derive(Debug)]
pub(crate) struct Counter {
    folder: Scratch,
    next: AtomicU64,
}

/// The longest path a socket's address can hold on every system we know (macOS: 104 bytes).
const LONGEST_SOCKET_PATH: usize = 90;

/// Where the directory of a run is made: where the system's temporary directory is too deep for a socket, `/tmp`.
pub(crate) fn parent() -> PathBuf {
    let temp = std::env::temp_dir();
    let deep = temp.as_os_str().len() + 32 > LONGEST_SOCKET_PATH;
    if deep { PathBuf::from("/tmp") } else { temp }
}

impl Counter {
    /// Makes the directory in the system's temporary directory, in `/tmp` where that is too deep for a socket.
    pub fn open() -> Result<Self, Failure> {
        let root = parent();
        let folder = Scratch::make_in(&root)
            .map_err(|e| Failure::local(format!("cannot make a directory in {}", root.display()), &e))?;
        Ok(Counter { folder, next: AtomicU64::new(0) })
    }

    /// A directory of this run, which only its user can read.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Opens a socket that answers for `credential` until the result is dropped.
    pub fn serve_login(&self, credential: &Credential) -> Result<Handover, Failure> {
        self.serve(Answers::Login(credential.clone()))
    }

    /// The same for the passphrase of `key`, or of whichever key is asked about.
    pub fn serve_passphrase(&self, key: Option<PathBuf>, passphrase: &Secret) -> Result<Handover, Failure> {
        self.serve(Answers::Passphrase { key, passphrase: passphrase.clone() })
    }

    fn serve(&self, answers: Answers) -> Result<Handover, Failure> {
        let path = self.folder.path().join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let listener = UnixListener::bind(&path)
            .map_err(|e| Failure::local(format!("cannot open the socket {}", path.display()), &e))?;
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Err(error) = converse(stream, &answers).await {
                    tracing::debug!("askpass went away: {error}");
                }
            }
        });
        Ok(Handover { path, server })
    }
}

async fn converse(mut stream: UnixStream, answers: &Answers) -> std::io::Result<()> {
    let mut prompt = String::new();
    (&mut stream).take(4096).read_to_string(&mut prompt).await?;
    stream.write_all(answers.to(&prompt).as_bytes()).await?;
    stream.shutdown().await
}

/// One git command's way to its credential.
#[derive(Debug)]
pub(crate) struct Handover {
    pub path: PathBuf,
    server: JoinHandle<()>,
}

impl Drop for Handover {
    fn drop(&mut self) {
        self.server.abort();
        // The directory goes with the run; an address left behind in it answers nobody.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::url::Origin;

    fn credential() -> Credential {
        Credential {
            origin: Origin::new("https", "git.example.org", None),
            user: "me".into(),
            secret: Secret::new("t0ps3cret"),
        }
    }

    #[test]
    fn it_answers_only_for_its_own_scheme_host_and_port() {
        let ours = credential();
        assert_eq!(login("Username for 'https://git.example.org': ", &ours), "me");
        assert_eq!(login("Password for 'https://me@git.example.org:443': ", &ours), "t0ps3cret");
        assert_eq!(login("Password for 'https://me@git.example.org/acme/x.git': ", &ours), "t0ps3cret");
        for elsewhere in [
            "http://git.example.org",
            "https://git.example.org:8443",
            "https://git.example.org.evil.test",
            "https://evil.test/git.example.org",
            "https://git.example.org@evil.test",
        ] {
            assert_eq!(login(&format!("Password for '{elsewhere}': "), &ours), "", "{elsewhere}");
        }
        assert_eq!(login("Enter passphrase for key '/home/me/.ssh/id': ", &ours), "");
    }

    #[test]
    fn a_passphrase_opens_its_own_key_and_answers_nothing_else() {
        let deep = format!("/{}", "x".repeat(120));
        for (key, shown) in [("/home/me/.ssh/id", "/home/me/.ssh/id"), (deep.as_str(), &deep[..100])] {
            let ours = Answers::Passphrase { key: Some(key.into()), passphrase: Secret::new("open sesame") };
            assert_eq!(ours.to(&format!("Enter passphrase for key '{shown}': ")), "open sesame");
            for other in [
                "Enter passphrase for key '/home/me/.ssh/other': ",
                "me@git.example.org's password: ",
                "Are you sure you want to continue connecting (yes/no/[fingerprint])? ",
                "Password for 'https://git.example.org': ",
            ] {
                assert_eq!(ours.to(other), "", "{other}");
            }
        }
    }

    #[tokio::test]
    async fn the_two_ends_meet_over_the_socket_and_it_is_gone_afterwards() {
        let counter = Counter::open().unwrap();
        let handover = counter.serve_login(&credential()).unwrap();
        let path = handover.path.clone();
        let there = path.clone();
        let asked = move |host: &str| {
            let (path, prompt) = (there.clone(), format!("Password for 'https://{host}': "));
            tokio::task::spawn_blocking(move || ask(&path, &prompt))
        };
        assert_eq!(asked("git.example.org").await.unwrap().unwrap(), "t0ps3cret");
        assert_eq!(asked("other.example.org").await.unwrap().unwrap(), "");
        drop(handover);
        assert!(ask(&path, "x").is_err());
    }
}
