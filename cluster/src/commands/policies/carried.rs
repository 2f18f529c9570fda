//! What became of objects that were to be written to the cluster.

use types::problem::Problem;

use crate::live::{Became, Written};
use crate::print::Document;

/// How many problems people see.
const SHOWN: usize = 30;

/// In words.
pub(super) const fn said(became: Became) -> &'static str {
    match became {
        Became::WouldCreate => "would be created",
        Became::WouldReplace => "would be replaced",
        Became::AwaitsTier => "to be tried once its tier is there",
        Became::Unchanged => "unchanged",
        Became::Created => "created",
        Became::Replaced => "replaced",
        Became::NotWritten => "not written",
        Became::Unknown => "unknown, since the answer was lost",
    }
}

/// Adds a table of all objects, and what stood in the way.
pub(super) fn carried(document: &mut Document, objects: &[Written], problems: &[Problem]) {
    if !objects.is_empty() {
        let row = |one: &Written| vec![one.object.to_string(), said(one.became).into(), one.added.join(" ")];
        document.table(vec!["OBJECT", "WHAT", "FIELDS ADDED"], objects.iter().map(row).collect());
    }
    if !problems.is_empty() {
        document.heading("What stands in the way");
        document.list(problems.iter().map(|problem| format!("{}; {}", problem.what, problem.fix)), SHOWN);
    }
}
