//! Odd releases and bad moments: nothing is lost, nothing a person made is touched, and nothing is written twice for ever.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal};
use serde_json::{Value, json};

use super::disk::source_of;
use super::{assert_same, counts, files, pair, told};
use crate::destinations::{KINDS, Pair, SOURCE_TOKEN, THERE_TOKEN, destination};
use crate::net::{mirror, report};
use crate::support::{Dialect, Fault, Forge, Kind, ReleaseSeen, Repo, Request, Running, TestEnv, noise};

/// Every file below a folder with its bytes.
fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(root).unwrap().map(Result::unwrap) {
        let path = entry.path();
        match entry.file_type().unwrap().is_dir() {
            true => all.extend(tree(&path)),
            false => {
                all.insert(path.display().to_string(), fs::read(&path).unwrap());
            }
        }
    }
    all
}

/// Has the releases saved beside the mirrors, too.
fn keep_on_disk(pair: &Pair) {
    let file = pair.env.work().join("holocron.yaml");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    config["releases"] = "all".into();
    fs::write(file, config.to_string()).unwrap();
}

/// What files each release has, whatever their order.
fn sorted(repo: &Repo) -> BTreeMap<String, Vec<(String, u64, String)>> {
    let of = |release: &ReleaseSeen| {
        let mut files = files(release);
        files.sort();
        (release.tag.clone(), files)
    };
    repo.releases().iter().map(of).collect()
}

/// A run that hangs in the upload of `name`, when it hangs.
async fn hanging(pair: &Pair, name: &str) -> Running {
    pair.there.fault(Fault::hang().on_upload(name));
    let running = pair.program(&[]).spawn();
    let name = name.to_owned();
    let is_hanging = move |request: &Request| {
        request.kind == Kind::Upload && request.status.is_none() && request.asset.as_deref() == Some(&name)
    };
    pair.there.until(is_hanging).await;
    running
}

#[tokio::test]
async fn a_stop_in_the_middle_of_an_upload_is_no_fault_of_any_release() {
    for kind in KINDS {
        let (pair, alpha) = pair(kind).await;
        alpha.release("v1").title("One").asset("a", b"aaa").asset("b", b"bbb").asset("c", b"ccc");
        alpha.release("v2").title("Two");
        let running = hanging(&pair, "b").await;
        running.signal(Signal::TERM);
        let report = report(&running.wait().await, 0);
        let releases = told(&report);
        assert_eq!(
            (&releases["verdict"], &releases["failure"]["reason"], &releases["problems"]),
            (&"skipped".into(), &"cancelled".into(), &json!([])),
            "{kind:?}: {report:#}"
        );
        pair.there.heal();
        pair.there.reset_log();
        pair.run(&[], 0).await;
        assert_eq!(pair.there.uploads().len(), 2, "{kind:?}: the one that was there is not sent again");
        assert_same(kind, &alpha, &pair.copy());
    }
}

#[tokio::test]
async fn a_stop_in_the_middle_of_a_replacement_does_not_make_ours_a_strangers() {
    for kind in KINDS {
        let (pair, alpha) = pair(kind).await;
        alpha.release("v1").title("One").asset("a", b"aaa").asset("b", b"bbb");
        pair.run(&[], 0).await;
        alpha.edit_release("v1", |one| one.replace_asset("a", b"AAA").replace_asset("b", b"BBB"));
        let running = hanging(&pair, "b").await;
        running.signal(Signal::KILL);
        running.wait().await;
        pair.there.heal();
        // The forge had all of it, and nobody was there any more to hear so.
        if kind != Dialect::Gitlab {
            pair.copy().edit_release("v1", |one| one.asset("b", b"BBB"));
        }
        pair.there.reset_log();
        pair.run(&["--wait"], 0).await;
        assert_eq!(pair.there.uploads().len(), usize::from(kind == Dialect::Gitlab), "{kind:?}");
        assert_eq!(sorted(&pair.copy()), sorted(&alpha), "{kind:?}");
    }
}

#[tokio::test]
async fn an_old_file_stays_until_the_new_one_is_here() {
    for kind in KINDS {
        let (pair, alpha) = pair(kind).await;
        alpha.release("v1").title("One").asset("a", b"old").asset("b", b"bbb");
        pair.run(&[], 0).await;
        alpha.edit_release("v1", |one| one.replace_asset("a", b"new"));
        pair.source.fault(Fault::status(404).on_download("a"));
        let report = pair.run(&[], 3).await;
        assert_eq!(told(&report)["problems"][0]["asset"], "a", "{kind:?}: {report:#}");
        assert_eq!(pair.copy().asset_bytes("v1", "a"), b"old", "{kind:?}");
        pair.source.heal();
        pair.run(&[], 0).await;
        assert_eq!(sorted(&pair.copy()), sorted(&alpha), "{kind:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_brought_costs_no_write_in_each_run() {
    for kind in KINDS {
        let (pair, alpha) = pair(kind).await;
        alpha.release("v1").title("One").asset("a", b"aaa");
        pair.run(&[], 0).await;
        alpha.edit_release("v1", |one| one.asset("b", b"bbb"));
        pair.source.fault(Fault::status(404).on_download("b"));
        pair.run(&[], 3).await;
        pair.there.reset_log();
        pair.run(&[], 3).await;
        assert!(pair.there.writes().is_empty(), "{kind:?}: {:#?}", pair.there.writes());
    }
}

#[tokio::test]
async fn a_file_that_a_person_brought_in_our_place_is_theirs() {
    for kind in [Dialect::Github, Dialect::Gitea] {
        let (pair, alpha) = pair(kind).await;
        alpha.release("v1").title("One").asset("a", b"aaa");
        pair.run(&[], 0).await;
        alpha.edit_release("v1", |one| one.asset("b", b"bbb"));
        pair.there.fault(Fault::status(422).on_upload("b"));
        pair.run(&[], 3).await;
        pair.there.heal();
        pair.copy().edit_release("v1", |one| one.asset("b", b"hand"));
        let report = pair.run(&[], 3).await;
        assert_eq!(told(&report)["problems"][0]["reason"], "held", "{kind:?}: {report:#}");
        assert_eq!(pair.copy().asset_bytes("v1", "b"), b"hand", "{kind:?}");
        assert_eq!(pair.copy().seen_release("v1").assets.len(), 2);
    }
}

#[tokio::test]
async fn a_draft_whose_tag_is_gone_is_not_published() {
    for kind in [Dialect::Github, Dialect::Gitea] {
        let (pair, alpha) = pair(kind).await;
        alpha.release("v1").title("One").asset("a", b"aaa").asset("b", b"bbb");
        pair.there.fault(Fault::status(422).on_upload("b"));
        pair.run(&[], 3).await;
        pair.there.heal();
        // Tags are no longer pushed there, and somebody removes this one.
        pair.configure(&[json!({"releases": "all", "refs": ["heads"]})]);
        let copy = pair.copy();
        copy.delete("refs/tags/v1");
        let report = pair.run(&[], 3).await;
        assert_eq!(counts(&report), json!({"deferred": 1}), "{kind:?}: {report:#}");
        assert!(copy.seen_release("v1").draft && !copy.refs().contains_key("refs/tags/v1"), "{kind:?}");
    }
}

#[tokio::test]
async fn a_copy_that_was_made_anew_gets_its_releases_at_once() {
    for kind in KINDS {
        let (pair, alpha) = pair(kind).await;
        alpha.release("v1").title("One").asset("a", b"aaa");
        pair.run(&[], 0).await;
        pair.copy().remove();
        alpha.commit("main", "another");
        let report = pair.run(&[], 0).await;
        assert_eq!(counts(&report)["created"], 1, "{kind:?}: {report:#}");
        assert_same(kind, &alpha, &pair.copy());
    }
}

#[tokio::test]
async fn a_release_written_with_a_copy_of_our_notes_is_a_persons() {
    for kind in KINDS {
        let pair = Pair::with(kind, &json!({"releases": {"prune": true}})).await;
        let alpha = pair.source.repo("acme/alpha").branch("main");
        alpha.release("v1").title("One").notes("Notes");
        alpha.tag("v2").tag("v3");
        pair.run(&[], 0).await;
        let copy = pair.copy();
        let notes = format!("{}\nAnd more.", copy.seen_release("v1").notes);
        copy.release("v2").title("Theirs").notes(&notes);
        copy.release("v3").title("Theirs, too").notes(&notes);
        alpha.release("v2").title("Two");
        let before = ["v2", "v3"].map(|tag| copy.seen_release(tag).notes);
        let report = pair.run(&["--full"], 0).await;
        assert_eq!(counts(&report), json!({"in_sync": 1, "foreign": 1}), "{kind:?}: {report:#}");
        assert_eq!(["v2", "v3"].map(|tag| copy.seen_release(tag).notes), before);
        assert_eq!(copy.releases().len(), 3);
    }
}

#[tokio::test]
async fn texts_that_a_forge_may_change_are_written_once() {
    for kind in KINDS {
        let (pair, alpha) = pair(kind).await;
        alpha.release("v1").title("  Blanks  ").notes("\r\n\r\n  indented\r\nlast  \r\n\r\n");
        alpha.release("v2").title(&"ü".repeat(200)).notes("");
        alpha.release("v3").title("").notes("It ends with `<!-- holocron:end -->`, says the manual.\n<!-- open");
        alpha.release("v4").title("😀").notes("<!-- holocron:end -->\ntext\n<!-- holocron:begin source=x state=y -->");
        pair.run(&[], 0).await;
        let before = pair.copy().releases();
        pair.there.reset_log();
        pair.run(&["--full"], 0).await;
        assert!(pair.there.writes().is_empty(), "{kind:?}: {:#?}", pair.there.writes());
        // Nor when nothing is remembered.
        fs::remove_dir_all(pair.env.storage()).unwrap();
        pair.run(&[], 0).await;
        let writes: Vec<_> = pair.there.writes().into_iter().filter(|one| one.path.contains("/releases")).collect();
        assert!(writes.is_empty(), "{kind:?}: {writes:#?}");
        assert_eq!(pair.copy().releases(), before);
    }
}

#[tokio::test]
async fn a_plan_and_a_dry_run_write_nothing_anywhere() {
    for kind in KINDS {
        let (pair, alpha) = pair(kind).await;
        keep_on_disk(&pair);
        alpha.tag("v2").release("v1").title("One").asset("a", b"aaa");
        pair.run(&[], 0).await;
        alpha.edit_release("v1", |one| one.notes("Other").replace_asset("a", b"bbb")).release("v2").asset("b", b"b");
        pair.there.reset_log();
        let releases = || tree(&pair.env.storage()).into_keys().collect::<Vec<_>>();
        let bytes = || tree(&pair.env.storage()).into_iter().filter(|(name, _)| name.contains(".releases/"));
        let before = (releases(), bytes().collect::<Vec<_>>());
        let plan = pair.env.holocron(["release", "plan", "--json"]).env("FROM", SOURCE_TOKEN);
        for program in [plan.env("TO", THERE_TOKEN), pair.program(&["--dry-run"])] {
            let report = report(&program.run().await, 0);
            assert!(told(&report)["notes"].to_string().contains("would update the release v1"), "{report:#}");
            assert_eq!((releases(), bytes().collect::<Vec<_>>()), before, "{kind:?}");
        }
        assert!(pair.there.writes().is_empty(), "{kind:?}: {:#?}", pair.there.writes());
        // Nothing of it is remembered as done.
        pair.run(&[], 0).await;
        assert_same(kind, &alpha, &pair.copy());
    }
}

#[tokio::test]
async fn a_small_budget_lets_many_files_through_and_names_the_one_that_is_too_large() {
    let (pair, alpha) = pair(Dialect::Gitea).await;
    for number in 1..=5 {
        let release = alpha.release(&format!("v{number}"));
        ["a", "b", "c"].iter().for_each(|name| drop(release.asset(name, &noise(900_000 + number))));
    }
    alpha.edit_release("v3", |one| one.asset("huge", &noise(1_100_000)));
    let report = pair.run(&["--asset-tmp-max", "1MiB"], 3).await;
    assert_eq!(counts(&report)["assets"], 15, "{report:#}");
    let problem = &told(&report)["problems"];
    assert_eq!((problem.as_array().unwrap().len(), &problem[0]["asset"]), (1, &"huge".into()), "{report:#}");
    assert!(problem[0]["hint"].as_str().unwrap().contains("--asset-tmp-max"), "{report:#}");
    pair.run(&[], 0).await;
    assert_same(Dialect::Gitea, &alpha, &pair.copy());
}

/// A backup of `acme/alpha` on a Gitea, which takes any name; `then` reads it again.
async fn on_disk(env: &TestEnv, source: &Forge, releases: Value, args: &[&str]) -> Value {
    let sources = json!([source_of(Dialect::Gitea, source)]);
    env.file("holocron.yaml", json!({"sources": sources, "releases": releases}).to_string());
    let program = env.holocron(["--json", "--backup-only"]).args(args.iter().copied()).env("FROM", SOURCE_TOKEN);
    mirror(&report(&program.run().await, 0), "acme/alpha")["releases"][0].clone()
}

fn gitea() -> (TestEnv, impl Future<Output = Forge>) {
    let source = async {
        let source = Forge::start().await;
        source.speak(Dialect::Gitea);
        source.accept_token("alice", SOURCE_TOKEN);
        source
    };
    (TestEnv::new(), source)
}

#[tokio::test]
async fn any_name_of_a_tag_or_file_stays_inside_the_backup_and_comes_back() {
    let (env, source) = gitea();
    let source = source.await;
    let alpha = source.repo("acme/alpha").branch("main");
    let long = "t".repeat(230);
    let names = [
        "..",
        ".",
        "CON",
        "nul.txt",
        "a\\b",
        "../../up",
        "/etc/passwd",
        "release.json",
        "SHA256SUMS",
        "sha256sums",
        "-rf",
        "a\nb",
        "%2E.",
        "trailing.",
        "trailing ",
        "A",
        "a",
        ".tmp",
        "~",
        "a:b",
        &"ö".repeat(150),
    ];
    let tags = ["CON", "v1", "a/b", "V2", "v2", &long];
    for tag in tags {
        let release = alpha.release(tag).title(tag);
        names.iter().for_each(|name| drop(release.asset(name, format!("{tag} {name}").as_bytes())));
    }
    let told = on_disk(&env, &source, json!("all"), &[]).await;
    assert_eq!(told["releases"]["assets"], 6 * names.len(), "{told:#}");
    let beside = env.mirror_of(&alpha).display().to_string() + ".releases/";
    let inside = tree(Path::new(&beside));
    assert_eq!(inside.len(), 6 * (names.len() + 2), "{:#?}", inside.keys());
    for (name, bytes) in tree(&env.work()) {
        let is_file = tags.iter().any(|tag| bytes.starts_with(format!("{tag} ").as_bytes()));
        assert!(!is_file || name.starts_with(&beside), "{name}");
    }
    assert_eq!(on_disk(&env, &source, json!("all"), &["--full"]).await["verdict"], "current");
    // And back to a forge.
    let there = Forge::start().await;
    there.speak(Dialect::Gitea);
    there.organisation("copies", &["alice"]);
    there.accept_token("alice", THERE_TOKEN);
    let mut to = destination("to", Dialect::Gitea, &there);
    to["releases"] = "all".into();
    let folder = env.mirror_of(&alpha).parent().unwrap().display().to_string();
    let config = json!({
        "storage": env.work().join("second"),
        "sources": [{"id": "shelf", "kind": "dir", "dirs": [folder]}],
        "destinations": [to],
    });
    env.file("back.yaml", config.to_string());
    let run = env.holocron(["--json", "--config", "back.yaml"]).env("TO", THERE_TOKEN).run().await;
    report(&run, 0);
    let copy = there.find("copies/alpha").unwrap();
    assert_eq!(sorted(&copy), sorted(&alpha));
}

#[tokio::test]
async fn several_drafts_of_a_tag_are_saved_as_one_and_once() {
    let (env, source) = gitea();
    let source = source.await;
    let alpha = source.repo("acme/alpha").branch("main").tag("v1");
    alpha.draft_release("v1").title("First").asset("a", b"first");
    alpha.draft_release("v1").title("Second").asset("a", b"second");
    let told = on_disk(&env, &source, json!({"drafts": true}), &[]).await;
    assert_eq!(told["releases"]["created"], 1, "{told:#}");
    source.reset_log();
    assert_eq!(on_disk(&env, &source, json!({"drafts": true}), &["--full"]).await["verdict"], "current");
    assert!(source.downloads().is_empty());
}

#[tokio::test]
async fn a_backup_whose_bytes_rotted_is_not_handed_on() {
    for kind in KINDS {
        let (pair, alpha) = pair(kind).await;
        keep_on_disk(&pair);
        alpha.release("v1").title("One").asset("a", b"aaa").asset("b", b"bbb");
        pair.there.fault(Fault::status(422).on_upload("b"));
        let report = pair.run(&[], 3).await;
        assert_eq!(mirror(&report, "acme/alpha")["releases"][0]["verdict"], "projected", "{report:#}");
        pair.there.heal();
        let saved = env_file(&pair, &alpha, "b");
        assert_eq!(fs::read(&saved).unwrap_or_default(), b"bbb", "{:#?}", tree(&pair.env.storage()).keys());
        fs::write(&saved, b"bba").unwrap();
        pair.run(&[], 0).await;
        assert_same(kind, &alpha, &pair.copy());
    }
}

fn env_file(pair: &Pair, alpha: &Repo, name: &str) -> std::path::PathBuf {
    let mirror = pair.env.mirror_of(alpha).display().to_string();
    Path::new(&format!("{mirror}.releases")).join("v1").join(name)
}

/// The most memory that a process ever had, in KiB, as the kernel counts it.
fn peak(pid: Pid) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_pid())).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_large_file_is_never_whole_in_memory() {
    const SIZE: u64 = 160 << 20;
    for backup in [false, true] {
        let (pair, alpha) = pair(Dialect::Github).await;
        let saved = || env_file(&pair, &alpha, "large").exists();
        alpha.release("v1").title("One").asset_of_size("large", SIZE).asset("last", b"l");
        pair.there.fault(Fault::hang().on_upload("last"));
        if backup {
            keep_on_disk(&pair);
        }
        let running = pair.program(&[]).spawn();
        let is_hanging = |request: &Request| request.kind == Kind::Upload && request.asset.as_deref() == Some("last");
        pair.there.until(is_hanging).await;
        let most = peak(running.pid());
        running.signal(Signal::KILL);
        running.wait().await;
        assert_eq!((pair.copy().seen_release("v1").assets[0].size, saved()), (SIZE, backup));
        assert!(most < 64 << 10, "{most} KiB with a file of {SIZE} bytes, backup: {backup}");
    }
}

#[tokio::test]
async fn a_watch_under_other_settings_does_not_rest_on_what_was_seen_before() {
    let pair = Pair::with(Dialect::Github, &json!({"releases": {"tags": ["v1"]}})).await;
    let alpha = pair.source.repo("acme/alpha").branch("main");
    alpha.release("v1").title("One");
    alpha.release("v2").title("Two");
    pair.run(&[], 0).await;
    assert_eq!(pair.copy().releases().len(), 1);
    pair.configure(&[json!({"releases": "all"})]);
    pair.there.reset_log();
    let program = pair.env.holocron(["--watch", "--interval", "1h"]).env("FROM", SOURCE_TOKEN).env("TO", THERE_TOKEN);
    let running = program.spawn();
    pair.there.until(|request| request.method == "POST" && request.path.ends_with("/releases")).await;
    running.signal(Signal::TERM);
    running.wait().await.assert_code(0);
    assert_eq!(pair.copy().releases().len(), 2);
}

#[tokio::test]
async fn what_a_person_added_to_stays_although_its_tag_goes() {
    let pair = Pair::with(Dialect::Gitea, &json!({"releases": {"prune": true}})).await;
    let alpha = pair.source.repo("acme/alpha").branch("main");
    ["v1", "v2", "v3"].iter().for_each(|tag| drop(alpha.release(tag).title(tag).asset("a", b"aaa")));
    pair.run(&[], 0).await;
    let copy = pair.copy();
    copy.edit_release("v1", |one| one.asset("by-hand", b"mine"));
    alpha.remove_release("v1").delete("refs/tags/v1");
    alpha.remove_release("v2").delete("refs/tags/v2");
    pair.run(&[], 0).await;
    let tags: Vec<String> = copy.releases().into_iter().map(|one| one.tag).collect();
    assert_eq!(tags, ["v1", "v3"]);
    assert_eq!(copy.asset_bytes("v1", "by-hand"), b"mine");
}
