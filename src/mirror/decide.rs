//! Pure: what happens to a mirror's refs, given what it has and what its source advertises.

use std::collections::BTreeSet;

use bstr::{BString, ByteSlice};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, civil};

use crate::config::{Cliff, Keep};
use crate::git::RefEdit;
use crate::git::refs::{Advertisement, Change, KEPT, LocalRefs, Oid, RefMap, RefUpdate, diff, is_derived};

/// What should happen to a mirror's refs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// Creations and moves, to be fetched first.
    pub take: Vec<RefUpdate>,
    pub delete: Vec<RefUpdate>,
    /// Why nothing may be deleted or moved by force, when the guard says so.
    pub held: Option<String>,
    /// Kept refs whose time is over.
    pub expired: Vec<RefUpdate>,
}

impl Decision {
    /// Whether no ref of the source has changed.
    pub fn is_empty(&self) -> bool {
        self.take.is_empty() && self.delete.is_empty()
    }
}

/// The rules a decision follows.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    pub cliff: Cliff,
    pub keep: Keep,
    /// A person has seen the mass deletion and means it.
    pub accepted: bool,
    /// A forge stands behind the source, which computes refs of its own (see [`is_derived`]).
    pub forge: bool,
    pub now: Timestamp,
}

/// Decides what to do with a mirror that has `local` when its source advertises `source`.
pub fn decide(local: &LocalRefs, source: &Advertisement, rules: &Rules) -> Decision {
    let (delete, take): (Vec<_>, Vec<_>) =
        diff(&local.refs, &source.refs).into_iter().partition(|update| matches!(update.change, Change::Delete { .. }));
    let held = (!rules.accepted).then(|| veto(local, source, &delete, rules.cliff)).flatten();
    Decision { take, delete, held, expired: expired(local, rules) }
}

/// Judges all refs, and branches and tags by themselves: a forge's own refs (`refs/pull/*`) may outnumber them by far and
/// outlive them.
fn veto(local: &LocalRefs, source: &Advertisement, delete: &[RefUpdate], limit: Cliff) -> Option<String> {
    let users = |name: &BString| name.starts_with(b"refs/heads/") || name.starts_with(b"refs/tags/");
    let count = |refs: &RefMap| refs.keys().filter(|name| users(name)).count();
    let lost = delete.iter().filter(|update| users(&update.name)).count();
    cliff(local.refs.len(), delete.len(), source.refs.len(), limit).or_else(|| {
        cliff(count(&local.refs), lost, count(&source.refs), limit).map(|why| format!("of branches and tags, {why}"))
    })
}

/// The cliff guard: the reason to hold, when so many refs went that the source is more likely broken than tidied up.
pub fn cliff(had: usize, lost: usize, has: usize, limit: Cliff) -> Option<String> {
    too_many(had, lost, has, limit).then(|| match has {
        0 => format!("the source has no refs any more (the mirror has {had})"),
        _ => format!("{lost} of {had} refs are gone at the source (more than {} %)", limit.percent),
    })
}

/// Whether a person should see it first when `lost` of `had` things went and `has` are there.
pub fn too_many(had: usize, lost: usize, has: usize, limit: Cliff) -> bool {
    had > 0 && has == 0 || had >= limit.min_refs && lost * 100 > had * usize::from(limit.percent)
}

/// What a held mirror may still take: nothing that loses a ref or its place.
pub fn without_loss(take: Vec<RefUpdate>, delete: &[RefUpdate], forced: &BTreeSet<BString>) -> Vec<RefUpdate> {
    let gone: BTreeSet<&[u8]> = delete.iter().map(|update| update.name.as_slice()).collect();
    let above_gone: BTreeSet<&[u8]> = delete.iter().flat_map(|update| above(&update.name)).collect();
    // `a` and `a/b` cannot exist side by side.
    let has_room =
        |name: &BString| !above_gone.contains(name.as_slice()) && !above(name).any(|part| gone.contains(part));
    take.into_iter().filter(|update| !forced.contains(&update.name) && has_room(&update.name)).collect()
}

/// The names that cannot exist while `name` does, because it lies below them: `a` and `a/b` of `a/b/c`.
fn above(name: &BString) -> impl Iterator<Item = &[u8]> {
    name.find_iter("/").map(|at| &name[..at])
}

/// The transactions that carry a decision out, in order: first old tips are kept and deletions made, then refs are
/// created and moved (a file system has no room for `a` and `a/b` within one transaction).
pub fn transactions(
    decision: &Decision,
    forced: &BTreeSet<BString>,
    local: &LocalRefs,
    rules: &Rules,
) -> [Vec<RefEdit>; 2] {
    let mut first = Vec::new();
    if let Some(shelf) = Shelf::open(local, rules) {
        let moved = decision.take.iter().filter(|update| forced.contains(&update.name));
        let worth_it = |update: &&RefUpdate| !(rules.forge && is_derived(update.name.as_bstr()));
        for update in decision.delete.iter().chain(moved).filter(worth_it) {
            if let Some(old) = update.change.before() {
                first.push(RefEdit::Create { name: shelf.place(&update.name), new: old });
            }
        }
    }
    first.extend(decision.delete.iter().chain(&decision.expired).filter_map(edit));
    [first, decision.take.iter().filter_map(edit).collect()]
}

/// Where old tips go that are kept together: under one time stamp.
#[derive(Debug)]
pub struct Shelf(String);

impl Shelf {
    /// A place under which nothing is kept yet; `None` when nothing is to be kept.
    pub fn open(local: &LocalRefs, rules: &Rules) -> Option<Self> {
        #[cfg(test)]
        tests::OPENED.with(|opened| opened.set(opened.get() + 1));
        (rules.keep != Keep::Days(0)).then(|| Shelf(free_stamp(local, rules.now)))
    }

    /// The kept ref for the old tip of `name`.
    pub fn place(&self, name: &[u8]) -> BString {
        [KEPT.as_bytes(), self.0.as_bytes(), b"/", name].concat().into()
    }
}

fn edit(update: &RefUpdate) -> Option<RefEdit> {
    let name = update.name.clone();
    Some(match update.change {
        Change::Create { new } => RefEdit::Create { name, new },
        Change::Move { old, new } => RefEdit::Update { name, old, new },
        Change::Delete { old } => RefEdit::Delete { name, old },
    })
}

const STAMP: &str = "%Y%m%dT%H%M%SZ";

/// A time stamp for kept refs under which nothing is kept yet.
fn free_stamp(local: &LocalRefs, now: Timestamp) -> String {
    let stamps: BTreeSet<&str> = local.kept.keys().filter_map(stamp_of).collect();
    let taken = |stamp: &str| stamps.contains(stamp);
    let mut time = now;
    loop {
        let stamp = time.strftime(STAMP).to_string();
        if !taken(&stamp) {
            return stamp;
        }
        time += SignedDuration::from_secs(1);
    }
}

fn stamp_of(name: &BString) -> Option<&str> {
    name.strip_prefix(KEPT.as_bytes())?.split_str("/").next()?.to_str().ok()
}

/// When a kept ref was kept, as its name says.
pub fn kept_at(name: &BString) -> Option<Timestamp> {
    let time = civil::DateTime::strptime(STAMP, stamp_of(name)?).ok()?;
    time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

fn expired(local: &LocalRefs, rules: &Rules) -> Vec<RefUpdate> {
    let Keep::Days(days) = rules.keep else { return Vec::new() };
    let age = SignedDuration::from_hours(i64::from(days) * 24);
    let over = |name: &BString| kept_at(name).is_some_and(|kept| rules.now.duration_since(kept) > age);
    let delete = |(name, &old): (&BString, &Oid)| RefUpdate { name: name.clone(), change: Change::Delete { old } };
    local.kept.iter().filter(|(name, _)| over(name)).map(delete).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;

    thread_local! {
        /// How often a place was looked for in this test: each time all kept refs are read.
        pub(super) static OPENED: Cell<usize> = const { Cell::new(0) };
    }

    fn oid(digit: char) -> Oid {
        Oid::parse(digit.to_string().repeat(40).as_bytes()).unwrap()
    }

    fn heads(count: usize) -> RefMap {
        (0..count).map(|n| (format!("refs/heads/b{n:03}").into(), oid('a'))).collect()
    }

    fn rules() -> Rules {
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        Rules { cliff: Cliff::default(), keep: Keep::default(), accepted: false, forge: true, now }
    }

    fn decision(have: usize, want: usize, rules: &Rules) -> Decision {
        let source = Advertisement { refs: heads(want), ..Advertisement::default() };
        decide(&LocalRefs { refs: heads(have), ..LocalRefs::default() }, &source, rules)
    }

    #[test]
    fn a_source_that_lost_everything_or_most_of_it_is_held() {
        assert!(decision(1, 0, &rules()).held.is_some());
        assert!(decision(10, 4, &rules()).held.unwrap().starts_with("6 of 10 refs are gone"));
        assert!(decision(10, 5, &rules()).held.is_none());
        assert!(decision(9, 1, &rules()).held.is_none());
        assert!(decision(0, 0, &rules()).held.is_none());
        assert!(decision(10, 0, &Rules { accepted: true, ..rules() }).held.is_none());
    }

    #[test]
    fn a_renamed_only_branch_is_no_cliff() {
        let local = LocalRefs { refs: RefMap::from([("refs/heads/master".into(), oid('a'))]), ..LocalRefs::default() };
        let refs = RefMap::from([("refs/heads/main".into(), oid('a'))]);
        assert_eq!(decide(&local, &Advertisement { refs, ..Advertisement::default() }, &rules()).held, None);
    }

    #[test]
    fn old_tips_of_deleted_and_forced_refs_are_kept_under_a_stamp_of_their_own() {
        let name = |text: &str| BString::from(text);
        let local = LocalRefs {
            refs: RefMap::from([
                (name("refs/heads/gone"), oid('a')),
                (name("refs/heads/main"), oid('b')),
                (name("refs/pull/1/merge"), oid('b')),
            ]),
            kept: RefMap::from([(name("refs/holocron/kept/20261120T120000Z/refs/heads/gone"), oid('d'))]),
            ..LocalRefs::default()
        };
        let source =
            Advertisement { refs: RefMap::from([(name("refs/heads/main"), oid('c'))]), ..Advertisement::default() };
        let decision = decide(&local, &source, &rules());
        let [first, second] = transactions(&decision, &BTreeSet::from([name("refs/heads/main")]), &local, &rules());
        assert_eq!(
            first,
            [
                RefEdit::Create { name: name("refs/holocron/kept/20261120T120001Z/refs/heads/gone"), new: oid('a') },
                RefEdit::Create { name: name("refs/holocron/kept/20261120T120001Z/refs/heads/main"), new: oid('b') },
                RefEdit::Delete { name: name("refs/heads/gone"), old: oid('a') },
                RefEdit::Delete { name: name("refs/pull/1/merge"), old: oid('b') },
            ]
        );
        assert_eq!(second, [RefEdit::Update { name: name("refs/heads/main"), old: oid('b'), new: oid('c') }]);
        let nothing_kept = transactions(&decision, &BTreeSet::new(), &local, &Rules { keep: Keep::Days(0), ..rules() });
        assert!(nothing_kept[0].iter().all(|edit| matches!(edit, RefEdit::Delete { .. })));
    }

    #[test]
    fn one_place_is_looked_for_however_many_tips_are_kept() {
        let kept = (0..2000).map(|n| format!("{KEPT}20261120T1200{:02}Z/refs/heads/b{n:04}", n % 60).into());
        let local = LocalRefs {
            refs: heads(2000),
            kept: kept.map(|name: BString| (name, oid('b'))).collect(),
            ..LocalRefs::default()
        };
        let rules = Rules { accepted: true, ..rules() };
        let decision = decide(&local, &Advertisement::default(), &rules);
        OPENED.set(0);
        let [first, _] = transactions(&decision, &BTreeSet::new(), &local, &rules);
        assert_eq!(OPENED.get(), 1);
        let created: Vec<_> = first.iter().filter(|edit| matches!(edit, RefEdit::Create { .. })).collect();
        let place = b"refs/holocron/kept/20261120T120100Z/";
        assert!(created.len() == 2000 && created.iter().all(|edit| edit.name().starts_with(place)));
    }

    #[test]
    fn branches_and_tags_that_all_go_are_held_however_many_refs_of_the_forge_stay() {
        let others = |count| (1..=count).map(|n| (format!("refs/pull/{n}/head").into(), oid('c')));
        let local = |branches, pulls| LocalRefs {
            refs: heads(branches).into_iter().chain([("refs/tags/v1".into(), oid('a'))]).chain(others(pulls)).collect(),
            ..LocalRefs::default()
        };
        let source = |refs: RefMap| Advertisement { refs, ..Advertisement::default() };
        let all_gone = decide(&local(9, 12), &source(others(12).collect()), &rules());
        assert_eq!(all_gone.held.unwrap(), "of branches and tags, the source has no refs any more (the mirror has 10)");
        let most_gone = decide(&local(9, 12), &source(heads(4).into_iter().chain(others(12)).collect()), &rules());
        assert!(most_gone.held.unwrap().starts_with("of branches and tags, 6 of 10 refs are gone"));
        let few = decide(&local(9, 12), &source(heads(5).into_iter().chain(others(12)).collect()), &rules());
        assert_eq!(few.held, None);
        // And the forge's refs count as before.
        let pulls = decide(&local(9, 30), &source(local(9, 0).refs), &rules());
        assert!(pulls.held.unwrap().starts_with("30 of 40 refs are gone"));
    }

    #[test]
    fn kept_refs_go_when_their_days_are_over_and_not_before() {
        let kept = |day: &str| BString::from(format!("refs/holocron/kept/{day}T000000Z/refs/heads/x"));
        let map = RefMap::from([(kept("20260101"), oid('a')), (kept("20261101"), oid('b'))]);
        let local = LocalRefs { kept: map, ..LocalRefs::default() };
        let expired = |keep| decide(&local, &Advertisement::default(), &Rules { keep, ..rules() }).expired;
        assert_eq!(expired(Keep::Days(90)).iter().map(|update| &update.name).collect::<Vec<_>>(), [&kept("20260101")]);
        assert_eq!(expired(Keep::Days(0)).len(), 2);
        assert_eq!(expired(Keep::Forever), []);
    }

    #[test]
    fn a_held_mirror_takes_only_what_costs_nothing() {
        let update = |name: &str, change| RefUpdate { name: name.into(), change };
        let take = vec![
            update("refs/heads/a/b", Change::Create { new: oid('a') }),
            update("refs/heads/forced", Change::Move { old: oid('a'), new: oid('b') }),
            update("refs/heads/new", Change::Create { new: oid('a') }),
        ];
        let delete = [update("refs/heads/a", Change::Delete { old: oid('a') })];
        let left = without_loss(take, &delete, &BTreeSet::from(["refs/heads/forced".into()]));
        assert_eq!(left.iter().map(|update| update.name.to_string()).collect::<Vec<_>>(), ["refs/heads/new"]);
    }

    proptest! {
        #[test]
        fn every_ref_that_goes_leaves_its_tip_behind(have in 0_usize..30, want in 0_usize..30) {
            let rules = Rules { accepted: true, ..rules() };
            let local = LocalRefs { refs: heads(have), ..LocalRefs::default() };
            let [first, _] = transactions(&decision(have, want, &rules), &BTreeSet::new(), &local, &rules);
            let kept = first.iter().filter(|edit| matches!(edit, RefEdit::Create { .. })).count();
            let deleted = first.iter().filter(|edit| matches!(edit, RefEdit::Delete { .. })).count();
            prop_assert_eq!((kept, deleted), (have.saturating_sub(want), have.saturating_sub(want)));
        }
    }
}
