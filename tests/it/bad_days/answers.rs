//! Answers with status 200 that are none: git believes them, we must not.

use serde_json::json;

use super::Day;
use crate::net::{assert_failed, github, mirror, on_disk, report, status, verdicts};
use crate::support::{Fault, Forge, Repo, Service, TestEnv, by_git};

/// Git takes a connection that ends within the headers for an answer without refs; our own client does not.
fn breaks_for_us(fault: &Fault) -> bool {
    !by_git() && format!("{fault:?}").contains("Cut(")
}

/// Empty is only what a server says in git's protocol; then the mirror is held.
fn reason_of(fault: &Fault) -> &'static str {
    match format!("{fault:?}") {
        _ if breaks_for_us(fault) => "network_failed",
        text if text.contains("capabilities^{}") || text.contains("upload-pack-advertisement") => "held",
        _ => "server_error",
    }
}

fn empty_answers() -> [Fault; 4] {
    [Fault::empty_body(), Fault::html_line(), Fault::zero_refs(), Fault::cut_in_headers()]
}

/// A repository for each fault, so that one run meets them all.
fn one_for_each(forge: &Forge, faults: impl IntoIterator<Item = Fault>) -> Vec<Repo> {
    let repo = |(number, fault): (usize, Fault)| {
        let name = format!("acme/r{number}");
        forge.fault(fault.on_git(&name));
        forge.repo(&name).branch("main")
    };
    faults.into_iter().enumerate().map(repo).collect()
}

#[tokio::test]
async fn an_answer_without_refs_holds_the_mirror_and_deletes_nothing() {
    let day = Day::new().await;
    for (number, fault) in empty_answers().into_iter().enumerate() {
        let (shown, reason) = (format!("{fault:?}"), reason_of(&fault));
        day.forge.heal();
        day.forge.fault(fault.on_git("acme/alpha"));
        let told = report(&github(&day.env, &day.forge, []).run().await, 3);
        if reason != "held" {
            assert_failed(&told, "acme/alpha", reason);
            assert_eq!(on_disk(&day.env), day.before, "{shown}");
            continue;
        }
        let held = mirror(&told, "acme/alpha");
        assert_eq!((&held["verdict"], &held["failure"]["reason"]), (&json!("held"), &json!("held")), "{shown}");
        assert!(held["failure"]["hint"].as_str().unwrap().contains("--accept-deletions acme/alpha"), "{held:#}");
        assert!(held["failure"]["evidence"].as_str().unwrap().contains("no refs any more"), "{held:#}");
        assert_eq!(told["totals"]["held"], 1);
        assert_eq!(on_disk(&day.env), day.before, "{shown}");
        let told = status(&day.env).await;
        let known = mirror(&told, "acme/alpha");
        assert_eq!((&known["state"], &known["failures_in_a_row"]), (&json!("held"), &json!(number + 1)));
    }
    day.heals().await;
}

#[tokio::test]
async fn an_empty_answer_to_a_first_clone_is_a_failure_where_the_forge_knows_of_content() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let repos = one_for_each(&forge, empty_answers());
    for run in [
        github(&env, &forge, []),
        env.holocron(["--backup-only", "--json"]).gitlab(&forge),
        env.holocron(["--backup-only", "--json"]).gitea(&forge),
    ] {
        let told = report(&run.run().await, 3);
        for (repo, fault) in repos.iter().zip(empty_answers()) {
            let reason = if breaks_for_us(&fault) { "network_failed" } else { "server_error" };
            let why = assert_failed(&told, &repo.full_name(), reason);
            let words = if reason_of(&fault) == "held" { "has content" } else { "not in git's protocol" };
            assert!(breaks_for_us(&fault) || why["message"].as_str().unwrap().contains(words), "{why:#}");
        }
        assert_eq!(on_disk(&env).len(), 0);
    }
    forge.heal();
    report(&github(&env, &forge, []).run().await, 0);
    repos.iter().for_each(|repo| env.assert_mirrored(repo));
}

#[tokio::test]
async fn a_first_mirror_of_what_is_not_git_is_a_failure_and_no_empty_repository() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let repos = one_for_each(&forge, empty_answers());
    let urls: Vec<String> = repos.iter().flat_map(|repo| ["--url".to_owned(), repo.url()]).collect();
    for transport in ["auto", "git"] {
        let run = env.holocron(["--backup-only", "--json", "--transport", transport]).args(urls.clone());
        let told = report(&run.run().await, 3);
        for (repo, fault) in repos.iter().zip(empty_answers()) {
            let name = repo.full_name();
            if reason_of(&fault) == "held" {
                assert_eq!(mirror(&told, &name)["verdict"], "empty", "{told:#}");
                continue;
            }
            let cut = format!("{fault:?}").contains("Cut(") && transport == "auto";
            let why = assert_failed(&told, &name, if cut { "network_failed" } else { "server_error" });
            assert!(cut || why["hint"].as_str().unwrap().contains(&repo.url()), "{why:#}");
        }
        assert_eq!(on_disk(&env).len(), 1, "only the one that says in git's protocol that it is empty");
    }
    forge.heal();
    report(&env.holocron(["--backup-only", "--json"]).args(urls).run().await, 0);
    repos.iter().for_each(|repo| env.assert_mirrored(repo));
}

#[tokio::test]
async fn a_destination_that_is_not_git_is_a_failure_and_no_empty_repository() {
    let (env, forge, there) = (TestEnv::new(), Forge::start().await, Forge::start().await);
    forge.repo("acme/alpha").branch("main");
    there.repo("acme/alpha");
    there.fault(Fault::html_line().on_git("acme/alpha"));
    let url = format!("{}/{{namespace}}/{{name}}.git", there.url());
    let source = json!({"kind": "github", "api_url": forge.github_api(), "token": {"env": "FROM_TOKEN"}});
    let config = json!({"sources": [source], "destinations": [{"id": "there", "kind": "git", "url": url}]});
    env.file("holocron.yaml", config.to_string());
    let told = report(&env.holocron(["--json"]).env("FROM_TOKEN", forge.token()).run().await, 3);
    let failed = &mirror(&told, "acme/alpha")["destinations"][0]["failure"];
    assert_eq!(failed["reason"], "server_error", "{told:#}");
}

#[tokio::test]
async fn what_calls_itself_git_and_is_not_is_a_failure() {
    let day = Day::new().await;
    day.fails(Fault::empty_body().with_git_type().on_git("acme/alpha"), "network_failed").await;
    day.forge.heal();
    day.fails(Fault::html_line().with_git_type().on_git("acme/alpha"), "server_error").await;
    day.heals().await;
}

#[tokio::test]
async fn a_listing_that_names_files_of_git_is_refused() {
    let day = Day::new().await;
    let oid = "1234567890123456789012345678901234567890";
    let packet = |text: &str| format!("{:04x}{text}", text.len() + 4);
    for name in ["shallow", "config", "objects/info/alternates"] {
        let refs = packet(&format!("{oid} refs/heads/main\0agent=git/test\n")) + &packet(&format!("{oid} {name}\n"));
        let smart = packet("# service=git-upload-pack\n") + "0000" + &refs + "0000";
        // A server of plain files has a list of its own, as `git update-server-info` writes it.
        let plain = format!("{oid}\trefs/heads/main\n{oid}\t{name}\n");
        let smart = Fault::status(200).with_git_type().body(smart);
        for fault in [smart, Fault::status(200).header("content-type", "text/plain").body(plain)] {
            day.forge.heal();
            day.fails(fault.on_git("acme/alpha"), "server_error").await;
        }
    }
    day.heals().await;
}

#[tokio::test]
async fn an_empty_answer_at_a_later_step_is_a_failure_too() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let later = |service| {
        [Fault::empty_body(), Fault::html_line(), Fault::cut_in_headers()].map(|fault: Fault| fault.service(service))
    };
    let faults = || [later(Service::ListRefs), later(Service::FetchPack)].concat();
    let repos = one_for_each(&forge, faults());
    let told = report(&github(&env, &forge, ["--concurrency", "10"]).run().await, 3);
    assert_eq!(told["totals"]["failed"], 6, "{told:#}");
    assert_eq!(on_disk(&env).len(), 0);
    assert_eq!(std::fs::read_dir(env.storage().join(".holocron/tmp")).unwrap().count(), 0);

    forge.heal();
    report(&github(&env, &forge, []).run().await, 0);
    let before = on_disk(&env);
    for (repo, fault) in repos.iter().zip(faults()) {
        forge.fault(fault.on_git(&repo.commit("main", "more").full_name()));
    }
    let told = report(&github(&env, &forge, ["--concurrency", "10"]).run().await, 3);
    for line in verdicts(&told) {
        assert!(line.ends_with(" failed") || line.ends_with(" held"), "{line}");
    }
    assert_eq!(on_disk(&env), before);
    forge.heal();
    report(&github(&env, &forge, []).run().await, 0);
    repos.iter().for_each(|repo| env.assert_mirrored(repo));
}

#[tokio::test]
async fn an_empty_answer_once_is_looked_at_again_before_it_is_believed() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    forge.fault(Fault::empty_body().on_git("acme/alpha").once());
    assert_eq!(verdicts(&report(&github(&env, &forge, []).run().await, 0)), ["acme/alpha cloned"]);
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn a_damaged_source_costs_the_mirror_nothing() {
    let day = Day::new().await;
    let objects = day.alpha.git_dir().join("objects");
    let hidden = day.alpha.git_dir().join("hidden");
    std::fs::rename(&objects, &hidden).unwrap();
    std::fs::create_dir_all(objects.join("pack")).unwrap();
    let told = report(&github(&day.env, &day.forge, []).run().await, 3);
    let known = mirror(&told, "acme/alpha");
    assert!(["failed", "held"].contains(&known["verdict"].as_str().unwrap()), "{known:#}");
    assert_eq!(on_disk(&day.env), day.before);
    std::fs::remove_dir_all(&objects).unwrap();
    std::fs::rename(&hidden, &objects).unwrap();
    day.heals().await;
}

#[tokio::test]
async fn a_source_that_lacks_one_object_fails_and_the_mirror_stays() {
    let day = Day::new().await;
    let tip = day.alpha.tip("main");
    let object = day.alpha.git_dir().join("objects").join(&tip[..2]).join(&tip[2..]);
    let hidden = day.alpha.git_dir().join("hidden");
    std::fs::rename(&object, &hidden).unwrap();
    let told = report(&github(&day.env, &day.forge, []).run().await, 3);
    assert!(["failed", "held"].contains(&mirror(&told, "acme/alpha")["verdict"].as_str().unwrap()), "{told:#}");
    assert_eq!(on_disk(&day.env), day.before);
    assert!(!day.env.storage().join(".holocron/damaged").exists(), "the damage is not ours");
    std::fs::rename(&hidden, &object).unwrap();
    day.heals().await;
}
