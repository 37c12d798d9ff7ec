//! The integration tests: the `holocron` binary and real git against a forge made by the test.
//!
//! [`support`] is the harness and has the examples; every other module is about one behaviour of the product.

mod command_line;
mod forge_itself;
mod freshness;
mod reports;
mod support;
mod watching;
