//! The integration tests: the `holocron` binary and real git against a forge made by the test.
//!
//! [`support`] is the harness and has the examples; every other module is about one behaviour of the product.

mod bad_days;
mod command_line;
mod completions;
mod configuring;
mod contract;
mod crashes;
mod credentials;
mod damage;
mod damaged_source;
mod destinations;
mod disk_kit;
mod documents;
mod dry_run;
mod forge_itself;
mod freshness;
mod keep;
mod layering;
mod leaks;
mod manners;
mod mirroring;
mod net;
mod on_disk;
mod push_command;
mod releases;
mod reports;
mod scheduling;
mod selection;
mod service;
mod status_check;
mod support;
mod trust;
mod upkeep;
mod user_tree;
mod watching;
mod wire;
