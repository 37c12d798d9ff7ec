//! A child whose output is taken while it is made: no faster than somebody takes it, and never the whole of it at once.

use std::io;
use std::process::{ExitStatus, Stdio};

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::mpsc;

use super::{Group, Text, read};
use crate::base::failure::Failure;

/// What is read at a time.
const PIECE: usize = 64 << 10;

/// What a child left behind, its output aside.
#[derive(Debug)]
pub(crate) struct Ended {
    pub status: ExitStatus,
    /// Without the progress updates that end with a carriage return.
    pub stderr: String,
    /// Whether somebody took its output until the end; where nobody did, its status says little.
    pub was_taken: bool,
}

/// Runs `command` to its end, handing it `input` and telling `on_line` each line of stderr, progress included. What it
/// prints goes to `out`, and `None` at the end of it when the child ended well: without that it was not all.
///
/// Nobody watches the time here; who does so drops the future, and the child is killed. A child whose output nobody takes
/// any more loses its pipe.
///
/// # Errors
/// `local_failed` when it cannot be started; its own exit code is no error here.
pub(crate) async fn run_piped(
    mut command: Command,
    input: Vec<u8>,
    out: mpsc::Sender<Option<Bytes>>,
    mut on_line: impl FnMut(&str),
) -> Result<Ended, Failure> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let group = Group::prepare(&mut command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let broken = |error: io::Error| Failure::local(format!("cannot run {name}"), &error);
    let mut child = command.spawn().map_err(broken)?;
    let group = group.of(&child);
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(mut stdout), Some(mut stderr)) = pipes else {
        return Err(broken(io::Error::other("it started without pipes")));
    };
    let feed = async {
        // A child that ends early has told why on stderr: a broken pipe here is no news.
        let _ = stdin.write_all(&input).await;
        drop(stdin);
    };
    let pump = async {
        let mut buffer = vec![0; PIECE];
        let taken = loop {
            let taken = match read(&mut stdout, &mut buffer).await {
                0 => break true,
                n => out.send(Some(Bytes::copy_from_slice(&buffer[..n]))).await,
            };
            if taken.is_err() {
                break false;
            }
        };
        drop(stdout);
        taken
    };
    let mut text = Text::default();
    let listen = async {
        let mut buffer = vec![0; PIECE];
        loop {
            match read(&mut stderr, &mut buffer).await {
                0 => break,
                n => text.push(&buffer[..n], &mut on_line),
            }
        }
    };
    let ((), was_taken, ()) = tokio::join!(feed, pump, listen);
    let status = child.wait().await.map_err(broken)?;
    group.disarm();
    if status.success() {
        // Nobody may be there any more.
        let _ = out.send(None).await;
    }
    Ok(Ended { status, stderr: text.finish(&mut on_line), was_taken })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn all_that_is_printed_arrives_and_its_end_is_told_only_after_a_good_end() {
        for (code, ends) in [(0, true), (3, false)] {
            let (sender, mut receiver) = mpsc::channel(1);
            let script = format!("cat; yes err | head -c 300000 >&2; exit {code}");
            let run = run_piped(shell(&script), vec![b'x'; 300_000], sender, |_| ());
            let take = async {
                let (mut bytes, mut ended) = (0, false);
                while let Some(piece) = receiver.recv().await {
                    match piece {
                        Some(piece) => bytes += piece.len(),
                        None => ended = true,
                    }
                }
                (bytes, ended)
            };
            let (done, taken) = tokio::join!(run, take);
            let done = done.unwrap();
            assert_eq!((done.status.code(), done.stderr.len(), taken), (Some(code), 300_000, (300_000, ends)));
            assert!(done.was_taken);
        }
    }

    #[tokio::test]
    async fn it_is_made_no_faster_than_it_is_taken_and_not_at_all_when_nobody_takes_it() {
        let (sender, mut receiver) = mpsc::channel(1);
        let run = tokio::spawn(run_piped(shell("yes"), Vec::new(), sender, |_| ()));
        for _ in 0..10 {
            assert!(matches!(receiver.recv().await, Some(Some(_))));
        }
        drop(receiver);
        let done = run.await.unwrap().unwrap();
        assert!(!done.status.success() && !done.was_taken);
    }
}
