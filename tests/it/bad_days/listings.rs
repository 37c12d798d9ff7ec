//! A listing is whole or it is a failure, and nothing behind a failed one is touched.

use serde_json::json;

use crate::net::{assert_failed, assert_source_failed, github, mirror, on_disk, report, status, verdicts};
use crate::support::{Fault, Forge, Program, Repo, TestEnv};

fn json(env: &TestEnv) -> Program {
    env.holocron(["--backup-only", "--json"])
}

/// Five repositories on pages of two, mirrored once and pushed to since.
async fn five() -> (TestEnv, Forge, [Repo; 5]) {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.page_size(2);
    let repos = ["a", "b", "c", "d", "e"].map(|name| forge.repo(&format!("acme/{name}")).branch("main"));
    report(&github(&env, &forge, []).run().await, 0);
    repos.iter().for_each(|repo| _ = repo.commit("main", "more"));
    (env, forge, repos)
}

#[tokio::test]
async fn each_status_of_a_listing_has_its_reason_and_nothing_is_touched() {
    let (env, forge, repos) = five().await;
    let before = on_disk(&env);
    for (code, reason) in [(401, "auth_failed"), (403, "forbidden"), (404, "server_error"), (500, "server_error")] {
        forge.heal();
        forge.reset_log();
        forge.fault(Fault::status(code).on_api("/user/repos"));
        let told = report(&github(&env, &forge, []).run().await, 3);
        let failure = assert_source_failed(&told, reason);
        assert!(failure["message"].as_str().unwrap().contains(&code.to_string()), "{failure:#}");
        assert!(failure["evidence"].as_str().unwrap().contains("the test forge refuses this"), "{failure:#}");
        assert_eq!((&told["mirrors"], on_disk(&env)), (&json!([]), before.clone()), "{code}");
        let tries = forge.api_requests().len();
        assert_eq!(tries, if code == 500 { 3 } else { 1 }, "{code}");
    }
    forge.heal();
    report(&github(&env, &forge, []).run().await, 0);
    repos.iter().for_each(|repo| env.assert_mirrored(repo));
}

#[tokio::test]
async fn a_rate_limit_is_waited_for_as_long_as_the_server_asks_and_we_have_patience() {
    let (env, forge, repos) = five().await;
    let limit = |seconds: &str| Fault::status(429).header("retry-after", seconds).on_api("/user/repos");
    forge.fault(limit("1").once());
    forge.fault(Fault::status(503).header("retry-after", "1").on_api("/user/repos").page(2).once());
    let run = github(&env, &forge, []).run().await;
    report(&run, 0);
    assert!(run.stderr.contains("rate_limited"), "the wait is not announced: {run}");
    repos.iter().for_each(|repo| env.assert_mirrored(repo));
    // An hour is beyond our patience: told at once.
    forge.fault(limit("3600"));
    forge.reset_log();
    let told = report(&github(&env, &forge, []).run().await, 3);
    assert_source_failed(&told, "rate_limited");
    assert_eq!(forge.api_requests().len(), 1);
}

#[tokio::test]
async fn one_page_that_fails_fails_the_source_on_every_forge() {
    let (env, forges) = (TestEnv::new(), [Forge::start().await, Forge::start().await, Forge::start().await]);
    for forge in &forges {
        forge.page_size(2);
        for name in ["acme/a", "acme/b", "acme/c", "acme/d", "acme/e"] {
            forge.repo(name).branch("main");
        }
        // GitLab's key set names no page: the third request is the third page.
        forge.fault(Fault::status(502).on_api("/user/repos").after(2));
        forge.fault(Fault::status(502).on_api("/projects").after(2));
    }
    let run = || json(&env).github(&forges[0]).gitlab(&forges[1]).gitea(&forges[2]);
    let told = report(&run().run().await, 3);
    let failed = told["source_failures"].as_array().unwrap();
    assert_eq!(failed.len(), 3, "{told:#}");
    assert!(failed.iter().all(|failed| failed["failure"]["reason"] == "server_error"), "{told:#}");
    assert_eq!((&told["mirrors"], on_disk(&env).len()), (&json!([]), 0));
    forges.iter().for_each(Forge::heal);
    assert_eq!(report(&run().run().await, 0)["totals"]["cloned"], 15);
}

#[tokio::test]
async fn behind_a_failed_page_nothing_is_touched_and_another_source_goes_on() {
    let (env, forge, repos) = five().await;
    let other = Forge::start().await;
    let fine = other.repo("acme/fine").branch("main");
    // A repository that is deleted is not found to be so by a listing that failed.
    repos[4].remove();
    let before = on_disk(&env);
    forge.fault(Fault::status(500).on_api("/user/repos").page(2));
    forge.reset_log();
    let told = report(&json(&env).github(&forge).gitea(&other).run().await, 3);
    assert_eq!(
        assert_source_failed(&told, "server_error")["message"].as_str().map(|text| text.contains("(page 2)")),
        Some(true)
    );
    assert_eq!(verdicts(&told), ["acme/fine cloned"]);
    env.assert_mirrored(&fine);
    let mut after = on_disk(&env);
    after.retain(|path, _| before.contains_key(path));
    assert_eq!(after, before);
    assert!(repos[..4].iter().all(|repo| forge.git_requests(&repo.full_name()).is_empty()));
    let told = status(&env).await;
    assert!(mirror(&told, "acme/e")["gone_since"].is_null(), "{told:#}");

    forge.heal();
    let told = report(&json(&env).github(&forge).gitea(&other).run().await, 0);
    assert_eq!(mirror(&told, "acme/e")["verdict"], "gone");
    repos[..4].iter().for_each(|repo| env.assert_mirrored(repo));
}

#[tokio::test]
async fn an_answer_that_is_no_list_fails_the_source() {
    let answers = [
        Fault::html_line(),
        Fault::empty_body(),
        Fault::status(200).json(&json!({"message": "hello"})),
        Fault::status(200).json(&json!([{"id": "x"}])),
        Fault::status(200).json(&json!(null)),
    ];
    let runs = answers.map(|answer| async {
        let (env, forge, _) = five().await;
        let before = on_disk(&env);
        let shown = format!("{answer:?}");
        forge.fault(answer.on_api("/user/repos"));
        let told = report(&github(&env, &forge, []).run().await, 3);
        let failed = told["source_failures"].as_array().unwrap();
        assert_eq!((failed.len(), &failed[0]["failure"]["reason"]), (1, &json!("server_error")), "{shown}");
        assert_eq!((&told["mirrors"], on_disk(&env)), (&json!([]), before), "{shown}");
    });
    futures_util::future::join_all(runs).await;
}

#[tokio::test]
async fn an_empty_listing_retires_nothing_unless_the_forge_says_so_of_each() {
    let (env, forge, repos) = five().await;
    let before = on_disk(&env);
    forge.fault(Fault::status(200).json(&json!([])).on_api("/repos"));
    let told = report(&github(&env, &forge, []).run().await, 3);
    assert_eq!(told["totals"]["gone"], 0, "{told:#}");
    // Nobody brings them up to date as long as it is so, and that is said.
    let failure = assert_failed(&told, "acme/a", "remote_not_found");
    assert!(failure["message"].as_str().unwrap().contains("no longer listed, but exists"), "{failure:#}");
    assert_eq!(on_disk(&env), before);
    forge.heal();
    report(&github(&env, &forge, []).run().await, 0);
    repos.iter().for_each(|repo| env.assert_mirrored(repo));
}

#[tokio::test]
async fn a_question_that_fails_leaves_a_missing_repository_as_it_was() {
    let (env, forge, repos) = five().await;
    let id = repos[0].id();
    repos[0].remove();
    forge.fault(Fault::status(500).on_api(&format!("/repositories/{id}")));
    let told = report(&github(&env, &forge, []).run().await, 3);
    assert_eq!((&told["totals"]["gone"], &told["totals"]["updated"]), (&json!(0), &json!(4)));
    let failure = assert_failed(&told, "acme/a", "server_error");
    assert!(failure["message"].as_str().unwrap().contains("nobody can tell whether it exists"), "{failure:#}");
    assert!(mirror(&status(&env).await, "acme/a")["gone_since"].is_null());
    forge.heal();
    let told = report(&github(&env, &forge, []).run().await, 0);
    assert_eq!(told["totals"]["gone"], 1);
    assert_eq!(on_disk(&env).len(), 5);
}

#[tokio::test]
async fn repositories_that_are_all_gone_at_once_are_held_until_that_is_accepted() {
    let (env, forge, repos) = five().await;
    let before = on_disk(&env);
    repos.iter().for_each(|repo| repo.remove());
    let told = report(&github(&env, &forge, []).run().await, 3);
    assert_source_failed(&told, "held");
    assert_eq!((&told["mirrors"], on_disk(&env)), (&json!([]), before.clone()));
    let told = report(&github(&env, &forge, ["--accept-deletions", "acme/*"]).run().await, 0);
    assert_eq!((&told["totals"]["gone"], on_disk(&env)), (&json!(5), before));
}

#[tokio::test]
async fn a_404_page_of_a_proxy_makes_no_repository_gone_on_any_forge() {
    let page = || Fault::status(404).header("content-type", "text/html").body("<html><h1>404 Not Found</h1></html>");
    let json_of_others = || Fault::status(404).json(&json!({"status": 404}));
    for kind in ["github", "gitlab", "gitea"] {
        let (env, forge) = (TestEnv::new(), Forge::start().await);
        let run = || match kind {
            "github" => json(&env).github(&forge),
            "gitlab" => json(&env).gitlab(&forge),
            _ => json(&env).gitea(&forge),
        };
        let [alpha, beta] = ["acme/alpha", "acme/beta"].map(|name| forge.repo(name).branch("main"));
        report(&run().run().await, 0);
        alpha.remove();
        let question = match kind {
            "gitlab" => format!("/projects/{}", alpha.id()),
            _ => format!("/repositories/{}", alpha.id()),
        };
        for fault in [page(), json_of_others()] {
            forge.heal();
            forge.fault(fault.on_api(&question));
            let told = report(&run().run().await, 3);
            let failure = assert_failed(&told, "acme/alpha", "server_error");
            assert!(failure["message"].as_str().unwrap().contains("not the API's own words"), "{kind} {failure:#}");
            assert_eq!(told["totals"]["gone"], 0, "{kind}");
        }
        // Of an owner it says nothing either, and the rest is not touched.
        let owner = |forge: &Forge| {
            for end in ["/acme", "/acme/repos", "/acme/projects"] {
                forge.fault(page().on_api(end));
            }
        };
        forge.heal();
        owner(&forge);
        let told = report(&run().args(["--owner", "acme"]).run().await, 3);
        assert_source_failed(&told, "server_error");
        assert_eq!((&told["mirrors"], &told["refused"]), (&json!([]), &json!([])), "{kind}");
        forge.heal();
        let told = report(&run().run().await, 0);
        assert_eq!(mirror(&told, "acme/alpha")["verdict"], "gone", "{kind}");
        env.assert_mirrored(&beta);
    }
}

#[tokio::test]
async fn the_only_repository_of_a_source_that_is_deleted_is_said_to_be_that() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    report(&github(&env, &forge, []).run().await, 0);
    alpha.remove();
    let run = env.holocron(["--backup-only"]).github(&forge).run().await;
    run.assert_code(3);
    for expected in [
        "source github: held: acme/alpha is gone, and was the only repository of this source: nothing of it was touched.",
        "--accept-deletions acme/alpha.",
        "1 source held",
    ] {
        assert!(run.stdout.contains(expected), "{expected} is not in {run}");
    }
    assert!(!run.stdout.contains("not listed"), "{run}");
    let told = report(&github(&env, &forge, ["--accept-deletions", "ACME/alpha"]).run().await, 0);
    assert_eq!(told["totals"]["gone"], 1);
}
