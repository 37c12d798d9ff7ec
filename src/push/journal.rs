//! Rules that are open: written down before, so that the next run closes what a killed one left open.

use jiff::Timestamp;

use super::open::Opened;
use crate::base::failure::{Failure, Reason};
use crate::forge::destination::{Restored, Undo};
use crate::store::{Ignored, OpenRule, Store};

/// Writes down that a rule is about to be opened; returns how it is to be put back, which is as it was before the first
/// run that opened it and did not live to close it.
///
/// # Errors
/// A store that cannot be written: then nothing may be opened.
pub(super) async fn note(store: Option<&Store>, destination: &str, undo: &Undo) -> Result<Undo, Failure> {
    let Some(store) = store else { return Ok(undo.clone()) };
    let unreadable = |error: serde_json::Error| {
        Failure::new(Reason::Unknown, "cannot write a branch rule down").with_evidence(error.to_string())
    };
    let rule = OpenRule {
        destination: destination.to_owned(),
        target: undo.target.clone(),
        rule: undo.rule.clone(),
        undo: serde_json::to_value(undo).map_err(unreadable)?,
        opened_at: Timestamp::now(),
    };
    serde_json::from_value(store.note_open_rule(&rule).await?.undo).map_err(unreadable)
}

/// Crosses out a rule that is as it was.
pub(super) async fn forget(store: Option<&Store>, destination: &str, undo: &Undo) -> Result<(), Failure> {
    let Some(store) = store else { return Ok(()) };
    Ok(store.forget_open_rule(destination, &undo.target, &undo.rule).await?)
}

/// What a person should know about a rule that was put back.
pub(super) fn note_of(restored: Restored, undo: &Undo) -> Option<String> {
    (restored == Restored::GoneWithBranch).then(|| {
        format!(
            "the rule on {} is gone with its branch: this server keeps none for a branch that is not there.",
            undo.rule
        )
    })
}

/// Closes what earlier runs left open; returns what a person should know.
pub async fn repair(store: Option<&Store>, destinations: &[&Opened]) -> Vec<String> {
    let Some(store) = store else { return Vec::new() };
    let rules = match store.open_rules().await {
        Ok(rules) => rules,
        Err(error) => return vec![error.to_string()],
    };
    let by_hand = |row: &Ignored| format!("{row}. It is a branch rule that was left open: put it back by hand.");
    let mut words: Vec<String> = rules.ignored.iter().map(by_hand).collect();
    for rule in rules.rows {
        let name = format!("the rule {} on {}", rule.rule, rule.destination);
        let open = destinations.iter().find(|open| open.config.id == rule.destination);
        let (Some(forge), Ok(undo)) =
            (open.and_then(|open| open.repair.as_ref()), serde_json::from_value::<Undo>(rule.undo.clone()))
        else {
            words
                .push(format!("{name} was left open by a killed run, and its destination is not configured any more."));
            continue;
        };
        let closed = match forge.restore_rule(&undo).await {
            Ok(restored) => forget(Some(store), &rule.destination, &undo).await.map(|()| restored),
            Err(failure) => Err(failure),
        };
        words.push(match closed {
            Ok(Restored::AsItWas) => format!("{name} was left open by a killed run and is closed again."),
            Ok(Restored::GoneWithBranch) => {
                format!("{name} was left open by a killed run; its branch is gone by now, and the rule with it.")
            }
            Err(failure) => format!("{name} was left open by a killed run and cannot be closed: {failure}."),
        });
    }
    words
}
