//! Repositories are what the test made, and git reaches them as on a real forge.

use crate::support::{Batch, Forge, Kind, Request, Service, Sshd, TestEnv, noise};

#[tokio::test]
async fn a_mirror_clone_has_every_ref_and_the_head_of_its_source() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("trunk").branch("dev").tag("v1").annotated_tag("v2");
    alpha.reference("refs/pull/1/head").reference("refs/notes/commits").commit_file("dev", "a b/Ünï", b"bytes");

    let mirror = env.mirror_of(&alpha);
    env.git(["clone", "-q", "--mirror", &alpha.url()]).arg(&mirror).run().await.assert_code(0);

    assert!(mirror.ends_with("acme/alpha.git"), "{}", mirror.display());
    assert_eq!(alpha.default_branch(), "trunk");
    assert_eq!(alpha.refs().len(), 6);
    env.assert_mirrored(&alpha);
    env.git(["fsck", "--full", "--strict"]).cwd(&mirror).run().await.assert_code(0);

    env.git(["update-ref", "refs/holocron/kept/x", "HEAD"]).cwd(&mirror).run().await.assert_code(0);
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn a_difference_of_one_ref_is_found() {
    let env = TestEnv::new();
    let one = env.bare_repo("one.git").branch("main").branch("dev");
    let other = env.bare_repo("other.git").branch("main").branch("dev").force("dev");
    let compare = std::panic::AssertUnwindSafe(|| env.assert_same_refs(&one, other.path()));
    let message = *std::panic::catch_unwind(compare).unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("refs/heads/dev") && !message.contains("refs/heads/main"), "{message}");
}

#[tokio::test]
async fn the_same_changes_give_the_same_object_ids() {
    let env = TestEnv::new();
    let make = |name: &str| env.bare_repo(name).branch("main").commit("main", "more").annotated_tag("v1").refs();
    assert_eq!(make("one.git"), make("two.git"));
}

#[tokio::test]
async fn every_change_does_what_it_says() {
    let env = TestEnv::new();
    let alpha = env.bare_repo("alpha.git").branch("main").branch("old").many_refs(3);
    assert_eq!(env.refs(alpha.path()).len(), 5);

    let before = alpha.tip("main");
    alpha.commit("main", "more");
    let is_ancestor =
        |old: String, new: &str| env.git(["-C", "alpha.git", "merge-base", "--is-ancestor", &old, new]).run();
    is_ancestor(before, "main").await.assert_code(0);

    let before = alpha.tip("main");
    alpha.force("main");
    is_ancestor(before, "main").await.assert_code(1);

    alpha.delete("old").delete("refs/heads/many/00001").point("copy", "main");
    assert!(!alpha.refs().contains_key("refs/heads/old"));
    assert_eq!(alpha.tip("copy"), alpha.tip("main"));

    let tip = alpha.tip("main");
    alpha.rename_default("trunk");
    assert_eq!(env.head(alpha.path()), "refs/heads/trunk");
    assert_eq!(alpha.tip("trunk"), tip);
    assert!(!alpha.refs().contains_key("refs/heads/main"));

    alpha.delete("copy");
    alpha.branch("copy/deeper");
    alpha.head("unborn");
    assert_eq!(alpha.default_branch(), "unborn");
}

#[tokio::test]
async fn five_thousand_refs_are_made_and_cloned() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let many = forge.repo("acme/many").batch(|batch| batch.branch("main").many_refs(5_000));
    env.git(["clone", "-q", "--mirror", &many.url(), "many.git"]).run().await.assert_code(0);
    assert_eq!(many.refs().len(), 5_001);
    env.assert_same_refs(&many, env.work().join("many.git"));
}

#[tokio::test]
async fn a_working_tree_is_clean_after_each_change() {
    let env = TestEnv::new();
    let tree = env.working_tree("tree").branch("main").commit_file("main", "src/lib.rs", b"// code\n");
    assert_eq!(std::fs::read_to_string(tree.path().join("src/lib.rs")).unwrap(), "// code\n");
    let status = env.git(["status", "--porcelain"]).cwd(tree.path()).run().await;
    assert_eq!(status.assert_code(0).stdout, "");
}

#[tokio::test]
async fn a_private_repository_wants_a_known_token() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let secret = forge.repo("acme/secret").private().branch("main");

    let anonymous = env.git(["ls-remote", &secret.url()]).run().await;
    assert!(anonymous.assert_code(128).stderr.contains("terminal prompts disabled"), "{anonymous}");

    let wrong = env.git(["ls-remote", &secret.url_with("wrong")]).run().await;
    assert!(wrong.assert_code(128).stderr.contains("Authentication failed"), "{wrong}");

    let stranger = env.git(["ls-remote", &secret.url_with(&forge.user("bob"))]).run().await;
    assert!(stranger.assert_code(128).stderr.contains("not found"), "{stranger}");

    let member = env.git(["ls-remote", &secret.url_with(&forge.token())]).run().await;
    assert!(member.assert_code(0).stdout.contains(&secret.tip("main")), "{member}");

    secret.collaborator("bob");
    env.git(["ls-remote", &secret.url_with(&forge.user("bob"))]).run().await.assert_code(0);
}

#[tokio::test]
async fn disabled_and_blocked_repositories_are_refused_as_forges_do() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let disabled = forge.repo("acme/disabled").branch("main").disabled();
    let blocked = forge.repo("acme/blocked").branch("main").blocked();
    for (repo, code) in [(disabled, "403"), (blocked, "451")] {
        let run = env.git(["ls-remote", &repo.url()]).run().await;
        assert!(run.assert_code(128).stderr.contains(&format!("returned error: {code}")), "{run}");
    }
}

#[tokio::test]
async fn a_renamed_repository_answers_git_with_a_redirect() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let repo = forge.repo("acme/old").branch("main");
    let old_url = repo.url();
    repo.rename("other/new");
    let clone = env.git(["clone", "--mirror", &old_url, "clone.git"]).run().await;
    assert!(clone.assert_code(0).stderr.contains(&format!("redirecting to {}", repo.url())), "{clone}");
    env.assert_same_refs(&repo, env.work().join("clone.git"));

    // A new repository of the old name has the name.
    let heir = forge.repo("acme/old").branch("main").branch("heir");
    let listed = env.git(["ls-remote", &old_url]).run().await;
    assert!(listed.assert_code(0).stdout.contains(&heir.tip("heir")), "{listed}");
    let new_url = repo.url();
    repo.remove();
    env.git(["ls-remote", &new_url]).run().await.assert_code(128);
}

#[tokio::test]
async fn a_fetch_with_many_haves_comes_compressed_and_is_understood() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    for number in 0..20 {
        alpha.branch(&format!("b{number}"));
    }
    env.git(["clone", "-q", "--mirror", &alpha.url(), "alpha.git"]).run().await.assert_code(0);
    forge.reset_log();
    fn commit_to_all(batch: &mut Batch) -> &mut Batch {
        (0..20).fold(batch, |batch, number| batch.commit(&format!("b{number}"), "more"))
    }
    alpha.batch(commit_to_all);
    env.git(["-C", "alpha.git", "fetch", "-q"]).run().await.assert_code(0);
    env.assert_same_refs(&alpha, env.work().join("alpha.git"));
    let compressed = |request: &Request| request.header("content-encoding") == Some("gzip");
    assert!(forge.requests().iter().any(compressed));
}

#[tokio::test]
async fn a_push_with_a_token_arrives() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let target = forge.repo("acme/target").branch("main");
    // More than git's buffer of 1 MiB, so that it comes in chunks, of a length not told before.
    let source = env.bare_repo("source.git").branch("main").branch("new").commit_file("new", "big", &noise(2_000_000));
    let before = target.pushed_at();
    let push = |url: String| env.git(["-C", "source.git", "push", "-q", &url, "new"]).run();
    push(target.url()).await.assert_code(128);
    push(target.url_with(&forge.token())).await.assert_code(0);
    assert_eq!(target.tip("new"), source.tip("new"));
    assert!(target.pushed_at() > before);
}

#[tokio::test]
async fn each_step_of_a_fetch_is_in_the_log() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    env.git(["clone", "-q", "--mirror", &alpha.url_with(&forge.token()), "alpha.git"]).run().await.assert_code(0);

    let services = |full_name: &str| -> Vec<Service> {
        let kinds = forge.git_requests(full_name).into_iter().map(|request| request.kind);
        kinds.filter_map(|kind| if let Kind::Git { service, .. } = kind { Some(service) } else { None }).collect()
    };
    assert_eq!(services("acme/alpha"), [Service::Advertisement, Service::ListRefs, Service::FetchPack]);
    assert_eq!(services("acme/beta"), []);
    let first = &forge.requests()[0];
    assert_eq!(
        (first.method.as_str(), first.path.as_str(), first.status),
        ("GET", "/acme/alpha.git/info/refs", Some(200))
    );
    assert!(first.user_agent().starts_with("git/"), "{first:?}");

    forge.reset_log();
    env.git(["-c", "protocol.version=0", "clone", "-q", "--mirror", &alpha.url(), "v0.git"]).run().await.assert_code(0);
    assert_eq!(services("acme/alpha"), [Service::Advertisement, Service::FetchPack]);
    assert_eq!(forge.requests()[0].authorization(), None);
}

#[tokio::test]
async fn names_that_need_care_are_served() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let long = format!("acme/{}", "x".repeat(200));
    for name in ["acme/a b", "acme/Ünï", "acme/-oProxyCommand=x", "acme/case", "acme/CASE", &long, "group/sub/deep"] {
        let repo = forge.repo(name).branch("main");
        let listed = env.git(["ls-remote", &repo.url(), "HEAD"]).run().await;
        assert_eq!(listed.assert_code(0).stdout, format!("{}\tHEAD\n", repo.tip("main")), "{name}");
    }
}

#[tokio::test]
async fn tls_works_with_the_ca_and_fails_without() {
    let (env, forge) = (TestEnv::new(), Forge::start_tls().await);
    let alpha = forge.repo("acme/alpha").branch("main").commit_file("main", "big", &noise(100_000));
    assert!(alpha.url().starts_with("https://localhost:"));

    let without = env.git(["ls-remote", &alpha.url()]).run().await;
    assert!(without.assert_code(128).stderr.contains("certificate"), "{without}");

    let with = env.git(["clone", "-q", "--mirror", &alpha.url(), "alpha.git"]).env("GIT_SSL_CAINFO", forge.ca_file());
    with.run().await.assert_code(0);
    env.assert_same_refs(&alpha, env.work().join("alpha.git"));

    let ca = reqwest::Certificate::from_pem(&std::fs::read(forge.ca_file()).unwrap()).unwrap();
    let client = |client: reqwest::ClientBuilder| client.no_proxy().build().unwrap();
    let user = format!("{}/user", forge.github_api());
    let trusting = client(reqwest::Client::builder().tls_certs_only([ca])).get(&user).bearer_auth(forge.token());
    assert_eq!(trusting.send().await.unwrap().status(), 200);
    let doubting = client(reqwest::Client::builder()).get(&user).send().await.unwrap_err();
    assert!(format!("{doubting:?}").contains("UnknownIssuer"), "{doubting:?}");
}

#[tokio::test]
async fn ssh_works_with_the_key_and_the_known_host_only() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").private().branch("main").tag("v1");
    let sshd = Sshd::start(&forge).await;
    let list = || env.git(["ls-remote", &sshd.url(&alpha)]).run();

    sshd.trust(&env);
    env.git(["clone", "-q", "--mirror", &sshd.url(&alpha), "alpha.git"]).run().await.assert_code(0);
    env.assert_same_refs(&alpha, env.work().join("alpha.git"));

    sshd.trust_another_host_key(&env);
    let stranger = list().await;
    assert!(stranger.assert_code(128).stderr.contains("Host key verification failed"), "{stranger}");

    sshd.trust_without_access(&env);
    let refused = list().await;
    assert!(refused.assert_code(128).stderr.contains("Permission denied (publickey)"), "{refused}");
}

#[tokio::test]
async fn a_forge_is_a_proxy_for_itself() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    let proxy = format!("http.proxy={}", forge.url());
    let listed = env.git(["-c", &proxy, "ls-remote", "http://forge.invalid/acme/alpha.git", "HEAD"]).run().await;
    assert_eq!(listed.assert_code(0).stdout, format!("{}\tHEAD\n", alpha.tip("main")));
    assert_eq!(forge.requests()[0].header("host"), Some("forge.invalid"));
}

#[tokio::test]
async fn the_bytes_on_the_wire_are_counted() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").commit_file("main", "large", &noise(300_000));
    assert_eq!(forge.bytes(), 0);
    env.git(["clone", "-q", "--mirror", &alpha.url(), "alpha.git"]).run().await.assert_code(0);
    assert!((300_000..320_000).contains(&forge.bytes()), "{}", forge.bytes());
}
