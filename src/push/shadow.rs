//! Refs that git cannot tell apart over HTTP, because the short name of one is the full name of the other.
//!
//! A slip such as `git push origin HEAD:refs/heads/refs/heads/main` on some hosts makes the branch `refs/heads/main`, in
//! full `refs/heads/refs/heads/main`. Over HTTP git hands every ref by its full name to a helper, which looks it up among
//! the refs of both sides and finds two (git 2.47, remote.c, `count_refspec_match`); it then pushes nothing at all.

use std::collections::BTreeSet;

use bstr::{BStr, BString, ByteSlice};

use super::decide::PushPlan;
use crate::failure::Reason;
use crate::git::refs::RefMap;
use crate::model::destination::RefusedRef;

/// The full name that `name` is short for as well.
pub fn shadows(name: &BStr) -> Option<&BStr> {
    let short = ["refs/heads/", "refs/tags/", "refs/"].iter().find_map(|prefix| name.strip_prefix(prefix.as_bytes()));
    short.filter(|short| short.starts_with(b"refs/")).map(ByteSlice::as_bstr)
}

/// What of a plan has to stay as it is, so that the rest can be pushed over HTTP to where the refs `there` are.
pub fn inseparable(plan: &PushPlan, there: &RefMap) -> Vec<(BString, RefusedRef)> {
    let pushed: BTreeSet<&BStr> = plan.push.iter().map(|update| update.name.as_ref()).collect();
    let gone: BTreeSet<&BStr> = plan.delete.iter().map(|update| update.name.as_ref()).collect();
    let stays = |name: &BStr| there.contains_key(name) && !gone.contains(name);
    let newcomers = pushed.iter().filter_map(|name| {
        let hidden = shadows(name)?;
        (stays(hidden) || pushed.contains(hidden)).then(|| refused(name, hidden))
    });
    let hidden = there.keys().filter(|name| stays(name.as_ref())).filter_map(|name| {
        let hidden = shadows(name.as_ref())?;
        (pushed.contains(hidden) || gone.contains(hidden)).then(|| refused(hidden, name.as_ref()))
    });
    newcomers.chain(hidden).collect()
}

fn refused(name: &BStr, other: &BStr) -> (BString, RefusedRef) {
    let message = format!(
        "git cannot tell it from {other} over HTTP; rename the one whose short name is the other's full name, or push over ssh"
    );
    (name.to_owned(), RefusedRef { name: name.to_string(), reason: Reason::PushRejected, message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::refs::{Change, Oid, RefUpdate};

    const MAIN: &str = "refs/heads/main";
    const ODD: &str = "refs/heads/refs/heads/main";

    fn plan(push: &[&str], delete: &[&str]) -> PushPlan {
        let oid = Oid::null();
        let update = |change: Change| move |name: &&str| RefUpdate { name: BString::from(*name), change };
        PushPlan {
            push: push.iter().map(update(Change::Create { new: oid })).collect(),
            delete: delete.iter().map(update(Change::Delete { old: oid })).collect(),
            ..PushPlan::default()
        }
    }

    fn stay(plan: &PushPlan, there: &[&str]) -> Vec<String> {
        let there = there.iter().map(|name| (BString::from(*name), Oid::null())).collect();
        inseparable(plan, &there).into_iter().map(|(name, _)| name.to_string()).collect()
    }

    #[test]
    fn only_a_short_name_that_is_a_full_name_shadows() {
        for (name, hidden) in [
            (ODD, Some(MAIN)),
            ("refs/tags/refs/heads/main", Some(MAIN)),
            ("refs/refs/heads/main", Some(MAIN)),
            (MAIN, None),
            ("refs/heads/heads/main", None),
            ("refs/remotes/refs/heads/main", None),
        ] {
            assert_eq!(shadows(name.into()), hidden.map(Into::into), "{name}");
        }
    }

    #[test]
    fn the_odd_one_waits_unless_it_is_there_already() {
        assert_eq!(stay(&plan(&[MAIN, ODD], &[]), &[]), [ODD]);
        assert_eq!(stay(&plan(&[ODD], &[]), &[MAIN]), [ODD]);
        assert_eq!(stay(&plan(&[MAIN], &[]), &[MAIN, ODD]), [MAIN]);
        assert_eq!(stay(&plan(&[], &[MAIN]), &[MAIN, ODD]), [MAIN]);
    }

    #[test]
    fn one_without_the_other_is_no_trouble() {
        assert_eq!(stay(&plan(&[ODD], &[]), &[]), [""; 0]);
        assert_eq!(stay(&plan(&[MAIN], &[ODD]), &[MAIN, ODD]), [""; 0]);
        assert_eq!(stay(&plan(&[ODD], &[MAIN]), &[MAIN]), [""; 0]);
        assert_eq!(stay(&plan(&["refs/heads/dev"], &[]), &[MAIN, ODD]), [""; 0]);
    }
}
