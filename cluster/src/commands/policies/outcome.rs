//! The outcome of writes to the cluster, object by object.

use types::command::problem::Problem;

use crate::live::{WriteOutcome, WriteReport};
use crate::print::Document;

/// How many problems people see.
const SHOWN: usize = 30;

/// In words.
pub(super) const fn describe_outcome(became: WriteOutcome) -> &'static str {
    match became {
        WriteOutcome::WouldCreate => "would be created",
        WriteOutcome::WouldReplace => "would be replaced",
        WriteOutcome::AwaitsTier => "to be tried once its tier is there",
        WriteOutcome::Unchanged => "unchanged",
        WriteOutcome::Created => "created",
        WriteOutcome::Replaced => "replaced",
        WriteOutcome::NotWritten => "not written",
        WriteOutcome::Unknown => "unknown, since the answer was lost",
    }
}

/// Adds a table of all objects, and what stood in the way.
pub(super) fn add_outcomes(document: &mut Document, objects: &[WriteReport], problems: &[Problem]) {
    if !objects.is_empty() {
        let row = |report: &WriteReport| {
            vec![report.object.to_string(), describe_outcome(report.outcome).into(), report.added.join(" ")]
        };
        document.table(vec!["OBJECT", "WHAT", "FIELDS ADDED"], objects.iter().map(row).collect());
    }
    if !problems.is_empty() {
        document.heading("What stands in the way");
        document.list(problems.iter().map(|problem| format!("{}; {}", problem.what, problem.fix)), SHOWN);
    }
}
