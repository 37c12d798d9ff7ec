//! The jobs of `docs/ci.md`, run as their runners would.

use std::fs;
use std::path::Path;

use serde_yaml::Value;

use super::{Pipeline, THERE_TOKEN};
use crate::documents::blocks;
use crate::support::{Dialect, Program};

/// The job whose block holds these words, as YAML.
fn job(words: &str) -> Value {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci.md")).unwrap();
    let found: Vec<String> = blocks(&text, "yaml").into_iter().filter(|block| block.contains(words)).collect();
    assert_eq!(found.len(), 1, "{words}: {found:#?}");
    serde_yaml::from_str(&found[0]).unwrap()
}

/// The steps of the only job of a workflow, and of them the one that mirrors.
fn steps(workflow: &Value) -> (&[Value], &Value) {
    let steps = workflow["jobs"]["mirror"]["steps"].as_sequence().expect("a list of steps");
    for step in steps {
        assert_ne!(step.get("uses").is_some(), step.get("run").is_some(), "{step:?}");
    }
    let mirrors = |step: &&Value| step["run"].as_str().is_some_and(|run| run.starts_with("holocron "));
    (steps, steps.iter().find(mirrors).expect("a step that mirrors"))
}

impl Pipeline {
    /// A runner's shell in the checkout; there is no configuration file.
    fn shell(&self, script: &str) -> Program {
        let program = Path::new(env!("CARGO_BIN_EXE_holocron"));
        let link = self.env.bin().join("holocron");
        if !link.exists() {
            fs::create_dir_all(self.env.bin()).unwrap();
            std::os::unix::fs::symlink(program, link).unwrap();
        }
        self.env.program("bash").args(["-euo", "pipefail", "-c", script]).cwd(&self.checkout)
    }

    /// The `env` of a step, with what the runner puts into it.
    fn with_env(&self, program: Program, step: &Value) -> Program {
        let values = step["env"].as_mapping().expect("variables").iter();
        values.fold(program, |program, (name, value)| {
            let (name, value) = (name.as_str().unwrap(), value.as_str().unwrap());
            match value {
                "${{ github.token }}" => program.env(name, super::SOURCE_TOKEN),
                _ if value.starts_with("${{ secrets.") => program.env(name, THERE_TOKEN),
                _ => program.env(name, value),
            }
        })
    }

    fn assert_mirrored(&self) {
        self.env.assert_pushed(&self.alpha, &self.there.find("acme/alpha").expect("the copy was made"));
        self.assert_clean();
    }
}

#[tokio::test]
async fn the_job_of_github_actions_mirrors_to_gitlab() {
    let pipeline = Pipeline::new().await;
    pipeline.there.organisation("acme", &["alice"]);
    let workflow = job("uses: actions/checkout@v4");
    let (all, step) = steps(&workflow);
    assert!(all[0]["uses"].is_string() && workflow["on"].as_mapping().unwrap().contains_key("delete"));
    let shell = pipeline.shell(step["run"].as_str().unwrap()).env("GITLAB_API_URL", pipeline.there.gitlab_api());
    pipeline.with_env(shell, step).run().await.assert_code(0);
    pipeline.assert_mirrored();
}

#[tokio::test]
async fn the_job_of_gitlab_mirrors_to_a_gitea() {
    let pipeline = Pipeline::new().await;
    pipeline.there.speak(Dialect::Gitea);
    pipeline.there.organisation("acme", &["alice"]);
    let job = job("CI_PIPELINE_SOURCE");
    let lines: Vec<&str> =
        job["mirror"]["script"].as_sequence().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    let place = lines[0].rsplit_once("--root ").unwrap().1;
    assert_eq!(job["mirror"]["cache"]["paths"][0].as_str().unwrap(), format!("{place}/"));
    // The server of the guide is not at hand; everything else is as it stands there.
    let script = lines[1].replace(&format!("{place}/bin/"), "").replace("--to codeberg", "--to gitea");
    assert_ne!(script, lines[1]);
    let shell = pipeline.shell(&script).env("GITEA_API_URL", pipeline.there.gitea_api());
    shell.env("GITEA_TOKEN", THERE_TOKEN).run().await.assert_code(0);
    pipeline.assert_mirrored();
}

#[tokio::test]
async fn the_job_of_forgejo_mirrors_a_private_repository_to_github_without_a_checkout() {
    let pipeline = Pipeline::new().await;
    pipeline.there.speak(Dialect::Github);
    pipeline.there.organisation("acme", &["alice"]);
    pipeline.alpha.private();
    fs::remove_dir_all(pipeline.checkout.join(".git")).unwrap();
    let workflow = job("runs-on: docker");
    let (_, step) = steps(&workflow);
    assert_eq!(step["env"]["GITHUB_API_URL"].as_str(), Some("https://api.github.com"));
    let server = pipeline.alpha.url().strip_suffix("/acme/alpha.git").unwrap().to_owned();
    let shell = pipeline.with_env(pipeline.shell(step["run"].as_str().unwrap()), step);
    let shell = shell.env("GITHUB_SERVER_URL", server).env("GITHUB_REPOSITORY", "acme/alpha");
    shell.env("GITHUB_API_URL", pipeline.there.github_api()).run().await.assert_code(0);
    pipeline.assert_mirrored();
}
