//! What begins when, how much at a time, and what each git may take of the machine.

use rustix::process::Signal;

use crate::disk_kit::{backup, verdict};
use crate::support::{Fault, Forge, RecordingGit, Repo, TestEnv, by_git, noise};

/// The names of repositories in the order in which git first asked for them.
fn order(forge: &Forge, repos: &[Repo]) -> Vec<String> {
    let first = |repo: &&Repo| {
        let path = format!("/{}.git/", repo.full_name());
        forge.requests().iter().position(|request| request.path.starts_with(&path))
    };
    let mut seen: Vec<_> = repos.iter().filter(|repo| first(repo).is_some()).collect();
    seen.sort_by_key(first);
    seen.into_iter().map(Repo::full_name).collect()
}

#[tokio::test]
async fn the_largest_begins_first() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let repos = [("acme/small", 1), ("acme/large", 300_000), ("acme/middle", 2_000)]
        .map(|(name, size)| forge.repo(name).branch("main").size_kb(size));
    backup(&env, &forge).args(["--concurrency", "1"]).run().await.assert_code(0);
    assert_eq!(order(&forge, &repos), ["acme/large", "acme/middle", "acme/small"]);
}

#[tokio::test]
async fn large_ones_keep_no_small_one_waiting() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    for number in 0..4 {
        let large = forge.repo(&format!("acme/large-{number}")).branch("main").size_kb(300_000);
        forge.fault(Fault::hang().on_git(&large.full_name()));
    }
    let small: Vec<_> = (0..6).map(|n| forge.repo(&format!("acme/small-{n}")).branch("main").size_kb(n)).collect();
    let mut running = backup(&env, &forge).args(["--concurrency", "3", "-vv"]).spawn();
    for repo in &small {
        running.until_output(&format!("{}: cloned", repo.full_name())).await;
    }
    running.signal(Signal::TERM);
    let run = running.wait().await;
    small.iter().for_each(|repo| env.assert_mirrored(repo));
    assert_eq!(verdict(&run, "acme/large-0"), "skipped", "{run}");
}

#[tokio::test]
async fn a_host_at_its_limit_keeps_no_other_waiting() {
    let (env, slow, quick) = (TestEnv::new(), Forge::start().await, Forge::start().await);
    for name in ["acme/a", "acme/b", "acme/c"] {
        slow.repo(name).branch("main").size_kb(300_000);
    }
    slow.fault(Fault::hang().on_any_git());
    let repos = ["other/d", "other/e"].map(|name| quick.repo(name).branch("main"));
    let flags = ["--backup-only", "--json", "-vv", "--concurrency", "2", "--per-host", "1"];
    let mut running = env.holocron(flags).github(&slow).gitea(&quick).spawn();
    for repo in &repos {
        running.until_output(&format!("{}: cloned", repo.full_name())).await;
    }
    running.signal(Signal::TERM);
    running.wait().await;
    repos.iter().for_each(|repo| env.assert_mirrored(repo));
}

#[tokio::test]
async fn a_host_that_asks_for_less_gets_less_at_a_time_and_everything_is_mirrored() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let repos = ["acme/a", "acme/b", "acme/c", "acme/d"].map(|name| forge.repo(name).branch("main"));
    forge.fault(Fault::status(429).on_git("acme/a").once());
    let run = backup(&env, &forge).args(["-vv", "--concurrency", "4"]).run().await;
    run.assert_code(0);
    assert!(run.stderr.contains("asks for less: 2 at a time from now on"), "{run}");
    repos.iter().for_each(|repo| env.assert_mirrored(repo));
}

#[tokio::test]
async fn gits_at_work_divide_cores_and_memory() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    for name in ["acme/a", "acme/b", "acme/c", "acme/d"] {
        forge.repo(name).branch("main");
    }
    let git = RecordingGit::install(&env);
    backup(&env, &forge).args(["--concurrency", "4", "--memory", "256MiB"]).run().await.assert_code(0);
    let is_clone = |call: &crate::support::Call| call.args.iter().any(|arg| arg == "clone" || arg == "index-pack");
    let clones: Vec<_> = git.calls().into_iter().filter(is_clone).collect();
    assert_eq!(clones.len(), 4);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = format!("pack.threads={}", (cores / 4).max(1));
    // All four are counted before the first of them starts its git.
    assert!(clones.iter().any(|call| call.mentions(&threads)), "{threads}: {clones:#?}");
    assert!(clones.iter().all(|call| call.mentions(&format!("core.packedGitLimit={}", 16 << 20))), "{clones:#?}");

    let env = TestEnv::new();
    let again = RecordingGit::install(&env);
    backup(&env, &forge).args(["--concurrency", "1"]).run().await.assert_code(0);
    let told = |call: &crate::support::Call| call.mentions("pack.threads") || call.mentions("core.packedGitLimit");
    assert!(!again.calls().iter().any(told), "alone and without a bound git knows best");
}

#[tokio::test]
async fn gits_inherit_the_priorities_that_were_asked_for() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.repo("acme/a").branch("main");
    let git = which::which("git").unwrap();
    // Field 19 of stat is the nice value (proc(5)); no name before it has a blank in it.
    let text =
        "#!/bin/sh\necho $(cut -d' ' -f19 /proc/$$/stat) $(ionice -p $$) >>@HERE@/priorities\nexec @GIT@ \"$@\"\n";
    let here = env.home();
    env.script("git", &text.replace("@HERE@", here.to_str().unwrap()).replace("@GIT@", git.to_str().unwrap()));
    let run = backup(&env, &forge).args(["--nice", "17", "--ionice", "idle"]).run().await;
    run.assert_code(0);
    assert!(!run.stderr.contains("has no effect"), "{run}");
    let seen = std::fs::read_to_string(here.join("priorities")).unwrap();
    assert!(seen.lines().count() > 1 && seen.lines().all(|line| line == "17 idle"), "{seen}");
}

#[tokio::test]
async fn no_more_bytes_come_in_a_second_than_are_allowed() {
    if by_git() {
        return;
    }
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").commit_file("main", "big", &noise(300_000));
    let run = backup(&env, &forge).args(["--bytes-per-second", "128KiB"]).run().await;
    run.assert_code(0);
    // However fast this machine is.
    let seconds = run.json()["duration_seconds"].as_f64().unwrap();
    assert!(seconds > 300_000.0 / 131_072.0, "{seconds}");
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn limits_that_make_no_sense_are_refused_by_name() {
    let env = TestEnv::new();
    for (flag, value) in [
        ("memory", "1MiB"),
        ("bytes-per-second", "1KiB"),
        ("requests-per-second", "0"),
        ("requests-per-second", "nan"),
        ("nice", "20"),
    ] {
        let run = env.holocron(["config", "check", "--dir", ".", "--backup-only"]);
        let run = run.arg(format!("--{flag}={value}")).run().await;
        run.assert_code(2);
        assert!(run.stderr.contains(&format!("--{flag}")), "{run}");
    }
}
