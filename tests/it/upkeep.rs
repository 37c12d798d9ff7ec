//! The upkeep of mirrors after a run, and what a power cut or a killed git may leave of them.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use crate::disk_kit::{assert_whole, backup, git, notes, outcome, verdict};
use crate::support::{Forge, RecordingGit, Repo, TestEnv};

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() { open.push(entry) } else { found.push(entry) }
        }
    }
    found
}

fn packs(mirror: &Path) -> usize {
    files(&mirror.join("objects/pack")).iter().filter(|file| file.extension().is_some_and(|end| end == "pack")).count()
}

/// A mirror in 56 packs, whose source has something new.
async fn in_many_packs(env: &TestEnv, forge: &Forge) -> Repo {
    let alpha = forge.repo("acme/alpha").branch("main");
    backup(env, forge).run().await.assert_code(0);
    let script = "for i in $(seq 55); do echo $i | git hash-object -w --stdin | \
                  git pack-objects -q objects/pack/pack >/dev/null; done; git prune-packed";
    env.program("sh").args(["-c", script]).cwd(env.mirror_of(&alpha)).run().await.assert_code(0);
    alpha.commit("main", "more")
}

/// A git that says so through a pipe and hangs when it is to repack, with half a pack written.
fn hanging_repack(env: &TestEnv) -> pipe::Receiver {
    let pipe = env.home().join("repacking");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let script = "#!/bin/sh\ncase \" $* \" in *' repack '*)\n\
        for last in \"$@\"; do [ \"$before\" = --git-dir ] && dir=$last; before=$last; done\n\
        : >\"$dir/objects/pack/tmp_pack_half\"; echo here >@PIPE@; exec sleep 1000;; esac\nexec @GIT@ \"$@\"\n";
    let git = which::which("git").unwrap();
    let script = script.replace("@PIPE@", pipe.to_str().unwrap()).replace("@GIT@", git.to_str().unwrap());
    env.script("git", &script);
    let mut both = pipe::OpenOptions::new();
    both.read_write(true);
    both.open_receiver(&pipe).unwrap()
}

#[tokio::test]
async fn an_upkeep_that_is_stopped_leaves_the_mirror_and_no_litter() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = in_many_packs(&env, &forge).await;
    let mirror = env.mirror_of(&alpha);
    let mut repacking = hanging_repack(&env);
    let running = backup(&env, &forge).spawn();
    repacking.read_exact(&mut [0; 5]).await.unwrap();
    env.assert_mirrored(&alpha);
    assert!(mirror.join("objects/pack/tmp_pack_half").exists());
    running.signal(Signal::TERM);
    let run = running.wait().await;
    run.assert_code(0);
    assert_eq!((verdict(&run, "acme/alpha").as_str(), notes(&run, "acme/alpha").as_str()), ("updated", ""), "{run}");
    assert!(packs(&mirror) > 50 && !mirror.join("objects/pack/tmp_pack_half").exists());
    assert_whole(&env, &mirror).await;

    // It is made up for when the mirror is looked at next.
    fs::remove_file(env.bin().join("git")).unwrap();
    let run = backup(&env, &forge).run().await;
    assert_eq!(verdict(&run, "acme/alpha"), "current", "{run}");
    assert!(packs(&mirror) < 10, "{}", packs(&mirror));
    assert_eq!(outcome(&run, "acme/alpha")["packs"], packs(&mirror), "{run}");
    let status = env.holocron(["status", "--json"]).run().await.json();
    assert_eq!(status["mirrors"][0]["packs"], packs(&mirror));
    let du = env.program("du").args(["-s", "-B1"]).arg(&mirror).run().await.stdout;
    let bytes: u64 = du.split('\t').next().unwrap().parse().unwrap();
    assert_eq!(
        (&status["mirrors"][0]["size_bytes"], &outcome(&run, "acme/alpha")["size_bytes"]),
        (&bytes.into(), &bytes.into())
    );
}

#[tokio::test]
async fn upkeep_takes_no_longer_than_it_may() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = in_many_packs(&env, &forge).await;
    let _repacking = hanging_repack(&env);
    env.file("holocron.yaml", "maintenance: 1s\n");
    let run = backup(&env, &forge).run().await;
    run.assert_code(0);
    assert_eq!((verdict(&run, "acme/alpha").as_str(), notes(&run, "acme/alpha").as_str()), ("updated", ""), "{run}");
    assert_eq!(packs(&env.mirror_of(&alpha)), 57);
}

#[tokio::test]
async fn no_maintenance_is_none() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = in_many_packs(&env, &forge).await;
    let git = RecordingGit::install(&env);
    env.file("holocron.yaml", "maintenance: 0\n");
    backup(&env, &forge).run().await.assert_code(0);
    assert_eq!(packs(&env.mirror_of(&alpha)), 57);
    assert!(!git.calls().iter().any(|call| call.args.iter().any(|arg| arg == "repack")));
}

#[tokio::test]
async fn an_upkeep_that_fails_is_a_note_and_no_failure() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = in_many_packs(&env, &forge).await;
    let git = which::which("git").unwrap();
    let script =
        "#!/bin/sh\ncase \" $* \" in *' repack '*) echo 'fatal: no way' >&2; exit 128;; esac\nexec @GIT@ \"$@\"\n";
    env.script("git", &script.replace("@GIT@", git.to_str().unwrap()));
    let run = backup(&env, &forge).run().await;
    run.assert_code(0);
    assert!(notes(&run, "acme/alpha").contains("its upkeep failed: "), "{run}");
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn loose_refs_are_packed_when_there_are_many() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    backup(&env, &forge).run().await.assert_code(0);
    let loose = || files(&env.mirror_of(&alpha).join("refs")).len();
    let add = |from: usize, to: usize| {
        alpha.batch(|batch| (from..to).fold(batch, |batch, n| batch.branch(&format!("b{n}"))));
    };
    add(0, 150);
    backup(&env, &forge).run().await.assert_code(0);
    assert_eq!(loose(), 150, "few are left alone");
    add(150, 210);
    backup(&env, &forge).run().await.assert_code(0);
    assert_eq!(loose(), 0);
    env.assert_mirrored(&alpha);

    // So many at once are packed where they are made.
    add(210, 450);
    backup(&env, &forge).run().await.assert_code(0);
    assert_eq!(loose(), 0);
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn what_a_killed_git_leaves_stops_no_later_one() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").branch("old");
    backup(&env, &forge).run().await.assert_code(0);
    let mirror = env.mirror_of(&alpha);
    let pack =
        files(&mirror.join("objects/pack")).into_iter().find(|file| file.extension().is_some_and(|e| e == "pack"));
    let keep = pack.unwrap().with_extension("keep");
    let litter = ["packed-refs.new", "objects/pack/.tmp-12-pack-34.pack", "objects/pack/tmp_rev_x"];
    let litter: Vec<_> = litter.iter().map(|name| mirror.join(name)).chain([keep]).collect();
    litter.iter().for_each(|file| fs::write(file, "fetch-pack 12 on here\n").unwrap());
    let own = mirror.join("objects/pack/pack-of-mine.keep");
    fs::write(&own, "mine\n").unwrap();
    alpha.delete("old");
    backup(&env, &forge).run().await.assert_code(0);
    env.assert_mirrored(&alpha);
    assert_eq!(litter.iter().filter(|file| file.exists()).count(), 0);
    assert!(own.exists(), "a person's mark stays");
}

#[tokio::test]
async fn a_ref_is_on_the_disk_before_it_takes_the_place_of_the_one_before() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let traces = env.home().join("traces");
    fs::create_dir(&traces).unwrap();
    // Somebody for whom speed is all.
    let text = "[core]\n fsync = none\n fsyncMethod = writeout-only\n[trace2]\n eventTarget = @DIR@\n";
    env.global_git_config(&text.replace("@DIR@", traces.to_str().unwrap()));
    let alpha = forge.repo("acme/alpha").branch("main");
    backup(&env, &forge).run().await.assert_code(0);
    alpha.commit("main", "more");
    backup(&env, &forge).run().await.assert_code(0);
    let flushed = |command: &str| {
        let texts = files(&traces).into_iter().map(|file| fs::read_to_string(file).unwrap());
        let of = texts.filter(|text| text.contains(&format!("\"name\":\"{command}\"")));
        of.filter(|text| text.contains("hardware-flush")).count()
    };
    // Git counts them from 2.37 on.
    let version = git(&env, env.work(), &["--version"]).await;
    let minor = version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
    assert!(flushed("update-ref") > 0 || minor < Some(37) && version.contains(" 2."), "{:?}", files(&traces));
    assert!(flushed("clone") + flushed("index-pack") > 0 || minor < Some(37) && version.contains(" 2."));
}
