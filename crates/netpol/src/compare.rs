//! The policies of one CNI beside those of another, packet by packet.

mod bound;
mod meanwhile;

use std::collections::BTreeSet;

use serde::Serialize;
use snapshot::model::Text;

pub use self::bound::Bound;
pub use self::meanwhile::{MixedComparison, meanwhile};
use super::gather::Policies;
use super::tier::Enforcement;
use super::verdict::{Difference, differences};
use super::world::{Cluster, World};

/// How many packets are shown. Each of them is by another pair of rules.
const SHOWN: usize = 20;

/// What came of a comparison.
#[derive(Debug)]
pub struct Comparison {
    /// Packets that are treated in another way; none is the proof that all are treated alike.
    pub differences: Vec<Difference>,
    /// What both sides were compared in.
    pub bound: Bound,
    /// The same, with all parties.
    pub world: World,
}

/// What a different treatment does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Packets are let through that were dropped.
    Widens,
    /// Packets are dropped that were let through.
    Narrows,
    /// Either may happen.
    Unknown,
    /// No packet is treated in another way.
    Nothing,
}

/// Compares policies as they are enforced now with policies as they would be enforced, in a cluster with or without namespaces to come.
///
/// # Errors
/// What an evaluator does not take of all policies together, in one line: a tier that is not there, or two policies of which nobody knows which comes
/// first.
pub fn compare(
    cluster: &Cluster,
    before: &Policies,
    after: &Policies,
    with_new_namespaces: bool,
) -> Result<Comparison, String> {
    let mentions = before.mentions()?.with(after.mentions()?);
    let world = World::bounded(cluster, &mentions, with_new_namespaces);
    let (old, new) = (before.enforcement(&world)?, after.enforcement(&world)?);
    let found = distinct(&world, &old, &new).take(SHOWN).collect();
    Ok(Comparison { differences: found, bound: Bound::of(&world, with_new_namespaces), world })
}

/// Packets that are treated in another way, one for each pair of rules by which they are.
fn distinct<'w>(
    world: &'w World,
    before: &'w Enforcement,
    after: &'w Enforcement,
) -> impl Iterator<Item = Difference> + 'w {
    let mut seen = BTreeSet::new();
    differences(world, before, after).filter(move |difference| seen.insert(difference.rules()))
}

impl Difference {
    /// What tells it from others: the rules that decide before and after, and whether the first lets the packet through.
    #[must_use]
    pub fn rules(&self) -> (Option<Text>, Option<Text>, bool) {
        (self.before.decided_by.clone(), self.after.decided_by.clone(), self.before.allowed)
    }

    /// What the other treatment does.
    #[must_use]
    pub const fn effect(&self) -> Effect {
        if self.before.allowed { Effect::Narrows } else { Effect::Widens }
    }
}
