//! GitLab.

pub(super) mod destination;
mod groups;
mod levels;
mod protection;
pub(super) mod releases;
pub(super) mod source;
