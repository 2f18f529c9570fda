//! Ways in which an operation may end, and the failures behind them.

use std::collections::BTreeSet;

use crate::stage::CallOutcome;

/// Ways in which an operation may end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ends(pub(super) BTreeSet<CallOutcome>);

impl Ends {
    pub(crate) fn success() -> Self {
        Self([CallOutcome::Success].into())
    }

    pub(crate) fn code(code: u64) -> Self {
        Self([CallOutcome::Code(code)].into())
    }

    pub(crate) fn or(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// One of these failures, in this order of importance; the first that is certain ends the search.
    pub(crate) fn first_of(failures: &[Failure]) -> Self {
        let mut ends = Self::default();
        for failure in failures {
            ends = ends.or(Self::code(failure.code));
            if failure.certain {
                return ends;
            }
        }
        ends.or(Self::success())
    }

    /// Any of these failures; success only if none is certain.
    pub(crate) fn any_of(failures: &[Failure]) -> Self {
        let certain = failures.iter().any(|failure| failure.certain);
        let ends = failures.iter().fold(Self::default(), |ends, failure| ends.or(Self::code(failure.code)));
        if certain { ends } else { ends.or(Self::success()) }
    }

    /// The failures among these ends; certain where success is not one of them.
    pub(crate) fn failures(&self) -> Vec<Failure> {
        let certain = !self.0.contains(&CallOutcome::Success);
        let code = |ended: &CallOutcome| if let CallOutcome::Code(code) = ended { Some(*code) } else { None };
        self.0.iter().filter_map(code).map(|code| Failure { code, certain }).collect()
    }

    pub(crate) fn allow(&self, ended: CallOutcome) -> bool {
        ended == CallOutcome::Killed || self.0.contains(&ended)
    }
}

/// A network or plugin that failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure {
    pub(crate) code: u64,
    /// Whether it must have been come to.
    pub(crate) certain: bool,
}
