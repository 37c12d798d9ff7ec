//! Sources that cannot give what their refs name although nothing in them is damaged.

use crate::base::failure::{Failure, Reason};
use crate::git::Remote;

/// Names the cause where git speaks of damage and the source, a directory of this machine, has grafts: they show it another
/// history than its commits have, so that it leaves out what we need.
pub(super) fn explain(remote: &Remote, failure: Failure) -> Failure {
    let has_grafts = || {
        let dir = remote.url.as_file()?;
        [dir.join("info/grafts"), dir.join(".git/info/grafts")].into_iter().find(|file| file.exists())
    };
    match failure.reason() {
        Reason::Corrupt => match has_grafts() {
            Some(file) => failure.with_hint(format!(
                "the source shows another history than its commits have, because of {}: run `git replace \
                 --convert-graft-file` there; nothing of it was saved in this run.",
                file.display()
            )),
            None => failure,
        },
        _ => failure,
    }
}
