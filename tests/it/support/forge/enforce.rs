//! Branch rules on disk: real hooks that read what the forge writes down about each repository whenever it changes.
//!
//! So they hold for pushes over HTTP and ssh alike. GitLab and Gitea refuse in `pre-receive`, which declines the whole
//! push; GitHub refuses single refs, which only `proc-receive` can do with other words than git's own.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::Shared;
use super::dialect::{self, Dialect};
use super::model::{Affiliation, Model, Record};
use super::protection::{Protection, Role};
use super::settings::Ruleset;
use crate::support::script;

/// Between the columns of the rules, because texts have spaces.
const COLUMN: &str = "\u{1f}";

impl Shared {
    /// Writes down what holds for a repository now, if that changed.
    pub(super) fn publish(&self, model: &mut Model, id: u64) {
        let Some(record) = model.record(id) else { return };
        let files = Files::of(model, record);
        let said = format!("{files:?}");
        if record.settings.published == said {
            return;
        }
        files.write(&self.dir, &record.git_dir);
        if let Some(record) = model.record_mut(id) {
            record.settings.published = said;
        }
    }
}

/// What the hooks of one repository need.
#[derive(Debug)]
struct Files {
    rules: String,
    config: String,
    closed: Option<&'static str>,
    pre_receive: bool,
    proc_receive: bool,
}

impl Files {
    fn of(model: &Model, record: &Record) -> Self {
        let dialect = model.dialect(record);
        let mode = if dialect == Dialect::Gitlab { "union" } else { "first" };
        let default = dialect.default_branch_stays().unwrap_or_default();
        let mut rules = format!("{}\n", [mode, dialect.prefix(), default, dialect.name()].join(COLUMN));
        let mut config = String::from("[receive]\n\tdenyDeleteCurrent = refuse\n");
        let mut line = |kind: &str, name: &str, judge: Judge| {
            rules.push_str(&format!("{}\n", judge.columns(kind, &pattern(name, dialect)).join(COLUMN)));
            config.push_str(&format!("\tprocReceiveRefs = \"{}\"\n", reach(name)));
        };
        for rule in record.rules() {
            line("rule", &rule.name, Judge::of(model, record, dialect, &rule.protection));
        }
        let rulesets = if dialect == Dialect::Github { record.settings.rulesets.as_slice() } else { &[] };
        for ruleset in rulesets {
            line("always", &ruleset.branch, Judge::of_ruleset(ruleset));
        }
        for name in &record.settings.tag_rules {
            let words = dialect.tag_rule();
            let columns = ["tag", &pattern(name, dialect), words[0], words[1], words[2]];
            rules.push_str(&format!("{}\n", columns.join(COLUMN)));
        }
        let is_github = dialect == Dialect::Github;
        let has_rules = !record.settings.rules.is_empty() || !rulesets.is_empty();
        if !is_github {
            config.truncate(config.find("\tprocReceiveRefs").unwrap_or(config.len()));
            // The hook says it in the forge's words.
            config = config.replace("refuse", "ignore");
        }
        Files {
            rules,
            config,
            closed: dialect::closed(model, record),
            pre_receive: !is_github || record.settings.own_pre_receive,
            proc_receive: is_github && has_rules,
        }
    }

    fn write(&self, forge: &Path, git_dir: &Path) {
        replace(&git_dir.join("forge-rules"), &self.rules);
        replace(&git_dir.join("forge.conf"), &self.config);
        match self.closed {
            Some(text) => replace(&git_dir.join("forge-closed"), &format!("{text}\n")),
            None => remove(&git_dir.join("forge-closed")),
        }
        for (name, text, wanted) in [
            ("pre-receive", PRE_RECEIVE, self.pre_receive),
            ("proc-receive", PROC_RECEIVE, self.proc_receive),
            ("post-receive", POST_RECEIVE, true),
        ] {
            let hook = git_dir.join("hooks").join(name);
            let program = forge.join("forge-hooks").join(name);
            if !wanted {
                if hook.is_symlink() {
                    remove(&hook);
                }
                continue;
            }
            if !program.exists() {
                fs::create_dir_all(forge.join("forge-hooks")).expect("our own directory");
                script::install(&program, &text.replace("@JUDGE@", JUDGE));
            }
            fs::create_dir_all(git_dir.join("hooks")).expect("our own directory");
            if !hook.is_symlink() {
                std::os::unix::fs::symlink(&program, &hook).expect("our own directory");
            }
        }
    }
}

/// In one step, so that a push at this moment reads the old text or the new one.
pub(in crate::support) fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).expect("our own directory");
    fs::rename(&new, path).expect("our own directory");
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{}: {error}", path.display());
    }
}

/// Who may do what to the branches of a rule, and what the others hear.
struct Judge {
    push: (Users, String),
    force: (Users, String),
    delete: (Users, String),
    /// Git's word for it at the client, where the hook can choose it.
    reason: &'static str,
    /// What a commit without a signature hears; empty where it may come.
    signed: &'static str,
    /// A pattern of files that nobody may change, and what is heard of it.
    files: String,
}

enum Users {
    All,
    Only(BTreeSet<String>),
}

impl Users {
    fn nobody() -> Self {
        Users::Only(BTreeSet::new())
    }

    fn all_if(allowed: bool) -> Self {
        if allowed { Users::All } else { Users::nobody() }
    }

    fn column(&self) -> String {
        match self {
            Users::All => "*".to_owned(),
            Users::Only(users) => users.iter().fold(",".to_owned(), |list, user| list + user + ","),
        }
    }
}

impl Judge {
    fn columns(&self, kind: &str, pattern: &str) -> Vec<String> {
        let mut columns = vec![kind.to_owned(), pattern.to_owned()];
        for (users, text) in [&self.push, &self.force, &self.delete] {
            columns.extend([users.column(), text.clone()]);
        }
        columns.extend([self.reason.to_owned(), self.signed.to_owned(), self.files.clone()]);
        columns
    }

    fn of(model: &Model, record: &Record, dialect: Dialect, rule: &Protection) -> Self {
        match dialect {
            Dialect::Gitlab => Judge {
                push: (
                    Users::Only(rule.push.names(model, record)),
                    "You are not allowed to push code to protected branches on this project.".to_owned(),
                ),
                force: (
                    Users::all_if(rule.force),
                    "You are not allowed to force push code to a protected branch on this project.".to_owned(),
                ),
                delete: (Users::nobody(), "You can only delete protected branches using the web interface.".to_owned()),
                reason: "",
                signed: "",
                files: String::new(),
            },
            Dialect::Gitea => {
                let anybody = rule.push.role != Role::Nobody;
                let listed = || if rule.has("push_off") { BTreeSet::new() } else { rule.push.users.clone() };
                let users = if anybody { Users::All } else { Users::Only(listed()) };
                let force = rule.force && model.gitea_knows_force_push();
                Judge {
                    push: (users, "Not allowed to push to protected branch @BRANCH@".to_owned()),
                    force: (Users::all_if(force), "branch @BRANCH@ is protected from force push".to_owned()),
                    delete: (Users::nobody(), "branch @BRANCH@ is protected from deletion".to_owned()),
                    reason: "",
                    signed: match rule.has("require_signed_commits") {
                        true => "branch @BRANCH@ is protected from unverified commit @SHA@",
                        false => "",
                    },
                    files: match rule.settings.get("protected_file_patterns").and_then(|pattern| pattern.as_str()) {
                        Some(pattern) => format!("{pattern}|branch @BRANCH@ is protected from changing file @FILE@"),
                        None => String::new(),
                    },
                }
            }
            Dialect::Github => {
                let text =
                    |why: &str| format!("error: GH006: Protected branch update failed for @REF@.\\nerror: {why}");
                let (users, why) = github_push(model, record, rule);
                Judge {
                    push: (users, text(why)),
                    force: (Users::all_if(rule.force), text("Cannot force-push to this branch")),
                    delete: (Users::all_if(rule.delete), text("Cannot delete this branch")),
                    reason: "protected branch hook declined",
                    signed: "",
                    files: String::new(),
                }
            }
        }
    }

    fn of_ruleset(ruleset: &Ruleset) -> Self {
        let text = |why: &str| format!("error: GH013: Repository rule violations found for @REF@.\\n\\n- {why}\\n");
        let has = |kind: &str| ruleset.types.iter().any(|known| known == kind);
        let push = !has("pull_request") && !has("update");
        Judge {
            push: (Users::all_if(push), text("Changes must be made through a pull request.")),
            force: (Users::all_if(!has("non_fast_forward")), text("Cannot force-push to this branch")),
            delete: (Users::all_if(!has("deletion")), text("Cannot delete this branch")),
            reason: "push declined due to repository rule violations",
            signed: "",
            files: String::new(),
        }
    }
}

/// Who may push to a branch that GitHub protects; administrators may do more unless `enforce_admins`.
fn github_push(model: &Model, record: &Record, rule: &Protection) -> (Users, &'static str) {
    if rule.has("lock_branch") {
        return (Users::nobody(), "Cannot change this locked branch");
    }
    let users = model.accounts.iter().map(|account| account.path.clone());
    let is_admin =
        |user: &String| matches!(model.affiliation(record, user), Some(Affiliation::Owner | Affiliation::Member));
    let mut admins: BTreeSet<String> = users.filter(is_admin).collect();
    if rule.has("enforce_admins") {
        admins.clear();
    }
    if rule.has("required_pull_request_reviews") {
        return (Users::Only(admins), "Changes must be made through a pull request.");
    }
    if rule.has("required_status_checks") {
        return (Users::Only(admins), "Required status check is expected.");
    }
    if rule.has("required_signatures") {
        return (Users::Only(admins), "Commits must have verified signatures.");
    }
    if let Some(restrictions) = rule.settings.get("restrictions") {
        let named = restrictions["users"].as_array().into_iter().flatten();
        admins.extend(named.filter_map(|user| user.as_str()).map(str::to_owned));
        return (Users::Only(admins), "You're not authorized to push to this branch.");
    }
    (Users::All, "")
}

/// A rule's name as an extended regular expression on the branch's short name. GitLab's `*` crosses slashes.
fn pattern(name: &str, dialect: Dialect) -> String {
    let mut pattern = String::from("^");
    let mut rest = name.chars().peekable();
    while let Some(letter) = rest.next() {
        match letter {
            '*' if dialect == Dialect::Gitlab => pattern.push_str(".*"),
            '*' if rest.peek() == Some(&'*') => {
                rest.next();
                pattern.push_str(".*");
            }
            '*' => pattern.push_str("[^/]*"),
            letter if letter.is_ascii_alphanumeric() || "/-_".contains(letter) || !letter.is_ascii() => {
                pattern.push(letter);
            }
            letter => pattern.push_str(&format!("[{letter}]")),
        }
    }
    pattern + "$"
}

/// The part of a rule's name that git can match for `receive.procReceiveRefs`: whole components before a wildcard.
fn reach(name: &str) -> String {
    let Some(wildcard) = name.find('*') else { return format!("refs/heads/{name}") };
    match name[..wildcard].rfind('/') {
        Some(end) => format!("refs/heads/{}", &name[..end]),
        None => "refs/heads".to_owned(),
    }
}

const PRE_RECEIVE: &str = include_str!("hooks/pre-receive");
const PROC_RECEIVE: &str = include_str!("hooks/proc-receive");
const POST_RECEIVE: &str = include_str!("hooks/post-receive");
const JUDGE: &str = include_str!("hooks/judge");
