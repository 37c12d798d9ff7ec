//! What is looked at and what is skipped: nothing that may have changed, and everything else at no cost.

use crate::support::{Fault, Forge, Kind, RecordingGit, Repo, Run, Service, TestEnv};

/// One run over everything that alice's token can see.
async fn run(env: &TestEnv, forge: &Forge, args: &[&str]) -> Run {
    env.holocron(["--backup-only"]).args(args).github(forge).run().await
}

/// The verdict on a repository in a JSON report.
#[track_caller]
fn verdict(run: &Run, name: &str) -> String {
    let report = run.json();
    let mirrors = report["mirrors"].as_array().expect("a list of mirrors");
    let mirror = mirrors.iter().find(|mirror| mirror["name"] == name);
    let mirror = mirror.unwrap_or_else(|| panic!("{name} is not in the report\n{run}"));
    mirror["verdict"].as_str().expect("a word").to_owned()
}

fn two_repos(forge: &Forge) -> (Repo, Repo) {
    (forge.repo("acme/alpha").branch("main").tag("v1"), forge.repo("acme/beta").branch("main").branch("dev"))
}

#[tokio::test]
async fn an_unchanged_account_costs_no_git_process_and_no_page() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.page_size(1);
    let (alpha, beta) = two_repos(&forge);
    run(&env, &forge, &[]).await.assert_code(0);
    env.assert_mirrored(&alpha);
    env.assert_mirrored(&beta);

    forge.reset_log();
    let git = RecordingGit::install(&env);
    let second = run(&env, &forge, &[]).await;
    second.assert_code(0);
    assert!(git.calls().is_empty(), "{:?}", git.calls());
    let pages: Vec<_> = forge.api_requests().into_iter().filter(|page| page.path.ends_with("/user/repos")).collect();
    assert!(pages.len() >= 2, "{pages:?}");
    assert!(pages.iter().all(|page| page.status == Some(304)), "{pages:?}");
    assert_eq!(forge.requests().len(), forge.api_requests().len(), "git asked nothing");
    assert!(second.stdout.contains("2 mirrors: 2 current"), "{second}");
}

#[tokio::test]
async fn only_what_was_pushed_to_is_looked_at() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let (alpha, beta) = two_repos(&forge);
    run(&env, &forge, &[]).await.assert_code(0);
    forge.reset_log();
    beta.commit("dev", "more");
    let second = run(&env, &forge, &["--json"]).await;
    assert_eq!([verdict(&second, "acme/alpha"), verdict(&second, "acme/beta")], ["current", "updated"]);
    assert!(forge.git_requests(&alpha.full_name()).is_empty());
    env.assert_mirrored(&beta);
}

#[tokio::test]
async fn a_push_that_no_listing_shows_is_found_by_a_full_run() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let (alpha, _) = two_repos(&forge);
    run(&env, &forge, &[]).await.assert_code(0);
    alpha.silently().commit("main", "unseen").branch("hidden");
    assert_eq!(verdict(&run(&env, &forge, &["--json"]).await, "acme/alpha"), "current", "the listing shows nothing");
    assert_eq!(verdict(&run(&env, &forge, &["--json", "--full"]).await, "acme/alpha"), "updated");
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn full_every_0_compares_everything_in_every_run() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let (alpha, beta) = two_repos(&forge);
    run(&env, &forge, &[]).await.assert_code(0);
    alpha.silently().force("main");
    forge.reset_log();
    let second = run(&env, &forge, &["--json", "--full-every", "0"]).await;
    assert_eq!([verdict(&second, "acme/alpha"), verdict(&second, "acme/beta")], ["updated", "current"]);
    assert!(!forge.git_requests(&beta.full_name()).is_empty(), "it was asked, too");
}

#[tokio::test]
async fn a_push_within_the_window_is_followed_by_further_looks() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let (alpha, _) = two_repos(&forge);
    run(&env, &forge, &[]).await.assert_code(0);
    // The forge's clock stands years ago: no window but a very long one reaches from a push to our look at it.
    alpha.silently().commit("main", "right after the push that the listing shows");
    assert_eq!(verdict(&run(&env, &forge, &["--json", "--window", "60"]).await, "acme/alpha"), "current");
    assert_eq!(verdict(&run(&env, &forge, &["--json", "--window", "10000d"]).await, "acme/alpha"), "updated");
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn a_failed_mirror_is_tried_by_every_single_run() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let (alpha, _) = two_repos(&forge);
    run(&env, &forge, &[]).await.assert_code(0);
    alpha.commit("main", "more");
    forge.fault(Fault::status(404).on_git("acme/alpha").service(Service::Advertisement).times(2));
    for _ in 0..2 {
        let failed = run(&env, &forge, &["--json"]).await;
        assert_eq!(verdict(failed.assert_code(3), "acme/alpha"), "failed");
    }
    assert_eq!(verdict(run(&env, &forge, &["--json"]).await.assert_code(0), "acme/alpha"), "updated");
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn a_failure_is_made_up_for_even_if_the_push_is_undone_in_the_listing() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let (alpha, _) = two_repos(&forge);
    run(&env, &forge, &[]).await.assert_code(0);
    // Nothing new is listed, but the comparison that was asked for failed: the mirror is not known to be current.
    alpha.silently().commit("main", "unseen");
    forge.fault(Fault::status(404).on_git("acme/alpha").once());
    run(&env, &forge, &["--full"]).await.assert_code(3);
    assert_eq!(verdict(&run(&env, &forge, &["--json"]).await, "acme/alpha"), "updated");
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn a_listing_whose_times_go_backwards_is_believed_to_have_changed() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let (alpha, _) = two_repos(&forge);
    run(&env, &forge, &[]).await.assert_code(0);
    alpha.silently().commit("main", "restored from a backup");
    let mut listing = listing(&forge).await;
    for repo in listing.as_array_mut().expect("a list") {
        if repo["full_name"] == "acme/alpha" {
            repo["pushed_at"] = "2001-01-01T00:00:00Z".into();
        }
    }
    forge.fault(Fault::status(200).json(&listing).on_api("/user/repos").page(1));
    assert_eq!(verdict(&run(&env, &forge, &["--json"]).await, "acme/alpha"), "updated");
    env.assert_mirrored(&alpha);
    assert_eq!(verdict(&run(&env, &forge, &["--json"]).await, "acme/alpha"), "current", "recorded as listed");
}

/// What GitHub's API lists for alice.
async fn listing(forge: &Forge) -> serde_json::Value {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = client.get(format!("{}/user/repos", forge.github_api())).bearer_auth(forge.token()).send().await;
    answer.and_then(reqwest::Response::error_for_status).expect("the forge answers").json().await.expect("JSON")
}

#[tokio::test]
async fn another_default_branch_alone_is_followed() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let (_, beta) = two_repos(&forge);
    run(&env, &forge, &[]).await.assert_code(0);
    beta.silently().head("dev");
    assert_eq!(verdict(&run(&env, &forge, &["--json"]).await, "acme/beta"), "updated");
    assert_eq!(env.head(env.mirror_of(&beta)), "refs/heads/dev");
}

#[tokio::test]
async fn a_mirror_removed_by_hand_is_made_again() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let (alpha, _) = two_repos(&forge);
    run(&env, &forge, &[]).await.assert_code(0);
    std::fs::remove_dir_all(env.mirror_of(&alpha)).unwrap();
    assert_eq!(verdict(&run(&env, &forge, &["--json"]).await, "acme/alpha"), "cloned");
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn a_rename_that_moves_no_push_time_is_told_and_recorded() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let (alpha, _) = two_repos(&forge);
    run(&env, &forge, &[]).await.assert_code(0);
    let old = env.mirror_of(&alpha);
    alpha.rename("tools/omega");
    let renamed = run(&env, &forge, &[]).await;
    renamed.assert_code(0);
    assert!(renamed.stdout.contains("tools/omega: was renamed from acme/alpha"), "{renamed}");
    assert!(!old.exists());
    env.assert_mirrored(&alpha);
    let status = env.holocron(["status"]).run().await;
    assert!(status.stdout.contains("tools/omega") && !status.stdout.contains("acme/alpha"), "{status}");
}

#[tokio::test]
async fn a_new_repository_of_a_gone_ones_name_gets_the_place_and_the_old_mirror_is_kept() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let (alpha, _) = two_repos(&forge);
    run(&env, &forge, &[]).await.assert_code(0);
    alpha.remove();
    let successor = forge.repo("acme/alpha").branch("trunk");
    let second = run(&env, &forge, &["--json"]).await;
    second.assert_code(0);
    env.assert_mirrored(&successor);
    let report = second.json();
    let gone = report["mirrors"].as_array().unwrap().iter().find(|mirror| mirror["verdict"] == "gone").unwrap();
    env.assert_same_refs(&alpha, gone["path"].as_str().unwrap());
    let third = run(&env, &forge, &["--json"]).await.json();
    assert_eq!(third["totals"]["gone"], 1, "{third:#}");
    assert_eq!(third["mirrors"][0]["notes"], report["mirrors"][0]["notes"]);
}

#[tokio::test]
async fn full_looks_at_every_mirror_once_and_changes_nothing_when_nothing_changed() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let (alpha, beta) = two_repos(&forge);
    run(&env, &forge, &[]).await.assert_code(0);
    forge.reset_log();
    let full = run(&env, &forge, &["--full"]).await;
    assert!(full.assert_code(0).stdout.contains("2 mirrors: 2 current"), "{full}");
    for repo in [alpha, beta] {
        let asked = forge.git_requests(&repo.full_name());
        assert!(!asked.is_empty());
        let fetched = asked
            .iter()
            .any(|request| matches!(request.kind, crate::support::Kind::Git { service: Service::FetchPack, .. }));
        assert!(!fetched, "the same refs need no pack: {asked:?}");
    }
}

#[tokio::test]
async fn a_gutted_mirror_is_healed_although_nothing_was_pushed_and_a_whole_one_costs_nothing() {
    use std::fs::{create_dir, remove_dir_all, remove_file};
    type Gut = fn(&std::path::Path);
    let guts: [(&str, Gut); 5] = [
        ("no objects", |mirror| remove_dir_all(mirror.join("objects")).unwrap()),
        ("no object", |mirror| {
            remove_dir_all(mirror.join("objects")).unwrap();
            create_dir(mirror.join("objects")).unwrap();
        }),
        ("no packs", |mirror| remove_dir_all(mirror.join("objects/pack")).unwrap()),
        ("no refs", |mirror| {
            remove_dir_all(mirror.join("refs")).unwrap();
            remove_file(mirror.join("packed-refs")).unwrap();
        }),
        ("no ref", |mirror| {
            remove_dir_all(mirror.join("refs")).unwrap();
            create_dir(mirror.join("refs")).unwrap();
            std::fs::write(mirror.join("packed-refs"), "").unwrap();
        }),
    ];
    for (what, gut) in guts {
        let (env, forge) = (TestEnv::new(), Forge::start().await);
        let (alpha, beta) = two_repos(&forge);
        run(&env, &forge, &[]).await.assert_code(0);
        gut(&env.mirror_of(&alpha));
        let git = RecordingGit::install(&env);
        forge.reset_log();
        let healed = run(&env, &forge, &["--json"]).await;
        healed.assert_code(0);
        let verdicts = [verdict(&healed, "acme/alpha"), verdict(&healed, "acme/beta")];
        assert!(["cloned", "updated"].contains(&verdicts[0].as_str()) && verdicts[1] == "current", "{what}: {healed}");
        env.assert_mirrored(&alpha);
        assert!(!git.calls().iter().any(|call| call.mentions("beta")), "{what}");
        assert!(forge.git_requests(&beta.full_name()).is_empty(), "{what}");
        assert_eq!(verdict(&run(&env, &forge, &["--json"]).await, "acme/alpha"), "current", "{what}");
    }
}

#[tokio::test]
async fn a_comparison_cut_short_leaves_nothing_that_passes_for_current() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let (alpha, _) = two_repos(&forge);
    run(&env, &forge, &[]).await.assert_code(0);
    alpha.silently().commit("main", "unseen");
    forge.fault(Fault::hang().on_git("acme/alpha"));
    forge.reset_log();
    let running = env.holocron(["--backup-only", "--full"]).github(&forge).spawn();
    forge.until(|request| matches!(&request.kind, Kind::Git { repo, .. } if repo == "acme/alpha")).await;
    running.signal(rustix::process::Signal::INT);
    running.wait().await.assert_code(130);
    forge.heal();
    assert_eq!(verdict(&run(&env, &forge, &["--json"]).await, "acme/alpha"), "updated");
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn what_is_pushed_while_we_work_counts_as_pushed_after_our_look() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    run(&env, &forge, &[]).await.assert_code(0);
    alpha.commit("main", "more");
    // A git that waits in the middle of its work.
    let pipes = [env.work().join("reached"), env.work().join("go")];
    for pipe in &pipes {
        env.program("mkfifo").arg(pipe).run().await.assert_code(0);
    }
    let [reached, go] = pipes;
    let script = "#!/bin/sh\ncase \" $* \" in *' fetch '*|*' index-pack '*) echo here >@REACHED@; read -r answer <@GO@ ;; esac\nexec @GIT@ \"$@\"\n";
    let script = script.replace("@REACHED@", reached.to_str().unwrap()).replace("@GO@", go.to_str().unwrap());
    env.script("git", &script.replace("@GIT@", which::which("git").unwrap().to_str().unwrap()));
    let running = env.holocron(["--backup-only"]).github(&forge).spawn();
    tokio::fs::read_to_string(&reached).await.unwrap();
    let middle = jiff::Timestamp::now();
    tokio::fs::write(&go, "go\n").await.unwrap();
    running.wait().await.assert_code(0);
    env.assert_mirrored(&alpha);
    let store = holocron::store::Store::open_read_only(&env.storage().join(".holocron/state.sqlite")).await.unwrap();
    let record = store.unwrap().mirrors().await.unwrap().rows.remove(0);
    assert!(record.last_full.unwrap() < middle && middle < record.last_success.unwrap(), "{middle} {record:?}");
}

#[tokio::test]
async fn checkouts_asked_for_later_are_made_of_what_is_there() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let (alpha, beta) = two_repos(&forge);
    run(&env, &forge, &[]).await.assert_code(0);
    let git = RecordingGit::install(&env);
    forge.reset_log();
    let later = run(&env, &forge, &["--checkout"]).await;
    assert!(later.assert_code(0).stdout.contains("2 mirrors: 2 current"), "{later}");
    for repo in [&alpha, &beta] {
        assert!(env.mirror_of(repo).with_extension("").join("README").is_file(), "{later}");
    }
    assert_eq!(forge.requests().len(), forge.api_requests().len(), "git asked nothing");
    let calls = git.calls();
    assert!(!calls.iter().any(|call| call.args.iter().any(|arg| arg == "ls-remote" || arg == "fetch")), "{calls:?}");
    run(&env, &forge, &["--checkout"]).await.assert_code(0);
    assert_eq!(git.calls().len(), calls.len(), "there was nothing to do");
}
