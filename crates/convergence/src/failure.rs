//! The failure of a command.

use std::fmt;

use types::command::exit::Exit;
use types::command::problem::Problem;

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub struct Failure {
    /// The exit status.
    pub exit: Exit,
    /// Everything that stands in the way, found before anything was touched. What a problem does not say itself, its object and what to
    /// do next, is added when it is printed.
    pub problems: Vec<Problem>,
    /// Whether the problems begin with the change that failed, as those of the executor do.
    pub names_change: bool,
}

impl Failure {
    /// A failure of one line.
    pub fn new(exit: Exit, why: impl fmt::Display) -> Self {
        Self::all(exit, [why.to_string()])
    }

    /// A failure of one problem, which keeps its object and its next step.
    pub fn from_problem(exit: Exit, problem: impl Into<Problem>) -> Self {
        Self::all(exit, [problem])
    }

    /// A failure of all these lines or problems.
    pub fn all(exit: Exit, problems: impl IntoIterator<Item = impl Into<Problem>>) -> Self {
        Self { exit, problems: problems.into_iter().map(Into::into).collect(), names_change: false }
    }

    /// Bad settings.
    pub fn settings(why: impl fmt::Display) -> Self {
        Self::new(Exit::BadSettings, why)
    }

    /// A wrong argument.
    pub fn usage(why: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, why)
    }

    /// Something to try again later.
    pub fn try_later(why: impl fmt::Display) -> Self {
        Self::new(Exit::TryLater, why)
    }

    /// The same, about this object.
    #[must_use]
    pub fn with_place(mut self, place: impl fmt::Display) -> Self {
        self.problems =
            self.problems.into_iter().map(|problem| problem.with_place(place.to_string())).collect();
        self
    }

    /// The same, with what to do next.
    #[must_use]
    pub fn fix(mut self, fix: impl fmt::Display) -> Self {
        self.problems = self.problems.into_iter().map(|problem| problem.fix(fix.to_string())).collect();
        self
    }

    /// What stands in the way, one line each, with what to do next where that is known.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.problems.iter().map(Problem::to_string).collect()
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Failed, format!("{error:#}"))
    }
}
