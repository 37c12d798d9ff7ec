//! Pushes to a forge: who may, what is refused in whose words, and what goes wrong on the way.

use std::time::Duration;

use crate::support::{BareDestination, Dialect, Fault, Forge, Protection, Repo, Run, Service, Sshd, TestEnv, noise};

/// A source on disk and a destination on a forge.
struct Push {
    env: TestEnv,
    forge: Forge,
    source: Repo,
    target: Repo,
}

impl Push {
    /// Both with `main` and `dev`; the source's `main` is one commit ahead.
    async fn new() -> Self {
        let (env, forge) = (TestEnv::new(), Forge::start().await);
        let target = forge.repo("acme/target").branch("main").branch("dev");
        let source = env.bare_repo("source.git").branch("main").branch("dev").commit("main", "more");
        Push { env, forge, source, target }
    }

    async fn to(&self, url: &str, refspecs: &[&str]) -> Run {
        let push = self.env.git(["-C", "source.git", "push", "--porcelain", url]);
        push.args(refspecs.iter().copied()).run().await
    }

    async fn push(&self, refspecs: &[&str]) -> Run {
        self.to(&self.target.url_with(&self.forge.token()), refspecs).await
    }
}

#[track_caller]
fn assert_refused(run: &Run, wanted: &str) {
    let said = run.stdout.contains(wanted) || run.stderr.contains(wanted);
    assert!(run.code != 0 && said, "no {wanted:?} in: {run}");
}

#[tokio::test]
async fn owners_members_and_collaborators_push_and_nobody_else() {
    let day = Push::new().await;
    let (bob, carol) = (day.forge.user("bob"), day.forge.user("carol"));
    for (dialect, words) in [
        (Dialect::Github, "remote: Permission to acme/target.git denied to bob."),
        (Dialect::Gitlab, "remote: You are not allowed to push code to this project."),
        (Dialect::Gitea, "remote: User permission denied for writing."),
    ] {
        day.forge.speak(dialect);
        let refused = day.to(&day.target.url_with(&bob), &["main"]).await;
        assert_refused(&refused, words);
        assert_refused(&refused, "The requested URL returned error: 403");
    }
    assert_refused(&day.to(&day.target.url(), &["main"]).await, "could not read Username");
    day.target.reader("carol");
    assert_refused(&day.to(&day.target.url_with(&carol), &["main"]).await, "denied for writing");
    day.target.collaborator("bob");
    day.to(&day.target.url_with(&bob), &["main"]).await.assert_code(0);
    assert_eq!(day.target.tip("main"), day.source.tip("main"));
}

#[tokio::test]
async fn a_token_that_may_only_read_is_answered_403() {
    let day = Push::new().await;
    let reads = day.forge.token_with_scopes("alice", &["read_repository", "read_api"]);
    for (dialect, words) in [
        (Dialect::Github, "Write access to repository not granted."),
        (Dialect::Gitlab, "You are not allowed to upload code."),
        (Dialect::Gitea, "required scope(s): [write:repository]"),
    ] {
        day.forge.speak(dialect);
        assert_refused(&day.to(&day.target.url_with(&reads), &["main"]).await, words);
    }
    let writes = day.forge.token_with_scopes("alice", &["write_repository"]);
    day.to(&day.target.url_with(&writes), &["main"]).await.assert_code(0);
}

#[tokio::test]
async fn archived_repositories_and_gitea_mirrors_refuse_in_their_forges_words() {
    let day = Push::new().await;
    day.target.archived();
    let sshd = Sshd::start(&day.forge).await;
    sshd.trust(&day.env);
    for (dialect, words) in [
        (Dialect::Github, "This repository was archived so it is read-only."),
        (Dialect::Gitlab, "You are not allowed to push code to this project."),
        (Dialect::Gitea, "This repo is archived. You can view files and clone it, but cannot push"),
    ] {
        day.forge.speak(dialect);
        assert_refused(&day.push(&["main"]).await, words);
        assert_refused(&day.to(&sshd.url(&day.target), &["main"]).await, &format!("ERROR: {words}"));
    }
    day.target.unarchived().pull_mirror();
    let mirror = day.push(&["main"]).await;
    assert_refused(&mirror, "remote: mirror repository is read-only");
    assert_eq!(mirror.code, 128);
    day.forge.speak(Dialect::Gitlab);
    day.to(&sshd.url(&day.target), &["main"]).await.assert_code(0);
    assert_eq!(day.target.tip("main"), day.source.tip("main"));
}

#[tokio::test]
async fn the_default_branch_is_not_deleted() {
    let day = Push::new().await;
    for (dialect, words) in [
        (Dialect::Github, "remote: error: refusing to delete the current branch: refs/heads/main"),
        (Dialect::Gitlab, "remote: GitLab: The default branch of a project cannot be deleted."),
        (Dialect::Gitea, "remote: Gitea: branch main is the default branch and cannot be deleted"),
    ] {
        day.forge.speak(dialect);
        assert_refused(&day.push(&[":main"]).await, words);
        day.target.head("dev");
        day.push(&[":main"]).await.assert_code(0);
        day.push(&["main"]).await.assert_code(0);
        day.target.head("main");
    }
}

#[tokio::test]
async fn receive_settings_are_git_s_own() {
    let day = Push::new().await;
    day.source.reference("refs/pull/1/head");
    day.target.receive("hideRefs", "refs/pull").receive("hideRefs", "refs/secret");
    let hidden = day.push(&["refs/pull/1/head", "main"]).await;
    assert_refused(&hidden, "refs/pull/1/head:refs/pull/1/head\t[remote rejected] (deny updating a hidden ref)");
    assert_eq!(day.target.tip("main"), day.source.tip("main"));

    day.target.receive("denyDeletes", "true").receive("denyNonFastForwards", "true");
    assert_refused(&day.push(&[":dev"]).await, "(deletion prohibited)");
    day.source.force("dev");
    assert_refused(&day.push(&["+dev"]).await, "(non-fast-forward)");

    day.source.commit_file("main", "big", &noise(100_000));
    day.target.receive("maxInputSize", "10k");
    assert_refused(&day.push(&["main"]).await, "");
    assert_ne!(day.target.tip("main"), day.source.tip("main"));
}

#[tokio::test]
async fn a_test_s_own_hooks_decide_too() {
    let day = Push::new().await;
    day.target.hook("update", "#!/bin/sh\n[ $1 != refs/heads/dev ] || { echo 'not dev' >&2; exit 1; }\n");
    day.source.commit("dev", "more");
    let one = day.push(&["main", "dev"]).await;
    assert_refused(&one, "refs/heads/dev:refs/heads/dev\t[remote rejected] (hook declined)");
    assert!(one.stderr.contains("remote: not dev"), "{one}");
    assert_eq!(day.target.tip("main"), day.source.tip("main"));

    for dialect in [Dialect::Github, Dialect::Gitlab] {
        day.forge.speak(dialect);
        day.target.hook("pre-receive", "#!/bin/sh\ncat >seen\nexit 1\n");
        day.source.commit("main", "again");
        assert_refused(&day.push(&["main"]).await, "(pre-receive hook declined)");
        let seen = std::fs::read_to_string(day.target.git_dir().join("seen")).unwrap();
        assert!(seen.contains(&day.source.tip("main")), "{seen}");
    }
}

#[tokio::test]
async fn faults_strike_the_push_and_no_step_before_it() {
    let day = Push::new().await;
    let before = day.target.tip("main");
    for status in [403, 413, 500, 502] {
        day.forge.heal();
        day.forge.fault(Fault::status(status).on_git("acme/target").service(Service::Push));
        assert_refused(&day.push(&["main"]).await, &format!("RPC failed; HTTP {status}"));
    }
    assert_eq!(day.forge.git_count(Service::PushAdvertisement), day.forge.git_count(Service::Push) * 2);
    assert_eq!(day.target.tip("main"), before);

    // Lost on the way: nothing arrives, and git calls it "Done" (without --porcelain: "Everything up-to-date").
    day.forge.heal();
    day.forge.fault(Fault::cut_in_upload(500_000).on_git("acme/target").service(Service::Push));
    day.source.commit_file("main", "big", &noise(3_000_000));
    let cut = day.push(&["main"]).await;
    assert_refused(&cut, "send-pack: unexpected disconnect");
    assert_eq!(cut.stdout, "Done\n");
    assert_eq!(day.target.tip("main"), before);

    // The answer lost on its way back: all arrives, and git cannot know.
    day.forge.heal();
    day.forge.fault(Fault::cut_in_body(0).on_git("acme/target").service(Service::Push).after(1));
    assert_refused(&day.push(&["main"]).await, "unexpected disconnect");
    assert_eq!(day.target.tip("main"), day.source.tip("main"));
}

#[tokio::test]
async fn a_thousand_refs_pass_the_rules_or_are_refused_one_by_one() {
    let day = Push::new().await;
    day.source.many_refs(1_000);
    day.forge.speak(Dialect::Gitlab);
    day.target.protect("main", Protection::default());
    day.push(&["refs/heads/*:refs/heads/*"]).await.assert_code(0);
    assert_eq!(day.target.refs().len(), 1_002);

    day.forge.speak(Dialect::Github);
    day.target.protect("many/*", Protection::default());
    // No source has a name that begins so: --prune makes deletions of all.
    let refused = day.push(&["--prune", "refs/heads/main:refs/heads/main", "+refs/heads/no*:refs/heads/*"]).await;
    assert_eq!(
        refused.stdout.matches("[remote rejected] (protected branch hook declined)").count(),
        1_000,
        "{refused}"
    );
    // `dev` is gone, the protected ones and `main` are there.
    assert_eq!(day.target.refs().len(), 1_001);
}

#[tokio::test]
async fn a_push_can_hang() {
    let day = Push::new().await;
    day.forge.fault(Fault::hang().on_git("acme/target").service(Service::Push));
    let url = day.target.url_with(&day.forge.token());
    let running = day.env.git(["-C", "source.git", "push", &url, "main"]).spawn();
    day.forge.until(|request| request.kind == push_of("acme/target")).await;
    running.signal_group(rustix::process::Signal::KILL);
    assert_eq!(running.wait().await.code, -9);
}

fn push_of(repo: &str) -> crate::support::Kind {
    crate::support::Kind::Git { repo: repo.to_owned(), service: Service::Push }
}

#[tokio::test]
async fn another_writer_is_faster() {
    let day = Push::new().await;
    let seen = day.target.tip("main");
    day.forge.between_advertisement_and_push(&day.target, |repo| {
        repo.commit("main", "of another writer");
    });
    let lease = format!("--force-with-lease=main:{seen}");
    let push = ["-C", "source.git", "push", &lease, &day.target.url_with(&day.forge.token()), "main"];
    let raced = day.env.git(push).run().await;
    assert_refused(&raced, "[remote rejected] main -> main");
    assert_ne!(day.target.tip("main"), seen);
    // Once only.
    day.push(&["+main"]).await.assert_code(0);
    assert_eq!(day.target.tip("main"), day.source.tip("main"));
}

#[tokio::test]
async fn a_destination_goes_away_before_the_push_or_altogether() {
    let day = Push::new().await;
    day.forge.before(&day.target, Service::PushAdvertisement, Repo::remove);
    // The first one meets it at the last moment, the second finds nothing.
    day.push(&["main"]).await;
    let url =
        format!("{}/acme/target.git", day.forge.url()).replacen("://", &format!("://t:{}@", day.forge.token()), 1);
    assert_refused(&day.to(&url, &["main"]).await, "not found");

    tokio::time::timeout(Duration::from_secs(20), day.forge.stop()).await.unwrap();
    let refused = day.to(&url, &["main"]).await;
    assert!(refused.stderr.contains("Couldn't connect") || refused.stderr.contains("Could not connect"), "{refused}");
}

#[tokio::test]
async fn a_bare_destination_takes_pushes_as_a_path_and_by_ssh() {
    let env = TestEnv::new();
    let source = env.bare_repo("source.git").batch(|b| b.branch("main").branch("dev")).tag("v1");
    let destination: BareDestination = env.bare_destination();
    let sshd = Sshd::alone().await;
    sshd.trust(&env);
    let there = destination.repo("acme/alpha");
    let url = |template: String| template.replace("{namespace}", "acme").replace("{name}", "alpha");
    let push = |url: String, what: &'static str| env.git(["-C", "source.git", "push", "-q", &url, what]).run();
    push(url(destination.template()), "--all").await.assert_code(0);
    push(url(destination.ssh_template(&sshd)), "--tags").await.assert_code(0);
    env.assert_pushed(&source, &there);
    assert_eq!(destination.refs("acme/alpha"), source.refs());
    assert!(destination.find("acme/beta").is_none() && destination.refs("acme/beta").is_empty());
    let here = destination.path().join("acme/alpha.git");
    assert_eq!(here, destination.git_dir("acme/alpha"));

    there.receive("denyDeletes", "true").hook("pre-receive", "#!/bin/sh\nexit 1\n");
    source.commit("main", "more");
    assert_refused(&push(url(destination.template()), "main").await, "pre-receive hook declined");
}
