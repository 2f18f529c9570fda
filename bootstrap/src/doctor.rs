//! `doctor`: everything that is wrong on this node, by symptom, each with its evidence, its cause and the command that mends it.
//!
//! The line: [`gather`] reads every source once and changes nothing -> [`decide`](convergence::doctor::decide) (pure: one small
//! function for each finding) -> [`report`](convergence::doctor::report).
//! A source that cannot be read is a finding or a line of the report, and never a failure of `doctor`.

pub(crate) mod gather;

use convergence::doctor::decide;
use convergence::doctor::report::Diagnosis;

use crate::cli::{self, Global};

/// Looks at everything, and says what is wrong.
#[must_use]
pub(crate) fn doctor(global: &Global, args: &cli::Doctor) -> Diagnosis {
    let facts = gather::gather(global, args);
    let findings = decide::decide(&facts);
    Diagnosis::new(&facts, findings)
}
