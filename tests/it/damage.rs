//! Mirrors that were damaged on disk: noticed, moved aside with every byte, cloned anew, and said; exit code 0.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::disk_kit::{assert_whole, backup, git, notes, outcome, picture, reason, verdict};
use crate::support::{Fault, Forge, Repo, Run, TestEnv, noise};

/// A mirrored repository about to be damaged.
struct Patient {
    env: TestEnv,
    forge: Forge,
    alpha: Repo,
    mirror: PathBuf,
}

impl Patient {
    async fn new() -> Self {
        let (env, forge) = (TestEnv::new(), Forge::start().await);
        let alpha = forge.repo("acme/alpha").branch("main").branch("dev").annotated_tag("v1");
        alpha.commit_file("main", "big", &noise(40_000)).commit("dev", "apart");
        backup(&env, &forge).run().await.assert_code(0);
        let mirror = env.mirror_of(&alpha);
        Patient { env, forge, alpha, mirror }
    }

    fn file(&self, path: &str) -> PathBuf {
        self.mirror.join(path)
    }

    /// The mirror's pack, or what belongs to it.
    fn pack(&self, extension: &str) -> PathBuf {
        let entries = fs::read_dir(self.file("objects/pack")).unwrap().map(|entry| entry.unwrap().path());
        let pack = entries.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "pack"));
        pack.expect("a clone makes one pack").with_extension(extension)
    }

    async fn run(&self) -> Run {
        backup(&self.env, &self.forge).run().await
    }

    /// What was moved aside; there must be one such mirror.
    fn aside(&self) -> PathBuf {
        let times = self.env.storage().join(".holocron/damaged");
        let mut times: Vec<_> = fs::read_dir(&times).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(times.len(), 1, "{times:?}");
        let below = self.mirror.strip_prefix(self.env.storage()).unwrap();
        times.remove(0).join(below)
    }

    /// Runs, and asserts that the mirror is healed and what it was is kept.
    async fn assert_healed(&self, what: &str) -> Run {
        let before = contents(&self.mirror);
        let run = self.run().await;
        assert_eq!((run.code, verdict(&run, "acme/alpha").as_str()), (0, "cloned"), "{what}: {run}");
        let told = notes(&run, "acme/alpha");
        let aside = self.aside();
        let place = aside.strip_prefix(self.env.storage()).unwrap().display().to_string();
        assert!(told.contains("was damaged") && told.contains(&place), "{what}: {told}");
        assert_eq!(contents(&aside), before, "{what}: moved aside as it was");
        self.env.assert_mirrored(&self.alpha);
        assert_whole(&self.env, &self.mirror).await;
        let again = self.run().await;
        assert_eq!((again.code, verdict(&again, "acme/alpha").as_str()), (0, "current"), "{what}: {again}");
        run
    }
}

/// Relative paths and bytes of all files.
fn contents(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let all = picture(root).into_iter().filter(|(path, _)| path.is_file());
    all.map(|(path, entry)| (path.strip_prefix(root).unwrap().to_owned(), entry.3)).collect()
}

/// Packs are read-only files.
fn rewrite(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_pack_that_is_missing_truncated_or_empty_is_healed() {
    type Damage = (&'static str, fn(&Patient));
    let damages: [Damage; 6] = [
        ("pack missing", |patient| fs::remove_file(patient.pack("pack")).unwrap()),
        ("index missing", |patient| fs::remove_file(patient.pack("idx")).unwrap()),
        ("pack and index missing", |patient| {
            let (pack, index) = (patient.pack("pack"), patient.pack("idx"));
            fs::remove_file(pack).unwrap();
            fs::remove_file(index).unwrap();
        }),
        ("pack truncated", |patient| rewrite(&patient.pack("pack"), |bytes| bytes.truncate(bytes.len() / 2))),
        ("pack empty", |patient| rewrite(&patient.pack("pack"), Vec::clear)),
        ("index empty", |patient| rewrite(&patient.pack("idx"), Vec::clear)),
    ];
    for (what, damage) in damages {
        let patient = Patient::new().await;
        damage(&patient);
        patient.assert_healed(what).await;
    }
}

#[tokio::test]
async fn a_broken_ref_is_healed() {
    let missing = "1234567890123456789012345678901234567890\n";
    for (what, file, text) in [
        ("garbage", "refs/heads/dev", "garbage\n"),
        ("empty", "refs/heads/dev", ""),
        (
            "NULs, as after a power cut",
            "refs/heads/dev",
            "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        ),
        ("object missing", "refs/heads/dev", missing),
        ("half a line of packed refs", "packed-refs", "# pack-refs with: peeled fully-peeled sorted \n12345678"),
        ("object missing, of a new ref", "refs/heads/new", missing),
    ] {
        let patient = Patient::new().await;
        fs::write(patient.file(file), text).unwrap();
        patient.assert_healed(what).await;
    }
}

#[tokio::test]
async fn a_head_or_configuration_that_is_broken_is_healed() {
    for (what, file, text) in [
        ("HEAD empty", "HEAD", Some("")),
        ("HEAD garbage", "HEAD", Some("garbage\n")),
        ("HEAD missing", "HEAD", None),
        ("config broken", "config", Some("[core\n\tbare = maybe\n")),
        ("config of a future format", "config", Some("[core]\n\trepositoryformatversion = 99\n\tbare = true\n")),
        ("config empty", "config", Some("")),
        ("config missing", "config", None),
    ] {
        let patient = Patient::new().await;
        match text {
            Some(text) => fs::write(patient.file(file), text).unwrap(),
            None => fs::remove_file(patient.file(file)).unwrap(),
        }
        patient.assert_healed(what).await;
    }
}

#[tokio::test]
async fn a_folder_of_git_that_is_missing_is_healed() {
    for folder in ["objects", "refs"] {
        let patient = Patient::new().await;
        fs::remove_dir_all(patient.file(folder)).unwrap();
        patient.assert_healed(folder).await;
    }
}

#[tokio::test]
async fn corrupt_bytes_in_the_middle_of_a_pack_are_noticed_when_an_update_needs_them() {
    let patient = Patient::new().await;
    rewrite(&patient.pack("pack"), |bytes| {
        let length = bytes.len();
        bytes[12..length - 20].fill(0x55);
    });
    // The new commit comes as a change of what the mirror should have.
    patient.alpha.commit("main", "more").commit("dev", "more").force("dev");
    let run = patient.assert_healed("middle of the pack").await;
    assert_eq!(outcome(&run, "acme/alpha")["failure"], serde_json::Value::Null);
}

#[tokio::test]
async fn a_corrupt_file_that_only_its_next_version_needs_is_noticed_too() {
    let patient = Patient::new().await;
    // A pack with the large file alone in its middle, which no look at commits and trees reads.
    let text: Vec<u8> = (0..20_000_u32).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
    patient.alpha.commit_file("main", "text", &text);
    patient.run().await.assert_code(0);
    let blob = git(&patient.env, &patient.mirror, &["rev-parse", "main:text"]).await;
    for entry in fs::read_dir(patient.file("objects/pack")).unwrap() {
        let index = entry.unwrap().path();
        if index.extension().is_none_or(|ending| ending != "idx") {
            continue;
        }
        let listed = git(&patient.env, &patient.mirror, &["verify-pack", "-v", index.to_str().unwrap()]).await;
        if let Some(line) = listed.lines().find(|line| line.starts_with(&blob)) {
            let fields: Vec<usize> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
            let (size, offset) = (fields[fields.len() - 2], fields[fields.len() - 1]);
            rewrite(&index.with_extension("pack"), |bytes| bytes[offset + 10..offset + size - 10].fill(0x55));
        }
    }
    // A small change at its end comes as a delta against the file that is broken here.
    patient.alpha.commit_file("main", "text", &[&text[..], b"one more line\n"].concat());
    let run = patient.run().await;
    assert_eq!((run.code, verdict(&run, "acme/alpha").as_str()), (0, "cloned"), "{run}");
    patient.env.assert_mirrored(&patient.alpha);
    assert_whole(&patient.env, &patient.mirror).await;
}

#[tokio::test]
async fn locks_and_leftovers_of_a_killed_git_are_removed_and_said() {
    let locks =
        ["packed-refs.lock", "HEAD.lock", "refs/heads/main.lock", "refs/heads/a/b.lock", "config.lock", "shallow.lock"];
    for changed in [false, true] {
        let patient = Patient::new().await;
        let litter = ["objects/pack/tmp_pack_aBcDeF", "objects/pack/tmp_idx_aBcDeF"];
        for file in locks.iter().chain(&litter) {
            fs::create_dir_all(patient.file(file).parent().unwrap()).unwrap();
            fs::write(patient.file(file), "left behind").unwrap();
        }
        if changed {
            patient.alpha.commit("main", "more").delete("dev").head("elsewhere");
        }
        let run = patient.run().await;
        assert_eq!(run.code, 0, "{run}");
        assert_eq!(verdict(&run, "acme/alpha"), if changed { "updated" } else { "current" });
        let told = notes(&run, "acme/alpha");
        assert!(locks.iter().all(|lock| told.contains(lock)), "{told}");
        assert!(locks.iter().chain(&litter).all(|file| !patient.file(file).exists()));
        assert!(!patient.env.storage().join(".holocron/damaged").exists());
        patient.env.assert_mirrored(&patient.alpha);
    }
}

#[tokio::test]
async fn a_damaged_mirror_stays_where_it_is_while_its_source_cannot_be_reached_or_is_empty() {
    let patient = Patient::new().await;
    fs::write(patient.file("HEAD"), "").unwrap();
    let before = contents(&patient.mirror);
    patient.forge.fault(Fault::status(404).on_git("acme/alpha"));
    let run = patient.run().await;
    run.assert_code(3);
    let told = outcome(&run, "acme/alpha")["failure"]["message"].to_string();
    assert!(told.contains("is damaged") && told.contains("could not be cloned anew"), "{told}");
    assert_eq!(contents(&patient.mirror), before);

    patient.forge.heal();
    let refs: Vec<_> = patient.alpha.refs().into_keys().collect();
    let tags = patient.alpha.silently();
    refs.iter().for_each(|name| drop(tags.delete(name)));
    let run = patient.run().await;
    run.assert_code(3);
    assert_eq!((verdict(&run, "acme/alpha").as_str(), reason(&run, "acme/alpha").as_str()), ("held", "held"));
    assert_eq!(contents(&patient.mirror), before);
    assert!(!patient.env.storage().join(".holocron/damaged").exists());
}

#[tokio::test]
async fn what_the_damaged_mirror_keeps_and_the_source_has_lost_goes_into_the_new_one() {
    for (damage, text) in [("HEAD", ""), ("config", "[core\n"), ("refs/heads/broken", "garbage\n")] {
        let patient = Patient::new().await;
        let old = patient.alpha.tip("dev");
        patient.alpha.force("dev");
        patient.run().await.assert_code(0);
        let kept: Vec<_> = patient.env.refs(&patient.mirror).into_iter().filter(|(_, oid)| *oid == old).collect();
        assert_eq!(kept.len(), 1);
        let (rewritten, tag) = (patient.alpha.tip("dev"), patient.alpha.tip("refs/tags/v1"));

        fs::write(patient.file(damage), text).unwrap();
        patient.alpha.force("dev").commit("dev", "other").delete("refs/tags/v1").commit("main", "forward");
        let run = patient.assert_healed(damage).await;
        assert!(notes(&run, "acme/alpha").contains("3 kept refs"), "{}", notes(&run, "acme/alpha"));
        let after = patient.env.refs(&patient.mirror);
        assert_eq!(after.get(&kept[0].0), Some(&old), "{damage}: an old tip stays under its old name");
        let aside = |oid: &String| after.iter().any(|(name, at)| name.starts_with("refs/holocron/kept/") && at == oid);
        assert!(aside(&rewritten) && aside(&tag), "{damage}: {after:#?}");
        assert_eq!(after.keys().filter(|name| name.starts_with("refs/holocron/")).count(), 3);
    }
}

#[tokio::test]
async fn kept_refs_that_are_damaged_themselves_are_told_and_do_not_hold_the_rest_back() {
    let patient = Patient::new().await;
    let old = patient.alpha.tip("dev");
    patient.alpha.delete("dev");
    patient.run().await.assert_code(0);
    let broken = patient.file("refs/holocron/kept/20260101T000000Z/refs/heads/lost");
    fs::create_dir_all(broken.parent().unwrap()).unwrap();
    fs::write(&broken, "1234567890123456789012345678901234567890\n").unwrap();
    let run = patient.assert_healed("a kept ref").await;
    let told = notes(&run, "acme/alpha");
    assert!(told.contains("1 kept ref could not be read"), "{told}");
    assert!(patient.env.refs(&patient.mirror).values().any(|oid| *oid == old));
}

#[tokio::test]
async fn the_users_own_broken_git_configuration_is_not_taken_for_damage() {
    let patient = Patient::new().await;
    patient.env.global_git_config("[core\n\tthis is no configuration\n");
    // So that git has something to do.
    patient.alpha.commit("main", "more");
    let before = contents(&patient.mirror);
    let run = patient.run().await;
    assert!(matches!(run.code, 1 | 3), "{run}");
    assert!(run.to_string().contains("bad config line"), "{run}");
    assert_eq!(contents(&patient.mirror), before);
    assert!(!patient.env.storage().join(".holocron/damaged").exists());
}

#[tokio::test]
async fn a_damaged_mirror_whose_source_lost_most_refs_is_held_until_that_is_accepted() {
    type Damage = fn(&Patient);
    let damages: [(Damage, usize); 2] = [
        (|patient| fs::write(patient.file("HEAD"), "").unwrap(), 9),
        // Then only the record tells how many there were.
        (
            |patient| {
                fs::remove_dir_all(patient.file("refs")).unwrap();
                fs::remove_file(patient.file("packed-refs")).unwrap();
            },
            0,
        ),
    ];
    for (damage, saved) in damages {
        let patient = Patient::new().await;
        patient.alpha.many_refs(12);
        patient.run().await.assert_code(0);
        patient.alpha.batch(|batch| (1..=9).fold(batch, |batch, number| batch.delete(&format!("many/{number:05}"))));
        damage(&patient);
        let before = contents(&patient.mirror);
        for _ in 0..2 {
            let run = patient.run().await;
            run.assert_code(3);
            assert_eq!((verdict(&run, "acme/alpha").as_str(), reason(&run, "acme/alpha").as_str()), ("held", "held"));
            let failure = outcome(&run, "acme/alpha")["failure"].to_string();
            assert!(failure.contains("9 of 15 refs") && failure.contains("--accept-deletions acme/alpha"), "{failure}");
            assert_eq!(contents(&patient.mirror), before, "nothing was replaced");
            assert!(!patient.env.storage().join(".holocron/damaged").exists());
        }
        let run = backup(&patient.env, &patient.forge).args(["--accept-deletions", "acme/alpha"]).run().await;
        assert_eq!((run.code, verdict(&run, "acme/alpha").as_str()), (0, "cloned"), "{run}");
        assert_eq!(contents(&patient.aside()), before);
        patient.env.assert_mirrored(&patient.alpha);
        let refs = patient.env.refs(&patient.mirror);
        assert_eq!(refs.keys().filter(|name| name.starts_with("refs/holocron/kept/")).count(), saved, "{refs:?}");
    }
}

#[tokio::test]
async fn a_mirror_that_vanished_is_cloned_anew_and_that_is_said() {
    let patient = Patient::new().await;
    fs::remove_dir_all(&patient.mirror).unwrap();
    let run = patient.run().await;
    assert_eq!((run.code, verdict(&run, "acme/alpha").as_str()), (0, "cloned"), "{run}");
    assert_eq!(notes(&run, "acme/alpha"), "the mirror that was here, with 3 refs, is missing; cloned anew.");
    patient.env.assert_mirrored(&patient.alpha);
    assert_eq!(notes(&patient.run().await, "acme/alpha"), "");
}

/// Lets git complain of damage and die of a signal when it is called for this verb.
fn kill_git_at(env: &TestEnv, verb: &str) {
    let real = which::which("git").unwrap();
    let script = "#!/bin/sh\ncase \" $* \" in *' @VERB@ '*) echo 'fatal: bad object HEAD' >&2; kill -KILL $$ ;; esac\n\
                  exec @GIT@ \"$@\"\n";
    env.script("git", &script.replace("@VERB@", verb).replace("@GIT@", real.to_str().unwrap()));
}

#[tokio::test]
async fn a_git_that_was_killed_proves_no_damage() {
    // The second one dies while it looks whether damage that another one met is ours.
    for verb in ["for-each-ref", "fsck"] {
        let patient = Patient::new().await;
        if verb == "fsck" {
            rewrite(&patient.pack("pack"), |bytes| {
                let length = bytes.len();
                bytes[12..length - 20].fill(0x55);
            });
        }
        if verb == "for-each-ref" {
            // What a configuration includes is for git to read.
            let config = fs::read_to_string(patient.file("config")).unwrap();
            fs::write(patient.file("config"), config + "[include]\n").unwrap();
        }
        patient.alpha.commit("main", "more").commit("dev", "more").force("dev");
        kill_git_at(&patient.env, verb);
        let run = patient.run().await;
        run.assert_code(3);
        let failure = (verdict(&run, "acme/alpha"), reason(&run, "acme/alpha"));
        assert_eq!(failure, ("failed".to_owned(), "local_failed".to_owned()), "{verb}: {run}");
        assert!(run.to_string().contains("killed by signal 9"), "{verb}: {run}");
        assert!(!patient.env.storage().join(".holocron/damaged").exists(), "{verb}");
        fs::remove_file(patient.env.bin().join("git")).unwrap();
        let run = patient.run().await;
        let expected = if verb == "fsck" { "cloned" } else { "updated" };
        assert_eq!((run.code, verdict(&run, "acme/alpha").as_str()), (0, expected), "{verb}: {run}");
        patient.env.assert_mirrored(&patient.alpha);
    }
}

#[tokio::test]
async fn a_pack_without_an_index_beside_a_whole_mirror_is_no_damage() {
    let patient = Patient::new().await;
    // As an index-pack leaves it that was killed between its two renames.
    let half = "objects/pack/pack-1234567890123456789012345678901234567890.pack";
    fs::copy(patient.pack("pack"), patient.file(half)).unwrap();
    let run = patient.run().await;
    assert_eq!((run.code, verdict(&run, "acme/alpha").as_str()), (0, "current"), "{run}");
    patient.alpha.commit("main", "more");
    let run = patient.run().await;
    assert_eq!((run.code, verdict(&run, "acme/alpha").as_str()), (0, "updated"), "{run}");
    assert!(!patient.env.storage().join(".holocron/damaged").exists());
    // Where it is missed, it is healed.
    let (pack, index) = (patient.pack("pack"), patient.pack("idx"));
    assert!(pack.exists());
    for entry in fs::read_dir(patient.file("objects/pack")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "idx") {
            fs::remove_file(path).unwrap();
        }
    }
    assert!(!index.exists());
    patient.assert_healed("all indexes missing").await;
}
