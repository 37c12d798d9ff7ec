//! The integration tests: the `holocron` binary and real git against a forge made by the test.
//!
//! [`support`] is the harness and has the examples; every other module is about one behaviour of the product.

mod bad_days;
mod credentials;
mod forge_itself;
mod mirroring;
mod net;
mod support;
