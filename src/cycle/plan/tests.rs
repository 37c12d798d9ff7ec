use std::time::Duration;

use super::*;
use crate::base::url::RemoteUrl;
use crate::config::limits::Limits;
use crate::config::{Cliff, Keep, Output};
use crate::model::{RepoPath, Visibility};
use crate::store::{Backoff, after};

/// The last push of every repository, unless said otherwise.
const PUSHED: &str = "2026-11-02T08:00:00Z";
/// When mirrors were looked at last: long after [`PUSHED`], so that nothing is recent.
const LOOKED: &str = "2026-11-03T07:00:00Z";
const NOW: &str = "2026-11-03T09:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn repo(id: &str, path: &str) -> Repo {
    Repo {
        source: "github".into(),
        folder: "h".into(),
        id: id.into(),
        path: RepoPath::parse(path).unwrap(),
        url: RemoteUrl::parse(&format!("https://h/{path}.git")).unwrap(),
        default_branch: Some("main".into()),
        pushed_at: Some(at(PUSHED)),
        size_kib: None,
        visibility: Visibility::Private,
        fork: false,
        archived: false,
        state: RepoState::Ready,
        topics: Default::default(),
        description: None,
        releases_off: false,
    }
}

/// What is remembered of a repository whose mirror was looked at then, with success.
fn looked_at(repo: &Repo, time: &str) -> MirrorRecord {
    after(None, repo, &Outcome::new(repo, Verdict::Cloned), at(time), Backoff::new(Duration::from_secs(60)))
}

/// What is remembered after one more try that failed.
fn failed_after(record: &MirrorRecord, repo: &Repo, time: &str) -> MirrorRecord {
    let outcome = Outcome::failed(repo, Failure::new(Reason::NetworkFailed, "no connection"));
    after(Some(record), repo, &outcome, at(time), Backoff::new(Duration::from_secs(60)))
}

/// What a plan is made from.
struct World {
    config: Config,
    storage: Storage,
    inventory: Inventory,
    records: Vec<MirrorRecord>,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        let config = Config {
            releases: None,
            only_releases: None,
            asset_tmp_max: 1,
            hidden: Vec::new(),
            destinations: Vec::new(),
            run_from: None,
            push: true,
            sources: Vec::new(),
            storage: "/nonexistent".into(),
            concurrency: 5,
            per_host: 5,
            limits: Limits::default(),
            watch: false,
            interval: Duration::from_secs(60),
            window: Duration::from_secs(3600),
            full_every: Duration::from_secs(24 * 3600),
            stale_after: Duration::from_secs(48 * 3600),
            full: false,
            checkout: false,
            dry_run: false,
            wait: false,
            accept_deletions: Vec::new(),
            cliff: Cliff::default(),
            keep: Keep::default(),
            timeout: Duration::from_secs(300),
            transport: crate::git::GitTransport::default(),
            time_limit: None,
            output: Output::default(),
        };
        let storage = Storage::at("/nonexistent");
        World { config, storage, inventory: Inventory::default(), records: Vec::new(), now: at(NOW) }
    }

    /// A repository that is listed and has no mirror.
    fn listed(mut self, repo: Repo) -> Self {
        self.inventory.repos.push(repo);
        self
    }

    /// Something that lies in the storage.
    fn present(mut self, place: &str) -> Self {
        self.inventory.present.insert(place.into());
        self
    }

    /// What the store knows, and a mirror where it says.
    fn mirrored(mut self, record: MirrorRecord) -> Self {
        self.inventory.present.insert(record.mirror.clone());
        self.recorded(record)
    }

    /// What the store knows, with no mirror behind it.
    fn recorded(mut self, record: MirrorRecord) -> Self {
        self.records.push(record);
        self
    }

    /// A listed repository whose mirror covers it.
    fn current(self, repo: Repo) -> Self {
        let record = looked_at(&repo, LOOKED);
        self.listed(repo).mirrored(record)
    }

    /// A repository in the storage that the store does not know.
    fn unrecorded(mut self, place: &str, url: Option<&str>) -> Self {
        self.inventory.unrecorded.insert(place.into(), url.map(|url| RemoteUrl::parse(url).unwrap()));
        self
    }

    fn gone(mut self, record: &MirrorRecord) -> Self {
        self.inventory.gone.push(record.key.clone());
        self
    }

    fn configured(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    fn watching(self) -> Self {
        self.configured(|config| config.watch = true)
    }

    fn at(mut self, now: &str) -> Self {
        self.now = at(now);
        self
    }

    fn plan(&self) -> Plan {
        plan(&self.config, &self.storage, &self.inventory, &self.records, self.now)
    }

    /// Why the only repository is worked on; `None` when it is not.
    fn why(&self) -> Option<Why> {
        let plan = self.plan();
        assert_eq!(plan.mirrors(), 1, "{plan:?}");
        plan.tasks.first().map(|task| task.why)
    }

    /// The outcome of the only repository, which needs no work.
    #[track_caller]
    fn settled(&self) -> Settled {
        let mut plan = self.plan();
        assert!(plan.tasks.is_empty() && plan.settled.len() == 1, "{plan:?}");
        plan.settled.remove(0)
    }
}

fn alpha() -> Repo {
    repo("1", "acme/alpha")
}

fn moves(plan: &Plan) -> Vec<(String, String)> {
    plan.moves.iter().map(|step| (step.from.display().to_string(), step.to.display().to_string())).collect()
}

fn names(plan: &Plan) -> Vec<String> {
    plan.tasks.iter().map(|task| task.repo.path.to_string()).collect()
}

#[test]
fn a_repository_without_a_mirror_is_cloned() {
    assert_eq!(World::new().listed(alpha()).why(), Some(Why::New));
}

#[test]
fn a_mirror_that_somebody_removed_is_cloned_again_whatever_the_store_says() {
    let record = looked_at(&alpha(), LOOKED);
    assert_eq!(World::new().listed(alpha()).recorded(record).why(), Some(Why::New));
}

#[test]
fn a_mirror_that_covers_the_listing_is_settled_without_git() {
    let mut record = looked_at(&alpha(), LOOKED);
    record.refs = 7;
    let settled = World::new().listed(alpha()).mirrored(record).settled();
    assert_eq!((settled.outcome.verdict, settled.outcome.refs.total), (Verdict::Current, 7));
    assert!(settled.outcome.failure.is_none() && settled.outcome.notes.is_empty());
    assert!(settled.record.is_none(), "what the listing alone shows does not count as compared");
}

#[test]
fn a_newer_push_and_another_default_branch_are_looked_at() {
    let pushed = Repo { pushed_at: Some(at("2026-11-03T08:59:00Z")), ..alpha() };
    let renamed = Repo { default_branch: Some("trunk".into()), ..alpha() };
    for listed in [pushed, renamed] {
        assert_eq!(World::new().listed(listed).mirrored(looked_at(&alpha(), LOOKED)).why(), Some(Why::Changed));
    }
}

#[test]
fn a_listing_whose_time_goes_backwards_is_looked_at() {
    let older = Repo { pushed_at: Some(at("2026-10-01T00:00:00Z")), ..alpha() };
    assert_eq!(World::new().listed(older).mirrored(looked_at(&alpha(), LOOKED)).why(), Some(Why::Changed));
}

#[test]
fn a_source_that_tells_no_times_is_looked_at_every_time() {
    let silent = Repo { pushed_at: None, ..alpha() };
    assert_eq!(World::new().current(silent).why(), Some(Why::Untold));
}

#[test]
fn a_mirror_the_store_does_not_know_is_looked_at() {
    let world = World::new().listed(alpha()).present("h/acme/alpha.git");
    assert_eq!(world.unrecorded("h/acme/alpha.git", Some("https://h/acme/alpha")).why(), Some(Why::Unsettled));
}

#[test]
fn failed_held_and_degraded_mirrors_are_looked_at_although_nothing_was_pushed() {
    let good = looked_at(&alpha(), LOOKED);
    let held = MirrorRecord { verdict: Verdict::Held, ..good.clone() };
    let degraded = MirrorRecord { degraded: true, ..good.clone() };
    for record in [failed_after(&good, &alpha(), LOOKED), held, degraded] {
        assert_eq!(World::new().listed(alpha()).mirrored(record).why(), Some(Why::Unsettled));
    }
}

#[test]
fn a_repository_that_is_back_is_compared() {
    let back = looked_at(&alpha(), LOOKED).gone(at(LOOKED));
    assert_eq!(World::new().listed(alpha()).mirrored(back).why(), Some(Why::Unsettled));
}

#[test]
fn an_empty_mirror_is_looked_at_unless_the_forge_says_that_it_is_empty() {
    let empty = MirrorRecord { empty: true, ..looked_at(&alpha(), LOOKED) };
    for (state, why) in
        [(RepoState::Ready, Some(Why::Empty)), (RepoState::Filled, Some(Why::Empty)), (RepoState::Empty, None)]
    {
        let listed = Repo { state, ..alpha() };
        assert_eq!(World::new().listed(listed).mirrored(empty.clone()).why(), why, "{state:?}");
    }
}

#[test]
fn full_compares_everything() {
    assert_eq!(World::new().current(alpha()).configured(|config| config.full = true).why(), Some(Why::Full));
}

#[test]
fn a_comparison_is_due_when_the_last_one_is_as_old_as_full_every() {
    let due_in = |every| World::new().current(alpha()).configured(|config| config.full_every = every).why();
    assert_eq!(due_in(Duration::from_secs(2 * 3600 + 1)), None);
    assert_eq!(due_in(Duration::from_secs(2 * 3600)), Some(Why::Full));
    assert_eq!(due_in(Duration::ZERO), Some(Why::Full), "0 is always");
    assert_eq!(due_in(Duration::MAX), None, "a span beyond all dates is never");
}

#[test]
fn a_mirror_that_was_never_compared_is() {
    let record = MirrorRecord { last_full: None, ..looked_at(&alpha(), LOOKED) };
    assert_eq!(World::new().listed(alpha()).mirrored(record).why(), Some(Why::Full));
}

#[test]
fn a_comparison_in_the_future_proves_nothing() {
    let record = MirrorRecord { last_full: Some(at("2026-11-03T09:00:01Z")), ..looked_at(&alpha(), LOOKED) };
    let world = World::new().listed(alpha()).mirrored(record);
    assert_eq!(world.why(), Some(Why::Full));
    assert_eq!(world.at("2026-11-03T09:00:01Z").why(), None, "when that time has come");
}

#[test]
fn a_mirror_that_does_not_look_whole_is_looked_at_although_nothing_was_pushed() {
    let mut world = World::new().current(alpha());
    assert_eq!(world.why(), None);
    world.inventory.damaged.insert("h/acme/alpha.git".into());
    assert_eq!(world.why(), Some(Why::Damaged));
}

/// A repository pushed to at 8:00 on Tuesday and looked at then; the listing shows that push ever after.
fn pushed_at_eight(looked: &str) -> World {
    let repo = Repo { pushed_at: Some(at("2026-11-03T08:00:00Z")), ..alpha() };
    let record = looked_at(&repo, looked);
    World::new().listed(repo).mirrored(record)
}

#[test]
fn a_look_within_the_window_after_a_push_is_followed_by_another() {
    assert_eq!(pushed_at_eight("2026-11-03T08:01:00Z").at("2026-11-03T08:02:00Z").why(), Some(Why::Recent));
    assert_eq!(pushed_at_eight("2026-11-03T08:59:59Z").at("2026-11-03T09:00:59Z").why(), Some(Why::Recent));
    assert_eq!(pushed_at_eight("2026-11-03T09:00:00Z").at("2026-11-03T09:01:00Z").why(), None, "looked late enough");
}

#[test]
fn an_outage_longer_than_the_window_is_made_up_for() {
    assert_eq!(pushed_at_eight("2026-11-03T08:01:00Z").at("2026-11-03T20:00:00Z").why(), Some(Why::Recent));
}

#[test]
fn without_a_window_only_the_listing_counts() {
    let world = pushed_at_eight("2026-11-03T08:00:00Z").configured(|config| config.window = Duration::ZERO);
    assert_eq!(world.at("2026-11-03T08:01:00Z").why(), None);
}

#[test]
fn a_push_from_the_future_is_looked_at_until_its_time_has_come() {
    assert_eq!(pushed_at_eight("2026-11-03T07:00:00Z").at("2026-11-03T07:30:00Z").why(), Some(Why::Recent));
}

/// A mirror that failed at the given time for the first time: not worth a try for a minute.
fn failed_at(time: &str) -> World {
    World::new().listed(alpha()).mirrored(failed_after(&looked_at(&alpha(), LOOKED), &alpha(), time))
}

#[test]
fn under_watch_a_failed_mirror_is_left_alone_until_its_time_has_come() {
    let settled = failed_at("2026-11-03T08:59:30Z").watching().settled();
    assert_eq!(settled.outcome.verdict, Verdict::Skipped);
    assert_eq!(settled.outcome.failure.map(|failure| failure.reason()), Some(Reason::NetworkFailed));
    assert!(settled.record.is_none());
    assert_eq!(failed_at("2026-11-03T08:59:00Z").watching().why(), Some(Why::Unsettled));
}

#[test]
fn a_single_run_and_a_full_one_try_a_failed_mirror_at_once() {
    assert_eq!(failed_at("2026-11-03T08:59:30Z").why(), Some(Why::Unsettled));
    let full = failed_at("2026-11-03T08:59:30Z").watching().configured(|config| config.full = true);
    assert_eq!(full.why(), Some(Why::Full));
}

#[test]
fn a_first_clone_that_failed_backs_off_too() {
    let record = failed_after(&MirrorRecord::new(&alpha()), &alpha(), "2026-11-03T08:59:30Z");
    let world = World::new().listed(alpha()).recorded(record);
    assert_eq!(world.why(), Some(Why::New));
    assert_eq!(world.watching().settled().outcome.verdict, Verdict::Skipped);
}

#[test]
fn a_failed_mirror_that_moves_is_tried_at_once() {
    let record = failed_after(&looked_at(&alpha(), LOOKED), &alpha(), "2026-11-03T08:59:30Z");
    let world = World::new().listed(repo("1", "acme/beta")).mirrored(record).watching();
    assert_eq!(world.why(), Some(Why::Unsettled));
}

#[test]
fn a_gone_repository_is_told_with_its_first_date_and_its_mirror_is_kept() {
    let record = looked_at(&alpha(), LOOKED).gone(at("2026-10-31T12:00:00Z"));
    let settled = World::new().mirrored(record.clone()).gone(&record).settled();
    assert_eq!((settled.outcome.verdict, settled.outcome.mirror), (Verdict::Gone, record.mirror));
    assert_eq!(settled.outcome.notes, ["is gone at its source since 2026-10-31; the mirror is kept."]);
    assert_eq!(settled.record.unwrap().gone_since, Some(at("2026-10-31T12:00:00Z")));
}

#[test]
fn under_watch_gone_is_news_once() {
    let record = looked_at(&alpha(), LOOKED);
    let first = World::new().mirrored(record.clone()).gone(&record).watching().settled();
    assert_eq!(first.outcome.notes.len(), 1);
    let known = first.record.unwrap();
    let second = World::new().mirrored(known.clone()).gone(&known).watching().settled();
    assert_eq!((second.outcome.verdict, second.outcome.notes.len()), (Verdict::Gone, 0));
}

#[test]
fn a_gone_repository_without_a_mirror_is_not_said_to_have_one() {
    let lost = looked_at(&alpha(), LOOKED);
    let settled = World::new().recorded(lost.clone()).gone(&lost).settled();
    assert_eq!(settled.outcome.notes, ["is gone at its source since 2026-11-03, and there is no mirror of it."]);
    let never = failed_after(&MirrorRecord::new(&alpha()), &alpha(), LOOKED);
    assert_eq!(World::new().recorded(never.clone()).gone(&never).plan().mirrors(), 0, "there never was one");
}

#[test]
fn disabled_and_blocked_repositories_are_left_alone_and_recorded() {
    for (state, word) in [(RepoState::Disabled, "disabled"), (RepoState::Blocked, "blocked")] {
        let listed = Repo { state, pushed_at: Some(at(NOW)), ..alpha() };
        let settled = World::new().listed(listed).mirrored(looked_at(&alpha(), LOOKED)).settled();
        assert_eq!(settled.outcome.verdict, Verdict::Unavailable);
        assert!(settled.outcome.notes[0].starts_with(&format!("is {word} by its forge")), "{:?}", settled.outcome);
        let record = settled.record.unwrap();
        assert_eq!((record.verdict, record.pushed_at), (Verdict::Unavailable, Some(at(PUSHED))));
    }
}

#[test]
fn under_watch_unavailable_is_news_once_with_or_without_a_mirror() {
    let listed = Repo { state: RepoState::Blocked, ..alpha() };
    for before in [Some(looked_at(&alpha(), LOOKED)), None] {
        let world = before.into_iter().fold(World::new().listed(listed.clone()).watching(), World::mirrored);
        let first = world.settled();
        assert_eq!(first.outcome.notes.len(), 1);
        let second = World::new().listed(listed.clone()).watching().recorded(first.record.unwrap()).settled();
        assert_eq!((second.outcome.verdict, second.outcome.notes.len()), (Verdict::Unavailable, 0));
    }
}

#[test]
fn a_repository_given_back_is_looked_at() {
    let record = MirrorRecord { verdict: Verdict::Unavailable, ..looked_at(&alpha(), LOOKED) };
    assert_eq!(World::new().listed(alpha()).mirrored(record).why(), Some(Why::Unsettled));
}

/// The plan of two repositories whose mirrors cannot both lie where they want to: who fails, who is worked on.
#[track_caller]
fn collision(world: &World) -> (String, Vec<String>) {
    let plan = world.plan();
    assert_eq!(plan.settled.len(), 1, "{plan:?}");
    let outcome = &plan.settled[0].outcome;
    assert_eq!(outcome.verdict, Verdict::Failed);
    assert!(plan.settled[0].record.is_none(), "the other mirror's place is nothing to remember");
    (outcome.path.to_string(), names(&plan))
}

#[test]
fn of_two_mirrors_in_one_place_the_second_fails_and_names_the_first() {
    let world = World::new().listed(repo("1", "acme/x")).listed(repo("2", "acme/x"));
    assert_eq!(collision(&world), ("acme/x".into(), vec!["acme/x".into()]));
    let plan = world.plan();
    let failure = plan.settled[0].outcome.failure.as_ref().unwrap();
    assert_eq!(plan.settled[0].outcome.key.id, "2");
    assert!(failure.message().contains("acme/x (https://h/acme/x.git)"), "{failure}");
    assert!(failure.hint().is_some());
}

#[test]
fn who_has_a_mirror_there_keeps_the_place() {
    let second = repo("2", "acme/x");
    let record = looked_at(&second, LOOKED);
    let plan = World::new().listed(repo("1", "acme/x")).listed(second).mirrored(record).plan();
    let failed: Vec<&str> = plan
        .settled
        .iter()
        .filter(|settled| settled.outcome.failure.is_some())
        .map(|settled| settled.outcome.key.id.as_str())
        .collect();
    assert_eq!(failed, ["1"]);
    assert!(plan.evictions.is_empty() && plan.moves.is_empty(), "{plan:?}");
}

#[test]
fn a_mirror_never_lies_within_another() {
    let (outer, inner) = (repo("1", "acme/x"), repo("2", "acme/x.git/y"));
    let world = World::new().listed(outer.clone()).listed(inner.clone());
    assert_eq!(collision(&world), ("acme/x.git/y".into(), vec!["acme/x".into()]));
    let world = World::new().listed(inner).listed(outer);
    assert_eq!(collision(&world), ("acme/x".into(), vec!["acme/x.git/y".into()]));
    let beside = World::new().listed(repo("1", "acme/x")).listed(repo("2", "acme/x/y")).listed(repo("3", "acme/x.gi"));
    assert_eq!(beside.plan().tasks.len(), 3);
}

#[test]
fn names_that_differ_in_case_only_collide_where_the_file_system_folds_case() {
    let mut folding = World::new().listed(repo("1", "acme/Alpha")).listed(repo("2", "ACME/alpha"));
    assert_eq!(folding.plan().tasks.len(), 2, "this file system does not fold");
    folding.inventory.folds_case = true;
    assert_eq!(collision(&folding), ("ACME/alpha".into(), vec!["acme/Alpha".into()]));
}

#[test]
fn a_renamed_repository_takes_its_mirror_along_and_is_looked_at() {
    let plan = World::new().listed(repo("1", "acme/beta")).mirrored(looked_at(&alpha(), LOOKED)).plan();
    assert_eq!(moves(&plan), [("h/acme/alpha.git".into(), "h/acme/beta.git".into())]);
    assert_eq!(plan.moves[0].note, "was renamed from acme/alpha at its source; the mirror moved along.");
    assert!(plan.evictions.is_empty());
    assert_eq!(plan.tasks[0].why, Why::Moved, "so that its outcome tells of the move and the record gets the new name");
}

#[test]
fn two_repositories_that_swap_their_names_swap_their_places() {
    let world = World::new()
        .listed(repo("1", "acme/beta"))
        .listed(repo("2", "acme/alpha"))
        .mirrored(looked_at(&alpha(), LOOKED))
        .mirrored(looked_at(&repo("2", "acme/beta"), LOOKED));
    let plan = world.plan();
    let expected = [("h/acme/alpha.git", "h/acme/beta.git"), ("h/acme/beta.git", "h/acme/alpha.git")];
    assert_eq!(moves(&plan), expected.map(|(from, to)| (from.to_owned(), to.to_owned())));
    assert!(plan.evictions.is_empty(), "nobody has to go: {plan:?}");
}

#[test]
fn the_mirror_of_a_gone_repository_makes_room_for_a_new_one_of_its_name() {
    let old = looked_at(&alpha(), LOOKED);
    let world = World::new().mirrored(old.clone()).gone(&old).listed(repo("2", "acme/alpha"));
    let plan = world.plan();
    assert_eq!(plan.evictions, [Eviction { key: old.key, from: "h/acme/alpha.git".into() }]);
    assert_eq!(plan.tasks.iter().map(|task| task.why).collect::<Vec<_>>(), [Why::New]);
    assert!(plan.moves.is_empty());
}

/// A repository that was written down, not listed by a forge.
fn on_a_list(path: &str) -> Repo {
    Repo { source: "urls".into(), pushed_at: None, ..repo(path, path) }
}

#[test]
fn a_repository_that_is_known_by_its_forge_and_by_its_url_has_one_mirror() {
    for (before, now) in [(on_a_list("acme/alpha"), alpha()), (alpha(), on_a_list("acme/alpha"))] {
        let plan = World::new().mirrored(looked_at(&before, LOOKED)).listed(now).plan();
        assert!(plan.evictions.is_empty() && plan.moves.is_empty(), "{plan:?}");
        assert_eq!(plan.tasks.iter().map(|task| task.why).collect::<Vec<_>>(), [Why::Unsettled]);
    }
}

#[test]
fn a_repository_of_a_directory_that_is_not_searched_now_keeps_its_place() {
    let local = |id: &str| Repo {
        folder: "local".into(),
        url: RemoteUrl::parse(id).unwrap(),
        pushed_at: None,
        ..repo(id, "x")
    };
    let old = looked_at(&local("/one/x"), LOOKED);
    let world = World::new().mirrored(old.clone()).listed(local("/two/x"));
    let settled = world.settled();
    let failure = settled.outcome.failure.unwrap();
    assert!(failure.message().contains("/one/x"), "{failure}");
    assert!(world.plan().evictions.is_empty());
    let plan = World::new().mirrored(old.clone()).gone(&old).listed(local("/two/x")).plan();
    assert_eq!(plan.evictions.len(), 1, "what is gone makes room");
}

#[test]
fn names_that_a_file_system_takes_for_one_are_refused_by_name_also_over_two_runs() {
    let mut world = World::new().mirrored(looked_at(&on_a_list("ns/x"), LOOKED)).listed(on_a_list("ns/X"));
    assert_eq!(world.plan().tasks.len(), 1, "two mirrors where case counts");
    world.inventory.folds_case = true;
    let settled = world.settled();
    assert!(settled.outcome.failure.unwrap().message().contains("ns/x"));
    let mut world = World::new().listed(on_a_list("ns/X")).listed(on_a_list("ns/x"));
    world.inventory.folds_case = true;
    let plan = world.plan();
    assert_eq!((plan.tasks.len(), plan.settled.len()), (1, 1));
}

#[test]
fn a_mirror_renamed_onto_a_gone_ones_place_arrives_and_is_not_cloned() {
    let old = looked_at(&alpha(), LOOKED);
    let renamed = looked_at(&repo("2", "acme/beta"), LOOKED);
    let world = World::new().mirrored(old.clone()).gone(&old).mirrored(renamed).listed(repo("2", "acme/alpha"));
    let plan = world.plan();
    assert_eq!(plan.evictions.len(), 1);
    assert_eq!(moves(&plan), [("h/acme/beta.git".into(), "h/acme/alpha.git".into())]);
    assert!(plan.tasks.iter().all(|task| task.why != Why::New), "{plan:?}");
}

#[test]
fn an_exchange_cut_short_half_way_evicts_nobody() {
    // The first one has arrived in the place that the record of the second one, which waits aside, still names.
    let first = looked_at(&repo("1", "acme/beta"), LOOKED);
    let second = looked_at(&repo("2", "acme/beta"), LOOKED);
    let world = World::new();
    let staged = world.storage.staging_place(&second.key).display().to_string();
    let world = world.listed(repo("1", "acme/beta")).mirrored(first).recorded(second).present(&staged);
    let unlisted = world.plan();
    assert!(unlisted.evictions.is_empty() && unlisted.moves.is_empty(), "{unlisted:?}");
    let plan = world.listed(repo("2", "acme/alpha")).plan();
    assert!(plan.evictions.is_empty(), "{plan:?}");
    assert_eq!(moves(&plan), [(staged, "h/acme/alpha.git".into())]);
}

#[test]
fn a_mirror_left_in_staging_by_a_killed_run_goes_to_its_place() {
    let record = looked_at(&alpha(), LOOKED);
    let world = World::new();
    let staged = world.storage.staging_place(&record.key).display().to_string();
    let plan = world.listed(alpha()).recorded(record).present(&staged).plan();
    assert_eq!(moves(&plan), [(staged, "h/acme/alpha.git".into())]);
}

#[test]
fn a_mirror_of_the_python_holocron_is_adopted_by_its_url() {
    let world = World::new().listed(alpha()).unrecorded("alpha.git", Some("https://h/acme/alpha"));
    let plan = world.plan();
    assert_eq!(moves(&plan), [("alpha.git".into(), "h/acme/alpha.git".into())]);
    assert!(plan.moves[0].note.starts_with("was found as alpha.git and adopted"), "{plan:?}");
    assert_eq!(plan.tasks[0].why, Why::Unsettled, "what it has is compared");
}

#[test]
fn only_what_lies_at_the_top_with_the_same_url_is_adopted() {
    for (place, url) in [
        ("alpha.git", Some("https://h/other/alpha")),
        ("alpha.git", None),
        ("h/old/alpha.git", Some("https://h/acme/alpha")),
    ] {
        let plan = World::new().listed(alpha()).unrecorded(place, url).plan();
        assert!(plan.moves.is_empty(), "{place}: {plan:?}");
        assert_eq!(plan.tasks[0].why, Why::New);
    }
}

#[test]
fn a_stranger_in_the_mirrors_place_is_left_alone_and_named() {
    for (url, from) in [(Some("https://elsewhere/x/y"), "https://elsewhere/x/y"), (None, "nobody knows where")] {
        let world = World::new().listed(alpha()).present("h/acme/alpha.git").unrecorded("h/acme/alpha.git", url);
        let settled = world.settled();
        let failure = settled.outcome.failure.unwrap();
        assert_eq!((settled.outcome.verdict, failure.reason()), (Verdict::Failed, Reason::LocalFailed));
        assert!(failure.message().contains("h/acme/alpha.git") && failure.message().ends_with(from), "{failure}");
        assert!(failure.hint().is_some() && world.plan().evictions.is_empty());
    }
}

#[test]
fn the_largest_come_first_and_those_of_unknown_size_last() {
    let sized = |id: &str, size| Repo { size_kib: size, ..repo(id, &format!("acme/r{id}")) };
    let world = World::new().listed(sized("1", None)).listed(sized("2", Some(10))).listed(sized("3", Some(5000)));
    assert_eq!(names(&world.plan()), ["acme/r3", "acme/r2", "acme/r1"]);
    // What no listing tells, the mirror that is here already does.
    let untold = sized("1", None);
    let record = MirrorRecord { size_bytes: Some(1 << 20), degraded: true, ..looked_at(&untold, LOOKED) };
    let world =
        World::new().listed(sized("2", Some(10))).listed(sized("3", Some(5000))).listed(untold).mirrored(record);
    assert_eq!(names(&world.plan()), ["acme/r3", "acme/r1", "acme/r2"]);
}

#[test]
fn accepted_deletions_go_by_globs_on_the_name() {
    let world = World::new().listed(alpha()).listed(repo("2", "acme/beta"));
    let plan = world.configured(|config| config.accept_deletions = vec!["acme/AL*".into()]).plan();
    let accepted: Vec<bool> = plan.tasks.iter().map(|task| task.accepted).collect();
    assert_eq!(accepted, [true, false]);
}

#[test]
fn every_reason_to_work_has_words_of_its_own() {
    let all = [
        Why::New,
        Why::Unsettled,
        Why::Changed,
        Why::Untold,
        Why::Recent,
        Why::Empty,
        Why::Damaged,
        Why::Moved,
        Why::Full,
    ];
    let words: HashSet<String> = all.iter().map(ToString::to_string).collect();
    assert_eq!(words.len(), all.len());
}
