//! How much is asked of each host at a time: a bound, which halves when the host asks for less (429, 503) and recovers,
//! and a distance between requests where one is wished for.
//!
//! API requests and git jobs of one host are counted apart: forges limit them apart, and one may wait for the other.

mod adaptive;
mod rate;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use url::Url;

use self::adaptive::Adaptive;
use self::rate::Rate;
use crate::base::failure::{Failure, Reason};
use crate::base::speed::Speed;
use crate::base::url::Origin;

/// The hosts that are asked; what is learnt of them lasts until the configuration is read again.
#[derive(Debug)]
pub struct Hosts {
    most: usize,
    requests_per_second: Option<f64>,
    speed: Speed,
    gates: Mutex<HashMap<(Kind, String), Arc<Gate>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Api,
    Git,
}

impl Hosts {
    /// At most `most` API requests and as many git jobs at a time for each host, and so many requests in a second.
    pub fn new(most: usize, requests_per_second: Option<f64>) -> Self {
        Hosts { most, requests_per_second, speed: Speed::default(), gates: Mutex::default() }
    }

    /// The same, with a bound on the bytes that are moved in a second.
    pub fn bounded(self, speed: Speed) -> Self {
        Hosts { speed, ..self }
    }

    /// Where requests to the API at `url` pass.
    pub fn api(&self, url: &Url) -> Arc<Gate> {
        self.gate(Kind::Api, &Origin::of(url).map_or_else(String::new, |origin| origin.folder()))
    }

    /// Where git jobs of a host pass, by its folder in the storage.
    pub fn git(&self, folder: &str) -> Arc<Gate> {
        self.gate(Kind::Git, folder)
    }

    fn gate(&self, kind: Kind, host: &str) -> Arc<Gate> {
        let rate = self.requests_per_second.filter(|_| kind == Kind::Api);
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let gate = || Arc::new(Gate { speed: self.speed.clone(), ..Gate::new(host, self.most, rate) });
        gates.entry((kind, host.to_owned())).or_insert_with(gate).clone()
    }
}

/// Lets so many through at a time.
#[derive(Debug)]
pub struct Gate {
    host: String,
    state: Mutex<State>,
    freed: Notify,
    /// Credentials whose limit of requests is used up.
    closed: Mutex<HashMap<String, Closed>>,
    /// Of the files that pass.
    pub speed: Speed,
}

/// A limit that is used up.
#[derive(Debug)]
struct Closed {
    until: Instant,
    told: bool,
}

/// How long a used-up limit lasts.
#[derive(Debug)]
pub struct Wait {
    pub wait: Duration,
    /// Nobody was told yet.
    pub is_news: bool,
}

#[derive(Debug)]
struct State {
    limit: Adaptive,
    inside: usize,
    rate: Option<Rate>,
}

impl Gate {
    fn new(host: &str, most: usize, rate: Option<f64>) -> Self {
        let state = State { limit: Adaptive::new(most), inside: 0, rate: rate.map(Rate::new) };
        Gate {
            host: host.to_owned(),
            state: Mutex::new(state),
            freed: Notify::new(),
            closed: Mutex::default(),
            speed: Speed::default(),
        }
    }

    /// How many may be inside at a time now.
    pub fn limit(&self) -> usize {
        self.state().limit.now()
    }

    /// Passes, if there is room at once; the rate of requests does not count here.
    pub fn try_enter(self: &Arc<Self>) -> Option<Pass> {
        let mut state = self.state();
        if state.inside >= state.limit.now() {
            return None;
        }
        state.inside += 1;
        Some(Pass { gate: self.clone(), round: state.limit.round() })
    }

    /// Waits for room, and then for its turn. Dropped while it waits, it takes no room.
    pub async fn enter(self: &Arc<Self>) -> Pass {
        let pass = loop {
            // Made before the look, so that what is freed between the two is not missed.
            let freed = self.freed.notified();
            if let Some(pass) = self.try_enter() {
                break pass;
            }
            freed.await;
        };
        let wait = self.state().rate.as_mut().map(|rate| rate.turn(Instant::now()));
        if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
            sleep(wait).await;
        }
        pass
    }

    /// Lets no request with this credential pass for so long; `None` opens it.
    pub fn close(&self, credential: &str, wait: Option<Duration>) {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        match wait.and_then(|wait| Instant::now().checked_add(wait)) {
            Some(until) => {
                let told = closed.get(credential).is_some_and(|known| known.told && known.until > Instant::now());
                closed.insert(credential.to_owned(), Closed { until, told });
            }
            None => drop(closed.remove(credential)),
        }
    }

    /// How long this credential's requests have to wait; `None` when they need not.
    pub fn closed(&self, credential: &str) -> Option<Wait> {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let one = closed.get_mut(credential)?;
        let wait = one.until.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            closed.remove(credential);
            return None;
        }
        Some(Wait { wait, is_news: !std::mem::replace(&mut one.told, true) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room for one; given back when dropped.
#[derive(Debug)]
pub struct Pass {
    gate: Arc<Gate>,
    round: u64,
}

impl Pass {
    /// The host asked for less.
    pub fn pressed(&self) {
        let mut state = self.gate.state();
        if state.limit.pressed(self.round) {
            tracing::debug!("{} asks for less: {} at a time from now on", self.gate.host, state.limit.now());
        }
    }

    /// It went well.
    pub fn eased(&self) {
        self.gate.state().limit.eased(self.round);
        self.gate.freed.notify_waiters();
    }

    /// Takes an HTTP status for what it says about the host.
    pub fn answered(&self, status: u16) {
        match status {
            429 | 503 => self.pressed(),
            200..400 => self.eased(),
            // Another failure is no word about its load, and no proof that it can take more.
            _ => {}
        }
    }

    /// Takes a failure for what it says about the host.
    pub fn heard(&self, failure: &Failure) {
        if asks_for_less(failure) {
            self.pressed();
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.state().inside -= 1;
        self.gate.freed.notify_waiters();
    }
}

/// Whether a failure says that the host has too much to do: 429 and its like, or 503 in git's or the API's words.
fn asks_for_less(failure: &Failure) -> bool {
    let overloaded = || {
        let words = failure.evidence().unwrap_or_default();
        // curl's words as git passes them on.
        words.contains("The requested URL returned error: 503")
    };
    failure.reason() == Reason::RateLimited || (failure.reason() == Reason::ServerError && overloaded())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;

    use super::*;

    fn api() -> Url {
        Url::parse("https://h/api/v1").unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_pass_at_a_time_as_the_limit_says() {
        let hosts = Hosts::new(3, None);
        let began = Instant::now();
        join_all((0..9).map(|_| async {
            let _pass = hosts.git("h").enter().await;
            sleep(Duration::from_secs(1)).await;
        }))
        .await;
        assert_eq!(began.elapsed().as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_429_half_as_many_pass_until_successes_bring_them_back() {
        let hosts = Hosts::new(4, None);
        let work = |count: usize, end: fn(&Pass)| {
            let gate = hosts.git("h");
            async move {
                let began = Instant::now();
                join_all((0..count).map(|_| async {
                    let pass = gate.enter().await;
                    sleep(Duration::from_secs(1)).await;
                    end(&pass);
                }))
                .await;
                began.elapsed().as_secs()
            }
        };
        assert_eq!(work(4, |_| ()).await, 1);
        let limited = |pass: &Pass| pass.heard(&Failure::new(Reason::RateLimited, "x"));
        assert_eq!(work(4, limited).await, 1, "four refusals of one round");
        assert_eq!(work(4, |_| ()).await, 2, "two at a time");
        work(20, Pass::eased).await;
        assert_eq!(work(4, |_| ()).await, 1, "recovered");
        assert!(hosts.git("other").try_enter().is_some() && hosts.api(&api()).try_enter().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn requests_to_an_api_keep_their_distance_and_git_jobs_do_not() {
        let hosts = Hosts::new(9, Some(2.0));
        let began = Instant::now();
        join_all((0..5).map(|_| async { drop(hosts.api(&api()).enter().await) })).await;
        assert_eq!(began.elapsed().as_millis(), 2_000);
        let began = Instant::now();
        join_all((0..5).map(|_| async { drop(hosts.git("h").enter().await) })).await;
        assert!(began.elapsed().is_zero());
    }

    #[test]
    fn only_what_the_host_says_about_its_load_is_pressure() {
        let failure = |reason, words: &str| Failure::new(reason, "x").with_evidence(words);
        let git = |code: u16| format!("fatal: unable to access 'https://h/': The requested URL returned error: {code}");
        assert!(asks_for_less(&failure(Reason::RateLimited, "")));
        assert!(asks_for_less(&failure(Reason::ServerError, &git(503))));
        assert!(!asks_for_less(&failure(Reason::ServerError, &git(500))));
        assert!(!asks_for_less(&failure(Reason::NetworkFailed, "503 bytes")));
    }
}
