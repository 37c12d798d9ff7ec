//! The retry schedule: says how long to wait before the next try, or that there is none. It never sleeps itself.

use std::time::Duration;

use crate::base::failure::Failure;

/// How often and how patiently something transient is tried again.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Tries in all, the first included.
    pub tries: u32,
    /// The wait before the second try; it doubles from try to try.
    pub first_wait: Duration,
    /// No wait is longer, unless the server asks for one.
    pub longest_wait: Duration,
    /// A server that asks for more than this is not waited for.
    pub patience: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            tries: 3,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(30),
            patience: Duration::from_secs(15 * 60),
        }
    }
}

/// One thing's tries so far.
#[derive(Debug)]
pub struct Schedule {
    policy: Policy,
    tried: u32,
}

impl Policy {
    /// A fresh schedule.
    pub fn start(self) -> Schedule {
        Schedule { policy: self, tried: 0 }
    }
}

impl Schedule {
    /// How long to wait after `failure` before trying again; `None` when it is final.
    ///
    /// What the server asked for (`Retry-After`, a reset time) counts before our own doubling; both carry up to a
    /// quarter of jitter, so that many waiters do not come back at once.
    pub fn next(&mut self, failure: &Failure) -> Option<Duration> {
        self.next_with(failure, fastrand::f64())
    }

    fn next_with(&mut self, failure: &Failure, chance: f64) -> Option<Duration> {
        self.tried += 1;
        if !failure.reason().is_transient() || self.tried >= self.policy.tries {
            return None;
        }
        let wait = match failure.retry_after() {
            Some(asked) if asked > self.policy.patience => return None,
            Some(asked) => asked,
            None => (self.policy.first_wait * 2_u32.pow(self.tried.min(16) - 1)).min(self.policy.longest_wait),
        };
        Some(wait + wait.mul_f64(chance / 4.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::Reason;

    fn failure(reason: Reason) -> Failure {
        Failure::new(reason, "x")
    }

    #[test]
    fn only_what_is_transient_is_tried_again_and_not_for_ever() {
        let policy = Policy { tries: 3, ..Policy::default() };
        assert_eq!(policy.start().next(&failure(Reason::AuthFailed)), None);
        let mut schedule = policy.start();
        assert_eq!(schedule.next_with(&failure(Reason::NetworkFailed), 0.0), Some(Duration::from_secs(1)));
        assert_eq!(schedule.next_with(&failure(Reason::NetworkFailed), 1.0), Some(Duration::from_millis(2500)));
        assert_eq!(schedule.next_with(&failure(Reason::NetworkFailed), 0.0), None);
    }

    #[test]
    fn the_servers_wish_counts_up_to_our_patience() {
        let policy = Policy { patience: Duration::from_secs(60), ..Policy::default() };
        let asks = |seconds| failure(Reason::RateLimited).with_retry_after(Some(Duration::from_secs(seconds)));
        assert_eq!(policy.start().next_with(&asks(7), 0.0), Some(Duration::from_secs(7)));
        assert_eq!(policy.start().next_with(&asks(61), 0.0), None);
    }
}
