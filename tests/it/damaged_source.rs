//! A source whose repository is damaged: named as that, with its server's words, and not tried three times.

use std::fs;
use std::path::PathBuf;

use crate::net::{assert_failed, github, report};
use crate::support::{Forge, Kind, Repo, Service, TestEnv, noise};

/// Takes an object of `main` away: what the source says it has, and cannot read.
async fn damage(env: &TestEnv, repo: &Repo, path: &str) {
    let id = env.git(["rev-parse", &format!("main:{path}")]).cwd(repo.git_dir()).run().await.stdout.trim().to_owned();
    // Loose, so that it can be taken away alone.
    let packs: Vec<PathBuf> = fs::read_dir(repo.git_dir().join("objects/pack"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "pack"))
        .collect();
    for pack in packs {
        let aside = env.work().join("aside.pack");
        fs::rename(&pack, &aside).unwrap();
        fs::remove_file(pack.with_extension("idx")).unwrap();
        let unpack = format!("git unpack-objects -q < '{}'", aside.display());
        env.program("sh").args(["-c", &unpack]).cwd(repo.git_dir()).run().await.assert_code(0);
    }
    fs::remove_file(repo.git_dir().join("objects").join(&id[..2]).join(&id[2..])).unwrap();
}

/// How often objects were asked for.
fn fetches(forge: &Forge) -> usize {
    let is_fetch = |kind: &Kind| matches!(kind, Kind::Git { service: Service::FetchPack, .. });
    forge.requests().iter().filter(|request| is_fetch(&request.kind)).count()
}

#[tokio::test]
async fn a_damaged_source_is_corrupt_with_its_servers_words_and_is_asked_once() {
    for transport in ["auto", "git"] {
        for known in [false, true] {
            let (env, forge) = (TestEnv::new(), Forge::start().await);
            let alpha = forge.repo("acme/alpha").branch("main").branch("dev");
            let run = || github(&env, &forge, ["--transport", transport]);
            if known {
                report(&run().run().await, 0);
            }
            alpha.commit_file("main", "big", &noise(4_000));
            damage(&env, &alpha, "big").await;
            forge.reset_log();
            let told = report(&run().run().await, 3);
            let failure = assert_failed(&told, "acme/alpha", "corrupt");
            let shown = failure["evidence"].as_str().unwrap();
            assert!(shown.contains("aborting due to possible repository corruption"), "{transport}: {failure:#}");
            assert!(shown.contains("remote: fatal: ") || shown.contains("remote: error: "), "{transport}: {failure:#}");
            assert!(failure["hint"].as_str().unwrap().contains("`git fsck`"), "{transport}: {failure:#}");
            assert_eq!(fetches(&forge), 1, "{transport}, known: {known}");
        }
    }
}
