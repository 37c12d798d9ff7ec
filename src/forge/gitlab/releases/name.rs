//! Names of files and versions in GitLab's generic packages.

use sha2::{Digest, Sha256};

/// Longer names are cut; the column takes 255.
const LONGEST_NAME: usize = 200;

/// A name that GitLab takes for a file and for a version, and that no other text has.
///
/// Files: `/\A[A-Za-z0-9\.\_\-\+]+\z/`; versions: `/\A(?!.*\.\.)[\w+.-]+\z/` (GitLab's `lib/gitlab/regex/packages.rb`). `+`
/// is left out, because a `+` in a path is read in two ways. What has to be changed gets 16 digits of its SHA-256.
pub(super) fn safe(name: &str) -> String {
    let is_kept = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let fits = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(is_kept)
        && !name.contains("..")
        && name.len() <= LONGEST_NAME
        && !has_mark(name);
    if fits {
        return name.to_owned();
    }
    let digest = Sha256::digest(name.as_bytes());
    let mark: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if (1..=16).contains(&extension.len()) => (stem, extension),
        _ => (name, ""),
    };
    let mut safe = String::new();
    for c in stem.chars().map(|c| if is_kept(c) && c != '.' { c } else { '_' }).take(LONGEST_NAME / 2) {
        safe.push(c);
    }
    let safe = safe.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let extension: String = extension.chars().filter(char::is_ascii_alphanumeric).collect();
    let dot = if extension.is_empty() { "" } else { "." };
    format!("{}{safe}-{mark}{dot}{extension}", if safe.is_empty() { "file" } else { "" })
}

/// Whether a name looks as if it were made by [`safe`]: such a one is made safe too, so that the two stay apart.
fn has_mark(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default();
    stem.rsplit_once('-').is_some_and(|(_, mark)| mark.len() == 16 && mark.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_name_that_gitlab_takes_stays_and_any_other_is_changed_without_meeting_one() {
        for name in ["tool-1.0_linux.tar.gz", "v1.0", "SHA256SUMS", "0"] {
            assert_eq!(safe(name), name);
        }
        let mut seen = BTreeSet::new();
        let odd = [
            "My App (x64).exe",
            "My App [x64].exe",
            "a+b.zip",
            "größe.zip",
            "gröse.zip",
            "发布.zip",
            "测试.zip",
            "a/b",
            "a_b..c",
            "release/1.0",
            ".hidden",
            "-x",
            "~x",
            "",
            "..",
            "a b",
            &"ü".repeat(200),
            &"u".repeat(300),
            &"u".repeat(301),
        ];
        for name in odd.map(str::to_owned).into_iter().chain(odd.map(safe)) {
            let safe = safe(&name);
            let takes = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            assert!(safe.chars().all(takes) && !safe.contains("..") && safe.len() <= 200, "{name} {safe}");
            assert!(safe.starts_with(|c: char| c.is_ascii_alphanumeric()), "{safe}");
            assert!(seen.insert(safe.clone()), "{name} is {safe} as another");
        }
        assert!(safe("My App (x64).exe").starts_with("My_App__x64_-") && safe("My App.exe").ends_with(".exe"));
    }
}
