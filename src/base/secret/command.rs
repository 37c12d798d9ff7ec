//! A token command: what it prints is a secret, why it failed is not.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::time::timeout;

use super::Secret;
use crate::base::text::clean;

/// How long a token command may take: it may ask a password manager, and that may ask a person.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long an agent that the command left behind may keep its stderr open before we stop reading.
const LINGER: Duration = Duration::from_millis(200);

/// Why a command gave no secret.
#[derive(Debug)]
pub(super) struct Refusal {
    pub why: String,
    /// The last line of its stderr; no part of what it printed on stdout is in it unmasked.
    pub last_line: String,
}

/// Runs a shell command without the variables in `withheld` and returns what it printed.
///
/// # Errors
/// When it cannot be run, takes too long, ends with another code than 0, or prints something that is not UTF-8.
pub(super) async fn ask(command: &str, withheld: &[String]) -> Result<String, Refusal> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // The tokens of other servers are none of its business.
    withheld.iter().for_each(|name| {
        shell.env_remove(name);
    });
    let bare = |why: String| Refusal { why, last_line: String::new() };
    // Dropping the future kills the shell, but not its children.
    let mut child = shell.kill_on_drop(true).spawn().map_err(|error| bare(error.to_string()))?;
    let (Some(mut stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(bare("it started without pipes".to_owned()));
    };
    let (heard, said) = tokio::sync::watch::channel(Vec::new());
    let listener = tokio::spawn(async move { listen(stderr, &heard).await });
    let mut printed = Vec::new();
    let ended = timeout(PATIENCE, async {
        stdout.read_to_end(&mut printed).await?;
        child.wait().await
    })
    .await;
    let stopper = listener.abort_handle();
    let _ = timeout(LINGER, listener).await;
    stopper.abort();
    let printed = String::from_utf8(printed);
    if let Ok(text) = &printed {
        // A command that traces itself may have said it on stderr, too.
        text.lines().for_each(|line| drop(Secret::new(line.trim())));
    }
    let said = String::from_utf8_lossy(&said.borrow()).into_owned();
    said.lines().for_each(|line| tracing::info!("the token command said: {}", clean(line)));
    let last_line = said.lines().rev().find(|line| !line.trim().is_empty()).map(clean).unwrap_or_default();
    let refuse = |why: String| Refusal { why, last_line };
    match ended {
        Err(_) => Err(refuse(format!("it is not done after {} s", PATIENCE.as_secs()))),
        Ok(Err(error)) => Err(refuse(error.to_string())),
        Ok(Ok(status)) if !status.success() => Err(refuse(format!("it {}", ended_with(status)))),
        Ok(Ok(_)) => printed.map_err(|_| refuse("it printed something that is not UTF-8".to_owned())),
    }
}

/// The program that a command runs, without its arguments, which may hold secrets: `pass` of `pass show github`.
pub(super) fn name(command: &str) -> Option<&str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/+-".contains(c);
    let word = command.split_whitespace().find(|word| !word.contains('='))?;
    word.chars().all(is_plain).then_some(word)
}

async fn listen(mut stderr: impl AsyncRead + Unpin, heard: &tokio::sync::watch::Sender<Vec<u8>>) {
    /// Of a command that talks without end the last line is out of reach; this much is kept.
    const KEPT: usize = 64 << 10;
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = stderr.read(&mut chunk).await {
        heard.send_modify(|text| {
            text.extend_from_slice(&chunk[..read]);
            let surplus = text.len().saturating_sub(KEPT);
            text.drain(..surplus);
        });
    }
}

fn ended_with(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "failed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_program_of_a_command_is_named() {
        assert_eq!(name("pass show github"), Some("pass"));
        assert_eq!(name("VAULT_TOKEN=s3cret /usr/bin/vault read x"), Some("/usr/bin/vault"));
        assert_eq!(name("$(cat x) y"), None);
        assert_eq!(name(""), None);
    }

    #[tokio::test]
    async fn an_agent_that_keeps_stderr_open_holds_nothing_up() {
        let asked = ask("sleep 1000 >/dev/null & echo $! >&2; echo t0ken-of-agent", &[]).await;
        assert_eq!(asked.unwrap(), "t0ken-of-agent\n");
    }

    #[tokio::test]
    async fn the_last_line_tells_why_and_what_was_printed_is_masked_in_it() {
        let command = "echo canary-on-stdout; echo first >&2; echo 'no canary-on-stdout here' >&2; echo >&2; exit 7";
        let refusal = ask(command, &[]).await.unwrap_err();
        assert_eq!(refusal.why, "it ended with exit code 7");
        assert_eq!(crate::base::redact::redact(&refusal.last_line), "no *** here");
    }
}
