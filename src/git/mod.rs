pub mod classify;
pub mod progress;
