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
//! Rules of the harness: nothing sleeps (wait for [`Forge::until`] or [`Running::until_output`]), nothing has a fixed
//! port, every change to a repository is done when the call returns. Keep tokio's clock running: with a paused clock
//! the guards against hanging would fire at once.

mod bare;
mod env;
mod fake_git;
mod forge;
mod repo;
mod run;
mod script;
mod ssh;

pub use bare::BareDestination;
pub use env::TestEnv;
pub use fake_git::{Call, RecordingGit, old_git};
pub use forge::{Access, Dialect, Fault, Forge, Kind, Protection, Request, Role, Service};
use repo::refs_of;

pub use repo::{Batch, Repo, noise};
pub use run::{Program, Run, Running};
pub use ssh::Sshd;
