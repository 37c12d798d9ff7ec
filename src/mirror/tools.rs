//! What every stage is handed: git, the storage, the clock, the retry policy and the signal to stop.

use std::ffi::OsString;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::base::failure::{Failure, Reason};
use crate::base::hosts::Hosts;
use crate::base::retry::Policy;
use crate::base::secret::{Secret, SecretSource};
use crate::base::speed::Speed;
use crate::config::{self, Config, Environment};
use crate::forge::Connection;
use crate::git::{Git, Resources, Settings};
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
    /// How long connecting to a forge's API may take, and how long it may stay silent.
    pub timeout: Duration,
}

/// A forge's API, as the configuration of a source or destination names it.
#[derive(Debug)]
pub struct Api<'a> {
    /// The id of the source or destination.
    pub id: &'a str,
    pub url: &'a Url,
    pub token: Option<Secret>,
    pub ca_file: &'a Option<PathBuf>,
    pub proxy: &'a Option<Url>,
}

impl Tools {
    /// The effects that `config` asks for; git gets these environment variables and asks this program for passwords.
    ///
    /// # Errors
    /// `local_failed` when there is no usable git.
    pub fn open(
        config: &Config,
        environment: Arc<dyn Environment>,
        (variables, askpass): (Vec<(OsString, OsString)>, PathBuf),
        stop: &CancellationToken,
    ) -> Result<Self, Failure> {
        let token_variables = config::token_variables(config);
        let speed = Speed::new(config.limits.bytes_per_second);
        let git = Git::find(Settings {
            environment: variables,
            secrets: token_variables.clone(),
            askpass,
            idle: config.timeout,
            total: config.time_limit,
            resources: Resources::new(config.limits.memory, config.concurrency).bounded(speed.clone()),
            stop: stop.clone(),
            transport: config.transport,
        })?;
        Ok(Tools {
            git,
            storage: Storage::at(&config.storage),
            policy: Policy::default(),
            stop: stop.clone(),
            hosts: Arc::new(Hosts::new(config.per_host, config.limits.requests_per_second).bounded(speed)),
            environment,
            token_variables,
            clock: Timestamp::now,
            timeout: config.timeout,
        })
    }

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

    /// How this API is reached, with nothing asked for yet and nothing remembered; its retries are told to `sink`.
    pub fn connection(&self, api: Api<'_>, sink: &Arc<dyn Sink>) -> Connection {
        let (sink, name) = (sink.clone(), api.id.to_owned());
        Connection {
            source_id: api.id.to_owned(),
            gate: self.hosts.api(api.url),
            api_url: api.url.clone(),
            token: api.token,
            owners: Vec::new(),
            ca_file: api.ca_file.clone(),
            proxy: api.proxy.clone(),
            timeout: self.timeout,
            policy: self.policy,
            transport_ssh: false,
            api_host: false,
            cache: Arc::default(),
            cancel: self.stop.clone(),
            on_retry: Arc::new(move |failure, wait| sink.tell(&Event::Retrying { what: &name, failure, wait })),
        }
    }

    /// The same tools, which stop when `stop` says so.
    pub fn stopped_by(&self, stop: &CancellationToken) -> Self {
        Tools { git: self.git.stopped_by(stop), stop: stop.clone(), ..self.clone() }
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
