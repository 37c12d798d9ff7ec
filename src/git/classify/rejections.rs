//! Why a destination refused single refs of one push.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::rules::{LOCAL, Rule, VAGUE};
use super::servers::SERVER;
use super::{first, fits, telling};
use crate::base::failure::Reason;

/// What one push printed, read once for all of its refs: thousands can be refused, with as many lines about them.
#[derive(Debug)]
pub struct Rejections<'a> {
    by_ref: HashMap<&'a str, Told<'a>>,
    of_none: Option<Told<'a>>,
    at_all: Option<Told<'a>>,
}

/// The place in the table of a rule that fits, and the line it fits.
type Told<'a> = (usize, &'a str);

impl<'a> Rejections<'a> {
    /// Reads the stderr of a whole push.
    pub fn read(stderr: &'a str) -> Self {
        let lines = telling("", stderr);
        let stands = |rule: &Rule| rule.beside.is_none_or(|beside| lines.iter().any(|line| fits(beside, line)));
        let rules: Vec<(usize, &Rule)> = SERVER.iter().enumerate().filter(|(_, rule)| stands(rule)).collect();
        let mut read = Rejections { by_ref: HashMap::new(), of_none: None, at_all: None };
        // GitHub names a ref in a line of its own, and says in those below what is wrong with it.
        let mut above: Vec<&str> = Vec::new();
        for line in lines {
            let here = refs_named(line);
            let named = if here.is_empty() { above.clone() } else { here };
            above.clone_from(&named);
            let Some((at, _)) = rules.iter().find(|(_, rule)| fits(rule.line, line)) else { continue };
            let told = (*at, line);
            if named.is_empty() {
                read.of_none = read.of_none.filter(|had| had.0 <= *at).or(Some(told));
            }
            for name in named {
                match read.by_ref.entry(name) {
                    Entry::Occupied(had) if had.get().0 <= *at => {}
                    Entry::Occupied(mut had) => drop(had.insert(told)),
                    Entry::Vacant(none) => drop(none.insert(told)),
                }
            }
            read.at_all = read.at_all.filter(|had| had.0 <= *at).or(Some(told));
        }
        read
    }

    /// Why `reference` was refused, and the words that told.
    ///
    /// `summary` is the last field of a `!` line of `git push --porcelain`, e.g. `[remote rejected] (deny updating a hidden
    /// ref)`. The server's words about other refs count only where one verdict was given over all of them.
    pub fn why(&self, reference: &str, summary: &'a str) -> (Reason, &'a str) {
        let summary = summary.trim();
        let own = [summary];
        if let Some((rule, line)) = first(LOCAL, &own, |_| true) {
            return (rule.reason, line);
        }
        let mut told = self.by_ref.get(reference).copied().or(self.of_none);
        if summary.contains("(pre-receive hook declined)") {
            told = told.or(self.at_all);
        }
        match told {
            Some((at, line)) => (SERVER[at].reason, line),
            None => {
                first(VAGUE, &own, |_| true).map_or((Reason::PushRejected, summary), |(rule, line)| (rule.reason, line))
            }
        }
    }
}

/// Everything in the line that may be the full name of a ref: git and the forges end one with a quote, a bracket or a
/// colon, and a sentence with dots, in which no ref ends. A ref may hold quotes and brackets itself.
fn refs_named(line: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for (at, _) in line.match_indices("refs/") {
        let word = line[at..].split(|c: char| c.is_whitespace() || c == ':').next().unwrap_or_default();
        let quotes = word.match_indices(['\'', '"', '`', ')']);
        names.extend(quotes.map(|(end, _)| &word[..end]));
        names.push(word.trim_end_matches('.'));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ref_is_known_by_its_whole_name() {
        for (line, known) in [
            ("remote: error: GH006: Protected branch update failed for refs/heads/main.", true),
            ("remote: error: cannot lock ref 'refs/heads/main': is at 1 but expected 2", true),
            ("remote: refs/heads/other and refs/heads/main", true),
            ("remote: error: denying ref deletion for refs/heads/main.old", false),
            ("remote: error: denying ref deletion for refs/heads/main-2", false),
        ] {
            assert_eq!(refs_named(line).contains(&"refs/heads/main"), known, "{line}");
        }
        assert!(refs_named("remote: policy: no pushes today").is_empty());
        assert!(refs_named("remote: error: bad 'refs/heads/it's'").contains(&"refs/heads/it's"));
    }

    #[test]
    fn the_rule_that_stands_higher_wins_and_of_one_rule_the_first_line() {
        let stderr = "remote: error: cannot lock ref 'refs/heads/a': is at 1 but expected 2\n\
                      remote: error: GH006: Protected branch update failed for refs/heads/a.\n\
                      remote: error: GH006: Protected branch update failed for refs/heads/b.\n";
        let read = Rejections::read(stderr);
        let declined = "[remote rejected] (protected branch hook declined)";
        let of = |name: &str| read.why(name, declined).1;
        assert!(of("refs/heads/b").ends_with("refs/heads/b."));
        assert_eq!(read.why("refs/heads/a", declined).0, Reason::ProtectedRefRejected);
    }
}
