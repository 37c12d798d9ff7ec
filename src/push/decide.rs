//! Pure: what is pushed to a destination, given what the mirror has and what the destination advertises.

use std::collections::{BTreeMap, BTreeSet};

use bstr::{BStr, BString, ByteSlice};
use globset::GlobSet;

use super::plan::PushPlan;
use super::{alias, room};
use crate::config::Cliff;
use crate::config::destination::{Divergence, RefScope};
use crate::git::PushEdit;
use crate::git::refs::{Advertisement, Change, OWN, Oid, RefMap, RefUpdate, diff, is_branch};
use crate::mirror::decide::cliff;

/// The rules of one destination for one mirror.
#[derive(Debug, Clone)]
pub struct PushRules {
    pub scope: RefScope,
    pub divergence: Divergence,
    /// Foreign refs, never moved and never deleted; `None` is `gh-pages` where the source has none.
    pub protect: Option<GlobSet>,
    /// Tags that may move although they diverge.
    pub rolling: GlobSet,
    pub prune: bool,
    pub cliff: Cliff,
    /// A person has seen the mass deletion and means it.
    pub accepted: bool,
}

/// What only the objects tell, asked of the local mirror before the decision is complete.
#[derive(Debug, Clone, Default)]
pub struct Ancestry {
    /// Refs whose move loses nothing: the destination's tip is contained in ours.
    pub forward: BTreeSet<BString>,
    /// Tips of the destination that the mirror knows, so that they came from the source once.
    pub known: BTreeSet<Oid>,
    /// What tags peel to in the mirror.
    pub peeled: BTreeMap<BString, Oid>,
}

/// The refs of a mirror that a destination is to have.
pub fn in_scope(refs: &RefMap, scope: RefScope) -> RefMap {
    refs.iter().filter(|(name, _)| covers(scope, name.as_bstr())).map(|(name, oid)| (name.clone(), *oid)).collect()
}

fn covers(scope: RefScope, name: &BStr) -> bool {
    match scope {
        RefScope::All => !name.starts_with(OWN.as_bytes()) && !is_one_level(name),
        RefScope::Some { heads, tags, notes } => {
            heads && is_branch(name)
                || tags && name.starts_with(b"refs/tags/")
                || notes && name.starts_with(b"refs/notes/")
        }
    }
}

/// Whether a ref stands directly under `refs/` (`refs/stash`): git pushes none of these (remote.c, `one_local_ref`), and
/// takes none (receive-pack, "funny refname").
fn is_one_level(name: &BStr) -> bool {
    name.strip_prefix(b"refs/").is_some_and(|rest| !rest.contains(&b'/'))
}

/// What is to be said of refs that git does not push.
fn never_pushed(mirror: &RefMap, scope: RefScope) -> Option<String> {
    let names: Vec<String> =
        mirror.keys().filter(|name| is_one_level(name.as_bstr())).map(ToString::to_string).collect();
    let told = scope == RefScope::All && !names.is_empty();
    told.then(|| format!("not pushed, as git pushes no ref directly under refs/: {}.", names.join(", ")))
}

/// The refs that would differ, before the objects are asked. A symbolic ref of the destination is its own affair.
pub fn differences(mirror: &RefMap, there: &Advertisement, scope: RefScope) -> Vec<RefUpdate> {
    let mut all = diff(&in_scope(&there.refs, scope), &in_scope(mirror, scope));
    all.retain(|update| !there.symrefs.contains_key(&update.name));
    all
}

/// Decides what is pushed.
pub fn decide(mirror: &RefMap, there: &Advertisement, ancestry: &Ancestry, rules: &PushRules) -> PushPlan {
    let mut plan = PushPlan::default();
    // Why refs stay that the mirror lacks.
    let mut stay: BTreeMap<BString, room::Cause> = BTreeMap::new();
    for update in differences(mirror, there, rules.scope) {
        let name = update.name.as_bstr();
        let exists_there = update.change.before().is_some();
        if exists_there && is_protected(name, mirror, rules) {
            plan.foreign += 1;
            stay.insert(update.name, "`protect` covers it");
            continue;
        }
        match update.change {
            Change::Delete { .. } if !rules.prune => {
                plan.foreign += 1;
                stay.insert(update.name, "`prune` is off");
            }
            Change::Delete { old } if rules.divergence == Divergence::Keep && !ancestry.known.contains(&old) => {
                stay.insert(update.name.clone(), "it holds commits that the source lacks");
                plan.diverged.push(update.name);
            }
            Change::Delete { .. } => plan.delete.push(update),
            Change::Move { old, .. } if rules.divergence == Divergence::Keep => {
                match keeps(&update, old, there, ancestry, rules) {
                    Kept::Equal => {}
                    Kept::Moves => plan.push.push(update),
                    Kept::Stays => plan.diverged.push(update.name),
                }
            }
            Change::Move { .. } | Change::Create { .. } => plan.push.push(update),
        }
    }
    plan.notes.extend(never_pushed(mirror, rules.scope));
    alias::leave(&mut plan, mirror, there, |name| covers(rules.scope, name), |name| is_protected(name, mirror, rules));
    let has = in_scope(&there.refs, rules.scope).len();
    let wanted = in_scope(mirror, rules.scope).len();
    plan.held = (!rules.accepted).then(|| cliff(has, plan.delete.len(), wanted, rules.cliff)).flatten();
    if plan.held.is_some() {
        let kept = std::mem::take(&mut plan.delete);
        let kept: room::Names<'_> = kept.iter().map(|update| &update.name).collect();
        plan.push.retain(|update| kept.in_the_way_of(update.name.as_bstr()).is_none());
    }
    let aliases = there.symrefs.iter().flat_map(|(alias, target)| {
        [(alias.clone(), "it is a symbolic ref"), (target.clone(), "a symbolic ref leads to it")]
    });
    stay.extend(aliases);
    room::leave(&mut plan, there, &stay);
    plan
}

enum Kept {
    /// Two tags that name the same commit.
    Equal,
    Moves,
    Stays,
}

fn keeps(update: &RefUpdate, old: Oid, there: &Advertisement, ancestry: &Ancestry, rules: &PushRules) -> Kept {
    let name = update.name.as_bstr();
    let Some(tag) = name.strip_prefix(b"refs/tags/") else {
        return if ancestry.forward.contains(&update.name) { Kept::Moves } else { Kept::Stays };
    };
    let peeled_there = there.peeled.get(&update.name).copied().unwrap_or(old);
    if ancestry.peeled.get(&update.name).copied().or(update.change.after()) == Some(peeled_there) {
        return Kept::Equal;
    }
    if rules.rolling.is_match(tag.to_str_lossy().as_ref()) { Kept::Moves } else { Kept::Stays }
}

fn is_protected(name: &BStr, mirror: &RefMap, rules: &PushRules) -> bool {
    let full = name.to_str_lossy();
    match &rules.protect {
        Some(globs) => {
            let short = ["refs/heads/", "refs/tags/"].iter().find_map(|prefix| full.strip_prefix(prefix));
            globs.is_match(full.as_ref()) || short.is_some_and(|short| globs.is_match(short))
        }
        // A page that the destination's own CI publishes, unless it is the source's.
        None => full == "refs/heads/gh-pages" && !mirror.contains_key(name),
    }
}

/// The pushes that carry a plan out, in order. Deletions that make room for a creation (`dev` for `dev/x`) go first, by
/// themselves; everything else is one push, deletions first.
pub fn pushes(plan: &PushPlan) -> Vec<Vec<PushEdit>> {
    let edit = |update: &RefUpdate| PushEdit {
        name: update.name.clone(),
        seen: update.change.before(),
        new: update.change.after(),
    };
    let creations = plan.push.iter().filter(|update| update.change.before().is_none());
    let created: room::Names<'_> = creations.map(|update| &update.name).collect();
    let in_the_way = |gone: &&RefUpdate| created.in_the_way_of(gone.name.as_bstr()).is_some();
    let (first, later): (Vec<_>, Vec<_>) = plan.delete.iter().partition(in_the_way);
    let rest = later.into_iter().chain(&plan.push).map(edit).collect::<Vec<_>>();
    [first.into_iter().map(edit).collect(), rest].into_iter().filter(|push: &Vec<_>| !push.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use globset::{Glob, GlobSetBuilder};

    fn oid(digit: char) -> Oid {
        Oid::parse(digit.to_string().repeat(40).as_bytes()).unwrap()
    }

    fn map(refs: &[(&str, char)]) -> RefMap {
        refs.iter().map(|(name, digit)| (BString::from(*name), oid(*digit))).collect()
    }

    fn there(refs: &[(&str, char)]) -> Advertisement {
        Advertisement { refs: map(refs), ..Advertisement::default() }
    }

    fn globs(patterns: &[&str]) -> GlobSet {
        let mut set = GlobSetBuilder::new();
        patterns.iter().for_each(|pattern| {
            set.add(Glob::new(pattern).unwrap());
        });
        set.build().unwrap()
    }

    fn rules() -> PushRules {
        PushRules {
            scope: RefScope::default(),
            divergence: Divergence::Force,
            protect: None,
            rolling: GlobSet::empty(),
            prune: true,
            cliff: Cliff::default(),
            accepted: false,
        }
    }

    fn names(updates: &[RefUpdate]) -> Vec<String> {
        updates.iter().map(|update| update.name.to_string()).collect()
    }

    #[test]
    fn hidden_namespaces_and_our_own_stay_at_home() {
        let mirror =
            map(&[("refs/heads/main", 'a'), ("refs/pull/1/head", 'b'), ("refs/tags/v1", 'c'), ("refs/notes/x", 'd')]);
        let plan = decide(&mirror, &there(&[]), &Ancestry::default(), &rules());
        assert_eq!(names(&plan.push), ["refs/heads/main", "refs/tags/v1"]);
        let all = decide(&mirror, &there(&[]), &Ancestry::default(), &PushRules { scope: RefScope::All, ..rules() });
        assert_eq!(all.push.len(), 4);
    }

    #[test]
    fn a_mirror_overwrites_and_deletes_what_the_source_does_not_have() {
        let mirror = map(&[("refs/heads/main", 'b')]);
        let plan =
            decide(&mirror, &there(&[("refs/heads/main", 'a'), ("refs/heads/x", 'c')]), &Ancestry::default(), &rules());
        assert_eq!(
            (names(&plan.push), names(&plan.delete)),
            (vec!["refs/heads/main".into()], vec!["refs/heads/x".into()])
        );
    }

    #[test]
    fn foreign_commits_stay_under_keep_and_the_sources_old_branches_go() {
        let mirror = map(&[("refs/heads/behind", 'b'), ("refs/heads/foreign", 'b')]);
        let there = there(&[
            ("refs/heads/behind", 'a'),
            ("refs/heads/foreign", 'c'),
            ("refs/heads/old", 'a'),
            ("refs/heads/theirs", 'd'),
        ]);
        let ancestry = Ancestry {
            forward: BTreeSet::from(["refs/heads/behind".into()]),
            known: BTreeSet::from([oid('a')]),
            ..Ancestry::default()
        };
        let plan = decide(&mirror, &there, &ancestry, &PushRules { divergence: Divergence::Keep, ..rules() });
        assert_eq!(names(&plan.push), ["refs/heads/behind"]);
        assert_eq!(names(&plan.delete), ["refs/heads/old"]);
        assert_eq!(plan.diverged, ["refs/heads/foreign", "refs/heads/theirs"]);
    }

    #[test]
    fn tags_are_compared_by_what_they_name_and_only_rolling_ones_move_under_keep() {
        let mirror = map(&[("refs/tags/same", 'b'), ("refs/tags/latest", 'b'), ("refs/tags/v1", 'b')]);
        let mut there = there(&[("refs/tags/same", 'a'), ("refs/tags/latest", 'a'), ("refs/tags/v1", 'a')]);
        there.peeled = map(&[("refs/tags/same", 'e')]);
        let ancestry = Ancestry { peeled: map(&[("refs/tags/same", 'e')]), ..Ancestry::default() };
        let rules = PushRules { divergence: Divergence::Keep, rolling: globs(&["latest"]), ..rules() };
        let plan = decide(&mirror, &there, &ancestry, &rules);
        assert_eq!(names(&plan.push), ["refs/tags/latest"]);
        assert_eq!(plan.diverged, ["refs/tags/v1"]);
    }

    #[test]
    fn protected_refs_are_never_touched_and_gh_pages_is_one_unless_the_source_has_it() {
        let ours = there(&[("refs/heads/gh-pages", 'a'), ("refs/heads/ci/x", 'a')]);
        let plan = decide(&map(&[("refs/heads/main", 'b')]), &ours, &Ancestry::default(), &rules());
        assert_eq!((names(&plan.delete), plan.foreign), (vec!["refs/heads/ci/x".into()], 1));
        let has_pages = decide(&map(&[("refs/heads/gh-pages", 'b')]), &ours, &Ancestry::default(), &rules());
        assert_eq!(names(&has_pages.push), ["refs/heads/gh-pages"]);
        let rules = PushRules { protect: Some(globs(&["ci/*"])), ..rules() };
        let plan = decide(&map(&[("refs/heads/main", 'b')]), &ours, &Ancestry::default(), &rules);
        assert_eq!((names(&plan.delete), plan.foreign), (vec!["refs/heads/gh-pages".into()], 1));
    }

    #[test]
    fn a_mirror_that_lost_most_refs_deletes_nothing_anywhere() {
        let many: Vec<(String, char)> = (0..12).map(|n| (format!("refs/heads/b{n}"), 'a')).collect();
        let many: Vec<(&str, char)> = many.iter().map(|(name, digit)| (name.as_str(), *digit)).collect();
        let plan = decide(&map(&[("refs/heads/b0/x", 'a')]), &there(&many), &Ancestry::default(), &rules());
        assert!(plan.held.is_some() && plan.delete.is_empty() && plan.push.is_empty());
        let empty = decide(&RefMap::new(), &there(&many[..1]), &Ancestry::default(), &rules());
        assert!(empty.held.is_some() && empty.delete.is_empty());
    }

    #[test]
    fn a_deletion_that_makes_room_is_a_push_of_its_own() {
        let mirror = map(&[("refs/heads/dev/x", 'a'), ("refs/heads/new", 'a')]);
        let plan = decide(
            &mirror,
            &there(&[("refs/heads/dev", 'a'), ("refs/heads/old", 'a')]),
            &Ancestry::default(),
            &rules(),
        );
        let pushes = pushes(&plan);
        let names: Vec<Vec<String>> =
            pushes.iter().map(|push| push.iter().map(|edit| edit.name.to_string()).collect()).collect();
        assert_eq!(names, [vec!["refs/heads/dev"], vec!["refs/heads/old", "refs/heads/dev/x", "refs/heads/new"]]);
        assert_eq!(pushes[0][0], PushEdit { name: "refs/heads/dev".into(), seen: Some(oid('a')), new: None });
    }
}
