//! Packs that come cut, wrong or not at all: never taken for whole, and with the reason that git would have.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use holocron::base::failure::{Failure, Reason};
use holocron::git::refs::Oid;
use holocron::git::{Depth, Git, GitTransport, Wanted};

use super::{Both, door, fetch, remote};
use crate::net::{assert_failed, github, on_disk, report};
use crate::support::{Fault, Forge, Repo, Service, TestEnv, noise};

/// The pack of everything in a repository, or of these objects alone.
fn pack(repo: &Repo, only: Option<&str>) -> Vec<u8> {
    let mut git = Command::new("git");
    git.arg("--git-dir").arg(repo.git_dir()).args(["pack-objects", "--stdout", "-q"]);
    git.args(only.map_or(&["--all"][..], |_| &[])).stdin(Stdio::piped()).stdout(Stdio::piped());
    git.envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null")]);
    let mut git = git.spawn().unwrap();
    git.stdin.take().unwrap().write_all(only.unwrap_or_default().as_bytes()).unwrap();
    git.wait_with_output().unwrap().stdout
}

fn packet(data: &[u8]) -> Vec<u8> {
    [format!("{:04x}", data.len() + 4).as_bytes(), data].concat()
}

/// Bytes in a band, in packets of that size.
fn banded(band: u8, bytes: &[u8], size: usize) -> Vec<u8> {
    bytes.chunks(size).flat_map(|piece| packet(&[&[band], piece].concat())).collect()
}

/// A whole answer with this pack.
fn answer_of(pack: &[u8]) -> Vec<u8> {
    [&packet(b"packfile\n"), &banded(2, b"Counting objects: 3, done.\n", 50), &banded(1, pack, 2000), &b"0000"[..]]
        .concat()
}

/// Answers a request for objects so.
fn answer(body: impl Into<Vec<u8>>) -> Fault {
    let answer = Fault::status(200).header("content-type", "application/x-git-upload-pack-result").body(body);
    answer.service(Service::FetchPack)
}

/// Clones; the folder is new each time.
async fn clone(both: &Both, git: &Git, repo: &Repo) -> (Result<u64, Failure>, PathBuf) {
    let number = fs::read_dir(both.env.work()).unwrap().count();
    let into = both.env.work().join(format!("{number}.git"));
    (git.clone_mirror(&remote(repo), &into, &mut |_, _, _| ()).await, into)
}

/// Asserts that a clone by us fails as one by git does; returns why.
async fn both_fail(both: &Both, repo: &Repo, what: &str) -> Failure {
    let (ours, gits) = (clone(both, &both.auto, repo).await.0, clone(both, &both.git, repo).await.0);
    let (ours, gits) = (ours.expect_err(what), gits.expect_err(what));
    assert_eq!(ours.reason(), gits.reason(), "{what}\nours: {ours}\ngit's: {gits}");
    ours
}

fn alpha(forge: &Forge) -> Repo {
    forge.repo("acme/alpha").branch("main").annotated_tag("v1").commit_file("main", "big", &noise(10_000))
}

#[tokio::test]
async fn an_answer_of_ours_is_taken_so_that_the_others_are_tests() {
    let (both, forge) = (Both::new(), Forge::start().await);
    let alpha = alpha(&forge);
    let pack = pack(&alpha, None);
    for (body, length) in [
        (answer_of(&pack), pack.len()),
        ([answer_of(&pack), b"what follows".to_vec()].concat(), pack.len()),
        ([packet(b"packfile\n"), banded(1, &pack, 1), b"0000".to_vec()].concat(), pack.len()),
        ([packet(b"packfile\n"), banded(1, &pack, 65_515), packet(b"\x01"), b"0000".to_vec()].concat(), pack.len()),
    ] {
        forge.heal();
        forge.fault(answer(body));
        assert_eq!(clone(&both, &both.auto, &alpha).await.0, Ok(length as u64));
    }
}

#[tokio::test]
async fn an_answer_that_ends_early_is_never_whole_however_it_says_so() {
    let (both, forge) = (Both::new(), Forge::start().await);
    let alpha = alpha(&forge);
    let whole = answer_of(&pack(&alpha, None));
    let places = (0..90).chain((90..whole.len()).step_by(997)).chain(whole.len() - 30..whole.len());
    for length in places {
        // With a length that is right for what comes, so that HTTP finds nothing wrong; and cut.
        for fault in [answer(&whole[..length]), Fault::cut_in_body(length + 6).service(Service::FetchPack)] {
            forge.heal();
            forge.fault(fault);
            let (cut, into) = clone(&both, &both.auto, &alpha).await;
            let failure = cut.expect_err(&length.to_string());
            assert_eq!(failure.reason(), Reason::NetworkFailed, "{length}: {failure}");
            assert!(!into.join("packed-refs").exists(), "{length}");
        }
    }
    forge.heal();
    clone(&both, &both.auto, &alpha).await.0.unwrap();
}

#[tokio::test]
async fn a_pack_that_is_not_what_it_says_fails_as_with_git() {
    let (both, forge) = (Both::new(), Forge::start().await);
    let alpha = alpha(&forge);
    let whole = pack(&alpha, None);
    let changed = |at: usize, by: u8| {
        let mut pack = whole.clone();
        pack[at] = pack[at].wrapping_add(by);
        pack
    };
    let shorter = |by: usize| whole[..whole.len() - by].to_vec();
    for (what, pack) in [
        ("one object more than there are", changed(11, 1)),
        ("one object less", changed(11, 255)),
        ("another version", changed(7, 7)),
        ("no pack", changed(0, 1)),
        ("a broken object", changed(whole.len() / 2, 1)),
        ("a wrong checksum", changed(whole.len() - 1, 1)),
        ("no checksum", shorter(20)),
        ("half a checksum", shorter(10)),
    ] {
        forge.heal();
        forge.fault(answer(answer_of(&pack)));
        both_fail(&both, &alpha, what).await;
    }
    forge.heal();
    forge.fault(answer(answer_of(&[whole.clone(), noise(1 << 20)].concat())));
    let failure = clone(&both, &both.auto, &alpha).await.0.unwrap_err();
    assert_eq!(failure.reason(), Reason::ServerError, "{failure}");
}

#[tokio::test]
async fn what_the_server_says_instead_of_a_pack_has_gits_reason() {
    let (both, forge) = (Both::new(), Forge::start().await);
    let alpha = alpha(&forge);
    let whole = pack(&alpha, None);
    let begun = [packet(b"packfile\n"), banded(1, &whole[..5000], 1000)].concat();
    let title = packet(b"packfile\n");
    let oid = "1".repeat(40);
    for (what, body) in [
        ("a ref that moved", packet(format!("ERR upload-pack: not our ref {oid}\n").as_bytes())),
        ("a refusal", packet(b"ERR access denied or repository not exported: /x\n")),
        ("an error before the pack", [title.clone(), banded(3, b"fatal: out of memory\n", 900)].concat()),
        ("an error in the pack", [begun.clone(), banded(3, b"fatal: No space left on device\n", 900)].concat()),
        (
            "a crash with a word before it",
            [begun.clone(), banded(2, b"error: pack-objects died of signal 9\n", 900), b"0000".to_vec()].concat(),
        ),
        ("half a pack", [begun.clone(), b"0000".to_vec()].concat()),
        ("nothing", [title, b"0000".to_vec()].concat()),
        ("no length", [begun.clone(), b"what".to_vec()].concat()),
        ("no band", [begun, packet(b"\x07x")].concat()),
        ("a page", b"<html>Please sign in</html>".to_vec()),
    ] {
        forge.heal();
        forge.fault(answer(body));
        both_fail(&both, &alpha, what).await;
    }
    for code in [400, 403, 404, 413, 429, 500, 502, 503] {
        forge.heal();
        forge.fault(Fault::status(code).service(Service::FetchPack));
        both_fail(&both, &alpha, &code.to_string()).await;
    }
    forge.heal();
    forge.fault(Fault::status(429).header("retry-after", "8").service(Service::FetchPack));
    let failure = clone(&both, &both.auto, &alpha).await.0.unwrap_err();
    assert_eq!(failure.retry_after(), Some(Duration::from_secs(8)));
}

#[tokio::test]
async fn sections_that_only_git_knows_are_left_to_it() {
    let (both, forge) = (Both::new(), Forge::start().await);
    let alpha = alpha(&forge);
    let oid = "1".repeat(40);
    for section in ["packfile-uris\n", "wanted-refs\n", "shallow-info\n", "something\n"] {
        forge.heal();
        let body = [packet(section.as_bytes()), packet(format!("shallow {oid}\n").as_bytes()), b"0000".to_vec()];
        forge.fault(answer(body.concat()).once());
        // Git has asked again, and was answered well.
        clone(&both, &both.auto, &alpha).await.0.expect(section);
    }
}

#[tokio::test]
async fn silence_and_a_stop_in_the_middle_of_a_pack_end_it() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").commit_file("main", "big", &noise(300_000));
    let auto = door(&env, GitTransport::Auto, &[], Duration::from_millis(400));
    for fault in [Fault::hang(), Fault::stall_in_body(20), Fault::stall_in_body(200_000)] {
        forge.heal();
        forge.fault(fault.clone().service(Service::FetchPack));
        let into = env.work().join(format!("{}.git", fs::read_dir(env.work()).unwrap().count()));
        let failure = auto.clone_mirror(&remote(&alpha), &into, &mut |_, _, _| ()).await.unwrap_err();
        assert_eq!(failure.reason(), Reason::TimedOut, "{fault:?}: {failure}");
    }
}

#[tokio::test]
async fn progress_comes_from_both_ends() {
    let (both, forge) = (Both::new(), Forge::start().await);
    let alpha = alpha(&forge);
    let mut phases = Vec::new();
    let into = both.env.work().join("x.git");
    let mut hear = |phase: &str, _, _| phases.push(phase.to_owned());
    both.auto.clone_mirror(&remote(&alpha), &into, &mut hear).await.unwrap();
    for phase in ["Counting objects", "Receiving objects"] {
        assert!(phases.iter().any(|heard| heard == phase), "{phase}: {phases:?}");
    }
}

/// A git that fails in index-pack, with these words.
fn failing(env: &TestEnv, words: &str) {
    let git = which::which("git").unwrap();
    let script = "#!/bin/sh\ncase \" $* \" in *' index-pack '*) head -c 5000 >/dev/null; echo '@WORDS@' >&2; exit 128 ;; esac\nexec @GIT@ \"$@\"\n";
    env.script("git", &script.replace("@WORDS@", words).replace("@GIT@", git.to_str().unwrap()));
}

#[tokio::test]
async fn an_index_pack_that_fails_fails_the_mirror_and_leaves_it_as_it_was() {
    for (words, reason) in [
        ("fatal: write error: No space left on device", "disk_full"),
        ("fatal: pack has bad object at offset 12: inflate returned -3", "corrupt"),
        ("something else", "local_failed"),
    ] {
        let (env, forge) = (TestEnv::new(), Forge::start().await);
        let alpha = forge.repo("acme/alpha").branch("main");
        report(&fetch::by(&env, &forge, "auto").run().await, 0);
        let before = on_disk(&env);
        alpha.commit_file("main", "big", &noise(1 << 20));
        forge.repo("acme/beta").branch("main");
        failing(&env, words);
        let told = report(&fetch::by(&env, &forge, "auto").run().await, 3);
        for name in ["acme/alpha", "acme/beta"] {
            assert_failed(&told, name, reason);
        }
        assert_eq!(on_disk(&env), before);
        fs::remove_file(env.bin().join("git")).unwrap();
        report(&fetch::by(&env, &forge, "auto").run().await, 0);
        env.assert_mirrored(&alpha);
    }
}

/// Everything in the folder of packs.
fn packs(mirror: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(mirror.join("objects/pack")).unwrap().map(|e| e.unwrap().path()).collect();
    found.sort();
    found
}

#[tokio::test]
async fn a_pack_that_lacks_something_is_taken_out_again() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    report(&fetch::by(&env, &forge, "auto").run().await, 0);
    let mirror = env.mirror_of(&alpha);
    let before = (on_disk(&env), packs(&mirror));
    alpha.commit_file("main", "big", &noise(20_000));
    // The commit alone: a pack as sound as any.
    let lacking = pack(&alpha, Some(&format!("{}\n", alpha.tip("main"))));
    forge.fault(answer(answer_of(&lacking)));
    let told = report(&fetch::by(&env, &forge, "auto").run().await, 3);
    let failure = assert_failed(&told, "acme/alpha", "corrupt");
    assert!(failure["evidence"].as_str().unwrap().contains("did not send all necessary objects"), "{failure}");
    assert_eq!((on_disk(&env), packs(&mirror)), before);
    // And so it is with a first clone.
    let beta = forge.repo("acme/beta").branch("main");
    forge.heal();
    forge.fault(answer(answer_of(&pack(&beta, Some(&format!("{}\n", beta.tip("main")))))).on_git("acme/beta"));
    let told = report(&fetch::by(&env, &forge, "auto").run().await, 3);
    assert_failed(&told, "acme/beta", "corrupt");
    assert!(!env.mirror_of(&beta).exists());
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn a_pack_of_something_else_is_no_pack_of_what_was_asked_for() {
    let (both, forge) = (Both::new(), Forge::start().await);
    let (alpha, other) = (alpha(&forge), forge.repo("acme/other").branch("elsewhere"));
    forge.fault(answer(answer_of(&pack(&other, None))).on_git("acme/alpha"));
    let failure = clone(&both, &both.auto, &alpha).await.0.unwrap_err();
    assert_eq!(failure.reason(), Reason::Corrupt, "{failure}");
    // The pack of nothing, whose checksum is known.
    let nothing = pack(&alpha, Some(""));
    assert_eq!(nothing.len(), 32);
    forge.heal();
    forge.fault(answer(answer_of(&nothing)).on_git("acme/alpha"));
    let failure = clone(&both, &both.auto, &alpha).await.0.unwrap_err();
    assert_eq!(failure.reason(), Reason::Corrupt, "{failure}");
}

#[tokio::test]
async fn an_empty_pack_that_is_none_moves_nothing() {
    let (both, forge) = (Both::new(), Forge::start().await);
    let alpha = alpha(&forge);
    let (cloned, dir) = clone(&both, &both.auto, &alpha).await;
    cloned.unwrap();
    alpha.commit("main", "more");
    let tips = std::collections::BTreeSet::from([Oid::parse(alpha.tip("main").as_bytes()).unwrap()]);
    let wanted = Wanted { tips: &tips, near: &[], depth: Depth::AsIs };
    let nothing = pack(&alpha, Some(""));
    let more = [&nothing[..], b"more"].concat();
    for (pack, reason) in
        [(&nothing[..], Reason::Corrupt), (&nothing[..31], Reason::NetworkFailed), (&more, Reason::Corrupt)]
    {
        forge.heal();
        forge.fault(answer(answer_of(pack)).on_git("acme/alpha"));
        let failure = both.auto.fetch_objects(&dir, &remote(&alpha), &wanted, &mut |_, _, _| ()).await.unwrap_err();
        assert_eq!(failure.reason(), reason, "{failure}");
    }
    forge.heal();
    let fetched = both.auto.fetch_objects(&dir, &remote(&alpha), &wanted, &mut |_, _, _| ()).await.unwrap();
    assert!(fetched.received > 100);
    let keep = || packs(&dir).into_iter().filter(|path| path.extension().is_some_and(|end| end == "keep")).count();
    assert_eq!(keep(), 1, "until refs name it");
    drop(fetched);
    assert_eq!(keep(), 0);
}

#[tokio::test]
async fn a_keep_that_a_killed_run_left_is_litter_and_another_ones_is_not() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    report(&github(&env, &forge, ["--full"]).run().await, 0);
    let folder = env.mirror_of(&alpha).join("objects/pack");
    fs::write(folder.join("pack-1.keep"), "holocron\n").unwrap();
    fs::write(folder.join("pack-2.keep"), "mine\n").unwrap();
    report(&github(&env, &forge, ["--full"]).run().await, 0);
    assert!(!folder.join("pack-1.keep").exists() && folder.join("pack-2.keep").exists());
}
