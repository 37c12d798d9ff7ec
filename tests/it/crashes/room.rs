//! No room: existing mirrors stay whole, and the report says `disk_full`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::disk_kit::{assert_whole, backup, is_root, outcome, reason, verdict};
use crate::support::{Forge, Program, TestEnv, noise};

/// A small file system, or for those who may not mount one a limit on the size of files.
struct SmallDisk {
    mounted: Option<PathBuf>,
}

impl SmallDisk {
    fn mount(dir: &Path, options: &str) -> Self {
        fs::create_dir_all(dir).unwrap();
        let mut mount = Command::new("mount");
        let done = mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(dir).stderr(std::process::Stdio::null());
        // Root in a container may not mount either.
        let mounted = is_root() && done.status().is_ok_and(|status| status.success());
        SmallDisk { mounted: mounted.then(|| dir.to_owned()) }
    }

    /// The program, limited where the disk is not.
    fn limit(&self, env: &TestEnv, program: Program) -> Program {
        if self.mounted.is_some() {
            return program;
        }
        // Of the large pack in these tests not even half fits; blocks of 1024 bytes.
        let script = "ulimit -f 600; trap '' XFSZ; exec \"$@\"";
        let limited = env.program("bash").args(["-c", script, "bash"]);
        program.under(limited)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Some(dir) = &self.mounted {
            let _ = Command::new("umount").arg("-l").arg(dir).status();
        }
    }
}

#[tokio::test]
async fn a_full_disk_leaves_every_mirror_whole_and_is_called_so() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let disk = SmallDisk::mount(&env.storage(), "size=3m");
    let alpha = forge.repo("acme/alpha").branch("main").branch("old").commit_file("main", "file", &noise(100_000));
    let beta = forge.repo("acme/beta").branch("main");
    backup(&env, &forge).run().await.assert_code(0);
    let before = env.refs(env.mirror_of(&alpha));

    alpha.commit_file("main", "big", &noise(6_000_000)).delete("old");
    beta.commit("main", "small");
    let gamma = forge.repo("acme/gamma").branch("main").commit_file("main", "big", &noise(6_000_000));
    let run = disk.limit(&env, backup(&env, &forge).args(["--concurrency", "1"])).run().await;
    run.assert_code(3);
    for name in ["acme/alpha", "acme/gamma"] {
        assert_eq!((verdict(&run, name).as_str(), reason(&run, name).as_str()), ("failed", "disk_full"), "{run}");
        assert!(outcome(&run, name)["failure"]["hint"].as_str().unwrap().contains("make room"), "{run}");
    }
    assert_eq!(env.refs(env.mirror_of(&alpha)), before);
    assert_whole(&env, env.mirror_of(&alpha)).await;
    env.assert_mirrored(&beta);
    assert!(!env.mirror_of(&gamma).exists());
    assert_eq!(fs::read_dir(env.storage().join(".holocron/tmp")).unwrap().count(), 0);

    // With room again everything is made up for.
    if let Some(dir) = &disk.mounted {
        let remount = [OsString::from("-o"), "remount,size=60m".into(), dir.clone().into()];
        assert!(Command::new("mount").args(remount).status().unwrap().success());
    }
    backup(&env, &forge).run().await.assert_code(0);
    [&alpha, &beta, &gamma].into_iter().for_each(|repo| env.assert_mirrored(repo));
    assert_whole(&env, env.mirror_of(&alpha)).await;
}

#[tokio::test]
async fn a_disk_without_a_byte_left_is_told_and_nothing_is_lost() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let disk = SmallDisk::mount(&env.storage(), "size=2m");
    let alpha = forge.repo("acme/alpha").branch("main");
    backup(&env, &forge).run().await.assert_code(0);
    let before = env.refs(env.mirror_of(&alpha));
    alpha.commit("main", "no room for this");
    if disk.mounted.is_some() {
        // Until the last block; how much that is only the file system knows.
        let filled = env.program("dd").args(["if=/dev/zero", "of=mirror-data/filler", "bs=4096"]).run().await;
        assert!(filled.stderr.contains("No space left"), "{filled}");
        forge.repo("acme/beta").branch("main");
        let run = backup(&env, &forge).run().await;
        run.assert_code(3);
        assert!(!run.to_string().contains("database"), "{run}");
        for name in ["acme/alpha", "acme/beta"] {
            assert_eq!((verdict(&run, name).as_str(), reason(&run, name).as_str()), ("failed", "disk_full"), "{run}");
        }
        assert_eq!(env.refs(env.mirror_of(&alpha)), before);
        assert_whole(&env, env.mirror_of(&alpha)).await;
        fs::remove_file(env.storage().join("filler")).unwrap();
    }
    backup(&env, &forge).run().await.assert_code(0);
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn a_storage_on_a_read_only_file_system_stops_the_run() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let disk = SmallDisk::mount(&env.storage(), "size=3m");
    let alpha = forge.repo("acme/alpha").branch("main");
    backup(&env, &forge).run().await.assert_code(0);
    match &disk.mounted {
        Some(dir) => assert!(Command::new("mount").args(["-o", "remount,ro"]).arg(dir).status().unwrap().success()),
        None => make_read_only(&env.storage()),
    }
    alpha.commit("main", "more");
    if disk.mounted.is_some() || !is_root() {
        let run = backup(&env, &forge).run().await;
        run.assert_code(1);
        assert!(run.stderr.contains(&env.storage().display().to_string()), "{run}");
        assert!(run.stderr.contains("hint: "), "{run}");
        // Looking goes on.
        env.holocron(["status"]).run().await.assert_code(0);
        let run = backup(&env, &forge).arg("--dry-run").run().await;
        assert_eq!((run.code, verdict(&run, "acme/alpha").as_str()), (0, "would_update"));
    }
}

fn make_read_only(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    for path in [dir.join(".holocron/lock"), dir.join(".holocron"), dir.to_owned()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o555)).unwrap();
    }
}

#[tokio::test]
async fn a_storage_below_a_file_is_named() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.repo("acme/alpha").branch("main");
    env.file("file", "");
    let run = backup(&env, &forge).args(["--storage", "file/below"]).run().await;
    run.assert_code(1);
    assert!(run.stderr.contains("file/below") && run.stderr.contains("--storage"), "{run}");
    assert!(forge.requests().is_empty(), "nobody is asked for what cannot be stored");
}
