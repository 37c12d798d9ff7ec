//! The secrets that the redactor knows, each in all the forms it may be seen in.
//!
//! A secret is known as long as it is in use, and the last ones that are not any more stay known for a while: a line that
//! shows one may be on its way still. Tokens that are made anew every hour thus do not fill the memory of a long watch.

use std::sync::{LazyLock, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::MASK;

/// Secrets shorter than this are not masked as literals: they would blank out ordinary words.
const SHORTEST: usize = 6;

/// So many secrets that are not in use any more stay known.
const MOST_UNUSED: usize = 256;

static REGISTRY: LazyLock<RwLock<Registry>> = LazyLock::new(|| RwLock::new(Registry::new(MOST_UNUSED)));

/// A secret's bytes, which the redactor knows as long as this is there.
#[derive(PartialEq, Eq)]
pub(in crate::base) struct Known(String);

impl Known {
    pub(in crate::base) fn new(value: String) -> Self {
        REGISTRY.write().unwrap_or_else(PoisonError::into_inner).use_one(&value);
        Known(value)
    }

    pub(in crate::base) fn value(&self) -> &str {
        &self.0
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        REGISTRY.write().unwrap_or_else(PoisonError::into_inner).leave_one(&self.0);
    }
}

/// Masks every known secret in `text`.
pub(super) fn mask(mut text: String) -> String {
    for literal in &REGISTRY.read().unwrap_or_else(PoisonError::into_inner).literals {
        if text.contains(literal.as_str()) {
            text = text.replace(literal.as_str(), MASK);
        }
    }
    text
}

struct Registry {
    /// In the order in which they were used last.
    entries: Vec<Entry>,
    /// The forms of all of them: longest first, so that a secret within another leaves no rest behind.
    literals: Vec<String>,
    most_unused: usize,
}

struct Entry {
    value: String,
    forms: Vec<String>,
    /// How many hold it.
    users: usize,
}

impl Registry {
    fn new(most_unused: usize) -> Self {
        Registry { entries: Vec::new(), literals: Vec::new(), most_unused }
    }

    fn use_one(&mut self, value: &str) {
        if value.len() < SHORTEST {
            return;
        }
        match self.entries.iter_mut().find(|entry| entry.value == value) {
            Some(entry) => entry.users += 1,
            None => {
                self.entries.push(Entry { value: value.to_owned(), forms: forms(value), users: 1 });
                self.gather();
            }
        }
    }

    fn leave_one(&mut self, value: &str) {
        let Some(at) = self.entries.iter().position(|entry| entry.value == value) else { return };
        self.entries[at].users = self.entries[at].users.saturating_sub(1);
        if self.entries[at].users > 0 {
            return;
        }
        let left = self.entries.remove(at);
        self.entries.push(left);
        let unused = self.entries.iter().filter(|entry| entry.users == 0).count();
        if unused > self.most_unused
            && let Some(oldest) = self.entries.iter().position(|entry| entry.users == 0)
        {
            self.entries.remove(oldest);
            self.gather();
        }
    }

    fn gather(&mut self) {
        self.literals = self.entries.iter().flat_map(|entry| entry.forms.iter().cloned()).collect();
        self.literals.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        self.literals.dedup();
    }
}

/// All that a secret may look like in a text.
fn forms(value: &str) -> Vec<String> {
    let mut forms = vec![value.to_owned(), utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()];
    // The url crate and git leave some characters as they are; cover the usual set as well.
    forms.push(url::form_urlencoded::byte_serialize(value.as_bytes()).collect());
    for engine in [&STANDARD, &URL_SAFE] {
        // Inside `user:secret` the secret may start at any of base64's three positions; cut off what neighbours decide.
        for lead in 0..3_usize {
            let bytes: Vec<u8> = std::iter::repeat_n(0, lead).chain(value.bytes()).collect();
            let whole = bytes.len() / 3 * 4;
            let start = if lead == 0 { 0 } else { 4 };
            let text = engine.encode(&bytes);
            if let Some(core) = text.get(start..whole).filter(|core| core.len() >= 8) {
                forms.push(core.to_owned());
            }
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knows(registry: &Registry, value: &str) -> bool {
        registry.literals.iter().any(|literal| literal == value)
    }

    #[test]
    fn tokens_that_are_made_anew_for_ever_do_not_fill_the_memory() {
        let mut registry = Registry::new(3);
        registry.use_one("the-lasting-one");
        for number in 0..1000 {
            registry.use_one(&format!("token-number-{number}"));
            registry.leave_one(&format!("token-number-{number}"));
        }
        assert_eq!(registry.entries.len(), 4);
        assert!(registry.literals.len() <= 4 * forms("token-number-999").len());
        assert!(knows(&registry, "the-lasting-one"), "what is in use stays known");
        assert!(knows(&registry, "token-number-999") && knows(&registry, "token-number-997"), "and the last ones");
        assert!(!knows(&registry, "token-number-996"));
    }

    #[test]
    fn a_secret_is_in_use_as_long_as_anybody_holds_it() {
        let mut registry = Registry::new(0);
        registry.use_one("held-by-two");
        registry.use_one("held-by-two");
        registry.leave_one("held-by-two");
        assert!(knows(&registry, "held-by-two"));
        registry.leave_one("held-by-two");
        assert!(!knows(&registry, "held-by-two"));
    }
}
