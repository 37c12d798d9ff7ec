//! A place of its own for each test: empty home, working directory, storage, and a PATH that can be bent.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holocron::git::{Git, GitTransport, Resources, Settings};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::repo::{self, Repo};
use super::run::Program;
use super::script;

/// The whole suite under either transport: `HOLOCRON_TEST_TRANSPORT=git cargo test --test it`.
const TRANSPORT: &str = "HOLOCRON_TEST_TRANSPORT";

/// Whether every look at refs is git's in this run of the suite.
pub fn by_git() -> bool {
    std::env::var_os(TRANSPORT).is_some_and(|value| value == "git")
}

/// The directories of one test, removed with it. Nothing of the developer's own settings reaches a program run here.
pub struct TestEnv {
    root: TempDir,
}

impl TestEnv {
    /// An empty home, working directory and temporary directory.
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("holocron-it-").tempdir().expect("a temporary directory");
        let env = TestEnv { root };
        for dir in [env.home(), env.work(), env.tmp(), env.bin()] {
            fs::create_dir(dir).expect("a fresh directory");
        }
        env
    }

    /// `$HOME`, empty at first; the XDG directories lie in it.
    pub fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// The working directory of what is run.
    pub fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// `$TMPDIR`, for tests that look for leftovers.
    pub fn tmp(&self) -> PathBuf {
        self.root.path().join("tmp")
    }

    /// First in `PATH`, for programs that stand in for real ones.
    pub fn bin(&self) -> PathBuf {
        self.root.path().join("bin")
    }

    /// Where Holocron stores by default: `./mirror-data`.
    pub fn storage(&self) -> PathBuf {
        self.work().join("mirror-data")
    }

    /// The `holocron` binary with these arguments, in [`TestEnv::work`].
    pub fn holocron<A: Into<OsString>>(&self, args: impl IntoIterator<Item = A>) -> Program {
        self.program(env!("CARGO_BIN_EXE_holocron")).args(args)
    }

    /// Real git with these arguments, in [`TestEnv::work`]; it never asks for a password.
    pub fn git<A: Into<OsString>>(&self, args: impl IntoIterator<Item = A>) -> Program {
        self.program("git").args(args).env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C")
    }

    /// Any program, in the clean environment.
    pub fn program(&self, program: impl Into<OsString>) -> Program {
        let mut program = Program::new(program.into(), self.work());
        for (name, value) in self.variables() {
            program = program.env(name, value);
        }
        program
    }

    fn variables(&self) -> Vec<(&'static str, OsString)> {
        let mut path = self.bin().into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").expect("PATH is set"));
        let home = self.home();
        let mut variables = vec![
            ("PATH", path),
            ("HOME", home.clone().into()),
            ("XDG_CONFIG_HOME", home.join(".config").into()),
            ("XDG_DATA_HOME", home.join(".local/share").into()),
            ("XDG_STATE_HOME", home.join(".local/state").into()),
            ("XDG_CACHE_HOME", home.join(".cache").into()),
            ("TMPDIR", self.tmp().into()),
            ("GIT_CONFIG_NOSYSTEM", "1".into()),
            ("RUST_BACKTRACE", "1".into()),
        ];
        variables.extend(std::env::var_os(TRANSPORT).map(|value| ("HOLOCRON_TRANSPORT", value)));
        variables
    }

    /// The library's own git in the clean environment, with more variables.
    pub fn door<'a>(
        &self,
        transport: GitTransport,
        more: impl IntoIterator<Item = (&'a str, OsString)>,
        idle: Duration,
    ) -> Git {
        let own = self.variables();
        let git = Git::find(Settings {
            environment: own.into_iter().chain(more).map(|(name, value)| (name.into(), value)).collect(),
            secrets: Vec::new(),
            askpass: env!("CARGO_BIN_EXE_holocron").into(),
            idle,
            total: None,
            resources: Resources::default(),
            stop: CancellationToken::new(),
            transport,
        });
        git.expect("git is installed")
    }

    /// Deletes what Holocron remembers; the mirrors stay.
    pub fn lose_store(&self) {
        for entry in fs::read_dir(self.storage().join(".holocron")).expect("there was a run") {
            let path = entry.expect("it can be listed").path();
            if path.to_string_lossy().contains("state.sqlite") {
                fs::remove_file(path).expect("it is ours");
            }
        }
    }

    /// Writes the user's global git config (`~/.gitconfig`), to be hostile with it.
    pub fn global_git_config(&self, text: &str) {
        fs::write(self.home().join(".gitconfig"), text).expect("the home is writable");
    }

    /// Writes a file in the working directory (with its parents) and returns its path.
    pub fn file(&self, path: impl AsRef<Path>, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work().join(path);
        fs::create_dir_all(path.parent().expect("a file has a parent")).expect("the working directory is writable");
        fs::write(&path, text).expect("the working directory is writable");
        path
    }

    /// An executable script in [`TestEnv::bin`], so found before the real program of that name.
    pub fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.bin().join(name);
        script::install(&path, text);
        path
    }

    /// A new bare repository under the working directory: `env.bare_repo("src/alpha.git").branch("main")`.
    pub fn bare_repo(&self, path: impl AsRef<Path>) -> Repo {
        Repo::bare(&self.work().join(path))
    }

    /// A new repository with a working tree under the working directory.
    pub fn working_tree(&self, path: impl AsRef<Path>) -> Repo {
        Repo::working_tree(&self.work().join(path))
    }

    /// Where the mirror of a forge's repository must lie: `<storage>/<host>_<port>/<namespace>/<name>.git`.
    pub fn mirror_of(&self, repo: &Repo) -> PathBuf {
        self.storage().join(repo.forge_folder()).join(format!("{}.git", repo.full_name()))
    }

    /// All refs of the repository at a path (relative to [`TestEnv::storage`] or absolute): name to object id.
    pub fn refs(&self, path: impl AsRef<Path>) -> BTreeMap<String, String> {
        repo::refs_of(&self.storage().join(path))
    }

    /// What HEAD of the repository at a path names (`refs/heads/main`), born or not.
    pub fn head(&self, path: impl AsRef<Path>) -> String {
        repo::head_of(&self.storage().join(path))
    }

    /// Asserts that every ref and HEAD of `repo` are the same in the mirror, `refs/holocron/` aside.
    #[track_caller]
    pub fn assert_same_refs(&self, repo: &Repo, mirror: impl AsRef<Path>) {
        let mut kept = self.refs(&mirror);
        kept.retain(|name, _| !name.starts_with("refs/holocron/"));
        let source = repo.refs();
        let differences: Vec<String> = source
            .keys()
            .chain(kept.keys())
            .filter(|name| source.get(*name) != kept.get(*name))
            .map(|name| format!("  {name}: source {:?}, mirror {:?}", source.get(name), kept.get(name)))
            .collect();
        let mirror = mirror.as_ref().display();
        assert!(differences.is_empty(), "refs of {mirror} differ from its source:\n{}", differences.join("\n"));
        assert_eq!(
            self.head(repo.git_dir()),
            self.head(mirror.to_string()),
            "HEAD of {mirror} differs from its source"
        );
    }

    /// [`TestEnv::assert_same_refs`] for the place where the mirror must lie.
    #[track_caller]
    pub fn assert_mirrored(&self, repo: &Repo) {
        self.assert_same_refs(repo, self.mirror_of(repo));
    }
}
