//! Writes a new bare mirror as `git clone --mirror` leaves it, without a template: HEAD, config, packed-refs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;

use bstr::{BStr, BString, ByteSlice};

use super::packs::{Kind, Packs};
use super::refs::checked;
use crate::git::refs::{Advertisement, Oid, RefMap, is_branch};

/// A mirror to be made of what its source advertises.
#[derive(Debug)]
pub(in crate::git) struct NewMirror {
    url: String,
    head: BString,
    refs: RefMap,
}

impl NewMirror {
    /// The mirror of `source` at `url`; `None` when git must tell what becomes of it.
    pub fn of(url: &str, source: &Advertisement) -> Option<Self> {
        // What needs quotes in a configuration.
        let is_odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\\' | ';' | '#');
        let is_sound = |name: &BString| checked(name).is_some() && !has_ref_above(name.as_bstr(), &source.refs);
        if url.contains(is_odd) || !source.refs.keys().all(is_sound) {
            return None;
        }
        let head = head_of(source)?;
        Some(NewMirror { url: url.to_owned(), head, refs: source.refs.clone() })
    }

    /// Makes the repository `dir`, which must not be there yet, without any object or ref.
    pub fn found(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir(dir)?;
        for folder in ["objects", "objects/info", "objects/pack", "refs", "refs/heads", "refs/tags"] {
            fs::create_dir(dir.join(folder))?;
        }
        fs::write(dir.join("HEAD"), &self.head)?;
        fs::write(dir.join("config"), "")?;
        let abilities = probe(dir)?;
        let url = &self.url;
        let config = format!(
            "[core]\n{abilities}[remote \"origin\"]\n\turl = {url}\n\tfetch = +refs/*:refs/*\n\tmirror = true\n"
        );
        fs::write(dir.join("config"), config)
    }

    /// Writes the refs when the objects are there, and sees all of it on the disk; `false` when an object is missing.
    ///
    /// What annotated tags name is not written down: the source's word for it would be believed for ever. Git finds out when
    /// it needs it.
    pub fn complete(&self, dir: &Path) -> io::Result<bool> {
        let mut tips = self.refs.values().copied().chain(self.detached()).peekable();
        if tips.peek().is_some() {
            let packs = Packs::open(&dir.join("objects/pack"));
            let mut packs = packs.ok_or_else(|| io::Error::other("its pack cannot be read"))?;
            let (mut any_tag, mut all_there) = (false, true);
            for oid in tips {
                let kind = packs.kind(oid);
                all_there &= kind.is_some();
                any_tag |= kind == Some(Kind::Tag);
            }
            if !all_there {
                return Ok(false);
            }
            // Read by everybody, written by nobody but us.
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o666).open(dir.join("packed-refs"))?;
            file.write_all(&self.packed_refs(!any_tag))?;
            file.sync_all()?;
        }
        for part in ["HEAD", "config", "refs", "."] {
            File::open(dir.join(part))?.sync_all()?;
        }
        Ok(true)
    }

    /// The commit that HEAD names without a branch.
    fn detached(&self) -> Option<Oid> {
        Oid::parse(self.head.trim_ascii())
    }

    fn packed_refs(&self, none_to_peel: bool) -> Vec<u8> {
        let claims = if none_to_peel { "peeled fully-peeled sorted" } else { "sorted" };
        let mut text = format!("# pack-refs with: {claims} \n").into_bytes();
        for (name, oid) in &self.refs {
            text.extend_from_slice(format!("{oid} ").as_bytes());
            text.extend_from_slice(name);
            text.push(b'\n');
        }
        text
    }
}

/// Whether there is a ref `a` above the ref `a/b`: no repository has both.
fn has_ref_above(name: &BStr, refs: &RefMap) -> bool {
    name.find_iter("/").any(|at| refs.contains_key(name[..at].as_bstr()))
}

/// The content of HEAD as `git clone` writes it (2.47, clone.c); `None` when it depends on the user's settings.
fn head_of(source: &Advertisement) -> Option<BString> {
    let branch = |name: &BStr| BString::from([b"ref: ", name.as_bytes(), b"\n"].concat());
    let is_sound = |name: &BString| is_branch(name.as_bstr()) && checked(name).is_some();
    if let Some(oid) = source.head_oid {
        let named = source.head.as_ref().filter(|name| is_sound(name) && source.refs.contains_key(*name));
        // Of a detached HEAD git guesses the branch.
        let has_it = |name: &BStr| source.refs.get(name) == Some(&oid);
        let guess = || {
            let usual = BString::from("refs/heads/master");
            let first = source.refs.keys().find(|name| is_branch(name.as_bstr()) && has_it(name.as_bstr()));
            Some(usual).filter(|name| has_it(name.as_bstr())).or_else(|| first.cloned())
        };
        let name = named.cloned().or_else(|| if source.head.is_none() { guess() } else { None });
        return Some(name.map_or_else(|| format!("{oid}\n").into(), |name| branch(name.as_bstr())));
    }
    // Without one git takes the branch of the user's liking.
    source.unborn.as_ref().filter(|name| is_sound(name)).map(|name| branch(name.as_bstr()))
}

/// What git notes of a file system in a new repository (setup.c): `dir` has a HEAD and a config.
fn probe(dir: &Path) -> io::Result<String> {
    let config = dir.join("config");
    let before = fs::metadata(&config)?.permissions();
    let mut other = before.clone();
    other.set_mode(before.mode() ^ 0o100);
    let changed = fs::set_permissions(&config, other.clone()).is_ok()
        && fs::metadata(&config)?.permissions().mode() & 0o777 == other.mode() & 0o777;
    let kept = changed && before.mode() & 0o100 == 0;
    if changed {
        fs::set_permissions(&config, before)?;
    }
    let mut text = format!("\trepositoryformatversion = 0\n\tfilemode = {kept}\n\tbare = true\n");
    let link = dir.join("link");
    match symlink("testing", &link) {
        Ok(()) => fs::remove_file(&link)?,
        Err(_) => text += "\tsymlinks = false\n",
    }
    if dir.join("CoNfIg").exists() {
        text += "\tignorecase = true\n";
    }
    if cfg!(target_os = "macos") {
        // One letter in two spellings.
        let [composed, decomposed] = ["\u{e4}", "a\u{308}"].map(|name| dir.join(name));
        fs::write(&composed, "")?;
        text += &format!("\tprecomposeunicode = {}\n", decomposed.exists());
        fs::remove_file(&composed).or_else(|error| match error.kind() {
            ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oid(digit: char) -> Oid {
        Oid::parse(digit.to_string().repeat(40).as_bytes()).unwrap()
    }

    fn source(
        refs: &[(&str, char)],
        head: Option<&str>,
        head_oid: Option<char>,
        unborn: Option<&str>,
    ) -> Advertisement {
        Advertisement {
            refs: refs.iter().map(|&(name, digit)| (name.into(), oid(digit))).collect(),
            head: head.map(Into::into),
            head_oid: head_oid.map(oid),
            unborn: unborn.map(Into::into),
            ..Advertisement::default()
        }
    }

    fn head(source: &Advertisement) -> Option<String> {
        Some(NewMirror::of("https://h/x.git", source)?.head.trim_ascii().to_str().unwrap().to_owned())
    }

    #[test]
    fn head_is_as_advertised_and_guessed_as_git_guesses() {
        let refs = [("refs/heads/a", 'a'), ("refs/heads/master", 'a'), ("refs/heads/z", 'b'), ("refs/x/y", 'c')];
        let head = |name, oid, unborn| head(&source(&refs, name, oid, unborn));
        assert_eq!(head(Some("refs/heads/z"), Some('b'), None).unwrap(), "ref: refs/heads/z");
        assert_eq!(head(None, Some('a'), None).unwrap(), "ref: refs/heads/master");
        assert_eq!(head(None, Some('b'), None).unwrap(), "ref: refs/heads/z");
        assert_eq!(head(None, Some('c'), None).unwrap(), "c".repeat(40));
        assert_eq!(head(Some("refs/x/y"), Some('c'), None).unwrap(), "c".repeat(40));
        assert_eq!(head(None, None, Some("refs/heads/next")).unwrap(), "ref: refs/heads/next");
        assert_eq!(head(None, None, None), None);
        assert_eq!(head(None, None, Some("refs/heads/../x")), None);
    }

    #[test]
    fn what_no_repository_has_is_for_git_to_refuse() {
        let make = |url: &str, names: &[&str]| {
            let refs: Vec<_> = names.iter().map(|name| (*name, 'a')).collect();
            NewMirror::of(url, &source(&refs, None, Some('a'), None)).is_some()
        };
        assert!(make("https://h/x.git", &["refs/heads/a-b", "refs/heads/a/b", "refs/heads/ab"]));
        assert!(!make("https://h/x.git", &["refs/heads/a", "refs/heads/a/b"]));
        assert!(!make("https://h/x.git", &["refs/heads/a..b"]));
        assert!(!make("https://h/x.git", &["refs/heads/x.lock"]));
        assert!(!make("https://h/x;y.git", &["refs/heads/a"]));
    }

    #[test]
    fn without_the_commit_of_a_detached_head_nothing_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let complete = |name: &str, head: Option<char>, unborn: Option<&str>| {
            let (dir, mirror) = (folder.path().join(name), source(&[], None, head, unborn));
            let mirror = NewMirror::of("https://h/x.git", &mirror).unwrap();
            mirror.found(&dir).unwrap();
            mirror.complete(&dir).unwrap()
        };
        assert!(!complete("detached", Some('a'), None));
        assert!(complete("empty", None, Some("refs/heads/main")));
    }
}
