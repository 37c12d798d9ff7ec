//! Gitea and Forgejo.

pub(super) mod destination;
mod glob;
mod protection;
pub(super) mod releases;
pub(super) mod source;
