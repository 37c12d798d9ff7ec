//! Holocron keeps a faithful copy of every git repository you own.

pub mod cli;
pub mod config;
pub mod error;
pub mod failure;
pub mod forge;
pub mod model;
pub mod progress;
pub mod retry;
pub mod secret;
pub mod url;
