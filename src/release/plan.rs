//! Pure: what a source has, what a destination has, and what of it we made → what is to be done there.

use std::collections::BTreeSet;
use std::fmt;

use super::marker;
use super::wish::{Rules, Wish, wishes};
use crate::failure::{Failure, Reason};
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
        let mut candidates = there.iter().filter(|release| release.tag == *tag);
        let known = made.iter().find(|made| made.tag == *tag);
        let ours = candidates.clone().find(|release| is_ours(release, known, rules));
        // A draft makes no tag; any other release would, where it is missing.
        let tag_is_there = tags.contains(tag) || (wish.fields.draft && rules.features.drafts);
        match ours {
            None if candidates.next().is_some() => plan.foreign.push(tag.clone()),
            _ if !tag_is_there => plan.deferred.push(tag.clone()),
            ours => match work(wish, ours, known, rules, &mut plan.problems) {
                Standing::Differs(work) => plan.works.push(*work),
                Standing::InSync(made) => plan.in_sync.push(made),
            },
        }
    }
    if rules.scope.prune {
        let wanted: BTreeSet<&str> = wishes.iter().map(|wish| wish.fields.tag.as_str()).collect();
        let of = |release: &&Release| made.iter().find(|made| made.tag == release.tag);
        let ours = there.iter().filter(|release| is_ours(release, of(release), rules));
        let ours = ours.filter(|release| (rules.only)(&release.tag));
        plan.deletions = ours.filter(|release| !wanted.contains(release.tag.as_str())).cloned().collect();
    }
    plan
}

/// Whether we made it: by the mark in its notes, or by what the store remembers.
pub fn is_ours(release: &Release, known: Option<&MadeRelease>, rules: &Rules<'_>) -> bool {
    let marked = marker::find(&release.notes).is_some_and(|marked| marked.source == rules.source);
    marked || known.is_some_and(|made| made.id == release.id && made.tag == release.tag)
}

/// How a wish stands at the destination.
enum Standing {
    InSync(MadeRelease),
    Differs(Box<Work>),
}

/// What is to be done for one wish, or what is to be remembered of a release that needs nothing.
fn work(
    wish: &Wish,
    there: Option<&Release>,
    known: Option<&MadeRelease>,
    rules: &Rules<'_>,
    problems: &mut Vec<ReleaseProblem>,
) -> Standing {
    let state = wish.state();
    let known = known.filter(|made| there.is_some_and(|release| release.id == made.id));
    let marked = there.and_then(|release| marker::find(&release.notes));
    let trusted = marked.is_some_and(|marked| marked.state == state);
    let notes = compose(there, &marker::wrap(rules.source, &state, &wish.fields.notes), &wish.fields.notes);
    let fields = ReleaseFields { notes, ..wish.fields.clone() };
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
    let files = there.map_or(&[][..], |release| &release.assets);
    for asset in &wish.assets {
        match find_file(asset, files, known, trusted, rules) {
            Found::Same(found) => work.kept.push(made_asset(asset, found)),
            Found::Stale(stale) => {
                work.remove.extend(stale.into_iter().cloned());
                work.upload.push(asset.clone());
            }
            Found::Taken => problems.push(ReleaseProblem {
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
    if rules.features.links {
        let links = there.map_or(&[][..], |release| &release.links);
        let equal = |want: &Link, have: &Link| want.name == have.name && want.url == have.url;
        work.put_links =
            wish.links.iter().filter(|want| !links.iter().any(|have| equal(want, have))).cloned().collect();
        // Names and URLs are each there once; of the others only one of ours may go.
        let in_the_way = |have: &Link| work.put_links.iter().any(|want| want.name != have.name && want.url == have.url);
        let ours = |have: &Link| known.is_some_and(|made| made.links.contains(&have.name));
        let unwanted = |have: &Link| !wish.links.iter().any(|want| want.name == have.name);
        work.drop_links =
            links.iter().filter(|have| in_the_way(have) || (ours(have) && unwanted(have))).cloned().collect();
        work.links = wish.links.iter().map(|link| link.name.clone()).collect();
    }
    let quiet = !work.write && work.remove.is_empty() && work.upload.is_empty();
    let quiet = quiet && work.put_links.is_empty() && work.drop_links.is_empty();
    match there {
        Some(release) if quiet => Standing::InSync(work.made(release)),
        _ => Standing::Differs(Box::new(work)),
    }
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

/// What is to be remembered of a file that is there.
pub fn made_asset(asset: &Asset, there: &Asset) -> MadeAsset {
    MadeAsset { name: asset.name.clone(), id: there.id.clone(), source: identity(asset) }
}

/// What of a wanted file is there.
enum Found<'a> {
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
) -> Found<'a> {
    let named: Vec<&Asset> = files.iter().filter(|file| same_name(want, file, rules)).collect();
    let record = |file: &Asset| known.and_then(|made| made.assets.iter().find(|asset| asset.id == file.id));
    let same = |file: &&&Asset| {
        let size = want.size.zip(file.size).is_none_or(|(want, have)| want == have);
        let digest = want.digest.zip(file.digest).map(|(want, have)| want == have);
        let remembered = record(file).map(|asset| asset.source == identity(want));
        // Bytes before memory, memory before the mark.
        file.complete && size && digest.or(remembered).unwrap_or(trusted)
    };
    if let Some(found) = named.iter().find(same) {
        return Found::Same(found);
    }
    let foreign =
        |file: &&&Asset| known.is_some_and(|made| made.complete) && record(file).is_none() && file.complete && !trusted;
    match named.iter().any(|file| foreign(&file)) {
        true => Found::Taken,
        false => Found::Stale(named),
    }
}

fn same_name(want: &Asset, file: &Asset, rules: &Rules<'_>) -> bool {
    file.name == want.name || file.stored_as == (rules.stored_name)(&want.name)
}

/// Notes with our part in them, and a person's text around it where there is such.
fn compose(there: Option<&Release>, part: &str, inner: &str) -> String {
    let Some(release) = there else { return part.to_owned() };
    let notes = marker::normal(&release.notes);
    match marker::find(&notes) {
        Some(marked) => format!("{}{part}{}", marked.before, marked.after),
        None if notes.is_empty() || notes == marker::normal(inner) => part.to_owned(),
        None => format!("{notes}\n\n{part}"),
    }
}

fn differs(release: &Release, want: &ReleaseFields, features: &Features) -> bool {
    release.title != want.title
        || marker::normal(&release.notes) != marker::normal(&want.notes)
        || features.drafts && release.draft != want.draft
        || features.prereleases && release.prerelease != want.prerelease
        || features.latest && want.latest == Some(true) && !release.latest && !want.draft
}

#[cfg(test)]
mod tests;
