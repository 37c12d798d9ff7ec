use super::*;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::time::Duration;

use rstest::rstest;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::git::{Resources, Settings};

const PLACE: &str = "h/ns/alpha";

/// A storage with one mirror, `h/ns/alpha.git`, which the test commits to directly.
struct Scene {
    folder: TempDir,
    storage: Storage,
    git: Git,
}

fn find(config: &Path, path: &OsStr) -> Git {
    let environment = [
        ("PATH".into(), path.to_owned()),
        ("GIT_CONFIG_NOSYSTEM".into(), "1".into()),
        ("GIT_CONFIG_GLOBAL".into(), config.into()),
    ];
    Git::find(Settings {
        secrets: Vec::new(),
        environment: environment.into(),
        askpass: "/nonexistent".into(),
        idle: Duration::from_secs(60),
        total: None,
        resources: Resources::default(),
        stop: CancellationToken::new(),
        transport: crate::git::GitTransport::Git,
    })
    .unwrap()
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::at(folder.path().join("storage"));
        storage.prepare().unwrap();
        std::fs::write(folder.path().join("gitconfig"), "").unwrap();
        let git = find(&folder.path().join("gitconfig"), &std::env::var_os("PATH").unwrap());
        let scene = Scene { git, folder, storage };
        std::fs::create_dir_all(scene.mirror()).unwrap();
        scene.in_mirror(&["init", "-q", "--bare", "-b", "main"]);
        scene
    }

    /// One with a first commit and its tree.
    async fn followed() -> Self {
        let scene = Scene::new();
        scene.commit("refs/heads/main", None, &[("a", "one\n"), ("d/b", "same\n")]);
        assert_eq!(scene.follow().await, Checkout::Created);
        scene
    }

    fn mirror(&self) -> PathBuf {
        self.storage.path(Path::new("h/ns/alpha.git"))
    }

    fn tree(&self) -> PathBuf {
        self.storage.path(Path::new(PLACE))
    }

    fn user_config(&self, text: &str) {
        std::fs::write(self.folder.path().join("gitconfig"), text).unwrap();
    }

    async fn try_follow(&self) -> Result<Checkout, Failure> {
        let now = SystemTime::now() + Duration::from_secs(1);
        follow(&self.git, &self.storage, Path::new("h/ns/alpha.git"), Path::new(PLACE), now).await
    }

    async fn follow(&self) -> Checkout {
        self.try_follow().await.unwrap()
    }

    /// Git as the user runs it, with plain configuration.
    fn run(&self, dir: &Path, arguments: &[&OsStr], input: &[u8]) -> Vec<u8> {
        use std::io::Write;
        let mut command = Command::new("git");
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        for (name, value) in [("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null")] {
            command.env(name, value);
        }
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "t").env(format!("GIT_{who}_EMAIL"), "t@example.org");
        }
        command.args(["-c", "safe.directory=*", "-c", "protocol.file.allow=always"]).args(arguments).current_dir(dir);
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        done.stdout
    }

    fn in_mirror(&self, arguments: &[&str]) -> String {
        let arguments: Vec<_> = arguments.iter().map(OsStr::new).collect();
        String::from_utf8(self.run(&self.mirror(), &arguments, b"")).unwrap().trim().to_owned()
    }

    fn in_tree(&self, arguments: &[&str]) -> String {
        let arguments: Vec<_> = arguments.iter().map(OsStr::new).collect();
        String::from_utf8(self.run(&self.tree(), &arguments, b"")).unwrap().trim().to_owned()
    }

    /// A commit of exactly `files` in the mirror; `branch` points at it.
    fn commit(&self, branch: &str, parent: Option<&str>, files: &[(&str, &str)]) -> String {
        let mut stream = format!("commit {branch}\ncommitter t <t@example.org> 1700000000 +0000\ndata 1\nx\n");
        if let Some(parent) = parent {
            stream.push_str(&format!("from {parent}\n"));
        }
        stream.push_str("deleteall\n");
        for (path, content) in files {
            match content.strip_prefix("gitlink ") {
                Some(oid) => stream.push_str(&format!("M 160000 {oid} {path}\n")),
                None => stream.push_str(&format!("M 100644 inline {path}\ndata {}\n{content}\n", content.len())),
            }
        }
        self.run(&self.mirror(), &["fast-import", "--quiet", "--force"].map(OsStr::new), stream.as_bytes());
        self.in_mirror(&["rev-parse", branch])
    }

    fn next(&self, files: &[(&str, &str)]) -> String {
        self.commit("refs/heads/main", Some("refs/heads/main^0"), files)
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.tree().join(path)).unwrap()
    }

    fn write(&self, path: &str, content: &str) {
        std::fs::write(self.tree().join(path), content).unwrap();
    }

    /// Everything in the tree but its repository.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.tree()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.ends_with(".git") {
                    folders.push(path);
                } else if path.is_file() {
                    found.insert(path.clone(), std::fs::read(path).unwrap());
                }
            }
        }
        found
    }

    fn index(&self) -> Vec<u8> {
        std::fs::read(self.tree().join(".git/index")).unwrap()
    }

    /// Follows, and sees that files, index and HEAD are the same as before; returns why it was left alone.
    async fn left_alone(&self) -> String {
        let state = || (self.files(), self.index(), std::fs::read(self.tree().join(".git/HEAD")).unwrap());
        let before = state();
        let Checkout::LeftAlone(why) = self.follow().await else { panic!("it was not left alone") };
        assert!(before == state(), "it was touched: {why}");
        why
    }

    fn assert_clean_at(&self, oid: &str) {
        assert_eq!(self.in_tree(&["rev-parse", "HEAD"]), oid);
        assert_eq!(self.in_tree(&["status", "--porcelain"]), "");
    }
}

fn is_updated(checkout: &Checkout) -> bool {
    matches!(checkout, Checkout::Updated { .. })
}

#[tokio::test]
async fn a_tree_is_made_beside_the_mirror_then_current_then_updated() {
    let scene = Scene::followed().await;
    assert_eq!(scene.read("d/b"), "same\n");
    assert_eq!(scene.follow().await, Checkout::Current);
    let old = scene.in_tree(&["rev-parse", "HEAD"]);
    let new = scene.next(&[("a", "two\n"), ("c", "new\n")]);
    let expected = [old, new.clone()].map(|oid| Oid::parse(oid.as_bytes()).unwrap());
    assert_eq!(scene.follow().await, Checkout::Updated { from: expected[0], to: expected[1] });
    assert_eq!((scene.read("a"), scene.tree().join("d").exists()), ("two\n".to_owned(), false));
    scene.assert_clean_at(&new);
    assert_eq!(scene.follow().await, Checkout::Current);
}

#[tokio::test]
async fn a_tree_with_nothing_to_follow_costs_two_git_processes() {
    use std::os::unix::fs::PermissionsExt;
    let mut scene = Scene::followed().await;
    let (bin, calls) = (scene.folder.path().join("bin"), scene.folder.path().join("calls"));
    std::fs::create_dir(&bin).unwrap();
    let real = which::which("git").unwrap();
    let script = format!("#!/bin/sh\necho >>'{}'\nexec '{}' \"$@\"\n", calls.display(), real.display());
    std::fs::write(bin.join("git"), script).unwrap();
    std::fs::set_permissions(bin.join("git"), std::fs::Permissions::from_mode(0o755)).unwrap();
    scene.git = find(&scene.folder.path().join("gitconfig"), bin.as_os_str());
    assert_eq!(scene.follow().await, Checkout::Current);
    assert_eq!(std::fs::read(calls).unwrap().len(), 2);
}

#[tokio::test]
async fn the_user_can_pull_in_the_tree_and_we_go_on_from_there() {
    let scene = Scene::followed().await;
    scene.next(&[("a", "two\n")]);
    scene.in_tree(&["pull", "-q", "--ff-only"]);
    assert_eq!(scene.read("a"), "two\n");
    let new = scene.next(&[("a", "three\n")]);
    assert!(is_updated(&scene.follow().await));
    scene.assert_clean_at(&new);
}

#[tokio::test]
async fn other_branches_and_new_tags_follow_although_the_tree_need_not_move() {
    let scene = Scene::followed().await;
    let main = scene.in_mirror(&["rev-parse", "main"]);
    let other = scene.commit("refs/heads/other", Some("refs/heads/main^0"), &[("a", "else\n")]);
    scene.in_mirror(&["tag", "v1", &other]);
    assert_eq!(scene.follow().await, Checkout::Current);
    assert_eq!(scene.in_tree(&["rev-parse", "refs/remotes/origin/other", "v1"]), format!("{other}\n{other}"));
    scene.in_mirror(&["update-ref", "-d", "refs/heads/other"]);
    assert_eq!(scene.follow().await, Checkout::Current);
    assert_eq!(scene.in_tree(&["for-each-ref", "--format=%(refname)", "refs/remotes"]), "refs/remotes/origin/main");
    scene.assert_clean_at(&main);
}

#[rstest]
#[case::edited("a", "mine\n", &[], "edited: a")]
#[case::staged("a", "mine\n", &["add", "a"], "edited: a")]
#[case::staged_new("mine", "mine\n", &["add", "mine"], "edited: mine")]
#[case::untracked_in_the_way("new", "mine\n", &[], "not track is in the way: new")]
#[case::a_folder_in_the_way("folder", "mine\n", &[], "not track is in the way: folder")]
#[case::own_commit("a", "mine\n", &["commit", "-qam", "mine"], "branch main has commits of its own")]
#[case::other_branch("x", "", &["checkout", "-qb", "mine"], "it is on branch mine")]
#[case::detached("x", "", &["checkout", "-q", "--detach"], "its HEAD is detached")]
#[case::an_operation("x", "", &["bisect", "start"], "a bisect is in progress")]
#[tokio::test]
async fn a_tree_that_is_the_users_is_left_alone(
    #[case] file: &str,
    #[case] content: &str,
    #[case] arguments: &[&str],
    #[case] why: &str,
) {
    let scene = Scene::followed().await;
    scene.write(file, content);
    if !arguments.is_empty() {
        scene.in_tree(arguments);
    }
    scene.next(&[("a", "two\n"), ("new", "theirs\n"), ("folder/x", "theirs\n")]);
    let told = scene.left_alone().await;
    assert!(told.contains(why), "{told}");
    assert_eq!(scene.left_alone().await, told);
}

#[tokio::test]
async fn an_ignored_file_is_not_overwritten_and_others_do_not_matter() {
    let scene = Scene::followed().await;
    scene.next(&[("a", "one\n"), (".gitignore", ".env\n*.o\n")]);
    scene.follow().await;
    scene.write(".env", "my password\n");
    scene.write("x.o", "built\n");
    scene.write("notes", "untracked\n");
    let before = scene.files();
    let new = scene.next(&[("a", "two\n"), (".gitignore", ".env\n*.o\n")]);
    assert!(is_updated(&scene.follow().await));
    assert_eq!(scene.in_tree(&["rev-parse", "HEAD"]), new);
    assert!(before.iter().all(|(path, content)| path.ends_with("a") || std::fs::read(path).unwrap() == *content));
    scene.next(&[("a", "two\n"), (".gitignore", "\n"), (".env", "theirs\n")]);
    assert!(scene.left_alone().await.ends_with("in the way: .env"));
}

#[tokio::test]
async fn a_tree_that_was_given_back_follows_again() {
    let scene = Scene::followed().await;
    scene.write("a", "mine\n");
    let new = scene.next(&[("a", "two\n")]);
    scene.left_alone().await;
    scene.in_tree(&["checkout", "-q", "--", "a"]);
    assert!(is_updated(&scene.follow().await));
    scene.assert_clean_at(&new);
}

#[tokio::test]
async fn a_commit_that_reached_the_source_is_no_reason_to_stay_behind() {
    let scene = Scene::followed().await;
    scene.write("a", "mine\n");
    scene.in_tree(&["commit", "-qam", "mine"]);
    scene.in_tree(&["push", "-q", "origin", "HEAD:refs/heads/main"]);
    let new = scene.next(&[("a", "more\n")]);
    assert!(is_updated(&scene.follow().await));
    scene.assert_clean_at(&new);
}

#[tokio::test]
async fn a_tree_that_nobody_touched_follows_a_forced_default_branch() {
    let scene = Scene::followed().await;
    let forced = scene.commit("refs/heads/main", None, &[("d", "a file now\n"), ("a/x", "a folder now\n")]);
    scene.in_mirror(&["gc", "-q", "--prune=now"]);
    assert!(is_updated(&scene.follow().await));
    scene.assert_clean_at(&forced);
    assert_eq!(scene.read("a/x"), "a folder now\n");
}

#[rstest]
#[case("refs/heads/trunk")]
#[case("refs/heads/main/next")]
#[tokio::test]
async fn a_renamed_default_branch_is_followed(#[case] name: &str) {
    let scene = Scene::followed().await;
    let oid = scene.next(&[("a", "two\n")]);
    scene.in_mirror(&["symbolic-ref", "HEAD", name]);
    scene.in_mirror(&["update-ref", "-d", "refs/heads/main"]);
    scene.in_mirror(&["update-ref", name, &oid]);
    assert!(is_updated(&scene.follow().await));
    assert_eq!(scene.in_tree(&["symbolic-ref", "HEAD"]), name);
    assert_eq!(scene.in_tree(&["for-each-ref", "--format=%(refname)", "refs/heads"]), name);
    scene.assert_clean_at(&oid);
    assert_eq!(scene.follow().await, Checkout::Current);
    scene.in_tree(&["pull", "-q", "--ff-only"]);
}

#[rstest]
#[case(b"refs/heads/-dash")]
#[case(b"refs/heads/HEAD")]
#[case(b"refs/heads/refs/heads/main")]
#[case("refs/heads/ünïcödé".as_bytes())]
#[case(b"refs/heads/latin-\xe4")]
#[case(b"refs/heads/(detached)")]
#[case(b"refs/heads/a'b.c=d")]
#[tokio::test]
async fn a_default_branch_of_any_name_is_followed(#[case] name: &[u8]) {
    let scene = Scene::new();
    let name = OsStr::from_bytes(name);
    let first = scene.commit("refs/heads/tmp", None, &[("a", "one\n")]);
    let second = scene.commit("refs/heads/tmp", Some(&first), &[("a", "two\n")]);
    let point = |oid: &str| {
        scene.run(&scene.mirror(), &["update-ref".as_ref(), name, oid.as_ref()], b"");
        scene.run(&scene.mirror(), &["symbolic-ref".as_ref(), "HEAD".as_ref(), name], b"");
    };
    point(&first);
    assert_eq!(scene.follow().await, Checkout::Created);
    assert_eq!(scene.follow().await, Checkout::Current);
    point(&second);
    assert!(is_updated(&scene.follow().await));
    assert_eq!(scene.follow().await, Checkout::Current);
    assert_eq!(scene.read("a"), "two\n");
    scene.assert_clean_at(&second);
    let head = std::fs::read(scene.tree().join(".git/HEAD")).unwrap();
    assert_eq!(head, [b"ref: ", name.as_bytes(), b"\n"].concat());
    // And away from it, as when the default branch is renamed.
    scene.in_mirror(&["symbolic-ref", "HEAD", "refs/heads/tmp"]);
    assert!(is_updated(&scene.follow().await));
}

#[tokio::test]
async fn there_is_nothing_to_check_out_before_the_default_branch_is_born() {
    let scene = Scene::new();
    assert_eq!(scene.follow().await, Checkout::Nothing("the source has no branch yet".to_owned()));
    let oid = scene.commit("refs/heads/other", None, &[("a", "one\n")]);
    let why = "the source has no branch main, which its HEAD names";
    assert_eq!(scene.follow().await, Checkout::Nothing(why.to_owned()));
    scene.in_mirror(&["update-ref", "--no-deref", "HEAD", &oid]);
    assert!(matches!(scene.follow().await, Checkout::Nothing(_)));
    assert!(!scene.tree().exists());
}

#[tokio::test]
async fn submodules_are_not_entered() {
    let scene = Scene::new();
    let modules = "[submodule \"s\"]\n\tpath = s\n\turl = /nonexistent/nowhere.git\n";
    let link = format!("gitlink {}", "1".repeat(40));
    scene.commit("refs/heads/main", None, &[(".gitmodules", modules), ("s", &link), ("a", "one\n")]);
    scene.user_config("[submodule]\n\trecurse = true\n[fetch]\n\trecurseSubmodules = true\n");
    assert_eq!(scene.follow().await, Checkout::Created);
    let other = format!("gitlink {}", "2".repeat(40));
    let new = scene.next(&[(".gitmodules", modules), ("s", &other), ("a", "two\n")]);
    assert!(is_updated(&scene.follow().await));
    scene.assert_clean_at(&new);
    assert_eq!(std::fs::read_dir(scene.tree().join("s")).unwrap().count(), 0);
}

#[tokio::test]
async fn filters_and_line_endings_of_the_users_do_not_matter() {
    let scene = Scene::new();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n";
    let attributes = "*.bin filter=lfs diff=lfs merge=lfs -text\n*.sec filter=a=b.c\n";
    let first = [(".gitattributes", attributes), ("x.bin", pointer), ("y.sec", "secret\n"), ("a", "text\n")];
    scene.commit("refs/heads/main", None, &first);
    let broken = "\tsmudge = false\n\tclean = false\n\tprocess = false\n\trequired = true\n";
    let config = format!("[filter \"lfs\"]\n{broken}[filter \"a=b.c\"]\n{broken}[core]\n\tautocrlf = true\n");
    scene.user_config(&config);
    assert_eq!(scene.follow().await, Checkout::Created);
    assert_eq!((scene.read("x.bin"), scene.read("a")), (pointer.to_owned(), "text\n".to_owned()));
    let second = pointer.replace("size 9", "size 10");
    scene.next(&[(".gitattributes", attributes), ("x.bin", &second), ("y.sec", "other\n"), ("a", "more\n")]);
    assert!(is_updated(&scene.follow().await));
    assert_eq!((scene.read("x.bin"), scene.read("a")), (second, "more\n".to_owned()));
}

#[tokio::test]
async fn a_hook_in_the_tree_does_not_run() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::followed().await;
    let hooks = scene.tree().join(".git/hooks");
    std::fs::create_dir_all(&hooks).unwrap();
    for name in ["post-checkout", "post-index-change", "reference-transaction", "post-merge"] {
        std::fs::write(hooks.join(name), "#!/bin/sh\ntouch ran\nexit 1\n").unwrap();
        std::fs::set_permissions(hooks.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    scene.next(&[("a", "two\n")]);
    assert!(is_updated(&scene.follow().await));
    assert!(!scene.tree().join("ran").exists() && !scene.tree().join(".git/ran").exists());
}

#[tokio::test]
async fn a_storage_of_another_owner_is_followed() {
    use std::os::unix::fs::{MetadataExt, lchown};
    let scene = Scene::followed().await;
    scene.next(&[("a", "two\n")]);
    let owner = std::fs::metadata(scene.mirror()).unwrap().uid();
    // Only root can give files away; everybody else sees here that a plain storage works with both paths named.
    if rustix::process::geteuid().is_root() {
        for path in [scene.mirror(), scene.tree(), scene.tree().join(".git")] {
            lchown(path, Some(owner + 1234), None).unwrap();
        }
    }
    assert!(is_updated(&scene.follow().await));
    std::fs::remove_dir_all(scene.tree()).unwrap();
    assert_eq!(scene.follow().await, Checkout::Created);
}

#[tokio::test]
async fn a_path_that_cannot_be_written_is_named_and_leaves_no_half_tree() {
    let scene = Scene::new();
    let long = "n".repeat(300);
    scene.commit("refs/heads/main", None, &[("a", "one\n"), (&long, "x\n")]);
    let failure = scene.try_follow().await.unwrap_err();
    assert_eq!(failure.reason(), Reason::LocalFailed);
    assert!(failure.evidence().unwrap().contains("File name too long"), "{failure}");
    assert!(!scene.tree().exists());
    let good = scene.next(&[("a", "two\n")]);
    assert_eq!(scene.follow().await, Checkout::Created);
    // An existing tree stands half way then, and goes on as soon as it can.
    scene.next(&[("a", "three\n"), (&long, "x\n"), ("z", "new\n")]);
    for _ in 0..2 {
        assert_eq!(scene.try_follow().await.unwrap_err().reason(), Reason::LocalFailed);
    }
    scene.in_mirror(&["update-ref", "refs/heads/main", &good]);
    let newest = scene.next(&[("a", "four\n")]);
    assert!(is_updated(&scene.follow().await));
    scene.assert_clean_at(&newest);
}

/// Leaves the tree as a git does that was killed between its files, and returns the new commit.
fn interrupt(scene: &Scene) -> String {
    let new = scene.next(&[("a", "two\n"), ("c", "new and long\n"), ("z", "last\n")]);
    scene.in_tree(&["fetch", "-q"]);
    scene.in_tree(&["update-ref", "refs/holocron/moving/refs/heads/main", &new]);
    scene.write(".git/index.lock", "");
    scene.write("a", "two\n");
    std::fs::remove_file(scene.tree().join("d/b")).unwrap();
    scene.write("c", "new and");
    new
}

#[tokio::test]
async fn an_interrupted_update_is_completed() {
    let scene = Scene::followed().await;
    let new = interrupt(&scene);
    assert!(is_updated(&scene.follow().await));
    scene.assert_clean_at(&new);
    assert_eq!(scene.read("c"), "new and long\n");
    assert_eq!(scene.in_tree(&["for-each-ref", "refs/holocron/moving"]), "");
    assert_eq!(scene.follow().await, Checkout::Current);
}

#[tokio::test]
async fn an_interrupted_update_is_taken_back_when_the_mirror_has_moved_on() {
    let scene = Scene::followed().await;
    interrupt(&scene);
    let newest = scene.next(&[("a", "three\n"), ("d/b", "same\n")]);
    assert!(is_updated(&scene.follow().await));
    scene.assert_clean_at(&newest);
    assert_eq!(scene.in_tree(&["for-each-ref", "refs/holocron/moving"]), "");
}

#[tokio::test]
async fn a_rename_that_was_interrupted_between_its_refs_is_completed() {
    let scene = Scene::followed().await;
    let oid = scene.next(&[("a", "two\n")]);
    scene.in_mirror(&["symbolic-ref", "HEAD", "refs/heads/main/next"]);
    scene.in_mirror(&["update-ref", "-d", "refs/heads/main"]);
    scene.in_mirror(&["update-ref", "refs/heads/main/next", &oid]);
    scene.in_tree(&["fetch", "-q", "--prune"]);
    scene.in_tree(&["update-ref", "refs/holocron/moving/refs/heads/main/next", &oid]);
    scene.in_tree(&["read-tree", "-m", "-u", "HEAD", &oid]);
    scene.in_tree(&["update-ref", "-d", "refs/heads/main"]);
    scene.in_tree(&["update-ref", "-d", "refs/holocron/checkout/refs/heads/main"]);
    assert_eq!(scene.in_tree(&["symbolic-ref", "HEAD"]), "refs/heads/main");
    assert!(is_updated(&scene.follow().await));
    assert_eq!(scene.in_tree(&["symbolic-ref", "HEAD"]), "refs/heads/main/next");
    scene.assert_clean_at(&oid);
}

#[tokio::test]
async fn an_update_killed_at_any_moment_is_made_up_for() {
    let scene = Scene::followed().await;
    let names: Vec<_> = (0..300).map(|number| format!("f{number}/x")).collect();
    for round in 0..12 {
        let content = format!("round {round}\n").repeat(50);
        // Every second round takes away what the one before it brought.
        let files: Vec<_> = names.iter().skip(round % 2 * 150).map(|name| (name.as_str(), content.as_str())).collect();
        let new = scene.next(&files);
        // Dropped, it kills its git.
        let killed = tokio::time::timeout(Duration::from_millis(8 * round as u64), scene.try_follow()).await;
        let made_up = scene.follow().await;
        assert!(killed.is_ok() || is_updated(&made_up) || made_up == Checkout::Current, "{round}: {made_up:?}");
        scene.assert_clean_at(&new);
    }
}

#[rstest]
#[case::changed("a")]
#[case::on_its_way_out("d/b")]
#[case::new("c")]
#[tokio::test]
async fn an_edit_after_an_interrupted_update_is_kept(#[case] path: &str) {
    let scene = Scene::followed().await;
    interrupt(&scene);
    scene.write(path, "mine\n");
    assert_eq!(scene.left_alone().await, format!("edited after an update was interrupted: {path}"));
}

#[tokio::test]
async fn an_index_that_somebody_holds_is_not_taken_from_them() {
    let scene = Scene::followed().await;
    scene.next(&[("a", "two\n")]);
    scene.write(".git/index.lock", "");
    assert!(scene.left_alone().await.contains("index.lock"));
    assert!(scene.tree().join(".git/index.lock").exists());
}

#[tokio::test]
async fn a_lock_of_a_killed_fetch_is_removed() {
    let scene = Scene::followed().await;
    let new = scene.next(&[("a", "two\n")]);
    for lock in ["refs/remotes/origin/main.lock", "refs/heads/main.lock", "HEAD.lock", "packed-refs.lock"] {
        scene.write(&format!(".git/{lock}"), "");
    }
    assert!(is_updated(&scene.follow().await));
    scene.assert_clean_at(&new);
}

#[tokio::test]
async fn a_folder_that_is_not_ours_is_left_alone() {
    let scene = Scene::new();
    scene.commit("refs/heads/main", None, &[("a", "one\n")]);
    std::fs::create_dir_all(scene.tree()).unwrap();
    scene.write("diary", "mine\n");
    let left_alone = async |why: &str| {
        let before = scene.files();
        let told = scene.follow().await;
        assert!(matches!(&told, Checkout::LeftAlone(told) if told.contains(why)), "{told:?}");
        assert!(before == scene.files());
    };
    let before = scene.files();
    let failure = scene.try_follow().await.unwrap_err();
    assert!(failure.message().contains("no working tree") && before == scene.files(), "{failure}");
    std::fs::create_dir(scene.tree().join(".git")).unwrap();
    left_alone("git cannot work in it").await;
    scene.in_tree(&["init", "-q", "-b", "main"]);
    left_alone("not a checkout of this mirror").await;
}

#[tokio::test]
async fn a_damaged_tree_is_left_alone() {
    let scene = Scene::followed().await;
    scene.next(&[("a", "two\n")]);
    scene.write(".git/index", "no index at all, and long enough to be looked at");
    assert!(scene.left_alone().await.contains("git cannot work in it"));
}

#[tokio::test]
async fn a_clone_of_the_mirror_that_the_user_made_is_taken_on() {
    let scene = Scene::new();
    scene.commit("refs/heads/main", None, &[("a", "one\n")]);
    scene.in_mirror(&["clone", "-q", ".", scene.tree().to_str().unwrap()]);
    scene.in_tree(&["remote", "set-url", "origin", scene.mirror().to_str().unwrap()]);
    let forced = scene.commit("refs/heads/main", None, &[("a", "two\n")]);
    assert!(is_updated(&scene.follow().await));
    scene.assert_clean_at(&forced);
}

#[tokio::test]
async fn a_moved_storage_is_found_again_by_git_pull() {
    let mut scene = Scene::followed().await;
    let moved = scene.folder.path().join("elsewhere");
    std::fs::rename(scene.storage.root(), &moved).unwrap();
    scene.storage = Storage::at(moved);
    scene.next(&[("a", "two\n")]);
    assert!(is_updated(&scene.follow().await));
    scene.in_tree(&["pull", "-q", "--ff-only"]);
}
