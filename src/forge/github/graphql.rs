//! What GitHub's REST API cannot do with branch protection: name the rule behind a branch, and change one by its id.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use crate::base::failure::{Failure, Reason};
use crate::forge::github::destination::GithubDestination;
use crate::forge::http::Ask;
use crate::forge::http::status::quote;
use crate::model::RepoPath;

const RULE: &str = "query($owner: String!, $name: String!, $branch: String!) { repository(owner: $owner, name: $name) { \
                    ref(qualifiedName: $branch) { branchProtectionRule { \
                    id pattern isAdminEnforced allowsForcePushes allowsDeletions lockBranch } } } }";
const SWITCH: &str = "mutation($input: UpdateBranchProtectionRuleInput!) { updateBranchProtectionRule(input: $input) { \
                      branchProtectionRule { id } } }";

/// A branch protection rule in GraphQL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::forge) struct Rule {
    pub(in crate::forge) id: String,
    pub(in crate::forge) pattern: String,
}

/// The four fields that are ever opened on a rule that is changed by its id; the others are not touched at all.
pub(in crate::forge) struct Switches {
    enforce_admins: bool,
    force_pushes: bool,
    deletions: bool,
    locked: bool,
}

impl Switches {
    /// Those of a protection as the REST API takes it.
    pub(in crate::forge) fn of(protection: &Value) -> Self {
        let on = |field: &str| protection.get(field).and_then(Value::as_bool).unwrap_or(false);
        Switches {
            enforce_admins: on("enforce_admins"),
            force_pushes: on("allow_force_pushes"),
            deletions: on("allow_deletions"),
            locked: on("lock_branch"),
        }
    }
}

impl GithubDestination {
    /// The rule behind the protection of `branch`, and its switches by the REST API's names; `None` where GraphQL does not
    /// tell, and the branch's own rule is assumed.
    pub(in crate::forge) async fn rule(&self, path: &RepoPath, branch: &str) -> Result<Option<(Rule, Value)>, Failure> {
        let branch = format!("refs/heads/{branch}");
        let variables = json!({"owner": path.namespace(), "name": path.name(), "branch": branch});
        match self.graphql(RULE, variables).await {
            Ok(data) => {
                let Some(told) = data.pointer("/repository/ref/branchProtectionRule") else { return Ok(None) };
                let on = |field: &str| told.get(field).and_then(Value::as_bool).unwrap_or(false);
                let switches = json!({
                    "enforce_admins": on("isAdminEnforced"),
                    "allow_force_pushes": on("allowsForcePushes"),
                    "allow_deletions": on("allowsDeletions"),
                    "lock_branch": on("lockBranch"),
                });
                // Null where no rule is: no `Rule` either.
                Ok(serde_json::from_value(told.clone()).ok().map(|rule| (rule, switches)))
            }
            Err(failure) if failure.reason().is_transient() || failure.reason() == Reason::Cancelled => Err(failure),
            Err(failure) => {
                tracing::debug!("GraphQL does not name the rule of {branch} in {path}: {failure}");
                Ok(None)
            }
        }
    }

    /// Sets the four switches of a rule.
    pub(in crate::forge) async fn switch(&self, rule: &Rule, switches: &Switches) -> Result<(), Failure> {
        let input = json!({
            "branchProtectionRuleId": rule.id,
            "isAdminEnforced": switches.enforce_admins,
            "allowsForcePushes": switches.force_pushes,
            "allowsDeletions": switches.deletions,
            "lockBranch": switches.locked,
        });
        self.graphql(SWITCH, json!({"input": input})).await.map(|_| ())
    }

    async fn graphql(&self, query: &str, variables: Value) -> Result<Value, Failure> {
        let body = json!({"query": query, "variables": variables});
        // Both of ours may be sent again: one reads, the other sets fields to values.
        let ask = Ask::change(Method::POST, self.graphql_url(), Some(&body)).repeatable();
        let mut answer: Value = self.site.api.send(&ask).await?.json()?;
        if let Some(errors) = answer.get("errors").filter(|errors| !errors.is_null()) {
            let said = errors.pointer("/0/message").and_then(Value::as_str).unwrap_or("no reason given");
            let forbidden = errors.pointer("/0/type").and_then(Value::as_str) == Some("FORBIDDEN");
            let reason = if forbidden { Reason::Forbidden } else { Reason::Unknown };
            return Err(Failure::new(reason, "GitHub's GraphQL refused to read or change a branch protection rule")
                .with_evidence(quote(said.as_bytes())));
        }
        Ok(answer["data"].take())
    }

    /// `https://api.github.com/graphql`; on Enterprise Servers `/api/graphql` beside `/api/v3`.
    fn graphql_url(&self) -> Url {
        let mut url = self.site.api.url(&["graphql"], &[]);
        if let Some(base) = url.path().strip_suffix("/v3/graphql") {
            let path = format!("{base}/graphql");
            url.set_path(&path);
        }
        url
    }
}
