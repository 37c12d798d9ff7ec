//! Running a program to its end, or holding it by the hand: output, exit code, signals.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::Forge;

/// No run in these tests takes this long unless it hangs.
const HANG: Duration = Duration::from_secs(120);

/// Waits for something that nobody reports: what other processes are, what lies on the disk.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(HANG, waiting).await.is_ok(), "it never came to this: {what}");
}

/// A program about to be run, in an environment that has only what was put in it.
#[derive(Clone)]
pub struct Program {
    program: OsString,
    args: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    cwd: PathBuf,
}

impl Program {
    pub(super) fn new(program: OsString, cwd: PathBuf) -> Self {
        Program { program, args: Vec::new(), env: BTreeMap::new(), cwd }
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// More arguments.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Removes an environment variable.
    pub fn without_env(mut self, name: &str) -> Self {
        self.env.remove(&OsString::from(name));
        self
    }

    /// Runs it in another directory than [`super::TestEnv::work`].
    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = dir.into();
        self
    }

    /// Hands it as arguments to another program, which runs it in its own way; environment and directory stay its own.
    pub fn under(self, wrapper: Program) -> Self {
        let mut args = wrapper.args;
        args.push(self.program);
        args.extend(self.args);
        Program { program: wrapper.program, args, ..self }
    }

    /// Adds `--source github`, `GITHUB_API_URL` and `GITHUB_TOKEN` (of [`Forge::token`]).
    pub fn github(self, forge: &Forge) -> Self {
        let this = self.args(["--source", "github"]).env("GITHUB_API_URL", forge.github_api());
        this.env("GITHUB_TOKEN", forge.token())
    }

    /// Adds `--source gitlab`, `GITLAB_API_URL` and `GITLAB_TOKEN`.
    pub fn gitlab(self, forge: &Forge) -> Self {
        let this = self.args(["--source", "gitlab"]).env("GITLAB_API_URL", forge.gitlab_api());
        this.env("GITLAB_TOKEN", forge.token())
    }

    /// Adds `--source gitea`, `GITEA_API_URL` and `GITEA_TOKEN`.
    pub fn gitea(self, forge: &Forge) -> Self {
        let this = self.args(["--source", "gitea"]).env("GITEA_API_URL", forge.gitea_api());
        this.env("GITEA_TOKEN", forge.token())
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it cannot be started, or hangs: its output so far is in the message.
    pub async fn run(self) -> Run {
        self.spawn().wait().await
    }

    /// Starts it, in a process group of its own, for tests that send signals or watch its output.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn(self) -> Running {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(&self.args).env_clear().envs(&self.env).current_dir(&self.cwd).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {:?}: {e}", self.program));
        let pid = child.id().and_then(|id| Pid::from_raw(id as i32)).expect("a child just started has an id");
        let output = Arc::new(Output::default());
        let readers = vec![
            drain(child.stdout.take().expect("it is piped"), output.clone(), |output| &output.stdout),
            drain(child.stderr.take().expect("it is piped"), output.clone(), |output| &output.stderr),
        ];
        Running { child, pid, output, readers, ended: false }
    }
}

#[derive(Default)]
struct Output {
    stdout: Mutex<Vec<u8>>,
    stderr: Mutex<Vec<u8>>,
    more: Notify,
}

impl Output {
    fn texts(&self) -> (String, String) {
        let text =
            |bytes: &Mutex<Vec<u8>>| String::from_utf8_lossy(&bytes.lock().expect("no reader panics")).into_owned();
        (text(&self.stdout), text(&self.stderr))
    }
}

fn drain(
    mut pipe: impl AsyncRead + Unpin + Send + 'static,
    output: Arc<Output>,
    into: fn(&Output) -> &Mutex<Vec<u8>>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut chunk = [0; 8192];
        while let Ok(read @ 1..) = pipe.read(&mut chunk).await {
            into(&output).lock().expect("no reader panics").extend_from_slice(&chunk[..read]);
            output.more.notify_waiters();
        }
    })
}

/// A program that runs. Its whole process group is killed when this is dropped before it was waited for.
pub struct Running {
    child: Child,
    pid: Pid,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
    /// From then on its id may be another process's.
    ended: bool,
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits for its end and leaves it to [`Running::wait`] to collect it: until then its id stays its own.
    pub async fn until_end(&self) {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        let pid = self.pid;
        let ended = move || {
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        };
        tokio::task::spawn_blocking(ended).await.expect("waiting does not panic");
    }

    /// The children it has now; each git that Holocron starts leads a process group of its own.
    pub fn children(&self) -> Vec<Pid> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid.as_raw_pid()));
        let files = threads.into_iter().flatten().flatten().map(|thread| thread.path().join("children"));
        let texts = files.filter_map(|file| std::fs::read_to_string(file).ok()).collect::<Vec<_>>();
        let ids = texts.iter().flat_map(|text| text.split_whitespace());
        ids.filter_map(|id| id.parse().ok().and_then(Pid::from_raw)).collect()
    }

    /// Sends a signal to the program itself, not to its children.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("it has not been waited for, so its id is still its own");
    }

    /// Sends a signal to the program and all its children, as a terminal does on Ctrl-C.
    pub fn signal_group(&self, signal: Signal) {
        kill_process_group(self.pid, signal).expect("it has not been waited for, so its group is still its own");
    }

    /// Waits until stdout or stderr contains `text`.
    ///
    /// # Panics
    /// When that does not happen within the guard against hanging, or the program ended without it.
    pub async fn until_output(&mut self, text: &str) {
        self.until_said(text, 1).await;
    }

    /// Waits until stdout or stderr contains `text` that many times.
    ///
    /// # Panics
    /// As [`Running::until_output`].
    pub async fn until_said(&mut self, text: &str, times: usize) {
        let output = self.output.clone();
        let seen = || {
            let (stdout, stderr) = output.texts();
            stdout.matches(text).count().max(stderr.matches(text).count()) >= times
        };
        let waiting = async {
            loop {
                let mut more = std::pin::pin!(output.more.notified());
                more.as_mut().enable();
                if seen() {
                    return true;
                }
                tokio::select! {
                    () = more => {}
                    _ = self.child.wait() => {
                        self.ended = true;
                        break;
                    }
                }
            }
            for reader in self.readers.drain(..) {
                let _ = reader.await;
            }
            seen()
        };
        let found = tokio::time::timeout(HANG, waiting).await;
        let (stdout, stderr) = self.output.texts();
        assert!(matches!(found, Ok(true)), "never said {text:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
    }

    /// Waits for its end, and for all that it left running with its output still open.
    ///
    /// # Panics
    /// When it hangs.
    pub async fn wait(mut self) -> Run {
        let readers = std::mem::take(&mut self.readers);
        let ending = async {
            let status = self.child.wait().await.expect("our own child");
            for reader in readers {
                reader.await.expect("a reader does not panic");
            }
            status
        };
        let status = tokio::time::timeout(HANG, ending).await;
        let (stdout, stderr) = self.output.texts();
        let Ok(status) = status else {
            // Dropping `self` kills the group.
            panic!("still running after {HANG:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
        };
        self.ended = true;
        let code = status.code().unwrap_or_else(|| -status.signal().expect("it ended by exit or by signal"));
        Run { code, stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            // It may end at this very moment, which is fine.
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
    }
}

/// How a program ended and what it said.
#[derive(Debug, Clone)]
pub struct Run {
    /// The exit code; minus the signal's number when a signal ended it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Asserts the exit code, showing the output when it is another; returns itself for more assertions.
    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "wrong exit code\n{self}");
        self
    }

    /// stdout as one JSON document.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("stdout is not JSON: {e}\n{self}"))
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit {}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}
