//! Keeps the number of packs in a mirror bounded: every fetch adds one, and each is opened by each git.

use std::fs;
use std::path::Path;

use crate::failure::Failure;
use crate::git::Git;

/// From this many packs on they are rolled up.
const MOST_PACKS: usize = 50;

/// Rolls small packs up into larger ones when there are many; returns whether it did.
///
/// No object goes, reachable or not, so nothing that a kept ref or a person may need. Cut short, it leaves the packs that
/// were there.
///
/// # Errors
/// What git says; the mirror is as good as before.
pub(super) async fn roll_up(git: &Git, dir: &Path) -> Result<bool, Failure> {
    let folder = dir.join("objects/pack");
    let entries = fs::read_dir(&folder);
    let entries = entries.map_err(|error| Failure::local(format!("cannot read {}", folder.display()), &error))?;
    let is_pack = |path: &Path| path.extension().is_some_and(|ending| ending == "pack");
    if entries.flatten().filter(|entry| is_pack(&entry.path())).count() < MOST_PACKS {
        return Ok(false);
    }
    git.roll_up_packs(dir).await?;
    Ok(true)
}
