//! One run at a time on one storage, and what is left of killed ones.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::disk_kit::{backup, reason, verdict};
use crate::support::{Fault, Forge, Kind, Repo, Running, Service, TestEnv, noise, until};

/// A run in the middle of a clone that never ends, its git at work on half a pack.
async fn at_work(env: &TestEnv, forge: &Forge) -> Running {
    forge.fault(Fault::stall_in_body(100_000).on_git("acme/alpha").service(Service::FetchPack).once());
    let running = backup(env, forge).spawn();
    let fits =
        |kind: &Kind| matches!(kind, Kind::Git { service: Service::FetchPack, repo, .. } if repo == "acme/alpha");
    forge.until(|request| fits(&request.kind)).await;
    until("git is at work", || !running.children().is_empty()).await;
    running
}

async fn world() -> (TestEnv, Forge, Repo) {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").tag("v1").commit_file("main", "big", &noise(200_000));
    (env, forge, alpha)
}

#[tokio::test]
async fn a_second_run_ends_at_once_and_names_the_first() {
    let (env, forge, _) = world().await;
    let first = at_work(&env, &forge).await;
    let second = backup(&env, &forge).run().await;
    second.assert_code(1);
    assert!(second.stderr.contains(&format!("process {}", first.pid().as_raw_pid())), "{second}");
    assert!(second.stderr.contains("--wait"), "{second}");
    first.signal(Signal::TERM);
    first.wait().await;
}

#[tokio::test]
async fn with_wait_the_second_run_begins_when_the_first_has_ended() {
    let (env, forge, alpha) = world().await;
    let first = at_work(&env, &forge).await;
    let mut second = backup(&env, &forge).arg("--wait").spawn();
    second.until_output("waiting for process").await;
    first.signal(Signal::TERM);
    first.wait().await;
    let second = second.wait().await;
    second.assert_code(0);
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn the_gits_of_a_killed_run_are_waited_for() {
    let (env, forge, alpha) = world().await;
    // The first git that is at work is slow to notice that nobody is there any more: it waits, or tells nobody of progress.
    let script = r#"#!/bin/sh
        case " $* " in
            *' index-pack '*) mkdir @SLOW@ 2>/dev/null && exec sleep 1000 ;;
            *' clone '*) mkdir @SLOW@ 2>/dev/null && exec @GIT@ "$@" 2>/dev/null ;;
        esac
        exec @GIT@ "$@""#;
    let (git, slow) = (which::which("git").unwrap(), env.home().join("slow"));
    env.script("git", &script.replace("@SLOW@", slow.to_str().unwrap()).replace("@GIT@", git.to_str().unwrap()));
    let first = at_work(&env, &forge).await;
    let orphans = first.children();
    assert!(!orphans.is_empty());
    first.signal(Signal::KILL);
    assert_eq!(first.wait().await.code, -9);
    let mut second = backup(&env, &forge).spawn();
    second.until_output("waiting for the git processes of a run that was killed").await;
    orphans.iter().for_each(|group| kill_process_group(*group, Signal::KILL).unwrap());
    second.wait().await.assert_code(0);
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn another_storage_needs_no_waiting() {
    let (env, forge, _) = world().await;
    let first = at_work(&env, &forge).await;
    backup(&env, &forge).args(["--storage", "elsewhere"]).run().await.assert_code(0);
    first.signal(Signal::TERM);
    first.wait().await;
}

#[tokio::test]
async fn looking_needs_no_lock() {
    let (env, forge, _) = world().await;
    backup(&env, &forge).run().await.assert_code(0);
    forge.repo("acme/beta").branch("main");
    forge.fault(Fault::hang().on_git("acme/beta").service(Service::FetchPack).once());
    let first = backup(&env, &forge).spawn();
    forge.until(|request| matches!(&request.kind, Kind::Git { repo, .. } if repo == "acme/beta")).await;
    env.holocron(["status"]).run().await.assert_code(0);
    first.signal(Signal::TERM);
    first.wait().await;
}

#[tokio::test]
async fn a_git_that_something_else_kills_is_one_mirrors_failure() {
    let (env, forge, alpha) = world().await;
    let beta = forge.repo("acme/beta").branch("main");
    let running = at_work(&env, &forge).await;
    let mut groups = Vec::new();
    until("the other mirror is in its place and only the git that hangs is left", || {
        groups = running.children();
        groups.len() == 1 && env.mirror_of(&beta).exists()
    })
    .await;
    groups.iter().for_each(|group| kill_process_group(*group, Signal::TERM).unwrap());
    let run = running.wait().await;
    run.assert_code(3);
    assert_eq!(verdict(&run, "acme/alpha"), "failed");
    assert!(!reason(&run, "acme/alpha").is_empty());
    assert!(!env.mirror_of(&alpha).exists(), "half a clone is none");
    env.assert_mirrored(&beta);
    backup(&env, &forge).run().await.assert_code(0);
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn what_a_token_command_leaves_behind_does_not_hold_the_lock() {
    let (env, forge, alpha) = world().await;
    let left = env.work().join("left");
    let command = format!("sleep 1000 >/dev/null 2>&1 & echo $! >{}; echo {}", left.display(), forge.token());
    let text = format!(
        "sources:\n  - kind: github\n    api_url: {}\n    token: {{command: '{command}'}}\n",
        forge.github_api()
    );
    env.file("holocron.yaml", text);
    let mut runs = Vec::new();
    let mut sleeping = Vec::new();
    for _ in 0..2 {
        runs.push(env.holocron(["--backup-only"]).run().await);
        let pid = std::fs::read_to_string(&left).unwrap().trim().parse().unwrap();
        sleeping.push(Pid::from_raw(pid).unwrap());
    }
    let slept = sleeping.into_iter().all(|pid| kill_process(pid, Signal::KILL).is_ok());
    for run in runs {
        assert!(!run.assert_code(0).stderr.contains("waiting for"), "{run}");
    }
    assert!(slept, "it was left behind");
    env.assert_mirrored(&alpha);
}
