//! Places that change, and places that two repositories would share.

use std::fs;

use serde_json::{Value, json};

use super::{KINDS, Pair, destination};
use crate::net::{mirror, report};
use crate::support::{Dialect, TestEnv};

fn there<'a>(told: &'a Value, name: &str) -> &'a Value {
    &mirror(told, name)["destinations"][0]
}

fn notes(told: &Value, name: &str) -> String {
    there(told, name)["notes"].to_string()
}

#[tokio::test]
async fn a_copy_is_renamed_with_its_source_and_the_old_name_is_free_for_another() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let alpha = pair.source.repo("acme/alpha").branch("main").commit("main", "one");
        pair.run(&[], 0).await;
        let id = pair.copy().id();
        alpha.rename("acme/beta");
        let told = pair.run(&[], 0).await;
        assert!(notes(&told, "acme/beta").contains("renamed there from copies/alpha to copies/beta"), "{told:#}");
        assert_eq!(pair.there.names(), ["copies/beta"], "{kind:?}");
        let copy = pair.there.find("copies/beta").unwrap();
        assert_eq!(copy.id(), id, "{kind:?}");
        pair.env.assert_pushed(&alpha, &copy);
        // The forge still redirects from the old name.
        let new = pair.source.repo("acme/alpha").branch("main").commit("main", "two");
        pair.run(&[], 0).await;
        assert_eq!(pair.there.names(), ["copies/alpha", "copies/beta"], "{kind:?}");
        pair.env.assert_pushed(&new, &pair.copy());
        pair.env.assert_pushed(&alpha, &copy);
    }
}

#[tokio::test]
async fn an_old_copy_that_cannot_follow_is_named_in_every_report_until_it_is_removed() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let alpha = pair.source.repo("acme/alpha").branch("main");
        pair.run(&[], 0).await;
        let (old, taken) = (pair.copy(), pair.there.repo("copies/beta").private());
        alpha.rename("acme/beta");
        for _ in 0..3 {
            let told = pair.run(&[], 0).await;
            assert!(notes(&told, "acme/beta").contains("an old copy is left at copies/alpha"), "{kind:?} {told:#}");
            pair.env.assert_pushed(&alpha, &taken);
        }
        old.remove();
        for _ in 0..2 {
            let told = pair.run(&[], 0).await;
            assert!(!notes(&told, "acme/beta").contains("old copy"), "{kind:?} {told:#}");
        }
    }
}

#[tokio::test]
async fn another_namespace_gets_a_new_copy_and_the_old_one_is_named() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let alpha = pair.source.repo("acme/alpha").branch("main");
        pair.run(&[], 0).await;
        // Another namespace: nothing is moved into it.
        pair.there.organisation("elsewhere", &["alice"]);
        pair.configure(&[json!({"namespace": "elsewhere"})]);
        let told = pair.run(&[], 0).await;
        assert!(notes(&told, "acme/alpha").contains("an old copy is left at copies/alpha"), "{kind:?} {told:#}");
        assert_eq!(pair.there.names(), ["copies/alpha", "elsewhere/alpha"], "{kind:?}");
        pair.env.assert_pushed(&alpha, &pair.there.find("elsewhere/alpha").unwrap());
    }
}

#[tokio::test]
async fn a_dry_run_renames_nothing() {
    let pair = Pair::new(Dialect::Gitea).await;
    let alpha = pair.source.repo("acme/alpha").branch("main");
    pair.run(&[], 0).await;
    alpha.rename("acme/beta");
    let told = pair.run(&["--dry-run"], 0).await;
    assert!(notes(&told, "acme/beta").contains("would be renamed there from copies/alpha"), "{told:#}");
    assert_eq!(pair.there.names(), ["copies/alpha"]);
}

#[tokio::test]
async fn a_new_repository_under_a_deleted_one_s_name_overwrites_its_copy_only_when_that_is_accepted() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        pair.source.repo("acme/beta").branch("main");
        let old = pair.source.repo("acme/alpha").branch("main").commit("main", "one");
        pair.run(&[], 0).await;
        let had = pair.copy().refs();
        old.remove();
        let new = pair.source.repo("acme/alpha").branch("main").commit("main", "two");
        for _ in 0..2 {
            let told = pair.run(&[], 3).await;
            let text = told.to_string();
            assert!(text.contains("their histories do not meet"), "{kind:?} {told:#}");
            assert!(text.contains("--accept-deletions acme/alpha"), "{told:#}");
            assert_eq!(pair.copy().refs(), had, "{kind:?}");
        }
        pair.run(&["--accept-deletions", "acme/alpha"], 0).await;
        pair.env.assert_pushed(&new, &pair.copy());
        new.commit("main", "three");
        pair.run(&["--window", "0"], 0).await;
        pair.env.assert_pushed(&new, &pair.copy());
    }
}

#[tokio::test]
async fn one_whose_history_meets_that_of_the_copy_goes_on_there() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        pair.source.repo("acme/beta").branch("main");
        let old = pair.source.repo("acme/alpha").branch("main");
        pair.run(&[], 0).await;
        let tip = old.tip("main");
        old.remove();
        let new = pair.source.repo("acme/alpha").branch("main");
        assert_eq!(new.tip("main"), tip, "the same history");
        new.commit("main", "more");
        pair.run(&[], 0).await;
        pair.env.assert_pushed(&new, &pair.copy());
    }
}

#[tokio::test]
async fn another_user_s_token_means_another_place() {
    for kind in KINDS {
        let pair = Pair::with(kind, &json!({"namespace": null})).await;
        let alpha = pair.source.repo("acme/alpha").branch("main");
        pair.run(&[], 0).await;
        let bob = pair.there.user("bob");
        alpha.commit("main", "more");
        report(&pair.program(&["--window", "0"]).env("TO", bob).run().await, 0);
        assert_eq!(pair.there.names(), ["alice/alpha", "bob/alpha"], "{kind:?}");
        pair.env.assert_pushed(&alpha, &pair.there.find("bob/alpha").unwrap());
    }
}

#[tokio::test]
async fn places_that_are_equal_once_the_user_is_known_are_refused_and_both_are_named() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        pair.source.repo("alice/tool").branch("main");
        pair.env.bare_repo("sources/tool.git").branch("main").commit("main", "another");
        let hub = json!({"id": "hub", "kind": "github", "api_url": pair.source.github_api(), "token": {"env": "FROM"}});
        let dir = json!({"id": "dir", "kind": "dir", "dirs": [pair.env.work().join("sources")]});
        let mut to = destination("to", kind, &pair.there);
        to["namespace"] = json!("{namespace}");
        let config = json!({"sources": [hub, dir], "destinations": [to]});
        pair.env.file("holocron.yaml", config.to_string());
        let told = pair.run(&[], 3).await;
        let mirrors = told["mirrors"].as_array().unwrap();
        assert_eq!(mirrors.len(), 2, "{told:#}");
        for mirror in mirrors {
            let failure = &mirror["destinations"][0]["failure"];
            assert_eq!(failure["reason"], "held", "{kind:?} {told:#}");
            let text = failure["message"].as_str().unwrap();
            assert!(text.contains("alice/tool") && text.contains("tool and") || text.contains("and tool"), "{text}");
        }
        assert!(pair.there.names().is_empty(), "{kind:?} {:?}", pair.there.names());
    }
}

#[tokio::test]
async fn two_destinations_do_not_give_one_place_to_two_repositories() {
    let pair = Pair::new(Dialect::Gitea).await;
    pair.source.repo("acme/alpha").branch("main");
    pair.source.repo("other/alpha").branch("foreign");
    pair.configure(&[json!({"include": ["acme/*"]}), json!({"include": ["other/*"]})]);
    let told = pair.run(&[], 3).await;
    for name in ["acme/alpha", "other/alpha"] {
        let text = there(&told, name)["failure"]["message"].as_str().unwrap();
        assert!(text.contains("acme/alpha and other/alpha would both land in copies/alpha"), "{text}");
    }
    assert!(pair.there.names().is_empty());
}

/// A directory to read from, and one to push to.
struct Shelf {
    env: TestEnv,
}

impl Shelf {
    fn new(template: &str) -> Self {
        let env = TestEnv::new();
        let source = json!({"id": "from", "kind": "dir", "dirs": [env.work().join("sources")]});
        let url = env.work().join("copies").join(template);
        let to = json!({"id": "to", "kind": "git", "url": url});
        env.file("holocron.yaml", json!({"sources": [source], "destinations": [to]}).to_string());
        Shelf { env }
    }

    async fn run(&self, code: i32) -> Value {
        report(&self.env.holocron(["--json"]).run().await, code)
    }

    fn has(&self, path: &str) -> bool {
        self.env.work().join("copies").join(path).join("HEAD").is_file()
    }
}

#[tokio::test]
async fn a_repository_without_a_namespace_leaves_no_gap_in_its_place() {
    for (template, place) in [
        ("{namespace}/{name}.git", "alpha.git"),
        ("x/{namespace}-{name}.git", "x/alpha.git"),
        ("{name}/{namespace}", "alpha"),
    ] {
        let shelf = Shelf::new(template);
        shelf.env.bare_repo("sources/alpha.git").branch("main");
        let told = shelf.run(0).await;
        assert!(shelf.has(place), "{template}: {told:#}");
        assert!(!there(&told, "alpha")["place"].as_str().unwrap().contains("copies//"), "{told:#}");
    }
}

#[tokio::test]
async fn a_directory_follows_a_changed_template_and_one_that_is_taken_is_named() {
    let shelf = Shelf::new("{namespace}/{name}.git");
    shelf.env.bare_repo("sources/acme/alpha.git").branch("main");
    shelf.env.bare_repo("sources/acme/beta.git").branch("main");
    shelf.run(0).await;
    assert!(shelf.has("acme/alpha.git") && shelf.has("acme/beta.git"));
    let file = shelf.env.work().join("holocron.yaml");
    let config = fs::read_to_string(&file).unwrap().replace("{namespace}/{name}.git", "all/{namespace}-{name}.git");
    fs::write(&file, config).unwrap();
    fs::create_dir_all(shelf.env.work().join("copies/all")).unwrap();
    let taken = shelf.env.bare_repo("copies/all/acme-beta.git");
    let told = shelf.run(0).await;
    assert!(shelf.has("all/acme-alpha.git") && !shelf.has("acme/alpha.git"), "{told:#}");
    assert!(notes(&told, "acme/alpha").contains("was renamed there"), "{told:#}");
    assert!(shelf.has("acme/beta.git") && taken.refs().len() == 1, "{told:#}");
    assert!(notes(&told, "acme/beta").contains("an old copy is left at"), "{told:#}");
    fs::remove_dir_all(shelf.env.work().join("copies/acme/beta.git")).unwrap();
    assert!(!notes(&shelf.run(0).await, "acme/beta").contains("old copy"));
}
