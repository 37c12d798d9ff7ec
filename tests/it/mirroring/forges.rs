//! The three forges, whose pages are short; owners, filters and ssh.

use serde_json::json;

use crate::net::{assert_failed, github, mirror, on_disk, report, verdicts};
use crate::support::{Forge, Program, Repo, Sshd, TestEnv};

/// Repositories of alice's own, of her organisation and its group, of a friend, and one that is none of her business.
async fn account() -> (TestEnv, Forge, [Repo; 6]) {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.page_size(2);
    forge.user("bob");
    let repos = ["alice/own", "alice/second", "acme/org", "acme/tools/deep", "acme/tools/deeper/still", "bob/shared"]
        .map(|name| forge.repo(name).private().collaborator("alice").branch("main"));
    forge.repo("bob/secret").private().branch("main");
    (env, forge, repos)
}

/// Runs it and asserts that exactly these repositories have mirrors.
async fn assert_mirrors(env: &TestEnv, run: Program, wanted: &[&Repo]) {
    report(&run.run().await, 0);
    wanted.iter().for_each(|repo| env.assert_mirrored(repo));
    assert_eq!(on_disk(env).len(), wanted.len());
}

fn json(env: &TestEnv) -> Program {
    env.holocron(["--backup-only", "--json"])
}

#[tokio::test]
async fn everything_that_the_token_sees_comes_from_every_forge_page_by_page() {
    let (env, forge, repos) = account().await;
    let all: Vec<&Repo> = repos.iter().collect();
    for run in [json(&env).github(&forge), json(&env).gitlab(&forge), json(&env).gitea(&forge)] {
        assert_mirrors(&env, run, &all).await;
        std::fs::remove_dir_all(env.storage()).unwrap();
    }
    let pages = forge.api_requests().iter().filter(|request| request.path.ends_with("/user/repos")).count();
    assert!(pages >= 6, "{pages} pages of two each");
}

#[tokio::test]
async fn what_an_organisation_has_comes_although_the_user_is_on_no_team_for_it() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.page_size(2);
    let repos = ["acme/a", "acme/b", "acme/c", "acme/d", "acme/e"].map(|name| forge.repo(name).branch("main"));
    for run in [github(&env, &forge, ["--owner", "acme"]), json(&env).gitea(&forge).args(["--owner", "acme"])] {
        assert_mirrors(&env, run, &repos.each_ref()).await;
        std::fs::remove_dir_all(env.storage()).unwrap();
    }
}

#[tokio::test]
async fn an_owner_is_enough_without_a_token() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let (open, bobs) = (forge.repo("acme/open").branch("main"), {
        forge.user("bob");
        forge.repo("bob/open").branch("main")
    });
    forge.repo("acme/closed").private().branch("main");
    for run in [json(&env).github(&forge), json(&env).gitlab(&forge), json(&env).gitea(&forge)] {
        let run = ["GITHUB_TOKEN", "GITLAB_TOKEN", "GITEA_TOKEN"].into_iter().fold(run, Program::without_env);
        forge.reset_log();
        assert_mirrors(&env, run.args(["--owner", "acme", "--owner", "bob"]), &[&open, &bobs]).await;
        assert!(forge.requests().iter().all(|request| request.authorization().is_none()));
        std::fs::remove_dir_all(env.storage()).unwrap();
    }
}

#[tokio::test]
async fn an_owner_that_is_unknown_is_refused_by_name_and_the_other_one_is_mirrored() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let open = forge.repo("acme/open").branch("main");
    for run in [json(&env).github(&forge), json(&env).gitlab(&forge), json(&env).gitea(&forge)] {
        let told = report(&run.args(["--owner", "nobody", "--owner", "acme"]).run().await, 3);
        assert_eq!((&told["refused"][0]["what"], told["refused"].as_array().unwrap().len()), (&json!("nobody"), 1));
        env.assert_mirrored(&open);
    }
}

#[tokio::test]
async fn a_group_comes_with_its_subgroups() {
    let (env, forge, repos) = account().await;
    let [_, _, org, deep, deeper, _] = &repos;
    assert_mirrors(&env, json(&env).gitlab(&forge).args(["--owner", "acme"]), &[org, deep, deeper]).await;
    std::fs::remove_dir_all(env.storage()).unwrap();
    let run = json(&env).gitlab(&forge).args(["--owner", "acme/tools"]);
    assert_mirrors(&env, run, &[deep, deeper]).await;
}

#[tokio::test]
async fn filters_choose_by_name_and_kind() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let make = |name: &str| forge.repo(name).branch("main");
    let (api, web, fork, _) =
        (make("acme/api"), make("acme/web"), make("acme/fork").fork(), make("acme/old").archived());
    let secret = make("alice/secret").private().topics(&["production"]);
    let cases: [(&[&str], &str, &[&Repo]); 5] = [
        (&["--include", "acme/*", "--exclude", "acme/{web,old}"], "", &[&api, &fork]),
        (&["--include", "ACME/API"], "", &[&api]),
        (&[], "filters: {forks: false, archived: false}", &[&api, &web, &secret]),
        (&[], "filters: {visibility: [private]}", &[&secret]),
        (&[], "filters: {topics: [production, other]}", &[&secret]),
    ];
    for (args, config, wanted) in cases {
        env.file("holocron.yaml", config);
        assert_mirrors(&env, json(&env).github(&forge).args(args.iter().copied()), wanted).await;
        std::fs::remove_dir_all(env.storage()).unwrap();
    }
}

#[tokio::test]
async fn two_sources_lie_side_by_side_and_one_that_both_show_is_mirrored_once() {
    let (env, forge, other) = (TestEnv::new(), Forge::start().await, Forge::start().await);
    let (one, two) = (forge.repo("acme/alpha").branch("main"), other.repo("acme/alpha").branch("other"));
    let run = json(&env).github(&forge).gitea(&other);
    let told = report(&run.run().await, 0);
    assert_eq!(verdicts(&told), ["acme/alpha cloned", "acme/alpha cloned"]);
    env.assert_mirrored(&one);
    env.assert_mirrored(&two);
    // The same forge by two of its faces: one id, one mirror.
    let told = report(&json(&env).github(&forge).gitea(&forge).run().await, 0);
    assert_eq!(verdicts(&told), ["acme/alpha current"]);
    assert_eq!(on_disk(&env).len(), 2);
}

fn ssh_config(env: &TestEnv, forge: &Forge) {
    let (api, token) = (forge.github_api(), forge.token());
    let token = env.file("token", token);
    let text = format!(
        "sources:\n  - kind: github\n    api_url: {api}\n    token: {{file: {}}}\n    transport: ssh\n",
        token.display()
    );
    env.file("holocron.yaml", text);
}

#[tokio::test]
async fn ssh_carries_clones_and_updates_with_the_users_own_key() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").private().branch("main").tag("v1");
    let sshd = Sshd::start(&forge).await;
    sshd.trust(&env);
    ssh_config(&env, &forge);
    report(&json(&env).run().await, 0);
    env.assert_mirrored(&alpha);
    alpha.commit("main", "more").branch("new");
    assert_eq!(verdicts(&report(&json(&env).run().await, 0)), ["acme/alpha updated"]);
    env.assert_mirrored(&alpha);
    assert_eq!(forge.git_requests("acme/alpha").len(), 0, "git used HTTP");
}

#[tokio::test]
async fn a_changed_host_key_and_a_refused_key_are_told_apart_and_cost_nothing() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").private().branch("main");
    let sshd = Sshd::start(&forge).await;
    sshd.trust(&env);
    ssh_config(&env, &forge);
    report(&json(&env).run().await, 0);
    let before = on_disk(&env);
    alpha.commit("main", "more");

    sshd.trust_another_host_key(&env);
    assert_failed(&report(&json(&env).run().await, 3), "acme/alpha", "host_key_failed");
    sshd.trust_without_access(&env);
    let told = report(&json(&env).run().await, 3);
    assert_failed(&told, "acme/alpha", "auth_failed");
    assert!(mirror(&told, "acme/alpha")["failure"]["evidence"].as_str().unwrap().contains("publickey"), "{told:#}");
    assert_eq!(on_disk(&env), before);

    sshd.trust(&env);
    report(&json(&env).run().await, 0);
    env.assert_mirrored(&alpha);
}
