//! A storage that the Python Holocron left: its mirrors are taken over when they are what they seem, else left alone.

use std::fs;
use std::path::PathBuf;

use crate::disk_kit::{assert_untouched, backup, git, notes, picture, text, verdict};
use crate::support::{Forge, Repo, TestEnv};

/// What the Python Holocron made of a repository: a bare clone in the top of the storage, token and all.
async fn python_mirror(env: &TestEnv, repo: &Repo, token: &str) -> PathBuf {
    let name = repo.full_name().rsplit_once('/').unwrap().1.to_owned();
    let place = env.storage().join(format!("{name}.git"));
    fs::create_dir_all(env.storage()).unwrap();
    let url = repo.url_with(token);
    git(env, env.work(), &["clone", "-q", "--mirror", &url, place.to_str().unwrap()]).await;
    git(env, &place, &["config", "remote.origin.pushurl", &url]).await;
    git(env, &place, &["config", "remote.gitlab.url", &url.replace("test:", "oauth2:")]).await;
    place
}

#[tokio::test]
async fn a_mirror_of_the_python_holocron_moves_to_its_place_and_loses_its_token() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").private().branch("main").branch("old");
    let place = python_mirror(&env, &alpha, &forge.token()).await;
    let packs = picture(&place.join("objects/pack")).len();
    assert!(packs > 0 && text(&place, "config").contains(&forge.token()));
    alpha.commit("main", "new").delete("old");
    forge.reset_log();

    let run = backup(&env, &forge).run().await;
    run.assert_code(0);
    assert_eq!(verdict(&run, "acme/alpha"), "updated");
    assert!(notes(&run, "acme/alpha").contains("adopted"), "{run}");
    assert!(!place.exists());
    env.assert_mirrored(&alpha);
    let mirror = env.mirror_of(&alpha);
    assert!(!text(&mirror, "config").contains(&forge.token()), "{}", text(&mirror, "config"));
    assert!(env.refs(&mirror).keys().any(|name| name.ends_with("/refs/heads/old")), "what the source lost is kept");
    assert!(!run.stdout.contains(&forge.token()) && !run.stderr.contains(&forge.token()));
    let run = backup(&env, &forge).run().await;
    assert_eq!((run.code, notes(&run, "acme/alpha").as_str()), (0, ""));
}

#[tokio::test]
async fn its_checkout_moves_along_and_loses_its_token_too() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    let place = python_mirror(&env, &alpha, &forge.token()).await;
    let tree = place.with_extension("");
    git(&env, env.work(), &["clone", "-q", place.to_str().unwrap(), tree.to_str().unwrap()]).await;
    git(&env, &tree, &["config", "remote.origin.pushurl", &alpha.url_with(&forge.token())]).await;
    fs::write(tree.join("notes of mine"), "not committed\n").unwrap();
    backup(&env, &forge).run().await.assert_code(0);
    let moved = env.mirror_of(&alpha).with_extension("");
    assert!(!tree.exists());
    assert_eq!(text(&moved, "notes of mine"), "not committed\n");
    assert!(!text(&moved, ".git/config").contains(&forge.token()), "{}", text(&moved, ".git/config"));
    git(&env, &moved, &["fetch", "-q"]).await;
}

#[tokio::test]
async fn a_mirror_of_another_repository_or_host_is_left_alone() {
    let (env, forge, other) = (TestEnv::new(), Forge::start().await, Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    let strange = other.repo("acme/alpha").branch("main").commit("main", "of another host");
    let place = python_mirror(&env, &strange, &other.token()).await;
    let before = picture(&place);
    let run = backup(&env, &forge).run().await;
    run.assert_code(0);
    assert_eq!(verdict(&run, "acme/alpha"), "cloned");
    env.assert_mirrored(&alpha);
    assert_untouched(&before, &picture(&place));
}

#[tokio::test]
async fn a_repository_of_the_users_in_a_mirrors_place_is_not_touched() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    let beta = forge.repo("acme/beta").branch("main");
    let place = env.mirror_of(&alpha);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    git(&env, env.work(), &["init", "-q", "--bare", place.to_str().unwrap()]).await;
    fs::create_dir_all(env.mirror_of(&beta).parent().unwrap()).unwrap();
    fs::write(env.mirror_of(&beta), "a file\n").unwrap();
    let before = (picture(&place), picture(&env.mirror_of(&beta)));
    let run = backup(&env, &forge).run().await;
    run.assert_code(3);
    assert_eq!((verdict(&run, "acme/alpha"), verdict(&run, "acme/beta")), ("failed".into(), "failed".into()));
    assert_untouched(&before.0, &picture(&place));
    assert_untouched(&before.1, &picture(&env.mirror_of(&beta)));
}

#[tokio::test]
async fn a_mirror_that_lies_in_its_place_already_loses_its_token_too() {
    for damaged in [false, true] {
        let (env, forge) = (TestEnv::new(), Forge::start().await);
        let alpha = forge.repo("acme/alpha").private().branch("main");
        let place = python_mirror(&env, &alpha, &forge.token()).await;
        let (mirror, tree) = (env.mirror_of(&alpha), env.mirror_of(&alpha).with_extension(""));
        fs::create_dir_all(mirror.parent().unwrap()).unwrap();
        fs::rename(&place, &mirror).unwrap();
        git(&env, env.work(), &["clone", "-q", mirror.to_str().unwrap(), tree.to_str().unwrap()]).await;
        git(&env, &tree, &["config", "remote.origin.pushurl", &alpha.url_with(&forge.token())]).await;
        if damaged {
            fs::write(mirror.join("HEAD"), "").unwrap();
        }
        let run = backup(&env, &forge).run().await;
        run.assert_code(0);
        assert_eq!(verdict(&run, "acme/alpha"), if damaged { "cloned" } else { "current" });
        env.assert_mirrored(&alpha);
        for (path, (.., bytes)) in picture(&env.storage()) {
            let found = bytes.windows(forge.token().len()).any(|part| part == forge.token().as_bytes());
            assert!(!found, "the token is left in {}", path.display());
        }
        assert_eq!(git(&env, &mirror, &["config", "remote.origin.url"]).await, alpha.url());
        let again = backup(&env, &forge).run().await;
        assert_eq!((again.code, notes(&again, "acme/alpha").as_str()), (0, ""), "{again}");
    }
}
