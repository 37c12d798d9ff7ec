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
//! Rules of the harness: nothing sleeps (wait for [`Forge::until`] or [`Running::until_output`]), nothing has a fixed
//! port, every change to a repository is done when the call returns. Keep tokio's clock running: with a paused clock
//! the guards against hanging would fire at once.

mod env;
mod fake_git;
mod forge;
mod repo;
mod run;
mod ssh;

pub use env::TestEnv;
pub use fake_git::{Call, RecordingGit, old_git};
pub use forge::{Fault, Forge, Kind, Request, Service};
pub use repo::{Batch, Repo, noise};
pub use run::{Program, Run, Running};
pub use ssh::Sshd;
