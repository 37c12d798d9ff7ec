//! Refs: the map of a repository's refs, and the pure diff between two maps.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bstr::{BStr, BString, ByteSlice};

/// The namespace that is ours in every mirror; never fetched, never pushed.
pub const OWN: &str = "refs/holocron/";
/// Where old tips are kept: `refs/holocron/kept/<UTC time>/<old ref name>`.
pub const KEPT: &str = "refs/holocron/kept/";

/// An object id, SHA-1 or SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Oid {
    bytes: [u8; 32],
    length: u8,
}

impl Oid {
    /// Reads 40 or 64 hexadecimal digits.
    pub fn parse(hex: &[u8]) -> Option<Self> {
        if hex.len() != 40 && hex.len() != 64 {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
        let mut bytes = [0; 32];
        for (place, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *place = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Oid { bytes, length: u8::try_from(hex.len() / 2).ok()? })
    }

    /// The id that names nothing.
    pub fn null() -> Self {
        Oid { bytes: [0; 32], length: 20 }
    }

    /// The bytes, as packs have them.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The first twelve digits, for people.
    pub fn short(self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes[..usize::from(self.length)].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Full ref names (bytes: git does not ask for UTF-8) and what they point at.
pub type RefMap = BTreeMap<BString, Oid>;

/// What a remote says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advertisement {
    /// All refs but HEAD, peeled tags and our own namespace.
    pub refs: RefMap,
    /// The branch that HEAD names, when it names one that exists (`refs/heads/main`).
    pub head: Option<BString>,
    /// What HEAD points at.
    pub head_oid: Option<Oid>,
    /// The branch that HEAD names and that does not exist, where that was asked for.
    pub unborn: Option<BString>,
    /// What annotated tags name in the end.
    pub peeled: RefMap,
    /// The symbolic refs among `refs`, and the refs that they lead to. Servers of protocol version 2 name them.
    pub symrefs: BTreeMap<BString, BString>,
}

impl Advertisement {
    /// Reads the output of `git ls-remote --symref` (git 2.8).
    ///
    /// # Errors
    /// Names the first line that is neither `<oid>\t<ref>` nor `ref: <target>\t<ref>`.
    pub fn parse(output: &[u8]) -> Result<Self, String> {
        let mut found = Advertisement::default();
        for line in output.lines() {
            let Some((left, name)) = line.split_once_str("\t") else {
                return Err(line.to_str_lossy().into_owned());
            };
            if let Some(target) = left.strip_prefix(b"ref: ") {
                found.take_symref(name.as_bstr(), target.as_bstr());
                continue;
            }
            let oid = Oid::parse(left).ok_or_else(|| line.to_str_lossy().into_owned())?;
            found.take(oid, name.as_bstr()).map_err(|_| line.to_str_lossy().into_owned())?;
        }
        Ok(found)
    }

    /// Takes what a symbolic ref leads to: HEAD or any other.
    pub(super) fn take_symref(&mut self, name: &BStr, target: &BStr) {
        if name == "HEAD" {
            self.head = Some(target.into());
        } else if name.starts_with(b"refs/") && !name.starts_with(OWN.as_bytes()) {
            self.symrefs.insert(name.into(), target.into());
        }
    }

    /// Whether it names nothing at all, as an empty repository does; one with a detached HEAD only is not empty.
    pub fn is_nothing(&self) -> bool {
        self.refs.is_empty() && self.head_oid.is_none()
    }

    /// Takes one line of the list: HEAD, a peeled tag (`refs/tags/v1^{}`) or any other ref.
    ///
    /// # Errors
    /// A name that no ref has.
    pub(super) fn take(&mut self, oid: Oid, name: &BStr) -> Result<(), NoRef> {
        // Git would take a name without `refs/` for a file of its own in the mirror: `shallow`, `config`.
        if name != "HEAD" && !name.starts_with(b"refs/") {
            return Err(NoRef);
        }
        if name == "HEAD" {
            self.head_oid = Some(oid);
        } else if let Some(tag) = name.strip_suffix(b"^{}") {
            self.peeled.insert(tag.into(), oid);
        } else if !name.starts_with(OWN.as_bytes()) {
            self.refs.insert(name.into(), oid);
        }
        Ok(())
    }
}

/// A name that is not HEAD and does not begin with `refs/`.
#[derive(Debug)]
pub(super) struct NoRef;

/// A mirror's refs: the source's, and those that we keep beside them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalRefs {
    pub refs: RefMap,
    pub kept: RefMap,
    /// Those of `refs` that point at no commit: annotated tags, trees, blobs.
    pub not_commits: BTreeSet<BString>,
}

impl LocalRefs {
    /// Reads the output of `git for-each-ref --format='%(objectname) %(objecttype) %(refname)'`.
    ///
    /// # Errors
    /// Names the first line that cannot be read.
    pub fn parse(output: &[u8]) -> Result<Self, String> {
        let mut found = LocalRefs::default();
        for line in output.lines() {
            let mut parts = line.splitn_str(3, " ");
            let (Some(oid), Some(kind), Some(name)) = (parts.next().and_then(Oid::parse), parts.next(), parts.next())
            else {
                return Err(line.to_str_lossy().into_owned());
            };
            let map = if name.starts_with(OWN.as_bytes()) { &mut found.kept } else { &mut found.refs };
            if kind != b"commit" {
                found.not_commits.insert(name.into());
            }
            map.insert(name.into(), oid);
        }
        Ok(found)
    }
}

/// One ref that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RefUpdate {
    pub name: BString,
    pub change: Change,
}

/// What happens to a ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    Create {
        new: Oid,
    },
    /// Moved; whether forward or by force only the objects tell.
    Move {
        old: Oid,
        new: Oid,
    },
    Delete {
        old: Oid,
    },
}

impl Change {
    /// What the ref points at afterwards.
    pub fn after(self) -> Option<Oid> {
        match self {
            Change::Create { new } | Change::Move { new, .. } => Some(new),
            Change::Delete { .. } => None,
        }
    }

    /// What it pointed at before.
    pub fn before(self) -> Option<Oid> {
        match self {
            Change::Delete { old } | Change::Move { old, .. } => Some(old),
            Change::Create { .. } => None,
        }
    }
}

impl fmt::Display for RefUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.change {
            Change::Create { new } => write!(f, "create {} at {}", self.name, new.short()),
            Change::Move { old, new } => write!(f, "move {} from {} to {}", self.name, old.short(), new.short()),
            Change::Delete { old } => write!(f, "delete {} at {}", self.name, old.short()),
        }
    }
}

/// What must happen to `have` so that it equals `want`, sorted by name.
pub fn diff(have: &RefMap, want: &RefMap) -> Vec<RefUpdate> {
    let names: BTreeSet<&BString> = have.keys().chain(want.keys()).collect();
    let change = |name: &BString| match (have.get(name), want.get(name)) {
        (None, Some(&new)) => Some(Change::Create { new }),
        (Some(&old), None) => Some(Change::Delete { old }),
        (Some(&old), Some(&new)) if old != new => Some(Change::Move { old, new }),
        _ => None,
    };
    names.into_iter().filter_map(|name| change(name).map(|change| RefUpdate { name: name.clone(), change })).collect()
}

/// Whether the ref holds commits only a branch's rules apply to (`refs/heads/*`).
pub fn is_branch(name: &BStr) -> bool {
    name.starts_with(b"refs/heads/")
}

/// Whether a forge computes the ref from others whose tips are kept themselves: GitHub's `refs/pull/*/merge` and
/// GitLab's `refs/merge-requests/*/merge` move with every push to the target branch.
pub fn is_derived(name: &BStr) -> bool {
    let tail = name.strip_prefix(b"refs/pull/").or_else(|| name.strip_prefix(b"refs/merge-requests/"));
    tail.is_some_and(|tail| tail.ends_with(b"/merge"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn oid(digit: char) -> Oid {
        Oid::parse(digit.to_string().repeat(40).as_bytes()).unwrap()
    }

    #[test]
    fn an_advertisement_tells_refs_and_head_and_leaves_out_peeled_and_own_ones() {
        let (a, b) = (oid('a'), oid('b'));
        let text = format!(
            "ref: refs/heads/main\tHEAD\n{a}\tHEAD\n{a}\trefs/heads/main\n{b}\trefs/tags/v1\n{a}\trefs/tags/v1^{{}}\n\
             {b}\trefs/holocron/kept/x/refs/heads/y\n"
        );
        let found = Advertisement::parse(text.as_bytes()).unwrap();
        assert_eq!(found.head.unwrap(), "refs/heads/main");
        assert_eq!(found.refs, RefMap::from([("refs/heads/main".into(), a), ("refs/tags/v1".into(), b)]));
    }

    #[test]
    fn a_line_that_is_no_ref_is_named() {
        assert_eq!(Advertisement::parse(b"<html>\n").unwrap_err(), "<html>");
        assert_eq!(Advertisement::parse(b"abc\trefs/heads/x\n").unwrap_err(), "abc\trefs/heads/x");
        assert!(LocalRefs::parse(b"nothing\n").is_err());
    }

    #[test]
    fn a_name_outside_refs_is_refused_whatever_file_it_would_be() {
        let a = oid('a');
        for name in ["shallow", "config", "objects/info/alternates", "ORIG_HEAD", "refs", "../refs/heads/x"] {
            let text = format!("{a}\trefs/heads/main\n{a}\t{name}\n");
            assert_eq!(Advertisement::parse(text.as_bytes()).unwrap_err(), format!("{a}\t{name}"));
        }
    }

    #[test]
    fn a_branch_called_head_and_names_that_are_no_utf8_are_refs_like_others() {
        let text =
            [b"a".repeat(40).as_slice(), b"\trefs/heads/HEAD\n", &b"b".repeat(64), b"\trefs/heads/\xfc\n"].concat();
        let found = Advertisement::parse(&text).unwrap();
        assert_eq!(found.head, None);
        assert_eq!(found.refs.keys().collect::<Vec<_>>(), ["refs/heads/HEAD".as_bytes(), b"refs/heads/\xfc"]);
    }

    #[test]
    fn merge_refs_of_forges_are_derived_and_heads_are_not() {
        assert!(is_derived("refs/pull/7/merge".into()) && is_derived("refs/merge-requests/7/merge".into()));
        assert!(!is_derived("refs/pull/7/head".into()) && !is_derived("refs/heads/merge".into()));
    }

    fn maps() -> impl Strategy<Value = RefMap> {
        let entry = ("[a-d]{1,2}", prop::sample::select(vec!['1', '2', '3']));
        prop::collection::btree_map(entry.0.prop_map(|name| BString::from(format!("refs/heads/{name}"))), entry.1, 0..8)
            .prop_map(|map| map.into_iter().map(|(name, digit)| (name, oid(digit))).collect())
    }

    proptest! {
        #[test]
        fn applying_the_diff_gives_the_wanted_map(have in maps(), want in maps()) {
            let mut map = have.clone();
            for update in diff(&have, &want) {
                prop_assert_eq!(map.get(&update.name).copied(), update.change.before());
                match update.change.after() {
                    Some(new) => map.insert(update.name, new),
                    None => map.remove(&update.name),
                };
            }
            prop_assert_eq!(map, want);
        }
    }
}
