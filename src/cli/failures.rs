//! The list of failures for people: equal ones said once, and each hint once.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::base::failure::{Failure, Reason};
use crate::base::text::{Detail, Paint, Tone, clean, list, sentence};

/// One failure and what it befell.
pub(super) struct Entry<'a> {
    /// The id of the source or destination: its failures with one reason share a cause, most often its credential.
    pub origin: &'a str,
    pub name: String,
    pub failure: Cow<'a, Failure>,
}

/// Names shown of mirrors that failed with the very same words; the rest is counted.
const NAMES: usize = 3;
/// Different messages shown of one source or destination and reason; the rest is counted.
const MESSAGES: usize = 5;

/// The failures of one source or destination with one reason and one way out.
struct Group<'a> {
    key: (&'a str, Reason, Option<&'a str>),
    /// Equal words with the names of those they are about.
    said: Vec<Said<'a>>,
}

struct Said<'a> {
    failure: &'a Failure,
    names: Vec<&'a str>,
}

/// Returns the lines for `entries`, in their order but grouped; empty when there are none.
pub(super) fn render(entries: &[Entry<'_>], detail: Detail, paint: Paint) -> String {
    let (names, messages) = match detail {
        Detail::Changes => (NAMES, MESSAGES),
        Detail::Everything => (usize::MAX, usize::MAX),
    };
    let mut text = String::new();
    let mut hints_given = HashSet::new();
    for group in grouped(entries) {
        for said in group.said.iter().take(messages) {
            let reason = paint.dress(Tone::Bad, said.failure.reason().as_str());
            let message = sentence(&clean(said.failure.message()));
            text += &format!("{}: {reason}: {message}\n", list(&said.names, names));
            for line in said.failure.evidence().unwrap_or_default().lines() {
                text += &format!("  {}\n", clean(line));
            }
        }
        let rest: Vec<&str> = group.said.iter().skip(messages).flat_map(|said| said.names.iter().copied()).collect();
        if !rest.is_empty() {
            text += &format!("{}: {}, too.\n", list(&rest, names), paint.dress(Tone::Bad, group.key.1.as_str()));
        }
        if let Some(hint) = group.key.2.filter(|hint| hints_given.insert(*hint)) {
            text += &format!("  {}: {}\n", paint.dress(Tone::Good, "hint"), sentence(&clean(hint)));
        }
    }
    text
}

fn grouped<'a>(entries: &'a [Entry<'a>]) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for Entry { origin, name, failure } in entries {
        let failure: &Failure = failure;
        let key = (*origin, failure.reason(), failure.way_out());
        let at = groups.iter().position(|group| group.key == key).unwrap_or_else(|| {
            groups.push(Group { key, said: Vec::new() });
            groups.len() - 1
        });
        let said = &mut groups[at].said;
        let same = |said: &&mut Said<'_>| {
            said.failure.message() == failure.message() && said.failure.evidence() == failure.evidence()
        };
        match said.iter_mut().find(same) {
            Some(said) => said.names.push(name),
            None => said.push(Said { failure, names: vec![name] }),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry<'a>(name: &str, failure: &'a Failure) -> Entry<'a> {
        Entry { origin: "github", name: name.to_owned(), failure: Cow::Borrowed(failure) }
    }

    #[test]
    fn a_failure_has_its_evidence_and_the_way_out() {
        let own = Failure::new(Reason::TlsFailed, "cannot fetch https://h/ns/a")
            .with_evidence("fatal: unable to access 'https://h/ns/a/': unable to get local issuer certificate")
            .with_hint("set `ca_file` of the source `work`");
        let plain = Failure::new(Reason::Unknown, "git ended with 128.");
        let entries = [entry("ns/a", &own), entry("ns/b", &plain)];
        insta::assert_snapshot!(render(&entries, Detail::Changes, Paint::Plain), @"
        ns/a: tls_failed: cannot fetch https://h/ns/a.
          fatal: unable to access 'https://h/ns/a/': unable to get local issuer certificate
          hint: set `ca_file` of the source `work`.
        ns/b: unknown: git ended with 128.
        ");
    }

    #[test]
    fn two_hundred_equal_failures_are_one_entry() {
        let refused = Failure::new(Reason::AuthFailed, "the server refused the token").with_evidence("HTTP 401");
        let skipped = Failure::new(Reason::AuthFailed, "not tried: the token was refused before");
        let mut entries = vec![entry("ns/first", &refused)];
        entries.extend((0..200).map(|number| entry(&format!("ns/{number:03}"), &skipped)));
        insta::assert_snapshot!(render(&entries, Detail::Changes, Paint::Plain), @"
        ns/first: auth_failed: the server refused the token.
          HTTP 401
        ns/000, ns/001, ns/002 and 197 more: auth_failed: not tried: the token was refused before.
          hint: check the token: it is missing, wrong or expired.
        ");
        assert!(render(&entries, Detail::Everything, Paint::Plain).contains("ns/198, ns/199: auth_failed"));
    }

    #[test]
    fn many_different_messages_of_one_cause_are_cut_and_the_hint_is_given_once() {
        let failures: Vec<Failure> = (0..12)
            .map(|number| Failure::new(Reason::NetworkFailed, format!("cannot fetch https://h/ns/{number}")))
            .collect();
        let mut entries: Vec<Entry<'_>> =
            failures.iter().enumerate().map(|(number, failure)| entry(&format!("ns/{number}"), failure)).collect();
        entries.push(Entry { origin: "gitlab", ..entry("other/x", &failures[0]) });
        insta::assert_snapshot!(render(&entries, Detail::Changes, Paint::Plain), @"
        ns/0: network_failed: cannot fetch https://h/ns/0.
        ns/1: network_failed: cannot fetch https://h/ns/1.
        ns/2: network_failed: cannot fetch https://h/ns/2.
        ns/3: network_failed: cannot fetch https://h/ns/3.
        ns/4: network_failed: cannot fetch https://h/ns/4.
        ns/5, ns/6, ns/7 and 4 more: network_failed, too.
          hint: check the network, the proxy and the host name; the next run tries again.
        other/x: network_failed: cannot fetch https://h/ns/0.
        ");
    }
}
