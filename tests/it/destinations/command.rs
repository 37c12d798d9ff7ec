//! Destinations from the command line alone: flags, variables, and what is refused before anything is run.

use serde_json::Value;

use crate::net::{mirror, report};
use crate::support::{Dialect, Forge, Program, Repo, TestEnv};

/// A GitHub to read from and a forge to push to, with the organisation `copies`.
struct Typed {
    env: TestEnv,
    hub: Forge,
    there: Forge,
    alpha: Repo,
}

impl Typed {
    async fn new(kind: Dialect) -> Self {
        let (env, hub, there) = (TestEnv::new(), Forge::start().await, Forge::start().await);
        there.speak(kind);
        there.organisation("copies", &["alice"]);
        let alpha = hub.repo("acme/alpha").branch("main").tag("v1");
        Typed { env, hub, there, alpha }
    }

    /// Both servers are named by their variables; only the source's token is there.
    fn program(&self, args: &[&str]) -> Program {
        let program = self.env.holocron(["--json"]).args(args.iter().copied());
        let program = program.env("GITHUB_API_URL", self.hub.github_api()).env("GITHUB_TOKEN", self.hub.token());
        program.env("GITLAB_API_URL", self.there.gitlab_api()).env("GITEA_API_URL", self.there.gitea_api())
    }

    async fn run(&self, program: Program, code: i32) -> Value {
        report(&program.run().await, code)
    }

    fn assert_pushed(&self, name: &str) {
        self.env.assert_pushed(&self.alpha, &self.there.find(name).expect("it was made"));
    }
}

#[tokio::test]
async fn github_to_gitlab_is_two_flags_and_two_tokens() {
    let typed = Typed::new(Dialect::Gitlab).await;
    let both = ["--source", "github", "--destination", "gitlab"];
    let told = typed.run(typed.program(&both).env("GITLAB_TOKEN", typed.there.token()), 0).await;
    typed.assert_pushed("alice/alpha");
    assert_eq!(mirror(&told, "acme/alpha")["destinations"][0]["id"], "gitlab");
    // GitLab is also where mirrors go when nobody says where.
    let usual = Typed::new(Dialect::Gitlab).await;
    usual.run(usual.program(&[]).env("GITLAB_TOKEN", usual.there.token()), 0).await;
    usual.assert_pushed("alice/alpha");
}

#[tokio::test]
async fn without_gitlabs_token_nothing_is_run_and_the_way_out_is_named() {
    let typed = Typed::new(Dialect::Gitlab).await;
    for args in [&["--source", "github", "--destination", "gitlab"][..], &["--source", "github"], &[]] {
        let run = typed.program(args).run().await;
        run.assert_code(2);
        for words in ["GITLAB_TOKEN", "--backup-only"] {
            assert!(run.stderr.contains(words), "{words}: {run}");
        }
    }
    assert_eq!((typed.hub.requests().len(), typed.there.requests().len()), (0, 0));
    assert!(!typed.env.storage().exists());
}

#[tokio::test]
async fn the_namespace_may_be_a_group_and_mirror_the_sources_structure() {
    for (args, variables, name) in [
        (&["--gitlab-namespace", "copies"][..], vec![], "copies/alpha"),
        (&["--gitlab-namespace", "copies/of/{namespace}"], vec![], "copies/of/acme/alpha"),
        (&["--destination-namespace", "copies/{namespace}"], vec![], "copies/acme/alpha"),
        (&[], vec![("GITLAB_NAMESPACE", "copies/old")], "copies/old/alpha"),
        (
            &[],
            vec![("HOLOCRON_GITLAB_NAMESPACE", "copies/new"), ("GITLAB_NAMESPACE", "copies/old")],
            "copies/new/alpha",
        ),
    ] {
        let typed = Typed::new(Dialect::Gitlab).await;
        let program = typed.program(args).args(["--destination", "gitlab"]).env("GITLAB_TOKEN", typed.there.token());
        let program = variables.into_iter().fold(program, |program, (variable, value)| program.env(variable, value));
        typed.run(program, 0).await;
        assert_eq!(typed.there.names(), [name]);
        typed.assert_pushed(name);
    }
}

#[tokio::test]
async fn github_and_gitea_are_destinations_too_and_local_is_none() {
    let tea = Typed::new(Dialect::Gitea).await;
    let args = ["--destination", "gitea", "--destination-namespace", "copies"];
    tea.run(tea.program(&args).env("FORGEJO_TOKEN", tea.there.token()), 0).await;
    tea.assert_pushed("copies/alpha");

    // Another organisation on the very forge that is read from.
    let hub = Typed::new(Dialect::Github).await;
    hub.hub.speak(Dialect::Github);
    hub.hub.organisation("copies", &["alice"]);
    let refused = hub.program(&["--source", "github", "--destination", "github"]).run().await;
    assert!(refused.assert_code(2).stderr.contains("--destination-namespace NAME"), "{refused}");
    let args = ["--owner", "acme", "--destination", "github", "--destination-namespace", "copies"];
    hub.run(hub.program(&args), 0).await;
    hub.env.assert_pushed(&hub.alpha, &hub.hub.find("copies/alpha").unwrap());

    let local = Typed::new(Dialect::Gitlab).await;
    let told = local.run(local.program(&["--destination", "local"]), 0).await;
    assert_eq!(mirror(&told, "acme/alpha")["destinations"].as_array().unwrap().len(), 0);
    local.env.assert_mirrored(&local.alpha);
    assert_eq!(local.there.requests().len(), 0);
}

#[tokio::test]
async fn several_destinations_are_typed_with_commas_each_with_its_own_token() {
    let typed = Typed::new(Dialect::Gitlab).await;
    let tea = Forge::start().await;
    tea.speak(Dialect::Gitea);
    let program = typed.program(&["--destination", "gitlab,gitea"]).env("GITEA_API_URL", tea.gitea_api());
    typed.run(program.env("GITLAB_TOKEN", typed.there.token()).env("GITEA_TOKEN", tea.token()), 0).await;
    typed.assert_pushed("alice/alpha");
    typed.env.assert_pushed(&typed.alpha, &tea.find("alice/alpha").unwrap());
}

#[tokio::test]
async fn a_report_that_could_not_be_written_is_found_before_the_run() {
    let typed = Typed::new(Dialect::Gitlab).await;
    typed.env.file("there/report.json", "{}");
    for (path, words) in [("none/report.json", "there is no directory none"), ("there", "it is a directory")] {
        let path = typed.env.work().join(path);
        let run = typed.program(&["--backup-only", "--report"]).arg(&path).run().await;
        let words = words.replace("none", &typed.env.work().join("none").display().to_string());
        assert!(run.assert_code(2).stderr.contains(&words), "{words}: {run}");
        assert_eq!((run.stdout.as_str(), typed.hub.requests().len()), ("", 0));
    }
    assert!(!typed.env.storage().exists());
    // The storage is made by the run itself.
    typed.program(&["--backup-only", "--report", "mirror-data/report.json"]).run().await.assert_code(0);
    assert!(typed.env.storage().join("report.json").is_file());
}
