//! GitHub's rulesets: named when they stand in the way, never opened. They may belong to the organisation or the
//! enterprise, and have bypass lists of their own for mirrors.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::base::failure::{Failure, Reason};
use crate::forge::destination::Need;
use crate::forge::gather::shown;
use crate::forge::github::destination::GithubDestination;
use crate::model::RepoPath;

/// Rules that keep an ordinary push away ("Available rules for rulesets").
const BARS_PUSH: &[&str] = &[
    "update",
    "pull_request",
    "required_status_checks",
    "required_signatures",
    "required_linear_history",
    "required_deployments",
    "merge_queue",
    "workflows",
    "code_scanning",
    "commit_message_pattern",
    "commit_author_email_pattern",
    "committer_email_pattern",
    "branch_name_pattern",
    "file_path_restriction",
    "max_file_path_length",
    "file_extension_restriction",
    "max_file_size",
];

/// One rule that applies to a branch.
#[derive(Deserialize)]
struct RuleJson {
    #[serde(rename = "type")]
    kind: String,
    ruleset_source: Option<String>,
    ruleset_id: Option<u64>,
}

#[derive(Deserialize)]
struct RulesetJson {
    name: Option<String>,
    current_user_can_bypass: Option<String>,
}

impl GithubDestination {
    /// Fails when a ruleset forbids `need`; `new` when the branch is not there yet.
    pub(in crate::forge) async fn check_rulesets(
        &self,
        path: &RepoPath,
        branch: &str,
        need: Need,
        new: bool,
    ) -> Result<(), Failure> {
        let segments = ["repos", &path.namespace(), path.name(), "rules", "branches", branch];
        let rules = match self.site.all(&segments).await {
            Ok(rules) => rules.unwrap_or_default(),
            // Free plans have none on private repositories ("Upgrade to GitHub Pro …").
            Err(failure)
                if failure.reason() == Reason::Forbidden
                    && failure.evidence().is_some_and(|words| words.contains("Upgrade to GitHub")) =>
            {
                Vec::new()
            }
            Err(failure) => return Err(failure),
        };
        // A ruleset's id, to where it comes from and which of its rules stand in the way.
        let mut barring: BTreeMap<Option<u64>, (String, Vec<String>)> = BTreeMap::new();
        for rule in rules.into_iter().filter_map(|rule: Value| serde_json::from_value::<RuleJson>(rule).ok()) {
            if bars(&rule.kind, need, new) {
                let source = rule.ruleset_source.unwrap_or_default();
                barring.entry(rule.ruleset_id).or_insert((source, Vec::new())).1.push(rule.kind);
            }
        }
        for (id, (source, kinds)) in barring {
            let ruleset = self.ruleset(path, id).await?;
            if ruleset.current_user_can_bypass.as_deref() == Some("always") {
                continue;
            }
            let name = ruleset.name.or(id.map(|id| id.to_string())).unwrap_or_default();
            let why = format!("the ruleset {} of {} forbids it ({})", shown(&name), shown(&source), kinds.join(", "));
            return Err(self
                .site
                .closed(branch, why)
                .with_hint("put the token's user (or app) on the ruleset's bypass list; rulesets are not opened."));
        }
        Ok(())
    }

    /// A ruleset's name and our place in it; both unknown where the token may not read it.
    async fn ruleset(&self, path: &RepoPath, id: Option<u64>) -> Result<RulesetJson, Failure> {
        let unknown = RulesetJson { name: None, current_user_can_bypass: None };
        let Some(id) = id else { return Ok(unknown) };
        let url = self.site.api.url(&["repos", &path.namespace(), path.name(), "rulesets", &id.to_string()], &[]);
        match self.site.look(url).await {
            Ok(Some(answer)) => answer.json(),
            Ok(None) => Ok(unknown),
            Err(failure) if failure.reason() == Reason::Forbidden => Ok(unknown),
            Err(failure) => Err(failure),
        }
    }
}

fn bars(kind: &str, need: Need, new: bool) -> bool {
    match need {
        Need::Delete => kind == "deletion",
        Need::Force => kind == "non_fast_forward" || BARS_PUSH.contains(&kind),
        Need::Push => BARS_PUSH.contains(&kind) || (new && kind == "creation"),
    }
}
