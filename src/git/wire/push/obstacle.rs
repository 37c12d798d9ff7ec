//! What speaks for leaving a push to git, beside all that speaks for leaving a look to it.

use std::path::Path;

use super::super::obstacle::{Errand, says_nothing};
use super::super::{Unhandled, Wire};
use crate::git::{Git, Remote};

/// Words one of which stands in every configuration that has a setting of [`matters`], be it in a file it includes.
const WORDS: &[&str] = &["push", "postbuffer", "include"];

impl Git {
    /// Why a push from the repository `dir` is left to git.
    pub(super) async fn push_obstacle(&self, wire: &Wire, dir: &Path, remote: &Remote) -> Option<Unhandled> {
        if let Some(why) = self.obstacle(wire, remote, Errand::Look).await {
            return Some(why);
        }
        // Which of its objects are there is more than its tips tell.
        if dir.join("shallow").exists() || is_partial(dir) {
            return Some(Unhandled("the mirror has not all of its history".into()));
        }
        wire.pushes.settings.get_or_init(|| self.push_settings_obstacle()).await.clone()
    }

    async fn push_settings_obstacle(&self) -> Option<Unhandled> {
        match self.files() {
            Some(files) if files.iter().all(|file| says_nothing(file, WORDS)) => return None,
            _ => {}
        }
        match self.settings().await {
            Ok(settings) => settings
                .iter()
                .find(|(key, value)| matters(key, value))
                .map(|(key, _)| Unhandled(format!("the git configuration sets {key}"))),
            // What it means for git, git will tell.
            Err(failure) => Some(Unhandled(format!("the git configuration cannot be read: {failure}"))),
        }
    }
}

/// Whether some objects of the repository are fetched only when they are missed.
fn is_partial(dir: &Path) -> bool {
    let packs = std::fs::read_dir(dir.join("objects/pack")).into_iter().flatten().flatten();
    packs.map(|entry| entry.path()).any(|path| path.extension().is_some_and(|extension| extension == "promisor"))
}

/// Whether a setting may change where `git push` goes, what it sends, or how.
fn matters(key: &str, value: &str) -> bool {
    // As git prints it: section and name in small letters, the part between as it is.
    match (key.split('.').next().unwrap_or_default(), key.rsplit('.').next().unwrap_or_default()) {
        ("push", "gpgsign") => !value.eq_ignore_ascii_case("false"),
        ("push", "pushoption") | ("url", "pushinsteadof") => true,
        // Somebody has set it because of a server that does not take what comes in chunks.
        ("http", "postbuffer") => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_a_push_matters_and_nothing_else() {
        for (key, value) in [
            ("push.gpgsign", "if-asked"),
            ("push.gpgsign", "true"),
            ("push.pushoption", "ci.skip"),
            ("url.git@h:.pushinsteadof", "https://h/"),
            ("http.postbuffer", "524288000"),
            ("http.https://h/.postbuffer", "524288000"),
        ] {
            assert!(matters(key, value), "{key}");
        }
        for (key, value) in [
            ("push.gpgsign", "false"),
            ("push.default", "simple"),
            ("push.autosetupremote", "true"),
            ("url.git@h:.insteadof", "https://h/"),
            ("http.lowspeedtime", "10"),
        ] {
            assert!(!matters(key, value), "{key}");
        }
    }
}
