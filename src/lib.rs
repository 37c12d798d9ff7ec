//! Holocron keeps a faithful copy of every git repository you own.

pub mod config;
pub mod failure;
pub mod forge;
pub mod git;
pub mod model;
pub mod progress;
pub mod retry;
pub mod secret;
pub mod url;
