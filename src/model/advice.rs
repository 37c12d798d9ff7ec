//! What to do about a failure at a destination. The ways out that [`Reason::hint`] gives are those of a source, which is
//! only read; a destination is written to.

use crate::base::failure::{Failure, Reason};
use crate::model::destination::DestinationKind;

/// Gives a failure at a destination the way out that fits there, unless it has one of its own.
pub fn advise(failure: Failure, kind: Option<DestinationKind>) -> Failure {
    if failure.hint().is_some() {
        return failure;
    }
    let words = failure.evidence().unwrap_or(failure.message());
    match at_destination(failure.reason(), kind, words) {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

/// The way out of a failure at a destination, given what git or the server said of it; `None` where that of a source fits
/// as well, or where there is none.
pub fn at_destination(reason: Reason, kind: Option<DestinationKind>, words: &str) -> Option<&'static str> {
    BY_WORDS
        .iter()
        .find(|(known, part, _)| *known == reason && words.contains(part))
        .map(|(.., hint)| *hint)
        .or_else(|| by_kind(reason, kind))
}

/// What the words give away. Each row cites where they come from.
const BY_WORDS: &[(Reason, &str, &str)] = &[
    // GitHub: "refusing to allow a Personal Access Token to create or update workflow `.github/workflows/x.yml` without
    // `workflow` scope"; an OAuth app alike, a GitHub App "without `workflows` permission".
    (
        Reason::Forbidden,
        "to create or update workflow",
        "give the token the scope `workflow` (classic) or the permission Workflows: write (fine-grained, app).",
    ),
    // git, receive.hideRefs
    (
        Reason::ProtectedRefRejected,
        "deny updating a hidden ref",
        "the destination keeps these refs for itself: leave them out with `refs: [heads, tags]`.",
    ),
    // git, receive.denyDeletes
    (
        Reason::ProtectedRefRejected,
        "deletion prohibited",
        "allow deletions at the destination, or leave refs there with `prune: false`.",
    ),
    // git, receive.denyNonFastForwards; a client that refuses says `[rejected]`.
    (
        Reason::ProtectedRefRejected,
        "(non-fast-forward)",
        "allow forced pushes at the destination, or leave what differs with `divergence: keep`.",
    ),
    // Gitea: `branch x is the default branch and cannot be deleted`; GitLab: `The default branch of a project cannot be deleted.`
    (Reason::ProtectedRefRejected, "default branch", ANOTHER_DEFAULT),
    (Reason::ProtectedRefRejected, "the current branch", ANOTHER_DEFAULT),
    // Gitea: `branch x is protected from changing file y`, `… from unverified commit z`; opened where the token may.
    (
        Reason::ProtectedRefRejected,
        "from changing file ",
        "the branch's protected file patterns forbid it: with `protected_branches: restore` and an administrator's token they are opened for the push.",
    ),
    (
        Reason::ProtectedRefRejected,
        "from unverified commit ",
        "the branch takes signed commits only: with `protected_branches: restore` and an administrator's token the rule is opened for the push.",
    ),
    // Gitea: `Tag v1 is protected`; GitLab: `Protected tags cannot be updated.`, `… change existing tags on this project.`
    (Reason::ProtectedRefRejected, " Tag ", TAG_RULE),
    (Reason::ProtectedRefRejected, " tags", TAG_RULE),
    (Reason::ProtectedRefRejected, " this tag", TAG_RULE),
    // Gitea and Gogs
    (
        Reason::PushRejected,
        "irror repository is read-only",
        "the repository there is a pull mirror: turn it into a normal one in its settings, or map this one elsewhere.",
    ),
    // GitHub, rulesets
    (
        Reason::ProtectedRefRejected,
        "rule violations",
        "rulesets are not opened for a push: let the token's user bypass this one, or change it on GitHub.",
    ),
    // git, receive.fsckObjects: `error: object <id>: <check>: <what is wrong>`, and where that line is missing
    (Reason::Corrupt, "error: object ", RELAX),
    (Reason::Corrupt, "fsck error", RELAX),
    // git, receive-pack: two of the pushed refs are one there.
    (
        Reason::PushRejected,
        "inconsistent aliased update",
        "one of the two is a symbolic ref there: delete it on the server with `git symbolic-ref --delete`, or name it \
         under `protect`.",
    ),
    // git, the connection between two repositories of different hashes
    (
        Reason::PushRejected,
        "hash algorithm",
        "the repository there names its objects by another hash and cannot change it: remove it there, and the next run \
         makes it with the source's.",
    ),
];

const TAG_RULE: &str = "a rule for tags forbids it, and those are not opened for a push: let the destination's user change such tags there, \
                        or leave the tag out.";
const RELAX: &str = "the destination checks what it gets (`receive.fsckObjects`): set `receive.fsck.<check>` to `warn` there \
                     for the check that is named, or repair the ref at the source.";
const ANOTHER_DEFAULT: &str =
    "it is the destination's default branch: set another one there, or leave the branch there with `prune: false`.";

fn by_kind(reason: Reason, kind: Option<DestinationKind>) -> Option<&'static str> {
    use DestinationKind::{Git, Gitea, Github, Gitlab};
    Some(match (reason, kind) {
        (Reason::AuthFailed, Some(Gitlab)) => {
            // GitLab's git says "HTTP Basic: Access denied" for it as well.
            "check the destination's token: it is missing, wrong or expired, or lacks the scope `write_repository`."
        }
        (Reason::AuthFailed, Some(Git)) => "check the destination's token, or the ssh key and its agent.",
        (Reason::AuthFailed, _) => "check the destination's token: it is missing, wrong or expired.",
        (Reason::Forbidden, Some(Github)) => {
            "the token must be allowed to write: the scope `repo` (classic), or Contents: write on this repository."
        }
        (Reason::Forbidden, Some(Gitlab)) => {
            "the token needs the scope `api` (`write_repository` alone only pushes), its user the role Maintainer."
        }
        (Reason::Forbidden, Some(Gitea)) => {
            "the token needs the scope `write:repository`, and its user write access to this repository."
        }
        (Reason::Forbidden, _) => "let the destination's user write to this repository, or exclude it there.",
        (Reason::RemoteNotFound, Some(Git)) => {
            "make the repository there first: only directories of this machine are made."
        }
        (Reason::RemoteNotFound, _) => "it was deleted or renamed there, or the destination's token may not see it.",
        (Reason::ProtectedRefRejected, _) => {
            "a rule of the destination forbids it: change it there, or leave the branch alone with `protect`."
        }
        (Reason::TooLarge, _) => "raise the limit at the destination, or exclude the repository there.",
        (Reason::SecretBlocked, _) => {
            "revoke the secret; then allow it at the destination (its words say where), or exclude the repository there."
        }
        (Reason::Archived, _) => "unarchive it there, or exclude the repository from this destination.",
        (Reason::Diverged, _) => {
            "take the foreign commits over into the source, or overwrite with `divergence: force`."
        }
        (Reason::Held, _) => "look at the destination; nothing there was changed.",
        (Reason::RefRace, _) => "another writer was at work there; the next run looks again.",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Option<DestinationKind>; 5] = [
        Some(DestinationKind::Github),
        Some(DestinationKind::Gitlab),
        Some(DestinationKind::Gitea),
        Some(DestinationKind::Git),
        None,
    ];

    #[test]
    fn a_refused_workflow_names_its_scope_whoever_the_token_is() {
        for who in ["a Personal Access Token", "an OAuth App", "a GitHub App"] {
            let words = format!(
                "[remote rejected] (refusing to allow {who} to create or update workflow `.github/workflows/x.yml` without `workflow` scope)"
            );
            for kind in KINDS {
                assert!(at_destination(Reason::Forbidden, kind, &words).unwrap().contains("`workflow`"));
            }
        }
    }

    #[test]
    fn what_a_token_lacks_is_said_in_the_words_of_its_forge() {
        for (kind, scope) in KINDS.into_iter().zip(["`repo`", "`write_repository`", "`write:repository`"]) {
            let failure = advise(Failure::new(Reason::Forbidden, "cannot push"), kind);
            assert!(failure.way_out().unwrap().contains(scope), "{failure:?}");
        }
    }

    #[test]
    fn no_way_out_speaks_of_the_source_as_if_it_were_at_fault() {
        for kind in KINDS {
            for reason in [Reason::AuthFailed, Reason::Forbidden, Reason::RemoteNotFound, Reason::Held] {
                let hint = at_destination(reason, kind, "").unwrap();
                assert!(!hint.contains("source") && Some(hint) != reason.hint(), "{reason}: {hint}");
            }
        }
    }

    #[test]
    fn a_way_out_of_its_own_stays() {
        let failure = Failure::new(Reason::Forbidden, "no").with_hint("authorise the token.");
        assert_eq!(advise(failure.clone(), None), failure);
    }
}
