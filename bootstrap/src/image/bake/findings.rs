//! What stands in the way of a bake.

use crate::cli::exit::{Exit, Failure};

/// Everything that stands in the way, and how the command ends for it.
#[derive(Debug, Default)]
pub(super) struct Findings {
    all: Vec<String>,
    is_usage: bool,
    is_settings: bool,
}

impl Findings {
    /// Options that make no sense together.
    pub(super) fn usage(&mut self, why: impl Into<String>) {
        self.is_usage = true;
        self.all.push(why.into());
    }

    /// Something that no node could use.
    pub(super) fn settings(&mut self, why: impl Into<String>) {
        self.is_settings = true;
        self.all.push(why.into());
    }

    /// Something that no node could use: in a file that was given, or as a person said it in options.
    pub(super) fn unusable(&mut self, of_a_file: bool, why: impl Into<String>) {
        if of_a_file { self.settings(why) } else { self.usage(why) }
    }

    /// Something in the tree.
    pub(super) fn found(&mut self, why: impl Into<String>) {
        self.all.push(why.into());
    }

    /// The end, where anything stands in the way.
    ///
    /// # Errors
    /// All findings at once.
    pub(super) fn refuse(self) -> Result<(), Failure> {
        let exit = match (self.is_usage, self.is_settings) {
            (true, _) => Exit::Usage,
            (false, true) => Exit::BadSettings,
            (false, false) => Exit::No,
        };
        if self.all.is_empty() { Ok(()) } else { Err(Failure::all(exit, self.all)) }
    }
}
