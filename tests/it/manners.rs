//! What a run leaves behind, what it lets others see, and what it says when it is stopped or has no room.

use std::fs;

use rustix::process::Signal;

use crate::support::{Fault, Forge, Kind, Running, Service, TestEnv, noise};

/// A run whose first mirror is done and whose second one never ends.
async fn half_done(env: &TestEnv, forge: &Forge, args: &[&str]) -> Running {
    forge.repo("acme/alpha").branch("main");
    forge.repo("acme/beta").branch("main").commit_file("main", "big", &noise(200_000));
    forge.fault(Fault::stall_in_body(100_000).on_git("acme/beta").service(Service::FetchPack).once());
    let mut running = env.holocron(["--backup-only", "--verbose"]).args(args.iter().copied()).github(forge).spawn();
    forge.until(|request| matches!(&request.kind, Kind::Git { service: Service::FetchPack, repo, .. } if repo == "acme/beta")).await;
    running.until_output("acme/alpha: cloned").await;
    running
}

#[tokio::test]
async fn a_second_signal_ends_the_run_at_once_and_still_reports() {
    for (signal, name, code) in [(Signal::TERM, "SIGTERM", 0), (Signal::INT, "SIGINT", 130)] {
        let (env, forge) = (TestEnv::new(), Forge::start().await);
        let running = half_done(&env, &forge, &["--report", "report.json"]).await;
        // One after the other, before anything can end in good order: git has five seconds for that.
        running.signal(signal);
        let mut running = running;
        running.until_output("ask again to stop at once").await;
        running.signal(signal);
        let run = running.wait().await;
        run.assert_code(code);
        assert!(run.stdout.contains("acme/alpha"), "{run}");
        assert!(run.stdout.contains(&format!("Stopped by {name}: 1 mirror left for the next run.")), "{run}");
        let report: serde_json::Value =
            serde_json::from_slice(&fs::read(env.work().join("report.json")).unwrap()).unwrap();
        assert_eq!(report["interrupted"], name, "{report}");
        assert_eq!(report["exit_code"], code, "{report}");
    }
}

#[tokio::test]
async fn what_killed_runs_left_in_the_temporary_directory_is_swept_by_the_next() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    // A git of the killed run would hold the storage until its server has ended.
    let running = half_done(&env, &forge, &["--transport", "auto"]).await;
    let left = || fs::read_dir(env.tmp()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    assert!(!left().is_empty(), "a run has a directory for its sockets");
    running.signal(Signal::KILL);
    running.wait().await;
    assert!(!left().is_empty(), "nobody was there to remove it");
    let own = env.tmp().join("holocron-backup");
    fs::create_dir(&own).unwrap();
    env.holocron(["--backup-only"]).github(&forge).run().await.assert_code(0);
    assert_eq!(left(), ["holocron-backup"], "what is not of a killed run stays");
}

#[tokio::test]
async fn the_repository_of_a_killed_push_is_swept_by_the_next() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    forge.fault(Fault::hang().on_git("acme/alpha").service(Service::FetchPack).once());
    let push = || {
        let program = env.holocron(["push", "--source-url", &alpha.url(), "--config", "push.yaml"]);
        program.env("SOURCE_TOKEN", forge.token())
    };
    let text =
        format!("destinations: [{{id: disk, kind: git, url: '{}/{{name}}.git'}}]\n", env.work().join("out").display());
    env.file("push.yaml", text);
    let running = push().spawn();
    forge.until(|request| matches!(&request.kind, Kind::Git { service: Service::FetchPack, .. })).await;
    running.signal(Signal::KILL);
    running.wait().await;
    assert!(fs::read_dir(env.tmp()).unwrap().count() > 0);
    push().run().await.assert_code(0);
    assert_eq!(fs::read_dir(env.tmp()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_token_command_gets_no_other_token_and_nothing_dumps_its_memory() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.repo("acme/alpha").branch("main");
    let seen = env.work().join("seen");
    let command = format!("env >{0}; cat /proc/self/limits >>{0}; echo {1}", seen.display(), forge.token());
    let text = format!(
        "sources:\n\
         - {{id: one, kind: github, api_url: {0}, token: {{command: '{command}'}}}}\n\
         - {{id: two, kind: gitea, api_url: {1}, token: {{env: OTHER_NAME}}}}\n",
        forge.github_api(),
        forge.gitea_api()
    );
    env.file("holocron.yaml", text);
    let program = env.holocron(["--backup-only"]).env("OTHER_NAME", forge.token()).env("GITLAB_TOKEN", "canary-gitlab");
    program.env("VAULT_ADDR", "https://vault").run().await;
    let seen = fs::read_to_string(&seen).unwrap();
    assert!(!seen.contains("OTHER_NAME") && !seen.contains("GITLAB_TOKEN"), "{seen}");
    assert!(seen.contains("VAULT_ADDR"), "what it needs itself stays\n{seen}");
    let core = seen.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["1", "1"], "{core}");
}

#[tokio::test]
async fn a_failing_token_command_is_named_with_its_last_line() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    env.script(
        "vault",
        "#!/bin/sh\necho canary-of-vault\necho 'first' >&2\necho 'canary-of-vault: permission denied' >&2\nexit 2\n",
    );
    let text = format!(
        "sources:\n- {{id: one, kind: github, api_url: {}, token: {{command: 'vault read x'}}}}\n",
        forge.github_api()
    );
    env.file("holocron.yaml", text);
    let run = env.holocron(["--backup-only"]).run().await;
    run.assert_code(3);
    assert!(run.stdout.contains("the command `vault`") && run.stdout.contains("exit code 2"), "{run}");
    assert!(run.stdout.contains("***: permission denied"), "{run}");
    assert!(!format!("{run}").contains("canary"), "{run}");
}
