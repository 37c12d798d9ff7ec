//! `config check` finds what a run would fail on: values, variables, files, commands, and with `--online` the forges.

use crate::support::{Forge, Run, TestEnv};

/// The problems of a run's numbered list.
fn numbered(run: &Run) -> Vec<&str> {
    run.stderr.lines().filter(|line| line.starts_with("  ") && line.contains(". ")).collect()
}

#[tokio::test]
async fn a_check_looks_at_everything_that_a_run_needs_of_this_machine() {
    let env = TestEnv::new();
    env.file("empty.token", "\n");
    env.file("ca.pem", "no certificate\n");
    env.file("key.pub", "ssh-ed25519 AAAA me\n");
    env.file("occupied", "a file\n");
    env.file("holocron.yaml", "\
storage: occupied/data
sources:
  - {id: a, kind: github, token: {env: TOKEN_A}, ca_file: ca.pem}
  - {id: b, kind: gitlab, token: {file: empty.token}, ca_file: ca.pem}
  - {id: c, kind: gitlab, host: c.example.org, token: {command: 'exit 7'}}
  - {id: d, kind: dir, dirs: [nowhere]}
  - {id: e, kind: github, token: {env: TOKEN_A}, owners: [x]}
destinations:
  - {id: f, kind: gitlab, host: f.example.org, token: {file: none.token}, transport: ssh, ssh: {key_file: key.pub, passphrase: {env: PASSPHRASE}}}
report: none/report.json
");
    let run = env.holocron(["config", "check"]).run().await;
    assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run}");
    assert!(
        run.stderr.starts_with("error: the configuration is right, but 10 things that a run needs cannot be used"),
        "{run}"
    );
    let problems = numbered(&run);
    for (line, said) in [
        ("1. holocron.yaml:1: ", "is no directory"),
        ("2. holocron.yaml:3: ", "TOKEN_A"),
        ("3. holocron.yaml:3: ", "ca.pem"),
        ("4. holocron.yaml:4: ", "empty.token"),
        ("5. holocron.yaml:5: ", "command"),
        ("6. holocron.yaml:6: ", "nowhere"),
        ("7. holocron.yaml:9: ", "none.token"),
        ("8. holocron.yaml:9: ", "PASSPHRASE"),
        ("9. holocron.yaml:9: ", "without `.pub`"),
        ("10. ", "report"),
    ] {
        let found = problems.iter().any(|problem| problem.trim_start().starts_with(line) && problem.contains(said));
        assert!(found, "{line}{said}\n{run}");
    }
    // What is used by two entries is said once.
    assert_eq!(problems.len(), 10, "{run}");
}

#[tokio::test]
async fn a_check_of_what_is_right_says_so_and_makes_nothing() {
    let env = TestEnv::new();
    env.bare_repo("src/alpha.git").branch("main");
    env.file("holocron.yaml", "sources: [{kind: dir, dirs: [src]}]\n");
    let run = env.holocron(["config", "check"]).run().await;
    assert!(run.assert_code(0).stdout.starts_with("ok: holocron.yaml\n"), "{run}");
    assert!(!env.storage().exists());
}

#[tokio::test]
async fn a_check_online_asks_every_forge_and_names_those_that_refuse() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.repo("acme/alpha").branch("main");
    forge.repo("acme/beta").branch("main");
    let (github, gitea, gitlab) = (forge.github_api(), forge.gitea_api(), forge.gitlab_api());
    env.file(
        "holocron.yaml",
        format!(
            "\
sources:
  - {{id: good, kind: github, api_url: {github}, token: {{env: GOOD}}, exclude: [acme/beta]}}
  - {{id: bad, kind: gitea, api_url: {gitea}, token: {{env: BAD}}}}
  - {{id: none, kind: gitea, api_url: {gitea}, token: {{env: GOOD}}, include: [nobody/*]}}
destinations:
  - {{id: there, kind: gitlab, api_url: {gitlab}, token: {{env: GOOD}}, namespace: backup}}
  - {{id: over, kind: gitlab, api_url: {gitlab}, token: {{env: BAD}}, namespace: other}}
"
        ),
    );
    let program = env.holocron(["config", "check"]).env("GOOD", forge.token()).env("BAD", "canary-refused");
    program.clone().run().await.assert_code(0);
    assert!(forge.requests().is_empty(), "without --online nobody is asked");
    let run = program.arg("--online").run().await;
    run.assert_code(3);
    for said in
        ["  good: 2 repositories listed, 1 wanted\n", "  bad: failed (auth_failed)\n", "  there: the token is that of "]
    {
        assert!(run.stdout.contains(said), "{said}\n{run}");
    }
    let problems = numbered(&run);
    assert_eq!(problems.len(), 3, "{run}");
    assert!(problems[0].starts_with("  1. holocron.yaml:3: the source `bad`: "), "{run}");
    assert!(problems[1].contains("the filters leave none of them"), "{run}");
    assert!(problems[2].starts_with("  3. holocron.yaml:7: the destination `over`: "), "{run}");
    assert!(!format!("{run}").contains("canary-refused"), "{run}");
    assert!(forge.requests().iter().all(|request| request.method == "GET"), "it only reads");
}

#[tokio::test]
async fn independent_problems_are_numbered_and_one_wrong_value_is_one_of_them() {
    let env = TestEnv::new();
    for (file, count) in [
        ("sources:\n  - {kind: dir, proxy: nonsense, token: {env: A, file: b}, user: 'a:b'}\n", 3),
        (
            "sources: [{kind: dir}]\ndestinations:\n  - {kind: gitlab, token: {env: A}}\n  - {kind: gitlab, token: {env: A}}\n",
            1,
        ),
        (
            "sources: [{kind: dir}]\ndestinations:\n  - {kind: gitlab, token: {env: A}, ssh: {passphrase: {env: B}}}\n",
            1,
        ),
        ("storage: ${NOT_SET}/a\nreport: ${NOT_SET}/b\nsources: [{kind: dir}]\n", 1),
        ("concurrency: 0\nkeep: soon\nsources: [{kind: dir}]\n", 1),
        ("concurrency: 0\ninterval: 0\nsources: [{kind: dir}]\n", 2),
    ] {
        env.file("holocron.yaml", file);
        let run = env.holocron(["config", "check"]).run().await;
        run.assert_code(2);
        let said = numbered(&run).len().max(1);
        assert_eq!(said, count, "{file}\n{run}");
        if count > 1 {
            assert!(run.stderr.contains("\n  1. ") && run.stderr.contains(&format!("\n  {count}. ")), "{run}");
        }
    }
    // A flag that replaces a value of every source is wrong once, and named.
    env.file("holocron.yaml", "sources:\n  - {id: a, kind: gitlab}\n  - {id: b, kind: github}\n");
    let run = env.holocron(["config", "check", "--owner", "http://x"]).run().await;
    assert!(run.assert_code(2).stderr.starts_with("error: --owner: `http://x` is not the name of an owner\n"), "{run}");
}
