//! The exit statuses of commands.

use types::command::exit::Exit;
use types::command::problem::Problem;

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit status.
    pub exit: Exit,
    /// Everything that stands in the way.
    pub problems: Vec<Problem>,
}

impl Failure {
    /// A failure of one problem.
    pub(crate) fn from_problem(exit: Exit, problem: impl Into<Problem>) -> Self {
        Self::all(exit, [problem.into()])
    }

    /// A failure of all these problems.
    pub(crate) fn all(exit: Exit, problems: impl IntoIterator<Item = Problem>) -> Self {
        Self { exit, problems: problems.into_iter().collect() }
    }
}
