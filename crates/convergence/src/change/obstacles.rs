//! The obstacles of a command: every problem that keeps it from starting. A command collects all of it before it touches anything, so that one run names every
//! problem.
//!
//! | among the findings | the command ends with |
//! |---|---|
//! | options that make no sense together | 2, whatever else was found |
//! | a settings file that cannot be used | 78 |
//! | anything else on the node or in the tree | 3 |
//! | nothing | the command goes on |

use types::command::exit::Exit;
use types::command::problem::Problem;

use crate::failure::Failure;

/// Everything that stands in the way of a command, and the exit status that follows from it.
#[derive(Debug, Default)]
pub struct Obstacles {
    /// The problems, in the order in which they were found.
    pub findings: Vec<Problem>,
    worst: Kind,
}

/// What kind of problem decides the exit status; a later one outranks those before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    #[default]
    Found,
    Settings,
    Usage,
}

impl Obstacles {
    /// Adds something that was found on the node or in the tree.
    pub fn add(&mut self, finding: impl Into<Problem>) {
        self.push(Kind::Found, finding);
    }

    /// Adds each of these, as [`Obstacles::add`] does.
    pub fn extend(&mut self, findings: impl IntoIterator<Item = impl Into<Problem>>) {
        findings.into_iter().for_each(|finding| self.add(finding));
    }

    /// Adds what is wrong with a settings file, if anything is.
    pub fn add_settings(&mut self, finding: Option<impl Into<Problem>>) {
        finding.into_iter().for_each(|finding| self.push(Kind::Settings, finding));
    }

    /// Adds what is wrong with the command line.
    pub fn add_usage(&mut self, finding: impl Into<Problem>) {
        self.push(Kind::Usage, finding);
    }

    fn push(&mut self, kind: Kind, finding: impl Into<Problem>) {
        self.worst = self.worst.max(kind);
        self.findings.push(finding.into());
    }

    /// Ends the command if anything stands in its way.
    ///
    /// # Errors
    /// All findings at once.
    pub fn refuse(self) -> Result<(), Failure> {
        if self.findings.is_empty() { Ok(()) } else { Err(self.failure()) }
    }

    /// The failure of the command, for a caller that knows that something was found.
    #[must_use]
    pub fn failure(self) -> Failure {
        let exit = match self.worst {
            Kind::Usage => Exit::Usage,
            Kind::Settings => Exit::BadSettings,
            Kind::Found => Exit::No,
        };
        Failure::all(exit, self.findings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table() {
        for (usage, settings, has_obstacle, expected) in [
            (false, false, false, None),
            (false, false, true, Some(Exit::No)),
            (false, true, false, Some(Exit::BadSettings)),
            (false, true, true, Some(Exit::BadSettings)),
            (true, false, false, Some(Exit::Usage)),
            (true, false, true, Some(Exit::Usage)),
            (true, true, false, Some(Exit::Usage)),
            (true, true, true, Some(Exit::Usage)),
        ] {
            let mut obstacles = Obstacles::default();
            // The worst comes first, so that a later finding could lower the exit status.
            if usage {
                obstacles.add_usage("--old and --new are the same");
            }
            obstacles.add_settings(settings.then_some("policy.json: not JSON"));
            obstacles.extend(has_obstacle.then_some("a conf is in the way"));
            let refused = obstacles.refuse().err();
            let count = [usage, settings, has_obstacle].into_iter().filter(|is| *is).count();
            assert_eq!(refused.as_ref().map(|failure| failure.exit), expected);
            assert_eq!(refused.map_or(0, |failure| failure.problems.len()), count);
        }
    }
}
