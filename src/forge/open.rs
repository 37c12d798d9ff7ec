//! Which implementation stands behind a kind of forge. Opening one sends nothing yet.

use super::destination::Destination;
use super::gitea::destination::GiteaDestination;
use super::gitea::releases::GiteaReleases;
use super::gitea::source::GiteaSource;
use super::github::destination::GithubDestination;
use super::github::releases::GithubReleases;
use super::github::source::GithubSource;
use super::gitlab::destination::GitlabDestination;
use super::gitlab::releases::GitlabReleases;
use super::gitlab::source::GitlabSource;
use super::release::{ReleaseDestination, ReleaseSource};
use super::{Connection, Source, web_origin};
use crate::base::failure::{Failure, Reason};
use crate::model::ForgeKind;
use crate::model::destination::DestinationKind;

/// Opens the source behind a forge's API; nothing is sent yet.
///
/// # Errors
/// `local_failed` or `tls_failed` when the CA file is unreadable or holds no certificate, `auth_failed` when there is
/// neither a token nor an owner to list, or when the token cannot be sent in a header.
pub fn source(kind: ForgeKind, connection: Connection) -> Result<Box<dyn Source>, Failure> {
    Ok(match kind {
        ForgeKind::Github => Box::new(GithubSource::open(connection)?),
        ForgeKind::Gitlab => Box::new(GitlabSource::open(connection)?),
        ForgeKind::Gitea => Box::new(GiteaSource::open(connection)?),
        ForgeKind::Dir | ForgeKind::Urls => {
            return Err(Failure::new(Reason::Unknown, format!("a source of kind {kind} has no API to open")));
        }
    })
}

/// Opens the destination behind a forge's API; nothing is sent yet.
///
/// # Errors
/// `auth_failed` when there is no token or it cannot be sent in a header, `local_failed` or `tls_failed` when the CA file
/// is of no use, `unknown` for plain git, which has no API.
pub fn destination(kind: DestinationKind, connection: Connection) -> Result<Box<dyn Destination>, Failure> {
    Ok(match kind {
        DestinationKind::Github => Box::new(GithubDestination::open(&connection)?),
        DestinationKind::Gitlab => Box::new(GitlabDestination::open(&connection)?),
        DestinationKind::Gitea => Box::new(GiteaDestination::open(&connection)?),
        DestinationKind::Git => {
            return Err(Failure::new(Reason::Unknown, format!("a destination of kind {kind} has no API to open")));
        }
    })
}

/// Opens the releases behind a forge's API for reading; nothing is sent yet. Without a token they are those of public
/// repositories.
///
/// # Errors
/// `auth_failed` when the token cannot be sent in a header, `local_failed` or `tls_failed` when the CA file is of no use,
/// `unknown` for kinds without an API.
pub fn release_source(kind: ForgeKind, connection: Connection) -> Result<Box<dyn ReleaseSource>, Failure> {
    Ok(match kind {
        ForgeKind::Github => Box::new(GithubReleases::open(&connection)?),
        ForgeKind::Gitlab => Box::new(GitlabReleases::open(&connection)?),
        ForgeKind::Gitea => Box::new(GiteaReleases::open(&connection)?),
        ForgeKind::Dir | ForgeKind::Urls => {
            return Err(Failure::new(Reason::Unknown, format!("a source of kind {kind} has no releases")));
        }
    })
}

/// Opens the releases behind a forge's API for writing; nothing is sent yet.
///
/// # Errors
/// As [`release_source`], and `auth_failed` when there is no token.
pub fn release_destination(
    kind: DestinationKind,
    connection: Connection,
) -> Result<Box<dyn ReleaseDestination>, Failure> {
    if kind != DestinationKind::Git && connection.token.is_none() {
        let web = web_origin(&connection.api_url);
        return Err(Failure::new(Reason::AuthFailed, format!("there is no token for the destination {web}"))
            .with_hint("give this destination a token."));
    }
    Ok(match kind {
        DestinationKind::Github => Box::new(GithubReleases::open(&connection)?),
        DestinationKind::Gitlab => Box::new(GitlabReleases::open(&connection)?),
        DestinationKind::Gitea => Box::new(GiteaReleases::open(&connection)?),
        DestinationKind::Git => {
            return Err(Failure::new(Reason::Unknown, format!("a destination of kind {kind} has no releases")));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forge::testing::connection;

    #[test]
    fn a_destination_needs_an_api_and_a_token() {
        let connection = connection(&url::Url::parse("https://git.example.org/api").unwrap());
        assert!(destination(DestinationKind::Git, connection.clone()).is_err());
        for kind in [DestinationKind::Github, DestinationKind::Gitlab, DestinationKind::Gitea] {
            assert!(destination(kind, connection.clone()).is_ok());
            let failure = destination(kind, Connection { token: None, ..connection.clone() }).err().unwrap();
            assert_eq!(failure.reason(), Reason::AuthFailed);
        }
    }

    #[test]
    fn reading_needs_an_api_and_writing_a_token_too() {
        let connection = connection(&url::Url::parse("https://git.example.org/api").unwrap());
        let without = Connection { token: None, ..connection.clone() };
        for kind in [ForgeKind::Github, ForgeKind::Gitlab, ForgeKind::Gitea] {
            assert!(release_source(kind, without.clone()).is_ok());
        }
        assert!(release_source(ForgeKind::Urls, connection.clone()).is_err());
        for kind in [DestinationKind::Github, DestinationKind::Gitlab, DestinationKind::Gitea] {
            assert!(release_destination(kind, connection.clone()).is_ok());
            assert_eq!(release_destination(kind, without.clone()).err().unwrap().reason(), Reason::AuthFailed);
        }
        assert!(release_destination(DestinationKind::Git, connection).is_err());
    }
}
