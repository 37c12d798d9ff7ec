//! Bounds how many bytes Holocron moves over the network in a second, all of its transfers together.
//!
//! What git moves by itself is not bounded: it knows no such setting (git 2.51).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// A bound that all clones share, or none.
#[derive(Debug, Clone, Default)]
pub struct Speed(Option<Arc<Pace>>);

#[derive(Debug)]
struct Pace {
    per_second: f64,
    /// When what has been moved so far will have had its time.
    settled: Mutex<Option<Instant>>,
}

impl Speed {
    /// So many bytes in a second; `None` for as many as there are.
    pub fn new(per_second: Option<u64>) -> Self {
        let pace = |bytes: u64| Arc::new(Pace { per_second: bytes.max(1) as f64, settled: Mutex::default() });
        Speed(per_second.map(pace))
    }

    /// Waits until `bytes` that were just moved, and all before them, have had their time. Who reads no more meanwhile makes
    /// the other side wait.
    pub async fn moved(&self, bytes: usize) {
        let Some(pace) = &self.0 else { return };
        let time = Duration::try_from_secs_f64(bytes as f64 / pace.per_second).unwrap_or(Duration::MAX);
        let until = {
            let (now, mut settled) = (Instant::now(), pace.settled.lock().unwrap_or_else(PoisonError::into_inner));
            let until = settled.map_or(now, |settled| settled.max(now)).checked_add(time).unwrap_or(now);
            *settled = Some(until);
            until
        };
        sleep_until(until).await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn transfers_share_the_bound_and_idle_time_saves_nothing_up() {
        let speed = Speed::new(Some(1000));
        for _ in 0..2 {
            let began = Instant::now();
            join_all((0..4).map(|_| async {
                for _ in 0..5 {
                    speed.clone().moved(100).await;
                }
            }))
            .await;
            assert_eq!(began.elapsed().as_millis(), 2000);
            tokio::time::advance(Duration::from_secs(60)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_bound_nothing_waits() {
        let began = Instant::now();
        Speed::default().moved(usize::MAX).await;
        assert!(began.elapsed().is_zero());
    }
}
