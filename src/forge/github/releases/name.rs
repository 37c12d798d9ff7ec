//! What GitHub makes of a file's name.
//!
//! "GitHub renames asset filenames that have special characters, non-alphanumeric characters, and leading or trailing
//! periods" ("Upload a release asset"). What that means is not documented; users found out by trying: letters beyond ASCII
//! are spelled with ASCII where they can be (`é` is `e`, `æ` is `ae`, `ŋ` is `ng`), each run of other characters but
//! ASCII letters, digits and `-_` becomes one period, periods at both ends go (travis-ci/dpl 821, cli/cli pull request 7201,
//! actions/upload-release-asset 57, softprops/action-gh-release 159). `@` and an encoded `+` stay today
//! (electron/forge pull request 1761, github/rest-api-description 2968), and did not in 2018. So two names in another script
//! may become one.
//!
//! We send names that GitHub has no need to change: made by the same rule, but with a piece of the original's digest where
//! characters beyond ASCII are lost. The original is the label.

use regex::Regex;
use sha2::{Digest, Sha256};

/// The name under which we have GitHub keep a file.
pub(super) fn stored(name: &str) -> String {
    let mut safe = String::new();
    for c in name.chars() {
        let c = if is_kept(c) { c } else { '.' };
        if c != '.' || !(safe.is_empty() || safe.ends_with('.')) {
            safe.push(c);
        }
    }
    let safe = safe.trim_end_matches('.');
    if safe == name && !safe.is_empty() {
        return name.to_owned();
    }
    let mark = match name.is_ascii() {
        true => String::new(),
        false => {
            let digest = Sha256::digest(name.as_bytes());
            format!("-{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3])
        }
    };
    match split(safe) {
        Some((stem, extension)) => format!("{stem}{mark}.{extension}"),
        None if safe.is_empty() => format!("default{mark}"),
        None => format!("default{mark}.{safe}"),
    }
}

/// Stem and extension; `.tar.gz` and its like are one.
fn split(name: &str) -> Option<(&str, &str)> {
    let (stem, _) = name.rsplit_once('.')?;
    let stem = stem.strip_suffix(".tar").unwrap_or(stem);
    Some((stem, &name[stem.len() + 1..]))
}

fn is_kept(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._+@-".contains(c)
}

/// Whether a label is the name that a file had before it was stored: people also write descriptions there.
pub(super) fn is_original(label: &str, stored_as: &str) -> bool {
    if label.is_empty() || label == stored_as {
        return false;
    }
    stored(label) == stored_as || githubs(label).is_some_and(|rule| rule.is_match(stored_as))
}

/// What GitHub itself may make of a name, without knowing how it spells a letter beyond ASCII.
fn githubs(name: &str) -> Option<Regex> {
    let mut rule = String::from(r"^(?:default)?\.?");
    for c in name.chars() {
        match c {
            '+' => rule.push_str(r"[+.]?"),
            '@' => rule.push_str(r"[@.]?"),
            c if is_kept(c) && c != '.' => rule.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
            c if c.is_ascii() => rule.push_str(r"\.?"),
            // What has no such letters is a period, or nothing beside another.
            _ => rule.push_str(r"[A-Za-z.]{0,2}"),
        }
    }
    rule.push('$');
    Regex::new(&rule).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_github_would_change_is_sent_as_it_would_be_kept() {
        for (name, kept) in [
            ("tool-1.0_linux+x@y.tar.gz", "tool-1.0_linux+x@y.tar.gz"),
            ("My App (x64) 1.0.exe", "My.App.x64.1.0.exe"),
            ("tool-1.1.0-1~buster_amd64.deb", "tool-1.1.0-1.buster_amd64.deb"),
            ("a..b", "a.b"),
            (".bashrc", "default.bashrc"),
            ("trailing.", "default.trailing"),
            ("???", "default"),
            ("Größe.tar.gz", "Gr.e-ba5d619f.tar.gz"),
            ("发布.zip", "default-ca5ea1e2.zip"),
        ] {
            assert_eq!(stored(name), kept, "{name}");
            assert_eq!(stored(kept), kept, "GitHub has nothing to change");
        }
    }

    #[test]
    fn names_in_other_scripts_stay_apart() {
        assert_ne!(stored("发布.zip"), stored("测试.zip"));
        assert_ne!(stored("ä.zip"), stored("ö.zip"));
        // As on GitHub itself: these two cannot both be there.
        assert_eq!(stored("a b.zip"), stored("a (b).zip"));
        let long = "ü".repeat(200);
        assert!(stored(&long).len() < 200);
    }

    #[test]
    fn a_label_is_the_original_name_only_when_the_stored_one_is_made_of_it() {
        for (label, kept) in [
            ("My App (x64).exe", "My.App.x64.exe"),
            ("Größe.tar.gz", "Gr.e-ba5d619f.tar.gz"),
            // Uploaded by another tool, changed by GitHub itself.
            ("Prüfung.zip", "Prufung.zip"),
            ("a5_ð_æ_©_ŋ.txt", "a5_d_ae_._ng.txt"),
            ("a+b@c.zip", "a.b.c.zip"),
            (".bashrc", "default.bashrc"),
        ] {
            assert!(is_original(label, kept), "{label}");
        }
        for (label, kept) in
            [("", "a.zip"), ("a.zip", "a.zip"), ("Windows installer", "setup.exe"), ("Linux (64 bit)", "tool.tar.gz")]
        {
            assert!(!is_original(label, kept), "{label}");
        }
    }
}
