//! Holocron keeps a faithful copy of every git repository you own: on disk, on another forge, or both.
//!
//! [`cycle::run`] is the main job on one screen, and each of its lines names the file to read next. The middle (plan, ref
//! diff, classification) is pure; effects are at the ends. `docs/design.md` has the whole plan of the house.

// Outside tests a failure is a value.
#![cfg_attr(not(test), warn(clippy::panic, clippy::unwrap_used))]

pub mod base;
pub mod cli;
pub mod config;
pub mod cycle;
pub mod forge;
pub mod git;
pub mod mirror;
pub mod model;
pub mod progress;
pub mod push;
pub mod release;
pub mod store;

pub use cli::main;
