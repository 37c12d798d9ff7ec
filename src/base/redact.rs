//! The one redactor: every text that leaves the process passes through [`redact`].

mod literals;

use std::sync::LazyLock;

use regex::{Captures, Regex};

pub(super) use self::literals::Known;

/// What stands in place of a secret.
pub const MASK: &str = "***";

/// What tokens look like when we never were told of them (a server's echo, a user's own URL).
static PATTERNS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        // user info in a URL: https://user:secret@host; over HTTP the user alone may be a token
        r"(?P<keep>(?:https?|git|ftps?|socks[45]h?|postgres(?:ql)?)://)[^\s/'\x22]+@",
        r"(?P<keep>ssh://[^\s/:@'\x22]+:)[^\s/'\x22]+@",
        r"(?i)(?P<keep>\b(?:authorization|private-token|job-token|proxy-authorization)\s*[:=]\s*)(?:(?:basic|bearer|token)\s+)?[^\s'\x22,;]+",
        r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|gl(?:pat|ptt|dt|oas|rt|cbt|ft)-[A-Za-z0-9_.-]{16,})",
        r"(?i)(?P<keep>[?&](?:access_token|private_token|token|password)=)[^&\s'\x22]+",
    ]
    .iter()
    .map(|pattern| Regex::new(pattern).expect("the pattern is a constant"))
    .collect()
});

/// Masks every secret in `text`: the known ones in all their encodings first, then what looks like one.
///
/// Every string that leaves the process (log, report, JSON, error) passes here.
pub fn redact(text: &str) -> String {
    // By their look before and after: a known secret within an unknown one would leave the rest of it unrecognised.
    let mut clean = by_look(text);
    clean = literals::mask(clean);
    by_look(&clean)
}

fn by_look(text: &str) -> String {
    let mut clean = text.to_owned();
    for pattern in PATTERNS.iter() {
        if pattern.is_match(&clean) {
            clean = pattern
                .replace_all(&clean, |found: &Captures<'_>| {
                    let at = if found[0].ends_with('@') { "@" } else { "" };
                    format!("{}{MASK}{at}", found.name("keep").map_or("", |keep| keep.as_str()))
                })
                .into_owned();
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_tokens_are_masked_by_their_look() {
        assert_eq!(redact("fatal: 'https://u:hunter2@h/x.git'"), "fatal: 'https://***@h/x.git'");
        assert_eq!(redact("https://u:hunter@2@h/x"), "https://***@h/x");
        assert_eq!(redact("ssh://git:hunter2@h/x"), "ssh://git:***@h/x");
        assert_eq!(redact("Authorization: Bearer abc.def"), "Authorization: ***");
        assert_eq!(redact("got ghp_abcdefghijklmnopqrstuvwxyz0123456789"), "got ***");
        assert_eq!(redact("GET /x?private_token=abc&page=2"), "GET /x?private_token=***&page=2");
    }

    #[test]
    fn ordinary_text_is_left_alone() {
        for text in ["fatal: repository 'https://h/x.git/' not found", "git@github.com:o/r.git", "ssh://git@h/x", "a@b"]
        {
            assert_eq!(redact(text), text);
        }
    }
}
