//! What a cycle knows of repositories whose refs it does not look at: what the store remembers of them.

use std::collections::HashMap;

use crate::base::failure::{Failure, Reason};
use crate::config::Config;
use crate::cycle::discover::Inventory;
use crate::cycle::scope::Scope;
use crate::model::{MirrorKey, Outcome, Repo, Verdict};
use crate::push::fan::Fan;
use crate::store::MirrorRecord;

/// How the repositories stand whose releases are asked for, without looking at any refs: as the last run left them.
pub(super) fn standing(
    config: &Config,
    inventory: &Inventory,
    records: &[MirrorRecord],
    fan: &Fan,
    scope: &Scope,
) -> Vec<Outcome> {
    let filter = config.only_releases.as_ref();
    let named = |repo: &Repo| filter.is_none_or(|filter| filter.wants_repo(&repo.path.to_string()));
    let wanted = |repo: &&Repo| named(repo) && scope.wants(&repo.key(), &repo.path);
    let records: HashMap<&MirrorKey, &MirrorRecord> = records.iter().map(|record| (&record.key, record)).collect();
    let outcome = |repo: &Repo| {
        let record = records.get(&repo.key()).filter(|record| inventory.present.contains(&record.mirror));
        let Some(record) = record.filter(|record| record.last_success.is_some()) else {
            let failure = Failure::new(Reason::Unknown, "it is not mirrored yet");
            let failure = failure.with_hint("run `holocron` first: releases follow the refs.");
            return Outcome { failure: Some(failure), ..Outcome::new(repo, Verdict::Failed) };
        };
        let mut outcome = Outcome::new(repo, Verdict::Current);
        outcome.mirror.clone_from(&record.mirror);
        outcome.destinations = fan.behind_of(&repo.key());
        outcome
    };
    inventory.repos.iter().filter(wanted).map(outcome).collect()
}
