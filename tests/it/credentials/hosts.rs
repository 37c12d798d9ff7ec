//! Other hosts: however a forge leads there, no token comes along.

use crate::net::{assert_failed, assert_source_failed, github, on_disk, report, verdicts};
use crate::support::{Fault, Forge, Program, Repo, Service, TestEnv};

/// Our forge, and another one that has repositories of the same names, open to everybody.
async fn two() -> (TestEnv, Forge, Forge, Repo) {
    let (env, forge, evil) = (TestEnv::new(), Forge::start().await, Forge::start().await);
    // The other one would take the token, so that whatever is sent there works.
    evil.accept_token("alice", &forge.token());
    let alpha = forge.repo("acme/alpha").branch("main");
    evil.repo("acme/alpha").branch("main").branch("evil");
    (env, forge, evil, alpha)
}

#[track_caller]
fn assert_no_token(forge: &Forge) {
    let told: Vec<_> = forge.requests().into_iter().filter(|request| request.authorization().is_some()).collect();
    assert!(told.is_empty(), "{told:#?}");
    let text = format!("{:?}", forge.requests());
    assert!(!text.contains("test-token-of"), "{text}");
}

fn all_kinds(env: &TestEnv, forge: &Forge) -> [Program; 3] {
    let json = || env.holocron(["--backup-only", "--json"]);
    [json().github(forge), json().gitlab(forge), json().gitea(forge)]
}

#[tokio::test]
async fn a_redirect_of_the_api_to_another_host_is_not_followed() {
    let (env, forge, evil, _) = two().await;
    forge.fault(Fault::redirect_host(evil.url()).on_api(""));
    for run in all_kinds(&env, &forge) {
        let told = report(&run.run().await, 3);
        let failure = assert_source_failed(&told, "held");
        assert!(failure["message"].as_str().unwrap().contains(evil.url()), "{failure:#}");
    }
    assert_eq!((evil.requests().len(), on_disk(&env).len()), (0, 0));
}

#[tokio::test]
async fn a_link_to_a_next_page_on_another_host_is_not_followed_and_the_page_asked_for_at_our_own() {
    let (env, forge, evil, _) = two().await;
    forge.page_size(1);
    forge.repo("acme/beta").branch("main");
    forge.fault(Fault::links_to_host(evil.url()).on_api(""));
    for run in all_kinds(&env, &forge) {
        let told = report(&run.run().await, 0);
        assert_eq!(told["mirrors"].as_array().unwrap().len(), 2, "{told:#}");
    }
    assert_eq!(evil.requests().len(), 0);
}

#[tokio::test]
async fn a_redirect_of_git_is_not_followed_with_a_token() {
    // Git would go on at the other host with the login of the first.
    for service in [None, Some(Service::Advertisement), Some(Service::ListRefs), Some(Service::FetchPack)] {
        let (env, forge, evil, alpha) = two().await;
        env.global_git_config(&format!("[http \"{}\"]\n\tfollowRedirects = true\n", forge.url()));
        report(&github(&env, &forge, []).run().await, 0);
        let before = on_disk(&env);
        alpha.commit("main", "more");
        let fault = Fault::redirect_host(evil.url()).on_git("acme/alpha");
        forge.fault(service.map_or(fault.clone(), |service| fault.service(service)));
        let told = report(&github(&env, &forge, []).run().await, 3);
        let failure = assert_failed(&told, "acme/alpha", "remote_not_found");
        assert!(failure["hint"].as_str().unwrap().contains("renamed"), "{failure:#}");
        assert_eq!((evil.requests().len(), on_disk(&env)), (0, before), "{service:?}");
        forge.heal();
        report(&github(&env, &forge, []).run().await, 0);
        env.assert_mirrored(&alpha);
    }
}

#[tokio::test]
async fn a_redirect_of_git_is_followed_on_its_own_host_with_a_token_too() {
    for transport in ["auto", "git"] {
        let (env, forge) = (TestEnv::new(), Forge::start().await);
        let alpha = forge.repo("acme/alpha").private().branch("main");
        let moved = forge.repo("acme/moved").private().branch("main").commit("main", "moved");
        // As GitLab does it: the first request is sent on, the others find nothing.
        let to = format!("{}/info/refs?service=git-upload-pack", moved.url());
        forge.fault(Fault::redirect(&to).on_git("acme/alpha").service(Service::Advertisement));
        forge.fault(Fault::status(404).on_git("acme/alpha"));
        let run = || github(&env, &forge, ["--include", "acme/alpha", "--full"]).args(["--transport", transport]);
        assert_eq!(verdicts(&report(&run().run().await, 0)), ["acme/alpha cloned"]);
        assert_eq!(env.refs(env.mirror_of(&alpha)), moved.refs());
        moved.commit("main", "more");
        assert_eq!(verdicts(&report(&run().run().await, 0)), ["acme/alpha updated"]);
        assert_eq!(env.refs(env.mirror_of(&alpha)), moved.refs());
        let config = std::fs::read_to_string(env.mirror_of(&alpha).join("config")).unwrap();
        assert!(config.contains(&alpha.url()), "it keeps its own name: {config}");
    }
}

#[tokio::test]
async fn a_redirect_with_a_token_names_where_it_leads_when_it_is_not_followed() {
    for transport in ["auto", "git"] {
        let (env, forge, evil, alpha) = two().await;
        let run = || github(&env, &forge, ["--transport", transport]);
        let elsewhere = format!("{}/acme/alpha.git/info/refs?service=git-upload-pack&canary=1", evil.url());
        forge.fault(Fault::redirect(&elsewhere).on_git("acme/alpha"));
        let why = assert_failed(&report(&run().run().await, 3), "acme/alpha", "remote_not_found").clone();
        assert!(why["message"].as_str().unwrap().contains(evil.url()), "{why:#}");
        assert!(!why.to_string().contains("canary"), "{why:#}");
        forge.heal();
        forge.fault(Fault::redirect("/users/sign_in").on_git("acme/alpha"));
        let why = assert_failed(&report(&run().run().await, 3), "acme/alpha", "auth_failed").clone();
        assert!(why["message"].as_str().unwrap().contains("/users/sign_in"), "{why:#}");
        assert_eq!(evil.requests().len(), 0);
        drop(alpha);
    }
}

#[tokio::test]
async fn a_redirect_of_git_is_followed_where_there_is_no_token() {
    let (env, forge, evil, alpha) = two().await;
    forge.fault(Fault::redirect_host(evil.url()).on_git("acme/alpha").service(Service::Advertisement));
    let run = github(&env, &forge, ["--owner", "acme"]).without_env("GITHUB_TOKEN");
    report(&run.run().await, 0);
    assert!(env.refs(env.mirror_of(&alpha)).contains_key("refs/heads/evil"));
    assert_no_token(&evil);
}

#[tokio::test]
async fn a_clone_url_on_another_host_gets_no_token() {
    let (env, forge, evil, alpha) = two().await;
    let there = evil.repo("acme/there").branch("main");
    alpha.clone_url(&there.url());
    for run in all_kinds(&env, &forge) {
        report(&run.run().await, 0);
        // It lies where the forge's repositories lie, whatever its URL is.
        env.assert_same_refs(&there, env.mirror_of(&alpha));
        std::fs::remove_dir_all(env.storage()).unwrap();
    }
    assert!(!evil.git_requests("acme/there").is_empty());
    assert_no_token(&evil);
    // One that asks for a login is not given any.
    there.private();
    let told = report(&github(&env, &forge, []).run().await, 3);
    assert_failed(&told, "acme/alpha", "auth_failed");
    assert_no_token(&evil);
}

#[tokio::test]
async fn a_refusal_by_another_host_does_not_keep_the_sources_own_mirrors_from_working() {
    let (env, forge, evil, alpha) = two().await;
    let there = evil.repo("acme/there").private().branch("main");
    alpha.clone_url(&there.url());
    let fine = forge.repo("acme/fine").private().branch("main");
    let told = report(&github(&env, &forge, ["--concurrency", "1"]).run().await, 3);
    assert_failed(&told, "acme/alpha", "auth_failed");
    assert_eq!(verdicts(&told), ["acme/alpha failed", "acme/fine cloned"]);
    env.assert_mirrored(&fine);
}

#[tokio::test]
async fn a_repository_renamed_between_listing_and_git_is_mirrored_by_the_next_run() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").private().branch("main");
    forge.fault(Fault::redirect(&format!("{}/acme/omega.git", forge.url())).on_git("acme/alpha"));
    let told = report(&github(&env, &forge, []).run().await, 3);
    assert_failed(&told, "acme/alpha", "remote_not_found");
    alpha.rename("acme/omega");
    report(&github(&env, &forge, []).run().await, 0);
    env.assert_mirrored(&alpha);
    assert_eq!(on_disk(&env).len(), 1);
}

#[tokio::test]
async fn each_of_two_hosts_gets_its_own_token_and_never_the_others() {
    let (env, one, two) = (TestEnv::new(), Forge::start().await, Forge::start().await);
    one.accept_token("alice", "token-for-one-1111");
    two.accept_token("alice", "token-for-two-2222");
    let (alpha, beta) =
        (one.repo("acme/alpha").private().branch("main"), two.repo("acme/beta").private().branch("main"));
    let run = env.holocron(["--backup-only", "--json"]).github(&one).gitea(&two);
    let run = run.env("GITHUB_TOKEN", "token-for-one-1111").env("GITEA_TOKEN", "token-for-two-2222");
    report(&run.run().await, 0);
    env.assert_mirrored(&alpha);
    env.assert_mirrored(&beta);
    let seen = |forge: &Forge| {
        use base64::Engine as _;
        let decode = |text: &str| match text.strip_prefix("Basic ") {
            Some(basic) => String::from_utf8(base64::engine::general_purpose::STANDARD.decode(basic).unwrap()).unwrap(),
            None => text.to_owned(),
        };
        forge.requests().iter().filter_map(|request| request.authorization().map(decode)).collect::<Vec<_>>()
    };
    let (at_one, at_two) = (seen(&one), seen(&two));
    assert!(at_one.len() > 3 && at_one.iter().all(|text| text.ends_with("token-for-one-1111")), "{at_one:?}");
    assert!(at_two.len() > 3 && at_two.iter().all(|text| text.ends_with("token-for-two-2222")), "{at_two:?}");
}

#[tokio::test]
async fn a_token_of_the_environment_is_not_taken_for_another_host_of_its_kind() {
    let (env, forge, other) = (TestEnv::new(), Forge::start().await, Forge::start().await);
    let open = other.repo("acme/open").branch("main");
    let text = format!("sources:\n  - kind: github\n    api_url: {}\n    owners: [acme]\n", other.github_api());
    env.file("holocron.yaml", text);
    let run = env.holocron(["--backup-only", "--json"]);
    // The variables speak of our forge; the file's source is another one.
    let run = run.env("GITHUB_API_URL", forge.github_api()).env("GITHUB_TOKEN", forge.token());
    report(&run.run().await, 0);
    env.assert_mirrored(&open);
    assert_no_token(&other);
    assert_eq!(forge.requests().len(), 0);
}

#[tokio::test]
async fn a_proxy_of_the_source_carries_api_and_git() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").private().branch("main");
    alpha.clone_url("http://forge.invalid/acme/alpha.git");
    let text = format!(
        "sources:\n  - kind: github\n    api_url: http://forge.invalid/api/v3\n    token: {{env: MY_TOKEN}}\n    proxy: {}\n",
        forge.url()
    );
    env.file("holocron.yaml", text);
    let run = env.holocron(["--backup-only", "--json"]).env("MY_TOKEN", forge.token());
    report(&run.run().await, 0);
    env.assert_same_refs(&alpha, "forge.invalid/acme/alpha.git");
    assert!(forge.requests().iter().all(|request| request.header("host") == Some("forge.invalid")));
    assert!(forge.git_requests("acme/alpha").len() > 1);
}

#[tokio::test]
async fn a_proxy_of_the_environment_carries_api_and_git() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").private().branch("main");
    alpha.clone_url("http://forge.invalid/acme/alpha.git");
    let run = github(&env, &forge, []).env("GITHUB_API_URL", "http://forge.invalid/api/v3");
    report(&run.env("http_proxy", forge.url()).run().await, 0);
    env.assert_same_refs(&alpha, "forge.invalid/acme/alpha.git");
}
