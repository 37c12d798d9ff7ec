//! What every room speaks: failures, secrets, addresses, texts, limits of hosts.

pub mod client;
pub mod error;
pub mod failure;
pub mod hosts;
pub mod redact;
pub mod retry;
pub mod scratch;
pub mod secret;
pub mod speed;
pub mod text;
pub mod url;
