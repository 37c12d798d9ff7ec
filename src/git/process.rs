//! One child process: spawned in a group of its own, both pipes drained, watched for silence, stopped whole.

mod detached;
mod piped;

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::{Buf, Bytes};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::base::failure::{Failure, Reason};

pub use detached::leave_terminal_if_asked;
pub(crate) use detached::without_terminal;
pub(crate) use piped::{Ended, run_piped};

/// How long a group has between TERM and KILL.
const GRACE: Duration = Duration::from_secs(5);
/// How long a finished child's pipes may stay open: an ssh master of the user's keeps stderr for itself.
const LINGER: Duration = Duration::from_secs(1);
/// What may wait in a pipe that feeds a child piece by piece: all that Linux lets everybody have (pipe(7)).
#[cfg(target_os = "linux")]
const PIPE: usize = 1 << 20;
/// How much of stderr is kept, from its end: 5,000 refused refs are half a megabyte.
const STDERR_KEPT: usize = 4 << 20;

/// What bounds a child's life.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Longest silence on both pipes.
    pub idle: Duration,
    /// Longest life in all.
    pub total: Option<Duration>,
    /// Most bytes on stdout; a child that prints more is stopped.
    pub output: Option<usize>,
    /// Stops the child: TERM, grace, KILL.
    pub stop: CancellationToken,
}

impl Limits {
    /// Which of the limits a child that was started then has passed.
    fn passed(&self, started: Instant) -> String {
        match self.total {
            Some(total) if started.elapsed() >= total => format!("not done after {} s", total.as_secs()),
            _ => format!("nothing was heard for {} s", self.idle.as_secs()),
        }
    }
}

/// What a child left behind.
#[derive(Debug)]
pub(crate) struct Finished {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    /// Without the progress updates that end with a carriage return.
    pub stderr: String,
}

/// What a child reads.
#[derive(Debug)]
pub(crate) enum Input {
    Whole(Vec<u8>),
    /// As it comes, and no faster than the child takes it; ends when nobody sends any more. The channel closes when the
    /// child stops reading.
    Pieces(mpsc::Receiver<Bytes>),
}

/// Runs `command` to its end, handing it `input` and telling `on_line` each line of stderr, progress included.
///
/// # Errors
/// `local_failed` when it cannot be started, `timed_out` and `cancelled` when it was stopped; its own exit code is no
/// error here.
pub(crate) async fn run(
    mut command: Command,
    input: Input,
    limits: &Limits,
    mut on_line: impl FnMut(&str),
) -> Result<Finished, Failure> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let broken = |error: io::Error| Failure::local(format!("cannot run {name}"), &error);
    let (mut child, group) = start(&mut command, &input).map_err(broken)?;
    let mut feed = Feed::of(child.stdin.take(), input);
    let Some(mut printed) = Printed::by(&mut child) else {
        return Err(Failure::new(Reason::LocalFailed, format!("{name} started without pipes")));
    };

    let started = Instant::now();
    let deadline = limits.total.map(|total| started + total);
    let mut heard = started;
    let mut status: Option<ExitStatus> = None;
    while status.is_none() || printed.is_open() {
        let quiet_until = match status {
            Some(_) => heard + LINGER,
            None => heard + limits.idle,
        };
        let until = deadline.map_or(quiet_until, |deadline| deadline.min(quiet_until));
        let why = tokio::select! {
            biased;
            () = limits.stop.cancelled(), if status.is_none() => Failure::new(Reason::Cancelled, "stopped on request"),
            () = feed.step(), if feed.is_open() => {
                heard = Instant::now();
                continue;
            }
            () = printed.step(&mut on_line), if printed.is_open() => {
                heard = Instant::now();
                match limits.output.filter(|most| printed.out.len() > *most) {
                    Some(most) => Failure::new(Reason::TooLarge, format!("it printed more than {} MiB", most >> 20)),
                    None => continue,
                }
            }
            ended = child.wait(), if status.is_none() => {
                status = Some(ended.map_err(broken)?);
                heard = Instant::now();
                continue;
            }
            () = sleep_until(until) => match status {
                Some(_) => break,
                None => Failure::new(Reason::TimedOut, limits.passed(started)).with_evidence(printed.text.last_line()),
            }
        };
        group.stop(&mut child).await;
        return Err(why);
    }
    group.disarm();
    let Some(status) = status else {
        return Err(Failure::new(Reason::LocalFailed, format!("{name} ended without a status")));
    };
    Ok(Finished { status, stdout: printed.out, stderr: printed.text.finish(&mut on_line) })
}

/// Starts the child, which leads a group of its own, with a pipe for each of its streams that is used.
fn start(command: &mut Command, input: &Input) -> io::Result<(Child, Group)> {
    let group = Group::prepare(command);
    let stdin = match input {
        Input::Whole(bytes) if bytes.is_empty() => Stdio::null(),
        _ => Stdio::piped(),
    };
    let child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let (Some(pipe), Input::Pieces(_)) = (&child.stdin, input) {
        widen(pipe);
    }
    let group = group.of(&child);
    Ok((child, group))
}

/// Lets more wait in a pipe than the 64 KiB that are usual, so that neither side often waits for the other.
fn widen(pipe: &ChildStdin) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::pipe::fcntl_setpipe_size(pipe, PIPE) {
        // Who has many of them gets no larger ones (pipe(7)).
        tracing::debug!("a pipe stays as small as it is: {error}");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = pipe;
}

/// What is still to be written to a child.
struct Feed {
    pipe: Option<ChildStdin>,
    /// Taken from the source and not written yet.
    piece: Bytes,
    more: Option<mpsc::Receiver<Bytes>>,
}

impl Feed {
    fn of(pipe: Option<ChildStdin>, input: Input) -> Self {
        match input {
            Input::Whole(bytes) => Feed { pipe, piece: bytes.into(), more: None },
            Input::Pieces(more) => Feed { pipe, piece: Bytes::new(), more: Some(more) },
        }
    }

    fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// Takes or writes one piece; loses nothing when it is dropped before it is done.
    async fn step(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        if self.piece.is_empty() {
            let next = match &mut self.more {
                Some(more) => more.recv().await,
                None => None,
            };
            match next {
                Some(piece) => self.piece = piece,
                // Closed: that is how the child learns that this was all.
                None => (self.pipe, self.more) = (None, None),
            }
            return;
        }
        match pipe.write(&self.piece).await {
            Ok(written) => self.piece.advance(written),
            // A child that ends early has told why on stderr: a broken pipe here is no news.
            Err(_) => {
                self.pipe = None;
                if let Some(more) = &mut self.more {
                    more.close();
                }
            }
        }
    }
}

/// What a child prints, on both pipes.
struct Printed {
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    out: Vec<u8>,
    text: Text,
    buffers: (Vec<u8>, Vec<u8>),
}

impl Printed {
    fn by(child: &mut Child) -> Option<Self> {
        let (stdout, stderr) = (Some(child.stdout.take()?), Some(child.stderr.take()?));
        let buffers = (vec![0; 16 << 10], vec![0; 4 << 10]);
        Some(Printed { stdout, stderr, out: Vec::new(), text: Text::default(), buffers })
    }

    fn is_open(&self) -> bool {
        self.stdout.is_some() || self.stderr.is_some()
    }

    /// Reads once from the pipe that has something; loses nothing when it is dropped before it is done.
    async fn step(&mut self, on_line: &mut impl FnMut(&str)) {
        let (out_buffer, err_buffer) = (&mut self.buffers.0, &mut self.buffers.1);
        let out = async {
            match &mut self.stdout {
                Some(pipe) => read(pipe, out_buffer).await,
                None => std::future::pending().await,
            }
        };
        let err = async {
            match &mut self.stderr {
                Some(pipe) => read(pipe, err_buffer).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            read = out => match read {
                0 => self.stdout = None,
                n => self.out.extend_from_slice(&self.buffers.0[..n]),
            },
            read = err => match read {
                0 => self.stderr = None,
                n => self.text.push(&self.buffers.1[..n], on_line),
            },
        }
    }
}

/// Reads once; an error ends the stream, as the exit status tells more than it.
async fn read(pipe: &mut (impl AsyncRead + Unpin), buffer: &mut [u8]) -> usize {
    pipe.read(buffer).await.unwrap_or(0)
}

/// Collects stderr: whole lines are kept, progress updates (ended by `\r`) only shown.
#[derive(Default)]
pub(super) struct Text {
    kept: Vec<u8>,
    line: Vec<u8>,
    /// The last byte was `\r`: the next one tells whether it ended a progress update or is half of ssh's `\r\n`.
    returned: bool,
}

impl Text {
    pub(super) fn push(&mut self, bytes: &[u8], on_line: &mut impl FnMut(&str)) {
        for &byte in bytes {
            let returned = std::mem::take(&mut self.returned);
            match byte {
                b'\n' => {
                    if !returned {
                        self.show(on_line);
                    }
                    self.kept.append(&mut self.line);
                    self.kept.push(b'\n');
                }
                b'\r' => {
                    self.show(on_line);
                    self.returned = true;
                }
                _ => {
                    if returned {
                        self.line.clear();
                    }
                    self.line.push(byte);
                }
            }
        }
        if self.kept.len() > 2 * STDERR_KEPT {
            self.kept.drain(..self.kept.len() - STDERR_KEPT);
        }
    }

    fn show(&self, on_line: &mut impl FnMut(&str)) {
        if !self.line.is_empty() {
            on_line(&String::from_utf8_lossy(&self.line));
        }
    }

    fn last_line(&self) -> String {
        let text = String::from_utf8_lossy(&self.kept);
        text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().to_owned()
    }

    pub(super) fn finish(mut self, on_line: &mut impl FnMut(&str)) -> String {
        if !self.line.is_empty() && !self.returned {
            self.push(b"\n", on_line);
        }
        String::from_utf8_lossy(&self.kept).into_owned()
    }
}

/// A child's process group; signalled whole, because git-remote-https and ssh are our grandchildren.
struct Group {
    leader: Option<Pid>,
    /// It is a session of its own, in which hooks of the user's may leave something running on purpose.
    is_session: bool,
}

impl Group {
    /// Sees to it that the child will lead a group.
    fn prepare(command: &mut Command) -> Self {
        let is_session = detached::is_detached(command);
        if is_session {
            // Until it has made its session, no group can be signalled.
            command.kill_on_drop(true);
        } else {
            command.process_group(0);
        }
        Group { leader: None, is_session }
    }

    fn of(self, child: &Child) -> Self {
        Group {
            leader: child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw),
            is_session: self.is_session,
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.leader {
            // It fails only when nobody is left in the group, which is what we want.
            let _ = kill_process_group(pid, signal);
        }
    }

    async fn stop(&self, child: &mut Child) {
        self.signal(Signal::TERM);
        if timeout(GRACE, child.wait()).await.is_err() {
            tracing::debug!("a child did not end within its grace time");
        }
        self.signal(Signal::KILL);
        // Reaped here, so that nothing of it works on when we go on; its own children are init's to reap.
        let _ = child.wait().await;
        let end = Instant::now() + LINGER;
        while self.leader.is_some_and(|pid| test_kill_process_group(pid).is_ok()) && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn disarm(mut self) {
        // Whoever of the group is left has outlived its leader: nobody waits for it.
        if !self.is_session {
            self.signal(Signal::TERM);
        }
        self.leader = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Input = Input::Whole(Vec::new());

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn limits() -> Limits {
        Limits { idle: Duration::from_secs(60), total: None, output: None, stop: CancellationToken::new() }
    }

    #[tokio::test]
    async fn both_pipes_are_drained_however_much_is_written_to_either() {
        let script = "yes out | head -c 300000; yes err | head -c 300000 >&2; cat >/dev/null; exit 3";
        let done = run(shell(script), Input::Whole(vec![b'x'; 300_000]), &limits(), |_| ()).await.unwrap();
        assert_eq!((done.status.code(), done.stdout.len(), done.stderr.len()), (Some(3), 300_000, 300_000));
    }

    #[tokio::test]
    async fn a_child_that_prints_without_end_is_stopped() {
        let limits = Limits { output: Some(3 << 20), ..limits() };
        let failure = run(shell("yes"), NOTHING, &limits, |_| ()).await.unwrap_err();
        assert_eq!((failure.reason(), failure.message()), (Reason::TooLarge, "it printed more than 3 MiB"));
    }

    #[tokio::test]
    async fn pieces_arrive_in_their_order_and_their_end_is_the_end() {
        let (sender, pieces) = mpsc::channel(1);
        let send = async move {
            for number in 0..1000 {
                sender.send(format!("{number}\n").into()).await.unwrap();
            }
        };
        let limits = limits();
        let (done, ()) = tokio::join!(run(shell("cat"), Input::Pieces(pieces), &limits, |_| ()), send);
        let done = done.unwrap();
        let expected: String = (0..1000).map(|number| format!("{number}\n")).collect();
        assert_eq!(String::from_utf8(done.stdout).unwrap(), expected);
    }

    #[tokio::test]
    async fn a_child_that_stops_reading_stops_who_sends() {
        let (sender, pieces) = mpsc::channel(1);
        let send = async move { while sender.send(vec![b'x'; 10_000].into()).await.is_ok() {} };
        let limits = limits();
        let (done, ()) = tokio::join!(run(shell("exit 3"), Input::Pieces(pieces), &limits, |_| ()), send);
        assert_eq!(done.unwrap().status.code(), Some(3));
    }

    #[tokio::test]
    async fn progress_is_shown_and_not_kept() {
        let mut seen = Vec::new();
        let script = r"printf 'Receiving: 1%%\rReceiving: 100%%, done.\nfatal: x' >&2";
        let done = run(shell(script), NOTHING, &limits(), |line| seen.push(line.to_owned())).await.unwrap();
        assert_eq!(seen, ["Receiving: 1%", "Receiving: 100%, done.", "fatal: x"]);
        assert_eq!(done.stderr, "Receiving: 100%, done.\nfatal: x\n");
    }

    #[tokio::test]
    async fn what_ssh_ends_with_both_characters_is_a_whole_line() {
        let script = r"printf 'Host key verification failed.\r' >&2; printf '\nfatal: x\n50%%\r' >&2";
        let done = run(shell(script), NOTHING, &limits(), |_| ()).await.unwrap();
        assert_eq!(done.stderr, "Host key verification failed.\nfatal: x\n");
    }

    #[tokio::test]
    async fn silence_ends_the_whole_group() {
        let script = "sleep 1000 & echo $!; wait";
        let limits = Limits { idle: Duration::from_millis(200), ..limits() };
        let failure = run(shell(script), NOTHING, &limits, |_| ()).await.unwrap_err();
        assert_eq!(failure.reason(), Reason::TimedOut);
    }

    #[tokio::test]
    async fn a_request_to_stop_reaches_the_grandchildren() {
        let limits = limits();
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; echo up >&2; wait", pid_file.display());
        let stop = limits.stop.clone();
        let failure = run(shell(&script), NOTHING, &limits, |_| stop.cancel()).await.unwrap_err();
        assert_eq!(failure.reason(), Reason::Cancelled);
        let pid: i32 = std::fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Gone, or a zombie that init has not collected yet.
        assert!(state.is_empty() || state.contains(") Z"), "{state}");
    }

    #[tokio::test]
    async fn a_missing_program_is_a_local_failure() {
        let failure = run(Command::new("/nonexistent/git"), NOTHING, &limits(), |_| ()).await.unwrap_err();
        assert_eq!(failure.reason(), Reason::LocalFailed);
        assert_eq!(failure.message(), "cannot run /nonexistent/git");
    }
}
