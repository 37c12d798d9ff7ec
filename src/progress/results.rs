//! What is known of a run before it is over: for a report when it ends at once.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Event, Sink};
use crate::model::Outcome;

/// Hands events on, and keeps the outcomes in them.
pub struct Results {
    next: Arc<dyn Sink>,
    known: Mutex<Known>,
}

/// The results so far.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// How many mirrors were planned; nothing, before there was a plan.
    pub planned: Option<usize>,
    pub outcomes: Vec<Outcome>,
}

impl Known {
    /// How many mirrors have no result yet.
    pub fn unfinished(&self) -> usize {
        self.planned.unwrap_or_default().saturating_sub(self.outcomes.len())
    }
}

impl Results {
    /// Keeps what passes on its way to `next`.
    pub fn before(next: Arc<dyn Sink>) -> Self {
        Results { next, known: Mutex::default() }
    }

    /// Forgets the results: another cycle begins.
    pub fn clear(&self) {
        *self.known() = Known::default();
    }

    /// Takes the results out.
    pub fn take(&self) -> Known {
        std::mem::take(&mut *self.known())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Results {
    fn tell(&self, event: &Event<'_>) {
        match event {
            Event::Planned { mirrors, .. } => self.known().planned = Some(*mirrors),
            Event::Finished { outcome } => self.known().outcomes.push((*outcome).clone()),
            Event::Projected { outcome, releases } => {
                let outcomes = &mut self.known().outcomes;
                match outcomes.iter_mut().find(|known| known.key == outcome.key) {
                    Some(known) => known.releases.push((*releases).clone()),
                    // `holocron release` looks at nothing but releases.
                    None => outcomes.push(Outcome { releases: vec![(*releases).clone()], ..(*outcome).clone() }),
                }
            }
            _ => {}
        }
        self.next.tell(event);
    }
}

impl fmt::Debug for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Results").field("known", &self.known).finish_non_exhaustive()
    }
}
