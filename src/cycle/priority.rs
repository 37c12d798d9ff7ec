//! What the system does with us and with what we start: CPU and disk priority, for cron, and no core dumps.

use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, getpriority_process, getrlimit, setpriority_process, setrlimit};

use crate::config::IoNice;

/// Takes the priorities that were asked for; returns what could not be done, for a person to know.
///
/// To be called before there is any other thread: on Linux both belong to a thread, and new threads and processes inherit
/// them (setpriority(2), ioprio_set(2)).
pub fn stand_back(nice: Option<u8>, ionice: Option<IoNice>) -> Vec<String> {
    let nice = nice.and_then(|nice| be_nice(i32::from(nice)).err());
    let ionice = ionice.and_then(|class| be_io_nice(class).err());
    [
        nice.map(|why| format!("`nice` has no effect: {why}.")),
        ionice.map(|why| format!("`ionice` has no effect: {why}.")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Keeps us and everything we start from writing core dumps: the memory holds tokens.
///
/// A limit of 0 keeps Linux from writing a file, but not from handing the memory to a program such as systemd-coredump;
/// a limit of 1 byte keeps it from both (core(5), `do_coredump` in Linux).
pub fn forbid_core_dumps() {
    let bytes = if cfg!(target_os = "linux") { 1 } else { 0 };
    let maximum = getrlimit(Resource::Core).maximum.map_or(bytes, |maximum| maximum.min(bytes));
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(maximum), maximum: Some(maximum) }) {
        tracing::debug!("core dumps cannot be forbidden: {error}");
    }
}

/// Who was started nicer than that stays so: only root may become bolder.
fn be_nice(nice: i32) -> rustix::io::Result<()> {
    if getpriority_process(None)? >= nice { Ok(()) } else { setpriority_process(None, nice) }
}

/// By the program of that name (util-linux, busybox): there is no safe way to the system call.
fn be_io_nice(class: IoNice) -> Result<(), String> {
    let class: &[&str] = match class {
        IoNice::BestEffort => &["-c", "2", "-n", "7"],
        IoNice::Idle => &["-c", "3"],
    };
    let mut ionice = Command::new("ionice");
    ionice.args(class).args(["-p", &std::process::id().to_string()]).stdin(Stdio::null());
    let done = ionice.output().map_err(|error| format!("cannot run the program ionice ({error})"))?;
    match done.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
    }
}
