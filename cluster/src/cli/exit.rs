//! How a command ends.

pub use types::command::exit::Exit;
use types::command::problem::Problem;

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub struct Failure {
    /// The exit status.
    pub exit: Exit,
    /// Everything that stands in the way.
    pub problems: Vec<Problem>,
}

impl Failure {
    /// A failure of one problem.
    pub fn of(exit: Exit, problem: impl Into<Problem>) -> Self {
        Self::all(exit, [problem.into()])
    }

    /// A failure of all these problems.
    pub fn all(exit: Exit, problems: impl IntoIterator<Item = Problem>) -> Self {
        Self { exit, problems: problems.into_iter().collect() }
    }
}
