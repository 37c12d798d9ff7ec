//! A child without a terminal: it leads a session of its own, so that nothing it starts can ask on `/dev/tty`.
//!
//! The call for that, setsid(2), belongs between fork and exec, where only unsafe code runs. So this program is started
//! first, makes the session, and becomes the other one.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::ExitCode;

use tokio::process::Command;

/// Names the program; where it is set, this process becomes that program and is nothing else.
const MARKER: &str = "HOLOCRON_BECOMES";

/// A command that runs `program` without a terminal; `this` is our own program.
pub(crate) fn without_terminal(this: &Path, program: &Path) -> Command {
    let mut command = Command::new(this);
    command.env_clear().env(MARKER, program);
    command
}

/// Whether `command` makes its session by itself.
pub(super) fn is_detached(command: &Command) -> bool {
    command.as_std().get_envs().any(|(name, _)| name == MARKER)
}

/// Becomes the program that this process was started for; returns only when that is not possible, with the exit code, or
/// when it was started for itself.
pub fn leave_terminal_if_asked() -> Option<ExitCode> {
    let program = std::env::var_os(MARKER)?;
    let error = match rustix::process::setsid() {
        Ok(_) => {
            let mut command = std::process::Command::new(&program);
            command.args(std::env::args_os().skip(1)).env_remove(MARKER).exec()
        }
        Err(error) => error.into(),
    };
    eprintln!("holocron: cannot run {} without a terminal: {error}", program.display());
    Some(ExitCode::FAILURE)
}
