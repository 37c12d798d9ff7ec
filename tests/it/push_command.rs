//! `holocron push` in a pipeline: a checkout that is shallow, detached and somebody else's, and the origin behind it.

mod guide;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::net::{mirror, report};
use crate::support::{Dialect, Fault, Forge, Program, RecordingGit, Repo, Service, TestEnv};

const SOURCE_TOKEN: &str = "from+canary/1147=7411.qwertz";
const THERE_TOKEN: &str = "to+canary/2258=8522.asdfgh";
const IN_URL: &str = "job-canary-9361-lkjhgf";

/// A forge with `acme/alpha`, a GitLab to push to, and a pipeline's checkout of the first.
struct Pipeline {
    env: TestEnv,
    from: Forge,
    there: Forge,
    alpha: Repo,
    checkout: PathBuf,
}

impl Pipeline {
    async fn new() -> Self {
        let (env, from, there) = (TestEnv::new(), Forge::start().await, Forge::start().await);
        there.speak(Dialect::Gitlab);
        there.organisation("copies", &["alice"]);
        from.accept_token("alice", SOURCE_TOKEN);
        there.accept_token("alice", THERE_TOKEN);
        let alpha = from.repo("acme/alpha");
        alpha.batch(|b| {
            b.branch("trunk").commit("trunk", "two").branch("dev").tag("v1").annotated_tag("v2").head("trunk")
        });
        let checkout = env.work().join("checkout");
        let pipeline = Pipeline { env, from, there, alpha, checkout };
        pipeline.configure(&json!({}));
        pipeline.check_out().await;
        pipeline
    }

    /// As a runner does it: one commit, no branch, and files that belong to another user.
    async fn check_out(&self) {
        let at = self.checkout.display().to_string();
        self.env.git(["clone", "-q", "--depth=1", &self.alpha.url(), &at]).run().await.assert_code(0);
        self.env.git(["-C", &at, "checkout", "-q", "--detach"]).run().await.assert_code(0);
        self.disown();
    }

    /// Only root can give files away; anybody else tests with files of his own.
    fn disown(&self) {
        if rustix::process::geteuid().is_root() {
            for entry in files(&self.checkout).keys() {
                std::os::unix::fs::lchown(entry, Some(1234), Some(1234)).unwrap();
            }
            std::os::unix::fs::lchown(&self.checkout, Some(1234), Some(1234)).unwrap();
        }
    }

    async fn set_origin(&self, url: &str) {
        let file = self.checkout.join(".git/config").display().to_string();
        self.env.git(["config", "--file", &file, "remote.origin.url", url]).run().await.assert_code(0);
    }

    /// Writes the configuration beside the checkout: destinations `lab` and `disk`, and more settings.
    fn configure(&self, more: &Value) {
        let lab = json!({"id": "lab", "kind": "gitlab", "api_url": self.there.gitlab_api(), "namespace": "copies",
            "token": {"env": "LAB_TOKEN"}});
        let disk = json!({"id": "disk", "kind": "git", "url": self.disk().join("{name}.git")});
        let mut config = json!({"destinations": [lab, disk]});
        for (key, value) in more.as_object().unwrap() {
            config[key] = value.clone();
        }
        self.env.file("holocron.yaml", config.to_string());
    }

    fn disk(&self) -> PathBuf {
        self.env.work().join("disk")
    }

    /// `holocron push` in the checkout.
    fn push(&self, args: &[&str]) -> Program {
        let config = self.env.work().join("holocron.yaml");
        let program = self.env.holocron(["push", "--json", "--config"]).arg(config).args(args.iter().copied());
        program.cwd(&self.checkout).env("LAB_TOKEN", THERE_TOKEN)
    }

    #[track_caller]
    fn assert_arrived(&self) {
        self.env.assert_pushed(&self.alpha, &self.there.find("copies/alpha").expect("the copy was made"));
    }

    /// No temporary directory is left.
    #[track_caller]
    fn assert_clean(&self) {
        let left: Vec<_> = fs::read_dir(self.env.tmp()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "left in the temporary directory: {left:?}");
    }
}

/// Everything below a directory: owner, time of change and content.
fn files(dir: &Path) -> BTreeMap<PathBuf, (u32, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let data = fs::symlink_metadata(&path).unwrap();
        if data.is_dir() {
            found.extend(files(&path));
        }
        let content = if data.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        found.insert(path, (data.uid(), data.ctime_nsec(), content));
    }
    found
}

fn destinations(told: &Value) -> BTreeMap<String, String> {
    let all = mirror(told, "acme/alpha")["destinations"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    all.iter().map(|one| (text(&one["id"]), text(&one["verdict"]))).collect()
}

#[tokio::test]
async fn a_detached_shallow_checkout_of_another_user_carries_everything_that_origin_has() {
    let pipeline = Pipeline::new().await;
    let settings = "[user]\n\tname = someone\n# mine\n";
    pipeline.env.global_git_config(settings);
    let before = files(&pipeline.checkout);
    let told = report(&pipeline.push(&[]).run().await, 0);
    pipeline.assert_arrived();
    pipeline.env.assert_pushed(&pipeline.alpha, &Repo::existing(&pipeline.disk().join("alpha.git")));
    assert_eq!(
        destinations(&told),
        BTreeMap::from([("lab".into(), "pushed".into()), ("disk".into(), "pushed".into())])
    );
    assert!(before == files(&pipeline.checkout), "the checkout was changed");
    assert_eq!(fs::read_to_string(pipeline.env.home().join(".gitconfig")).unwrap(), settings);
    pipeline.assert_clean();
    assert!(!pipeline.env.storage().exists());
}

#[tokio::test]
async fn a_run_in_a_subdirectory_and_one_from_elsewhere_find_the_same_origin() {
    let pipeline = Pipeline::new().await;
    let deep = pipeline.checkout.join("a/b");
    fs::create_dir_all(&deep).unwrap();
    pipeline.push(&["--to", "lab"]).cwd(&deep).run().await.assert_code(0);
    pipeline.assert_arrived();
    let elsewhere = pipeline.push(&["--to", "disk", "-C", "checkout"]).cwd(pipeline.env.work());
    elsewhere.run().await.assert_code(0);
    // A relative origin is read from the top of the checkout, wherever one stands in it.
    let near = pipeline.env.bare_repo("near.git").branch("main");
    pipeline.set_origin("../near.git").await;
    pipeline.push(&["--to", "disk"]).cwd(&deep).run().await.assert_code(0);
    pipeline.env.assert_pushed(&near, &Repo::existing(&pipeline.disk().join("near.git")));
}

#[tokio::test]
async fn only_the_destinations_that_are_named_get_anything() {
    let pipeline = Pipeline::new().await;
    let told = report(&pipeline.push(&["--to", "disk"]).run().await, 0);
    assert_eq!(destinations(&told), BTreeMap::from([("disk".into(), "pushed".into())]));
    assert!(pipeline.there.requests().is_empty());
    let unknown = pipeline.push(&["--to", "labb"]).run().await;
    assert!(unknown.assert_code(2).stderr.contains("did you mean `lab`?"), "{unknown}");
    let dry = report(&pipeline.push(&["--dry-run"]).run().await, 0);
    assert_eq!(destinations(&dry)["lab"], "would_push");
    assert!(pipeline.there.find("copies/alpha").is_none());
    pipeline.assert_clean();
}

#[tokio::test]
async fn a_dry_run_downloads_nothing_and_says_would() {
    let pipeline = Pipeline::new().await;
    pipeline.push(&["--to", "lab"]).run().await.assert_code(0);
    pipeline.alpha.commit("trunk", "more").branch("new");
    let copy = pipeline.there.find("copies/alpha").unwrap();
    let had = copy.refs();
    pipeline.from.reset_log();
    let told = report(&pipeline.push(&["--dry-run"]).run().await, 0);
    assert_eq!(told["dry_run"], true);
    assert_eq!(pipeline.from.git_count(Service::FetchPack), 0, "no object is downloaded");
    let all = destinations(&told);
    assert!(all.values().all(|verdict| verdict == "would_push"), "{all:?}");
    let notes = told["mirrors"][0]["destinations"].to_string();
    assert!(notes.contains("would create refs/heads/new at "), "{notes}");
    assert!(notes.contains("would move refs/heads/trunk from "), "{notes}");
    assert!(notes.contains("is known only when the source is downloaded"), "{notes}");
    assert_eq!(copy.refs(), had);
    let config = pipeline.env.work().join("holocron.yaml");
    let people = pipeline.env.holocron(["push", "--dry-run", "--config"]).arg(config).cwd(&pipeline.checkout);
    let run = people.env("LAB_TOKEN", THERE_TOKEN).run().await;
    let text = (run.assert_code(0).stdout.clone() + &run.stderr).replace("would be cloned", "would be made");
    for deed in [" cloned", " pushed", " updated", ": created"] {
        assert!(!text.contains(deed), "{deed}: {run}");
    }
    assert!(text.contains("would push") && text.contains("would clone"), "{run}");
}

#[tokio::test]
async fn without_a_file_a_kind_and_its_token_are_enough() {
    let pipeline = Pipeline::new().await;
    let args = ["push", "--json", "--to", "gitlab", "--destination-namespace", "copies"];
    let program = pipeline.env.holocron(args).cwd(&pipeline.checkout);
    let program = program.env("GITLAB_TOKEN", THERE_TOKEN).env("GITLAB_API_URL", pipeline.there.gitlab_api());
    program.run().await.assert_code(0);
    pipeline.assert_arrived();
    let nowhere = pipeline.env.holocron(["push"]).cwd(&pipeline.checkout).run().await;
    assert!(nowhere.assert_code(2).stderr.contains("--to gitlab"), "{nowhere}");
    let no_token = pipeline.env.holocron(["push", "--to", "gitlab"]).cwd(&pipeline.checkout).run().await;
    assert!(no_token.assert_code(2).stderr.contains("GITLAB_TOKEN"), "{no_token}");
}

#[tokio::test]
async fn what_is_no_checkout_or_has_no_origin_is_named_with_the_way_out() {
    let pipeline = Pipeline::new().await;
    let empty = pipeline.env.tmp();
    let run = pipeline.push(&[]).cwd(&empty).run().await;
    assert!(run.code != 0 && run.stderr.contains("not a git repository"), "{run}");
    let file = pipeline.checkout.join(".git/config").display().to_string();
    pipeline.env.git(["config", "--file", &file, "--remove-section", "remote.origin"]).run().await.assert_code(0);
    let run = pipeline.push(&[]).run().await;
    assert!(run.assert_code(2).stderr.contains("no remote called origin"), "{run}");
    assert!(run.stderr.contains("--source-url"), "{run}");
    let url = pipeline.alpha.url();
    pipeline.push(&["--source-url", &url]).run().await.assert_code(0);
    pipeline.assert_arrived();
}

#[tokio::test]
async fn a_pipeline_on_the_mirror_itself_does_not_mirror_back() {
    let pipeline = Pipeline::new().await;
    // 127.0.0.1 is where the checkout came from; the primary forge is another.
    let primary = |otherwise: &str| json!({"run_from": {"forge": "primary.example.org", "otherwise": otherwise}});
    pipeline.configure(&primary("exit"));
    let ended = pipeline.push(&[]).run().await;
    assert!(ended.assert_code(0).stderr.contains("nothing is done"), "{ended}");
    assert!(pipeline.there.requests().is_empty() && !pipeline.disk().exists());

    pipeline.configure(&primary("read-only"));
    let looked = pipeline.push(&[]).run().await;
    assert!(looked.assert_code(0).stderr.contains("nothing is pushed"), "{looked}");
    let is_change = |request: &crate::support::Request| request.method != "GET" && request.path.contains("/api/");
    assert!(!pipeline.there.requests().iter().any(is_change) && !pipeline.disk().exists());
    assert_eq!(pipeline.there.git_count(Service::Push), 0);

    pipeline.configure(&primary("ignore"));
    pipeline.push(&[]).run().await.assert_code(0);
    pipeline.assert_arrived();
    let here = json!({"run_from": {"forge": "127.0.0.1", "otherwise": "exit"}});
    pipeline.configure(&here);
    pipeline.alpha.commit("trunk", "three");
    pipeline.push(&[]).run().await.assert_code(0);
    pipeline.assert_arrived();
}

#[tokio::test]
async fn a_private_origin_is_read_with_what_the_runner_left_in_the_checkout_and_nothing_leaks() {
    for way in ["url", "header", "insteadOf", "SOURCE_TOKEN"] {
        let pipeline = Pipeline::new().await;
        pipeline.alpha.private();
        pipeline.from.accept_token("alice", IN_URL);
        let base = pipeline.from.url().to_owned();
        let with_password = base.replace("http://", &format!("http://gitlab-ci-token:{IN_URL}@"));
        let mut program = pipeline.push(&["-v"]).env("HOLOCRON_LOG", "trace");
        match way {
            "url" => pipeline.set_origin(&pipeline.alpha.url().replace(&base, &with_password)).await,
            "header" => {
                use base64::Engine as _;
                let coded = base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{IN_URL}"));
                let file = pipeline.checkout.join(".git/config").display().to_string();
                let key = format!("http.{base}/.extraheader");
                let value = format!("AUTHORIZATION: basic {coded}");
                pipeline.env.git(["config", "--file", &file, &key, &value]).run().await.assert_code(0);
            }
            "insteadOf" => {
                pipeline.env.global_git_config(&format!("[url \"{with_password}\"]\n\tinsteadOf = {base}\n"))
            }
            _ => program = program.env("SOURCE_TOKEN", IN_URL),
        }
        let git = RecordingGit::install(&pipeline.env);
        let run = program.arg("--report").arg(pipeline.env.work().join("report.json")).run().await;
        run.assert_code(0);
        pipeline.assert_arrived();
        assert!(!format!("{run}").contains("canary"), "{way}: {run}");
        assert!(!fs::read_to_string(pipeline.env.work().join("report.json")).unwrap().contains("canary"), "{way}");
        // What is left on disk for good: the copy in a directory.
        for (path, (_, _, content)) in files(&pipeline.disk()) {
            assert!(!String::from_utf8_lossy(&content).contains("canary"), "{way}: {}", path.display());
        }
        for call in git.calls() {
            assert!(!call.mentions(IN_URL) && !call.mentions(THERE_TOKEN), "{way}: {call:?}");
        }
        // Each server saw its own token and no other.
        let sent = |forge: &Forge| {
            format!("{:?}", forge.requests().iter().map(|r| r.authorization().map(str::to_owned)).collect::<Vec<_>>())
        };
        assert!(!sent(&pipeline.there).contains(IN_URL), "{way}");
        let lab_sees = pipeline.there.requests();
        let coded = |token: &str, user: &str| {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.encode(format!("{user}:{token}"))
        };
        for user in ["gitlab-ci-token", "x-access-token", "git", "oauth2", ""] {
            assert!(
                !lab_sees.iter().any(|r| r.authorization().is_some_and(|a| a.contains(&coded(IN_URL, user)))),
                "{way}"
            );
        }
        pipeline.assert_clean();
    }
}

#[tokio::test]
async fn the_user_of_an_origin_is_the_one_that_its_server_is_told() {
    use base64::Engine as _;
    let coded = |user: &str| base64::engine::general_purpose::STANDARD.encode(format!("{user}:{IN_URL}"));
    // What stands before the host, the variables, and the user that the server hears; nobody is asked for a private one.
    for (login, variables, user) in [
        (format!("alice:{IN_URL}@"), vec![], "alice"),
        (format!("oauth2:{IN_URL}@"), vec![], "oauth2"),
        ("jdoe@".to_owned(), vec![("SOURCE_TOKEN", IN_URL)], "jdoe"),
        ("jdoe@".to_owned(), vec![("SOURCE_TOKEN", IN_URL), ("SOURCE_USER", "other")], "other"),
    ] {
        let pipeline = Pipeline::new().await;
        pipeline.alpha.private();
        pipeline.from.accept_token("alice", IN_URL);
        pipeline.set_origin(&pipeline.alpha.url().replace("http://", &format!("http://{login}"))).await;
        pipeline.from.reset_log();
        let program = variables.iter().fold(pipeline.push(&[]), |program, (name, value)| program.env(name, *value));
        program.run().await.assert_code(0);
        pipeline.assert_arrived();
        let heard: Vec<String> =
            pipeline.from.requests().iter().filter_map(|request| request.authorization().map(str::to_owned)).collect();
        assert!(!heard.is_empty() && heard.iter().all(|login| login.contains(&coded(user))), "{login}: {heard:?}");
    }
    // Alone, a user is a user: the server is asked as anybody, and a public repository needs no more.
    let pipeline = Pipeline::new().await;
    pipeline.set_origin(&pipeline.alpha.url().replace("http://", "http://jdoe@")).await;
    pipeline.from.reset_log();
    pipeline.push(&[]).run().await.assert_code(0);
    pipeline.assert_arrived();
    assert!(pipeline.from.requests().iter().all(|request| request.authorization().is_none()));
}

#[tokio::test]
async fn a_kept_storage_is_updated_and_not_cloned_again() {
    let pipeline = Pipeline::new().await;
    let store = pipeline.env.work().join("kept").display().to_string();
    pipeline.push(&["--storage", &store]).run().await.assert_code(0);
    let git = RecordingGit::install(&pipeline.env);
    let is = |call: &crate::support::Call, verb: &str| call.args.iter().any(|arg| arg == verb);
    pipeline.from.reset_log();
    pipeline.there.reset_log();
    pipeline.push(&["--storage", &store]).run().await.assert_code(0);
    assert!(!git.calls().iter().any(|call| is(call, "clone") || is(call, "push")));
    assert_eq!((pipeline.from.git_count(Service::FetchPack), pipeline.there.git_count(Service::Push)), (0, 0));
    pipeline.alpha.commit("trunk", "three").delete("dev");
    pipeline.push(&["--storage", &store]).run().await.assert_code(0);
    pipeline.assert_arrived();
    assert!(!git.calls().iter().any(|call| is(call, "clone")));
    pipeline.assert_clean();
}

#[tokio::test]
async fn a_failure_is_told_by_exit_code_and_report_and_leaves_nothing_behind() {
    let pipeline = Pipeline::new().await;
    pipeline.there.fault(Fault::status(403).on_any_git().service(Service::Push));
    let told = report(&pipeline.push(&[]).run().await, 3);
    assert_eq!(
        destinations(&told),
        BTreeMap::from([("lab".into(), "failed".into()), ("disk".into(), "pushed".into())])
    );
    pipeline.assert_clean();
    // The origin is gone: nothing is pushed anywhere.
    pipeline.alpha.remove();
    let told = report(&pipeline.push(&[]).run().await, 3);
    // A forge asks an anonymous reader for a login, whether there is such a repository or not.
    assert_eq!(mirror(&told, "acme/alpha")["failure"]["reason"], "auth_failed", "{told:#}");
    assert_eq!(destinations(&told)["disk"], "skipped");
    pipeline.assert_clean();
}

#[tokio::test]
async fn a_pipeline_that_is_cancelled_leaves_no_temporary_directory() {
    for signal in [Signal::TERM, Signal::INT] {
        let pipeline = Pipeline::new().await;
        pipeline.there.fault(Fault::hang().on_any_git());
        let running = pipeline.push(&[]).spawn();
        pipeline.there.until(|request| request.path.contains(".git/")).await;
        assert!(fs::read_dir(pipeline.env.tmp()).unwrap().count() > 0);
        running.signal(signal);
        running.wait().await;
        pipeline.assert_clean();
    }
}

#[tokio::test]
async fn an_emptied_origin_deletes_nothing_anywhere() {
    let pipeline = Pipeline::new().await;
    pipeline.push(&[]).run().await.assert_code(0);
    let had = pipeline.there.find("copies/alpha").unwrap().refs();
    for name in ["refs/heads/trunk", "refs/heads/dev", "refs/tags/v1", "refs/tags/v2"] {
        pipeline.alpha.delete(name);
    }
    assert!(pipeline.alpha.refs().is_empty());
    let told = report(&pipeline.push(&[]).run().await, 3);
    assert_eq!(destinations(&told)["lab"], "held", "{told:#}");
    assert_eq!(pipeline.there.find("copies/alpha").unwrap().refs(), had);
}
