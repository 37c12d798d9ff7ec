//! The refs of a repository in git's oldest format: one file each, and `packed-refs` for all that have none.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use bstr::{BString, ByteSlice};

use crate::git::refs::{Oid, RefMap};

/// All refs under `refs/`; `None` when anything is not as git writes it: symbolic refs, locks, broken ones.
pub(super) fn read(dir: &Path) -> Option<RefMap> {
    let mut found = RefMap::new();
    // The loose ones first, as git does: who packs refs meanwhile removes them only when they stand in the other file.
    loose(&dir.join("refs"), b"refs", &mut found)?;
    let packed = match fs::read(dir.join("packed-refs")) {
        Ok(text) => packed_refs(&text)?,
        Err(error) if error.kind() == ErrorKind::NotFound => RefMap::new(),
        Err(_) => return None,
    };
    for (name, oid) in packed {
        // A loose ref wins over a packed one.
        found.entry(name).or_insert(oid);
    }
    Some(found)
}

/// Whether HEAD names a branch, born or not, or an object; git takes a folder for no repository otherwise.
pub(super) fn head_is_sound(dir: &Path) -> bool {
    let file = dir.join("HEAD");
    // A symbolic link is how HEAD was written long ago.
    if !fs::symlink_metadata(&file).is_ok_and(|data| data.is_file()) {
        return false;
    }
    let Ok(text) = fs::read(file) else { return false };
    let Some(line) = text.strip_suffix(b"\n") else { return false };
    match line.strip_prefix(b"ref: ") {
        Some(name) => checked(name).is_some(),
        None => id(line).is_some(),
    }
}

/// Reads `packed-refs`: a header, `<oid> <ref>` in the names' order, and `^<oid>` for what the tag above names.
fn packed_refs(text: &[u8]) -> Option<RefMap> {
    let Some(text) = text.strip_suffix(b"\n") else { return text.is_empty().then(RefMap::new) };
    let mut found = RefMap::new();
    for (number, line) in text.split_str("\n").enumerate() {
        if number == 0 && line.starts_with(b"# pack-refs with:") {
            continue;
        }
        if let Some(peeled) = line.strip_prefix(b"^") {
            id(peeled).filter(|_| !found.is_empty())?;
            continue;
        }
        let (oid, name) = line.split_once_str(" ")?;
        let (oid, name) = (id(oid)?, checked(name)?);
        // Twice the same, or out of order: old, or not git's work.
        if found.last_key_value().is_some_and(|(last, _)| *last >= name) {
            return None;
        }
        found.insert(name, oid);
    }
    Some(found)
}

fn loose(folder: &Path, prefix: &[u8], found: &mut RefMap) -> Option<()> {
    use std::os::unix::ffi::OsStrExt;
    for entry in fs::read_dir(folder).ok()? {
        let entry = entry.ok()?;
        let name = [prefix, b"/", entry.file_name().as_bytes()].concat();
        let kind = entry.file_type().ok()?;
        if kind.is_dir() {
            loose(&entry.path(), &name, found)?;
        } else if kind.is_file() {
            let text = fs::read(entry.path()).ok()?;
            found.insert(checked(&name)?, id(text.strip_suffix(b"\n")?)?);
        } else {
            return None;
        }
    }
    Some(())
}

/// The id of an object in a repository of SHA-1; the one that names nothing is a broken ref.
fn id(hex: &[u8]) -> Option<Oid> {
    Oid::parse(hex).filter(|oid| hex.len() == 40 && *oid != Oid::null())
}

/// A name that git takes for a ref's, by the rules of git-check-ref-format(1) and a little stricter.
pub(super) fn checked(name: &[u8]) -> Option<BString> {
    let is_odd = |byte: &u8| *byte <= b' ' || *byte == 0x7f || b"~^:?*[\\".contains(byte);
    let is_bad =
        |part: &[u8]| part.is_empty() || part.starts_with(b".") || part.ends_with(b".") || part.ends_with(b".lock");
    let fine = name.starts_with(b"refs/")
        && !name.iter().any(is_odd)
        && !name.split_str("/").any(is_bad)
        && !name.contains_str("..")
        && !name.contains_str("@{");
    fine.then(|| name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    #[test]
    fn packed_refs_are_read_and_what_is_odd_in_them_is_not() {
        let header = "# pack-refs with: peeled fully-peeled sorted \n";
        let found = packed_refs(format!("{header}{A} refs/heads/a\n{A} refs/tags/v1\n^{A}\n").as_bytes()).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["refs/heads/a", "refs/tags/v1"]);
        assert_eq!(packed_refs(b""), Some(RefMap::new()));
        let null = "0".repeat(40);
        for text in [
            format!("{A} refs/heads/a"),
            format!("{A}\n"),
            format!("{A} shallow\n"),
            format!("{A}a refs/heads/a\n"),
            format!("{null} refs/heads/a\n"),
            format!("{A} refs/heads/a..b\n"),
            format!("{A} refs/heads//b\n"),
            format!("{A} refs/heads/b.lock\n"),
            "\n".to_owned(),
            format!("{A} refs/heads/a\r\n"),
            format!("{A} refs/heads/b\n{A} refs/heads/a\n"),
            format!("{A} refs/heads/a\n{A} refs/heads/a\n"),
            format!("{A} refs/heads/a\n# pack-refs with:\n"),
            format!("^{A}\n"),
            format!("{A} refs/tags/v1\n^{}\n", &A[1..]),
        ] {
            assert_eq!(packed_refs(text.as_bytes()), None, "{text:?}");
        }
    }
}
