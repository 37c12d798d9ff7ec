//! Why git failed: from what it printed to a [`Reason`] and the line that told.
//!
//! The rules are tables in `rules.rs`; this file is how they are read. Text only ever tells *why*; that something
//! failed, and what, is known from exit codes and `--porcelain` output by whoever ran git. A git that was killed for
//! taking too long has said nothing of it: whoever killed it knows.
//!
//! `testdata/git-stderr` holds what real git printed, filed by reason; the tests hold every sample against the tables.

mod rejections;
mod rules;
mod servers;
#[cfg(test)]
mod tests;

use crate::base::failure::Reason;
use crate::git::progress::messages;
pub use rejections::Rejections;
use rules::{LOCAL, Rule, VAGUE};
use servers::SERVER;

/// Why a failed git failed, and the line that told.
///
/// Without a rule that fits it is [`Reason::Unknown`] with the last line that may tell a person something; the line is
/// `None` only when git said nothing but progress and hints. The line is a part of `stdout` or `stderr`, not redacted.
///
/// [`Reason::Corrupt`] does not tell on which side: a fetch of damaged data looks like damage here. Check the local
/// repository before touching it.
pub fn classify<'a>(stdout: &'a str, stderr: &'a str) -> (Reason, Option<&'a str>) {
    let lines = telling(stdout, stderr);
    match decide(&lines) {
        Some((rule, line)) => (rule.reason, Some(line)),
        None => (Reason::Unknown, last_resort(&lines)),
    }
}

/// As [`classify`], with more to show: the line that told, and what else the server says went wrong, a line each.
///
/// The server's own errors stand in its lines (`remote: fatal: …`, over a side band or as its last words), above git's that
/// only says that the connection ended.
pub fn explain(stdout: &str, stderr: &str) -> (Reason, String) {
    let (reason, told) = classify(stdout, stderr);
    let lines: Vec<&str> = messages(stderr).filter(|line| !is_noise(line)).collect();
    let is_vague = told.is_none_or(|told| !is_remote(told) && first(LOCAL, &[told], |_| true).is_none());
    let last = lines.iter().rposition(|line| is_remote(line)).filter(|_| is_vague);
    let of_server = lines.iter().enumerate().filter(|(at, line)| complains(line) || Some(*at) == last);
    let mut shown: Vec<&str> = told.into_iter().collect();
    for (_, line) in of_server {
        if !shown.contains(line) && shown.len() < MOST_WORDS {
            shown.push(line);
        }
    }
    (reason, shown.join("\n"))
}

/// The way out that the words give away, where that of their reason does not fit.
pub fn way_out(evidence: &str) -> Option<&'static str> {
    const KNOWN: &[(&str, &str)] = &[
        // A source on this machine: whose settings run there is for its reader to decide, not for us.
        (
            "detected dubious ownership",
            "it belongs to another user; if you trust it, name it in `git config --global --add safe.directory <path>`.",
        ),
        (
            "from promisor remote",
            "the source is a partial clone, which lacks objects that its own source has: complete it there with `git fetch \
             --refetch --no-filter` (git 2.36), or mirror what it was cloned from; nothing of it was saved in this run.",
        ),
        (
            "aborting due to possible repository corruption",
            "the repository at the source is damaged: run `git fsck` there and restore what it names; the mirror keeps what it has.",
        ),
        ("set private key file: ", NO_PASSPHRASE),
        ("could not load PEM client certificate", NO_PASSPHRASE),
        ("error reading X.509 key or certificate file: ", NO_PASSPHRASE),
        (
            "repository not exported: ",
            "the repository is there, but its daemon does not serve it: it lacks the file `git-daemon-export-ok`.",
        ),
    ];
    KNOWN.iter().find(|(part, _)| evidence.contains(part)).map(|(_, hint)| *hint)
}

const NO_PASSPHRASE: &str =
    "check the client certificate and its key; a key with a passphrase cannot be used, as nobody is there to type it.";

/// The most lines of a server that are kept as evidence.
pub const MOST_WORDS: usize = 20;

/// The last lines that a server wrote for people, without progress, at most [`MOST_WORDS`]; not redacted.
pub fn server_words(stderr: &str) -> Vec<&str> {
    let mut words: Vec<&str> =
        messages(stderr).filter(|line| is_remote(line) && !is_noise(line)).map(str::trim_end).collect();
    words.drain(..words.len().saturating_sub(MOST_WORDS));
    words
}

/// Whether a line of the server is one of its errors.
fn complains(line: &str) -> bool {
    ["remote: fatal: ", "remote: error: ", "remote: aborting "].iter().any(|start| line.starts_with(start))
}

/// The line that tells of damage although git ended well.
///
/// `git fetch` goes on past a pack that does not match its index, and ends with 0 (git 2.47).
pub fn damage(stderr: &str) -> Option<&str> {
    let lines = telling("", stderr);
    LOCAL
        .iter()
        .filter(|rule| rule.reason == Reason::Corrupt)
        .find_map(|rule| lines.iter().copied().find(|line| !is_remote(line) && fits(rule.line, line)))
}

/// The rule that decides: git's own exact words, then the server's, then words that tell little.
fn decide<'a>(lines: &[&'a str]) -> Option<(&'static Rule, &'a str)> {
    first(LOCAL, lines, |line| !is_remote(line))
        .or_else(|| first(SERVER, lines, |_| true))
        .or_else(|| first(VAGUE, lines, |line| !is_remote(line)))
}

/// The first rule, in the table's order, that fits one of the lines `about` admits.
fn first<'a>(
    table: &'static [Rule],
    lines: &[&'a str],
    about: impl Fn(&str) -> bool,
) -> Option<(&'static Rule, &'a str)> {
    table.iter().find_map(|rule| {
        let line = lines.iter().copied().find(|line| about(line) && fits(rule.line, line))?;
        let beside = rule.beside.is_none_or(|beside| lines.iter().any(|line| fits(beside, line)));
        beside.then_some((rule, line))
    })
}

/// Whether the parts of `pattern`, divided by `*`, stand in `line` in their order.
fn fits(pattern: &str, line: &str) -> bool {
    let mut rest = line;
    pattern.split('*').all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

/// The lines worth reading: stderr without progress, hints and the list of refs that went well; of stdout the refused refs
/// (`git push --porcelain`) and what `git fsck` misses.
fn telling<'a>(stdout: &'a str, stderr: &'a str) -> Vec<&'a str> {
    let stdout = stdout.split(['\n', '\r']).map(str::trim).filter(|line| {
        line.starts_with("!\t") || line.starts_with("missing ") || line.starts_with("broken link from ")
    });
    messages(stderr).filter(|line| !is_noise(line)).chain(stdout).collect()
}

/// Lines of the server, brought by git's sideband or as the plain text of an HTTP error.
fn is_remote(line: &str) -> bool {
    line.starts_with("remote:")
}

/// What git prints when nothing is wrong, too. `Everything up-to-date` also stands below failed pushes.
fn is_noise(line: &str) -> bool {
    const STARTS: &[&str] = &[
        "hint:",
        "Cloning into ",
        "From ",
        "To ",
        "Total ",
        "remote: Total ",
        "Delta compression using ",
        "Everything up-to-date",
        "Warning: Permanently added ",
        "warning: redirecting to ",
        "- [deleted]",
    ];
    STARTS.iter().any(|start| line.starts_with(start)) || (line.contains(" -> ") && !line.starts_with('!'))
}

/// What git prints below almost any failure: it tells nothing, so no rule reads it.
fn is_boilerplate(line: &str) -> bool {
    const PARTS: &[&str] = &[
        "fatal: Could not read from remote repository.",
        "Please make sure you have the correct access rights",
        "and the repository exists.",
        "error: failed to push some refs to ",
    ];
    PARTS.iter().any(|part| line.starts_with(part))
}

/// The line to show when no rule fits: the last one in which a program of ours complains, else the last one at all.
fn last_resort<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let complains = |line: &&&str| line.starts_with("fatal: ") || line.starts_with("error: ");
    let own = || lines.iter().rev().filter(|line| !is_boilerplate(line));
    own().find(complains).or_else(|| own().next()).or_else(|| lines.first()).copied()
}
