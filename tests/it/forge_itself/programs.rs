//! Programs run in an environment of their own, can be watched and stopped, and git can be replaced.

use rustix::process::Signal;

use crate::support::{Call, Forge, Program, RecordingGit, Run, Running, TestEnv, old_git};

#[tokio::test]
async fn nothing_of_the_developers_environment_reaches_a_program() {
    let env = TestEnv::new();
    // What the suite itself sets.
    let program = env.program("env").without_env("RUST_BACKTRACE").without_env("HOLOCRON_TRANSPORT");
    let run = program.env("EXTRA", "1").run().await;
    let mut names: Vec<_> = run.stdout.lines().filter_map(|line| line.split_once('=').map(|(name, _)| name)).collect();
    names.sort_unstable();
    let wanted =
        "EXTRA GIT_CONFIG_NOSYSTEM HOME PATH TMPDIR XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_STATE_HOME";
    assert_eq!(names.join(" "), wanted);
    assert!(run.stdout.contains(&format!("HOME={}\n", env.home().display())));
}

#[tokio::test]
async fn the_users_git_config_is_the_one_that_the_test_wrote() {
    let env = TestEnv::new();
    let read = env.git(["config", "--get", "fetch.prune"]);
    read.clone().run().await.assert_code(1);
    env.global_git_config("[fetch]\n\tprune = false\n");
    assert_eq!(read.run().await.assert_code(0).stdout, "false\n");
}

#[tokio::test]
async fn the_binary_under_test_starts() {
    let env = TestEnv::new();
    env.holocron(["--version"]).run().await.assert_code(0);
}

#[tokio::test]
async fn a_run_shows_exit_code_output_and_json() {
    let env = TestEnv::new();
    env.file("dir/report.json", "{\"schema\": 1}");
    let run = env.program("sh").args(["-c", "cat dir/report.json; echo why >&2; exit 3"]).run().await;
    assert_eq!(run.assert_code(3).json()["schema"], 1);
    assert_eq!(run.stderr, "why\n");
}

#[tokio::test]
async fn a_running_program_is_watched_and_signalled() {
    let env = TestEnv::new();
    let script = "trap 'echo bye; exit 7' TERM; echo ready; while :; do read line <fifo; done";
    env.program("mkfifo").arg("fifo").run().await.assert_code(0);
    let mut running = env.program("bash").args(["-c", script]).spawn();
    running.until_output("ready").await;
    running.signal(Signal::TERM);
    assert_eq!(running.wait().await.assert_code(7).stdout, "ready\nbye\n");

    let mut running: Running = endless(&env).spawn();
    running.until_output("ready").await;
    running.signal_group(Signal::KILL);
    running.wait().await.assert_code(-9);
}

/// A program that says `ready` and never ends.
fn endless(env: &TestEnv) -> Program {
    env.program("sh").args(["-c", "echo ready; mkfifo never; read line <never"])
}

// With a paused clock the guard strikes as soon as nothing else can happen.
#[tokio::test(start_paused = true)]
#[should_panic(expected = "still running after")]
async fn a_program_that_hangs_fails_its_test() {
    endless(&TestEnv::new()).run().await;
}

#[tokio::test]
async fn the_settings_of_a_forge_reach_the_program() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let show = env.program("sh").args(["-c", "echo \"$@\"; env", "sh"]);
    let run: Run = show.github(&forge).gitlab(&forge).gitea(&forge).run().await;
    assert!(run.stdout.starts_with("--source github --source gitlab --source gitea\n"), "{run}");
    for kind in ["GITHUB", "GITLAB", "GITEA"] {
        assert!(run.stdout.contains(&format!("\n{kind}_TOKEN={}\n", forge.token())), "{run}");
        assert!(run.stdout.contains(&format!("\n{kind}_API_URL={}/api/v", forge.url())), "{run}");
    }
}

#[tokio::test]
async fn a_recording_git_writes_down_every_call_and_works() {
    let env = TestEnv::new();
    let alpha = env.bare_repo("alpha.git").branch("main");
    let git = RecordingGit::install(&env);
    let listed = env.git(["-C", "alpha.git", "rev-parse", "main"]).env("CANARY", "two\nlines").run().await;
    assert_eq!(listed.assert_code(0).stdout.trim(), alpha.tip("main"));
    env.git(["tag", "", "not a\ttag"]).run().await.assert_code(128);

    let calls: Vec<Call> = git.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].args, ["-C", "alpha.git", "rev-parse", "main"]);
    assert_eq!(calls[0].env["CANARY"], "two\nlines");
    assert_eq!(calls[1].args, ["tag", "", "not a\ttag"]);
    assert!(calls[0].mentions("lines") && !calls[1].mentions("lines"));
}

#[tokio::test]
async fn an_old_git_tells_its_version() {
    let env = TestEnv::new();
    old_git(&env);
    assert_eq!(env.git(["--version"]).run().await.assert_code(0).stdout, "git version 2.20.1\n");
    env.git(["fetch"]).run().await.assert_code(99);
}
