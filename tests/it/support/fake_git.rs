//! Programs that stand before the real git in PATH: one writes down every call, one is too old.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::TestEnv;

const RECORDING: &str = include_str!("../../../testdata/bin/recording-git");
const OLD: &str = include_str!("../../../testdata/bin/git-version-old");

/// Real git behind a script that records arguments and environment of each call made through PATH.
///
/// Git's own children (`git-remote-https`, `git index-pack`, …) do not pass through it.
pub struct RecordingGit {
    log: PathBuf,
}

impl RecordingGit {
    /// Puts it first in the PATH of everything that `env` runs from now on.
    pub fn install(env: &TestEnv) -> Self {
        let log = env.bin().join("git-calls");
        fs::create_dir(&log).expect("one recording git for each test");
        let git = which::which("git").expect("git is installed");
        let text = |path: &PathBuf| path.to_str().expect("paths of tests are UTF-8").to_owned();
        env.script("git", &RECORDING.replace("@LOG@", &text(&log)).replace("@GIT@", &text(&git)));
        RecordingGit { log }
    }

    /// The calls so far, in the order they were made.
    pub fn calls(&self) -> Vec<Call> {
        let entries = fs::read_dir(&self.log).expect("our own directory");
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("our own directory").path()).collect();
        files.retain(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("call.")));
        files.sort();
        files.iter().map(|file| Call::parse(&fs::read(file).expect("our own file"))).collect()
    }
}

/// One call of git.
#[derive(Debug, Clone)]
pub struct Call {
    /// The arguments, without the program.
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
}

impl Call {
    fn parse(record: &[u8]) -> Self {
        let mut fields = record.split(|byte| *byte == 0).map(|field| String::from_utf8_lossy(field).into_owned());
        let count = fields.next().and_then(|count| count.parse().ok()).expect("a record begins with a count");
        let args = fields.by_ref().take(count).collect();
        let pair = |field: String| field.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        Call { args, env: fields.filter_map(pair).collect() }
    }

    /// Whether the text stands in any argument or in the environment.
    pub fn mentions(&self, text: &str) -> bool {
        self.args.iter().chain(self.env.values()).any(|field| field.contains(text))
    }
}

/// Puts a git 2.20.1 first in the PATH of everything that `env` runs from now on.
pub fn old_git(env: &TestEnv) {
    env.script("git", OLD);
}
