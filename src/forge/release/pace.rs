//! The pace of writes: GitHub asks for a second between two of them ("Best practices for using the REST API"), and slows
//! down or blocks whoever makes releases faster.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};
use url::Url;

/// Lets writes begin one after another, some time apart.
#[derive(Debug, Default)]
pub(in crate::forge) struct Pace {
    apart: Duration,
    /// When the next one may begin.
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// That of GitHub's own servers; an Enterprise server has no such limit unless its operator sets one.
    pub(in crate::forge) fn of_github(api: &Url) -> Self {
        let host = api.host_str().unwrap_or_default();
        let own = host == "api.github.com" || (host.starts_with("api.") && host.ends_with(".ghe.com"));
        Pace { apart: if own { Duration::from_secs(1) } else { Duration::ZERO }, next: Mutex::default() }
    }

    /// Waits for one's turn.
    pub(in crate::forge) async fn turn(&self) {
        if self.apart.is_zero() {
            return;
        }
        let mut next = self.next.lock().await;
        if let Some(at) = *next {
            sleep_until(at).await;
        }
        *next = Some(Instant::now() + self.apart);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn writes_to_github_are_a_second_apart_and_others_are_not() {
        for (api, seconds) in [
            ("https://api.github.com", 4),
            ("https://api.acme.ghe.com", 4),
            ("https://ghe.example.org/api/v3", 0),
            ("https://api.example.org", 0),
        ] {
            let pace = Pace::of_github(&Url::parse(api).unwrap());
            let began = Instant::now();
            futures_util::future::join_all((0..5).map(|_| pace.turn())).await;
            assert_eq!(began.elapsed().as_secs(), seconds, "{api}");
        }
    }
}
