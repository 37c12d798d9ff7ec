//! Releases in the backup on this machine: whole, kept, and fetched once.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::destinations::SOURCE_TOKEN;
use crate::net::{mirror, report};
use crate::support::{Dialect, Fault, Forge, Repo, TestEnv};

/// A forge of any kind with `acme/alpha`, and a storage that gets its releases.
struct Backup {
    env: TestEnv,
    source: Forge,
    alpha: Repo,
}

impl Backup {
    async fn new(kind: Dialect) -> Self {
        let (env, source) = (TestEnv::new(), Forge::start().await);
        source.speak(kind);
        source.accept_token("alice", SOURCE_TOKEN);
        let alpha = source.repo("acme/alpha").branch("main");
        env.file("holocron.yaml", json!({"sources": [source_of(kind, &source)], "releases": "all"}).to_string());
        Backup { env, source, alpha }
    }

    async fn run(&self, args: &[&str], code: i32) -> Value {
        let program = self.env.holocron(["--json"]).args(args.iter().copied()).env("FROM", SOURCE_TOKEN);
        let told = report(&program.run().await, code);
        mirror(&told, "acme/alpha")["releases"][0].clone()
    }

    fn place(&self, tag: &str) -> PathBuf {
        let mirror = self.env.mirror_of(&self.alpha).display().to_string();
        PathBuf::from(format!("{mirror}.releases")).join(tag)
    }

    fn document(&self, tag: &str) -> Value {
        serde_json::from_slice(&fs::read(self.place(tag).join("release.json")).unwrap()).unwrap()
    }
}

/// A source's settings.
pub fn source_of(kind: Dialect, forge: &Forge) -> Value {
    let (name, api_url) = match kind {
        Dialect::Github => ("github", forge.github_api()),
        Dialect::Gitlab => ("gitlab", forge.gitlab_api()),
        Dialect::Gitea => ("gitea", forge.gitea_api()),
    };
    json!({"id": "from", "kind": name, "api_url": api_url, "token": {"env": "FROM"}})
}

/// The sums agree with the files, as `sha256sum -c` sees it.
async fn assert_sums(env: &TestEnv, place: &Path) {
    env.program("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).cwd(place).run().await.assert_code(0);
}

#[tokio::test]
async fn every_field_and_file_is_saved_and_nothing_is_fetched_twice() {
    for kind in crate::destinations::KINDS {
        let backup = Backup::new(kind).await;
        let one = backup.alpha.release("v1").title("One").notes("# First");
        one.asset("a b+(c)ü.zip", &[7; 100_000]).asset("../evil", b"evil").asset("empty", b"");
        backup.alpha.tag("release/2.0");
        backup.alpha.release("release/2.0").asset("release.json", b"not ours");
        let told = backup.run(&["--backup-only"], 0).await;
        assert_eq!(
            (&told["verdict"], &told["releases"]["assets"]),
            (&"projected".into(), &4.into()),
            "{kind:?}: {told:#}"
        );
        let document = backup.document("v1");
        assert_eq!(
            (&document["schema"], &document["tag"], &document["title"], &document["notes"]),
            (&1.into(), &"v1".into(), &"One".into(), &"# First".into())
        );
        let files: Vec<(&str, &str)> = document["assets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["name"].as_str().unwrap(), one["file"].as_str().unwrap()))
            .collect();
        assert!(
            files.contains(&("../evil", "%2E.%2Fevil")) && files.contains(&("a b+(c)ü.zip", "a b+(c)ü.zip")),
            "{files:?}"
        );
        assert_eq!(fs::read(backup.place("v1").join("a b+(c)ü.zip")).unwrap(), [7; 100_000]);
        assert_sums(&backup.env, &backup.place("v1")).await;
        assert_eq!(fs::read(backup.place("release%2F2.0").join("release.json~2")).unwrap(), b"not ours");
        backup.source.reset_log();
        for args in [&["--full"][..], &["--window", "0"]] {
            assert_eq!(backup.run(args, 0).await["verdict"], "current", "{kind:?}");
        }
        assert!(backup.source.downloads().is_empty());
        // One is replaced by another of equal size.
        backup.alpha.edit_release("v1", |one| one.replace_asset("../evil", b"good"));
        assert_eq!(backup.run(&[], 0).await["releases"]["assets"], 1);
        assert_eq!(fs::read(backup.place("v1").join("%2E.%2Fevil")).unwrap(), b"good");
        assert_sums(&backup.env, &backup.place("v1")).await;
    }
}

#[tokio::test]
async fn what_is_deleted_at_the_source_is_kept_and_marked() {
    let backup = Backup::new(Dialect::Github).await;
    backup.alpha.release("v1").asset("a", b"aaa").asset("b", b"bbb");
    backup.alpha.release("v2").asset("c", b"ccc");
    backup.run(&[], 0).await;
    backup.alpha.edit_release("v1", |one| one.remove_asset("a")).remove_release("v2");
    backup.run(&[], 0).await;
    assert_eq!(fs::read(backup.place("v1").join("a")).unwrap(), b"aaa");
    assert_eq!(fs::read(backup.place("v2").join("c")).unwrap(), b"ccc");
    assert!(backup.document("v1")["assets"][1]["deleted_at"].is_string(), "{:#}", backup.document("v1"));
    let marked = backup.document("v2");
    assert!(marked["deleted_at"].is_string());
    backup.run(&["--full"], 0).await;
    assert_eq!(backup.document("v2"), marked, "it is marked once");
    assert_sums(&backup.env, &backup.place("v1")).await;
    // And comes back.
    backup.alpha.release("v2").asset("c", b"ccc");
    backup.run(&[], 0).await;
    assert!(backup.document("v2")["deleted_at"].is_null());
}

#[tokio::test]
async fn a_file_that_failed_is_fetched_by_the_next_run_and_the_others_are_not() {
    let backup = Backup::new(Dialect::Gitea).await;
    backup.alpha.release("v1").asset("a", b"aaa").asset("b", b"bbb");
    backup.source.fault(Fault::status(404).on_download("b"));
    let told = backup.run(&[], 3).await;
    assert_eq!((&told["verdict"], &told["problems"][0]["asset"]), (&"behind".into(), &"b".into()), "{told:#}");
    backup.source.heal();
    backup.source.reset_log();
    let told = backup.run(&[], 0).await;
    assert_eq!((&told["releases"]["assets"], backup.source.downloads().len()), (&1.into(), 1), "{told:#}");
    assert_sums(&backup.env, &backup.place("v1")).await;
}

#[tokio::test]
async fn releases_move_with_a_renamed_repository() {
    let backup = Backup::new(Dialect::Github).await;
    backup.alpha.release("v1").asset("a", b"aaa");
    backup.run(&[], 0).await;
    let old = backup.place("v1");
    backup.alpha.rename("acme/omega");
    backup.source.reset_log();
    let told = report(&backup.env.holocron(["--json"]).env("FROM", SOURCE_TOKEN).run().await, 0);
    // Its page is another one now; its files are not.
    assert_eq!(mirror(&told, "acme/omega")["releases"][0]["releases"]["updated"], 1, "{told:#}");
    assert!(!old.exists() && backup.source.downloads().is_empty());
    assert_eq!(fs::read(backup.place("v1").join("a")).unwrap(), b"aaa");
}

#[tokio::test]
async fn a_document_of_a_newer_program_is_left_alone() {
    let backup = Backup::new(Dialect::Github).await;
    backup.alpha.release("v1");
    backup.run(&[], 0).await;
    let file = backup.place("v1").join("release.json");
    fs::write(&file, r#"{"schema": 99}"#).unwrap();
    let told = backup.run(&[], 3).await;
    assert!(told.to_string().contains("a newer Holocron wrote it"), "{told:#}");
    assert_eq!(fs::read_to_string(&file).unwrap(), r#"{"schema": 99}"#);
}

#[tokio::test]
async fn a_dry_run_says_what_it_would_save_and_writes_nothing() {
    let backup = Backup::new(Dialect::Github).await;
    backup.alpha.release("v1").asset("a", b"a");
    backup.env.file("holocron.yaml", json!({"sources": [source_of(Dialect::Github, &backup.source)]}).to_string());
    backup.run(&["--backup-only"], 0).await;
    let told = backup.run(&["--backup-only", "--releases", "--dry-run"], 0).await;
    assert!(told["notes"].to_string().contains("would save the release v1 with 1 new files"), "{told:#}");
    assert!(!backup.place("v1").exists());
    backup.run(&["--backup-only", "--releases=latest"], 0).await;
    assert!(backup.place("v1").join("a").is_file());
}
