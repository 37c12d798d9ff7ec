//! A selection that matches nothing is said and is no success: a run that did nothing by mistake must not end with 0.

use std::fs;

use serde_json::Value;

use crate::disk_kit::backup_dir;
use crate::net::{github, report, verdicts};
use crate::support::{Forge, Run, TestEnv};

/// Two repositories on a forge.
async fn two() -> (TestEnv, Forge) {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.repo("acme/alpha").branch("main");
    forge.repo("acme/beta").branch("main");
    (env, forge)
}

/// The only thing that matched nothing, and why.
#[track_caller]
fn unmatched(run: &Run) -> (String, Value) {
    let told = report(run, 3);
    let all = told["unmatched"].as_array().expect("a report says what matched nothing");
    assert_eq!(all.len(), 1, "{told:#}");
    assert_eq!(all[0]["failure"]["reason"], "nothing_matched", "{told:#}");
    (all[0]["what"].as_str().unwrap().to_owned(), all[0]["failure"].clone())
}

fn text<'a>(failure: &'a Value, key: &str) -> &'a str {
    failure[key].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_glob_that_matches_nothing_is_said_with_what_was_listed_and_how_globs_match() {
    let (env, forge) = two().await;
    for args in [["--include", "*"], ["--exclude", "**"]] {
        let (what, failure) = unmatched(&github(&env, &forge, args).run().await);
        assert_eq!(what, "source github");
        assert_eq!(text(&failure, "message"), "none of the 2 repositories that it lists is selected");
        assert_eq!(text(&failure, "evidence"), "there are acme/alpha, acme/beta");
        assert!(text(&failure, "hint").contains("`**` goes across"), "{failure:#}");
    }
    let run = env.holocron(["--backup-only", "--include", "acmee/*"]).github(&forge).run().await;
    assert!(run.assert_code(3).stdout.contains("source github: nothing_matched: none of the 2"), "{run}");
    assert!(run.stdout.contains("1 selection without a match"), "{run}");
    // One of several, too, and a dry run says the same.
    for dry in [&["--dry-run"][..], &[]] {
        let run = github(&env, &forge, ["--include", "ACME/alpha", "--include", "acme/gamma"]).args(dry).run().await;
        assert_eq!(unmatched(&run).0, "include `acme/gamma`");
        assert_eq!(run.json()["mirrors"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn an_exclude_that_matches_nothing_is_a_warning() {
    let (env, forge) = two().await;
    let told = report(&github(&env, &forge, ["--exclude", "acme/gamma", "--exclude", "*/beta"]).run().await, 0);
    assert_eq!(verdicts(&told), ["acme/alpha cloned"]);
    let warnings = told["warnings"].as_array().unwrap();
    assert!(warnings.len() == 1 && text(&warnings[0], "").is_empty(), "{told:#}");
    assert!(warnings[0].as_str().unwrap().contains("`acme/gamma`"), "{told:#}");
}

#[tokio::test]
async fn an_empty_directory_an_empty_list_and_a_token_that_sees_nothing_are_no_success() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    fs::create_dir(env.work().join("src")).unwrap();
    let (what, failure) = unmatched(&backup_dir(&env, "src").run().await);
    assert_eq!((what.as_str(), text(&failure, "message")), ("source dir", "it lists no repository"));
    assert!(text(&failure, "hint").contains("mounted"), "{failure:#}");
    env.file("list", "# nothing yet\n");
    let run = env.holocron(["--backup-only", "--json", "--urls-file", "list"]).run().await;
    assert_eq!(unmatched(&run).0, "source urls");
    assert_eq!(unmatched(&github(&env, &forge, []).run().await).0, "source github");
    // One of several directories.
    env.bare_repo("full/alpha.git").branch("main");
    let run = backup_dir(&env, "src").args(["--dir", "full"]).run().await;
    let refused = report(&run, 3)["refused"][0].clone();
    assert!(text(&refused, "what").ends_with("/src"), "{refused:#}");
}

#[tokio::test]
async fn accepted_deletions_that_are_nobodys_are_said() {
    let (env, forge) = two().await;
    let (what, failure) = unmatched(&github(&env, &forge, ["--accept-deletions", "acme/alhpa"]).run().await);
    assert_eq!(what, "accept_deletions `acme/alhpa`");
    assert_eq!(text(&failure, "evidence"), "there are acme/alpha, acme/beta");
    report(&github(&env, &forge, ["--accept-deletions", "Acme/*"]).run().await, 0);
}

#[tokio::test]
async fn releases_of_a_repository_that_does_not_exist_are_said_to_be_that() {
    let (env, forge) = two().await;
    report(&github(&env, &forge, ["--releases"]).run().await, 0);
    let args = ["release", "sync", "acme/gamma", "--backup-only", "--releases", "--json"];
    assert_eq!(unmatched(&env.holocron(args).github(&forge).run().await).0, "release `acme/gamma`");
}

#[tokio::test]
async fn a_status_without_a_storage_a_variable_of_nobodys_and_flags_that_contradict_are_wrong_usage() {
    let env = TestEnv::new();
    env.bare_repo("src/alpha.git").branch("main");
    let run = env.holocron(["status"]).run().await;
    assert!(run.assert_code(2).stderr.contains("there is no storage directory"), "{run}");
    let run = backup_dir(&env, "src").env("HOLOCRON_STORGE", "elsewhere").run().await;
    assert!(run.assert_code(2).stderr.contains("HOLOCRON_STORGE"), "{run}");
    assert!(run.stderr.contains("HOLOCRON_STORAGE"), "{run}");
    let run = backup_dir(&env, "src").args(["--destination", "gitlab"]).run().await;
    assert!(run.assert_code(2).stderr.contains("--backup-only"), "{run}");
    assert!(!env.storage().exists());
    backup_dir(&env, "src").args(["--destination", "local"]).run().await.assert_code(0);
}
