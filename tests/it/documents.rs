//! Every configuration that the guides show is one that Holocron takes.

use std::path::Path;

use crate::support::TestEnv;

/// The fenced blocks of one language in a guide.
pub fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let indent = line.len() - line.trim_start().len();
        if line.trim() == format!("```{language}") {
            let inside = lines.by_ref().take_while(|line| line.trim() != "```");
            blocks.push(inside.map(|line| line.get(indent..).unwrap_or("").to_owned() + "\n").collect());
        }
    }
    blocks
}

/// A pipeline of a forge is YAML, too; what has one of our lists at its top is ours.
fn is_ours(block: &str) -> bool {
    ["sources:", "destinations:", "run_from:"].iter().any(|key| block.lines().any(|line| line.starts_with(key)))
}

/// Checks a configuration with all variables set that it names.
async fn check(block: &str, place: &str) {
    let env = TestEnv::new();
    env.file("holocron.yaml", block);
    let names =
        block.split("env: ").skip(1).filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next());
    let usual = ["GITHUB_TOKEN", "GITLAB_TOKEN", "CODEBERG_TOKEN", "FORGEJO_TOKEN"];
    let run =
        names.chain(usual).fold(env.holocron(["config", "check"]), |run, name| run.env(name, "a-token-of-a-guide"));
    let run = run.run().await;
    // The files and programs of a guide are not on this machine.
    let is_right = run.code == 0 || run.stderr.starts_with("error: the configuration is right, but ");
    assert!(is_right, "{place}:\n{block}\n{run}");
}

#[tokio::test]
async fn every_configuration_in_the_guides_is_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut guides = vec![root.join("README.md")];
    guides.extend(std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    guides.retain(|guide| guide.extension().is_some_and(|end| end == "md"));
    let mut checked = 0;
    for guide in guides {
        let text = std::fs::read_to_string(&guide).unwrap();
        for block in blocks(&text, "yaml").iter().filter(|block| is_ours(block)) {
            check(block, &guide.display().to_string()).await;
            checked += 1;
        }
    }
    assert!(checked >= 5, "{checked} configurations were found");
}

#[test]
fn the_guide_to_destinations_shows_nothing_but_configurations() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/destinations.md")).unwrap();
    let blocks = blocks(&text, "yaml");
    assert!(blocks.len() >= 4 && blocks.iter().all(|block| is_ours(block)), "{blocks:#?}");
}
