//! What every stage is handed: git, the storage, the clock, the retry policy and the signal to stop.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::base::failure::{Failure, Reason};
use crate::base::hosts::Hosts;
use crate::base::retry::Policy;
use crate::base::secret::{Secret, SecretSource};
use crate::config::Environment;
use crate::git::Git;
use crate::mirror::storage::Storage;
use crate::progress::{Event, Sink};

/// The effects at hand.
#[derive(Clone)]
pub struct Tools {
    pub git: Git,
    pub storage: Storage,
    pub policy: Policy,
    pub stop: CancellationToken,
    /// How much is asked of each host at a time.
    pub hosts: Arc<Hosts>,
    /// Where tokens are looked up.
    pub environment: Arc<dyn Environment>,
    /// The variables that hold tokens: a token command gets none of them.
    pub token_variables: Vec<String>,
    pub clock: fn() -> Timestamp,
}

impl Tools {
    /// What time it is.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// How long ago `then` was; nothing when the clock was set back.
    pub fn since(&self, then: Timestamp) -> Duration {
        self.now().duration_since(then).try_into().unwrap_or_default()
    }

    /// Does `attempt` until it succeeds or its failure is final; each wait is told to `sink` as being about `what`.
    ///
    /// # Errors
    /// The last failure, or `cancelled` when the wait was cut short.
    pub async fn retry<T, A>(&self, what: &str, sink: &dyn Sink, mut attempt: impl FnMut() -> A) -> Result<T, Failure>
    where
        A: Future<Output = Result<T, Failure>>,
    {
        let mut schedule = self.policy.start();
        loop {
            let failure = match attempt().await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            let Some(wait) = schedule.next(&failure) else { return Err(failure) };
            sink.tell(&Event::Retrying { what, failure: &failure, wait });
            self.pause(wait).await?;
        }
    }

    /// Reads a token or passphrase.
    ///
    /// # Errors
    /// `auth_failed` naming where it should be, `cancelled` when we were asked to stop.
    pub async fn secret(&self, source: &SecretSource) -> Result<Secret, Failure> {
        let read = source.read(|name| self.environment.var(name), &self.token_variables);
        self.until_stopped(read).await?
    }

    /// Waits for `work`, unless we are asked to stop.
    ///
    /// # Errors
    /// `cancelled` when we were.
    pub async fn until_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            () = self.stop.cancelled() => Err(Failure::new(Reason::Cancelled, "stopped on request")),
            done = work => Ok(done),
        }
    }

    async fn pause(&self, wait: Duration) -> Result<(), Failure> {
        tokio::select! {
            () = self.stop.cancelled() => Err(Failure::new(Reason::Cancelled, "stopped while waiting to try again")),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }
}
