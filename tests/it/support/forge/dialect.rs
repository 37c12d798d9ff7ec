//! Which forge's rules and words a repository has when it is pushed to.

use axum::http::StatusCode;

use super::model::{Model, Record};

/// The forge whose words git hears: what a push is refused with, and which rules hold for protected branches.
///
/// The APIs answer in their own words whatever this is. A repository made through an API speaks as that API; others speak
/// as [`super::Forge::speak`] says, GitHub at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    #[default]
    Github,
    Gitlab,
    Gitea,
}

/// Scopes of tokens that allow a push, whatever the dialect.
pub(super) const PUSH_SCOPES: [&str; 5] = ["repo", "public_repo", "api", "write_repository", "write:repository"];

impl Dialect {
    /// What a push to the default branch's deletion hears; `None` leaves it to git's own `receive.denyDeleteCurrent`.
    pub(super) fn default_branch_stays(self) -> Option<&'static str> {
        match self {
            Dialect::Github => None,
            Dialect::Gitlab => Some("The default branch of a project cannot be deleted."),
            Dialect::Gitea => Some("branch @BRANCH@ is the default branch and cannot be deleted"),
        }
    }

    /// Its name in what is written down for the hooks.
    pub(super) fn name(self) -> &'static str {
        match self {
            Dialect::Github => "github",
            Dialect::Gitlab => "gitlab",
            Dialect::Gitea => "gitea",
        }
    }

    /// What is heard of a protected tag that is made, moved and deleted (GitLab's Checks::TagCheck, Gitea's
    /// hook_pre_receive.go). GitHub has rulesets instead.
    pub(super) fn tag_rule(self) -> [&'static str; 3] {
        match self {
            Dialect::Github => [""; 3],
            Dialect::Gitlab => [
                "You are not allowed to create this tag as it is protected.",
                "Protected tags cannot be updated.",
                "You can only delete protected tags using the web interface.",
            ],
            Dialect::Gitea => ["Tag @TAG@ is protected"; 3],
        }
    }

    /// What stands before the words of a `pre-receive` hook.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Dialect::Github => "",
            Dialect::Gitlab => "GitLab: ",
            Dialect::Gitea => "\\nGitea: ",
        }
    }
}

/// Why nobody may push to a repository, in its forge's words; `None` when it takes pushes.
///
/// GitLab takes pushes to a pull mirror (the next pull overwrites them), and GitHub has no such mirrors.
pub(super) fn closed(model: &Model, record: &Record) -> Option<&'static str> {
    let dialect = model.dialect(record);
    if record.archived {
        return Some(match dialect {
            Dialect::Github => "This repository was archived so it is read-only.",
            Dialect::Gitlab => "You are not allowed to push code to this project.",
            Dialect::Gitea => {
                "This repo is archived. You can view files and clone it, but cannot push or open issues or pull requests."
            }
        });
    }
    (record.settings.pull_mirror && dialect == Dialect::Gitea).then_some("mirror repository is read-only")
}

/// Why this user with this token may not push; always status 403.
pub(super) fn refusal(model: &Model, record: &Record, user: &str, token: Option<&str>) -> Option<(StatusCode, String)> {
    let refuse = |text: String| Some((StatusCode::FORBIDDEN, text));
    let dialect = model.dialect(record);
    if model.affiliation(record, user).is_none() || record.settings.readers.contains(user) {
        return refuse(match dialect {
            Dialect::Github => format!("Permission to {}.git denied to {user}.\n", record.full_name()),
            Dialect::Gitlab => "You are not allowed to push code to this project.\n".to_owned(),
            Dialect::Gitea => "User permission denied for writing.\n".to_owned(),
        });
    }
    if !token.is_none_or(|token| model.has_scope(token, &PUSH_SCOPES)) {
        return refuse(match dialect {
            Dialect::Github => "Write access to repository not granted.\n".to_owned(),
            Dialect::Gitlab => "You are not allowed to upload code.\n".to_owned(),
            Dialect::Gitea => "token does not have at least one of required scope(s): [write:repository]\n".to_owned(),
        });
    }
    closed(model, record).and_then(|text| refuse(format!("{text}\n")))
}
