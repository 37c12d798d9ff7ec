//! Pure: symbolic refs at a destination, other than HEAD. Somebody made them there (`master` that leads to `main`, so that
//! old clones go on), and git writes and deletes *through* them: who deletes the alias deletes what it leads to.
//!
//! So they are left alone, and so is what they lead to where the mirror would delete it.

use bstr::{BStr, BString, ByteSlice};

use super::plan::PushPlan;
use crate::base::failure::Reason;
use crate::git::refs::{Advertisement, Change, Oid, RefMap};
use crate::model::destination::RefusedRef;

/// How many symbolic refs are named in full.
const NAMED: usize = 5;

/// Takes out of a plan what would be written or deleted through a symbolic ref, and says so.
///
/// `covers` is whether a ref is to be copied at all, `protected` whether it is foreign by a rule of the user's.
pub fn leave(
    plan: &mut PushPlan,
    mirror: &RefMap,
    there: &Advertisement,
    covers: impl Fn(&BStr) -> bool,
    protected: impl Fn(&BStr) -> bool,
) {
    let aliases: Vec<(&BString, &BString)> =
        there.symrefs.iter().filter(|(alias, _)| covers(alias.as_bstr())).collect();
    if aliases.is_empty() {
        return;
    }
    let named: Vec<String> =
        aliases.iter().take(NAMED).map(|(alias, target)| format!("{alias} (leads to {target})")).collect();
    let more = match aliases.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    plan.notes.push(format!("symbolic refs at the destination are left alone: {}{more}.", named.join(", ")));
    for (alias, target) in aliases {
        if let Some(at) = plan.delete.iter().position(|update| update.name == *target) {
            plan.delete.remove(at);
            plan.foreign += 1;
            plan.notes.push(format!(
                "{target} stays at the destination, because the symbolic ref {alias} there leads to it; once `git \
                 symbolic-ref --delete {alias}` was run in that repository, it is deleted."
            ));
        }
        let wanted = mirror.get(alias);
        if wanted.is_some() && wanted.copied() != after(plan, there, target) {
            if protected(alias.as_bstr()) {
                plan.foreign += 1;
                continue;
            }
            let message = format!(
                "it is a symbolic ref there, which leads to {target} and is left alone; run `git symbolic-ref --delete \
                 {alias}` in that repository, and the next run pushes it"
            );
            plan.unfit.push(RefusedRef::new(alias, Reason::PushRejected, message));
        }
    }
}

/// Where a ref of the destination is when the plan was carried out.
fn after(plan: &PushPlan, there: &Advertisement, name: &BString) -> Option<Oid> {
    let planned = plan.push.iter().chain(&plan.delete).find(|update| update.name == *name);
    planned.map_or_else(|| there.refs.get(name).copied(), |update| Change::after(update.change))
}
