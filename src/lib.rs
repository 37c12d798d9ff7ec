//! Holocron keeps a faithful copy of every git repository you own.

pub mod cli;
pub mod config;
pub mod error;
pub mod failure;
pub mod forge;
pub mod git;
pub mod mirror;
pub mod model;
pub mod progress;
pub mod report;
pub mod retry;
pub mod secret;
pub mod storage;
pub mod store;
pub mod text;
pub mod tools;
pub mod url;
pub mod watch;
