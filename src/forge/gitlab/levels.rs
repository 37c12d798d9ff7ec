//! GitLab's access levels in a branch rule: what they mean, and how they are asked for again.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The lowest role that may change branch rules: who gets as far as opening one has it.
const MAINTAINER: i64 = 40;

/// Who may push, merge or unprotect: a role, or a user, group, key or custom role by its id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::forge) struct Level {
    #[serde(default)]
    access_level: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_id: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group_id: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deploy_key_id: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    member_role_id: Option<u64>,
}

impl Level {
    /// The role of maintainers.
    pub(in crate::forge) fn maintainers() -> Self {
        Level {
            access_level: Some(MAINTAINER),
            user_id: None,
            group_id: None,
            deploy_key_id: None,
            member_role_id: None,
        }
    }

    /// Whether a maintainer with this user id is among them; 0 is "no one", 60 the server's administrators.
    pub(in crate::forge) fn admits(&self, user: u64) -> bool {
        match self.one() {
            Some(_) => self.user_id == Some(user),
            None => self.access_level.is_some_and(|level| (1..=MAINTAINER).contains(&level)),
        }
    }

    /// Whether it is a role, not somebody by id.
    pub(in crate::forge) fn is_role(&self) -> bool {
        self.one().is_none()
    }

    /// Whom it names by id; a role has nobody.
    fn one(&self) -> Option<(&'static str, u64)> {
        let ids = [
            ("user_id", self.user_id),
            ("group_id", self.group_id),
            ("deploy_key_id", self.deploy_key_id),
            ("member_role_id", self.member_role_id),
        ];
        ids.into_iter().find_map(|(key, id)| Some((key, id?)))
    }

    /// It without the role that GitLab adds to whom is named by id.
    pub(in crate::forge) fn plain(self) -> Self {
        let access_level = self.access_level.filter(|_| self.one().is_none());
        Level { access_level, ..self }
    }

    fn asked_for(&self) -> Value {
        match self.one() {
            Some((key, id)) => json!({key: id}),
            None => json!({"access_level": self.access_level}),
        }
    }
}

/// Asks for these levels in the body of a POST: `what` is `push`, `merge` or `unprotect`.
///
/// A single role goes by the parameter that every edition and version has; lists are for GitLab Premium, and so is
/// whatever needs one.
pub(in crate::forge) fn ask(body: &mut Map<String, Value>, what: &str, levels: &[Level]) {
    match levels {
        // Free servers show no level for unprotecting, and take none.
        [] if what == "unprotect" => {}
        [] => {
            body.insert(format!("{what}_access_level"), json!(0));
        }
        [level] if level.is_role() => {
            body.insert(format!("{what}_access_level"), json!(level.access_level));
        }
        levels => {
            let levels: Vec<Value> = levels.iter().map(Level::asked_for).collect();
            body.insert(format!("allowed_to_{what}"), json!(levels));
        }
    }
}
