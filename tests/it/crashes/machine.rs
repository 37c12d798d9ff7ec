//! The machine around a run: git missing or old, another user's storage, an environment made for something else.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::disk_kit::{assert_untouched, backup, backup_dir, is_root, picture, reason, verdict};
use crate::support::{Fault, Forge, RecordingGit, TestEnv, old_git};

#[tokio::test]
async fn without_git_the_run_ends_and_says_what_to_install() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.repo("acme/alpha").branch("main");
    let run = backup(&env, &forge).env("PATH", env.bin()).run().await;
    run.assert_code(1);
    assert!(run.stderr.contains("cannot find the program git"), "{run}");
    assert!(run.stderr.contains("install git 2."), "{run}");
    assert!(!env.storage().exists());
}

#[tokio::test]
async fn an_old_git_ends_the_run_and_the_needed_version_and_its_reason_are_told() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.repo("acme/alpha").branch("main");
    old_git(&env);
    let run = backup(&env, &forge).run().await;
    run.assert_code(1);
    assert!(run.stderr.contains("git 2.20.1") && run.stderr.contains("is too old: 2.32.0 or newer is needed"), "{run}");
    assert!(run.stderr.contains("repack --geometric"), "the reason is told: {run}");
}

#[tokio::test]
async fn a_storage_of_another_user_works() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    backup(&env, &forge).run().await.assert_code(0);
    if is_root() {
        let owner = Command::new("chown").args(["-R", "54321:54321"]).arg(env.storage()).status();
        assert!(owner.unwrap().success());
    }
    alpha.commit("main", "more").force("main").branch("new").head("new");
    let run = backup(&env, &forge).run().await;
    assert_eq!((run.code, verdict(&run, "acme/alpha").as_str()), (0, "updated"), "{run}");
    env.assert_mirrored(&alpha);
    assert!(!env.home().join(".gitconfig").exists(), "nobody's configuration was changed for it");
}

#[tokio::test]
async fn a_source_of_another_user_is_read_when_the_reader_trusts_it_and_not_before() {
    let env = TestEnv::new();
    let alpha = env.bare_repo("src/alpha.git").branch("main");
    if is_root() {
        let owner = Command::new("chown").args(["-R", "54321:54321"]).arg(alpha.path()).status();
        assert!(owner.unwrap().success());
        let run = backup_dir(&env, "src").run().await;
        run.assert_code(3);
        assert_eq!(reason(&run, "alpha"), "local_failed");
        let hint = crate::disk_kit::outcome(&run, "alpha")["failure"]["hint"].to_string();
        assert!(hint.contains("safe.directory"), "{run}");
    }
    env.global_git_config(&format!("[safe]\n\tdirectory = {}\n", alpha.path().display()));
    backup_dir(&env, "src").run().await.assert_code(0);
    env.assert_same_refs(&alpha, "local/alpha.git");
}

#[tokio::test]
async fn variables_of_a_git_hook_that_started_us_change_nothing() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").tag("v1");
    let other = env.working_tree("other").branch("main");
    let program = || {
        backup(&env, &forge)
            .env("GIT_DIR", other.git_dir())
            .env("GIT_WORK_TREE", other.path())
            .env("GIT_INDEX_FILE", other.git_dir().join("index"))
            .env("GIT_OBJECT_DIRECTORY", other.git_dir().join("objects"))
            .env("GIT_NAMESPACE", "elsewhere")
            .env("GIT_CONFIG_PARAMETERS", "'remote.origin.mirror=false'")
            .cwd(other.path())
            .args(["--storage".into(), env.storage().into_os_string()])
    };
    let before = picture(other.path());
    program().run().await.assert_code(0);
    env.assert_mirrored(&alpha);
    alpha.commit("main", "more").delete("refs/tags/v1");
    program().run().await.assert_code(0);
    env.assert_mirrored(&alpha);
    assert_untouched(&before, &picture(other.path()));
}

/// A locale called German, with the data of C: enough for git to take its translation, where that is installed.
fn german(env: &TestEnv) -> std::path::PathBuf {
    let locales = env.home().join("locales");
    fs::create_dir(&locales).unwrap();
    let plain = ["/usr/lib/locale/C.utf8", "/usr/lib/locale/C.UTF-8"].map(Path::new);
    if let Some(plain) = plain.into_iter().find(|plain| plain.is_dir()) {
        let copied = Command::new("cp").arg("-r").arg(plain).arg(locales.join("de_DE.UTF-8")).status();
        assert!(copied.unwrap().success());
    }
    locales
}

#[tokio::test]
async fn under_a_german_locale_failures_are_told_apart_as_ever() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    for name in ["acme/alpha", "acme/beta", "acme/gamma"] {
        forge.repo(name).branch("main");
    }
    forge.fault(Fault::status(403).on_git("acme/alpha"));
    forge.fault(Fault::status(404).on_git("acme/beta"));
    let calls = RecordingGit::install(&env);
    let locales = german(&env);
    let run = backup(&env, &forge)
        .env("LOCPATH", locales)
        .env("LANG", "de_DE.UTF-8")
        .env("LC_ALL", "de_DE.UTF-8")
        .env("LANGUAGE", "de")
        .run()
        .await;
    run.assert_code(3);
    assert_eq!(reason(&run, "acme/alpha"), "forbidden", "{run}");
    assert_eq!(reason(&run, "acme/beta"), "remote_not_found", "{run}");
    assert_eq!(verdict(&run, "acme/gamma"), "cloned");
    for call in calls.calls() {
        let variable = |name: &str| call.env.get(name).map(String::as_str);
        assert_eq!((variable("LC_ALL"), variable("LANGUAGE"), variable("LC_MESSAGES")), (None, None, Some("C")));
        assert_eq!(variable("LC_CTYPE"), Some("de_DE.UTF-8"), "the encoding stays");
    }
}

#[tokio::test]
async fn a_temporary_directory_with_a_long_name_is_no_obstacle() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").private().branch("main");
    let deep = env.tmp().join("x".repeat(100)).join("y".repeat(100));
    fs::create_dir_all(&deep).unwrap();
    backup(&env, &forge).env("TMPDIR", &deep).run().await.assert_code(0);
    env.assert_mirrored(&alpha);
    assert_eq!(fs::read_dir(&deep).unwrap().count(), 0);
}

#[tokio::test]
async fn a_storage_with_blanks_and_letters_of_all_kinds_in_its_name_works() {
    let env = TestEnv::new();
    let alpha = env.bare_repo("src/a b/Ünï.git").branch("main");
    let storage = env.work().join("my mirrors; $(touch x) 'ü'");
    for text in ["one", "two"] {
        alpha.commit("main", text).force("main");
        let program = backup_dir(&env, "src").args(["--storage".into(), storage.clone().into_os_string()]);
        program.run().await.assert_code(0);
        env.assert_same_refs(&alpha, storage.join("local/a b/Ünï.git"));
    }
}
