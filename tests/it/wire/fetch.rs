//! First mirrors and updates over our own connections: what git makes of the same source, for one process or few.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::disk_kit::{assert_whole, git, text};
use crate::net::{github, kept, mirror, report, verdicts};
use crate::support::{Fault, Forge, Program, RecordingGit, Repo, Service, TestEnv, noise};

/// A full run under a transport.
pub(super) fn by(env: &TestEnv, forge: &Forge, transport: &str) -> Program {
    github(env, forge, ["--full"]).env("HOLOCRON_TRANSPORT", transport)
}

/// What git was called for, without its version, which is asked for once in a run.
pub(super) fn verbs(calls: &RecordingGit) -> Vec<String> {
    let verb = |args: &[String]| {
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            match arg.as_str() {
                "-c" | "--git-dir" => _ = rest.next(),
                verb => return verb.to_owned(),
            }
        }
        String::new()
    };
    let mut verbs: Vec<String> = calls.calls().iter().map(|call| verb(&call.args)).collect();
    verbs.retain(|verb| verb != "version");
    verbs.sort();
    verbs
}

/// How many were brought by us, and by git.
fn fetches(report: &Value) -> &Value {
    &report["totals"]["fetches"]
}

/// One of everything that a repository can have.
fn rich(forge: &Forge, name: &str) -> Repo {
    let repo = forge.repo(name).branch("trunk").branch("dev").tag("v1").annotated_tag("v2");
    repo.reference("refs/pull/1/head").reference("refs/notes/commits").reference("refs/holocron/kept/x/refs/heads/y");
    repo.commit_file("trunk", "big", &noise(100_000)).branch("a/b").branch("a-b");
    // A tag of a tag, a tag outside of `refs/tags`, and refs to what is no commit.
    own_git(&repo, &["tag", "-a", "-m", "again", "v3", "v2"]);
    own_git(&repo, &["update-ref", "refs/other/tag", "refs/tags/v2"]);
    own_git(&repo, &["update-ref", "refs/other/tree", "refs/heads/trunk^{tree}"]);
    own_git(&repo, &["update-ref", "refs/other/blob", "refs/heads/trunk:big"]);
    repo
}

/// Git in a repository of the forge.
fn own_git(repo: &Repo, args: &[&str]) -> String {
    let mut git = std::process::Command::new("git");
    git.arg("--git-dir").arg(repo.git_dir()).args(args);
    git.envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null")]);
    git.envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "Test")));
    git.envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "test@example.test")));
    let output = git.output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Every file of a mirror but its packs, with its mode.
fn files(dir: &Path) -> BTreeMap<String, (u32, String)> {
    use std::os::unix::fs::MetadataExt;
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(dir).unwrap().display().to_string();
            let mode = fs::metadata(&path).unwrap().mode();
            if path.is_dir() {
                found.insert(name, (mode, String::new()));
                folders.push(path);
            } else if !name.contains("pack-") {
                let text = fs::read_to_string(&path).unwrap();
                // What tags name is not written down before git has looked.
                let is_kept = |line: &&str| name != "packed-refs" || !line.starts_with(['#', '^']);
                found.insert(name.clone(), (mode, text.split_inclusive('\n').filter(is_kept).collect()));
            }
        }
    }
    found
}

#[tokio::test]
async fn a_first_mirror_is_what_git_makes_file_by_file() {
    let forge = Forge::start().await;
    let (rich, detached) = (rich(&forge, "acme/rich"), forge.repo("acme/detached").branch("main").commit("main", "x"));
    own_git(&rich, &["update-ref", "-d", "refs/holocron/kept/x/refs/heads/y"]);
    own_git(&detached, &["update-ref", "--no-deref", "HEAD", "refs/heads/main~1"]);
    let repos = [
        rich,
        detached,
        forge.repo("acme/unborn").branch("main").head("nowhere"),
        forge.repo("acme/empty").head("trunk"),
        forge.repo("acme/private").private().branch("main"),
        forge.repo("acme/many").batch(|batch| batch.branch("main").many_refs(2_000)),
    ];
    let (ours, gits) = (TestEnv::new(), TestEnv::new());
    let told = report(&by(&ours, &forge, "auto").run().await, 0);
    assert_eq!(fetches(&told), &json!({"direct": 6, "git": 0}));
    assert_eq!(fetches(&report(&by(&gits, &forge, "git").run().await, 0)), &json!({"direct": 0, "git": 6}));
    for repo in &repos {
        let [mine, theirs] = [&ours, &gits].map(|env| files(&env.mirror_of(repo)));
        assert_eq!(mine, theirs, "{}", repo.full_name());
        ours.assert_mirrored(repo);
        assert_whole(&ours, ours.mirror_of(repo)).await;
    }
}

#[tokio::test]
async fn a_first_mirror_costs_one_process_and_an_empty_one_none() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let repos = ["a", "b", "c", "d"].map(|name| rich(&forge, &format!("acme/{name}")));
    forge.repo("acme/empty");
    forge.repo("acme/many").batch(|batch| batch.branch("main").many_refs(5_000));
    let calls = RecordingGit::install(&env);
    let told = report(&by(&env, &forge, "auto").run().await, 0);
    assert_eq!(verbs(&calls), ["index-pack"; 5], "{:?}", calls.calls());
    assert_eq!(told["totals"]["cloned"], 5);
    for repo in &repos {
        let mut refs = repo.refs();
        refs.remove("refs/holocron/kept/x/refs/heads/y");
        assert_eq!(env.refs(env.mirror_of(repo)), refs);
        let received = mirror(&told, &repo.full_name())["bytes_received"].as_u64().unwrap();
        let packs = fs::read_dir(env.mirror_of(repo).join("objects/pack")).unwrap().map(|entry| entry.unwrap());
        let packs: Vec<_> = packs.map(|entry| (entry.path(), entry.metadata().unwrap().len())).collect();
        let pack = packs.iter().find(|(path, _)| path.extension().unwrap() == "pack").unwrap();
        assert_eq!(pack.1, received);
        assert_eq!(packs.len(), 3, "a pack, its index, its reverse index, and nothing more: {packs:?}");
    }
}

/// A repository, mirrored by each way, and the same changes after it.
struct Two {
    forge: Forge,
    ours: TestEnv,
    gits: TestEnv,
    alpha: Repo,
}

impl Two {
    async fn new() -> Self {
        let forge = Forge::start().await;
        let alpha = forge.repo("acme/alpha").branch("main").branch("dev").branch("old").branch("side").tag("v1");
        alpha.annotated_tag("v2").commit_file("main", "big", &noise(50_000));
        let two = Two { ours: TestEnv::new(), gits: TestEnv::new(), forge, alpha };
        two.update().await;
        two
    }

    /// Both follow; returns what ours told.
    async fn update(&self) -> Value {
        let ours = report(&by(&self.ours, &self.forge, "auto").run().await, 0);
        let gits = report(&by(&self.gits, &self.forge, "git").run().await, 0);
        assert_eq!((verdicts(&ours), &ours["totals"]["refs"]), (verdicts(&gits), &gits["totals"]["refs"]));
        let place = self.ours.mirror_of(&self.alpha);
        self.ours.assert_mirrored(&self.alpha);
        assert_whole(&self.ours, &place).await;
        let of_both = [&self.ours, &self.gits].map(|env| (kept(env, env.mirror_of(&self.alpha)), env.head(&place)));
        assert_eq!(of_both[0].0, of_both[1].0, "the same is kept");
        let left = fs::read_dir(place.join("objects/pack")).unwrap().map(|entry| entry.unwrap().path());
        let left: Vec<_> = left
            .filter(|path| !["pack", "idx", "rev"].iter().any(|end| path.extension().is_some_and(|e| e == *end)))
            .collect();
        assert!(left.is_empty(), "litter: {left:?}");
        ours
    }
}

#[tokio::test]
async fn every_kind_of_change_comes_out_as_with_git() {
    let two = Two::new().await;
    let alpha = &two.alpha;
    let changes: [(&str, &dyn Fn()); 10] = [
        ("a commit", &|| _ = alpha.commit("main", "more")),
        ("a tag on an old commit", &|| _ = own_git(alpha, &["tag", "-a", "-m", "old", "v0", "main~2"])),
        ("a new branch with its own commit", &|| _ = alpha.branch("new")),
        ("a branch where another one is", &|| _ = alpha.point("refs/heads/twin", "main")),
        ("a branch at what no ref names", &|| _ = own_git(alpha, &["branch", "back", "main~1"])),
        ("a branch set back", &|| _ = own_git(alpha, &["update-ref", "refs/heads/main", "refs/heads/main~1"])),
        ("another history", &|| _ = alpha.force("dev")),
        ("a folder in the place of a branch", &|| {
            alpha.delete("old");
            alpha.branch("old/x");
        }),
        ("tags", &|| {
            own_git(alpha, &["tag", "-f", "-a", "-m", "moved", "v2", "main"]);
            own_git(alpha, &["tag", "blob", "main:README"]);
        }),
        ("another default branch and a file that is built upon one that is here", &|| {
            let mut bytes = noise(50_000);
            bytes[7] ^= 1;
            alpha.commit_file("side", "big", &bytes).head("side");
        }),
    ];
    for (what, change) in changes {
        change();
        let told = two.update().await;
        assert_eq!(fetches(&told)["git"], 0, "{what}: {told:#}");
    }
}

#[tokio::test]
async fn an_update_costs_the_pack_the_check_and_the_move() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").branch("dev").commit_file("main", "big", &noise(50_000));
    report(&by(&env, &forge, "auto").run().await, 0);
    let calls = RecordingGit::install(&env);
    // One branch is forwarded, one is new, and the tip of one that is gone is kept.
    alpha.commit("main", "more").branch("new").delete("dev");
    report(&by(&env, &forge, "auto").run().await, 0);
    assert_eq!(verbs(&calls), ["index-pack", "rev-list", "update-ref"]);
    alpha.silently().point("refs/heads/twin", "main");
    forge.reset_log();
    report(&by(&env, &forge, "auto").run().await, 0);
    assert_eq!(verbs(&calls)[3..], ["update-ref"], "{:?}", verbs(&calls));
    assert_eq!(forge.git_count(Service::FetchPack), 0, "everything was here");
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn a_history_that_the_source_has_forgotten_is_left_to_git_which_goes_on_telling() {
    let two = Two::new().await;
    let forget = || {
        own_git(&two.alpha, &["repack", "-adq"]);
        own_git(&two.alpha, &["prune", "--expire=now"]);
    };
    // Of all tips the source knows the tags alone, which are below everything: that is enough to be near.
    own_git(&two.alpha, &["update-ref", "refs/heads/main", "refs/heads/main~1"]);
    two.alpha.batch(|batch| batch.delete("dev").delete("old").delete("side").commit("main", "in its place"));
    forget();
    assert_eq!(fetches(&two.update().await), &json!({"direct": 1, "git": 0}));
    two.alpha.batch(|batch| batch.delete("refs/tags/v1").delete("refs/tags/v2"));
    two.update().await;
    own_git(&two.alpha, &["update-ref", "refs/heads/main", "refs/heads/main~1"]);
    two.alpha.commit("main", "once more");
    forget();
    assert_eq!(fetches(&two.update().await), &json!({"direct": 0, "git": 1}));
}

#[tokio::test]
async fn whatever_is_not_handled_exactly_is_left_to_git() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let old = forge.repo("acme/old").branch("main").annotated_tag("v1");
    super::lists::sha_256(&forge, "acme/other");
    let shallow = forge.repo("acme/shallow").branch("main").commit("main", "x");
    fs::write(shallow.git_dir().join("shallow"), format!("{}\n", shallow.tip("main"))).unwrap();
    forge.fault(super::lists::old_answer(&old, 0).on_git("acme/old").service(Service::Advertisement));
    let told = report(&by(&env, &forge, "auto").run().await, 3);
    assert_eq!(fetches(&told), &json!({"direct": 0, "git": 3}));
    assert_eq!(mirror(&told, "acme/shallow")["degraded"], true);
    env.assert_mirrored(&old);
    env.assert_mirrored(&shallow);
}

#[tokio::test]
async fn an_old_repository_of_a_server_whose_others_are_new_is_fetched_by_git() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let (new, old) = (forge.repo("acme/new").branch("main"), forge.repo("acme/old").branch("main"));
    let grow_old = || {
        forge.heal();
        forge.fault(super::lists::old_answer(&old, 0).on_git("acme/old").service(Service::Advertisement));
        forge.fault(Fault::status(403).on_git("acme/old").service(Service::ListRefs));
    };
    grow_old();
    report(&by(&env, &forge, "auto").run().await, 0);
    new.commit("main", "more");
    old.commit("main", "more");
    grow_old();
    // One after the other: what the server can do is known by then.
    let told = report(&by(&env, &forge, "auto").args(["--concurrency", "1"]).run().await, 0);
    assert_eq!(fetches(&told), &json!({"direct": 1, "git": 1}));
    env.assert_mirrored(&old);
}

#[tokio::test]
async fn what_a_tag_names_is_not_taken_from_the_sources_word() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let (plain, tagged) =
        (forge.repo("acme/plain").branch("main"), forge.repo("acme/tagged").branch("main").annotated_tag("v1"));
    report(&by(&env, &forge, "auto").run().await, 0);
    let packed = |repo: &Repo| fs::read_to_string(env.mirror_of(repo).join("packed-refs")).unwrap();
    assert!(packed(&plain).starts_with("# pack-refs with: peeled fully-peeled sorted"));
    let tagged = packed(&tagged);
    assert!(!tagged.contains("peeled") && !tagged.contains('^'), "{tagged}");
}

#[tokio::test]
async fn what_the_user_has_set_for_clones_is_honoured_by_git() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    env.global_git_config("[core]\n\tsharedRepository = group\n");
    let told = report(&by(&env, &forge, "auto").run().await, 0);
    assert_eq!(
        (fetches(&told), &told["totals"]["looks"]),
        (&json!({"direct": 0, "git": 1}), &json!({"direct": 0, "git": 0}))
    );
    assert!(text(env.mirror_of(&alpha), "config").contains("sharedrepository"));
}

#[tokio::test]
async fn a_source_that_becomes_shallow_is_held_as_ever() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").commit("main", "one");
    report(&by(&env, &forge, "auto").run().await, 0);
    alpha.commit("main", "two");
    fs::write(alpha.git_dir().join("shallow"), format!("{}\n", alpha.tip("main"))).unwrap();
    let told = report(&by(&env, &forge, "auto").run().await, 3);
    assert_eq!(mirror(&told, "acme/alpha")["verdict"], "held");
    assert_whole(&env, env.mirror_of(&alpha)).await;
}

#[tokio::test]
async fn a_large_request_is_compressed_and_says_no_more_than_it_must() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let many = forge.repo("acme/many").batch(|batch| batch.branch("main").many_refs(5_000));
    report(&by(&env, &forge, "auto").run().await, 0);
    many.batch(|batch| (1..=300).fold(batch, |batch, number| batch.commit(&format!("many/{number:05}"), "moved")));
    forge.reset_log();
    report(&by(&env, &forge, "auto").run().await, 0);
    env.assert_mirrored(&many);
    let requests = forge.git_requests("acme/many");
    let asked = requests.last().unwrap();
    assert_eq!(asked.header("content-encoding"), Some("gzip"));
    let length: usize = asked.header("content-length").unwrap().parse().unwrap();
    assert!(length < 20_000, "{length}");
}

#[tokio::test]
async fn a_connection_is_used_again_for_the_pack() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    for number in 0..8 {
        forge.repo(&format!("acme/r{number}")).branch("main");
    }
    let run = github(&env, &forge, ["--full", "--concurrency", "2"]).env("HOLOCRON_TRANSPORT", "auto");
    report(&run.run().await, 0);
    let requests = forge.requests();
    let git = requests.iter().filter(|request| matches!(request.kind, crate::support::Kind::Git { .. }));
    let peers: std::collections::BTreeSet<_> = git.map(|request| request.peer.unwrap()).collect();
    assert!((1..=2).contains(&peers.len()), "{peers:?}");
}

#[tokio::test]
async fn a_mirror_of_a_damaged_local_pack_is_healed() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").commit_file("main", "big", &noise(50_000));
    report(&by(&env, &forge, "auto").run().await, 0);
    let folder = env.mirror_of(&alpha).join("objects/pack");
    let pack = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let pack = pack.into_iter().find(|path| path.extension().unwrap() == "pack").unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    let length = bytes.len();
    bytes[200..length - 20].fill(0);
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, bytes).unwrap();
    let mut other = noise(50_000);
    other[9] ^= 1;
    alpha.commit_file("main", "big", &other);
    let told = report(&by(&env, &forge, "auto").run().await, 0);
    env.assert_mirrored(&alpha);
    assert_whole(&env, env.mirror_of(&alpha)).await;
    assert!(mirror(&told, "acme/alpha")["notes"][0].as_str().unwrap().contains("was damaged"), "{told:#}");
}

#[tokio::test]
async fn a_fault_that_is_over_is_made_up_for_in_the_same_run() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").commit_file("main", "big", &noise(100_000));
    forge.fault(Fault::cut_in_body(60_000).on_git("acme/alpha").service(Service::FetchPack).once());
    let told = report(&by(&env, &forge, "auto").run().await, 0);
    assert_eq!(verdicts(&told), ["acme/alpha cloned"]);
    let calls = git(&env, env.mirror_of(&alpha), &["rev-list", "--all", "--count"]).await;
    assert_eq!(calls, "2");
}
