//! The main job by examples: what users have on their forges arrives on disk and follows its source.

mod addresses;
mod changes;
mod forges;
mod names;
mod servers;
mod states;
mod urls;
