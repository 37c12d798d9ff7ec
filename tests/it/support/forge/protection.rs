//! Rules for branches: what a test or an API says about pushes, forced pushes and deletions.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::model::{Affiliation, Model, Record};

/// Who may do something to a protected branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    pub role: Role,
    /// These too, whatever their role.
    pub users: BTreeSet<String>,
}

/// Owners and members of the namespace are maintainers, collaborators are developers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Nobody,
    Maintainers,
    Developers,
}

impl Access {
    /// Whoever may push to the repository at all.
    pub fn developers() -> Self {
        Access { role: Role::Developers, users: BTreeSet::new() }
    }

    /// Owners and members of the namespace.
    pub fn maintainers() -> Self {
        Access { role: Role::Maintainers, users: BTreeSet::new() }
    }

    /// Nobody at all.
    pub fn nobody() -> Self {
        Access { role: Role::Nobody, users: BTreeSet::new() }
    }

    /// Exactly these users.
    pub fn users(users: &[&str]) -> Self {
        Access { role: Role::Nobody, users: users.iter().map(|user| (*user).to_owned()).collect() }
    }

    /// All users who have it, by name.
    pub(super) fn names(&self, model: &Model, record: &Record) -> BTreeSet<String> {
        let has = |user: &&str| match model.affiliation(record, user) {
            Some(Affiliation::Owner | Affiliation::Member) => self.role != Role::Nobody,
            Some(Affiliation::Collaborator) => self.role == Role::Developers,
            None => false,
        };
        let users = model.accounts.iter().map(|account| account.path.as_str());
        users.filter(|user| has(user) || self.users.contains(*user)).map(str::to_owned).collect()
    }
}

/// A branch rule: the same for the three forges where they agree, and what only one of them knows in `settings`.
///
/// ```ignore
/// repo.protect("main", Protection { force: true, ..Protection::default() });
/// repo.protect("rel/*", Protection { push: Access::users(&["alice"]), ..Protection::default() });
/// repo.protect("main", Protection::with(json!({"required_linear_history": true}))); // GitHub, as in its PUT
/// ```
/// Two rules are equal when every field is, so `assert_eq!(repo.protection("main"), before)` shows what differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Protection {
    /// Who may push (GitLab: `push_access_levels`, Gitea: `enable_push` and its whitelist). GitHub says this in `settings`.
    pub push: Access,
    /// GitLab's `merge_access_levels`; carried, not enforced.
    pub merge: Access,
    /// Forced pushes are taken (GitHub: `allow_force_pushes`, GitLab: `allow_force_push`, Gitea from 1.23:
    /// `enable_force_push`).
    pub force: bool,
    /// Deletions are taken (GitHub: `allow_deletions`; the others never do while the rule stands).
    pub delete: bool,
    /// Everything else by its API's own name: for GitHub as in the body of its PUT, and `required_signatures`.
    /// What is off or null is left out.
    pub settings: Map<String, Value>,
}

impl Default for Protection {
    /// Maintainers may push and merge; no forced pushes, no deletions.
    fn default() -> Self {
        let (push, merge) = (Access::maintainers(), Access::maintainers());
        Protection { push, merge, force: false, delete: false, settings: Map::new() }
    }
}

impl Protection {
    /// The default with settings of one API, such as GitHub's `required_pull_request_reviews`.
    ///
    /// # Panics
    /// When `settings` is no object.
    pub fn with(settings: Value) -> Self {
        let Value::Object(settings) = settings else { panic!("settings are an object, not {settings}") };
        Protection { settings, ..Self::default() }.normal()
    }

    /// The same rule with everything left out that is off, and everything spelled out that GitHub fills in.
    pub(super) fn normal(mut self) -> Self {
        self.settings.retain(|_, value| !value.is_null() && *value != json!(false));
        for (name, filled) in [
            ("required_pull_request_reviews", REVIEWS),
            ("restrictions", r#"{"users": [], "teams": [], "apps": []}"#),
            ("required_status_checks", r#"{"strict": false}"#),
        ] {
            if let Some(Value::Object(given)) = self.settings.get_mut(name) {
                let filled: Map<String, Value> = serde_json::from_str(filled).expect("it is written here");
                filled.into_iter().for_each(|(key, value)| {
                    given.entry(key).or_insert(value);
                });
            }
        }
        if let Some(Value::Object(checks)) = self.settings.get_mut("required_status_checks") {
            // `contexts` is the old way to say `checks`, of whatever app.
            let contexts = checks.remove("contexts").unwrap_or(json!([]));
            let old = || contexts.as_array().into_iter().flatten().map(|context| json!({"context": context})).collect();
            let list = checks.entry("checks").or_insert_with(old);
            for check in list.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
                let app = check.remove("app_id").filter(|app| !app.is_null()).unwrap_or(json!(-1));
                check.insert("app_id".to_owned(), app);
            }
        }
        self
    }

    /// Whether a setting is there and not off.
    pub(super) fn has(&self, setting: &str) -> bool {
        self.settings.contains_key(setting)
    }
}

const REVIEWS: &str = r#"{"dismiss_stale_reviews": false, "require_code_owner_reviews": false,
    "required_approving_review_count": 1, "require_last_push_approval": false}"#;

/// Whether a pattern fits a branch. GitLab's `*` crosses slashes, the others' does not.
pub(super) fn fits(pattern: &str, branch: &str, crosses: bool) -> bool {
    let Some((start, end)) = pattern.split_once('*') else { return pattern == branch };
    branch.strip_prefix(start).is_some_and(|rest| {
        let mut cuts = (0..=rest.len()).filter(|at| rest.is_char_boundary(*at));
        cuts.any(|at| (crosses || !rest[..at].contains('/')) && fits(end, &rest[at..], crosses))
    })
}

/// A rule as the forge keeps it.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) id: u64,
    /// A branch's short name, or a pattern.
    pub(super) name: String,
    pub(super) created: u64,
    pub(super) updated: u64,
    pub(super) protection: Protection,
}

impl Record {
    pub(super) fn rule(&self, name: &str) -> Option<&Rule> {
        self.settings.rules.iter().find(|rule| rule.name == name)
    }

    pub(super) fn rule_mut(&mut self, name: &str) -> Option<&mut Rule> {
        self.settings.rules.iter_mut().find(|rule| rule.name == name)
    }

    /// The rules in the order in which they count: those that name a branch before patterns, then the older ones.
    pub(super) fn rules(&self) -> Vec<&Rule> {
        let mut rules: Vec<&Rule> = self.settings.rules.iter().collect();
        rules.sort_by_key(|rule| (rule.name.contains('*'), rule.id));
        rules
    }
}

impl Model {
    /// Sets a rule, new or not.
    pub(super) fn set_rule(&mut self, record: u64, name: &str, protection: Protection) {
        let (id, now) = (self.next_id(), self.tick());
        let Some(record) = self.record_mut(record) else { return };
        let protection = protection.normal();
        match record.rule_mut(name) {
            Some(rule) => (rule.protection, rule.updated) = (protection, now),
            None => {
                record.settings.rules.push(Rule { id, name: name.to_owned(), created: now, updated: now, protection })
            }
        }
    }
}
