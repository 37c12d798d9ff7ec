//! Gitea and Forgejo.

pub(super) mod destination;
mod glob;
mod protection;
pub(super) mod releases;
mod repo;
pub(super) mod source;
