//! The requirements of a migration, and the evidence that a cluster meets them.
//!
//! The support matrix is data: [`PAIRS`] are the pairs of CNIs, and each [`Requirement`] is a row with the kinds that it reads. To add a row, add
//! it to the list of its topic.

mod addresses;
mod dump;
mod new_cni;
mod nodes;
mod old_cni;
mod pair;

use serde::Serialize;

use crate::check::Scene;
use crate::check::finding::Rule;
use crate::cni::support::Cni;

pub use dump::script;
pub use pair::{Evidence, PAIRS, Pair};
use snapshot::model::{Kind, Snapshot};

/// One row: something that must hold.
#[derive(Debug, Clone, Copy)]
pub struct Requirement {
    /// Its name: `kubelet-version`.
    pub name: &'static str,
    /// What must hold, in a sentence.
    pub what: &'static str,
    /// Why it matters, in a sentence.
    pub why: &'static str,
    /// The rules of findings that say the same in more detail. Where `check` has one of them, it does not report this row as well, unless the row is
    /// not met and none of them blocks.
    pub found_by: &'static [&'static Rule],
    /// The CNI that it is about: the old one or the new one must be this one. None is about every migration.
    pub scope: Scope,
    /// The kinds that it reads.
    pub needs: &'static [Kind],
    pub state: fn(&Scene<'_>) -> State,
}

/// Which migrations a row is about.
#[derive(Debug, Clone, Copy)]
pub enum Scope {
    /// Every migration.
    All,
    /// Those from one of these CNIs.
    From(&'static [Cni]),
    /// Those to one of these CNIs.
    To(&'static [Cni]),
}

/// Whether a row holds in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum State {
    /// It holds.
    Met {
        /// What was seen.
        seen: String,
    },
    /// It does not hold.
    NotMet {
        /// What was seen.
        seen: String,
        /// What to do.
        fix: String,
    },
    /// It is not known.
    Unknown {
        /// What is missing.
        seen: String,
        /// What to do.
        fix: String,
    },
}

/// A row and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Row {
    /// The name of the requirement.
    pub name: &'static str,
    /// What must hold.
    pub what: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// Whether it holds.
    #[serde(flatten)]
    pub state: State,
}

/// The requirements of a migration, in the order of the output.
pub fn for_migration(from: Cni, to: Cni) -> impl Iterator<Item = &'static Requirement> {
    let topics = [pair::ROWS, nodes::ROWS, old_cni::ROWS, new_cni::ROWS, addresses::ROWS];
    topics.into_iter().flatten().filter(move |row| match row.scope {
        Scope::All => true,
        Scope::From(cnis) => cnis.contains(&from),
        Scope::To(cnis) => cnis.contains(&to),
    })
}

/// All rows of a migration, each with its state in this cluster.
#[must_use]
pub fn rows(scene: &Scene<'_>) -> Vec<Row> {
    for_migration(scene.from, scene.to).map(|requirement| requirement.row(scene)).collect()
}

impl Requirement {
    /// The row, with its state in this cluster.
    #[must_use]
    pub fn row(&self, scene: &Scene<'_>) -> Row {
        let missing = self.missing_kinds(scene.snapshot);
        let state = if missing.is_empty() { (self.state)(scene) } else { missing_state(&missing) };
        Row { name: self.name, what: self.what, why: self.why, state }
    }

    /// The kinds that the row reads and the snapshot does not have.
    #[must_use]
    pub fn missing_kinds(&self, snapshot: &Snapshot) -> Vec<Kind> {
        self.needs.iter().copied().filter(|kind| !snapshot.knows(*kind)).collect()
    }
}

impl Row {
    /// The row and its state in one sentence: `Every node runs Linux: not met, a (windows)`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let (state, evidence, _) = self.state.words();
        format!("{}: {state}, {evidence}", self.what.trim_end_matches('.'))
    }
}

fn missing_state(missing: &[Kind]) -> State {
    let names: Vec<&str> = missing.iter().map(|kind| kind.name()).collect();
    let resources: Vec<String> = missing.iter().map(|kind| kind.resource()).collect();
    State::unknown(
        format!("the snapshot has no {}", names.join(", ")),
        format!("kubectl get {} -A -o json > more.json, and add --snapshot more.json", resources.join(",")),
    )
}

impl State {
    fn met(evidence: impl Into<String>) -> Self {
        Self::Met { seen: evidence.into() }
    }

    fn not_met(evidence: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::NotMet { seen: evidence.into(), fix: fix.into() }
    }

    fn unknown(evidence: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Unknown { seen: evidence.into(), fix: fix.into() }
    }

    #[must_use]
    pub const fn is_met(&self) -> bool {
        matches!(self, Self::Met { .. })
    }

    /// Its name, what was seen, and what to do.
    #[must_use]
    pub fn words(&self) -> (&'static str, &str, &str) {
        match self {
            Self::Met { seen: evidence } => ("met", evidence, ""),
            Self::NotMet { seen: evidence, fix } => ("not met", evidence, fix),
            Self::Unknown { seen: evidence, fix } => ("unknown", evidence, fix),
        }
    }
}

#[cfg(test)]
mod tests;
