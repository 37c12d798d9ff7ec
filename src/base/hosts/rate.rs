//! Pure: when the next request to a host may begin, so that they stay some time apart.

use std::time::Duration;

use tokio::time::Instant;

/// A distance in time between the beginnings of requests.
#[derive(Debug)]
pub(super) struct Rate {
    apart: Duration,
    next: Option<Instant>,
}

impl Rate {
    /// So many in a second, one after another and never in a burst; `per_second` is above zero.
    pub(super) fn new(per_second: f64) -> Self {
        Rate { apart: Duration::try_from_secs_f64(1.0 / per_second).unwrap_or(Duration::MAX), next: None }
    }

    /// Takes the next turn and returns how long it is away from `now`.
    pub(super) fn turn(&mut self, now: Instant) -> Duration {
        let at = self.next.map_or(now, |next| next.max(now));
        self.next = at.checked_add(self.apart);
        at - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_stay_apart_and_idle_time_saves_none_up() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut rate = Rate::new(4.0);
        let waits: Vec<u128> =
            [0, 0, 100, 9_000, 9_000].map(|now| rate.turn(after(now)).as_millis()).into_iter().collect();
        assert_eq!(waits, [0, 250, 400, 0, 250]);
    }
}
