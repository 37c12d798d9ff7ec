//! What is remembered of a mirror, and how that follows from an outcome. Pure: knows neither clock nor database.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use crate::base::failure::Failure;
use crate::model::{MirrorKey, OnDisk, Outcome, Repo, RepoPath, Status, Verdict};

/// The last known state of one mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorRecord {
    pub key: MirrorKey,
    /// The id of the source that listed it last.
    pub source: String,
    pub path: RepoPath,
    /// Where the mirror lies, relative to the storage root.
    pub mirror: PathBuf,
    /// The source's URL, without any credential.
    pub url: String,
    /// The default branch that the last success covered.
    pub default_branch: Option<String>,
    /// The listing's value that the last success covered, not that of the last listing.
    pub pushed_at: Option<Timestamp>,
    /// How it came out when it was last tried.
    pub verdict: Verdict,
    /// The last success left something beside the mirror behind.
    pub degraded: bool,
    pub failure: Option<Failure>,
    pub failures_in_a_row: u32,
    /// Not worth a try before this time.
    pub retry_at: Option<Timestamp>,
    pub last_attempt: Option<Timestamp>,
    pub last_success: Option<Timestamp>,
    /// When its refs were last compared with the source's and found or made equal.
    pub last_full: Option<Timestamp>,
    /// Refs in the mirror, kept refs not counted.
    pub refs: u64,
    pub size_bytes: Option<u64>,
    pub packs: Option<u64>,
    pub kept_refs: u64,
    /// When the source repository was first found to be gone.
    pub gone_since: Option<Timestamp>,
    /// The source has no refs and never had any here.
    pub empty: bool,
}

/// How long a failing mirror is left alone: `first` after one failure, doubled by each further one, up to `longest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub longest: Duration,
}

impl Backoff {
    /// Starts at the interval between cycles and ends at six hours.
    pub fn new(interval: Duration) -> Self {
        Backoff { first: interval, longest: Duration::from_secs(6 * 60 * 60) }
    }

    /// For a destination, which is worth a try soon after it is back: it starts at the interval and ends at four of them.
    pub fn of_destination(interval: Duration) -> Self {
        Backoff { first: interval, longest: interval.saturating_mul(4) }
    }

    /// The wait after so many failures in a row; what the server asked for is the least, even beyond `longest`.
    pub fn wait(self, failures: u32, asked: Option<Duration>) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.longest).max(asked.unwrap_or_default())
    }

    /// When the wait after so many failures in a row is over.
    pub fn next(self, failures: u32, asked: Option<Duration>, now: Timestamp) -> Timestamp {
        now.checked_add(self.wait(failures, asked)).unwrap_or(Timestamp::MAX)
    }
}

impl MirrorRecord {
    /// A mirror that nothing was recorded of yet.
    pub fn new(repo: &Repo) -> Self {
        MirrorRecord {
            key: repo.key(),
            source: repo.source.clone(),
            path: repo.path.clone(),
            mirror: repo.mirror_path(),
            url: repo.url.to_string(),
            default_branch: None,
            pushed_at: None,
            verdict: Verdict::Skipped,
            degraded: false,
            failure: None,
            failures_in_a_row: 0,
            retry_at: None,
            last_attempt: None,
            last_success: None,
            last_full: None,
            refs: 0,
            size_bytes: None,
            packs: None,
            kept_refs: 0,
            gone_since: None,
            empty: false,
        }
    }

    /// What its mirror took on disk when that was last counted.
    pub fn disk(&self) -> Option<OnDisk> {
        self.size_bytes.map(|bytes| OnDisk { bytes, packs: self.packs, loose_refs: 0 })
    }

    /// The same, when its refs were looked at no later than `time`.
    pub fn looked_at(self, time: Timestamp) -> Self {
        MirrorRecord { last_full: self.last_full.map(|last| last.min(time)), ..self }
    }

    /// Whether the last result was a success in every respect and covers what the listing shows now.
    ///
    /// A listing that tells no time of the last push is never covered.
    pub fn covers(&self, repo: &Repo) -> bool {
        self.verdict.status() == Status::Success
            && !self.degraded
            && self.failure.is_none()
            && self.gone_since.is_none()
            && self.pushed_at.is_some()
            && self.pushed_at == repo.pushed_at
            && self.default_branch == repo.default_branch
    }

    /// The record of a mirror whose source repository no longer exists: the first date stays, and so does all else.
    pub fn gone(&self, now: Timestamp) -> Self {
        MirrorRecord {
            verdict: Verdict::Gone,
            failure: None,
            failures_in_a_row: 0,
            retry_at: None,
            last_attempt: Some(now),
            gone_since: self.gone_since.or(Some(now)),
            ..self.clone()
        }
    }
}

/// The record that follows from an outcome in which git or the forge was asked about this repository.
///
/// - A success covers the listing's `pushed_at` and default branch and ends all trouble; a degraded one, or one that did
///   not reach every destination, covers nothing, so that it is tried again.
/// - A failure keeps what the last success covered and sets the time before which a new try is not worth it. A held
///   mirror has no such time: the source may be whole again at any moment, and looking is cheap.
/// - A mirror that was not tried keeps its record.
///
/// Outcomes of mirrors that the listing alone showed to be current must not come here: they would count as compared.
/// `outcome.mirror` must say where the mirror lies now.
pub fn after(
    previous: Option<&MirrorRecord>,
    repo: &Repo,
    outcome: &Outcome,
    now: Timestamp,
    backoff: Backoff,
) -> MirrorRecord {
    let known = previous.cloned().unwrap_or_else(|| MirrorRecord::new(repo));
    // What a dry run would do was not done.
    if matches!(outcome.verdict, Verdict::Skipped | Verdict::WouldClone | Verdict::WouldUpdate) {
        return known;
    }
    let tried = MirrorRecord {
        source: outcome.source.clone(),
        path: outcome.path.clone(),
        mirror: outcome.mirror.clone(),
        url: repo.url.to_string(),
        verdict: outcome.verdict,
        failure: outcome.failure.clone(),
        last_attempt: Some(now),
        size_bytes: outcome.disk.map(|disk| disk.bytes).or(known.size_bytes),
        packs: outcome.disk.and_then(|disk| disk.packs).or(known.packs),
        kept_refs: outcome.kept.map_or(known.kept_refs, |kept| kept as u64),
        ..known
    };
    match outcome.verdict {
        Verdict::Cloned | Verdict::Updated | Verdict::Current | Verdict::Empty => {
            // Also a destination that our own stopping left out has to be tried again.
            let degraded = outcome.degraded || outcome.destinations.iter().any(|one| !one.verdict.in_step());
            let covered = match degraded {
                true => (tried.pushed_at, tried.default_branch),
                false => (repo.pushed_at, repo.default_branch.clone()),
            };
            MirrorRecord {
                pushed_at: covered.0,
                default_branch: covered.1,
                degraded,
                failures_in_a_row: 0,
                retry_at: None,
                last_success: Some(now),
                last_full: Some(now),
                refs: outcome.refs.total as u64,
                gone_since: None,
                empty: outcome.verdict == Verdict::Empty,
                ..tried
            }
        }
        Verdict::Failed | Verdict::Held => {
            let failures_in_a_row = tried.failures_in_a_row.saturating_add(1);
            let asked = outcome.failure.as_ref().and_then(|failure| failure.retry_after());
            let retry_at = (outcome.verdict == Verdict::Failed).then(|| backoff.next(failures_in_a_row, asked, now));
            MirrorRecord { failures_in_a_row, retry_at, ..tried }
        }
        Verdict::Gone => MirrorRecord { failure: outcome.failure.clone(), ..tried.gone(now) },
        // What the forge says in every listing; nothing was tried that could have failed in a row.
        Verdict::Unavailable => MirrorRecord { failures_in_a_row: 0, retry_at: None, ..tried },
        Verdict::Skipped | Verdict::WouldClone | Verdict::WouldUpdate => tried,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::Reason;
    use crate::base::url::RemoteUrl;
    use crate::model::destination::{DestinationOutcome, PushVerdict};
    use crate::model::{RefCounts, RepoState, Visibility};

    const BACKOFF: Backoff = Backoff { first: Duration::from_secs(60), longest: Duration::from_secs(6 * 3600) };

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn repo(pushed_at: &str) -> Repo {
        Repo {
            source: "github".into(),
            folder: "github.com".into(),
            id: "42".into(),
            path: RepoPath::new("acme", "alpha").unwrap(),
            url: RemoteUrl::parse("https://github.com/acme/alpha.git").unwrap(),
            default_branch: Some("main".into()),
            pushed_at: Some(at(pushed_at)),
            size_kib: None,
            visibility: Visibility::Private,
            fork: false,
            archived: false,
            state: RepoState::Ready,
            topics: Default::default(),
            description: None,
            releases_off: false,
        }
    }

    const MONDAY: &str = "2026-11-02T08:00:00Z";
    const TUESDAY: &str = "2026-11-03T08:00:00Z";
    const NOW: &str = "2026-11-03T09:00:00Z";

    fn succeeded(repo: &Repo) -> MirrorRecord {
        let outcome =
            Outcome { refs: RefCounts { total: 3, ..RefCounts::default() }, ..Outcome::new(repo, Verdict::Cloned) };
        after(None, repo, &outcome, at(MONDAY), BACKOFF)
    }

    fn failed(repo: &Repo, reason: Reason) -> Outcome {
        Outcome::failed(repo, Failure::new(reason, "it broke"))
    }

    #[test]
    fn a_success_covers_what_the_listing_showed() {
        let record = succeeded(&repo(MONDAY));
        assert!(record.covers(&repo(MONDAY)));
        assert!(!record.covers(&repo(TUESDAY)), "a push since then");
        assert!(
            !record.covers(&Repo { default_branch: Some("trunk".into()), ..repo(MONDAY) }),
            "another default branch"
        );
        assert_eq!((record.refs, record.last_success, record.last_full), (3, Some(at(MONDAY)), Some(at(MONDAY))));
    }

    #[test]
    fn refs_count_as_compared_when_the_work_began() {
        let record = succeeded(&repo(MONDAY));
        assert_eq!(record.clone().looked_at(at("2026-11-02T07:59:00Z")).last_full, Some(at("2026-11-02T07:59:00Z")));
        assert_eq!(record.clone().looked_at(at(TUESDAY)).last_full, Some(at(MONDAY)), "a clock that was set back");
        assert_eq!(record.looked_at(at(TUESDAY)).last_success, Some(at(MONDAY)));
    }

    #[test]
    fn a_listing_without_push_times_is_never_covered() {
        let silent = Repo { pushed_at: None, ..repo(MONDAY) };
        assert!(!succeeded(&silent).covers(&silent));
    }

    #[test]
    fn a_failure_keeps_what_the_last_success_covered_and_backs_off() {
        let before = succeeded(&repo(MONDAY));
        let once =
            after(Some(&before), &repo(TUESDAY), &failed(&repo(TUESDAY), Reason::NetworkFailed), at(NOW), BACKOFF);
        assert_eq!(once.pushed_at, Some(at(MONDAY)));
        assert_eq!((once.last_success, once.last_attempt), (Some(at(MONDAY)), Some(at(NOW))));
        assert_eq!((once.refs, once.failures_in_a_row), (3, 1));
        assert_eq!(once.retry_at, Some(at("2026-11-03T09:01:00Z")));
        assert!(!once.covers(&repo(MONDAY)), "a failed mirror is never taken for current");

        let twice =
            after(Some(&once), &repo(TUESDAY), &failed(&repo(TUESDAY), Reason::NetworkFailed), at(NOW), BACKOFF);
        assert_eq!((twice.failures_in_a_row, twice.retry_at), (2, Some(at("2026-11-03T09:02:00Z"))));

        let healed =
            after(Some(&twice), &repo(TUESDAY), &Outcome::new(&repo(TUESDAY), Verdict::Updated), at(NOW), BACKOFF);
        assert_eq!((healed.failures_in_a_row, healed.retry_at, healed.failure.clone()), (0, None, None));
        assert!(healed.covers(&repo(TUESDAY)));
    }

    #[test]
    fn the_wait_doubles_up_to_its_limit_unless_the_server_asks_for_more() {
        let hours = |n: u64| Duration::from_secs(n * 3600);
        assert_eq!(BACKOFF.wait(4, None), Duration::from_secs(480));
        assert_eq!(BACKOFF.wait(u32::MAX, None), hours(6));
        assert_eq!(BACKOFF.wait(1, Some(hours(9))), hours(9));
        assert_eq!(BACKOFF.wait(9, Some(Duration::from_secs(1))), hours(4) + Duration::from_secs(960));
        let endless = Backoff { first: Duration::MAX, longest: Duration::MAX };
        assert_eq!(endless.next(u32::MAX, None, at(NOW)), Timestamp::MAX);
    }

    #[test]
    fn a_held_mirror_is_looked_at_in_every_cycle() {
        let before = succeeded(&repo(MONDAY));
        let held = after(Some(&before), &repo(TUESDAY), &failed(&repo(TUESDAY), Reason::Held), at(NOW), BACKOFF);
        assert_eq!((held.verdict, held.retry_at, held.pushed_at), (Verdict::Held, None, Some(at(MONDAY))));
        assert!(!held.covers(&repo(MONDAY)), "even if the listing falls back to the covered value");
    }

    #[test]
    fn gone_keeps_its_first_date_until_the_repository_is_back() {
        let before = succeeded(&repo(MONDAY));
        let gone = before.gone(at(TUESDAY)).gone(at(NOW));
        assert_eq!((gone.gone_since, gone.verdict), (Some(at(TUESDAY)), Verdict::Gone));
        assert_eq!(
            (gone.mirror.clone(), gone.refs, gone.last_success),
            (before.mirror.clone(), 3, before.last_success)
        );
        assert!(!gone.covers(&repo(MONDAY)), "a repository that is back is compared");
        let again = after(Some(&gone), &repo(MONDAY), &Outcome::new(&repo(MONDAY), Verdict::Gone), at(NOW), BACKOFF);
        assert_eq!(again.gone_since, Some(at(TUESDAY)));
        let back = after(Some(&gone), &repo(MONDAY), &Outcome::new(&repo(MONDAY), Verdict::Current), at(NOW), BACKOFF);
        assert_eq!(back.gone_since, None);
        assert!(back.covers(&repo(MONDAY)));
    }

    #[test]
    fn what_was_not_tried_changes_nothing() {
        let before = succeeded(&repo(MONDAY));
        let renamed = Repo { path: RepoPath::new("acme", "beta").unwrap(), ..repo(TUESDAY) };
        let cancelled = failed(&renamed, Reason::Cancelled);
        assert_eq!(after(Some(&before), &renamed, &cancelled, at(NOW), BACKOFF), before);
        let unknown = after(None, &renamed, &cancelled, at(NOW), BACKOFF);
        assert_eq!((unknown.last_attempt, unknown.covers(&renamed)), (None, false));
    }

    #[test]
    fn a_degraded_success_is_tried_again_even_if_nothing_is_pushed() {
        let before = succeeded(&repo(MONDAY));
        let outcome = Outcome { degraded: true, ..Outcome::new(&repo(MONDAY), Verdict::Current) };
        let degraded = after(Some(&before), &repo(MONDAY), &outcome, at(NOW), BACKOFF);
        assert_eq!(degraded.last_success, Some(at(NOW)));
        assert!(!degraded.covers(&repo(MONDAY)));
        let outcome = Outcome { degraded: true, ..Outcome::new(&repo(TUESDAY), Verdict::Updated) };
        assert_eq!(after(Some(&before), &repo(TUESDAY), &outcome, at(NOW), BACKOFF).pushed_at, Some(at(MONDAY)));
    }

    #[test]
    fn a_success_that_did_not_reach_every_destination_is_tried_again() {
        let to = |verdict| Outcome {
            destinations: vec![
                DestinationOutcome::new("gitlab", "acme/alpha", PushVerdict::Pushed),
                DestinationOutcome::new("codeberg", "acme/alpha", verdict),
            ],
            ..Outcome::new(&repo(MONDAY), Verdict::Updated)
        };
        let covers = |verdict| after(None, &repo(MONDAY), &to(verdict), at(NOW), BACKOFF).covers(&repo(MONDAY));
        assert!(covers(PushVerdict::Current));
        for verdict in [PushVerdict::Failed, PushVerdict::Refused, PushVerdict::Skipped] {
            assert!(!covers(verdict), "{verdict:?}");
        }
    }

    #[test]
    fn a_renamed_repository_takes_its_new_path_and_place() {
        let before = succeeded(&repo(MONDAY));
        let renamed = Repo { path: RepoPath::new("acme", "beta").unwrap(), ..repo(MONDAY) };
        let record = after(Some(&before), &renamed, &Outcome::new(&renamed, Verdict::Current), at(NOW), BACKOFF);
        assert_eq!(record.path.to_string(), "acme/beta");
        assert_eq!(record.mirror, PathBuf::from("github.com/acme/beta.git"));
        assert_eq!(record.key, before.key);
    }

    #[test]
    fn an_unavailable_repository_is_tried_as_soon_as_the_forge_gives_it_back() {
        let before = succeeded(&repo(MONDAY));
        let ill =
            after(Some(&before), &repo(TUESDAY), &failed(&repo(TUESDAY), Reason::NetworkFailed), at(NOW), BACKOFF);
        let outcome = Outcome::new(&repo(TUESDAY), Verdict::Unavailable);
        let blocked = after(Some(&ill), &repo(TUESDAY), &outcome, at(NOW), BACKOFF);
        assert_eq!((blocked.retry_at, blocked.pushed_at), (None, Some(at(MONDAY))));
        assert!(!blocked.covers(&repo(MONDAY)));
    }
}
