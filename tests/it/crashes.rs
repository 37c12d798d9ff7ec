//! Runs that end badly: killed at any moment, two at once, no room, a store or a git that cannot be used.

mod kills;
mod locks;
mod machine;
mod room;
mod store;
