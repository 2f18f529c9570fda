//! Everything that stands in the way of a command, found before it touches anything.

use crate::cli::exit::{Exit, Failure};

/// Everything that stands in the way.
#[derive(Debug, Default)]
pub struct Obstacles {
    /// One line each.
    pub findings: Vec<String>,
    bad_settings: bool,
}

impl Obstacles {
    /// Adds one.
    pub fn found(&mut self, finding: impl Into<String>) {
        self.findings.push(finding.into());
    }

    /// Adds one that is about a settings file, where there is one: the command then ends with 78.
    pub fn settings(&mut self, finding: Option<&String>) {
        self.bad_settings |= finding.is_some();
        self.findings.extend(finding.cloned());
    }

    /// The failure of the command.
    #[must_use]
    pub fn failure(self) -> Failure {
        let exit = if self.bad_settings { Exit::BadSettings } else { Exit::No };
        Failure::all(exit, self.findings)
    }
}
