//! Repositories by their URLs: case counts, a list renames nothing, and what a forge lists too is its forge's.

use crate::net::{github, on_disk, report, verdicts};
use crate::support::{Forge, Program, TestEnv};

fn urls(env: &TestEnv, urls: &[String]) -> Program {
    let program = env.holocron(["--backup-only", "--json"]);
    urls.iter().fold(program, |program, url| program.args(["--url", url.as_str()]))
}

#[tokio::test]
async fn urls_that_differ_only_in_case_are_two_repositories_in_one_run_and_over_two() {
    let env = TestEnv::new();
    let lower = env.bare_repo("srv/x.git").branch("main").commit("main", "lower");
    let upper = env.bare_repo("srv/X.git").branch("main").commit("main", "upper");
    let [one, two] = [&lower, &upper].map(|repo| repo.path().display().to_string());
    let told = report(&urls(&env, &[one.clone(), two.clone()]).run().await, 0);
    assert_eq!(told["totals"]["cloned"], 2, "{told:#}");
    for url in [one, two] {
        let told = report(&urls(&env, &[url]).run().await, 0);
        assert_eq!(told["totals"]["current"], 1, "{told:#}");
    }
    let places: Vec<_> = on_disk(&env).into_iter().collect();
    assert_eq!(places.len(), 2);
    assert!(places.iter().any(|(place, (refs, _))| place.ends_with("x.git") && *refs == lower.refs()));
    assert!(places.iter().any(|(place, (refs, _))| place.ends_with("X.git") && *refs == upper.refs()));
    // In two sources of one file.
    let [one, two] = [&lower, &upper].map(|repo| repo.path().display().to_string());
    let file =
        format!("sources:\n- {{kind: urls, id: a, urls: ['{one}']}}\n- {{kind: urls, id: b, urls: ['{two}']}}\n");
    env.file("holocron.yaml", file);
    let told = report(&env.holocron(["--backup-only", "--json"]).run().await, 0);
    assert_eq!(told["totals"]["current"], 2, "{told:#}");
}

#[tokio::test]
async fn a_repository_by_its_api_and_on_a_list_is_one() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    let both = || github(&env, &forge, ["--url", &alpha.url(), "--source", "urls"]);
    let told = report(&both().run().await, 0);
    assert_eq!(verdicts(&told), ["acme/alpha cloned"]);
    env.assert_mirrored(&alpha);
    assert_eq!(verdicts(&report(&both().run().await, 0)), ["acme/alpha current"]);
    // One after the other, in either order, it is the same mirror.
    alpha.commit("main", "more");
    assert_eq!(verdicts(&report(&urls(&env, &[alpha.url()]).run().await, 0)), ["acme/alpha updated"]);
    alpha.commit("main", "more");
    assert_eq!(verdicts(&report(&github(&env, &forge, []).run().await, 0)), ["acme/alpha updated"]);
    env.assert_mirrored(&alpha);
    assert_eq!(on_disk(&env).len(), 1);
}
