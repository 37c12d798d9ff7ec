//! Directories of bare repositories, with hooks and settings that refuse: what lands, what does not, and why.

use std::fs;

use serde_json::{Value, json};

use crate::net::{mirror, report};
use crate::support::{BareDestination, Repo, TestEnv};

/// A directory to read from and a directory to push to.
pub(super) struct Shelf {
    pub(super) env: TestEnv,
    pub(super) there: BareDestination,
    pub(super) alpha: Repo,
}

impl Shelf {
    pub(super) fn new(settings: &Value) -> Self {
        let env = TestEnv::new();
        let (there, alpha) = (env.bare_destination(), env.bare_repo("sources/acme/alpha.git"));
        let shelf = Shelf { env, there, alpha };
        shelf.configure(settings);
        shelf
    }

    pub(super) fn configure(&self, settings: &Value) {
        let source = json!({"id": "from", "kind": "dir", "dirs": [self.env.work().join("sources")]});
        let mut to = json!({"id": "to", "kind": "git", "url": self.there.template()});
        settings.as_object().unwrap().iter().for_each(|(key, value)| to[key] = value.clone());
        self.env.file("holocron.yaml", json!({"sources": [source], "destinations": [to]}).to_string());
    }

    /// Runs, and returns what is told of `acme/alpha` at the destination.
    pub(super) async fn run(&self, args: &[&str], code: i32) -> Value {
        let told = report(&self.env.holocron(["--json"]).args(args.iter().copied()).run().await, code);
        mirror(&told, "acme/alpha")["destinations"][0].clone()
    }

    pub(super) fn copy(&self) -> Repo {
        self.there.find("acme/alpha").expect("the copy was made")
    }

    /// The copy with hooks and settings of its own, before Holocron came.
    pub(super) fn foreign_copy(&self) -> Repo {
        self.there.repo("acme/alpha")
    }

    #[track_caller]
    pub(super) fn assert_pushed(&self) {
        self.env.assert_pushed(&self.alpha, &self.copy());
    }
}

/// The refused refs with their reasons, as `refs/heads/x push_rejected`.
pub(super) fn refused(told: &Value) -> Vec<String> {
    let all = told["refused"].as_array().expect("a list");
    all.iter().map(|one| format!("{} {}", one["name"].as_str().unwrap(), one["reason"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn a_bare_repository_is_made_kept_in_step_and_made_again() {
    let shelf = Shelf::new(&json!({}));
    shelf.alpha.batch(|b| b.branch("trunk").branch("dev").tag("v1").annotated_tag("v2").head("trunk"));
    assert_eq!(shelf.run(&[], 0).await["created"], true);
    shelf.assert_pushed();
    shelf.alpha.rename_default("main").delete("dev").branch("dev/x").force("main");
    let told = shelf.run(&["--window", "0"], 0).await;
    assert_eq!((&told["verdict"], &told["verified"]), (&"pushed".into(), &true.into()), "{told:#}");
    shelf.assert_pushed();
    assert_eq!(shelf.run(&["--full"], 0).await["verdict"], "current");
    fs::remove_dir_all(shelf.there.git_dir("acme/alpha")).unwrap();
    shelf.run(&["--full"], 0).await;
    shelf.assert_pushed();
}

#[tokio::test]
async fn what_is_no_repository_is_left_alone_and_named() {
    let shelf = Shelf::new(&json!({}));
    shelf.alpha.branch("main");
    let place = shelf.there.git_dir("acme/alpha");
    fs::create_dir_all(&place).unwrap();
    fs::write(place.join("letters.txt"), "mine").unwrap();
    let told = shelf.run(&[], 3).await;
    assert_eq!(told["verdict"], "failed", "{told:#}");
    assert!(told["failure"].to_string().contains("alpha.git"), "{told:#}");
    assert_eq!(fs::read_dir(&place).unwrap().count(), 1);
}

#[tokio::test]
async fn one_of_fifty_refs_is_refused_by_a_hook_and_forty_nine_land() {
    let shelf = Shelf::new(&json!({}));
    let names: Vec<String> = (0..49).map(|n| format!("b{n:02}")).collect();
    shelf.alpha.branch("main").batch(|b| names.iter().fold(b, |b, name| b.branch(name)));
    let hook = "#!/bin/sh\n[ \"$1\" != refs/heads/b17 ] || { echo 'b17 is not welcome' >&2; exit 1; }\n";
    shelf.foreign_copy().hook("update", hook);
    for args in [&[][..], &["--full"]] {
        let told = shelf.run(args, 3).await;
        assert_eq!((&told["verdict"], &told["degraded"]), (&"refused".into(), &true.into()), "{told:#}");
        assert_eq!(refused(&told), ["refs/heads/b17 push_rejected"]);
        let mut expected = shelf.alpha.refs();
        expected.remove("refs/heads/b17");
        assert_eq!(shelf.copy().refs(), expected);
    }
    let table = shelf.env.holocron([] as [&str; 0]).run().await;
    assert!(table.assert_code(3).stdout.contains("refs/heads/b17"), "{table}");
    // The hook is gone: the next run heals.
    fs::remove_file(shelf.copy().git_dir().join("hooks/update")).unwrap();
    assert_eq!(shelf.run(&[], 0).await["refs"]["created"], 1);
    shelf.assert_pushed();
}

#[tokio::test]
async fn a_hook_that_declines_everything_keeps_everything_out_and_says_so() {
    let shelf = Shelf::new(&json!({}));
    shelf.alpha.batch(|b| b.branch("main").branch("dev").tag("v1"));
    shelf.foreign_copy().hook("pre-receive", "#!/bin/sh\necho 'the shelf is closed' >&2\nexit 1\n");
    let told = shelf.run(&[], 3).await;
    assert_eq!(refused(&told).len(), 3, "{told:#}");
    assert!(told.to_string().contains("the shelf is closed") || told.to_string().contains("pre-receive"), "{told:#}");
    assert!(shelf.copy().refs().is_empty());
}

#[tokio::test]
async fn settings_of_the_receiver_refuse_deletions_moves_and_hidden_refs_one_by_one() {
    let shelf = Shelf::new(&json!({}));
    shelf.alpha.batch(|b| b.branch("main").branch("old").branch("dev").tag("v1"));
    shelf.foreign_copy();
    shelf.run(&[], 0).await;
    shelf.copy().receive("denyDeletes", "true");
    shelf.alpha.delete("old").commit("main", "more");
    let told = shelf.run(&["--window", "0"], 3).await;
    assert_eq!(refused(&told), ["refs/heads/old protected_ref_rejected"], "{told:#}");
    assert!(told.to_string().contains("prune: false"), "{told:#}");
    assert_eq!(shelf.copy().tip("main"), shelf.alpha.tip("main"));

    shelf.copy().receive("denyDeletes", "false").receive("denyNonFastForwards", "true");
    let before = shelf.copy().tip("dev");
    shelf.alpha.force("dev").commit("main", "still more");
    let told = shelf.run(&["--window", "0"], 3).await;
    assert_eq!(refused(&told), ["refs/heads/dev protected_ref_rejected"], "{told:#}");
    assert_eq!((shelf.copy().tip("dev"), shelf.copy().tip("main")), (before, shelf.alpha.tip("main")));

    shelf.copy().receive("denyNonFastForwards", "false").receive("hideRefs", "refs/heads/secret");
    shelf.alpha.branch("secret/x");
    let told = shelf.run(&["--window", "0"], 3).await;
    assert_eq!(refused(&told), ["refs/heads/secret/x protected_ref_rejected"], "{told:#}");
    assert_eq!(shelf.copy().tip("dev"), shelf.alpha.tip("dev"));
}

#[tokio::test]
async fn a_push_over_the_receivers_limit_goes_in_slices_along_history() {
    let shelf = Shelf::new(&json!({}));
    shelf.alpha.branch("main");
    for n in 0..8_usize {
        shelf.alpha.commit_file("main", &format!("file-{n}"), &crate::support::noise(60_000 + n));
    }
    shelf.alpha.tag("v1");
    let limit = shelf.foreign_copy().receive("maxInputSize", "150000");
    shelf.run(&[], 0).await;
    shelf.assert_pushed();
    // One file alone is over it.
    shelf.alpha.commit_file("main", "huge", &crate::support::noise(400_000)).branch("small");
    let had = limit.tip("main");
    let told = shelf.run(&["--window", "0"], 3).await;
    assert_eq!(limit.tip("main"), had);
    assert!(told.to_string().contains("too_large"), "{told:#}");
}

#[tokio::test]
async fn all_refs_means_notes_and_foreign_namespaces_and_never_our_own() {
    let shelf = Shelf::new(&json!({"refs": "all"}));
    shelf.alpha.batch(|b| b.branch("main").reference("refs/notes/commits").reference("refs/pull/1/head").branch("old"));
    shelf.run(&[], 0).await;
    assert_eq!(shelf.copy().refs(), shelf.alpha.refs());
    // A deletion leaves an old tip in our mirror.
    shelf.alpha.delete("old").force("main");
    shelf.run(&["--window", "0"], 0).await;
    assert_eq!(shelf.copy().refs(), shelf.alpha.refs());
    assert!(shelf.copy().refs().keys().all(|name| !name.starts_with("refs/holocron/")));
    let notes = Shelf::new(&json!({"refs": ["heads", "notes"]}));
    notes.alpha.batch(|b| b.branch("main").tag("v1").reference("refs/notes/commits").reference("refs/pull/1/head"));
    notes.run(&[], 0).await;
    assert_eq!(notes.copy().refs().into_keys().collect::<Vec<_>>(), ["refs/heads/main", "refs/notes/commits"]);
}

#[tokio::test]
async fn rolling_tags_move_under_keep_and_others_do_not() {
    let shelf = Shelf::new(&json!({"divergence": "keep", "rolling": ["latest", "v1"]}));
    shelf.alpha.batch(|b| b.branch("main").tag("latest").tag("v1").tag("v1.0"));
    shelf.run(&[], 0).await;
    let before = shelf.copy().tip("refs/tags/v1.0");
    shelf.alpha.commit("main", "more");
    shelf
        .alpha
        .batch(|b| b.point("refs/tags/latest", "main").point("refs/tags/v1", "main").point("refs/tags/v1.0", "main"));
    let told = shelf.run(&["--window", "0"], 3).await;
    assert_eq!((&told["verdict"], refused(&told)), (&"diverged".into(), vec!["refs/tags/v1.0 diverged".to_owned()]));
    let copy = shelf.copy();
    assert_eq!(copy.tip("refs/tags/latest"), shelf.alpha.tip("main"));
    assert_eq!(copy.tip("refs/tags/v1"), shelf.alpha.tip("main"));
    assert_eq!(copy.tip("refs/tags/v1.0"), before);
}

#[tokio::test]
async fn a_source_that_lost_everything_deletes_nothing_until_that_is_accepted() {
    let shelf = Shelf::new(&json!({}));
    let names: Vec<String> = (0..12).map(|n| format!("b{n:02}")).collect();
    shelf.alpha.branch("main").batch(|b| names.iter().fold(b, |b, name| b.branch(name)));
    shelf.run(&[], 0).await;
    let had = shelf.copy().refs();
    shelf.alpha.batch(|b| names.iter().fold(b, |b, name| b.delete(name)));
    for _ in 0..2 {
        let told = shelf.run(&["--window", "0"], 3).await;
        assert_eq!(shelf.copy().refs(), had, "{told:#}");
    }
    shelf.run(&["--accept-deletions", "acme/alpha", "--window", "0"], 0).await;
    shelf.assert_pushed();
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_named() {
    // Root may write anywhere: only a file in the way stops it.
    let shelf = Shelf::new(&json!({}));
    shelf.alpha.branch("main");
    fs::write(shelf.there.path().join("acme"), "a file").unwrap();
    let told = shelf.run(&[], 3).await;
    assert_eq!(told["failure"]["reason"], "local_failed", "{told:#}");
    assert!(told["failure"].to_string().contains("alpha.git"), "{told:#}");
}

#[tokio::test]
async fn a_repository_of_another_user_whose_hooks_would_run_is_for_a_person_to_trust() {
    let shelf = Shelf::new(&json!({}));
    shelf.env.global_git_config("# mine\n");
    shelf.alpha.branch("main");
    let copy = shelf.foreign_copy();
    if !rustix::process::geteuid().is_root() {
        // Only root can give a repository away.
        return;
    }
    std::os::unix::fs::chown(copy.git_dir(), Some(1234), Some(1234)).unwrap();
    let told = shelf.run(&[], 3).await;
    assert!(told["failure"].to_string().contains("safe.directory"), "{told:#}");
    assert_eq!(fs::read_to_string(shelf.env.home().join(".gitconfig")).unwrap(), "# mine\n");
    let trust = format!("[safe]\n\tdirectory = {}\n", copy.git_dir().display());
    shelf.env.global_git_config(&trust);
    shelf.run(&[], 0).await;
    shelf.assert_pushed();
}

#[tokio::test]
async fn a_branch_called_as_a_full_ref_goes_where_it_belongs() {
    let (shelf, odd) = (Shelf::new(&json!({})), "refs/heads/refs/heads/main");
    let alpha = &shelf.alpha;
    alpha.batch(|b| b.branch("main").reference(odd).tag("main").branch("tags/v1").tag("v1").branch("HEAD"));
    shelf.run(&[], 0).await;
    shelf.assert_pushed();
    alpha.force("main").point(odd, "main").commit("main", "more");
    shelf.run(&["--window", "0"], 0).await;
    shelf.assert_pushed();
    alpha.delete(odd);
    shelf.run(&["--window", "0"], 0).await;
    shelf.assert_pushed();
}

#[tokio::test]
async fn five_thousand_refused_refs_are_told_one_by_one_and_nothing_gets_stuck() {
    let shelf = Shelf::new(&json!({}));
    shelf.alpha.branch("main").many_refs(5000);
    let copy = shelf.foreign_copy();
    let hook = "#!/bin/sh\necho \"$1 is refused with a line that is long enough to fill a pipe\" >&2\nexit 1\n";
    copy.hook("update", hook);
    let told = shelf.run(&[], 3).await;
    let names: Vec<String> = shelf.alpha.refs().into_keys().collect();
    let expected: Vec<String> = names.iter().map(|name| format!("{name} push_rejected")).collect();
    assert_eq!((refused(&told), copy.refs().len()), (expected, 0));
    assert_eq!(told["refs"]["refused"], names.len());
}
