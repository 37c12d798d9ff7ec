//! Pure: refs that cannot stand side by side (`feature` and `feature/x`), in time that grows with their number only.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bstr::{BStr, BString, ByteSlice};

use super::plan::PushPlan;
use crate::base::failure::Reason;
use crate::git::refs::Advertisement;
use crate::model::destination::RefusedRef;

/// A set of ref names that is asked for those in the way of another one.
#[derive(Debug, Default)]
pub struct Names<'a>(BTreeSet<&'a BStr>);

impl<'a> FromIterator<&'a BString> for Names<'a> {
    fn from_iter<I: IntoIterator<Item = &'a BString>>(names: I) -> Self {
        Names(names.into_iter().map(|name| name.as_bstr()).collect())
    }
}

impl<'a> Names<'a> {
    /// The first name that cannot stand beside `name`: one above it (`a` for `a/b`), or one below it.
    pub fn in_the_way_of(&self, name: &BStr) -> Option<&'a BStr> {
        let above = name.find_iter("/").find_map(|at| self.0.get(name[..at].as_bstr()).copied());
        above.or_else(|| {
            let below = BString::from([name.as_bytes(), b"/"].concat());
            let from = (Bound::Included(below.as_bstr()), Bound::Unbounded);
            self.0.range::<BStr, _>(from).next().copied().filter(|other| other.starts_with(&below))
        })
    }
}

/// Why a ref of the destination stays.
pub type Cause = &'static str;

/// Takes those creations out of a plan that have no room, because a ref that stays there is in their way, and says so.
///
/// `causes` has why a ref stays, where the plan does not delete it.
pub fn leave(plan: &mut PushPlan, there: &Advertisement, causes: &BTreeMap<BString, Cause>) {
    let gone: BTreeSet<&BString> = plan.delete.iter().map(|update| &update.name).collect();
    let staying: Names<'_> = there.refs.keys().filter(|name| !gone.contains(name)).collect();
    let mut unfit = Vec::new();
    plan.push.retain(|update| {
        let creates = update.change.before().is_none();
        let Some(other) = staying.in_the_way_of(update.name.as_bstr()).filter(|_| creates) else { return true };
        let cause = causes.get(other).copied().unwrap_or("it is not deleted there");
        let message = format!(
            "there is no room for it: {other} stays at the destination ({cause}), and git cannot have both; delete or \
             rename {other} there, or let it be deleted"
        );
        unfit.push(RefusedRef::new(&update.name, Reason::PushRejected, message));
        false
    });
    plan.unfit.extend(unfit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_above_and_below_are_in_the_way_and_neighbours_are_not() {
        let all: Vec<BString> =
            ["refs/heads/a", "refs/heads/b/c", "refs/heads/b-1", "refs/heads/d0"].map(Into::into).into();
        let names: Names<'_> = all.iter().collect();
        let find = |name: &str| names.in_the_way_of(name.into()).map(ToString::to_string);
        assert_eq!(find("refs/heads/a/x").as_deref(), Some("refs/heads/a"));
        assert_eq!(find("refs/heads/a/x/y").as_deref(), Some("refs/heads/a"));
        assert_eq!(find("refs/heads/b").as_deref(), Some("refs/heads/b/c"));
        for free in
            ["refs/heads/a", "refs/heads/ab", "refs/heads/b/d", "refs/heads/d", "refs/heads/d0x", "refs/tags/a/x"]
        {
            assert_eq!(find(free), None, "{free}");
        }
    }
}
