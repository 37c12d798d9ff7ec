//! Many deletions in a directory of this machine: told to `git receive-pack` itself, which is what `git push` starts there.
//!
//! `git push` compares each lease and each explicit refspec with every ref of the destination (git 2.47, remote.c): for
//! 10,000 deletions 10^8 comparisons and more, twice.

use std::collections::BTreeSet;

use tokio::process::Command;

use super::report::{Answer, Verdict};
use super::{ATOMIC, SIDE_BANDS, WHAT, are_gone, packets};
use crate::base::failure::{Failure, Reason};
use crate::git::verbs::{Listener, Progress};
use crate::git::wire::AGENT;
use crate::git::{Call, Git, PushEdit, Pushed, RefResult, Remote, failure_of};

impl Git {
    /// Deletes refs of the repository in a directory, all in one transaction; where one is refused, each by itself.
    ///
    /// The old value in each command is the lease. The destination's own settings and hooks count, ours do not.
    ///
    /// # Errors
    /// A command that asks a remote fails ([the reasons](crate::git#failures)); nothing is known to have moved then.
    pub(in crate::git) async fn delete_in_directory(
        &self,
        remote: &Remote,
        edits: &[&PushEdit],
        progress: Progress<'_>,
    ) -> Result<Pushed, Failure> {
        let together = self.receive(remote, edits, &[ATOMIC], progress).await?;
        if are_gone(&together) {
            return Ok(together);
        }
        let (done, refused): (Vec<_>, Vec<_>) =
            together.results.into_iter().partition(|(_, result)| *result == RefResult::Accepted);
        let refused: BTreeSet<_> = refused.into_iter().map(|(name, _)| name).collect();
        let rest: Vec<&PushEdit> = edits.iter().copied().filter(|edit| refused.contains(&edit.name)).collect();
        let mut apart = self.receive(remote, &rest, &[], progress).await?;
        apart.results.extend(done);
        Ok(apart)
    }

    async fn receive(
        &self,
        remote: &Remote,
        edits: &[&PushEdit],
        more: &[&str],
        progress: Progress<'_>,
    ) -> Result<Pushed, Failure> {
        let Some(place) = remote.url.as_file() else {
            return Err(Failure::new(Reason::LocalFailed, format!("{WHAT}: {} is no directory", remote.url)));
        };
        let digits = edits.iter().find_map(|edit| edit.seen).map_or(40, |oid| oid.to_string().len());
        let mut wishes = format!("\0 report-status-v2 {SIDE_BANDS}");
        more.iter().for_each(|ability| wishes.push_str(&format!(" {ability}")));
        if digits == 64 {
            wishes.push_str(" object-format=sha256");
        }
        wishes.push_str(&format!(" agent={AGENT}"));
        // As `git push` starts it: without any setting of ours.
        let mut command = Command::new(&self.program);
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(["receive-pack", "--stateless-rpc"]).arg(place);
        let call = Call { what: WHAT, command, remote: None, input: packets(edits, wishes, digits) };
        let mut listener = Listener { progress, received: 0 };
        let mut hear = |line: &str| listener.hear(line);
        let finished = self.run(call, &mut hear).await?;
        let mut answer = Answer::new(true);
        let read = answer.feed(finished.stdout.clone().into(), &mut hear);
        match (read, answer.finish(&mut hear)) {
            (Ok(()), (Verdict::Told(mut told) | Verdict::NotTaken(mut told), words)) => {
                let mut result = |edit: &&PushEdit| {
                    let result = told.remove(&edit.name).unwrap_or_else(super::unheard);
                    (edit.name.clone(), result)
                };
                Ok(Pushed { results: edits.iter().map(&mut result).collect(), stderr: words + &finished.stderr })
            }
            _ => Err(failure_of(WHAT, &finished)),
        }
    }
}
