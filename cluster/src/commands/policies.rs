//! `policies`: what network policies mean, the same in the words of another CNI, and how they are kept and brought back.

pub(crate) mod answer;
pub(crate) mod backup;
mod convert;
pub(crate) mod diff;
mod inputs;
pub(crate) mod observe;
pub(crate) mod restore;

pub(crate) use convert::{check, convert};
pub(crate) use diff::diff;
pub(super) use diff::in_cluster;
pub(super) use inputs::PolicyInputs;
pub(super) use observe::observe_in;

use types::command::problem::Problem;

use crate::live::{PolicyEvent, WriteOutcome, WriteReport};
use crate::print::{Document, Progress};

/// How many problems people see.
const SHOWN: usize = 30;

/// Shows what is read and written meanwhile.
fn show(progress: &Progress, event: &PolicyEvent<'_>) {
    match event {
        PolicyEvent::Listed(what, objects) => progress.passing(&format!("{what}: {objects}")),
        PolicyEvent::Again(what, why) => progress.event(&format!("{what}: again, since {why}")),
        PolicyEvent::Tried(id) => progress.passing(&format!("tried {id}")),
        PolicyEvent::Wrote(id) => progress.event(&format!("wrote {id}")),
    }
}

/// What became of an object, in words.
const fn describe_outcome(became: WriteOutcome) -> &'static str {
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
fn add_outcomes(document: &mut Document, objects: &[WriteReport], problems: &[Problem]) {
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
