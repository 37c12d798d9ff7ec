//! Git in the user's own working trees: a commit is the one that the user's git would make, and nothing asks or waits.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holocron::base::failure::{Failure, Reason};
use holocron::git::{GitTransport, UserTree};

use crate::support::{Program, TestEnv};

/// No command of these tests takes this long unless it waits for somebody.
const LONG: Duration = Duration::from_secs(100);

/// Set where a test runs itself again on a terminal.
const ON_TERMINAL: &str = "HOLOCRON_TEST_ON_TERMINAL";

/// A home whose user has configured all that changes a commit.
const CONFIG: &str = "\
[user]
    name = Ann
    email = ann@example.org
[core]
    autocrlf = true
    hooksPath = ~/hooks
[filter \"loud\"]
    clean = tr a-z A-Z
    required = true
[commit]
    verbose = true
    status = true
";

const PRE_COMMIT: &str = "#!/bin/sh\nset -e\necho checked >checked\ngit add checked\n";
const COMMIT_MSG: &str = "#!/bin/sh\nprintf '\\nChecked-By: hook\\n' >>\"$1\"\n";

struct User {
    env: TestEnv,
    variables: Vec<(&'static str, OsString)>,
}

impl User {
    fn with_config(more: &str) -> Self {
        let env = TestEnv::new();
        env.global_git_config(&format!("{CONFIG}{more}"));
        let variables = vec![
            ("GIT_AUTHOR_DATE", "2030-01-02T03:04:05+01:00".into()),
            ("GIT_COMMITTER_DATE", "2030-01-02T03:04:05+01:00".into()),
        ];
        User { env, variables }
    }

    fn variable(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    fn hook(self, name: &str, script: &str) -> Self {
        let hook = self.env.file(self.env.home().join("hooks").join(name), script);
        executable(&hook);
        self
    }

    /// A program that leaves the file `ran-<name>` when somebody starts it.
    fn trap(&self, name: &str) -> PathBuf {
        self.env.script(name, &format!("#!/bin/sh\n: >{}\nexit 1\n", self.mark(name).display()))
    }

    fn mark(&self, name: &str) -> PathBuf {
        self.env.home().join(format!("ran-{name}"))
    }

    fn ran(&self, name: &str) -> bool {
        self.mark(name).exists()
    }

    /// Git as the user runs it.
    fn alone(&self, dir: &Path, args: &[&str]) -> Program {
        let git = self.env.program("git").args(args).cwd(dir);
        self.variables.iter().fold(git, |git, (name, value)| git.env(*name, value))
    }

    async fn said(&self, dir: &Path, args: &[&str]) -> String {
        let run = self.alone(dir, args).run().await;
        run.assert_code(0);
        run.stdout.trim().to_owned()
    }

    /// A new repository with files that filters, attributes and line ends change.
    async fn tree(&self, name: &str) -> PathBuf {
        let dir = self.env.work().join(name);
        self.alone(&self.env.work(), &["init", "--quiet", "--initial-branch=main", name]).run().await.assert_code(0);
        let file = |path: &str, text: &str| drop(self.env.file(dir.join(path), text));
        file(".gitattributes", "*.loud filter=loud\n*.bin -text\n*.sh text eol=lf\n*.bat text eol=crlf\n");
        file("a.txt", "one\r\ntwo\r\n");
        file("b.loud", "quiet\r\n");
        file("c.bin", "as\r\nit is\r\n");
        file("d.sh", "#!/bin/sh\r\n");
        file("e.bat", "rem\r\n");
        dir
    }

    /// The same through our door.
    fn door(&self, dir: &Path, limit: Duration) -> UserTree {
        // Left behind by a git that started us.
        let left = [
            ("GIT_DIR", "/nonexistent".into()),
            ("GIT_INDEX_FILE", "/nonexistent/index".into()),
            ("GIT_CONFIG_PARAMETERS", "'user.name'='Nobody'".into()),
        ];
        self.env.door(GitTransport::Auto, left.into_iter().chain(self.variables.clone()), LONG).user_tree(dir, limit)
    }

    async fn commit(&self, dir: &Path, limit: Duration) -> Result<(), Failure> {
        let tree = self.door(dir, limit);
        tree.run("cannot add", ["add", "--all"], "").await?;
        tree.run("cannot commit", ["commit", "--quiet", "--file=-"], "Add files\n").await.map(drop)
    }

    async fn commit_alone(&self, dir: &Path) {
        self.alone(dir, &["add", "--all"]).run().await.assert_code(0);
        self.alone(dir, &["commit", "--quiet", "--message=Add files"]).run().await.assert_code(0);
    }

    /// Makes the same commit by both, and returns the raw one.
    async fn assert_equal_commits(&self) -> String {
        let (ours, alone) = (self.tree("ours").await, self.tree("alone").await);
        self.commit(&ours, LONG).await.expect("it can be committed");
        self.commit_alone(&alone).await;
        let raw = ["cat-file", "commit", "HEAD"];
        let made = self.said(&ours, &raw).await;
        assert_eq!(made, self.said(&alone, &raw).await);
        let listing = ["ls-tree", "-r", "HEAD"];
        assert_eq!(self.said(&ours, &listing).await, self.said(&alone, &listing).await);
        assert_eq!(self.said(&ours, &["status", "--porcelain"]).await, "");
        made
    }
}

fn executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
}

#[tokio::test]
async fn a_commit_is_the_one_that_the_users_own_git_makes() {
    let user = User::with_config("").hook("pre-commit", PRE_COMMIT).hook("commit-msg", COMMIT_MSG);
    let made = user.assert_equal_commits().await;
    assert!(made.contains("author Ann <ann@example.org> 1893549845 +0100"), "{made}");
    assert!(made.ends_with("Add files\n\nChecked-By: hook"), "{made}");
    let tree = user.env.work().join("ours");
    assert_eq!(user.said(&tree, &["cat-file", "blob", "HEAD:b.loud"]).await, "QUIET");
    assert_eq!(user.said(&tree, &["cat-file", "blob", "HEAD:checked"]).await, "checked");
    assert_eq!(user.said(&tree, &["cat-file", "-s", "HEAD:a.txt"]).await, "8", "its line ends are git's");
}

#[tokio::test]
async fn identity_may_come_from_the_environment_and_is_never_made_up() {
    let user = User::with_config("[user]\n    email =\n    name =\n").variable("GIT_AUTHOR_NAME", "Bob");
    let user = user.variable("GIT_AUTHOR_EMAIL", "bob@example.org").variable("GIT_COMMITTER_NAME", "Carol");
    let user = user.variable("GIT_COMMITTER_EMAIL", "carol@example.org");
    let made = user.assert_equal_commits().await;
    assert!(made.contains("author Bob <bob@example.org>") && made.contains("committer Carol <"), "{made}");

    let nobody = User::with_config("");
    nobody.env.global_git_config("");
    let failure = nobody.commit(&nobody.tree("ours").await, LONG).await.unwrap_err();
    assert!(failure.evidence().unwrap_or_default().contains("auto-detection is disabled"), "{failure}");
}

fn signs_by_ssh(user: &User) {
    let config = format!(
        "{CONFIG}[commit]\n    gpgSign = true\n[gpg]\n    format = ssh\n[gpg \"ssh\"]\n    allowedSignersFile = ~/signers\n\
         [user]\n    signingKey = {}\n",
        user.env.home().join("key").display()
    );
    user.env.global_git_config(&config);
}

async fn make_ssh_key(user: &User, passphrase: &str) {
    let key = user.env.home().join("key");
    let args = ["-q", "-t", "ed25519", "-C", "", "-N", passphrase, "-f", key.to_str().expect("plain")];
    user.env.program("ssh-keygen").args(args).run().await.assert_code(0);
    let public = std::fs::read_to_string(key.with_extension("pub")).expect("it was just made");
    user.env.file(user.env.home().join("signers"), format!("ann@example.org {public}"));
}

#[tokio::test]
async fn a_commit_is_signed_with_the_users_ssh_key() {
    let user = User::with_config("");
    make_ssh_key(&user, "").await;
    signs_by_ssh(&user);
    // An ed25519 signature has no part that is random: the ids are equal too.
    let made = user.assert_equal_commits().await;
    assert!(made.contains("BEGIN SSH SIGNATURE"), "{made}");
    user.alone(&user.env.work().join("ours"), &["verify-commit", "HEAD"]).run().await.assert_code(0);
}

#[tokio::test]
async fn a_commit_is_signed_with_the_users_gpg_key_and_nobody_asks_for_its_passphrase() {
    if which::which("gpg").is_err() {
        eprintln!("gpg is not installed: signatures by ssh are tested beside");
        return;
    }
    for (passphrase, opens) in [("", true), ("secret", false)] {
        let user = User::with_config("[commit]\n    gpgSign = true\n").variable("GPG_TTY", "/dev/tty");
        let home = user.env.home().join(".gnupg");
        std::fs::create_dir(&home).unwrap();
        std::fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let args = ["--batch", "--quiet", "--pinentry-mode=loopback", "--passphrase", passphrase];
        let key = ["--quick-generate-key", "Ann <ann@example.org>", "ed25519", "sign", "never"];
        user.env.program("gpg").args(args).args(key).run().await.assert_code(0);
        let forget = user.env.program("gpgconf").args(["--kill", "gpg-agent"]);
        forget.clone().run().await.assert_code(0);
        let tree = user.tree("ours").await;
        let made = user.commit(&tree, LONG).await;
        forget.run().await.assert_code(0);
        match opens {
            true => user.alone(&tree, &["verify-commit", "HEAD"]).run().await.assert_code(0),
            false => {
                let failure = made.unwrap_err();
                assert!(failure.evidence().unwrap_or_default().contains("gpg failed to sign the data"), "{failure}");
                continue;
            }
        };
    }
}

#[tokio::test]
async fn the_words_of_a_hook_that_refuses_are_told() {
    let user =
        User::with_config("").hook("pre-commit", "#!/bin/sh\necho 'a.txt: trailing space'\necho no >&2\nexit 1\n");
    let failure = user.commit(&user.tree("ours").await, LONG).await.unwrap_err();
    assert_eq!(failure.evidence(), Some("a.txt: trailing space\nno"), "{failure}");
    assert_eq!(failure.message(), "cannot commit: git ended with exit code 1");
}

#[tokio::test]
async fn a_hook_that_hangs_is_stopped_at_the_limit_with_all_that_it_started() {
    let user = User::with_config("");
    let pid = user.env.home().join("pid");
    let script = format!("#!/bin/sh\necho 'asking the linter' >&2\nsleep 1000 &\necho $! >{}\nwait\n", pid.display());
    let user = user.hook("pre-commit", &script);
    let failure = user.commit(&user.tree("ours").await, Duration::from_secs(3)).await.unwrap_err();
    assert_eq!((failure.reason(), failure.evidence()), (Reason::TimedOut, Some("asking the linter")), "{failure}");
    assert_eq!(failure.message(), "cannot commit: not done after 3 s");
    let pid = std::fs::read_to_string(pid).unwrap();
    let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z"), "{state}");
    assert!(!user.env.work().join("ours/.git/index.lock").exists());
}

#[tokio::test]
async fn what_a_hook_leaves_running_on_purpose_goes_on() {
    let user = User::with_config("");
    let (go, done) = (user.env.home().join("go"), user.env.home().join("done"));
    for fifo in [&go, &done] {
        user.env.program("mkfifo").arg(fifo.as_os_str()).run().await.assert_code(0);
    }
    let job = format!("#!/bin/sh\n(read x <{}; echo tags >{}) >/dev/null 2>&1 &\n", go.display(), done.display());
    let user = user.hook("post-commit", &job);
    user.commit(&user.tree("ours").await, LONG).await.unwrap();
    let indexed = tokio::task::spawn_blocking(move || {
        std::fs::write(go, "go\n").unwrap();
        std::fs::read_to_string(done).unwrap()
    });
    let indexed = tokio::time::timeout(LONG, indexed).await.expect("the job runs on").unwrap();
    assert_eq!(indexed, "tags\n");
}

#[tokio::test]
async fn nobody_is_asked_not_even_on_a_terminal() {
    if std::env::var_os(ON_TERMINAL).is_none() {
        let this = std::env::current_exe().expect("it runs");
        let test = "user_tree::nobody_is_asked_not_even_on_a_terminal";
        let command = format!("exec {} --exact {test} --nocapture", this.display());
        let env = TestEnv::new();
        let script = env.program("script").args(["--quiet", "--return", "--command", &command, "/dev/null"]);
        let run = script.env(ON_TERMINAL, "1").run().await;
        run.assert_code(0);
        assert!(run.stdout.contains("1 passed"), "{run}");
        return;
    }
    std::fs::File::open("/dev/tty").expect("there is a terminal");
    let asks = "#!/bin/sh\nif read -r answer; then echo \"told: $answer\"; fi\n\
                if read -r answer </dev/tty; then echo \"told: $answer\"; fi\necho 'nobody answers'\nexit 1\n";
    let user = User::with_config("").hook("pre-commit", asks);
    let failure = user.commit(&user.tree("ours").await, LONG).await.unwrap_err();
    let words = failure.evidence().unwrap_or_default();
    assert!(words.ends_with("nobody answers") && !words.contains("told:"), "{failure}");

    let user = User::with_config("").variable("DISPLAY", ":0");
    let user = user.variable("SSH_ASKPASS", "askpass").variable("GIT_ASKPASS", "askpass");
    user.trap("askpass");
    make_ssh_key(&user, "secret").await;
    signs_by_ssh(&user);
    let failure = user.commit(&user.tree("ours").await, LONG).await.unwrap_err();
    assert!(failure.evidence().unwrap_or_default().contains("incorrect passphrase"), "{failure}");
    assert!(!user.ran("askpass"));
}

#[tokio::test]
async fn no_editor_starts_and_no_pager() {
    let user = User::with_config("[core]\n    editor = editor\n    pager = pager\n[pager]\n    log = pager\n");
    let names = ["GIT_EDITOR", "VISUAL", "EDITOR", "GIT_SEQUENCE_EDITOR"];
    let user = names.iter().fold(user, |user, name| user.variable(name, "editor")).variable("GIT_PAGER", "pager");
    user.trap("editor");
    user.trap("pager");
    let dir = user.tree("ours").await;
    let tree = user.door(&dir, LONG);
    tree.run("cannot add", ["add", "--all"], "").await.unwrap();
    let failure = tree.run("cannot commit", ["commit"], "").await.unwrap_err();
    assert!(failure.evidence().unwrap_or_default().contains("problem with the editor 'false'"), "{failure}");
    user.commit(&dir, LONG).await.unwrap();
    tree.run("cannot rebase", ["rebase", "--interactive", "--root"], "").await.unwrap_err();
    tree.run("cannot go back", ["rebase", "--quit"], "").await.ok();
    let log = tree.run("cannot read", ["--paginate", "log", "--format=%s"], "").await.unwrap();
    assert_eq!(log.stdout, b"Add files\n");
    assert!(!user.ran("editor") && !user.ran("pager"));
}

#[tokio::test]
async fn neither_a_file_monitor_nor_maintenance_starts() {
    let config = "[core]\n    fsmonitor = monitor\n[gc]\n    autoPackLimit = 1\n    autoDetach = false\n";
    let user = User::with_config(config);
    user.trap("monitor");
    let user_mark = format!("#!/bin/sh\n: >{}\nexit 1\n", user.mark("gc").display());
    let user = user.hook("pre-auto-gc", &user_mark);
    let dir = user.tree("ours").await;
    for text in ["one", "two"] {
        user.env.file(dir.join("more"), text);
        user.commit(&dir, LONG).await.unwrap();
        user.door(&dir, LONG).run("cannot pack", ["repack", "--quiet"], "").await.unwrap();
    }
    user.env.file(dir.join("more"), "three");
    user.commit(&dir, LONG).await.unwrap();
    user.door(&dir, LONG).run("cannot look", ["status", "--porcelain"], "").await.unwrap();
    assert!(!user.ran("monitor") && !user.ran("gc"));
    // The user's own git starts both here.
    user.env.file(dir.join("more"), "four");
    user.commit_alone(&dir).await;
    assert!(user.ran("monitor") && user.ran("gc"));
}

#[tokio::test]
async fn a_tree_without_its_repository_is_not_taken_for_a_part_of_another() {
    let user = User::with_config("");
    let dir = user.tree("ours").await;
    std::fs::create_dir(dir.join("inner")).unwrap();
    let failure = user.door(&dir.join("inner"), LONG).run("cannot look", ["status"], "").await.unwrap_err();
    assert!(failure.evidence().unwrap_or_default().contains("not a git repository"), "{failure}");
}
