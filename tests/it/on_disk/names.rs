//! Repositories with names that file systems, git or ssh might take for something else, and URLs that mean harm.

use serde_json::Value;

use crate::disk_kit::{backup, git, outcome, verdict};
use crate::support::{Forge, RecordingGit, Repo, Run, TestEnv};

/// The failure of a refused part of the listing, by what it says of it.
#[track_caller]
fn refusal(run: &Run, what: &str) -> Value {
    let report = run.json();
    let parts = report["refused"].as_array().expect("a list").clone();
    let found = parts.iter().find(|part| part["what"].as_str().is_some_and(|text| text.contains(what)));
    found.unwrap_or_else(|| panic!("{what} was not refused\n{run}")).clone()
}

async fn assert_all_mirrored(names: &[&str]) {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let repos: Vec<Repo> =
        names.iter().map(|name| forge.repo(&format!("acme/{name}")).branch("main").commit("main", name)).collect();
    backup(&env, &forge).run().await.assert_code(0);
    repos.iter().for_each(|repo| env.assert_mirrored(repo));
    // And again, when there is something to fetch.
    repos.iter().for_each(|repo| drop(repo.commit("main", "more").branch("later")));
    let run = backup(&env, &forge).run().await;
    run.assert_code(0);
    for (repo, name) in repos.iter().zip(names) {
        env.assert_mirrored(repo);
        assert_eq!(verdict(&run, &format!("acme/{name}")), "updated");
    }
}

#[tokio::test]
async fn odd_names_are_names_like_others() {
    let long = "x".repeat(200);
    assert_all_mirrored(&[".github", "HEAD", "refs", "a b", "Ünï", "-oProxyCommand=x", "objects", "config", &long])
        .await;
}

#[tokio::test]
async fn names_that_differ_in_letter_case_only_are_two_mirrors_where_the_file_system_has_room() {
    let env = TestEnv::new();
    env.file("CaseProbe", "");
    assert!(!env.work().join("caseprobe").exists(), "this test is for file systems that keep letter case apart");
    assert_all_mirrored(&["Alpha", "alpha", "ALPHA"]).await;
}

#[tokio::test]
async fn a_name_that_would_leave_the_storage_is_refused_and_the_others_are_mirrored() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let good = forge.repo("acme/good").branch("main");
    for (number, name) in ["..", ".", "", "../../outside", "a\\b", "esc\u{1b}[2J", "nul\0"].iter().enumerate() {
        forge.repo(&format!("acme/bad-{number}")).branch("main").reported_as(name);
    }
    forge.repo("acme/long").branch("main").reported_as(&"y".repeat(300));
    let outside = crate::disk_kit::picture(&env.home());
    let run = backup(&env, &forge).run().await;
    run.assert_code(3);
    env.assert_mirrored(&good);
    assert_eq!(run.json()["refused"].as_array().unwrap().len(), 8, "{run}");
    assert_eq!(refusal(&run, "acme/..")["failure"]["reason"], "held");
    crate::disk_kit::assert_untouched(&outside, &crate::disk_kit::picture(&env.home()));
    let mut beside: Vec<_> = std::fs::read_dir(env.work()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    beside.sort();
    assert_eq!(beside, ["mirror-data"]);
    let folders = std::fs::read_dir(env.storage()).unwrap().count();
    assert_eq!(folders, 2, "only our own folder and the forge's");
}

#[tokio::test]
async fn a_clone_url_that_would_run_a_program_or_read_a_file_never_reaches_git() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let calls = RecordingGit::install(&env);
    let good = forge.repo("acme/good").branch("main");
    let secret = env.bare_repo("private.git").branch("main");
    let path = secret.path().display().to_string();
    let urls = [
        format!("ext::sh -c touch% {}/pwned", env.work().display()),
        format!("--upload-pack=touch {}/pwned", env.work().display()),
        "-oProxyCommand=touch pwned".to_owned(),
        "ssh://-oProxyCommand=touch%20pwned/x".to_owned(),
        format!("file://{path}"),
        path.clone(),
        "../private.git".to_owned(),
        "git@..:x".to_owned(),
        "ssh://git@../x".to_owned(),
        "https://".to_owned(),
        "fd::7".to_owned(),
        "http::file:///x".to_owned(),
    ];
    for (number, url) in urls.iter().enumerate() {
        forge.repo(&format!("acme/bad-{number}")).branch("main").clone_url(url);
    }
    let run = backup(&env, &forge).run().await;
    run.assert_code(3);
    env.assert_mirrored(&good);
    assert_eq!(run.json()["refused"].as_array().unwrap().len(), urls.len(), "{run}");
    assert!(!env.work().join("pwned").exists());
    for call in calls.calls() {
        let told: Vec<_> = urls.iter().filter(|url| call.args.iter().any(|argument| argument.contains(*url))).collect();
        assert!(told.is_empty(), "git was handed {told:?}");
    }
}

#[tokio::test]
async fn a_url_of_the_users_own_list_cannot_lead_out_of_the_storage() {
    let env = TestEnv::new();
    for url in ["git@..:x/y.git", "ssh://git@../x/y.git", "ssh://git@.holocron/x.git", "git@.:x.git"] {
        let run = env.holocron(["--backup-only", "--json", "--url", url]).env("GIT_SSH_COMMAND", "false").run().await;
        assert!(
            run.code == 2 || (run.code == 3 && run.json()["refused"].as_array().unwrap().len() == 1),
            "{url}: {run}"
        );
    }
    assert!(!env.work().join("x").exists());
}

#[tokio::test]
async fn a_clone_url_on_another_host_gets_no_token_and_its_mirror_stays_in_the_forges_folder() {
    let (env, forge, other) = (TestEnv::new(), Forge::start().await, Forge::start().await);
    let elsewhere = other.repo("far/away").branch("main");
    let alpha = forge.repo("acme/alpha").branch("main").clone_url(&elsewhere.url());
    let run = backup(&env, &forge).run().await;
    run.assert_code(0);
    env.assert_same_refs(&elsewhere, env.mirror_of(&alpha));
    assert!(other.requests().iter().all(|request| request.authorization().is_none()), "{:#?}", other.requests());
    assert_eq!(outcome(&run, "acme/alpha")["verdict"], "cloned");
    assert_eq!(git(&env, env.mirror_of(&alpha), &["config", "remote.origin.url"]).await, elsewhere.url());
}
