//! When a destination is not tried any more in this run: it refused its credential, asks for fewer requests, or does not
//! answer. Hundreds of mirrors must neither hammer it nor wait for it.

use std::sync::{Mutex, PoisonError};

use crate::base::failure::{Failure, Reason};

/// How often in a row a forge may leave the question for a repository unanswered.
const MOST_SILENCES: u32 = 3;

/// What one destination has shown of itself in this run.
#[derive(Debug, Default)]
pub struct Patience(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    silences: u32,
    over: Option<Failure>,
}

impl Patience {
    /// Why the destination is not tried any more; `None` as long as it is.
    pub fn over(&self) -> Option<Failure> {
        self.state().over.clone()
    }

    /// It answered for a repository: whatever failed before was no silence of its own.
    pub fn answered(&self) {
        self.state().silences = 0;
    }

    /// It did not answer for a repository. Only the question for it counts here: a push that breaks off may be about that
    /// repository alone, and must not keep the others back in every run.
    pub fn unanswered(&self, failure: &Failure) {
        if !matches!(failure.reason(), Reason::NetworkFailed | Reason::TimedOut | Reason::TlsFailed) {
            return;
        }
        let mut state = self.state();
        state.silences += 1;
        if state.silences >= MOST_SILENCES {
            let why = format!("not tried: the destination did not answer {MOST_SILENCES} times in a row");
            state.over.get_or_insert_with(|| untried(failure, &why));
        }
    }

    /// A failure at whatever step: a refused credential and a limit are the destination's as a whole.
    pub fn failed(&self, failure: &Failure) {
        let why = match failure.reason() {
            Reason::AuthFailed => "not tried: the destination's credential was refused before",
            Reason::RateLimited => "not tried: the destination asks for fewer requests",
            _ => return,
        };
        self.state().over.get_or_insert_with(|| untried(failure, why));
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn untried(cause: &Failure, why: &str) -> Failure {
    let failure = Failure::new(cause.reason(), why);
    match &cause.hint() {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(reason: Reason) -> Failure {
        Failure::new(reason, "it broke")
    }

    #[test]
    fn a_refused_credential_and_a_limit_end_it_at_once() {
        for reason in [Reason::AuthFailed, Reason::RateLimited] {
            let patience = Patience::default();
            patience.failed(&failure(reason).with_hint("do this"));
            let over = patience.over().unwrap();
            assert_eq!((over.reason(), over.hint()), (reason, Some("do this")));
        }
        let patience = Patience::default();
        patience.failed(&failure(Reason::NetworkFailed));
        patience.failed(&failure(Reason::ServerError));
        assert_eq!(patience.over(), None);
    }

    #[test]
    fn three_silences_in_a_row_end_it_and_an_answer_between_does_not() {
        let patience = Patience::default();
        for _ in 0..2 {
            patience.unanswered(&failure(Reason::TimedOut));
            patience.unanswered(&failure(Reason::NetworkFailed));
            patience.answered();
        }
        // A repository that its forge refuses or fails at says nothing about the next one.
        (0..9).for_each(|_| patience.unanswered(&failure(Reason::ServerError)));
        assert_eq!(patience.over(), None);
        (0..3).for_each(|_| patience.unanswered(&failure(Reason::NetworkFailed)));
        assert_eq!(patience.over().unwrap().reason(), Reason::NetworkFailed);
    }
}
