//! What the tests of the storage share: runs in short, outcomes by name, and pictures of directory trees.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Forge, Program, Run, TestEnv};

/// A backup of everything on a forge, reported as JSON. `--full`: the listing's times decide nothing here.
pub fn backup(env: &TestEnv, forge: &Forge) -> Program {
    env.holocron(["--backup-only", "--json", "--full"]).github(forge)
}

/// A backup of the repositories under a directory of [`TestEnv::work`], reported as JSON.
pub fn backup_dir(env: &TestEnv, dir: &str) -> Program {
    env.holocron(["--backup-only", "--json", "--dir", dir])
}

/// One mirror in the JSON report.
#[track_caller]
pub fn outcome(run: &Run, name: &str) -> Value {
    let report = run.json();
    let mirrors = report["mirrors"].as_array().expect("the report lists mirrors");
    let found = mirrors.iter().find(|mirror| mirror["name"] == name);
    found.unwrap_or_else(|| panic!("no mirror {name} in the report\n{run}")).clone()
}

/// The verdict on one mirror.
#[track_caller]
pub fn verdict(run: &Run, name: &str) -> String {
    outcome(run, name)["verdict"].as_str().expect("a verdict is a word").to_owned()
}

/// The notes on one mirror, as one text.
#[track_caller]
pub fn notes(run: &Run, name: &str) -> String {
    let notes = outcome(run, name)["notes"].clone();
    let notes = notes.as_array().expect("notes are a list").iter().filter_map(Value::as_str);
    notes.collect::<Vec<_>>().join("\n")
}

/// The reason of one mirror's failure; empty when it has none.
#[track_caller]
pub fn reason(run: &Run, name: &str) -> String {
    outcome(run, name)["failure"]["reason"].as_str().unwrap_or_default().to_owned()
}

/// Runs the test's own git in a directory and returns its stdout, trimmed.
pub async fn git(env: &TestEnv, dir: impl AsRef<Path>, args: &[&str]) -> String {
    let settings = ["-c", "safe.directory=*", "-c", "user.name=t", "-c", "user.email=t@example.test"];
    // A child of upload-pack drops settings on the command line.
    let open = env.git(settings).env("GIT_ALLOW_PROTOCOL", "file:http").cwd(dir.as_ref());
    let run = open.args(args.iter().copied()).run().await;
    run.assert_code(0);
    run.stdout.trim().to_owned()
}

/// The commits that every ref of the mirror reaches, read anew with all objects checked.
pub async fn assert_whole(env: &TestEnv, mirror: impl AsRef<Path>) {
    git(env, mirror.as_ref(), &["fsck", "--full", "--no-dangling"]).await;
}

/// Everything under a directory: type, mode, time of the last change, content or target. Nothing, when it is not there.
pub fn picture(root: &Path) -> BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)> {
    let mut seen = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let Ok(data) = fs::symlink_metadata(&path) else { continue };
        let mut content = Vec::new();
        if data.is_dir() {
            let entries = fs::read_dir(&path).expect("a test's directory can be read");
            open.extend(entries.map(|entry| entry.expect("nobody changes it now").path()));
        } else if data.is_file() {
            content = fs::read(&path).expect("a test's file can be read");
        } else if let Ok(target) = fs::read_link(&path) {
            content = target.into_os_string().into_encoded_bytes();
        }
        seen.insert(path, (data.mode(), data.mtime(), data.mtime_nsec(), content));
    }
    seen
}

/// Asserts that two pictures are the same, naming what differs.
#[track_caller]
pub fn assert_untouched(
    before: &BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)>,
    after: &BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)>,
) {
    let paths = before.keys().chain(after.keys());
    let changed: Vec<_> = paths.filter(|path| before.get(*path) != after.get(*path)).collect();
    assert!(changed.is_empty(), "changed: {changed:#?}");
}

/// The text of a file in a bare repository.
#[track_caller]
pub fn text(dir: impl AsRef<Path>, file: &str) -> String {
    let path = dir.as_ref().join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whether the program runs as root, who may mount and change owners.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
