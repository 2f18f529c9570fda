//! Progress on stderr: a line that changes on a terminal, else a line for each event.

use std::io::IsTerminal as _;

use indicatif::ProgressBar;
use types::text::escape::line;

/// Shows what goes on, and leaves nothing on a terminal once it is dropped.
#[derive(Debug)]
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// On stderr.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self(std::io::stderr().is_terminal().then(ProgressBar::new_spinner))
    }

    /// Something that goes on. It is shown on a terminal alone: the next event replaces it.
    pub(crate) fn passing(&self, text: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(line(text));
            bar.tick();
        }
    }

    /// Something to know that stays on a terminal as well.
    pub(crate) fn note(&self, text: &str) {
        match &self.0 {
            Some(bar) => bar.suspend(|| super::complain(&format!("{}\n", line(text)))),
            None => self.event(text),
        }
    }

    /// Something that happened.
    pub(crate) fn event(&self, text: &str) {
        match &self.0 {
            Some(_) => self.passing(text),
            None => super::complain(&format!("{}\n", line(text))),
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
