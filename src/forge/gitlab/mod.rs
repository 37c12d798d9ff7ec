//! GitLab.

pub(super) mod destination;
mod groups;
mod levels;
mod protection;
pub(super) mod releases;
pub(super) mod source;

use crate::base::failure::{Failure, Reason};
use crate::forge::gather::shown;
use crate::model::Visibility;

/// What a token needs to create and configure projects and groups.
const SCOPE: &str = "the scope `api`";

/// The failure of a project or group that is about to be deleted: GitLab keeps it for some days, read-only.
fn leaving(what: &str, path: &str, since: Option<&String>) -> Failure {
    let since = since.map(|day| format!(" since {}", shown(day))).unwrap_or_default();
    let text = format!("the {what} {path} is marked for deletion on GitLab{since}, and takes no pushes");
    let hint = "restore it on GitLab (Settings, General, Advanced), or delete it there for good: then it is made anew.";
    Failure::new(Reason::Archived, text).with_hint(hint)
}

/// The name that GitLab shows: it begins with a letter, a digit or `_`, unlike a repository that is called `.github`.
fn display_name(name: &str) -> String {
    match name.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
        true => name.to_owned(),
        false => format!("_{name}"),
    }
}

/// A visibility as GitLab writes it.
fn word(visibility: Visibility) -> &'static str {
    match visibility {
        Visibility::Public => "public",
        Visibility::Internal => "internal",
        Visibility::Private => "private",
    }
}
