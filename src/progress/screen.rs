//! The one way to stderr: whole lines, redacted, never in the middle of a bar.

use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::MultiProgress;

use crate::base::redact::redact;

/// Where lines for people go while a run works; clones share the place.
#[derive(Clone)]
pub struct Screen(Place);

#[derive(Clone)]
enum Place {
    Stream(Arc<Mutex<Box<dyn Write + Send>>>),
    Bars(MultiProgress),
}

impl Screen {
    /// A screen without bars: stderr, a pipe, a test's buffer.
    pub fn stream(out: impl Write + Send + 'static) -> Self {
        Screen(Place::Stream(Arc::new(Mutex::new(Box::new(out)))))
    }

    /// A screen whose lines appear above these bars.
    pub(super) fn above(bars: MultiProgress) -> Self {
        Screen(Place::Bars(bars))
    }

    /// Shows one line; secrets in it are masked. What stands in it from elsewhere was passed through
    /// [`crate::base::text::clean`] by the caller, who may have added colour.
    pub fn line(&self, text: &str) {
        let text = redact(text);
        // A closed stderr is no reason to stop mirroring, and there is nowhere left to tell of it.
        let _ = match &self.0 {
            Place::Stream(out) => {
                let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
                // In one write, so that lines of other processes on the same stderr do not get between.
                out.write_all(format!("{text}\n").as_bytes()).and_then(|()| out.flush())
            }
            Place::Bars(bars) => bars.println(text),
        };
    }

    /// Takes the bars away, does `work` (which may write to the terminal itself), and draws them again.
    pub fn suspend<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.0 {
            Place::Stream(_) => work(),
            Place::Bars(bars) => bars.suspend(work),
        }
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Place::Stream(_) => "Screen(stream)",
            Place::Bars(_) => "Screen(bars)",
        })
    }
}

/// A stream that remembers what was written.
#[cfg(test)]
#[derive(Clone, Default)]
pub(super) struct Paper(Arc<Mutex<Vec<u8>>>);

#[cfg(test)]
impl Paper {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[cfg(test)]
impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::secret::Secret;

    #[test]
    fn a_secret_in_a_line_is_masked() {
        let secret = Secret::new("screen-canary-1");
        let paper = Paper::default();
        Screen::stream(paper.clone()).line(&format!("token {}", secret.expose()));
        assert_eq!(paper.text(), "token ***\n");
    }

    #[test]
    fn a_closed_stderr_stops_nothing() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
        }
        let screen = Screen::stream(Closed);
        screen.line("nobody reads this");
        assert_eq!(screen.suspend(|| 7), 7);
    }
}
