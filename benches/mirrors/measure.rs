//! One run of one tool: started, timed, and checked.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use serde::Serialize;
use serde_json::json;

use crate::Run;
use crate::corpus::{Corpus, destination};
use crate::support::{Forge, Kind, Repo};

/// The clock of `/proc/<pid>/stat`: `USER_HZ`, which is 100 on every Linux.
const TICKS: f64 = 100.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    /// What a script does with xargs.
    Loop,
    /// Holocron with `transport: git`.
    Git,
    /// Holocron with `transport: auto`.
    Auto,
}

impl Tool {
    pub const ALL: [Tool; 3] = [Tool::Loop, Tool::Git, Tool::Auto];

    pub fn name(self) -> &'static str {
        match self {
            Tool::Loop => "loop",
            Tool::Git => "git",
            Tool::Auto => "auto",
        }
    }
}

/// What one run took.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Cost {
    /// In seconds.
    pub wall: f64,
    /// Of the tool and all its children, in seconds; not the forge's.
    pub cpu: f64,
    /// The tool's own peak, in MiB, without its children.
    pub memory: f64,
    /// Git's processes, its helpers included; known of counted runs only.
    pub processes: Option<usize>,
    pub git_requests: usize,
    pub api_requests: usize,
    pub connections: usize,
    /// Both ways, in MB.
    pub megabytes: f64,
}

/// Where one tool works.
pub struct Place<'a> {
    pub tool: Tool,
    folder: PathBuf,
    binary: &'a Path,
    concurrency: usize,
    counted: bool,
    there: tokio::sync::OnceCell<Forge>,
}

impl<'a> Place<'a> {
    pub fn new(tool: Tool, folder: PathBuf, binary: &'a Path, concurrency: usize, counted: bool) -> Self {
        for name in ["home", "tmp", "traces", "loop"] {
            fs::create_dir_all(folder.join(name)).expect("a fresh directory");
        }
        let settings = if counted {
            format!("[trace2]\neventTarget = {}\n", folder.join("traces").display())
        } else {
            String::new()
        };
        fs::write(folder.join("gitconfig"), settings).expect("a fresh directory");
        Place { tool, folder, binary, concurrency, counted, there: tokio::sync::OnceCell::new() }
    }

    /// Runs it; `None` where the tool has nothing to do.
    pub async fn measure(&self, run: Run, corpus: &Corpus, changed: &[&Repo]) -> Option<Cost> {
        let there = self.there.get_or_init(destination).await;
        let command = match self.tool {
            Tool::Loop => self.script(run, changed, there)?,
            Tool::Git | Tool::Auto => self.holocron(run, corpus, there),
        };
        let forges = [&corpus.forge, there];
        forges.iter().for_each(|forge| forge.reset_log());
        let bytes = || forges.iter().map(|forge| forge.bytes()).sum::<u64>();
        let before = bytes();
        let said = self.folder.join("said");
        // The forges answer meanwhile.
        let ran = tokio::task::spawn_blocking(move || time(command, &said)).await.expect("it does not panic");
        let requests: Vec<_> = forges.iter().flat_map(|forge| forge.requests()).collect();
        let count = |is_git: bool| requests.iter().filter(|one| matches!(one.kind, Kind::Git { .. }) == is_git).count();
        let peers: std::collections::BTreeSet<_> = requests.iter().map(|request| request.peer).collect();
        Some(Cost {
            processes: self.counted.then(|| self.take_traces()),
            git_requests: count(true),
            api_requests: count(false),
            connections: peers.len(),
            megabytes: (bytes() - before) as f64 / 1e6,
            ..ran
        })
    }

    /// Compares every ref of every repository.
    ///
    /// # Panics
    /// When one differs: figures of a wrong result are worth nothing.
    pub fn verify(&self, run: Run, corpus: &Corpus) {
        for repo in &corpus.repos {
            let there = self.there.get().and_then(|there| there.find(&copy_of(repo)));
            let copy = match (run, there) {
                (Run::PushFirst | Run::PushUnchanged, there) => there.expect("it was pushed").refs(),
                _ => Repo::existing(&self.mirror_of(repo)).refs(),
            };
            let kept = |name: &String| !name.starts_with("refs/holocron/");
            let copy: std::collections::BTreeMap<_, _> = copy.into_iter().filter(|(name, _)| kept(name)).collect();
            assert_eq!(copy, repo.refs(), "{run:?} by {} left {} wrong", self.tool.name(), repo.full_name());
        }
    }

    fn mirror_of(&self, repo: &Repo) -> PathBuf {
        match self.tool {
            Tool::Loop => self.folder.join("loop").join(format!("{}.git", name_of(repo))),
            Tool::Git | Tool::Auto => {
                self.folder.join("storage").join(repo.forge_folder()).join(format!("{}.git", repo.full_name()))
            }
        }
    }

    /// `xargs -P`, told what to do for each of `changed`.
    fn script(&self, run: Run, changed: &[&Repo], there: &Forge) -> Option<Command> {
        let line = |repo: &&Repo| {
            let mirror = self.mirror_of(repo).display().to_string();
            match run {
                Run::First => format!("clone --quiet --mirror {} {mirror}", repo.url()),
                Run::Changed { .. } => format!("-C {mirror} fetch --quiet --prune origin"),
                _ => {
                    let copy = there.repo(&copy_of(repo)).url_with(&there.token());
                    format!("-C {mirror} push --quiet --mirror {copy}")
                }
            }
        };
        let lines: Vec<String> = changed.iter().map(line).collect();
        let list = self.folder.join("list");
        fs::write(&list, lines.join("\n") + "\n").expect("our own directory");
        let mut command = self.command("xargs");
        command.args(["-P", &self.concurrency.to_string(), "-L", "1", "-a"]).arg(list).arg("git");
        (!lines.is_empty()).then_some(command)
    }

    fn holocron(&self, run: Run, corpus: &Corpus, there: &Forge) -> Command {
        let source =
            json!({"id": "from", "kind": "github", "api_url": corpus.forge.github_api(), "token": {"env": "FROM"}});
        let mut config = json!({
            "storage": self.folder.join("storage"), "concurrency": self.concurrency, "transport": self.tool.name(),
            "sources": [source],
        });
        if matches!(run, Run::PushFirst | Run::PushUnchanged) {
            config["destinations"] = json!([{
                "id": "to", "kind": "github", "api_url": there.github_api(), "token": {"env": "TO"}, "namespace": "copies",
            }]);
        }
        let file = self.folder.join("holocron.yaml");
        fs::write(&file, config.to_string()).expect("our own directory");
        let mut command = self.command(self.binary);
        command.arg("--quiet").arg("--config").arg(file);
        command.env("FROM", corpus.forge.token()).env("TO", there.token());
        if config.get("destinations").is_none() {
            command.arg("--backup-only");
        }
        if run == Run::Full {
            command.arg("--full");
        }
        command
    }

    /// A command in an environment that nothing of the user's settings is in.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").expect("PATH is set")).current_dir(&self.folder);
        command.env("HOME", self.folder.join("home")).env("TMPDIR", self.folder.join("tmp"));
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", self.folder.join("gitconfig"));
        command.env("GIT_TERMINAL_PROMPT", "0");
        command
    }

    /// How many processes wrote a trace since the last time.
    fn take_traces(&self) -> usize {
        let files = fs::read_dir(self.folder.join("traces")).expect("our own directory");
        files.map(|file| fs::remove_file(file.expect("our own directory").path()).expect("our own file")).count()
    }
}

/// Runs a command to its end.
///
/// # Panics
/// When it fails.
fn time(mut command: Command, said: &Path) -> Cost {
    let out = File::create(said).expect("our own directory");
    command.stdout(out.try_clone().expect("an open file")).stderr(out);
    let started = Instant::now();
    let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
    let pid = Pid::from_child(&child);
    let (ended, memory) = (AtomicBool::new(false), AtomicU64::new(0));
    let wall = std::thread::scope(|scope| {
        // The kernel keeps the peak; the last look before the end counts.
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                memory.fetch_max(peak(pid), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        // It stays a zombie, of which the kernel still tells the times.
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).expect("our own child");
        ended.store(true, Ordering::Relaxed);
        started.elapsed()
    });
    let cpu = cpu(pid);
    let status = child.wait().expect("our own child");
    assert!(status.success(), "{command:?} ended with {status}: {}", fs::read_to_string(said).unwrap_or_default());
    Cost { wall: wall.as_secs_f64(), cpu, memory: memory.into_inner() as f64 / 1024.0, ..Cost::default() }
}

/// Peak resident memory in KiB; 0 when it has ended.
fn peak(pid: Pid) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_pid())).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Seconds of a process and of all children that it waited for: fields 14 to 17 of proc_pid_stat(5).
fn cpu(pid: Pid) -> f64 {
    let text = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).expect("it is a zombie");
    // The name, which may have blanks in it, ends with the last bracket; field 3 follows.
    let (_, rest) = text.rsplit_once(')').expect("a stat has a name");
    rest.split_whitespace().skip(11).take(4).map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() / TICKS
}

fn name_of(repo: &Repo) -> String {
    repo.full_name().rsplit('/').next().expect("a name").to_owned()
}

fn copy_of(repo: &Repo) -> String {
    format!("copies/{}", name_of(repo))
}
