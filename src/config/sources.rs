//! Which sources a run reads, and what each is: the file's, selected and overridden by flags, or made of flags and
//! environment alone.

use std::collections::HashMap;

use super::entry::{Draft, List, RawServer, check_id};
use super::flags::MirrorArgs;
use super::layers::{Layers, SetBy};
use super::problem::{Problem, nearest};
use super::raw::{RawKind, RawSource};
use super::tree::Step;
use super::{Purpose, SourceConfig, naming};
use crate::model::ForgeKind;

mod check;
mod plain;

/// A source before it is checked.
pub(super) type SourceDraft = Draft<RawSource>;

/// The selection of one layer: names of sources, or kinds that other flags imply.
struct Selection {
    names: Vec<String>,
    /// Made by `--dir`, `--url` or `--urls-file`, not named.
    implied: bool,
    set_by: SetBy,
}

/// Returns the checked sources of this run; what is wrong goes to the problems.
pub(crate) fn resolve(layers: &mut Layers<'_>, purpose: Purpose) -> Vec<SourceConfig> {
    let before = layers.problems.len();
    let mut drafts = drafts(layers);
    if layers.problems.len() == before {
        useless_flags(layers, &drafts);
    }
    let mut sources = Vec::new();
    for (index, draft) in drafts.drain(..).enumerate() {
        sources.extend(check::check(layers, draft, index, purpose));
    }
    sources
}

/// Returns the checked sources of the file, whatever is selected and whether or not their tokens are there.
pub(crate) fn of_file(layers: &mut Layers<'_>) -> Vec<SourceConfig> {
    let drafts = file_drafts(layers);
    drafts.into_iter().enumerate().filter_map(|(at, draft)| check::check(layers, draft, at, Purpose::Look)).collect()
}

fn drafts(layers: &mut Layers<'_>) -> Vec<SourceDraft> {
    let from_file = file_drafts(layers);
    let selection = selection(layers);
    let Some(selection) = selection else {
        if from_file.is_empty() {
            return vec![ad_hoc(layers, RawKind::Github, SetBy::Default)];
        }
        return from_file;
    };
    if from_file.is_empty() || selection.implied {
        let mut drafts: Vec<SourceDraft> = Vec::new();
        for name in &selection.names {
            match RawKind::of(name) {
                Some(kind) if drafts.iter().all(|draft| draft.kind != kind) => {
                    drafts.push(ad_hoc(layers, kind, selection.set_by.clone()));
                }
                Some(_) => {}
                None => layers.problems.push(unknown(name, &RawKind::NAMES, &selection.set_by)),
            }
        }
        note_former_ids(&mut drafts);
        return drafts;
    }
    select(layers, from_file, &selection)
}

/// The file's sources, each with an id of its own.
fn file_drafts(layers: &mut Layers<'_>) -> Vec<SourceDraft> {
    let Some(file) = layers.file else { return Vec::new() };
    let mut drafts = Vec::new();
    let mut lines: HashMap<String, String> = HashMap::new();
    for (index, raw) in file.raw.sources.iter().flatten().enumerate() {
        let at = |key: &str| vec![Step::Key("sources".into()), Step::Item(index), Step::Key(key.into())];
        let Some(kind) = raw.kind else {
            layers.problems.push(
                Problem::new(file.place(&at("kind")), format!("`sources[{index}]` has no `kind`"))
                    .hint(format!("write one of: {}", RawKind::NAMES.join(", "))),
            );
            continue;
        };
        let id = naming::source_id(&file.raw, raw).unwrap_or_default();
        check_id(layers, &file.place(&at("id")), &format!("sources[{index}].id"), &id);
        let place = file.place(&at("id"));
        if let Some(first) = lines.get(&id.to_ascii_lowercase()) {
            layers.problems.push(
                Problem::new(place, format!("a second source has the id `{id}`; the first is at {first}"))
                    .hint("give each source an `id` of its own"),
            );
        }
        lines.entry(id.to_ascii_lowercase()).or_insert_with(|| file.place(&at("id")));
        drafts.push(draft(raw.clone(), kind, id, Some(index), SetBy::Default));
    }
    note_former_ids(&mut drafts);
    drafts
}

fn ad_hoc(layers: &Layers<'_>, kind: RawKind, set_by: SetBy) -> SourceDraft {
    let typed = [&layers.flags.destination, &layers.environment.args.destination].into_iter().flatten();
    let id = naming::implied(kind, typed.map(String::as_str)).to_owned();
    draft(RawSource::default(), kind, id, None, set_by)
}

/// Older versions called all sources of the Gitea family `gitea` that had no id of their own. The records of the mirrors
/// that they made belong to such a source still, unless another one has that name now.
fn note_former_ids(drafts: &mut [SourceDraft]) {
    let ids: Vec<String> = drafts.iter().map(|draft| draft.id.clone()).collect();
    for draft in drafts.iter_mut().filter(|draft| draft.raw.id.is_none()) {
        let former = draft.kind.forge().to_string();
        draft.former_id = (!ids.iter().any(|id| id.eq_ignore_ascii_case(&former))).then_some(former);
    }
}

fn draft(raw: RawSource, kind: RawKind, id: String, at: Option<usize>, set_by: SetBy) -> SourceDraft {
    let RawSource { host, api_url, token, user, proxy, .. } = raw.clone();
    let server = RawServer { host, api_url, token, user, proxy };
    Draft { raw, server, list: List::Sources, kind, id, former_id: None, at, set_by }
}

/// What the flags select, else what the environment selects.
fn selection(layers: &Layers<'_>) -> Option<Selection> {
    let by_variable = |flag: &str| layers.set_by_variable(&super::variable(flag.trim_start_matches("--")));
    let by_flag = |flag: &str| SetBy::Flag(flag.to_owned());
    select_by(layers.flags, &by_flag).or_else(|| select_by(&layers.environment.args, &by_variable))
}

fn select_by(args: &MirrorArgs, set_by: &dyn Fn(&str) -> SetBy) -> Option<Selection> {
    if !args.source.is_empty() {
        return Some(Selection { names: args.source.clone(), implied: false, set_by: set_by("--source") });
    }
    let implied = [
        (!args.dir.is_empty()).then_some(("dir", "--dir")),
        (!args.url.is_empty()).then_some(("urls", "--url")),
        args.urls_file.is_some().then_some(("urls", "--urls-file")),
    ];
    let implied: Vec<(&str, &str)> = implied.into_iter().flatten().collect();
    let (_, flag) = implied.first()?;
    let names = implied.iter().map(|(kind, _)| (*kind).to_owned()).collect();
    Some(Selection { names, implied: true, set_by: set_by(flag) })
}

/// The file's sources that are named by id or kind; `dir` and `urls` may be made on the spot when flags fill them.
fn select(layers: &mut Layers<'_>, from_file: Vec<SourceDraft>, selection: &Selection) -> Vec<SourceDraft> {
    let known: Vec<(String, RawKind)> = from_file.iter().map(|draft| (draft.id.clone(), draft.kind)).collect();
    let known: Vec<(&str, RawKind)> = known.iter().map(|(id, kind)| (id.as_str(), *kind)).collect();
    let means =
        |draft: &SourceDraft, name: &str| naming::means(&known, (&draft.id, draft.kind), name, RawKind::of(name));
    let mut added = Vec::new();
    for name in &selection.names {
        if from_file.iter().any(|draft| means(draft, name)) {
            continue;
        }
        match RawKind::of(name) {
            Some(kind @ (RawKind::Dir | RawKind::Urls)) if fills(layers, kind) => {
                added.push(ad_hoc(layers, kind, selection.set_by.clone()));
            }
            _ => {
                let ids: Vec<&str> = from_file.iter().map(|draft| draft.id.as_str()).collect();
                layers.problems.push(unknown(name, &ids, &selection.set_by));
            }
        }
    }
    let chosen = from_file.into_iter().filter(|draft| selection.names.iter().any(|name| means(draft, name)));
    chosen.chain(added).collect()
}

/// Whether flags or environment say what a source of this kind contains.
fn fills(layers: &Layers<'_>, kind: RawKind) -> bool {
    [layers.flags, &layers.environment.args].iter().any(|args| match kind {
        RawKind::Dir => !args.dir.is_empty(),
        RawKind::Urls => !args.url.is_empty() || args.urls_file.is_some(),
        _ => false,
    })
}

fn unknown(name: &str, known: &[&str], set_by: &SetBy) -> Problem {
    let problem = Problem::new(set_by, format!("there is no source `{name}`"));
    match nearest(name, known.iter().copied()) {
        Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
        None => problem.hint(format!("write one of: {}", known.join(", "))),
    }
}

/// A flag that changes nothing was typed for a reason: it is refused, not ignored.
fn useless_flags(layers: &mut Layers<'_>, drafts: &[SourceDraft]) {
    let has = |kind: ForgeKind| drafts.iter().any(|draft| draft.kind.forge() == kind);
    let flags = layers.flags;
    let useless = [
        (!flags.dir.is_empty() && !has(ForgeKind::Dir), "--dir", "dir"),
        (!flags.url.is_empty() && !has(ForgeKind::Urls), "--url", "urls"),
        (flags.urls_file.is_some() && !has(ForgeKind::Urls), "--urls-file", "urls"),
        (!flags.owner.is_empty() && !drafts.iter().any(|draft| draft.kind.forge().is_forge()), "--owner", "github"),
    ];
    for (_, flag, kind) in useless.iter().filter(|(useless, _, _)| *useless) {
        layers.problems.push(
            Problem::new(flag, "none of the chosen sources reads it")
                .hint(format!("add a source that does, such as `--source {kind}`, or leave {flag} out")),
        );
    }
}
