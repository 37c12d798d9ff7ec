//! The harness tested with real git and a plain HTTP client: it does what its documentation says.

mod api;
mod faults;
mod git;
mod programs;
