//! A wrong token is tried once, not once for each repository.

use crate::net::{assert_failed, assert_source_failed, github, mirror, on_disk, report, verdicts};
use crate::support::{Fault, Forge, TestEnv};

#[tokio::test]
async fn a_wrong_token_is_refused_at_the_entrance() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.repo("acme/alpha").branch("main");
    for (variable, run) in [
        ("GITHUB_TOKEN", github(&env, &forge, [])),
        ("GITLAB_TOKEN", env.holocron(["--backup-only", "--json"]).gitlab(&forge)),
        ("GITEA_TOKEN", env.holocron(["--backup-only", "--json"]).gitea(&forge)),
    ] {
        let run = run.env(variable, "wrong-token-000");
        forge.reset_log();
        let told = report(&run.run().await, 3);
        let failure = assert_source_failed(&told, "auth_failed");
        assert!(failure["hint"].as_str().unwrap().contains("token"), "{failure:#}");
        let message = failure["message"].as_str().unwrap();
        assert!(
            message.contains(&format!("(the token is read from the environment variable {variable})")),
            "{message}"
        );
        assert!(!message.contains('?'), "{message}");
        assert_eq!(forge.requests().len(), 1, "{:#?}", forge.requests());
    }
    assert_eq!(on_disk(&env).len(), 0);
}

#[tokio::test]
async fn a_token_that_git_may_not_use_is_tried_for_one_mirror_only() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let repos = ["a", "b", "c", "d"].map(|name| forge.repo(&format!("acme/{name}")).private().branch("main"));
    report(&github(&env, &forge, []).run().await, 0);
    let before = on_disk(&env);
    repos.iter().for_each(|repo| _ = repo.commit("main", "more"));
    // The API takes the token, git's side does not: a fine-grained token without the right to read contents.
    forge.fault(Fault::status(401).header("www-authenticate", "Basic realm=x").on_any_git());
    forge.reset_log();
    let other = Forge::start().await;
    let fine = other.repo("acme/fine").private().branch("main");
    let run = github(&env, &forge, ["--concurrency", "1"]).gitea(&other);
    let told = report(&run.run().await, 3);
    let failed: Vec<_> = verdicts(&told).into_iter().filter(|line| line.ends_with(" failed")).collect();
    assert_eq!(failed.len(), 1, "{told:#}");
    let first = failed[0].split(' ').next().unwrap().to_owned();
    let why = assert_failed(&told, &first, "auth_failed")["message"].as_str().unwrap();
    assert!(why.ends_with("(the token is read from the environment variable GITHUB_TOKEN)"), "{why}");
    for repo in &repos {
        let name = repo.full_name();
        let tried = forge.git_requests(&name).len();
        if name == first {
            assert!((1..=3).contains(&tried), "{tried} requests");
        } else {
            let mirror = mirror(&told, &name);
            assert_eq!((&mirror["verdict"], &mirror["failure"]["reason"]), (&"skipped".into(), &"auth_failed".into()));
            assert_eq!(tried, 0, "{name}");
        }
    }
    env.assert_mirrored(&fine);
    let mut after = on_disk(&env);
    after.retain(|path, _| before.contains_key(path));
    assert_eq!(after, before);
    forge.heal();
    report(&github(&env, &forge, []).run().await, 0);
    repos.iter().for_each(|repo| env.assert_mirrored(repo));
}
