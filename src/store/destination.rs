//! What is remembered of a mirror on one destination.

use jiff::Timestamp;

use crate::failure::Failure;
use crate::model::MirrorKey;
use crate::model::destination::PushVerdict;

/// The last known state of one mirror on one destination.
#[derive(Debug, Clone, PartialEq)]
pub struct DestinationRecord {
    pub key: MirrorKey,
    /// The destination's id.
    pub destination: String,
    /// Where on it, without any credential.
    pub place: String,
    /// A digest of the rules it was pushed by: other rules may mean other refs.
    pub rules: String,
    pub verdict: PushVerdict,
    pub failure: Option<Failure>,
    pub last_attempt: Timestamp,
    pub last_success: Option<Timestamp>,
}
