//! The relations of a unit to other units: order, wants and requirements.
//!
//! *Source*: man 5 `systemd.unit`; an empty assignment does not take earlier ones back.

use std::path::{Path, PathBuf};

use super::exec::specify;
use super::syntax::Assignment;

/// How a unit is bound to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    After,
    Before,
    /// `Wants=`: the other is started with it, and may fail.
    Wants,
    /// `Requires=`, `Requisite=`, `BindsTo=`: where the other fails, this one is not started.
    Requires,
}

/// One unit that another one names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// How the two units relate.
    pub kind: Kind,
    /// The unit that is named.
    pub unit: String,
    /// The file that says so, as the node sees it.
    pub source: PathBuf,
}

/// The units that an assignment of the section `[Unit]` names; none where it is about something else.
pub(super) fn relations(assignment: &Assignment, unit: &str, file: &Path) -> Vec<Relation> {
    let kind = match assignment.key.as_str() {
        "After" => Kind::After,
        "Before" => Kind::Before,
        "Wants" => Kind::Wants,
        "Requires" | "Requisite" | "BindsTo" => Kind::Requires,
        _ => return Vec::new(),
    };
    let names = assignment.value.split_ascii_whitespace();
    names.map(|name| Relation { kind, unit: specify(name, unit), source: file.into() }).collect()
}
