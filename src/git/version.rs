//! Git's version: read, compared, and told to be too old.

use std::fmt;

use crate::base::failure::{Failure, Reason};

use super::{Call, Git};

/// A git version; what follows the third number does not matter to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

/// The oldest git that has what we use: `fetch --stdin` and `--no-write-fetch-head` (2.29), settings by
/// `GIT_CONFIG_COUNT` (2.31) and `repack --geometric` (2.32).
pub const OLDEST: Version = Version(2, 32, 0);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Version {
    /// Reads `git version 2.47.3` and its kin (`2.39.5 (Apple Git-154)`, `2.45.1.windows.1`).
    fn parse(text: &str) -> Option<Self> {
        let numbers = text.strip_prefix("git version ")?.split(|c: char| !c.is_ascii_digit());
        let mut numbers = numbers.map_while(|number| number.parse().ok());
        Some(Version(numbers.next()?, numbers.next()?, numbers.next().unwrap_or(0)))
    }
}

impl Git {
    /// Asks git for its version, once.
    ///
    /// # Errors
    /// `local_failed` when it does not run, says something else, or is older than [`OLDEST`].
    pub async fn check_version(&self) -> Result<Version, Failure> {
        self.version.get_or_try_init(|| self.ask_version()).await.copied()
    }

    async fn ask_version(&self) -> Result<Version, Failure> {
        let mut command = self.command(None);
        command.arg("version");
        let call = Call { what: "cannot ask git for its version", command, remote: None, input: Vec::new() };
        let finished = self.succeed(call, |_| ()).await?;
        let text = String::from_utf8_lossy(&finished.stdout);
        let version = Version::parse(text.trim())
            .ok_or_else(|| Failure::new(Reason::LocalFailed, "cannot read git's version").with_evidence(&*text))?;
        if version < OLDEST {
            let message =
                format!("git {version} at {} is too old: {OLDEST} or newer is needed", self.program.display());
            let hint = format!(
                "install git {OLDEST} or newer: `fetch --stdin`, GIT_CONFIG_COUNT and `repack --geometric` are not all in {version}."
            );
            return Err(Failure::new(Reason::LocalFailed, message).with_hint(hint));
        }
        Ok(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_all_makers_are_read() {
        for (text, version) in [
            ("git version 2.47.3", Version(2, 47, 3)),
            ("git version 2.39.5 (Apple Git-154)", Version(2, 39, 5)),
            ("git version 2.45.1.windows.1", Version(2, 45, 1)),
            ("git version 2.50.rc1", Version(2, 50, 0)),
        ] {
            assert_eq!(Version::parse(text), Some(version), "{text}");
        }
        assert_eq!(Version::parse("hub version 2"), None);
    }
}
