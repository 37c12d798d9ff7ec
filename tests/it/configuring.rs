//! The configuration by itself: what it is called, what a check of it finds, its schema, and what shells complete.

mod check;
mod ids;
