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

use crate::failure::Failure;
use crate::model::projection::ReleasesOutcome;
use crate::model::{Outcome, RepoPath};
use crate::text::{Detail, Paint};

pub use bars::Bars;
pub use lines::Lines;
pub(crate) use lines::{result, tone};
pub use results::{Known, Results};
pub use screen::Screen;

/// How a run speaks on stderr while it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Not at all (`--quiet`); the log still tells errors.
    Silent,
    /// One plain line per thing worth telling: for files, pipes and cron.
    Lines(Detail, Paint),
    /// Bars that move, above them a line for each thing that stays worth knowing: for a terminal.
    Bars(Detail, Paint),
}

/// Opens stderr in the given style: the sink for a run's events, and the screen that the log must write to, so that its
/// lines do not tear the bars.
///
/// Bars become lines where stderr cannot show them (no terminal, `TERM=dumb`).
pub fn open(style: Style) -> (Box<dyn Sink>, Screen) {
    let stderr = || Screen::stream(std::io::stderr());
    match style {
        Style::Silent => (Box::new(Silent), stderr()),
        Style::Lines(detail, paint) => lines_on(stderr(), detail, paint),
        Style::Bars(detail, paint) => {
            let target = ProgressDrawTarget::stderr();
            if target.is_hidden() {
                return lines_on(stderr(), detail, paint);
            }
            let bars = Bars::new(target, detail, paint);
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
    /// Git's own progress: its phase (`Receiving objects`) and percentage.
    Phase { path: &'a RepoPath, phase: &'a str, percent: Option<u8> },
    /// Something transient will be tried again after `wait`.
    Retrying { what: &'a str, failure: &'a Failure, wait: Duration },
    /// A mirror is done.
    Finished { outcome: &'a Outcome },
    /// The releases of a mirror are done at one place.
    Projected { outcome: &'a Outcome, releases: &'a ReleasesOutcome },
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
