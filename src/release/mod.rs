//! Releases follow the refs: projected to every destination that has `releases` on, and into the backup on disk.
//!
//! Git is the source of truth, and a release's identity is its tag. [`plan`] is pure; [`run`] acts, after the refs of a
//! repository have arrived, and touches neither refs nor tags.

pub mod act;
pub mod backup;
pub mod disk;
pub mod marker;
pub mod plan;
pub mod run;
pub mod state;
pub mod transfer;
pub mod wish;
