//! The order of the rooms, as `docs/design.md` has it: each room uses only what stands below it, and no two files use each
//! other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

/// The rooms from the ground up; those of one level never use each other where `apart` says so.
const LEVELS: &[(&[&str], Within)] = &[
    (&["base", "model"], Within::Ordered),
    (&["git", "forge", "store", "progress"], Within::Apart),
    (&["config"], Within::Apart),
    (&["mirror", "push", "release", "items", "workspace"], Within::Ordered),
    (&["cycle", "notify"], Within::Apart),
    (&["serve"], Within::Apart),
    (&["cli", "lib", "main"], Within::Ordered),
];

/// How the rooms of one level stand to each other.
#[derive(Clone, Copy, PartialEq)]
enum Within {
    /// They never use each other.
    Apart,
    /// One may use another, but no two use each other.
    Ordered,
}

/// Who decides and does not act: no runtime, no disk, no processes.
const PURE: &[&str] = &["cycle/plan.rs", "cycle/scope.rs", "mirror/decide.rs", "push/decide.rs", "push/plan.rs"];

static STATEMENT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?:^|\n) *use ([^;]+);").unwrap());
static IN_PASSING: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\bcrate(?:::\w+)+").unwrap());

/// One file of the house, without its tests.
struct File {
    /// Its module path, such as `push::decide`.
    module: Vec<String>,
    text: String,
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files() -> BTreeMap<String, File> {
    let mut files = BTreeMap::new();
    let mut folders = vec![source()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(source()).unwrap().to_str().unwrap().to_owned();
            let is_test = name.contains("tests") || name.contains("testing");
            if path.is_dir() {
                folders.push(path);
            } else if let Some(stem) = name.strip_suffix(".rs").filter(|_| !is_test) {
                let stem = stem.strip_suffix("/mod").unwrap_or(stem);
                let module = stem.split('/').map(str::to_owned).collect();
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
                let text = text.split("#[cfg(test)]\npub(crate) mod ").next().unwrap();
                let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                files.insert(name, File { module, text: code.collect::<Vec<_>>().join("\n") });
            }
        }
    }
    assert!(files.len() > 150, "the source was not found: {}", files.len());
    files
}

/// The paths of a `use` tree: `a::{b, c::{d, e}}` is `a::b`, `a::c::d`, `a::c::e`.
fn expand(tree: &str) -> Vec<String> {
    let Some(open) = tree.find('{') else {
        return vec![tree.split(" as ").next().unwrap().trim().to_owned()];
    };
    let (head, inner) = (&tree[..open], &tree[open + 1..tree.rfind('}').unwrap()]);
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for c in inner.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        match c {
            ',' if depth == 0 => parts.push(String::new()),
            _ => parts.last_mut().unwrap().push(c),
        }
    }
    let parts = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty());
    parts.flat_map(expand).map(|rest| format!("{}{rest}", head.trim_start())).collect()
}

/// The modules that a file uses, as absolute paths. What it hands on (`pub use`) is a face, not a use.
fn uses(file: &File) -> Vec<Vec<String>> {
    let imports = STATEMENT.captures_iter(&file.text).flat_map(|found| expand(&found[1]));
    let all: Vec<String> = imports.chain(IN_PASSING.find_iter(&file.text).map(|it| it.as_str().to_owned())).collect();
    all.iter().filter_map(|path| absolute(&file.module, path)).collect()
}

fn absolute(module: &[String], path: &str) -> Option<Vec<String>> {
    let mut parts = path.split("::").map(|part| part.trim().to_owned()).peekable();
    let mut base = match parts.peek().map(String::as_str)? {
        "crate" => Vec::new(),
        "self" | "super" => module.to_vec(),
        _ => return None,
    };
    while let Some(part) = parts.peek() {
        match part.as_str() {
            "super" => drop(base.pop()),
            "crate" | "self" => {}
            _ => break,
        }
        parts.next();
    }
    base.extend(parts);
    Some(base)
}

fn level(room: &str) -> usize {
    let found = LEVELS.iter().position(|(rooms, _)| rooms.contains(&room));
    found.unwrap_or_else(|| panic!("the room {room} has no place in the order"))
}

#[test]
fn a_room_uses_only_what_stands_below_it() {
    let mut wrong = BTreeSet::new();
    let mut between = BTreeSet::new();
    for (name, file) in &files() {
        let room = file.module[0].as_str();
        for used in uses(file) {
            let to = used[0].as_str();
            // What the crate hands on at its root, and macros.
            if to == room || !source().join(to).exists() && !source().join(format!("{to}.rs")).exists() {
                continue;
            }
            between.insert((room.to_owned(), to.to_owned()));
            let (here, there) = (level(room), level(to));
            if there > here || (there == here && LEVELS[here].1 == Within::Apart) {
                wrong.insert(format!("{name} uses {}", used.join("::")));
            }
        }
    }
    let both = between.iter().filter(|(a, b)| between.contains(&(b.clone(), a.clone())));
    wrong.extend(both.map(|(a, b)| format!("{a} and {b} use each other")));
    assert!(wrong.is_empty(), "against the order of the rooms: {wrong:#?}");
}

#[test]
fn what_decides_does_not_act() {
    for name in PURE {
        let files = files();
        let text = &files.get(*name).unwrap_or_else(|| panic!("{name} is not there")).text;
        for effect in ["tokio::", "std::fs", "std::process"] {
            assert!(!text.contains(effect), "{name} is pure and names {effect}");
        }
    }
}

#[test]
fn no_two_files_use_each_other_in_a_circle() {
    let files = files();
    let by_module: BTreeMap<&[String], &str> =
        files.iter().map(|(name, file)| (file.module.as_slice(), name.as_str())).collect();
    let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, file) in &files {
        for used in uses(file) {
            let target = (1..=used.len()).rev().find_map(|length| by_module.get(&used[..length]));
            let Some(target) = target.filter(|target| *target != name) else { continue };
            // A module and what is within it are one thing in several files.
            let other = &files[*target].module;
            if !file.module.starts_with(other) && !other.starts_with(&file.module) {
                edges.entry(name).or_default().insert(target);
            }
        }
    }
    assert!(edges.len() > 100, "the imports were not read: {}", edges.len());
    // What uses nothing that is left is in no circle.
    while let Some(free) = edges.iter().find(|(_, to)| to.iter().all(|to| !edges.contains_key(to))).map(|(at, _)| *at) {
        edges.remove(free);
    }
    // Nor is what nothing that is left uses.
    while let Some(free) = edges.keys().find(|at| !edges.values().any(|to| to.contains(*at))).copied() {
        edges.remove(free);
    }
    let left: BTreeSet<&str> = edges.keys().copied().collect();
    edges.values_mut().for_each(|to| to.retain(|to| left.contains(to)));
    assert!(edges.is_empty(), "files in circles: {edges:#?}");
}
