//! Refs whose names are too long to be files here.

use std::fs;

use crate::disk_kit::{assert_whole, backup, outcome, reason, verdict};
use crate::support::{Forge, Repo, TestEnv};

/// Gives a repository a ref that only `packed-refs` has room for, as another file system or `reftable` lets it have.
fn add_packed(repo: &Repo, name: &str, oid: &str) {
    let file = repo.git_dir().join("packed-refs");
    let known = fs::read_to_string(&file).unwrap_or_default();
    // Without the header git takes nothing for sorted.
    let mut lines: Vec<&str> = known.lines().filter(|line| !line.starts_with('#')).collect();
    let line = format!("{oid} {name}");
    lines.push(&line);
    fs::write(&file, lines.join("\n") + "\n").unwrap();
}

#[tokio::test]
async fn a_ref_name_that_is_too_long_for_a_file_keeps_no_other_ref_from_moving() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").branch("old");
    backup(&env, &forge).run().await.assert_code(0);
    let long = format!("refs/heads/{}", "x".repeat(300));
    add_packed(&alpha, &long, &alpha.tip("main"));
    alpha.commit("main", "two").branch("new").delete("old");
    for expected in ["updated", "current"] {
        let run = backup(&env, &forge).run().await;
        run.assert_code(3);
        assert_eq!(verdict(&run, "acme/alpha"), expected, "{run}");
        assert_eq!(reason(&run, "acme/alpha"), "local_failed", "{run}");
        let failure = outcome(&run, "acme/alpha")["failure"].clone();
        assert!(failure["message"].as_str().unwrap().contains("311 bytes"), "{failure:#}");
        let mut wanted = alpha.refs();
        wanted.remove(&long);
        let mut have = env.refs(env.mirror_of(&alpha));
        have.retain(|name, _| !name.starts_with("refs/holocron/"));
        assert_eq!(have, wanted);
    }
}

#[tokio::test]
async fn a_first_mirror_saves_such_a_ref_and_says_when_it_cannot_follow_it() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    let long = format!("refs/heads/{}", "x".repeat(300));
    add_packed(&alpha, &long, &alpha.tip("main"));
    backup(&env, &forge).run().await.assert_code(0);
    assert_eq!(env.refs(env.mirror_of(&alpha)).get(&long), Some(&alpha.tip("main")));
    alpha.commit("main", "two");
    backup(&env, &forge).run().await.assert_code(0);
    // Moved at the source.
    add_packed(&alpha, &long, &alpha.tip("main"));
    let run = backup(&env, &forge).run().await;
    run.assert_code(3);
    assert_eq!(reason(&run, "acme/alpha"), "local_failed", "{run}");
    assert_whole(&env, env.mirror_of(&alpha)).await;
}
