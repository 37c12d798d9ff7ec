//! When a server wants to be asked again: `Retry-After` and the forges' rate limit headers, as durations from now.

use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// GitHub's advice for its secondary limits when no header says more: "wait for at least one minute".
pub(in crate::forge) const SECONDARY_LIMIT_WAIT: Duration = Duration::from_secs(60);

/// How long the server asks us to wait: `Retry-After`, else the reset time of a limit that is used up.
pub(in crate::forge) fn asked_wait(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    retry_after(headers, now).or_else(|| used_up(headers).then(|| reset(headers, now)).flatten())
}

/// Whether the server says that no request is left until the limit's reset.
pub(in crate::forge) fn used_up(headers: &HeaderMap) -> bool {
    number(headers, "x-ratelimit-remaining").or_else(|| number(headers, "ratelimit-remaining")) == Some(0)
}

/// `Retry-After`, in seconds or as an HTTP date.
pub(in crate::forge) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(until(http_date(text)?, headers, now)),
    }
}

/// Time to the reset of the limit: GitHub's `X-RateLimit-Reset` and GitLab's `RateLimit-Reset` are seconds since 1970;
/// the IETF draft's header of the same name counts from now.
pub(in crate::forge) fn reset(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    /// No limit lasts for thirty years, and 1970 is longer ago than that.
    const LONGEST_DELTA: i64 = 1_000_000_000;
    let value = number(headers, "x-ratelimit-reset").or_else(|| number(headers, "ratelimit-reset"))?;
    if value < LONGEST_DELTA {
        return Some(Duration::from_secs(u64::try_from(value).unwrap_or(0)));
    }
    // The header has whole seconds: one more, so that we are never a moment too early.
    Some(until(Timestamp::from_second(value.saturating_add(1)).ok()?, headers, now))
}

/// From the server's idea of now (its `Date`), so that a wrong clock on either side does no harm.
fn until(then: Timestamp, headers: &HeaderMap, now: Timestamp) -> Duration {
    let now = headers.get(DATE).and_then(|date| http_date(date.to_str().ok()?)).unwrap_or(now);
    Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO)
}

/// When a limit ends, in words: `until 2026-11-20 12:00:30 UTC (90 s)`.
pub(in crate::forge) fn until_reset(wait: Duration) -> String {
    let seconds = wait.as_secs();
    match i64::try_from(seconds)
        .ok()
        .and_then(|wait| Timestamp::now().checked_add(SignedDuration::from_secs(wait)).ok())
    {
        Some(then) => format!("until {} ({seconds} s)", then.strftime("%Y-%m-%d %H:%M:%S UTC")),
        None => format!("for {seconds} s"),
    }
}

fn http_date(text: &str) -> Option<Timestamp> {
    const PARSER: DateTimeParser = DateTimeParser::new();
    PARSER.parse_timestamp(text.trim()).ok()
}

fn number(headers: &HeaderMap, name: &str) -> Option<i64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect()
    }

    fn seconds(wait: Option<Duration>) -> Option<u64> {
        wait.map(|wait| wait.as_secs())
    }

    const NOW: &str = "2026-11-20T12:00:00Z";

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let now = NOW.parse().unwrap();
        assert_eq!(seconds(asked_wait(&headers(&[("retry-after", "7")]), now)), Some(7));
        let date = headers(&[("retry-after", "Fri, 20 Nov 2026 12:00:30 GMT")]);
        assert_eq!(seconds(asked_wait(&date, now)), Some(30));
        let past = headers(&[("retry-after", "Fri, 20 Nov 2020 12:00:30 GMT")]);
        assert_eq!(seconds(asked_wait(&past, now)), Some(0));
        assert_eq!(asked_wait(&headers(&[("retry-after", "soon")]), now), None);
    }

    #[test]
    fn the_servers_own_clock_counts() {
        let at =
            headers(&[("retry-after", "Fri, 20 Nov 2026 12:00:30 GMT"), ("date", "Fri, 20 Nov 2026 12:00:20 GMT")]);
        assert_eq!(seconds(asked_wait(&at, "2026-11-20T11:00:00Z".parse().unwrap())), Some(10));
    }

    #[test]
    fn a_reset_time_counts_only_when_nothing_is_left() {
        let now: Timestamp = NOW.parse().unwrap();
        let reset = now.as_second() + 90;
        for (remaining, wait) in [("0", Some(91)), ("1", None)] {
            let mut headers = headers(&[("x-ratelimit-remaining", remaining)]);
            headers.insert("x-ratelimit-reset", reset.into());
            assert_eq!(seconds(asked_wait(&headers, now)), wait);
        }
        let draft = headers(&[("ratelimit-remaining", "0"), ("ratelimit-reset", "40")]);
        assert_eq!(seconds(asked_wait(&draft, now)), Some(40));
    }
}
