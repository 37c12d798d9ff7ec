//! What a run tells while it works, and who listens.

mod bars;
pub(crate) mod destinations;
mod lines;
pub mod log;
pub(crate) mod releases;
mod results;
mod said;
mod screen;

use std::time::Duration;

use indicatif::ProgressDrawTarget;

use crate::base::failure::Failure;
use crate::base::text::{Detail, Paint};
use crate::model::projection::ReleasesOutcome;
use crate::model::{Outcome, RepoPath};

pub use bars::Bars;
pub use lines::Lines;
pub(crate) use lines::{result, tone};
pub use results::{Known, Results};
pub use screen::Screen;

/// How a run speaks on stderr while it works, and how much its log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    pub manner: Manner,
    /// The log's debug messages too.
    pub log: bool,
}

/// How a run speaks on stderr while it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Not at all (`--quiet`); the log still tells errors.
    Silent,
    /// One plain line per thing worth telling: for files, pipes and cron.
    Lines(Detail, Paint),
    /// Bars that move, above them a line for each thing that stays worth knowing: for a terminal.
    Bars(Detail, Paint, Ending),
}

/// What comes when a run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// A table of all results on the same terminal: bars leave no line of what it will say.
    Table,
    /// Nothing that the reader of the bars would see.
    Elsewhere,
}

/// Opens stderr in the given style: the sink for a run's events, and the screen that the log must write to, so that its
/// lines do not tear the bars.
///
/// Bars become lines where stderr cannot show them (no terminal, `TERM=dumb`).
pub fn open(manner: Manner) -> (Box<dyn Sink>, Screen) {
    let stderr = || Screen::stream(std::io::stderr());
    match manner {
        Manner::Silent => (Box::new(Silent), stderr()),
        Manner::Lines(detail, paint) => lines_on(stderr(), detail, paint),
        Manner::Bars(detail, paint, ending) => {
            let target = ProgressDrawTarget::stderr();
            if target.is_hidden() {
                return lines_on(stderr(), detail, paint);
            }
            let bars = Bars::new(target, detail, paint, ending);
            let screen = bars.screen();
            (Box::new(bars), screen)
        }
    }
}

fn lines_on(screen: Screen, detail: Detail, paint: Paint) -> (Box<dyn Sink>, Screen) {
    (Box::new(Lines::new(screen.clone(), detail, paint)), screen)
}

/// One thing worth telling.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// A source is being listed.
    Listing { source: &'a str },
    /// More of a source's listing has arrived.
    Listed { source: &'a str, repos: usize },
    /// The plan stands: how many mirrors there are and how many of them need git.
    Planned { mirrors: usize, to_do: usize },
    /// Work on a mirror begins.
    Started { path: &'a RepoPath },
    /// Git's own progress: its phase (`Receiving objects`), percentage, and the bytes that it has moved in this phase.
    Phase { path: &'a RepoPath, phase: &'a str, percent: Option<u8>, bytes: Option<u64> },
    /// Something transient will be tried again after `wait`.
    Retrying { what: &'a str, failure: &'a Failure, wait: Duration },
    /// A mirror is done.
    Finished { outcome: &'a Outcome },
    /// The releases of a mirror are done at one place.
    Projected { outcome: &'a Outcome, releases: &'a ReleasesOutcome },
    /// A watch waits for its next cycle.
    Resting { until: &'a str },
    /// A person should know this now.
    Warning { text: &'a str },
}

/// Who is told. Implementations redact nothing: texts come redacted.
pub trait Sink: Send + Sync {
    /// Takes one event; it must not block.
    fn tell(&self, event: &Event<'_>);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Sink for Silent {
    fn tell(&self, _: &Event<'_>) {}
}
