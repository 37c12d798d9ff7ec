//! What a client can set of a repository, and what the APIs show of it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::api::Ask;
use super::dialect::Dialect;
use super::model::{Affiliation, Record};
use super::protection::Rule;

/// The part of a repository that matters at a destination.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    pub(super) description: Option<String>,
    pub(super) pull_mirror: bool,
    /// Collaborators who may only read.
    pub(super) readers: BTreeSet<String>,
    /// What clients set, by the name that the API has for it.
    pub(super) said: Map<String, Value>,
    pub(super) rules: Vec<Rule>,
    /// Names and patterns of protected tags.
    pub(super) tag_rules: Vec<String>,
    /// GitHub's rulesets.
    pub(super) rulesets: Vec<Ruleset>,
    /// Of the API that made it.
    pub(super) dialect: Option<Dialect>,
    /// What was last written for its hooks.
    pub(super) published: String,
    /// The test has a `pre-receive` hook of its own.
    pub(super) own_pre_receive: bool,
}

/// A GitHub ruleset: types of rules (`non_fast_forward`, `deletion`, …) for branches.
#[derive(Debug, Clone)]
pub(super) struct Ruleset {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) branch: String,
    pub(super) types: Vec<String>,
}

/// The settings that each API knows; others are ignored, as forges do.
const GITHUB: &[&str] = &[
    "has_issues",
    "has_projects",
    "has_wiki",
    "has_discussions",
    "has_downloads",
    "homepage",
    "is_template",
    "allow_forking",
];
const GITLAB: &[&str] = &[
    "issues_access_level",
    "wiki_access_level",
    "builds_access_level",
    "merge_requests_access_level",
    "snippets_access_level",
    "pages_access_level",
    "releases_access_level",
    "environments_access_level",
    "feature_flags_access_level",
    "infrastructure_access_level",
    "monitor_access_level",
    "analytics_access_level",
    "security_and_compliance_access_level",
    "requirements_access_level",
    "model_experiments_access_level",
    "model_registry_access_level",
    "container_registry_access_level",
    "forking_access_level",
    "repository_access_level",
    "issues_enabled",
    "wiki_enabled",
    "jobs_enabled",
    "merge_requests_enabled",
    "snippets_enabled",
    "packages_enabled",
    "lfs_enabled",
    "shared_runners_enabled",
    "auto_devops_enabled",
    "container_registry_enabled",
];
const GITEA: &[&str] = &[
    "has_issues",
    "has_wiki",
    "has_projects",
    "has_pull_requests",
    "has_releases",
    "has_code",
    "has_packages",
    "has_actions",
    "website",
];

fn known(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Github => GITHUB,
        Dialect::Gitlab => GITLAB,
        Dialect::Gitea => GITEA,
    }
}

impl Settings {
    /// Takes from a body what this API lets a client set.
    pub(super) fn take(&mut self, dialect: Dialect, body: &Value) {
        if let Some(text) = body["description"].as_str() {
            self.description = Some(text.to_owned());
        }
        for name in known(dialect).iter().filter(|name| !body[**name].is_null()) {
            self.said.insert((*name).to_owned(), body[*name].clone());
        }
        // GitLab has two names for one thing.
        for (name, value) in body.as_object().into_iter().flatten().filter(|_| dialect == Dialect::Gitlab) {
            if let (Some(what), Some(level)) = (name.strip_suffix("_access_level"), value.as_str()) {
                let what = if what == "builds" { "jobs" } else { what };
                self.said.insert(format!("{what}_enabled"), json!(level != "disabled"));
            }
        }
    }
}

/// What a repository shows of its settings in one API: laid over what all repositories show.
pub(super) fn shown(ask: &Ask, record: &Record, dialect: Dialect) -> Value {
    let settings = &record.settings;
    let mut shown: Map<String, Value> =
        settings.said.iter().filter(|(name, _)| known(dialect).contains(&name.as_str())).map(clone).collect();
    let of_viewer = ask.viewer.as_deref().and_then(|user| ask.model.affiliation(record, user));
    let admin = matches!(of_viewer, Some(Affiliation::Owner | Affiliation::Member));
    let reads_only = ask.viewer.as_deref().is_none_or(|user| settings.readers.contains(user));
    let push = of_viewer.is_some() && !reads_only;
    match dialect {
        Dialect::Github => {
            let permissions = json!({"admin": admin, "maintain": admin, "push": push, "triage": push, "pull": true});
            shown.insert("permissions".to_owned(), permissions);
        }
        Dialect::Gitea => {
            shown.insert("permissions".to_owned(), json!({"admin": admin, "push": push, "pull": true}));
            shown.insert("mirror".to_owned(), json!(settings.pull_mirror));
            if settings.pull_mirror {
                shown.insert("mirror_interval".to_owned(), json!("8h0m0s"));
            }
        }
        Dialect::Gitlab => {
            shown.insert("mirror".to_owned(), json!(settings.pull_mirror));
        }
    }
    if let Some(text) = &settings.description {
        shown.insert("description".to_owned(), json!(text));
    }
    Value::Object(shown)
}

fn clone((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}
