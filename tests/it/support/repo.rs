//! Real repositories made quickly: one `git fast-import` per change, dates and object ids the same in every run.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::forge::{Place, replace};
use super::script;

/// A repository that a test changes at will, on disk or on a [`super::Forge`].
///
/// Every method returns the handle again (clones name the same repository), so changes chain:
/// `forge.repo("acme/alpha").private().branch("main").tag("v1")`. Branches may be named short; `refs/…` is taken as is.
/// A change is done when its call returns. What only a forge knows (visibility, renames, …) is in `forge/handle.rs`.
#[derive(Clone)]
pub struct Repo {
    path: PathBuf,
    git_dir: PathBuf,
    /// Counts commits, which dates them.
    clock: Arc<AtomicU64>,
    pub(super) place: Option<Place>,
    pub(super) silent: bool,
}

impl Repo {
    /// Makes an empty bare repository, with HEAD on the unborn branch `main`.
    pub fn bare(path: &Path) -> Self {
        Self::init(path, path.to_owned(), true)
    }

    /// Makes an empty repository with a working tree.
    pub fn working_tree(path: &Path) -> Self {
        Self::init(path, path.join(".git"), false)
    }

    /// What `git init` makes, without its process and its hook samples.
    fn init(path: &Path, git_dir: PathBuf, bare: bool) -> Self {
        for dir in ["objects/pack", "objects/info", "refs/heads", "refs/tags"] {
            fs::create_dir_all(git_dir.join(dir)).expect("a test's directory is writable");
        }
        fs::write(git_dir.join("HEAD"), "ref: refs/heads/main\n").expect("a test's directory is writable");
        // Forges let a client ask for any commit by its id, and for a part of a repository.
        let config = format!(
            "[core]\n\trepositoryformatversion = 0\n\tbare = {bare}\n[gc]\n\tauto = 0\n[uploadpack]\n\
             \tallowAnySHA1InWant = true\n\tallowFilter = true\n\
             [include]\n\tpath = receive.conf\n\tpath = forge.conf\n"
        );
        fs::write(git_dir.join("config"), config).expect("a test's directory is writable");
        Repo { path: path.to_owned(), git_dir, clock: Arc::default(), place: None, silent: false }
    }

    /// A handle for a bare repository that somebody else made.
    pub fn existing(git_dir: &Path) -> Self {
        let (path, clock) = (git_dir.to_owned(), Arc::default());
        Repo { git_dir: path.clone(), path, clock, place: None, silent: false }
    }

    /// Sets `receive.<key>` for pushes to it, also twice: `repo.receive("hideRefs", "refs/pull")`, `denyDeletes`,
    /// `denyNonFastForwards`, `maxInputSize`, `fsckObjects`, …
    pub fn receive(&self, key: &str, value: &str) -> Self {
        let file = self.git_dir.join("receive.conf");
        let before = fs::read_to_string(&file).unwrap_or_default();
        replace(&file, &format!("{before}[receive]\n\t{key} = \"{value}\"\n"));
        self.clone()
    }

    /// Gives it a hook for pushes: `repo.hook("update", "#!/bin/sh\nexit 1\n")`. On a forge the test's `pre-receive` runs
    /// after the forge's own.
    pub fn hook(&self, name: &str, script: &str) -> Self {
        fs::create_dir_all(self.git_dir.join("hooks")).expect("our own repository");
        let own = self.place.is_some() && name == "pre-receive";
        let file = if own { "own.pre-receive" } else { name };
        script::install(&self.git_dir.join("hooks").join(file), script);
        if own {
            self.runs_own_pre_receive();
        }
        self.clone()
    }

    /// The repository's directory; with a working tree, the tree's.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory that has HEAD and refs.
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// All refs: name to object id.
    pub fn refs(&self) -> BTreeMap<String, String> {
        refs_of(&self.git_dir)
    }

    /// The object id of a branch or ref.
    #[track_caller]
    pub fn tip(&self, name: &str) -> String {
        self.refs().remove(&full(name)).unwrap_or_else(|| panic!("no ref {name} in {}", self.path.display()))
    }

    /// Several changes by one process: `repo.batch(|b| b.branch("main").branch("dev").tag("v1"))`.
    pub fn batch(&self, changes: impl FnOnce(&mut Batch) -> &mut Batch) -> Self {
        let head = head_of(&self.git_dir);
        let mut batch = Batch {
            stream: Vec::new(),
            tips: self.refs(),
            head: head.clone(),
            clock: self.clock.load(Ordering::Relaxed),
            marks: 0,
        };
        changes(&mut batch);
        self.clock.store(batch.clock, Ordering::Relaxed);
        if !batch.stream.is_empty() {
            // --force: rewriting history is one of the things to be tested.
            run_git(&self.git_dir, ["fast-import", "--quiet", "--force", "--date-format=raw"], &batch.stream);
        }
        if batch.head != head {
            fs::write(self.git_dir.join("HEAD"), format!("ref: {}\n", batch.head)).expect("our own repository");
        }
        if self.git_dir != self.path && refs_of(&self.git_dir).contains_key(&batch.head) {
            let tree = [OsStr::new("--work-tree"), self.path.as_os_str(), OsStr::new("reset"), OsStr::new("--hard")];
            run_git(&self.git_dir, tree, &[]);
        }
        self.changed();
        self.clone()
    }

    /// A new branch with one commit on top of the default branch; the first one becomes the default branch.
    pub fn branch(&self, name: &str) -> Self {
        self.batch(|batch| batch.branch(name))
    }

    /// A commit on a branch, with this message and the file `README` containing it.
    pub fn commit(&self, branch: &str, text: &str) -> Self {
        self.batch(|batch| batch.commit(branch, text))
    }

    /// A commit on a branch that writes one file.
    pub fn commit_file(&self, branch: &str, path: &str, bytes: &[u8]) -> Self {
        self.batch(|batch| batch.commit_file(branch, path, bytes))
    }

    /// A lightweight tag on the default branch.
    pub fn tag(&self, name: &str) -> Self {
        self.batch(|batch| batch.tag(name))
    }

    /// An annotated tag on the default branch.
    pub fn annotated_tag(&self, name: &str) -> Self {
        self.batch(|batch| batch.annotated_tag(name))
    }

    /// Any ref with a commit of its own: `repo.reference("refs/pull/1/head")`.
    pub fn reference(&self, name: &str) -> Self {
        self.batch(|batch| batch.reference(name))
    }

    /// That many branches `many/00001…`, all on the default branch's tip.
    pub fn many_refs(&self, count: usize) -> Self {
        self.batch(|batch| batch.many_refs(count))
    }

    /// Sets a ref to where another one is.
    pub fn point(&self, name: &str, at: &str) -> Self {
        self.batch(|batch| batch.point(name, at))
    }

    /// Deletes a branch or ref.
    pub fn delete(&self, name: &str) -> Self {
        self.batch(|batch| batch.delete(name))
    }

    /// Rewrites a branch's history: its new tip shares nothing with the old one.
    pub fn force(&self, branch: &str) -> Self {
        self.batch(|batch| batch.force(branch))
    }

    /// Makes another branch the default one, born or not.
    pub fn head(&self, branch: &str) -> Self {
        self.batch(|batch| batch.head(branch))
    }

    /// Makes a symbolic ref, as an administrator does at a server: `repo.alias("master", "main")`.
    pub fn alias(&self, name: &str, target: &str) -> Self {
        run_git(&self.git_dir, ["symbolic-ref", &full(name), &full(target)], &[]);
        self.clone()
    }

    /// What a symbolic ref names.
    pub fn leads_to(&self, name: &str) -> String {
        let file = fs::read_to_string(self.git_dir.join(full(name))).expect("a symbolic ref is a loose file");
        file.trim_end().strip_prefix("ref: ").expect("a symbolic ref").to_owned()
    }

    /// Renames the default branch.
    pub fn rename_default(&self, name: &str) -> Self {
        self.batch(|batch| batch.rename_default(name))
    }

    /// The short name of the default branch, born or not.
    pub fn default_branch(&self) -> String {
        let head = head_of(&self.git_dir);
        head.strip_prefix("refs/heads/").unwrap_or(&head).to_owned()
    }
}

/// Changes that one `git fast-import` makes together; the methods are those of [`Repo`].
///
/// A ref that stands in the way of another (`a` and `a/b`) must be deleted in an earlier batch.
pub struct Batch {
    stream: Vec<u8>,
    /// Where each ref is: an object id, or a mark of this stream.
    tips: BTreeMap<String, String>,
    head: String,
    clock: u64,
    marks: u64,
}

impl Batch {
    /// See [`Repo::branch`].
    pub fn branch(&mut self, name: &str) -> &mut Self {
        let parent = self.tips.get(&self.head).cloned();
        if parent.is_none() {
            self.head = full(name);
        }
        self.add_commit(&full(name), parent, &format!("begin {name}"), "README", format!("{name}\n").as_bytes())
    }

    /// See [`Repo::commit`].
    pub fn commit(&mut self, branch: &str, text: &str) -> &mut Self {
        self.add_commit(&full(branch), self.tip(branch), text, "README", format!("{text}\n").as_bytes())
    }

    /// See [`Repo::commit_file`].
    pub fn commit_file(&mut self, branch: &str, path: &str, bytes: &[u8]) -> &mut Self {
        self.add_commit(&full(branch), self.tip(branch), &format!("write {path}"), path, bytes)
    }

    /// See [`Repo::reference`].
    pub fn reference(&mut self, name: &str) -> &mut Self {
        let parent = self.tips.get(&self.head).cloned();
        self.add_commit(&full(name), parent, &format!("begin {name}"), "README", format!("{name}\n").as_bytes())
    }

    /// See [`Repo::force`].
    pub fn force(&mut self, branch: &str) -> &mut Self {
        let name = full(branch);
        // Without this fast-import would put the commit on top of what it knows of the branch.
        self.line(format!("reset {name}\n"));
        self.add_commit(&name, None, &format!("rewrite {branch}"), "README", b"rewritten\n")
    }

    /// See [`Repo::tag`].
    pub fn tag(&mut self, name: &str) -> &mut Self {
        let head = self.head.clone();
        self.point(&format!("refs/tags/{name}"), &head)
    }

    /// See [`Repo::annotated_tag`].
    pub fn annotated_tag(&mut self, name: &str) -> &mut Self {
        let (tip, who, text) = (self.head_tip(), self.who(), format!("release {name}"));
        self.marks += 1;
        self.line(format!("tag {name}\nmark :{}\nfrom {tip}\ntagger {who}", self.marks));
        self.data(text.as_bytes());
        self.tips.insert(format!("refs/tags/{name}"), format!(":{}", self.marks));
        self
    }

    /// See [`Repo::many_refs`].
    pub fn many_refs(&mut self, count: usize) -> &mut Self {
        let head = self.head.clone();
        for number in 1..=count {
            self.point(&format!("refs/heads/many/{number:05}"), &head);
        }
        self
    }

    /// See [`Repo::point`].
    pub fn point(&mut self, name: &str, at: &str) -> &mut Self {
        let tip = self.tip(at).unwrap_or_else(|| panic!("no ref {at} to point {name} at"));
        self.line(format!("reset {}\nfrom {tip}\n", full(name)));
        self.tips.insert(full(name), tip);
        self
    }

    /// See [`Repo::delete`].
    pub fn delete(&mut self, name: &str) -> &mut Self {
        assert!(self.tips.remove(&full(name)).is_some(), "no ref {name} to delete");
        self.line(format!("reset {}\nfrom {}\n", full(name), "0".repeat(40)));
        self
    }

    /// See [`Repo::head`].
    pub fn head(&mut self, branch: &str) -> &mut Self {
        self.head = full(branch);
        self
    }

    /// See [`Repo::rename_default`].
    pub fn rename_default(&mut self, name: &str) -> &mut Self {
        let old = self.head.clone();
        self.point(name, &old).delete(&old).head(name)
    }

    fn tip(&self, name: &str) -> Option<String> {
        self.tips.get(&full(name)).cloned()
    }

    fn head_tip(&self) -> String {
        self.tips.get(&self.head).cloned().unwrap_or_else(|| panic!("the default branch {} has no commit", self.head))
    }

    /// The person and date of the next commit, a minute after the last.
    fn who(&mut self) -> String {
        self.clock += 1;
        format!("Test <test@example.test> {} +0000", 1_700_000_000 + 60 * self.clock)
    }

    fn add_commit(&mut self, name: &str, from: Option<String>, text: &str, path: &str, bytes: &[u8]) -> &mut Self {
        assert!(!path.starts_with('"') && !path.contains('\n'), "fast-import would want {path:?} quoted");
        let who = self.who();
        self.marks += 1;
        self.line(format!("commit {name}\nmark :{}\nauthor {who}\ncommitter {who}", self.marks));
        self.data(text.as_bytes());
        if let Some(parent) = from {
            self.line(format!("from {parent}"));
        }
        self.line(format!("M 100644 inline {path}"));
        self.data(bytes);
        self.line(String::new());
        self.tips.insert(name.to_owned(), format!(":{}", self.marks));
        self
    }

    fn line(&mut self, text: String) {
        self.stream.extend_from_slice(text.as_bytes());
        self.stream.push(b'\n');
    }

    fn data(&mut self, bytes: &[u8]) {
        self.line(format!("data {}", bytes.len()));
        self.stream.extend_from_slice(bytes);
        self.stream.push(b'\n');
    }
}

/// Bytes that do not compress, the same in every run: to make a pack large enough to be cut in the middle.
pub fn noise(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

/// All refs of the repository in a directory.
pub(super) fn refs_of(git_dir: &Path) -> BTreeMap<String, String> {
    let listed = run_git(git_dir, ["for-each-ref", "--format=%(objectname) %(refname)"], &[]);
    let pair = |line: &str| line.split_once(' ').map(|(id, name)| (name.to_owned(), id.to_owned()));
    listed.lines().filter_map(pair).collect()
}

/// What HEAD names.
pub(super) fn head_of(git_dir: &Path) -> String {
    let dir = if git_dir.join(".git").is_dir() { git_dir.join(".git") } else { git_dir.to_owned() };
    let head = fs::read_to_string(dir.join("HEAD")).unwrap_or_else(|e| panic!("no HEAD in {}: {e}", dir.display()));
    head.trim().trim_start_matches("ref: ").to_owned()
}

/// Runs git on a repository, with no config but the repository's own.
#[track_caller]
pub(super) fn run_git<A: AsRef<OsStr>>(git_dir: &Path, args: impl IntoIterator<Item = A>, input: &[u8]) -> String {
    let mut git = Command::new("git");
    git.arg("-c").arg("safe.directory=*").arg("--git-dir").arg(git_dir).args(args);
    git.env_clear().env("PATH", std::env::var_os("PATH").expect("PATH is set"));
    git.envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null"), ("HOME", "/nonexistent")]);
    git.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = git.spawn().expect("git is installed");
    let mut stdin = child.stdin.take().expect("it is piped");
    std::thread::scope(|scope| {
        // Beside, not before: git may print before it has read all.
        scope.spawn(move || stdin.write_all(input));
        let output = child.wait_with_output().expect("our own child");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git failed in {}: {stderr}", git_dir.display());
        String::from_utf8_lossy(&output.stdout).into_owned()
    })
}

fn full(name: &str) -> String {
    if name.starts_with("refs/") { name.to_owned() } else { format!("refs/heads/{name}") }
}
