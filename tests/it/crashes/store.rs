//! The store is a cache: damaged, it is built anew and everything looked at; of a newer version, it is left alone.

use std::fs;
use std::path::PathBuf;

use crate::disk_kit::{backup, git, notes, verdict};
use crate::support::{Forge, Repo, TestEnv};

struct World {
    env: TestEnv,
    forge: Forge,
    alpha: Repo,
    store: PathBuf,
}

async fn world() -> World {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").tag("v1");
    backup(&env, &forge).run().await.assert_code(0);
    let store = env.storage().join(".holocron/state.sqlite");
    World { env, forge, alpha, store }
}

#[tokio::test]
async fn a_damaged_store_is_rebuilt_and_said_and_every_mirror_looked_at_again() {
    type Damage = fn(Vec<u8>) -> Vec<u8>;
    let damages: [(&str, Damage); 4] = [
        ("garbage", |_| b"this is no database, and long enough to look like one at first sight".repeat(40)),
        ("half of it", |bytes| bytes[..bytes.len() / 2].to_vec()),
        ("a few bytes", |bytes| bytes[..10].to_vec()),
        ("its middle gone", |mut bytes| {
            let length = bytes.len();
            bytes[100..length - 10].fill(0xee);
            bytes
        }),
    ];
    for (what, damage) in damages {
        let World { env, forge, alpha, store } = world().await;
        let broken = damage(fs::read(&store).unwrap());
        fs::write(&store, &broken).unwrap();
        // Nobody would look at this for the listing's sake.
        alpha.silently().commit("main", "unseen");
        let run = env.holocron(["--backup-only", "--json"]).github(&forge).run().await;
        run.assert_code(0);
        assert_eq!(
            (verdict(&run, "acme/alpha").as_str(), notes(&run, "acme/alpha").as_str()),
            ("updated", ""),
            "{what}"
        );
        assert!(run.json()["warnings"][0].as_str().unwrap().contains("built anew"), "{what}: {run}");
        env.assert_mirrored(&alpha);
        let names = fs::read_dir(store.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
        let aside = names.into_iter().find(|path| path.to_string_lossy().contains("sqlite.damaged-")).unwrap();
        assert_eq!(fs::read(aside).unwrap(), broken, "{what}: the damaged file is kept as it was");
        env.holocron(["status"]).run().await.assert_code(0);
        let run = env.holocron(["--backup-only", "--json"]).github(&forge).run().await;
        assert!(run.json()["warnings"].as_array().unwrap().is_empty(), "{what}: it is said once");
    }
}

#[tokio::test]
async fn a_store_that_is_gone_is_made_again_and_the_mirrors_are_taken_for_what_they_are() {
    let World { env, forge, alpha, store } = world().await;
    fs::remove_file(&store).unwrap();
    alpha.commit("main", "more");
    let run = backup(&env, &forge).run().await;
    assert_eq!((run.code, verdict(&run, "acme/alpha").as_str()), (0, "updated"));
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn a_store_of_a_newer_version_stops_the_run_and_stays_as_it_is() {
    let World { env, forge, alpha, store } = world().await;
    let mut bytes = fs::read(&store).unwrap();
    bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
    fs::write(&store, &bytes).unwrap();
    alpha.commit("main", "more");
    let before = env.refs(env.mirror_of(&alpha));
    for command in [backup(&env, &forge), backup(&env, &forge).arg("--dry-run"), env.holocron(["status"])] {
        let run = command.run().await;
        run.assert_code(1);
        assert!(run.stderr.contains("is of version 99, written by a newer holocron"), "{run}");
        assert!(run.stderr.contains("hint: "), "{run}");
    }
    assert_eq!(fs::read(&store).unwrap(), bytes);
    assert_eq!(env.refs(env.mirror_of(&alpha)), before);
}

#[tokio::test]
async fn a_forgotten_mirror_of_a_renamed_repository_is_not_taken_for_another_ones() {
    let World { env, forge, alpha, store } = world().await;
    fs::remove_file(&store).unwrap();
    let old_place = env.mirror_of(&alpha);
    alpha.rename("acme/beta");
    let stranger = forge.repo("acme/alpha").branch("trunk").commit("trunk", "something else");
    let run = backup(&env, &forge).run().await;
    // Its URL says that it is acme/alpha's: the old tips stay there as kept refs, whoever has the name now.
    run.assert_code(0);
    env.assert_mirrored(&alpha);
    env.assert_mirrored(&stranger);
    let tip = alpha.tip("main");
    assert!(!git(&env, &old_place, &["for-each-ref", "--contains", &tip]).await.is_empty(), "{run}");
}
