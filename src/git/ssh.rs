//! The ssh command that git is given: the user's own, told that nobody is there to answer.

use std::ffi::{OsStr, OsString};

use super::{Call, Git, Remote};
use crate::failure::Failure;

/// The variable that overrules every other way to name an ssh command (git(1)).
pub(super) const VARIABLE: &str = "GIT_SSH_COMMAND";

impl Git {
    /// The value of [`VARIABLE`] for `remote`; `None` when ssh has no part in it, or is a program of the user's that
    /// takes no options from us (`GIT_SSH`).
    ///
    /// # Errors
    /// When git cannot read the user's configuration.
    pub(super) async fn ssh_command(&self, remote: &Remote) -> Result<Option<OsString>, Failure> {
        if remote.url.is_http() || remote.url.as_file().is_some() || self.variable("GIT_SSH").is_some() {
            return Ok(None);
        }
        let command = match self.variable(VARIABLE) {
            Some(command) => command.to_owned(),
            // The variable overrules core.sshCommand, so that must be asked for.
            None => self.ssh_setting.get_or_try_init(|| self.configured_command()).await?.clone(),
        };
        Ok(Some(with_options(&command)))
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
}

/// Nobody is there to answer, and a dead peer is dead: BatchMode, a connect timeout, and keep-alives.
fn with_options(users: &OsStr) -> OsString {
    let mut command = if users.is_empty() { OsString::from("ssh") } else { users.to_owned() };
    // plink and its kin know no `-o`.
    if !command.to_string_lossy().contains("plink") {
        command.push(" -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=15 -o ServerAliveCountMax=4");
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_command_is_honoured_and_told_not_to_ask() {
        let command = |text: &str| with_options(OsStr::new(text)).into_string().unwrap();
        assert!(command("ssh -i /key").starts_with("ssh -i /key -o BatchMode=yes"));
        assert!(command("").starts_with("ssh -o BatchMode=yes"));
        assert_eq!(command("plink -batch"), "plink -batch");
    }
}
