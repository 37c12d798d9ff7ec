//! `holocron release`: the releases alone, of what is mirrored already.

use super::args::ReleaseAction;
use super::mirror::mirror;
use crate::base::error::Error;
use crate::config::releases::ReleaseFilter;
use crate::release::run::is_wanted;

pub(super) fn release(action: ReleaseAction) -> Result<u8, Error> {
    let (args, plan) = match action {
        ReleaseAction::Plan(args) => (*args, true),
        ReleaseAction::Sync(args) => (*args, false),
    };
    let filter = ReleaseFilter { repos: args.repos, tags: args.tag };
    for glob in filter.repos.iter().chain(&filter.tags) {
        let unusable = |error: globset::Error| Error::usage(format!("`{glob}` is not a glob: {}", error.kind()));
        globset::Glob::new(glob).map_err(unusable)?;
    }
    mirror(args.mirror, |config| {
        if config.watch {
            return Err(Error::usage("`holocron release` runs once").hint("`holocron --watch` does releases, too."));
        }
        if !is_wanted(config) {
            let error = Error::usage("no place gets releases");
            return Err(error.hint("set `releases: all` in the configuration file, or add `--releases`."));
        }
        config.dry_run |= plan;
        config.only_releases = Some(filter);
        Ok(())
    })
}
