//! What a destination refused, ref by ref: why, in whose words, and what one ref may have cost the others.

use std::collections::{BTreeMap, BTreeSet};

use bstr::{BString, ByteSlice};

use crate::base::failure::{Failure, Reason};
use crate::base::redact::redact;
use crate::base::text::{clean, shorten};
use crate::git::{Pushed, RefResult, classify};
use crate::model::destination::RefusedRef;

/// What a destination refused, by ref.
pub(super) type Refusals = BTreeMap<BString, RefusedRef>;

/// Columns that are kept of a line of the destination's.
const LONGEST_LINE: usize = 500;

/// Reads which refs of one push were refused, and why.
pub(super) fn read(done: &Pushed) -> Refusals {
    let told = classify::Rejections::read(&done.stderr);
    let words = lines(classify::server_words(&done.stderr));
    let refused = done.results.iter().filter_map(|(name, result)| match result {
        RefResult::Accepted => None,
        RefResult::Refused(summary) => {
            let (reason, message) = told.why(&name.to_str_lossy(), summary);
            // Another writer was faster: looking again shows what is there now.
            let reason = if summary.contains("stale info") { Reason::RefRace } else { reason };
            Some((name.clone(), RefusedRef { evidence: words.clone(), ..RefusedRef::new(name, reason, message) }))
        }
    });
    let refused: Refusals = refused.collect();
    if !refused.is_empty() {
        let count = refused.len();
        tracing::info!(refused = count, words = words.join(" | "), "the destination refused refs");
    }
    refused
}

/// A ref whose push failed as a whole.
pub(super) fn of_failure(name: &BString, failure: &Failure) -> RefusedRef {
    let message = match failure.evidence().and_then(|evidence| evidence.lines().next()) {
        Some(line) => redact(line),
        None => failure.message().to_owned(),
    };
    let evidence = lines(failure.evidence().unwrap_or_default().lines());
    RefusedRef { evidence, ..RefusedRef::new(name, failure.reason(), message) }
}

/// The refs of a push that one verdict was given over, though one of them alone may be the cause: a `pre-receive` hook
/// declines a push whole, and a pack is taken whole or not at all.
pub(super) fn declined_together(done: &Pushed, refused: &Refusals) -> BTreeSet<BString> {
    let together = |name: &BString, result: &RefResult| match result {
        RefResult::Refused(summary) if summary.contains("(pre-receive hook declined)") => true,
        RefResult::Refused(summary) if summary.contains("unpacker error)") => {
            // A full disk over there has nothing to do with the refs.
            refused.get(name).is_some_and(|one| !one.reason.is_transient() || one.message == summary.trim())
        }
        _ => false,
    };
    done.results.iter().filter(|(name, result)| together(name, result)).map(|(name, _)| name.clone()).collect()
}

/// Whether one ref may be why a push of many failed without a word on any of them.
pub(super) fn may_be_one_ref(reason: Reason) -> bool {
    matches!(reason, Reason::Corrupt | Reason::SecretBlocked | Reason::ProtectedRefRejected | Reason::TooLarge)
}

/// Whether the default branch was not to be deleted: no rule to be opened, but another default branch to be set.
pub(super) fn is_about_default_branch(refusal: &RefusedRef) -> bool {
    ["default branch", "deletion of the current branch", "refusing to delete the current branch"]
        .iter()
        .any(|part| refusal.message.contains(part))
}

/// Leaves lines that several refs have with the first of them.
pub(super) fn once_each(refusals: Vec<RefusedRef>) -> Vec<RefusedRef> {
    let mut seen: BTreeSet<Vec<String>> = BTreeSet::new();
    let once = |mut one: RefusedRef| {
        if !one.evidence.is_empty() && !seen.insert(one.evidence.clone()) {
            one.evidence.clear();
        }
        one
    };
    refusals.into_iter().map(once).collect()
}

fn lines<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    words.into_iter().map(|line| shorten(&clean(line), LONGEST_LINE)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(stderr: &str, refs: &[(&str, &str)]) -> Pushed {
        let result = |summary: &str| match summary {
            "" => RefResult::Accepted,
            _ => RefResult::Refused(summary.to_owned()),
        };
        let results = refs.iter().map(|(name, summary)| (BString::from(*name), result(summary))).collect();
        Pushed { results, stderr: stderr.to_owned() }
    }

    #[test]
    fn a_hooks_own_words_are_kept_with_the_first_ref_harmless_and_masked() {
        let _known = crate::base::secret::Secret::new("hunter2hunter2");
        let stderr = "remote: policy: no \u{1b}[31mpushes hunter2hunter2\u{202e}        \nremote: see the wiki\n";
        let declined = "[remote rejected] (pre-receive hook declined)";
        let done = pushed(stderr, &[("refs/heads/a", declined), ("refs/heads/b", declined), ("refs/heads/c", "")]);
        let told = once_each(read(&done).into_values().collect());
        assert_eq!((told.len(), told[0].evidence.len(), told[1].evidence.len()), (2, 2, 0));
        let shown = told[0].evidence.join("\n");
        assert!(shown.contains("see the wiki") && !shown.contains(['\u{1b}', '\u{202e}']), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_pack_that_is_refused_for_one_object_may_be_one_refs_fault_and_a_full_disk_is_not() {
        let refs = [("refs/heads/a", "[remote rejected] (unpacker error)")];
        for (stderr, together) in [
            ("remote: error: object 9e76: missingEmail: invalid\nremote: fatal: fsck error in packed object\n", true),
            ("error: remote unpack failed: index-pack abnormal exit\n", true),
            ("remote: fatal: unable to write loose object file: No space left on device\n", false),
        ] {
            let done = pushed(stderr, &refs);
            assert_eq!(!declined_together(&done, &read(&done)).is_empty(), together, "{stderr}");
        }
    }

    #[test]
    fn a_default_branch_is_no_rule() {
        for (words, is_default) in [
            ("remote: Gitea: branch main is the default branch and cannot be deleted", true),
            ("remote: GitLab: The default branch of a project cannot be deleted.", true),
            ("[remote rejected] (refusing to delete the current branch: refs/heads/main)", true),
            ("remote: Gitea: branch main is protected from deletion", false),
        ] {
            let refusal = RefusedRef::new("refs/heads/main", Reason::ProtectedRefRejected, words);
            assert_eq!(is_about_default_branch(&refusal), is_default, "{words}");
        }
    }
}
