//! The harness tested with real git and a plain HTTP client: it does what its documentation says.

mod api;
mod creation;
mod faults;
mod git;
mod programs;
mod protection;
mod pushes;
mod releases;
