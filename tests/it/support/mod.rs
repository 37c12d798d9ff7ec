//! The harness: an empty home, real repositories, and forges that can have a bad day.
//!
//! ```ignore
//! let env = TestEnv::new();
//! let forge = Forge::start().await;
//! let alpha = forge.repo("acme/alpha").branch("main").branch("old").tag("v1");
//!
//! env.holocron(["--backup-only"]).github(&forge).run().await.assert_code(0);
//! env.assert_mirrored(&alpha);
//!
//! forge.fault(Fault::cut_in_body(500).on_git("acme/alpha").service(Service::FetchPack).once());
//! alpha.commit("main", "more").delete("old");
//! env.holocron(["--backup-only"]).github(&forge).run().await.assert_code(3);
//! ```
//!
//! A forge is a destination as well (`forge/destination.rs`), and so is a plain directory (`bare.rs`):
//!
//! ```ignore
//! forge.speak(Dialect::Gitlab);
//! let target = forge.repo("acme/alpha").branch("main").protect("main", Protection::default());
//! let before = target.protection("main");
//! forge.between_advertisement_and_push(&target, |repo| drop(repo.commit("main", "of another writer")));
//! // … run, then:
//! env.assert_pushed(&source, &forge.find("acme/alpha").unwrap());
//! assert_eq!(target.protection("main"), before);
//! ```
//!
//! Releases, with files on disk (`forge/releases_handle.rs`), are the same in every dialect:
//!
//! ```ignore
//! alpha.release("v1").title("One").notes("First.").asset("a.zip", b"bytes").asset_of_size("big", 1 << 30).latest();
//! forge.fault(Fault::lost(502).on_upload("a.zip").once());
//! // … run, then:
//! assert_eq!(target.releases(), alpha.releases());
//! assert_eq!((forge.writes().len(), forge.storage_leaks().len()), (0, 0));
//! alpha.edit_release("v1", |release| release.replace_asset("a.zip", b"other"));
//! ```
//!
//! Rules of the harness: nothing sleeps (wait for [`Forge::until`] or [`Running::until_output`]), nothing has a fixed
//! port, every change to a repository is done when the call returns. Keep tokio's clock running: with a paused clock
//! the guards against hanging would fire at once.

mod bare;
mod daemon;
mod env;
mod fake_git;
mod forge;
mod nowhere;
mod repo;
mod run;
mod script;
mod ssh;

pub use bare::BareDestination;
pub use daemon::Daemon;
pub use env::{TestEnv, by_git};
pub use fake_git::{Call, RecordingGit, old_git};
pub use forge::{
    Access, AssetSeen, Dialect, Fault, Forge, Kind, Protection, ReleaseHandle, ReleaseSeen, Request, Role, Sent,
    Service,
};
use repo::refs_of;

pub use nowhere::Nowhere;
pub use repo::{Batch, Repo, noise};
pub use run::{Program, Run, Running, until};
pub use ssh::Sshd;
