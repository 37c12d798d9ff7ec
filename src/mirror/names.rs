//! Ref names that the file system of the storage has no room for.
//!
//! Git makes a file of a ref before it packs it: `<name>.lock`, each part of the name a part of a path. A source may lie on
//! a file system with more room, or keep its refs in no files at all. Such a ref must not keep the others from moving.

use std::path::Path;

use bstr::{BStr, BString, ByteSlice};

use super::decide::Decision;
use crate::base::failure::{Failure, Reason};

/// What git adds to a ref's name while it writes it.
const LOCK: usize = ".lock".len();
/// The longest path that a system call takes (`PATH_MAX` of Linux, the null byte counted; 1,024 on macOS).
const LONGEST_PATH: usize = if cfg!(target_os = "macos") { 1024 } else { 4096 };

/// How long the name of a ref may be in one mirror.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Of one part between slashes.
    part: usize,
    /// Of the whole.
    whole: usize,
}

impl Room {
    /// What the file system under `dir` has; as usual, where it does not tell.
    pub fn of(dir: &Path) -> Self {
        let longest = rustix::fs::statvfs(dir).ok().and_then(|about| usize::try_from(about.f_namemax).ok());
        let part = longest.filter(|longest| *longest > LOCK).unwrap_or(255) - LOCK;
        let before = dir.as_os_str().len() + 1;
        Room { part, whole: LONGEST_PATH.saturating_sub(before + LOCK + 1) }
    }

    fn fits(self, name: &BStr) -> bool {
        name.len() <= self.whole && name.split_str("/").all(|part| part.len() <= self.part)
    }
}

/// Takes out of `decision` the refs whose names do not fit, and returns them.
pub(super) fn set_aside(decision: &mut Decision, room: Room) -> Vec<BString> {
    let mut aside = Vec::new();
    for updates in [&mut decision.take, &mut decision.delete] {
        updates.retain(|update| {
            let fits = room.fits(update.name.as_bstr());
            if !fits {
                aside.push(update.name.clone());
            }
            fits
        });
    }
    aside
}

/// The failure that names the refs that were left as they are; `None` when there are none.
pub(super) fn failure(aside: &[BString]) -> Option<Failure> {
    let first = aside.first()?;
    let others = match aside.len() {
        1 => String::new(),
        more => format!(" (and {} more)", more - 1),
    };
    let shown = first.to_str_lossy();
    let shown: String =
        shown.chars().take(60).collect::<String>() + if shown.chars().count() > 60 { "…" } else { "" };
    let message = format!(
        "a ref name of {} bytes is too long for the file system of the storage: {shown}{others}; all other refs are up to date",
        first.len()
    );
    let hint = "rename the ref at the source, or put the storage on a file system that takes longer names.";
    Some(Failure::new(Reason::LocalFailed, message).with_hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::refs::{Change, Oid, RefUpdate};

    #[test]
    fn only_names_that_fit_with_gits_lock_beside_them_are_tried() {
        let room = Room { part: 250, whole: 4000 };
        let name = |length: usize| format!("refs/heads/{}", "x".repeat(length));
        assert!(room.fits(BStr::new(&name(250))));
        assert!(!room.fits(BStr::new(&name(251))));
        assert!(!room.fits(BStr::new(&format!("refs/heads/{}", "x/".repeat(2000)))));
    }

    #[test]
    fn what_does_not_fit_is_taken_out_and_named() {
        let oid = Oid::parse("a".repeat(40).as_bytes()).unwrap();
        let long = format!("refs/heads/{}", "x".repeat(300));
        let create = |name: &str| RefUpdate { name: name.into(), change: Change::Create { new: oid } };
        let mut decision = Decision { take: vec![create("refs/heads/main"), create(&long)], ..Decision::default() };
        let aside = set_aside(&mut decision, Room { part: 250, whole: 4000 });
        assert_eq!((aside.len(), decision.take.len()), (1, 1));
        let failure = failure(&aside).unwrap();
        assert!(failure.message().contains("311 bytes") && failure.message().contains("refs/heads/xxx"), "{failure}");
        assert_eq!(super::failure(&[]), None);
    }
}
