//! One destination of a run, and where each repository goes on it.

use std::collections::HashMap;

use super::open::{Choice, Opened, Place};
use crate::base::failure::Failure;
use crate::model::MirrorKey;

/// One destination, as far as it could be opened.
pub(super) struct Way {
    pub(super) id: String,
    pub(super) choice: Choice,
    /// It gets releases, too.
    pub(super) releases: bool,
    pub(super) opened: Result<Opened, Failure>,
    /// Where each repository goes, as far as it is known without asking, or why it goes nowhere.
    pub(super) places: HashMap<MirrorKey, Result<Place, Failure>>,
}
