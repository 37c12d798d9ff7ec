//! GitHub and GitHub Enterprise Server.

pub(super) mod destination;
mod graphql;
mod protection;
pub(super) mod releases;
mod repo;
mod rulesets;
pub(super) mod source;
