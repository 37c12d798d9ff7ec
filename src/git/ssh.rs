//! The ssh command that git is given: the user's own, told that nobody is there to answer.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::askpass::{self, Handover};
use super::{Call, Git, Remote, process};
use crate::base::failure::{Failure, Reason};
use crate::base::secret::Secret;

/// The variable that overrules every other way to name an ssh command (git(1)).
pub(super) const VARIABLE: &str = "GIT_SSH_COMMAND";

/// What ssh is told of one remote; the default leaves everything to the user's own configuration and agent.
#[derive(Debug, Clone, Default)]
pub struct Ssh {
    pub host_keys: Option<HostKeys>,
    /// The private key to log in with.
    pub key_file: Option<PathBuf>,
    /// What opens it.
    pub passphrase: Option<Secret>,
}

/// What is done about a host key never seen before; a changed one is always refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKeys {
    /// It is refused, whatever the user's configuration says.
    Strict,
    /// It is accepted and remembered in the user's `known_hosts`.
    AcceptNew,
}

impl Remote {
    fn is_ssh(&self) -> bool {
        !self.url.is_http() && self.url.as_file().is_none()
    }
}

impl Git {
    /// The value of [`VARIABLE`] for `remote`; `None` when ssh has no part in it, or is a program of the user's that
    /// takes no options from us (`GIT_SSH`).
    ///
    /// # Errors
    /// When git cannot read the user's configuration, or a key is configured for an ssh that cannot be told of it.
    pub(super) async fn ssh_command(&self, remote: &Remote) -> Result<Option<OsString>, Failure> {
        if !remote.is_ssh() {
            return Ok(None);
        }
        if self.variable("GIT_SSH").is_some() && self.variable(VARIABLE).is_none() {
            return unless_configured(remote, "GIT_SSH is set to a program of its own").map(|()| None);
        }
        let command = match self.variable(VARIABLE) {
            Some(command) => command.to_owned(),
            // The variable overrules core.sshCommand, so that must be asked for.
            None => self.ssh_setting.get_or_try_init(|| self.configured_command()).await?.clone(),
        };
        // plink and its kin know no `-o`.
        if command.to_string_lossy().contains("plink") {
            return unless_configured(remote, "plink is configured as git's ssh").map(|()| Some(command));
        }
        Ok(Some(with_options(&command, &remote.ssh)))
    }

    async fn configured_command(&self) -> Result<OsString, Failure> {
        let mut command = self.command(None);
        command.args(["config", "--get", "core.sshCommand"]);
        let call = Call { what: "cannot read git's configuration", command, remote: None, input: Vec::new() };
        let finished = self.run(call, |_| ()).await?;
        // Exit code 1 means that it is not set; anything worse fails the next command with its own words.
        let text = String::from_utf8_lossy(&finished.stdout);
        let command = text.trim_end_matches('\n');
        Ok(OsString::from(if command.is_empty() { "ssh" } else { command }))
    }

    /// Opens the hand-over of a key's passphrase: ssh runs our askpass, without a terminal (`SSH_ASKPASS_REQUIRE` is from
    /// OpenSSH 8.4).
    pub(super) fn reach_by_ssh(&self, command: &mut Command, remote: &Remote) -> Result<Option<Handover>, Failure> {
        let (true, Some(passphrase)) = (remote.is_ssh(), &remote.ssh.passphrase) else { return Ok(None) };
        let handover = self.counter.serve_passphrase(remote.ssh.key_file.clone(), passphrase)?;
        self.ask_through(command, &handover);
        Ok(Some(handover))
    }

    fn ask_through(&self, command: &mut Command, handover: &Handover) {
        command
            .env("SSH_ASKPASS", &self.askpass)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env(askpass::MARKER, &handover.path);
    }

    /// Says what ssh does not: why it was denied, and what its user can do. Any other failure is returned as it is.
    pub(super) async fn explain_ssh(&self, remote: Option<&Remote>, failure: Failure) -> Failure {
        let Some(remote) = remote.filter(|remote| remote.is_ssh()) else { return failure };
        match (failure.reason(), &remote.ssh.key_file) {
            (Reason::AuthFailed, Some(key)) => match self.examine(key, remote.ssh.passphrase.as_ref()).await {
                Ok(Key::Usable) => failure.with_hint(format!(
                    "the server does not take the key {0}: add {0}.pub to the keys that may log in there.",
                    key.display()
                )),
                Ok(Key::Encrypted) => {
                    said(failure, format!("the key {} is encrypted, and no passphrase is configured", key.display()))
                        .with_hint("set `ssh.passphrase` of the destination, or load the key into your agent.")
                }
                Ok(Key::WrongPassphrase) => {
                    said(failure, format!("the passphrase does not open the key {}", key.display()))
                        .with_hint("correct what `ssh.passphrase` of the destination is read from.")
                }
                Ok(Key::Unusable(words)) => said(failure, format!("the key {} cannot be used: {words}", key.display()))
                    .with_hint("name a private key that only you can read, as ssh-keygen makes it."),
                Err(error) => {
                    tracing::debug!("the key cannot be examined: {error}");
                    failure
                }
            },
            (Reason::AuthFailed, None) => {
                failure.with_hint("load a key that may log in there into your ssh agent, or name it in ~/.ssh/config.")
            }
            (Reason::HostKeyFailed, _) if remote.ssh.host_keys == Some(HostKeys::Strict) && is_unknown(&failure) => {
                failure.with_hint(
                    "put the server's key into known_hosts (compare it first), or set `ssh.known_hosts: accept-new`.",
                )
            }
            _ => failure,
        }
    }

    /// Tries to open a private key, as ssh would.
    async fn examine(&self, key: &Path, passphrase: Option<&Secret>) -> Result<Key, Failure> {
        let mut command = Command::new("ssh-keygen");
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.arg("-y");
        let mut handover = None;
        match passphrase {
            Some(passphrase) => {
                let open = self.counter.serve_passphrase(None, passphrase)?;
                self.ask_through(&mut command, &open);
                handover = Some(open);
            }
            None => drop(command.args(["-P", ""])),
        }
        command.arg("-f").arg(key);
        let finished = process::run(command, process::Input::Whole(Vec::new()), &self.limits, |_| ()).await?;
        drop(handover);
        if finished.status.success() {
            return Ok(Key::Usable);
        }
        let said = finished.stderr;
        Ok(match passphrase {
            _ if !said.contains("incorrect passphrase") => {
                let words = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("ssh-keygen does not say why");
                Key::Unusable(words.trim().to_owned())
            }
            Some(_) => Key::WrongPassphrase,
            None => Key::Encrypted,
        })
    }
}

/// What a private key file is.
enum Key {
    Usable,
    Encrypted,
    WrongPassphrase,
    /// In ssh-keygen's words.
    Unusable(String),
}

fn said(failure: Failure, message: String) -> Failure {
    failure.with_message(message)
}

/// Whether the host's key was never seen before, rather than changed.
fn is_unknown(failure: &Failure) -> bool {
    failure.evidence().is_some_and(|line| line.contains("key is known for"))
}

/// Refuses an ssh that takes no options from us where its key is configured.
fn unless_configured(remote: &Remote, why: &str) -> Result<(), Failure> {
    let Ssh { host_keys, key_file, .. } = &remote.ssh;
    if key_file.is_none() && *host_keys != Some(HostKeys::AcceptNew) {
        return Ok(());
    }
    let message = format!("{why}: the `ssh` settings of the destination cannot reach it");
    Err(Failure::new(Reason::LocalFailed, message).with_hint("use GIT_SSH_COMMAND with OpenSSH instead."))
}

/// Nobody is there to answer, and a dead peer is dead: no questions, a connect timeout, and keep-alives.
///
/// Options of the user's own command stand before ours, and ssh takes the first it hears (ssh_config(5)).
fn with_options(users: &OsStr, ssh: &Ssh) -> OsString {
    let mut command = if users.is_empty() { OsString::from("ssh") } else { users.to_owned() };
    match &ssh.passphrase {
        None => command.push(" -o BatchMode=yes"),
        // BatchMode would not even ask our askpass.
        Some(_) => command.push(
            " -o BatchMode=no -o PasswordAuthentication=no -o KbdInteractiveAuthentication=no \
             -o NumberOfPasswordPrompts=1",
        ),
    }
    let host_keys = match (ssh.host_keys, &ssh.passphrase) {
        (Some(HostKeys::AcceptNew), _) => Some("accept-new"),
        // Without BatchMode a new host key would be asked about.
        (Some(HostKeys::Strict), _) | (None, Some(_)) => Some("yes"),
        (None, None) => None,
    };
    if let Some(policy) = host_keys {
        command.push(format!(" -o StrictHostKeyChecking={policy}"));
    }
    if let Some(key) = &ssh.key_file {
        command.push(" -o IdentitiesOnly=yes -o ");
        command.push(identity_file(key));
    }
    command.push(" -o ConnectTimeout=30 -o ServerAliveInterval=15 -o ServerAliveCountMax=4");
    command
}

/// `IdentityFile="<path>"` as one word for the shell that git runs. Within it ssh reads `%` as a token, and `"` and `\`
/// as any configuration does (OpenSSH 8.7). (`-i` would not take `%%`: it looks whether the file is there first.)
fn identity_file(path: &Path) -> OsString {
    let mut word = b"'IdentityFile=\"".to_vec();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'\'' => word.extend(b"'\\''"),
            b'%' => word.extend(b"%%"),
            b'"' | b'\\' => word.extend([b'\\', *byte]),
            _ => word.push(*byte),
        }
    }
    word.extend(b"\"'");
    OsStr::from_bytes(&word).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_command_is_honoured_and_told_not_to_ask() {
        let command = |text: &str| with_options(OsStr::new(text), &Ssh::default()).into_string().unwrap();
        assert!(command("ssh -i /key").starts_with("ssh -i /key -o BatchMode=yes"));
        assert!(command("").starts_with("ssh -o BatchMode=yes"));
        assert!(!command("ssh").contains("StrictHostKeyChecking"));
    }

    #[test]
    fn a_key_is_one_word_and_its_passphrase_the_only_answer() {
        let ssh = Ssh {
            host_keys: Some(HostKeys::AcceptNew),
            key_file: Some("/a b/it's 100%".into()),
            passphrase: Some(Secret::new("open sesame")),
        };
        let command = with_options(OsStr::new("ssh"), &ssh).into_string().unwrap();
        assert!(command.contains(r#"-o IdentitiesOnly=yes -o 'IdentityFile="/a b/it'\''s 100%%"' "#), "{command}");
        assert!(command.contains("-o BatchMode=no -o PasswordAuthentication=no"), "{command}");
        assert!(command.contains("-o StrictHostKeyChecking=accept-new"), "{command}");
        assert!(!command.contains("sesame"));
        // A passphrase lets ssh ask: about host keys it must not.
        let asked = with_options(OsStr::new("ssh"), &Ssh { host_keys: None, ..ssh }).into_string().unwrap();
        assert!(asked.contains("-o StrictHostKeyChecking=yes"), "{asked}");
    }
}
