//! What was said of each mirror and place, so that cycle after cycle a trouble is told when it begins, changes and ends.

use std::collections::HashMap;

use crate::base::failure::Reason;

/// The troubles, notes and retries that lines have told and that still stand.
#[derive(Debug, Default)]
pub(super) struct Said {
    troubles: HashMap<String, String>,
    notes: HashMap<String, Vec<String>>,
    /// In which cycle each was told first.
    retries: HashMap<(String, Reason), usize>,
    cycle: usize,
}

/// What is new about the trouble of a mirror or place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// There is none and was none.
    Well,
    /// It began, or is another one than before.
    Begun,
    /// It is the one that was told before.
    Same,
    /// It was told before, and is over.
    Over,
}

impl Said {
    /// Compares the trouble of `name` (`None` when all is well) with the one told last, and takes it for told.
    pub(super) fn trouble(&mut self, name: &str, trouble: Option<String>) -> Change {
        let Some(trouble) = trouble else {
            self.answers(name);
            return match self.troubles.remove(name) {
                Some(_) => Change::Over,
                None => Change::Well,
            };
        };
        match self.troubles.insert(name.to_owned(), trouble.clone()) {
            Some(before) if before == trouble => Change::Same,
            _ => Change::Begun,
        }
    }

    /// Returns those of the notes on `name` that were not told when it came up last, and takes all for told.
    pub(super) fn notes<'a>(&mut self, name: &str, notes: &'a [String]) -> Vec<&'a String> {
        let before = match notes.is_empty() {
            true => self.notes.remove(name),
            false => self.notes.insert(name.to_owned(), notes.to_vec()),
        };
        let before = before.unwrap_or_default();
        notes.iter().filter(|note| !before.contains(note)).collect()
    }

    /// Takes note that another cycle is planned.
    pub(super) fn planned(&mut self) {
        self.cycle += 1;
    }

    /// Whether a retry of `what` for this reason is news: no earlier cycle told of one since `what` was well.
    pub(super) fn retry(&mut self, what: &str, reason: Reason) -> bool {
        *self.retries.entry((what.to_owned(), reason)).or_insert(self.cycle) == self.cycle
    }

    /// Takes note that `what` (a source or destination) answers: its next retry is news again.
    pub(super) fn answers(&mut self, what: &str) {
        self.retries.retain(|(named, _), _| named != what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_news_when_it_begins_changes_and_ends() {
        let mut said = Said::default();
        let steps = [None, Some("down"), Some("down"), Some("refused"), Some("refused"), None, None, Some("down")];
        let told: Vec<_> = steps.iter().map(|step| said.trouble("ns/a", step.map(str::to_owned))).collect();
        use Change::{Begun, Over, Same, Well};
        assert_eq!(told, [Well, Begun, Same, Begun, Same, Over, Well, Begun]);
        assert_eq!(said.trouble("ns/b", Some("down".into())), Begun, "each has its own");
    }

    #[test]
    fn a_note_is_told_again_when_it_was_gone_meanwhile() {
        let mut said = Said::default();
        let (one, two) = ("one".to_owned(), "two".to_owned());
        assert_eq!(said.notes("ns/a", std::slice::from_ref(&one)), [&one]);
        assert_eq!(said.notes("ns/a", &[one.clone(), two.clone()]), [&two]);
        assert!(said.notes("ns/a", &[]).is_empty());
        assert_eq!(said.notes("ns/a", std::slice::from_ref(&one)), [&one]);
    }

    #[test]
    fn a_retry_is_news_in_one_cycle_until_its_place_is_well_again() {
        let mut said = Said::default();
        assert!(said.retry("gitlab", Reason::ServerError) && said.retry("gitlab", Reason::ServerError));
        said.planned();
        assert!(!said.retry("gitlab", Reason::ServerError));
        assert!(said.retry("gitlab", Reason::TimedOut));
        said.answers("gitlab");
        assert!(said.retry("gitlab", Reason::ServerError));
        said.trouble("gitlab", None);
        assert!(said.retry("gitlab", Reason::ServerError));
    }
}
