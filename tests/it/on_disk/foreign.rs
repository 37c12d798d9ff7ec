//! What lies in a mirror's place is checked to be that mirror, also when it is a known one.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::disk_kit::{assert_untouched, backup, backup_dir, git, outcome, picture, reason, verdict};
use crate::support::{Forge, TestEnv};

#[tokio::test]
async fn a_known_mirror_that_became_a_link_out_of_the_storage_is_held_and_nothing_there_is_touched() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").branch("old");
    backup(&env, &forge).run().await.assert_code(0);
    // A work repository of the same origin, with a branch of its own.
    let work = env.work().join("own.git");
    git(&env, env.work(), &["clone", "-q", "--mirror", &alpha.url(), work.to_str().unwrap()]).await;
    git(&env, &work, &["branch", "mine", "main"]).await;
    fs::remove_dir_all(env.mirror_of(&alpha)).unwrap();
    symlink(&work, env.mirror_of(&alpha)).unwrap();
    alpha.commit("main", "more").delete("old");
    let before = picture(&work);
    for more in [&[][..], &["--dry-run"][..]] {
        let run = backup(&env, &forge).args(more.iter().copied()).run().await;
        run.assert_code(3);
        assert_eq!((verdict(&run, "acme/alpha"), reason(&run, "acme/alpha")), ("held".into(), "held".into()), "{run}");
        let failure = outcome(&run, "acme/alpha")["failure"].clone();
        assert!(failure["message"].as_str().unwrap().contains("leads out of the storage"), "{failure:#}");
        assert!(failure["hint"].as_str().unwrap().contains("move it out"), "{failure:#}");
        assert_untouched(&before, &picture(&work));
    }
    // A repository that was renamed at its source would be moved there, and its configuration be written.
    let renamed = alpha.rename("acme/omega");
    let run = backup(&env, &forge).run().await;
    run.assert_code(3);
    assert_untouched(&before, &picture(&work));
    fs::remove_file(env.mirror_of(&forge.find("acme/omega").unwrap())).ok();
    fs::remove_file(env.storage().join(renamed.forge_folder()).join("acme/alpha.git")).ok();
    backup(&env, &forge).run().await.assert_code(0);
    assert_untouched(&before, &picture(&work));
}

#[tokio::test]
async fn a_known_mirror_that_became_another_repository_is_held_and_pushed_nowhere() {
    for has_origin in [true, false] {
        let (env, forge) = (TestEnv::new(), Forge::start().await);
        let (alpha, beta) = (forge.repo("acme/alpha").branch("main"), forge.repo("acme/beta").branch("other"));
        let there = env.bare_destination();
        let source = json!({"kind": "github", "api_url": forge.github_api(), "token": {"env": "FROM_TOKEN"}});
        let config =
            json!({"sources": [source], "destinations": [{"id": "there", "kind": "git", "url": there.template()}]});
        env.file("holocron.yaml", config.to_string());
        let run = || env.holocron(["--json", "--full", "--include", "acme/alpha"]).env("FROM_TOKEN", forge.token());
        run().run().await.assert_code(0);
        let pushed = there.refs("acme/alpha");
        let place = env.mirror_of(&alpha);
        fs::remove_dir_all(&place).unwrap();
        git(&env, env.work(), &["clone", "-q", "--mirror", &beta.url(), place.to_str().unwrap()]).await;
        if !has_origin {
            git(&env, &place, &["remote", "remove", "origin"]).await;
            git(&env, &place, &["branch", "mine", &beta.tip("other")]).await;
        }
        let before = picture(&place);
        alpha.commit("main", "more");
        let held = run().run().await;
        held.assert_code(3);
        assert_eq!(
            (verdict(&held, "acme/alpha"), reason(&held, "acme/alpha")),
            ("held".into(), "held".into()),
            "{held}"
        );
        assert_untouched(&before, &picture(&place));
        assert_eq!(there.refs("acme/alpha"), pushed);
    }
}

#[tokio::test]
async fn a_storage_that_is_itself_a_link_is_a_storage_like_any_other() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    fs::create_dir_all(env.work().join("disk")).unwrap();
    symlink(env.work().join("disk"), env.storage()).unwrap();
    backup(&env, &forge).run().await.assert_code(0);
    alpha.commit("main", "more");
    backup(&env, &forge).run().await.assert_code(0);
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn a_source_that_was_made_anew_with_another_hash_is_held_and_both_are_named() {
    let env = TestEnv::new();
    let source = env.work().join("src/alpha");
    for format in ["sha1", "sha256"] {
        if source.exists() {
            fs::remove_dir_all(&source).unwrap();
        }
        let format = format!("--object-format={format}");
        git(&env, env.work(), &["init", "-q", "-b", "main", &format, source.to_str().unwrap()]).await;
        git(&env, &source, &["commit", "-q", "--allow-empty", "-m", "one"]).await;
        let run = backup_dir(&env, "src").run().await;
        if format.ends_with("sha1") {
            run.assert_code(0);
            continue;
        }
        run.assert_code(3);
        assert_eq!(reason(&run, "alpha"), "held", "{run}");
        let message = outcome(&run, "alpha")["failure"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("SHA-256") && message.contains("SHA-1"), "{message}");
    }
}

#[tokio::test]
async fn a_repository_with_a_detached_head_only_is_saved_and_not_called_empty() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    let tip = alpha.tip("main");
    fs::write(alpha.git_dir().join("HEAD"), format!("{tip}\n")).unwrap();
    alpha.delete("main");
    for expected in ["cloned", "current"] {
        let run = backup(&env, &forge).run().await;
        run.assert_code(0);
        assert_eq!(verdict(&run, "acme/alpha"), expected, "{run}");
        git(&env, env.mirror_of(&alpha), &["cat-file", "-e", &tip]).await;
    }
}

#[tokio::test]
async fn a_login_that_is_wanted_where_no_token_was_sent_is_said_so() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let secret = forge.repo("acme/secret").private().branch("main");
    let run = env.holocron(["--backup-only", "--json", "--url", &secret.url()]).run().await;
    run.assert_code(3);
    let hint = outcome(&run, "acme/secret")["failure"]["hint"].as_str().unwrap().to_owned();
    assert_eq!(reason(&run, "acme/secret"), "auth_failed");
    assert!(hint.contains("no token was sent"), "{hint}");
}
