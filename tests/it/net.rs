//! What the tests of mirroring over the network share: runs with a JSON report, and what lies on disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Forge, Program, Run, TestEnv};

/// `holocron --backup-only --json` on this forge as GitHub, with more arguments.
pub fn github<const N: usize>(env: &TestEnv, forge: &Forge, args: [&str; N]) -> Program {
    env.holocron(["--backup-only", "--json"]).args(args).github(forge)
}

/// Runs [`github`] to its end, asserts the exit code and returns the report.
#[track_caller]
pub fn report(run: &Run, code: i32) -> Value {
    let report = run.assert_code(code).json();
    assert_eq!(report["exit_code"], code, "{run}");
    report
}

/// What a report or a status says of one mirror.
#[track_caller]
pub fn mirror<'a>(document: &'a Value, name: &str) -> &'a Value {
    let all = document["mirrors"].as_array().expect("both documents have mirrors");
    let found: Vec<&Value> = all.iter().filter(|mirror| mirror["name"] == name).collect();
    assert_eq!(found.len(), 1, "{name} in {document:#}");
    found[0]
}

/// The verdict of each mirror by name, as `acme/alpha cloned`.
pub fn verdicts(report: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let all = report["mirrors"].as_array().expect("a report has mirrors");
    all.iter().map(|mirror| format!("{} {}", text(&mirror["name"]), text(&mirror["verdict"]))).collect()
}

/// Asserts that one mirror failed for this reason, and returns its failure.
#[track_caller]
pub fn assert_failed<'a>(report: &'a Value, name: &str, reason: &str) -> &'a Value {
    let mirror = mirror(report, name);
    assert_eq!((&mirror["verdict"], &mirror["failure"]["reason"]), (&"failed".into(), &reason.into()), "{mirror:#}");
    &mirror["failure"]
}

/// Asserts that the only source that could not be listed failed for this reason, and returns its failure.
#[track_caller]
pub fn assert_source_failed<'a>(report: &'a Value, reason: &str) -> &'a Value {
    let failed = report["source_failures"].as_array().expect("a report has source failures");
    assert_eq!(failed.len(), 1, "{report:#}");
    assert_eq!(failed[0]["failure"]["reason"], reason, "{report:#}");
    &failed[0]["failure"]
}

/// `holocron status --json`.
pub async fn status(env: &TestEnv) -> Value {
    env.holocron(["status", "--json"]).run().await.assert_code(0).json()
}

/// Every repository in the storage by its relative path: its refs, kept ones included, and what HEAD names.
pub fn on_disk(env: &TestEnv) -> BTreeMap<PathBuf, (BTreeMap<String, String>, String)> {
    let storage = env.storage();
    let bare = |path: &Path| path.extension().is_some_and(|end| end == "git") && path.join("HEAD").is_file();
    let mut found = BTreeMap::new();
    let mut folders = vec![storage.clone()];
    while let Some(folder) = folders.pop() {
        if bare(&folder) {
            let relative = folder.strip_prefix(&storage).expect("it lies below").to_owned();
            found.insert(relative.clone(), (env.refs(&relative), env.head(&relative)));
            continue;
        }
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        folders.extend(entries.map(|entry| entry.expect("it can be read").path()).filter(|path| path.is_dir()));
    }
    found
}

/// The kept refs of a mirror: old name to object id.
pub fn kept(env: &TestEnv, mirror: impl AsRef<Path>) -> BTreeMap<String, String> {
    let parts = |name: &str| name.strip_prefix("refs/holocron/kept/")?.split_once('/').map(|(_, old)| old.to_owned());
    env.refs(mirror).into_iter().filter_map(|(name, id)| Some((parts(&name)?, id))).collect()
}
