//! What checks read.

use std::collections::BTreeSet;

use snapshot::model::Kind;

use super::ALL;
use crate::cni::requirements;
use crate::cni::support::Cni;

/// A kind that a check reads.
#[derive(Debug, Clone, Copy)]
pub enum Need {
    /// In every migration.
    Always(Kind),
    /// If the cluster moves from this CNI.
    From(Cni, Kind),
    /// If the cluster moves to this CNI.
    To(Cni, Kind),
    /// If the cluster moves from or to this CNI.
    With(Cni, Kind),
}

impl Need {
    /// The kind, if this migration needs it.
    #[must_use]
    pub fn of(self, from: Cni, to: Cni) -> Option<Kind> {
        match self {
            Self::Always(kind) => Some(kind),
            Self::From(cni, kind) => (cni == from).then_some(kind),
            Self::To(cni, kind) => (cni == to).then_some(kind),
            Self::With(cni, kind) => (cni == from || cni == to).then_some(kind),
        }
    }
}

/// All kinds that the checks and requirements of a migration read.
#[must_use]
pub fn kinds(from: Cni, to: Cni) -> BTreeSet<Kind> {
    let required = requirements::of_migration(from, to).flat_map(|row| row.needs).copied();
    let checked = ALL.iter().flat_map(|check| check.needs).filter_map(|need| need.of(from, to));
    checked.chain(required).collect()
}
