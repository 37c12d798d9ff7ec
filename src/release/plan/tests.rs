//! What is decided, from what is there.

use url::Url;

use super::*;
use crate::config::releases::{AssetMode, ReleaseScope};
use crate::model::release::Sha256;

const SOURCE: &str = "github.com/42";

fn features() -> Features {
    Features {
        drafts: true,
        prereleases: true,
        latest: true,
        links: true,
        empty_assets: false,
        most_assets: Some(1000),
        largest_asset: Some(2_000_000_000),
        longest_notes: Some(125_000),
    }
}

fn asset(name: &str, id: &str, digest: Option<u8>) -> Asset {
    Asset {
        id: id.to_owned(),
        name: name.to_owned(),
        stored_as: name.to_owned(),
        size: Some(10),
        digest: digest.map(|byte| Sha256::new([byte; 32])),
        content_type: None,
        updated_at: None,
        url: Url::parse("https://h/x").unwrap(),
        complete: true,
    }
}

fn release(tag: &str, day: i32, assets: Vec<Asset>) -> Release {
    Release {
        id: format!("src-{tag}"),
        tag: tag.to_owned(),
        title: format!("Title of {tag}"),
        notes: format!("Notes of {tag}"),
        draft: false,
        prerelease: false,
        latest: false,
        created_at: None,
        published_at: Some(format!("2026-01-{day:02}T00:00:00Z").parse().unwrap()),
        author: None,
        page: None,
        assets,
        links: Vec::new(),
    }
}

/// One destination in a test: what the source has, what is there, and what we remember.
struct World {
    scope: ReleaseScope,
    features: Features,
    source: Vec<Release>,
    there: Vec<Release>,
    made: Vec<MadeRelease>,
    tags: BTreeSet<String>,
}

impl World {
    fn new(source: Vec<Release>) -> Self {
        let tags = source.iter().map(|release| release.tag.clone()).collect();
        let (scope, features) = (ReleaseScope::default(), features());
        World { scope, features, source, there: Vec::new(), made: Vec::new(), tags }
    }

    fn plan(&self) -> Plan {
        let stored_name = |name: &str| name.replace(' ', ".");
        let rules = Rules {
            scope: &self.scope,
            features: &self.features,
            source: SOURCE,
            stored_name: &stored_name,
            only: &|_| true,
        };
        plan(&self.source, &self.there, &self.made, &self.tags, &rules)
    }

    /// As a forge has everything after the plan was carried out; `digests` says whether it tells any.
    fn carry_out(&mut self, digests: bool) {
        for work in self.plan().works {
            let tag = work.fields.tag.clone();
            let known: Vec<Asset> =
                self.there.iter().find(|one| one.tag == tag).map(|one| one.assets.clone()).unwrap_or_default();
            let mut assets: Vec<Asset> =
                known.into_iter().filter(|asset| !work.remove.iter().any(|gone| gone.id == asset.id)).collect();
            let mut made = work.kept.clone();
            for new in &work.upload {
                let id = format!("there-{}-{}", new.name, identity(new));
                let there = Asset { id, digest: new.digest.filter(|_| digests), ..new.clone() };
                made.push(made_asset(new, &there));
                assets.push(there);
            }
            let fields = work.fields.clone();
            let release = Release {
                id: format!("there-{tag}"),
                title: fields.title,
                notes: fields.notes,
                draft: fields.draft,
                prerelease: fields.prerelease,
                latest: fields.latest == Some(true),
                assets,
                links: work.put_links.clone(),
                ..release(&tag, 1, Vec::new())
            };
            let record = MadeRelease { assets: made, ..work.made(&release) };
            self.there.retain(|one| one.tag != tag);
            self.made.retain(|one| one.tag != tag);
            self.there.push(release);
            self.made.push(record);
        }
    }

    /// A world in which everything has been carried out.
    fn settled(source: Vec<Release>) -> Self {
        let mut world = World::new(source);
        world.carry_out(true);
        assert!(world.plan().is_empty(), "{:#?}", world.plan());
        world
    }

    fn only_work(&self) -> Work {
        let plan = self.plan();
        assert_eq!((plan.works.len(), plan.problems.as_slice()), (1, &[][..]), "{plan:#?}");
        plan.works.into_iter().next().unwrap()
    }
}

fn names(assets: &[Asset]) -> Vec<&str> {
    assets.iter().map(|asset| asset.name.as_str()).collect()
}

#[test]
fn an_empty_destination_gets_everything_the_oldest_first() {
    let source = vec![release("v3", 3, vec![]), release("v1", 1, vec![]), release("v2", 2, vec![])];
    let plan = World::new(source).plan();
    assert_eq!(plan.works.iter().map(|work| work.fields.tag.as_str()).collect::<Vec<_>>(), ["v1", "v2", "v3"]);
    assert!(plan.works.iter().all(|work| work.there.is_none() && work.write));
    assert!(plan.works[0].to_string().starts_with("create the release v1"));
}

#[test]
fn what_is_as_it_should_be_needs_nothing_with_or_without_digests() {
    let source = vec![release("v1", 1, vec![asset("a", "1", Some(1)), asset("b c", "2", None)])];
    for digests in [true, false] {
        let mut world = World::new(source.clone());
        world.carry_out(digests);
        let plan = world.plan();
        assert!(plan.is_empty() && plan.in_sync.len() == 1, "{plan:#?}");
        // The store is lost: the mark tells that it is ours, and that it was made from just this.
        world.made.clear();
        let plan = world.plan();
        assert!(plan.is_empty() && plan.in_sync[0].assets.len() == 2, "{plan:#?}");
    }
}

#[test]
fn each_change_asks_for_just_that() {
    let base = || vec![release("v1", 1, vec![asset("a", "1", Some(1)), asset("b", "2", Some(2))])];
    let mut world = World::settled(base());
    world.source[0].title = "Another".to_owned();
    let work = world.only_work();
    assert!(work.write && work.upload.is_empty() && work.remove.is_empty() && work.fields.title == "Another");

    let mut world = World::settled(base());
    world.source[0].prerelease = true;
    assert!(world.only_work().fields.prerelease);

    // Replaced by one of equal size.
    let mut world = World::settled(base());
    world.source[0].assets[1] = asset("b", "9", Some(9));
    let work = world.only_work();
    assert_eq!((names(&work.remove), names(&work.upload)), (vec!["b"], vec!["b"]));

    let mut world = World::settled(base());
    world.source[0].assets[1].name = "c".to_owned();
    world.source[0].assets[1].stored_as = "c".to_owned();
    let work = world.only_work();
    assert_eq!((names(&work.remove), names(&work.upload)), (vec!["b"], vec!["c"]));

    let mut world = World::settled(base());
    world.source[0].assets.remove(0);
    let work = world.only_work();
    assert_eq!((names(&work.remove), names(&work.upload)), (vec!["a"], vec![]));
}

#[test]
fn a_file_replaced_by_one_of_equal_size_is_noticed_where_no_side_tells_digests() {
    let mut world = World::new(vec![release("v1", 1, vec![asset("a", "1", None)])]);
    world.carry_out(false);
    world.source[0].assets[0] = asset("a", "2", None);
    let work = world.only_work();
    assert_eq!((names(&work.remove), names(&work.upload)), (vec!["a"], vec!["a"]));
    world.made.clear();
    assert_eq!(names(&world.only_work().upload), ["a"]);
}

#[test]
fn a_missing_a_broken_and_a_half_made_release_are_completed() {
    let source = vec![release("v1", 1, vec![asset("a", "1", Some(1)), asset("b", "2", Some(2))])];
    let mut world = World::settled(source.clone());
    world.there[0].assets.remove(1);
    assert_eq!(names(&world.only_work().upload), ["b"]);

    let mut world = World::settled(source.clone());
    world.there[0].assets[0].complete = false;
    let work = world.only_work();
    assert_eq!((names(&work.remove), names(&work.upload)), (vec!["a"], vec!["a"]));

    // Killed between creating and publishing, before anything was written down.
    let mut world = World::settled(source);
    world.made.clear();
    world.there[0].draft = true;
    world.there[0].assets.clear();
    let work = world.only_work();
    assert!(work.there.is_some() && work.write && !work.fields.draft);
    assert_eq!(names(&work.upload), ["a", "b"]);
}

#[test]
fn what_somebody_else_made_is_left_alone() {
    let mut world = World::new(vec![release("v1", 1, vec![]), release("v2", 2, vec![])]);
    world.there = vec![Release { id: "theirs".into(), ..release("v1", 1, vec![]) }, release("theirs-only", 1, vec![])];
    world.scope.prune = true;
    let plan = world.plan();
    assert_eq!((plan.foreign.as_slice(), plan.works.len(), plan.deletions.len()), (&["v1".to_owned()][..], 1, 0));
    // Another mirror's mark is not ours.
    world.there[0].notes = marker::wrap("gitlab.com/7", "v1", "0", "x");
    assert_eq!(world.plan().foreign, ["v1"]);
    // Nor is what a person wrote beginning with a copy of another release's notes.
    world.there[0].notes = marker::wrap(SOURCE, "v0", "0", "x");
    assert_eq!(world.plan().foreign, ["v1"]);
    // What the store remembers is ours only as long as it is the same release.
    world.there[0].notes = "x".into();
    let record = |id: &str| MadeRelease {
        tag: "v1".into(),
        id: id.into(),
        state: String::new(),
        complete: true,
        assets: vec![],
        links: vec![],
    };
    world.made = vec![record("deleted-since")];
    assert_eq!(world.plan().foreign, ["v1"]);
    world.made = vec![record("theirs")];
    assert!(world.plan().foreign.is_empty());
}

#[test]
fn a_persons_text_and_files_survive() {
    let mut world = World::settled(vec![release("v1", 1, vec![asset("a", "1", Some(1))])]);
    let notes = world.there[0].notes.clone();
    world.there[0].notes = format!("Read this first.\r\n\r\n{notes}\r\nSee you.");
    world.there[0].assets.push(asset("by-hand", "77", Some(7)));
    assert!(world.plan().is_empty(), "{:#?}", world.plan());
    world.source[0].notes = "New notes".into();
    let work = world.only_work();
    assert!(work.fields.notes.starts_with("Read this first.\n\n<!--"), "{}", work.fields.notes);
    assert!(work.fields.notes.ends_with("-->\nSee you.") && work.fields.notes.contains("New notes"));
    assert!(!work.fields.notes.contains("Notes of v1") && work.remove.is_empty());
}

#[test]
fn a_persons_file_under_a_wanted_name_is_not_replaced() {
    let mut world = World::settled(vec![release("v1", 1, vec![])]);
    world.there[0].assets.push(asset("a", "77", Some(7)));
    world.source[0].assets.push(asset("a", "1", Some(1)));
    let plan = world.plan();
    assert_eq!(plan.problems[0].failure.reason(), Reason::Held);
    assert!(plan.works.iter().all(|work| work.remove.is_empty() && work.upload.is_empty()), "{plan:#?}");
}

#[test]
fn a_release_without_its_tag_there_is_deferred() {
    let mut world = World::new(vec![release("v1", 1, vec![]), release("v2", 2, vec![])]);
    world.tags.remove("v1");
    let plan = world.plan();
    assert_eq!((plan.deferred.as_slice(), plan.works.len()), (&["v1".to_owned()][..], 1));
}

#[test]
fn prune_removes_what_we_made_and_the_source_has_no_more() {
    let mut world = World::settled(vec![release("v1", 1, vec![]), release("v2", 2, vec![])]);
    world.there.push(release("by-hand", 3, vec![]));
    world.source.remove(0);
    assert!(world.plan().is_empty(), "not unless it is asked for");
    world.scope.prune = true;
    assert_eq!(world.plan().deletions.iter().map(|one| one.tag.as_str()).collect::<Vec<_>>(), ["v1"]);
}

#[test]
fn the_scope_chooses() {
    let mut draft = release("draft", 4, vec![]);
    draft.draft = true;
    let mut beta = release("v2-beta", 3, vec![]);
    beta.prerelease = true;
    let mut latest = release("v1", 2, vec![]);
    latest.latest = true;
    let world = World::new(vec![draft, beta, latest, release("v0", 1, vec![])]);
    let chosen = |scope: ReleaseScope| {
        let world = World { scope, source: world.source.clone(), tags: world.tags.clone(), ..World::new(vec![]) };
        world.plan().works.into_iter().map(|work| work.fields.tag).collect::<Vec<_>>()
    };
    let all = ReleaseScope::default;
    assert_eq!(chosen(all()), ["v0", "v1", "v2-beta"]);
    assert_eq!(chosen(ReleaseScope { drafts: true, ..all() }), ["v0", "v1", "v2-beta", "draft"]);
    assert_eq!(chosen(ReleaseScope { prereleases: false, ..all() }), ["v0", "v1"]);
    assert_eq!(chosen(ReleaseScope { latest: true, ..all() }), ["v1"]);
    assert_eq!(chosen(ReleaseScope { max: Some(1), ..all() }), ["v2-beta"]);
    assert_eq!(chosen(ReleaseScope { tags: vec!["v[01]".into()], ..all() }), ["v0", "v1"]);
}

#[test]
fn files_may_be_linked_to_or_left_out() {
    let mut source = release("v1", 1, vec![asset("a b", "1", None)]);
    source.page = Some(Url::parse("https://github.com/acme/x/releases/tag/v1").unwrap());
    source.assets[0].url = Url::parse("https://api.github.com/repos/acme/x/releases/assets/1").unwrap();
    source.assets[0].stored_as = "a.b".to_owned();
    let mut world = World::new(vec![source]);
    world.scope.assets = AssetMode::Link;
    let work = world.only_work();
    assert!(work.upload.is_empty());
    assert_eq!(work.put_links[0].url.as_str(), "https://github.com/acme/x/releases/download/v1/a.b");
    world.features.links = false;
    assert!(world.only_work().fields.notes.contains("[a b](https://github.com/acme/x/releases/download/v1/a.b)"));
    world.scope.assets = AssetMode::Off;
    assert!(!world.only_work().fields.notes.contains("a.b"));
}

#[test]
fn what_does_not_fit_is_told_before_anything_is_uploaded() {
    let mut world = World::new(vec![release(
        "v1",
        1,
        vec![
            asset("big", "1", None),
            asset("id_rsa", "2", None),
            asset("id_rsa.pub", "3", None),
            asset("a b", "4", None),
            asset("empty", "6", None),
            asset("a.b", "7", None),
            asset("A B", "8", None),
            asset("b", "5", None),
        ],
    )]);
    world.source[0].assets[0].size = Some(3_000_000_000);
    world.source[0].assets[4].size = Some(0);
    world.features.most_assets = Some(2);
    let plan = world.plan();
    let told: Vec<(&str, Reason)> =
        plan.problems.iter().map(|one| (one.asset.as_deref().unwrap(), one.failure.reason())).collect();
    assert_eq!(
        told,
        [
            ("big", Reason::TooLarge),
            ("id_rsa", Reason::SecretBlocked),
            ("empty", Reason::PushRejected),
            ("a.b", Reason::Held),
            ("A B", Reason::TooLarge),
            ("b", Reason::TooLarge)
        ]
    );
    assert_eq!(names(&plan.works[0].upload), ["id_rsa.pub", "a b"]);
    world.scope.private_keys = true;
    assert_eq!(names(&world.plan().works[0].upload), ["id_rsa", "id_rsa.pub"]);
}

#[test]
fn a_forge_without_drafts_and_prereleases_gets_what_it_can_have_and_the_plan_says_so() {
    let mut draft = release("draft", 2, vec![]);
    draft.draft = true;
    let mut beta = release("beta", 1, vec![]);
    beta.prerelease = true;
    let mut world = World::new(vec![draft, beta]);
    (world.features.drafts, world.features.prereleases, world.scope.drafts) = (false, false, true);
    let plan = world.plan();
    assert_eq!((plan.works.len(), plan.notes.len()), (1, 2), "{plan:#?}");
    assert!(plan.works[0].fields.notes.contains("_Pre-release._\n\nNotes of beta"));
    world.carry_out(true);
    assert!(world.plan().is_empty(), "{:#?}", world.plan());
}

#[test]
fn links_of_ours_come_and_go_and_a_persons_stay() {
    let link = |name: &str, url: &str| Link {
        id: String::new(),
        name: name.to_owned(),
        url: Url::parse(url).unwrap(),
        kind: None,
    };
    let mut source = release("v1", 1, vec![]);
    source.links = vec![link("docs", "https://d/1"), link("more", "https://m/")];
    let mut world = World::settled(vec![source]);
    world.there[0].links.push(link("mine", "https://mine/"));
    assert!(world.plan().is_empty());
    world.source[0].links = vec![link("docs", "https://d/2")];
    let work = world.only_work();
    assert_eq!(work.put_links.iter().map(|link| link.name.as_str()).collect::<Vec<_>>(), ["docs"]);
    assert_eq!(work.drop_links.iter().map(|link| link.name.as_str()).collect::<Vec<_>>(), ["more"]);
}

#[test]
fn of_several_drafts_of_a_tag_one_is_meant() {
    let draft = |tag: &str, day: i32| Release { draft: true, id: format!("{tag}-{day}"), ..release(tag, day, vec![]) };
    // The newest first, as a forge lists them; a draft may have no tag yet.
    let source = vec![draft("v2", 4), draft("v2", 3), draft("v1", 3), release("v1", 2, vec![]), draft("", 1)];
    let mut world = World::new(source);
    world.scope.drafts = true;
    let plan = world.plan();
    let chosen: Vec<_> = plan.works.iter().map(|work| (work.fields.title.as_str(), work.fields.draft)).collect();
    assert_eq!(chosen, [("Title of v1", false), ("Title of v2", true)]);
    assert!(plan.notes[0].contains("v2 has several drafts"), "{:?}", plan.notes);
    // At the destination a person has one of the same tag, and one with a copy of our notes.
    world.carry_out(true);
    let notes = world.there[0].notes.clone();
    world.there.insert(0, Release { id: "theirs".into(), draft: true, notes, ..release("v1", 1, vec![]) });
    let plan = world.plan();
    assert!(plan.is_empty() && plan.foreign.is_empty(), "{plan:#?}");
}

#[test]
fn a_draft_of_ours_beside_a_persons_published_release_waits() {
    let mut world = World::settled(vec![release("v1", 1, vec![asset("a", "1", Some(1))])]);
    world.there[0].draft = true;
    world.there[0].assets.clear();
    world.there.push(Release { id: "theirs".into(), ..release("v1", 1, vec![]) });
    let plan = world.plan();
    assert!(plan.is_empty() && plan.foreign == ["v1"], "{plan:#?}");
}

#[test]
fn blanks_around_a_title_and_a_title_that_is_too_long_ask_for_one_write() {
    let long = "ü".repeat(200);
    for (title, there) in [("  One ", "One".to_owned()), (&long, format!("{}…", "ü".repeat(126)))] {
        let mut source = release("v1", 1, vec![]);
        source.title = title.to_owned();
        let mut world = World::settled(vec![source]);
        assert_eq!(world.there[0].title, there);
        world.there[0].title = format!("{there} ");
        assert!(world.plan().is_empty(), "{:#?}", world.plan());
    }
}

#[test]
fn a_persons_file_beside_what_we_have_not_finished_is_theirs() {
    let mut world = World::settled(vec![release("v1", 1, vec![asset("a", "1", None), asset("b", "2", None)])]);
    // The run before could not bring `b`, and a person has helped out, with a file of the same size.
    world.made[0].complete = false;
    world.made[0].assets.retain(|asset| asset.name == "a");
    world.there[0].assets[1].id = "by-hand".to_owned();
    let plan = world.plan();
    assert_eq!(plan.problems[0].failure.reason(), Reason::Held, "{plan:#?}");
    assert!(plan.works.iter().all(|work| work.remove.is_empty() && work.upload.is_empty()), "{plan:#?}");
    // What we had begun is ours, whatever came of it.
    let (old, new) = (asset("b", "1", None), world.source[0].assets[1].clone());
    let release = world.there[0].clone();
    for (begun, upload) in [(&old, vec!["b"]), (&new, vec![])] {
        let work = Work { remove: vec![], kept: world.made[0].assets.clone(), ..fresh(&world.source) };
        let work = Work { kept: work.kept.into_iter().filter(|file| file.name == "a").collect(), ..work };
        world.made = vec![work.partly_made(&release, &[begun])];
        let plan = world.plan();
        assert!(plan.problems.is_empty(), "{plan:#?}");
        let uploads: Vec<_> = plan.works.iter().flat_map(|work| names(&work.upload)).collect();
        assert_eq!(uploads, upload);
    }
}

/// The work of making the first release.
fn fresh(source: &[Release]) -> Work {
    World::new(source.to_vec()).plan().works.remove(0)
}

#[test]
fn a_kill_in_the_middle_forgets_no_file_of_ours() {
    let mut world = World::settled(vec![release("v1", 1, vec![asset("a", "1", None), asset("b", "2", None)])]);
    world.source[0].assets = vec![asset("c", "3", None)];
    let work = world.only_work();
    assert_eq!(names(&work.remove), ["a", "b"]);
    // Nothing was done but to write down that it began.
    world.made = vec![work.partly_made(&world.there[0], &[&work.upload[0]])];
    let again = world.only_work();
    assert_eq!((names(&again.remove), names(&again.upload)), (vec!["a", "b"], vec!["c"]));
}

#[test]
fn prune_leaves_what_the_scope_leaves_out_and_what_somebody_added_to() {
    let all = ["v1", "v2", "v3", "v4"].map(|tag| release(tag, 1, vec![asset("a", tag, Some(1))])).to_vec();
    let settled = || {
        let mut world = World::settled(all.clone());
        world.scope.prune = true;
        world
    };
    let mut world = settled();
    world.scope.tags = vec!["v4".to_owned()];
    assert!(world.plan().deletions.is_empty(), "the source has them");
    world.source[0].draft = true;
    assert_eq!(world.plan().deletions.len(), 1, "what is a draft now was taken back");

    let mut world = settled();
    world.source.truncate(1);
    world.there[0].notes.push_str("\n\nMind this.");
    world.there[1].assets.push(asset("by-hand", "77", Some(7)));
    let plan = world.plan();
    assert_eq!(plan.deletions.iter().map(|one| one.tag.as_str()).collect::<Vec<_>>(), ["v2"], "{plan:#?}");
    assert!(plan.notes.iter().all(|note| note.contains("somebody added to it")) && plan.notes.len() == 2);
}

#[test]
fn a_persons_link_is_neither_changed_nor_removed() {
    let link = |name: &str, url: &str| Link {
        id: name.to_owned(),
        name: name.to_owned(),
        url: Url::parse(url).unwrap(),
        kind: None,
    };
    let mut source = release("v1", 1, vec![asset("file", "1", Some(1))]);
    source.links = vec![link("docs", "https://h/docs")];
    let mut world = World::settled(vec![source]);
    world.source[0].links =
        vec![link("docs", "https://h/new"), link("wiki", "https://h/wiki"), link("x", "https://h/x")];
    world.there[0].links.extend([link("wiki", "https://h/theirs"), link("theirs", "https://h/x")]);
    let plan = world.plan();
    let held: Vec<_> = plan.problems.iter().filter_map(|problem| problem.asset.as_deref()).collect();
    assert_eq!(held, ["wiki", "x"], "{plan:#?}");
    let work = &plan.works[0];
    assert_eq!((work.put_links.len(), work.put_links[0].name.as_str(), work.drop_links.len()), (1, "docs", 0));

    // Two that cannot both be there would be written in turns for ever.
    let mut world = World::settled(vec![release("v1", 1, vec![asset("file", "1", Some(1))])]);
    world.source[0].links =
        vec![link("a", "https://h/1"), link("a", "https://h/2"), link("b", "https://h/1"), link("file", "https://h/3")];
    let plan = world.plan();
    assert_eq!((plan.works[0].put_links.len(), plan.problems.len()), (1, 3), "{plan:#?}");
}

#[test]
fn a_file_on_this_machine_is_not_linked_to() {
    let mut world = World::new(vec![release("v1", 1, vec![asset("a", "1", None)])]);
    world.scope.assets = AssetMode::Link;
    world.source[0].assets[0].url = Url::parse("file:///srv/backup/a").unwrap();
    for links in [true, false] {
        world.features.links = links;
        let plan = world.plan();
        assert!(!format!("{:?}", plan.works[0]).contains("/srv"), "{plan:#?}");
        assert!(plan.problems[0].failure.message().contains("on this machine only"));
    }
}
