//! Cycle after cycle: what a watch picks up, what it keeps to itself, and how it ends.
//!
//! SIGHUP ends a rest, so the tests make cycles happen instead of waiting for them: the n-th answer to it tells that the
//! cycle before is over.

use std::fs;
use std::path::Path;

use rustix::process::Signal;

use crate::support::{Fault, Forge, Kind, Program, Request, Running, Service, TestEnv, until};

const READ_AGAIN: &str = "the configuration was read again.";

/// A watch that rests for longer than any test lasts.
fn watch(env: &TestEnv, forge: &Forge) -> Program {
    env.holocron(["--backup-only", "--watch", "--interval", "1h"]).github(forge)
}

/// Asks for the next cycle; returns when the one before is over, this being the n-th time.
async fn next_cycle(running: &mut Running, times: usize) {
    running.signal(Signal::HUP);
    running.until_said(READ_AGAIN, times).await;
}

fn fetches(repo: &str) -> impl Fn(&Request) -> bool {
    move |request| matches!(&request.kind, Kind::Git { repo: asked, service: Service::FetchPack } if asked == repo)
}

/// The processes that were started in this environment and live: their ids and names.
fn living(env: &TestEnv) -> Vec<(String, String)> {
    let mark = format!("HOME={}\0", env.home().display());
    let is_ours = |process: &Path| {
        let environment = fs::read(process.join("environ")).unwrap_or_default();
        environment.windows(mark.len()).any(|part| part == mark.as_bytes())
    };
    let processes = fs::read_dir("/proc").expect("Linux").flatten().map(|entry| entry.path());
    let ours = processes.filter(|process| is_ours(process));
    ours.map(|process| (process.display().to_string(), fs::read_to_string(process.join("comm")).unwrap_or_default()))
        .collect()
}

#[tokio::test]
async fn a_push_is_picked_up_by_a_later_cycle() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    let mut running = env.holocron(["--backup-only", "--watch", "--interval", "1"]).github(&forge).spawn();
    running.until_output("acme/alpha: cloned").await;
    alpha.commit("main", "more").branch("dev");
    running.until_output("acme/alpha: updated: +1 ~1").await;
    forge.repo("acme/beta").branch("main");
    running.until_output("acme/beta: cloned").await;
    running.signal(Signal::TERM);
    running.wait().await.assert_code(0);
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn a_cycle_in_which_nothing_happens_says_nothing_and_asks_no_repository() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.repo("acme/alpha").branch("main");
    forge.repo("acme/blocked").branch("main").disabled();
    forge.repo("acme/removed").branch("main");
    let mut running = watch(&env, &forge).spawn();
    running.until_output("3 mirrors").await;
    next_cycle(&mut running, 1).await;
    next_cycle(&mut running, 2).await;
    forge.reset_log();
    next_cycle(&mut running, 3).await;
    next_cycle(&mut running, 4).await;
    // The cycle that may be under way gets no last word.
    running.signal(Signal::KILL);
    let run = running.wait().await;
    assert!(forge.api_requests().len() >= 2, "cycles happened");
    assert_eq!(forge.requests().len(), forge.api_requests().len(), "no git request");
    assert_eq!(run.stdout.matches(" mirrors").count(), 1, "one report, of the first cycle\n{run}");
    let lines: Vec<&str> = run.stderr.lines().filter(|line| *line != READ_AGAIN).collect();
    let first = ["listing.", "3 mirrors,", "acme/blocked: unavailable", "is disabled", ": cloned", ": cloned"];
    assert_eq!(lines.len(), first.len(), "{run}");
    for said in first {
        assert!(lines.iter().any(|line| line.contains(said)), "{said}\n{run}");
    }
}

#[tokio::test]
async fn trouble_is_told_when_it_comes_and_when_it_goes() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.repo("acme/alpha").branch("main");
    let mut running = watch(&env, &forge).spawn();
    running.until_output("1 mirror: 1 cloned").await;
    forge.fault(Fault::status(401));
    for times in 1..=3 {
        next_cycle(&mut running, times).await;
    }
    forge.heal();
    next_cycle(&mut running, 4).await;
    running.until_output("1 mirror: 1 current").await;
    next_cycle(&mut running, 5).await;
    // The cycle that may be under way gets no last word.
    running.signal(Signal::KILL);
    let run = running.wait().await;
    assert_eq!(run.stdout.matches("source github: auth_failed").count(), 1, "{run}");
    assert_eq!(run.stdout.matches("1 mirror: 1 current").count(), 1, "{run}");
}

#[tokio::test]
async fn json_gives_one_document_for_each_cycle_and_nothing_else() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.repo("acme/alpha").branch("main");
    let mut running = watch(&env, &forge).arg("--json").spawn();
    running.until_output("\"schema_version\"").await;
    for times in 1..=2 {
        next_cycle(&mut running, times).await;
        running.until_said("\"schema_version\"", times + 1).await;
    }
    running.signal(Signal::TERM);
    let run = running.wait().await;
    let documents = serde_json::Deserializer::from_str(&run.stdout).into_iter::<serde_json::Value>();
    let verdicts: Vec<_> = documents.map(|one| one.expect("JSON")["mirrors"][0]["verdict"].clone()).collect();
    assert_eq!(verdicts[..2], ["cloned", "current"], "{run}");
}

/// A run whose transfer of `acme/alpha` never gets anywhere, met in its middle.
async fn stuck(env: &TestEnv, forge: &Forge, args: &[&str]) -> Running {
    forge.repo("acme/alpha").branch("main");
    forge.fault(Fault::stall_in_body(100).on_git("acme/alpha").service(Service::FetchPack));
    let running = env.holocron(["--backup-only"]).args(args).github(forge).spawn();
    forge.until(fetches("acme/alpha")).await;
    until("git is at work", || living(env).iter().any(|(_, name)| name.starts_with("git"))).await;
    running
}

/// Nothing is left of a run that was stopped, and the next one works.
async fn assert_stopped_clean(env: &TestEnv, forge: &Forge) {
    assert_eq!(living(env), [], "git's process group is gone");
    forge.heal();
    let next = env.holocron(["--backup-only"]).github(forge).run().await;
    assert!(next.assert_code(0).stdout.contains("1 mirror: 1 cloned"), "{next}");
    assert_eq!(fs::read_dir(env.storage().join(".holocron/tmp")).unwrap().count(), 0, "half a clone was left");
}

#[tokio::test]
async fn ctrl_c_in_a_transfer_ends_with_130_and_a_report() {
    for args in [[].as_slice(), &["--watch"]] {
        let (env, forge) = (TestEnv::new(), Forge::start().await);
        let running = stuck(&env, &forge, args).await;
        running.signal(Signal::INT);
        let run = running.wait().await;
        run.assert_code(130);
        assert!(run.stdout.contains("1 mirror: 1 skipped") && run.stdout.contains("Stopped by SIGINT"), "{run}");
        assert!(run.stderr.contains("stopping:"), "{run}");
        assert_stopped_clean(&env, &forge).await;
    }
}

#[tokio::test]
async fn sigterm_in_a_transfer_ends_with_0_and_a_report() {
    for args in [[].as_slice(), &["--watch"]] {
        let (env, forge) = (TestEnv::new(), Forge::start().await);
        let running = stuck(&env, &forge, args).await;
        running.signal(Signal::TERM);
        let run = running.wait().await;
        assert!(run.assert_code(0).stdout.contains("1 mirror: 1 skipped"), "{run}");
        assert_stopped_clean(&env, &forge).await;
    }
}

#[tokio::test]
async fn a_closed_terminal_ends_a_single_run_like_sigterm() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let running = stuck(&env, &forge, &["--quiet"]).await;
    running.signal(Signal::HUP);
    let run = running.wait().await;
    run.assert_code(0);
    assert_eq!(run.stderr, "", "quiet");
    assert_stopped_clean(&env, &forge).await;
}

#[tokio::test]
async fn a_second_ctrl_c_waits_for_nothing() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.repo("acme/alpha").branch("main");
    // A git that does not listen to SIGTERM; it tells through a pipe that it is there.
    let up = env.work().join("up");
    env.program("mkfifo").arg(&up).run().await.assert_code(0);
    let git = which::which("git").unwrap();
    let script = "#!/bin/sh\ncase \" $* \" in *' clone '*|*' index-pack '*) trap '' TERM; echo up >@UP@; sleep 1000 ;; *) exec @GIT@ \"$@\" ;; esac\n";
    env.script("git", &script.replace("@UP@", up.to_str().unwrap()).replace("@GIT@", git.to_str().unwrap()));
    let mut running = env.holocron(["--backup-only"]).github(&forge).spawn();
    assert_eq!(tokio::fs::read_to_string(&up).await.unwrap(), "up\n");
    running.signal(Signal::INT);
    running.until_output("ask again to stop at once").await;
    running.signal(Signal::INT);
    let run = running.wait().await;
    run.assert_code(130);
    assert!(run.stdout.contains("Stopped by SIGINT: 1 mirror left for the next run."), "{run}");
    assert_eq!(living(&env), []);
    fs::remove_file(env.bin().join("git")).unwrap();
    assert_stopped_clean(&env, &forge).await;
}

#[tokio::test]
async fn ctrl_c_while_a_token_command_thinks_ends_with_130() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let up = env.work().join("up");
    env.program("mkfifo").arg(&up).run().await.assert_code(0);
    let text = format!(
        "sources:\n  - kind: github\n    api_url: {}\n    token: {{command: 'echo up >{}; exec sleep 1000'}}\n",
        forge.github_api(),
        up.display()
    );
    env.file("holocron.yaml", text);
    let running = env.holocron(["--backup-only", "--json"]).spawn();
    assert_eq!(tokio::fs::read_to_string(&up).await.unwrap(), "up\n");
    running.signal(Signal::INT);
    let run = running.wait().await;
    // Not `auth_failed`, as it ends by itself when our patience does.
    assert_eq!(run.assert_code(130).json()["source_failures"][0]["failure"]["reason"], "cancelled", "{run}");
    assert_eq!(living(&env), []);
}

#[tokio::test]
async fn ctrl_c_while_waiting_for_another_run_ends_with_130() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.repo("acme/alpha").branch("main");
    let mut first = watch(&env, &forge).spawn();
    first.until_output("1 mirror: 1 cloned").await;
    let mut second = env.holocron(["--backup-only", "--wait"]).github(&forge).spawn();
    second.until_output("waiting for process").await;
    second.signal(Signal::INT);
    assert_eq!(second.wait().await.assert_code(130).stdout, "");
}

#[tokio::test]
async fn sigterm_ends_a_rest_at_once() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.repo("acme/alpha").branch("main");
    let mut running = watch(&env, &forge).spawn();
    running.until_output("1 mirror: 1 cloned").await;
    running.signal(Signal::TERM);
    running.wait().await.assert_code(0);
    assert_eq!(living(&env), []);
}

#[tokio::test]
async fn sighup_reads_the_configuration_again() {
    let env = TestEnv::new();
    env.bare_repo("one/alpha.git").branch("main");
    env.bare_repo("two/beta.git").branch("main");
    let first = "sources:\n  - {id: one, kind: dir, dirs: [one]}\n";
    env.file("holocron.yaml", first);
    let mut running = env.holocron(["--watch", "--interval", "1h"]).spawn();
    running.until_output("1 mirror: 1 cloned").await;
    env.file("holocron.yaml", format!("{first}  - {{id: two, kind: dir, dirs: [two]}}\n"));
    running.signal(Signal::HUP);
    running.until_output("2 mirrors: 1 cloned, 1 current").await;
    running.signal(Signal::TERM);
    running.wait().await.assert_code(0);
}

#[tokio::test]
async fn a_bad_configuration_keeps_the_old_one_and_says_why() {
    let env = TestEnv::new();
    let alpha = env.bare_repo("one/alpha.git").branch("main");
    let good = "sources:\n  - {id: one, kind: dir, dirs: [one]}\n";
    env.file("holocron.yaml", good);
    let mut running = env.holocron(["--watch", "--interval", "1h"]).spawn();
    running.until_output("1 mirror: 1 cloned").await;
    env.file("holocron.yaml", format!("{good}keeep: 3\n"));
    alpha.commit("main", "more");
    running.signal(Signal::HUP);
    running.until_output("error: the old configuration stays").await;
    running.until_output("keeep").await;
    running.until_output("alpha: updated").await;
    env.file("holocron.yaml", format!("{good}storage: elsewhere\n"));
    running.signal(Signal::HUP);
    running.until_output("needs a restart").await;
    assert!(!env.work().join("elsewhere").exists());
    running.signal(Signal::TERM);
    running.wait().await.assert_code(0);
}

#[tokio::test]
async fn a_failing_mirror_backs_off_also_across_a_restart() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let (alpha, beta) = (forge.repo("acme/alpha").branch("main"), forge.repo("acme/beta").branch("main"));
    forge.fault(Fault::status(404).on_git("acme/alpha"));
    let mut running = watch(&env, &forge).spawn();
    running.until_output("2 mirrors: 1 cloned, 1 failed").await;
    forge.heal();
    forge.reset_log();
    beta.commit("main", "more");
    next_cycle(&mut running, 1).await;
    running.until_output("acme/beta: updated").await;
    next_cycle(&mut running, 2).await;
    running.signal(Signal::TERM);
    let run = running.wait().await;
    assert!(run.stdout.contains("2 mirrors: 1 updated, 1 skipped"), "{run}");
    assert!(forge.git_requests("acme/alpha").is_empty(), "it was left alone");

    let mut again = watch(&env, &forge).spawn();
    again.until_output("2 mirrors: 1 current, 1 skipped").await;
    again.signal(Signal::TERM);
    let run = again.wait().await;
    assert!(run.stdout.contains("acme/alpha: remote_not_found"), "a restart tells what waits\n{run}");
    assert!(forge.git_requests("acme/alpha").is_empty(), "it is still left alone");

    env.holocron(["--backup-only"]).github(&forge).run().await.assert_code(0);
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn what_was_pushed_while_nobody_watched_is_made_up_for_whatever_the_window() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    env.holocron(["--backup-only"]).github(&forge).run().await.assert_code(0);
    // The forge's clock stands years ago: the outage is longer than any window.
    alpha.commit("main", "in the night");
    let mut running = watch(&env, &forge).args(["--window", "0"]).spawn();
    running.until_output("acme/alpha: updated").await;
    running.signal(Signal::TERM);
    running.wait().await.assert_code(0);
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn a_repository_that_goes_is_told_once() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    forge.repo("acme/beta").branch("main");
    let mut running = watch(&env, &forge).spawn();
    running.until_output("2 mirrors: 2 cloned").await;
    let mirror = env.mirror_of(&alpha);
    alpha.remove();
    for times in 1..=3 {
        next_cycle(&mut running, times).await;
    }
    running.signal(Signal::TERM);
    let run = running.wait().await;
    assert_eq!(run.assert_code(0).stdout.matches("is gone at its source since").count(), 1, "{run}");
    env.assert_same_refs(&alpha, mirror);
}

/// Cycle after cycle, as fast as they come.
fn busy_watch(env: &TestEnv, forge: &Forge) -> Program {
    env.holocron(["--backup-only", "--watch", "--interval", "1"]).github(forge)
}

#[tokio::test]
async fn full_on_the_command_line_means_the_first_cycle() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.repo("acme/alpha").branch("main");
    env.holocron(["--backup-only"]).github(&forge).run().await.assert_code(0);
    forge.reset_log();
    let running = busy_watch(&env, &forge).arg("--full").spawn();
    // The last question of the first cycle.
    let asked = |kind: &Kind| matches!(kind, Kind::Git { service: Service::ListRefs, .. });
    forge.until(|request| asked(&request.kind)).await;
    for _ in 0..3 {
        forge.reset_log();
        forge.until(|request| request.path.ends_with("/user/repos")).await;
        assert!(forge.git_requests("acme/alpha").is_empty(), "compared again");
    }
    running.signal(Signal::TERM);
    running.wait().await.assert_code(0);
}

#[tokio::test]
async fn deletions_accepted_on_the_command_line_are_those_of_the_first_cycle() {
    for reload in [false, true] {
        let (env, forge) = (TestEnv::new(), Forge::start().await);
        let alpha = forge.repo("acme/alpha").branch("main").many_refs(12);
        env.holocron(["--backup-only"]).github(&forge).run().await.assert_code(0);
        let lose = |numbers: std::ops::RangeInclusive<u32>| {
            alpha.batch(|batch| numbers.fold(batch, |batch, number| batch.delete(&format!("many/{number:05}"))));
        };
        lose(1..=12);
        let program = if reload { watch(&env, &forge) } else { busy_watch(&env, &forge) };
        let mut running = program.args(["--accept-deletions", "acme/alpha"]).spawn();
        running.until_output("acme/alpha: updated").await;
        running.until_output("1 mirror: 1 updated").await;
        alpha.many_refs(12);
        if reload {
            next_cycle(&mut running, 1).await;
        }
        running.until_said("acme/alpha: updated", 2).await;
        lose(1..=12);
        if reload {
            next_cycle(&mut running, 2).await;
        }
        running.until_output("acme/alpha: held").await;
        running.signal(Signal::TERM);
        running.wait().await;
        assert!(env.refs(env.mirror_of(&alpha)).contains_key("refs/heads/many/00012"));
    }
}

#[tokio::test]
async fn deletions_accepted_in_the_configuration_are_accepted_in_every_cycle() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").many_refs(12);
    env.file("holocron.yaml", "accept_deletions: [acme/alpha]\n");
    let mut running = busy_watch(&env, &forge).spawn();
    running.until_output("acme/alpha: cloned").await;
    for times in 1..=2 {
        alpha.batch(|batch| (1..=12).fold(batch, |batch, number| batch.delete(&format!("many/{number:05}"))));
        running.until_said("acme/alpha: updated", 2 * times - 1).await;
        alpha.many_refs(12);
        running.until_said("acme/alpha: updated", 2 * times).await;
    }
    running.signal(Signal::TERM);
    let run = running.wait().await;
    assert!(!run.assert_code(0).stdout.contains("held"), "{run}");
    env.assert_mirrored(&alpha);
}
