//! A real sshd on a free port, as the user who runs the tests, that lets git reach a forge's repositories.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::{Forge, Repo, TestEnv, script};

/// sshd wants to be started by its absolute path (it executes itself again).
const SSHD: &str = "/usr/sbin/sshd";

/// Stands before git as a forge's own shell does: a closed repository is told so before git speaks.
const COMMAND: &str = r#"#!/bin/sh
case $SSH_ORIGINAL_COMMAND in
    git-receive-pack*|"git receive-pack"*)
        eval "set -- $SSH_ORIGINAL_COMMAND"
        for repo; do :; done
        if [ -f "$repo/forge-closed" ]; then
            sed 's/^/ERROR: /' "$repo/forge-closed" >&2
            exit 1
        fi
esac
exec sh -c "${SSH_ORIGINAL_COMMAND:?no shell here}"
"#;

/// An sshd with a host key, a client key and settings of its own. It ends when this is dropped.
pub struct Sshd {
    dir: TempDir,
    port: u16,
    _sshd: Child,
}

impl Sshd {
    /// Starts it, and lets the forge's APIs report its URLs as those for ssh.
    ///
    /// # Panics
    /// When there is no sshd (Debian: `openssh-server`), or it does not start.
    pub async fn start(forge: &Forge) -> Self {
        let sshd = Self::alone().await;
        forge.set_ssh(sshd.base());
        sshd
    }

    /// Starts it for directories that belong to no forge.
    ///
    /// # Panics
    /// As [`Sshd::start`].
    pub async fn alone() -> Self {
        assert!(Path::new(SSHD).exists(), "{SSHD} is missing: the ssh tests need Debian's package openssh-server");
        // As root it separates privileges and wants its empty directory, which the package's service would make.
        if rustix::process::geteuid().is_root() {
            fs::create_dir_all("/run/sshd").expect("root can write /run");
        }
        let dir = tempfile::Builder::new().prefix("holocron-ssh-").tempdir().expect("a temporary directory");
        for key in ["host_key", "client_key"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", key, "-f"])
                .arg(dir.path().join(key))
                .status();
            assert!(made.await.expect("ssh-keygen is installed").success(), "ssh-keygen made no {key}");
        }
        fs::copy(dir.path().join("client_key.pub"), dir.path().join("authorized_keys")).expect("our own directory");
        script::install(&dir.path().join("command"), COMMAND);
        for _ in 0..20 {
            // Another process may take the port before sshd does: then try the next one.
            let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
            let port = free.expect("a free port").port();
            if let Some(sshd) = listen(dir.path(), port).await {
                return Sshd { dir, port, _sshd: sshd };
            }
        }
        panic!("sshd found no free port in 20 attempts");
    }

    /// `ssh://user@127.0.0.1:port`, to be followed by an absolute path.
    pub fn base(&self) -> String {
        format!("ssh://{}@127.0.0.1:{}", user(), self.port)
    }

    /// The URL of a forge's repository: `ssh://user@127.0.0.1:port/absolute/path.git`.
    pub fn url(&self, repo: &Repo) -> String {
        repo.ssh_url()
    }

    /// Puts an `ssh` first in the PATH of `env` that has the right key and knows the host.
    ///
    /// A config under `$HOME` would not do: ssh takes the home from the password file.
    pub fn trust(&self, env: &TestEnv) {
        let host_key = fs::read_to_string(self.dir.path().join("host_key.pub")).expect("our own file");
        self.client(env, &format!("[127.0.0.1]:{} {host_key}", self.port), "client_key");
    }

    /// As [`Sshd::trust`], for a client that has this key and no other.
    pub fn trust_with(&self, env: &TestEnv, key: &Path) {
        let host_key = fs::read_to_string(self.dir.path().join("host_key.pub")).expect("our own file");
        let known = format!("[127.0.0.1]:{} {host_key}", self.port);
        self.configure(env, &known, &key.display().to_string(), "  StrictHostKeyChecking yes\n");
    }

    /// As [`Sshd::trust`], for a client that remembers another key for this host.
    pub fn trust_another_host_key(&self, env: &TestEnv) {
        let other = fs::read_to_string(self.dir.path().join("client_key.pub")).expect("our own file");
        self.client(env, &format!("[127.0.0.1]:{} {other}", self.port), "client_key");
    }

    /// As [`Sshd::trust`], for a client whose key the server does not accept.
    pub fn trust_without_access(&self, env: &TestEnv) {
        let host_key = fs::read_to_string(self.dir.path().join("host_key.pub")).expect("our own file");
        self.client(env, &format!("[127.0.0.1]:{} {host_key}", self.port), "host_key");
    }

    /// As [`Sshd::trust`], for a client that has no key, and knows the host or not.
    pub fn trust_without_key(&self, env: &TestEnv, known: bool) {
        let host_key = fs::read_to_string(self.dir.path().join("host_key.pub")).expect("our own file");
        let line = if known { format!("[127.0.0.1]:{} {host_key}", self.port) } else { String::new() };
        self.configure(env, &line, "none", "");
    }

    /// A copy of the key that the server accepts, encrypted where `passphrase` is not empty, in `env`'s home.
    pub async fn key(&self, env: &TestEnv, name: &str, passphrase: &str) -> PathBuf {
        let copy = env.home().join(name);
        fs::copy(self.dir.path().join("client_key"), &copy).expect("our own directory");
        let made = Command::new("ssh-keygen").args(["-q", "-p", "-P", "", "-N", passphrase, "-f"]).arg(&copy).output();
        assert!(made.await.expect("ssh-keygen is installed").status.success(), "ssh-keygen changed no passphrase");
        copy
    }

    /// A key that the server does not accept, in `env`'s home.
    pub fn other_key(&self, env: &TestEnv) -> PathBuf {
        let copy = env.home().join("other_key");
        fs::copy(self.dir.path().join("host_key"), &copy).expect("our own directory");
        copy
    }

    fn client(&self, env: &TestEnv, known_hosts: &str, key: &str) {
        self.configure(
            env,
            known_hosts,
            &self.dir.path().join(key).display().to_string(),
            "  StrictHostKeyChecking yes\n",
        );
    }

    fn configure(&self, env: &TestEnv, known_hosts: &str, identity: &str, more: &str) {
        let at = |name: &str| env.home().join(name).display().to_string();
        fs::write(at("known_hosts"), known_hosts).expect("our own directory");
        let config = format!(
            "Host *\n  IdentityFile {}\n  IdentitiesOnly yes\n  IdentityAgent none\n  UserKnownHostsFile {}\n  \
             GlobalKnownHostsFile none\n{more}",
            identity,
            at("known_hosts"),
        );
        fs::write(at("ssh_config"), config).expect("our own directory");
        let ssh = which::which("ssh").expect("ssh is installed");
        env.script("ssh", &format!("#!/bin/sh\nexec {} -F {} \"$@\"\n", ssh.display(), at("ssh_config")));
    }
}

/// Starts sshd and waits until it says that it listens; `None` when the port was taken.
async fn listen(dir: &Path, port: u16) -> Option<Child> {
    let at = |name: &str| dir.join(name).display().to_string();
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\n\
         StrictModes no\nPermitRootLogin yes\nPubkeyAuthentication yes\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nMaxStartups 100\nAcceptEnv GIT_PROTOCOL\nLogLevel INFO\nForceCommand {}\n\
         SetEnv PATH={}\n",
        at("host_key"),
        at("authorized_keys"),
        at("command"),
        std::env::var("PATH").expect("PATH is set"),
    );
    fs::write(at("sshd_config"), config).expect("our own directory");
    let mut sshd = Command::new(SSHD)
        .args(["-D", "-e", "-f", &at("sshd_config")])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("sshd can be executed");
    let mut lines = BufReader::new(sshd.stderr.take().expect("it is piped")).lines();
    let mut said = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        if line.contains("Server listening on") {
            // Keep reading, or sshd would block on a full pipe.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Some(sshd);
        }
        said.push_str(&line);
        said.push('\n');
    }
    assert!(said.contains("Address already in use"), "sshd does not start:\n{said}");
    None
}

/// The name of the user who runs the tests.
fn user() -> String {
    let id = std::process::Command::new("id").arg("-un").output().expect("id is part of coreutils");
    String::from_utf8_lossy(&id.stdout).trim().to_owned()
}
