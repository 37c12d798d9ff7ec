//! Refs that git cannot tell apart over HTTP, because the short name of one is the full name of the other.
//!
//! A slip such as `git push origin HEAD:refs/heads/refs/heads/main` on some hosts makes the branch `refs/heads/main`, in
//! full `refs/heads/refs/heads/main`. Over HTTP git hands every ref by its full name to a helper, which looks it up among
//! the refs of both sides and finds two (git 2.47, remote.c, `count_refspec_match`); it then pushes nothing at all.

use std::collections::{BTreeMap, BTreeSet};

use bstr::{BStr, BString, ByteSlice};

use super::decide::pushes;
use super::plan::PushPlan;
use crate::base::failure::Reason;
use crate::git::PushEdit;
use crate::git::refs::{RefMap, RefUpdate};
use crate::model::destination::RefusedRef;

/// The full name that `name` is short for as well.
pub fn shadows(name: &BStr) -> Option<&BStr> {
    let short = ["refs/heads/", "refs/tags/", "refs/"].iter().find_map(|prefix| name.strip_prefix(prefix.as_bytes()));
    short.filter(|short| short.starts_with(b"refs/")).map(ByteSlice::as_bstr)
}

/// The pushes that carry a plan out over HTTP, where of two inseparable refs only one may be there at a time.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// In order. What shadows a ref to be moved is deleted before and pushed after everything else.
    pub pushes: Vec<Vec<PushEdit>>,
    /// Refs that cannot be moved, because what shadows them is not ours to take away.
    pub blocked: Vec<(BString, RefusedRef)>,
}

/// Finds the way of a plan to where the refs `there` are, from a mirror that has the refs `ours`.
pub fn route(plan: &PushPlan, there: &RefMap, ours: &RefMap) -> Route {
    let touched: BTreeMap<&BStr, &RefUpdate> =
        plan.push.iter().chain(&plan.delete).map(|update| (update.name.as_ref(), update)).collect();
    let (mut before, mut after, mut blocked) = (Vec::new(), Vec::new(), Vec::new());
    let names: BTreeSet<&BStr> = touched.keys().copied().chain(there.keys().map(AsRef::as_ref)).collect();
    for name in names {
        let Some(hidden) = shadows(name).filter(|hidden| touched.contains_key(hidden)) else { continue };
        let old = there.get(name).copied();
        let new = match touched.get(name) {
            Some(update) => update.change.after(),
            None if old == ours.get(name).copied() => old,
            None => {
                blocked.push(refused(hidden, name));
                continue;
            }
        };
        let edit = |seen, new| PushEdit { name: name.to_owned(), seen, new };
        before.extend(old.map(|old| edit(Some(old), None)));
        after.extend(new.map(|new| edit(None, Some(new))));
    }
    let taken: BTreeSet<BString> = before.iter().chain(&after).map(|edit| edit.name.clone()).collect();
    let mut all = pushes(plan);
    all.iter_mut().for_each(|push| push.retain(|edit| !taken.contains(&edit.name)));
    let pushes = std::iter::once(before).chain(all).chain([after]).filter(|push| !push.is_empty()).collect();
    Route { pushes, blocked }
}

/// What can no longer be moved, because what shadows it could not be taken away.
pub fn blocked_by<'a>(
    still_there: impl Iterator<Item = &'a BString>,
    to_come: &[Vec<PushEdit>],
) -> Vec<(BString, RefusedRef)> {
    let comes = |name: &BStr| to_come.iter().flatten().any(|edit| edit.name == name);
    let blocked =
        |name: &'a BString| shadows(name.as_ref()).filter(|hidden| comes(hidden)).map(|hidden| (hidden, name));
    still_there.filter_map(blocked).map(|(hidden, name)| refused(hidden, name.as_ref())).collect()
}

fn refused(name: &BStr, other: &BStr) -> (BString, RefusedRef) {
    let message = format!("git cannot tell it from {other} over HTTP; rename {other}, or push over ssh");
    (name.to_owned(), RefusedRef::new(name, Reason::PushRejected, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::refs::{Change, Oid, diff};

    const MAIN: &str = "refs/heads/main";
    const ODD: &str = "refs/heads/refs/heads/main";

    /// The plan for a destination with the refs `there` of a mirror with the refs `ours`, each with one digit as its tip.
    fn find(ours: &[(&str, char)], there: &[(&str, char)]) -> (Vec<Vec<String>>, Vec<String>) {
        let oid = |digit: char| Oid::parse(digit.to_string().repeat(40).as_bytes()).unwrap();
        let map = |refs: &[(&str, char)]| -> RefMap {
            refs.iter().map(|(name, digit)| (BString::from(*name), oid(*digit))).collect()
        };
        let (ours, there) = (map(ours), map(there));
        let (delete, push) = diff(&there, &ours).into_iter().partition(|update| update.change.after().is_none());
        let plan = PushPlan { push, delete, ..PushPlan::default() };
        let Route { pushes, blocked } = route(&plan, &there, &ours);
        let sign = |edit: &PushEdit| match (edit.seen, edit.new) {
            (None, _) => '+',
            (_, None) => '-',
            _ => '~',
        };
        let show = |push: &Vec<PushEdit>| push.iter().map(|edit| format!("{}{}", sign(edit), edit.name)).collect();
        (pushes.iter().map(show).collect(), blocked.into_iter().map(|(name, _)| name.to_string()).collect())
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
    fn the_odd_one_comes_last_and_makes_way_when_it_is_there() {
        let (plus, minus) = (format!("+{ODD}"), format!("-{ODD}"));
        let way = |ours: &[(&str, char)], there: &[(&str, char)]| {
            let (pushes, blocked) = find(ours, there);
            assert_eq!(blocked, [""; 0]);
            pushes
        };
        assert_eq!(way(&[(MAIN, '1'), (ODD, '1')], &[]), [["+refs/heads/main"], [plus.as_str()]]);
        let again = [[minus.as_str()], ["~refs/heads/main"], [plus.as_str()]];
        assert_eq!(way(&[(MAIN, '2'), (ODD, '1')], &[(MAIN, '1'), (ODD, '1')]), again);
        assert_eq!(way(&[(MAIN, '2'), (ODD, '2')], &[(MAIN, '1'), (ODD, '1')]), again);
        assert_eq!(way(&[(MAIN, '2')], &[(MAIN, '1'), (ODD, '1')]), again[..2]);
        assert_eq!(way(&[(ODD, '2')], &[(MAIN, '1')]), [["-refs/heads/main"], [plus.as_str()]]);
    }

    #[test]
    fn one_without_the_other_is_no_trouble() {
        assert_eq!(find(&[(MAIN, '1'), (ODD, '2')], &[(MAIN, '1')]).0, [[format!("+{ODD}")]]);
        assert_eq!(find(&[(MAIN, '1'), (ODD, '2')], &[(MAIN, '1'), (ODD, '1')]).0, [[format!("~{ODD}")]]);
        assert_eq!(find(&[(ODD, '2')], &[]).0, [[format!("+{ODD}")]]);
    }

    #[test]
    fn what_is_not_ours_does_not_make_way() {
        let oid = |digit: &str| Oid::parse(digit.repeat(40).as_bytes()).unwrap();
        let there = RefMap::from([(MAIN.into(), oid("1")), (ODD.into(), oid("9"))]);
        let change = Change::Move { old: oid("1"), new: oid("2") };
        let plan = PushPlan { push: vec![RefUpdate { name: MAIN.into(), change }], ..PushPlan::default() };
        let found = route(&plan, &there, &RefMap::from([(MAIN.into(), oid("2"))]));
        assert_eq!(found.blocked[0].0, MAIN);
    }

    #[test]
    fn what_could_not_be_taken_away_blocks_what_it_shadows() {
        let edit = |name: &str| PushEdit { name: name.into(), seen: None, new: None };
        let (odd, dev) = (BString::from(ODD), BString::from("refs/heads/dev"));
        let blocked = blocked_by([&odd, &dev].into_iter(), &[vec![edit(MAIN), edit("refs/heads/dev")]]);
        assert_eq!(blocked.into_iter().map(|(name, _)| name).collect::<Vec<_>>(), [MAIN]);
        assert_eq!(blocked_by([&odd].into_iter(), &[vec![edit(ODD)]]), []);
    }
}
