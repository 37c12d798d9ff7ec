//! `kill -9` at every moment: between any two calls of git, and in the middle of what a forge sends. A clean run after
//! it must equal the source, and every tip that was saved before must still have a name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;

use crate::disk_kit::{assert_whole, backup, git, picture};
use crate::support::{Fault, Forge, Kind, Program, Repo, Service, TestEnv, by_git, noise};

/// A git that stops before its call number N, says so through a pipe, and goes on when it is told to.
const GATE: &str = r#"#!/bin/sh
number=$(cat @DIR@/count 2>/dev/null || echo 0)
number=$((number + 1))
echo $number >@DIR@/count
if [ "$number" = "$(cat @DIR@/stop)" ]; then
    echo here >@DIR@/reached
    read -r answer <@DIR@/go
fi
exec @GIT@ "$@"
"#;

/// What becomes of the git that was at work when its run was killed.
#[derive(Clone, Copy)]
enum Orphan {
    GoesOn,
    Dies,
}

/// The gate in front of git, for one environment.
struct Gate {
    dir: PathBuf,
    /// A pipe that nobody holds open forgets what was written to it.
    _go: Option<pipe::Sender>,
}

impl Gate {
    async fn install(env: &TestEnv) -> Self {
        let dir = env.home().join("gate");
        std::fs::create_dir(&dir).unwrap();
        for pipe in ["reached", "go"] {
            env.program("mkfifo").arg(dir.join(pipe)).run().await.assert_code(0);
        }
        let real = which::which("git").unwrap();
        let script = GATE.replace("@DIR@", dir.to_str().unwrap()).replace("@GIT@", real.to_str().unwrap());
        env.script("git", &script);
        Gate { dir, _go: None }
    }

    /// Runs the program up to its git call of that number and kills it there; `false` when it ended before.
    async fn kill_at(&mut self, program: Program, number: usize, orphan: Orphan) -> bool {
        std::fs::write(self.dir.join("stop"), number.to_string()).unwrap();
        std::fs::write(self.dir.join("count"), "0").unwrap();
        let mut both = pipe::OpenOptions::new();
        // Opened for both directions: neither side waits for the other to come.
        both.read_write(true);
        let mut reached = both.open_receiver(self.dir.join("reached")).unwrap();
        let mut go = both.open_sender(self.dir.join("go")).unwrap();
        let running = program.spawn();
        let mut word = [0; 5];
        let stopped = tokio::select! {
            read = reached.read_exact(&mut word) => read.is_ok(),
            () = running.until_end() => false,
        };
        if stopped {
            let orphans = running.children();
            running.signal(Signal::KILL);
            match orphan {
                Orphan::Dies => orphans.iter().for_each(|group| kill_process_group(*group, Signal::KILL).unwrap()),
                Orphan::GoesOn => go.write_all(b"go\n").await.unwrap(),
            }
            self._go = Some(go);
            assert_eq!(running.wait().await.code, -9);
        }
        std::fs::write(self.dir.join("stop"), "never").unwrap();
        stopped
    }
}

fn prepared(forge: &Forge) -> Repo {
    let alpha = forge.repo("acme/alpha").branch("main").branch("old").branch("a").branch("forced").tag("v1");
    alpha.commit_file("main", "big", &noise(200_000)).commit("old", "only here").commit("forced", "only here")
}

/// Everything that can happen to refs, at once.
fn changed(alpha: &Repo) {
    alpha.batch(|batch| batch.delete("old").delete("a")).force("forced").commit_file("main", "big", &noise(150_000));
    alpha.branch("a/b").branch("new").point("refs/tags/v1", "new").head("new");
}

/// The mirror equals its source, and every tip of `saved` is reached by some ref.
async fn assert_safe(env: &TestEnv, alpha: &Repo, saved: &BTreeMap<String, String>, when: &str) {
    env.assert_mirrored(alpha);
    let mirror = env.mirror_of(alpha);
    assert_whole(env, &mirror).await;
    for (name, oid) in saved {
        let holders = git(env, &mirror, &["for-each-ref", "--contains", oid]).await;
        assert!(!holders.is_empty(), "{when}: {name} at {oid} is lost");
    }
}

#[tokio::test]
async fn a_first_clone_killed_before_any_call_of_git_is_made_up_for() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = prepared(&forge);
    let mut gate = Gate::install(&env).await;
    for orphan in [Orphan::GoesOn, Orphan::Dies] {
        let mut number = 1;
        while gate.kill_at(backup(&env, &forge), number, orphan).await {
            backup(&env, &forge).run().await.assert_code(0);
            assert_safe(&env, &alpha, &BTreeMap::new(), &format!("call {number}")).await;
            assert_eq!(
                std::fs::read_dir(env.storage().join(".holocron/tmp")).unwrap().count(),
                0,
                "litter of {number}"
            );
            std::fs::remove_dir_all(env.storage()).unwrap();
            number += 1;
        }
        assert!(number > 2, "only {number} moments");
        std::fs::remove_dir_all(env.storage()).unwrap();
    }
}

#[tokio::test]
async fn an_update_killed_before_any_call_of_git_loses_nothing() {
    let mut number = 1;
    loop {
        let (env, forge) = (TestEnv::new(), Forge::start().await);
        let alpha = prepared(&forge);
        backup(&env, &forge).run().await.assert_code(0);
        let saved = env.refs(env.mirror_of(&alpha));
        changed(&alpha);
        let mut gate = Gate::install(&env).await;
        // As nobody knows what a git that goes on has done by then, its death shows each state for sure.
        let killed = gate.kill_at(backup(&env, &forge), number, Orphan::Dies).await;
        backup(&env, &forge).run().await.assert_code(0);
        assert_safe(&env, &alpha, &saved, &format!("call {number}")).await;
        if !killed {
            break;
        }
        number += 1;
    }
    // Refs are looked at without git unless git is to do everything.
    assert!(number > if by_git() { 8 } else { 5 }, "only {number} moments");
}

/// Whether a pack is being written under the folder.
fn receives(folder: &Path) -> bool {
    std::fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
        let is_pack = entry.file_name().to_string_lossy().starts_with("tmp_pack_");
        is_pack || entry.file_type().is_ok_and(|kind| kind.is_dir()) && receives(&entry.path())
    })
}

/// Kills the run when the forge was asked for something or has stopped in the middle of it, and then the gits it left.
async fn kill_in_transfer(env: &TestEnv, forge: &Forge, fault: Fault, service: Service, begun: &Path) {
    forge.reset_log();
    forge.fault(fault.on_git("acme/alpha").service(service));
    let running = backup(env, forge).spawn();
    forge.until(|request| matches!(&request.kind, Kind::Git { service: asked, .. } if *asked == service)).await;
    if !begun.as_os_str().is_empty() {
        // On a thread of its own: the forge lives on this one, and has to send meanwhile.
        let (folder, guard) = (begun.to_owned(), Instant::now() + Duration::from_secs(60));
        let receiving = tokio::task::spawn_blocking(move || {
            while !receives(&folder) && Instant::now() < guard {
                std::thread::yield_now();
            }
            receives(&folder)
        });
        assert!(receiving.await.unwrap(), "a pack begins to arrive");
    }
    let orphans = running.children();
    running.signal(Signal::KILL);
    assert_eq!(running.wait().await.code, -9);
    // Until a pack begins to arrive there may be nothing for git to do.
    assert!(!orphans.is_empty() || !by_git() && begun.as_os_str().is_empty(), "git was at work");
    orphans.iter().for_each(|group| kill_process_group(*group, Signal::KILL).unwrap());
    forge.heal();
}

/// Silence at each of the steps of a transfer, and whether a pack has begun to arrive then.
fn silences() -> Vec<(Fault, Service, bool)> {
    let steps = [Service::Advertisement, Service::ListRefs, Service::FetchPack];
    let mut all: Vec<_> = steps.map(|step| (Fault::hang(), step, false)).into();
    all.push((Fault::stall_in_body(60), Service::ListRefs, false));
    let bytes = [2_000, 30_000, 100_000, 140_000];
    all.extend(bytes.map(|bytes| (Fault::stall_in_body(bytes), Service::FetchPack, true)));
    all
}

#[tokio::test]
async fn a_first_clone_killed_while_the_forge_sends_is_made_up_for() {
    for (fault, service, pack) in silences() {
        let (env, forge) = (TestEnv::new(), Forge::start().await);
        let alpha = prepared(&forge);
        let begun = if pack { env.storage().join(".holocron/tmp") } else { PathBuf::new() };
        let when = format!("{fault:?}");
        kill_in_transfer(&env, &forge, fault, service, &begun).await;
        backup(&env, &forge).run().await.assert_code(0);
        assert_safe(&env, &alpha, &BTreeMap::new(), &when).await;
        assert_eq!(std::fs::read_dir(env.storage().join(".holocron/tmp")).unwrap().count(), 0, "{when}: litter");
    }
}

#[tokio::test]
async fn an_update_killed_while_the_forge_sends_loses_nothing() {
    for (fault, service, pack) in silences() {
        let (env, forge) = (TestEnv::new(), Forge::start().await);
        let alpha = prepared(&forge);
        backup(&env, &forge).run().await.assert_code(0);
        let saved = env.refs(env.mirror_of(&alpha));
        changed(&alpha);
        let mirror = env.mirror_of(&alpha);
        let begun = if pack { mirror.clone() } else { PathBuf::new() };
        let when = format!("{fault:?}");
        kill_in_transfer(&env, &forge, fault, service, &begun).await;
        assert_eq!(env.refs(&mirror), saved, "{when}: nothing moves before everything is there");
        backup(&env, &forge).run().await.assert_code(0);
        assert_safe(&env, &alpha, &saved, &when).await;
        let litter = picture(&mirror).into_keys().any(|path| path.to_string_lossy().contains("tmp_"));
        assert!(!litter, "{when}: litter");
    }
}
