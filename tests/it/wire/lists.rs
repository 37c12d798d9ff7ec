//! Whatever a repository is like: the refs are those that git lists.

use std::process::Command;

use super::{Both, recorded, remote, with_token};
use crate::support::{Fault, Forge, Repo};

/// Git in a repository of the forge; returns what it printed.
fn git(repo: &Repo, args: &[&str]) -> Vec<u8> {
    let mut git = Command::new("git");
    git.arg("--git-dir").arg(repo.git_dir()).args(args);
    git.envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null")]).env_remove("GIT_PROTOCOL");
    git.envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "Test")));
    git.envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "test@example.test")));
    let output = git.output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// What `git http-backend` answers in protocol version 0 or 1.
pub(super) fn old_answer(repo: &Repo, version: u8) -> Fault {
    let mut git = Command::new("git");
    git.args(["upload-pack", "--stateless-rpc", "--advertise-refs"]).arg(repo.git_dir());
    git.env("GIT_PROTOCOL", format!("version={version}"));
    let refs = git.output().unwrap().stdout;
    let body = [&b"001e# service=git-upload-pack\n0000"[..], &refs].concat();
    Fault::status(200).with_git_type().body(body)
}

#[tokio::test]
async fn every_kind_of_ref_and_head_is_listed_as_git_lists_it() {
    let (both, forge) = (Both::new(), Forge::start().await);
    let usual = forge.repo("acme/usual").branch("trunk").branch("dev").tag("v1").annotated_tag("v2");
    usual.reference("refs/pull/1/head").reference("refs/notes/commits").reference("refs/holocron/kept/x/refs/heads/y");
    let found = Both::same(both.ask(&remote(&usual)).await);
    assert_eq!((found.refs.len(), found.peeled.len()), (6, 1));
    assert_eq!(found.head.unwrap(), "refs/heads/trunk");

    let unborn = forge.repo("acme/unborn").branch("main").head("nowhere");
    let found = Both::same(both.ask(&remote(&unborn)).await);
    assert_eq!((found.head, found.head_oid, found.refs.len()), (None, None, 1));

    let detached = forge.repo("acme/detached").branch("main").commit("main", "more");
    git(&detached, &["update-ref", "--no-deref", "HEAD", "refs/heads/main~1"]);
    let found = Both::same(both.ask(&remote(&detached)).await);
    assert!(found.head.is_none() && found.head_oid.is_some());

    let empty = forge.repo("acme/empty");
    assert!(Both::same(both.ask(&remote(&empty)).await).refs.is_empty());

    let private = forge.repo("acme/private").private().branch("main");
    assert_eq!(Both::same(both.ask(&with_token(&private, &forge)).await).refs.len(), 1);
}

#[tokio::test]
async fn older_protocol_versions_list_the_same() {
    let ((both, calls), forge) = (recorded(&[]), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("trunk").branch("dev").annotated_tag("v1");
    let now = both.auto.ls_remote(&remote(&alpha)).await.unwrap();
    let empty = forge.repo("acme/empty");
    for version in [0, 1] {
        forge.heal();
        forge.fault(old_answer(&alpha, version).on_git("acme/alpha"));
        forge.fault(old_answer(&empty, version).on_git("acme/empty"));
        assert_eq!(Both::same(both.ask(&remote(&alpha)).await), now);
        assert!(Both::same(both.ask(&remote(&empty)).await).refs.is_empty());
    }
    // Git is asked once more for an empty list, to see whether the server said it in git's protocol.
    assert_eq!(super::looks(&calls), 6, "only the way that is git's asked git");
}

#[tokio::test]
async fn five_thousand_refs_are_listed() {
    let (both, forge) = (Both::new(), Forge::start().await);
    let many = forge.repo("acme/many").batch(|batch| batch.branch("main").many_refs(5_000));
    assert_eq!(Both::same(both.ask(&remote(&many)).await).refs.len(), 5_001);
    forge.fault(old_answer(&many, 0).on_git("acme/many"));
    assert_eq!(Both::same(both.ask(&remote(&many)).await).refs.len(), 5_001);
}

/// A repository of SHA-256 with one commit.
pub(super) fn sha_256(forge: &Forge, name: &str) -> Repo {
    let repo = forge.repo(name);
    for path in ["objects", "refs", "HEAD", "config"] {
        let path = repo.git_dir().join(path);
        if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
    }
    git(&repo, &["init", "-q", "--bare", "--object-format=sha256", "-b", "main"]);
    let tree = String::from_utf8(git(&repo, &["hash-object", "-t", "tree", "-w", "--stdin"])).unwrap();
    let commit = String::from_utf8(git(&repo, &["commit-tree", "-m", "x", tree.trim()])).unwrap();
    git(&repo, &["update-ref", "refs/heads/main", commit.trim()]);
    repo
}

#[tokio::test]
async fn a_repository_of_sha_256_is_listed() {
    let (both, forge) = (Both::new(), Forge::start().await);
    let alpha = sha_256(&forge, "acme/alpha");
    let found = Both::same(both.ask(&remote(&alpha)).await);
    assert_eq!(found.head_oid.unwrap().to_string().len(), 64);
    forge.fault(old_answer(&alpha, 0).on_git("acme/alpha"));
    assert_eq!(Both::same(both.ask(&remote(&alpha)).await), found);
}

#[tokio::test]
async fn a_repository_on_this_machine_is_gits_to_list() {
    let both = Both::new();
    let here = both.env.bare_repo("here.git").branch("main");
    let remote = super::Remote::plain(super::RemoteUrl::file(here.git_dir()));
    assert_eq!(Both::same(both.ask(&remote).await).refs.len(), 1);
}
