//! Pure: what a source has, what a destination has, and what of it we made → what is to be done there.

use std::collections::BTreeSet;
use std::fmt;

use super::marker::{self, Marked};
use super::wish::{Rules, Wish, wishes};
use crate::base::failure::{Failure, Reason};
use crate::config::releases::ReleaseScope;
use crate::model::projection::{MadeAsset, MadeRelease, ReleaseProblem};
use crate::model::release::{Asset, Features, Link, Release, ReleaseFields};

use super::state::identity;

/// What is to be done at one destination.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Releases to be made or amended, the oldest first, as a forge lists them by the order they were made in.
    pub works: Vec<Work>,
    /// Releases of ours whose source is no more.
    pub deletions: Vec<Release>,
    /// Releases that are as they should be, with what is to be remembered of them.
    pub in_sync: Vec<MadeRelease>,
    /// Tags whose release somebody else made.
    pub foreign: Vec<String>,
    /// Tags that are not there.
    pub deferred: Vec<String>,
    /// What cannot be there as it is at the source.
    pub problems: Vec<ReleaseProblem>,
    pub notes: Vec<String>,
}

impl Plan {
    /// Whether nothing has to be written.
    pub fn is_empty(&self) -> bool {
        self.works.is_empty() && self.deletions.is_empty()
    }
}

/// One release to be made or amended.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// As it is there now.
    pub there: Option<Release>,
    /// As it is to be in the end.
    pub fields: ReleaseFields,
    /// The fields there differ.
    pub write: bool,
    pub state: String,
    /// Files of ours that are no more, or that are replaced.
    pub remove: Vec<Asset>,
    /// Files to be copied, in the source's order.
    pub upload: Vec<Asset>,
    /// Files that are there already.
    pub kept: Vec<MadeAsset>,
    pub put_links: Vec<Link>,
    pub drop_links: Vec<Link>,
    /// The names of all links that are to be there.
    pub links: Vec<String>,
}

/// What a dry run says of it.
impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.there.is_some() { "update" } else { "create" };
        write!(f, "{verb} the release {}", self.fields.tag)?;
        let count = |f: &mut fmt::Formatter<'_>, verb: &str, names: &[&str]| match names {
            [] => Ok(()),
            names => write!(f, "; {verb} {}", names.join(", ")),
        };
        let names = |assets: &[Asset]| assets.iter().map(|asset| asset.name.clone()).collect::<Vec<_>>();
        let (remove, upload) = (names(&self.remove), names(&self.upload));
        count(f, "remove", &remove.iter().map(String::as_str).collect::<Vec<_>>())?;
        count(f, "upload", &upload.iter().map(String::as_str).collect::<Vec<_>>())?;
        count(f, "link to", &self.put_links.iter().map(|link| link.name.as_str()).collect::<Vec<_>>())?;
        count(f, "unlink", &self.drop_links.iter().map(|link| link.name.as_str()).collect::<Vec<_>>())
    }
}

/// Decides what is to be done. `source` and `there` are whole listings; `tags` are those that the destination has.
pub fn plan(
    source: &[Release],
    there: &[Release],
    made: &[MadeRelease],
    tags: &BTreeSet<String>,
    rules: &Rules<'_>,
) -> Plan {
    let mut plan = Plan::default();
    let wishes = wishes(source, rules, &mut plan.problems, &mut plan.notes);
    for wish in &wishes {
        let tag = &wish.fields.tag;
        let candidates: Vec<&Release> = there.iter().filter(|release| release.tag == *tag).collect();
        let known = made.iter().find(|made| made.tag == *tag);
        // A forge may have several drafts of one tag: the one that we remember comes first.
        let remembered = candidates.iter().find(|release| known.is_some_and(|made| made.id == release.id));
        let ours = remembered.or_else(|| candidates.iter().find(|release| is_ours(release, known, rules)));
        // A draft of ours cannot be published beside the one that somebody else has published meanwhile.
        let overtaken = |ours: &Release| ours.draft && candidates.iter().any(|one| one.id != ours.id && !one.draft);
        // A draft makes no tag; any other release would, where it is missing.
        let tag_is_there = tags.contains(tag) || (wish.fields.draft && rules.features.drafts);
        match ours {
            None if !candidates.is_empty() => plan.foreign.push(tag.clone()),
            Some(ours) if overtaken(ours) => plan.foreign.push(tag.clone()),
            _ if !tag_is_there => plan.deferred.push(tag.clone()),
            ours => match plan_release(wish, ours.copied(), known, rules, &mut plan.problems) {
                Standing::Differs(work) => plan.works.push(*work),
                Standing::InSync(made) => plan.in_sync.push(made),
            },
        }
    }
    if rules.scope.prune {
        let has = |tag: &str| is_at_source(source, tag, rules.scope);
        let of = |release: &Release| made.iter().find(|made| made.tag == release.tag);
        let ours = there.iter().filter(|release| is_ours(release, of(release), rules));
        for gone in ours.filter(|release| (rules.only)(&release.tag) && !has(&release.tag)) {
            match is_only_ours(gone, of(gone), rules.source) {
                true => plan.deletions.push(gone.clone()),
                false => {
                    let tag = &gone.tag;
                    plan.notes.push(format!("{tag} is gone at the source, and stays there: somebody added to it."));
                }
            }
        }
    }
    plan
}

/// Whether the source still has a release of this tag. One that the scope leaves out is not gone; one that is a draft
/// again is, unless drafts are wanted.
pub fn is_at_source(source: &[Release], tag: &str, scope: &ReleaseScope) -> bool {
    source.iter().any(|release| release.tag == tag && (!release.draft || scope.drafts))
}

/// Whether we made it: by the mark in its notes, or by what the store remembers.
pub fn is_ours(release: &Release, known: Option<&MadeRelease>, rules: &Rules<'_>) -> bool {
    marked(&release.notes, release, known, rules.source).is_some() || is_it(known, release)
}

/// Whether the store remembers this very release.
fn is_it(known: Option<&MadeRelease>, release: &Release) -> bool {
    known.is_some_and(|made| made.id == release.id && made.tag == release.tag)
}

/// Our part in the notes of a release. Of one that the store remembers, the source may have another name since.
fn marked<'a>(notes: &'a str, release: &Release, known: Option<&MadeRelease>, source: &str) -> Option<Marked<'a>> {
    let before = || is_it(known, release).then(|| marker::find(notes, None, &release.tag)).flatten();
    marker::find(notes, Some(source), &release.tag).or_else(before)
}

/// Whether nobody has added a text, a file or a link to a release of ours, as far as that can be told.
pub fn is_only_ours(release: &Release, known: Option<&MadeRelease>, source: &str) -> bool {
    let Some(marked) = marked(&release.notes, release, known, source) else {
        // Somebody took our text away.
        return release.notes.trim().is_empty();
    };
    let ours = known.filter(|made| made.id == release.id).is_none_or(|made| {
        let is_file = |asset: &Asset| made.assets.iter().any(|file| file.id == asset.id);
        release.assets.iter().filter(|asset| asset.complete).all(is_file)
            && release.links.iter().all(|link| made.links.contains(&link.name))
    });
    ours && marked.before.trim().is_empty() && marked.after.trim().is_empty()
}

/// How a wish stands at the destination.
enum Standing {
    InSync(MadeRelease),
    Differs(Box<Work>),
}

/// What is to be done for one wish, or what is to be remembered of a release that needs nothing.
fn plan_release(
    wish: &Wish,
    there: Option<&Release>,
    known: Option<&MadeRelease>,
    rules: &Rules<'_>,
    problems: &mut Vec<ReleaseProblem>,
) -> Standing {
    let state = wish.state();
    let known = known.filter(|made| there.is_some_and(|release| release.id == made.id));
    let tag = &wish.fields.tag;
    let marked = there.and_then(|release| marked(&release.notes, release, known, rules.source));
    let trusted = marked.is_some_and(|marked| marked.state == state);
    let part = marker::wrap(rules.source, tag, &state, &wish.fields.notes);
    let notes = compose(there, known, &part, &wish.fields.notes, rules);
    let fields = ReleaseFields { notes, title: title(&wish.fields.title), ..wish.fields.clone() };
    let mut work = Work {
        there: there.cloned(),
        write: there.is_none_or(|release| differs(release, &fields, rules.features)),
        fields,
        state,
        remove: Vec::new(),
        upload: Vec::new(),
        kept: Vec::new(),
        put_links: Vec::new(),
        drop_links: Vec::new(),
        links: Vec::new(),
    };
    settle_files(&mut work, wish, (there, known, trusted), rules, problems);
    if rules.features.links {
        settle_links(&mut work, wish, (there, known), problems);
    }
    let quiet = !work.write && work.remove.is_empty() && work.upload.is_empty();
    let quiet = quiet && work.put_links.is_empty() && work.drop_links.is_empty();
    match there {
        Some(release) if quiet => Standing::InSync(work.made(release)),
        _ => Standing::Differs(Box::new(work)),
    }
}

/// Which files of a release stay, go and come.
fn settle_files(
    work: &mut Work,
    wish: &Wish,
    (there, known, trusted): (Option<&Release>, Option<&MadeRelease>, bool),
    rules: &Rules<'_>,
    problems: &mut Vec<ReleaseProblem>,
) {
    let files = there.map_or(&[][..], |release| &release.assets);
    for asset in &wish.assets {
        match find_file(asset, files, known, trusted, rules) {
            WantedFile::Same(found) => work.kept.push(made_asset(asset, found)),
            WantedFile::Stale(stale) => {
                work.remove.extend(stale.into_iter().cloned());
                work.upload.push(asset.clone());
            }
            WantedFile::Taken => problems.push(ReleaseProblem {
                tag: wish.fields.tag.clone(),
                asset: Some(asset.name.clone()),
                failure: Failure::new(
                    Reason::Held,
                    "a file of this name, which we did not put there, is there already",
                )
                .with_hint("remove or rename that file at the destination; the next run copies ours."),
            }),
        }
    }
    // A file of ours that the source has no more.
    let dropped = |asset: &&Asset| {
        let ours = known.is_some_and(|made| made.assets.iter().any(|file| file.id == asset.id));
        let wanted = wish.assets.iter().chain(&wish.left_out).any(|want| same_name(want, asset, rules));
        ours && !wanted
    };
    work.remove.extend(files.iter().filter(dropped).cloned());
}

/// Which links of a release stay, go and come.
fn settle_links(
    work: &mut Work,
    wish: &Wish,
    (there, known): (Option<&Release>, Option<&MadeRelease>),
    problems: &mut Vec<ReleaseProblem>,
) {
    let there = there.map_or(&[][..], |release| &release.links);
    let links = links(wish, there, known, problems);
    work.put_links = links.iter().filter(|want| !there.iter().any(|have| is_equal(want, have))).cloned().collect();
    // Names and URLs are each there once.
    let in_the_way = |have: &Link| work.put_links.iter().any(|want| want.name != have.name && want.url == have.url);
    let unwanted = |have: &Link| !wish.links.iter().any(|want| want.name == have.name);
    let is_dropped = |have: &&Link| put_by_us(have, known) && (in_the_way(have) || unwanted(have));
    work.drop_links = there.iter().filter(is_dropped).cloned().collect();
    work.links = links.into_iter().map(|link| link.name).collect();
}

/// The links that can be there: names and URLs each once, and none that somebody else has put something under.
fn links(wish: &Wish, there: &[Link], known: Option<&MadeRelease>, problems: &mut Vec<ReleaseProblem>) -> Vec<Link> {
    let clash = |one: &Link, other: &Link| one.name == other.name || one.url == other.url;
    let mut links: Vec<Link> = Vec::new();
    for want in &wish.links {
        let is_file = wish.assets.iter().any(|asset| asset.name == want.name);
        let is_twice = links.iter().any(|link| clash(link, want));
        let theirs = |have: &Link| clash(have, want) && !put_by_us(have, known);
        let is_taken = !there.iter().any(|have| is_equal(want, have)) && there.iter().any(theirs);
        let (message, hint) = match (is_file || is_twice, is_taken) {
            _ if links.iter().any(|link| is_equal(link, want)) => continue,
            (true, _) => ("two of this name or address cannot both be there", "rename one of them at the source."),
            (_, true) => (
                "a link of this name or address, which we did not put there, is there already",
                "remove or rename that link at the destination; the next run adds ours.",
            ),
            _ => {
                links.push(want.clone());
                continue;
            }
        };
        problems.push(ReleaseProblem {
            tag: wish.fields.tag.clone(),
            asset: Some(want.name.clone()),
            failure: Failure::new(Reason::Held, message).with_hint(hint),
        });
    }
    links
}

fn is_equal(want: &Link, have: &Link) -> bool {
    want.name == have.name && want.url == have.url
}

fn put_by_us(link: &Link, known: Option<&MadeRelease>) -> bool {
    known.is_some_and(|made| made.links.contains(&link.name))
}

impl Work {
    /// What is to be remembered once it is done.
    pub fn made(&self, release: &Release) -> MadeRelease {
        MadeRelease {
            tag: self.fields.tag.clone(),
            id: release.id.clone(),
            state: self.state.clone(),
            complete: true,
            assets: self.kept.clone(),
            links: self.links.clone(),
        }
    }
}

impl Work {
    /// What is to be remembered while it is being done: the files of ours that are yet to go are there still, and those
    /// of `begun` may be.
    pub fn partly_made(&self, release: &Release, begun: &[&Asset]) -> MadeRelease {
        let old = |asset: &Asset| MadeAsset { name: asset.name.clone(), id: asset.id.clone(), source: String::new() };
        let new =
            |asset: &&Asset| MadeAsset { name: asset.name.clone(), id: BEGUN.to_owned(), source: identity(asset) };
        let mut made = MadeRelease { complete: false, ..self.made(release) };
        made.assets.extend(self.remove.iter().map(old).chain(begun.iter().map(new)));
        made
    }
}

/// The id of a file whose upload has begun: what came of it only the forge can tell.
const BEGUN: &str = "";

/// What is to be remembered of a file that is there.
pub fn made_asset(asset: &Asset, there: &Asset) -> MadeAsset {
    MadeAsset { name: asset.name.clone(), id: there.id.clone(), source: identity(asset) }
}

/// What of a wanted file is there.
enum WantedFile<'a> {
    Same(&'a Asset),
    /// Nothing, or what has to go first.
    Stale(Vec<&'a Asset>),
    /// A file of somebody else has its name.
    Taken,
}

fn find_file<'a>(
    want: &Asset,
    files: &'a [Asset],
    known: Option<&MadeRelease>,
    trusted: bool,
    rules: &Rules<'_>,
) -> WantedFile<'a> {
    let named: Vec<&Asset> = files.iter().filter(|file| same_name(want, file, rules)).collect();
    let record = |file: &Asset| known.and_then(|made| made.assets.iter().find(|asset| asset.id == file.id));
    let begun = known.and_then(|made| made.assets.iter().find(|asset| asset.id == BEGUN && asset.name == want.name));
    let same = |file: &&&Asset| {
        let size = want.size.zip(file.size).is_none_or(|(want, have)| want == have);
        let digest = want.digest.zip(file.digest).map(|(want, have)| want == have);
        let remembered = record(file).or(begun).map(|asset| asset.source == identity(want));
        // Bytes before memory, memory before the mark; the mark knows nothing of what came later than our memory.
        file.complete && size && digest.or(remembered).unwrap_or(trusted && known.is_none())
    };
    if let Some(found) = named.iter().find(same) {
        return WantedFile::Same(found);
    }
    let foreign = |file: &&Asset| known.is_some() && record(file).is_none() && begun.is_none() && file.complete;
    match named.iter().any(foreign) {
        true => WantedFile::Taken,
        false => WantedFile::Stale(named),
    }
}

/// Whether a file that is there has the name of a wanted one, or what the forge makes of it.
pub fn same_name(want: &Asset, file: &Asset, rules: &Rules<'_>) -> bool {
    file.name == want.name || file.stored_as == (rules.stored_name)(&want.name)
}

/// Notes with our part in them, and a person's text around it where there is such.
fn compose(there: Option<&Release>, known: Option<&MadeRelease>, part: &str, inner: &str, rules: &Rules<'_>) -> String {
    let Some(release) = there else { return part.to_owned() };
    let notes = marker::normal(&release.notes);
    match marked(&notes, release, known, rules.source) {
        Some(marked) => format!("{}{part}{}", marked.before, marked.after),
        None if notes.is_empty() || notes == marker::normal(inner) => part.to_owned(),
        None => format!("{notes}\n\n{part}"),
    }
}

/// A title as every forge keeps it: Gitea cuts longer ones, and GitLab refuses them.
fn title(text: &str) -> String {
    let text = text.trim();
    if text.len() <= LONGEST_TITLE {
        return text.to_owned();
    }
    let mut end = LONGEST_TITLE - "…".len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", text[..end].trim_end())
}

/// In bytes: `VARCHAR(255)` in Gitea and `validates :name, length: { maximum: 255 }` in GitLab.
const LONGEST_TITLE: usize = 255;

/// Whether a release has other fields than it is to have, blanks at the ends aside.
pub fn differs(release: &Release, want: &ReleaseFields, features: &Features) -> bool {
    release.title.trim() != want.title.trim()
        || marker::normal(&release.notes) != marker::normal(&want.notes)
        || features.drafts && release.draft != want.draft
        || features.prereleases && release.prerelease != want.prerelease
        || features.latest && want.latest == Some(true) && !release.latest && !want.draft
}

#[cfg(test)]
mod tests;
