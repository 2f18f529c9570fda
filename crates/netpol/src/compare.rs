//! The policies of one CNI beside those of another, packet by packet.

use std::collections::BTreeSet;

use serde::Serialize;
use snapshot::model::Text;

use super::gather::{Engine, Policies};
use super::tier::Enforcement;
use super::verdict::{Difference, differences};
use super::world::{Cluster, PartyKind, World};

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
/// What an evaluator does not take of all policies together, in one line: a tier that is not there, or two policies of which it is not known which comes
/// first.
pub fn compare(
    cluster: &Cluster,
    before: &Policies,
    after: &Policies,
    with_new_namespaces: bool,
) -> Result<Comparison, String> {
    let mentions = before.mentions()?.with(after.mentions()?);
    let world = World::new_bounded(cluster, &mentions, with_new_namespaces);
    let (old, new) = (before.enforcement(&world)?, after.enforcement(&world)?);
    let shown_differences = distinct_differences(&world, &old, &new).take(SHOWN).collect();
    Ok(Comparison { differences: shown_differences, bound: Bound::new(&world, with_new_namespaces), world })
}

/// Packets that are treated in another way, one for each pair of rules by which they are.
fn distinct_differences<'w>(
    world: &'w World,
    before: &'w Enforcement,
    after: &'w Enforcement,
) -> impl Iterator<Item = Difference> + 'w {
    let mut rule_pairs = BTreeSet::new();
    differences(world, before, after).filter(move |difference| rule_pairs.insert(difference.rules()))
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

/// A world, by its numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Bound {
    /// Pods of the cluster at one address each; pods that no policy tells apart count once.
    pub pods: usize,
    /// Pods that do not exist yet.
    pub imagined: usize,
    /// Addresses of nodes.
    pub nodes: usize,
    /// Addresses outside of the cluster.
    pub outside: usize,
    /// Whether pods in namespaces that do not exist yet are among them.
    pub with_new_namespaces: bool,
}

impl Bound {
    fn new(world: &World, with_new_namespaces: bool) -> Self {
        let mut bound = Self { with_new_namespaces, ..Self::default() };
        for party in (0..world.len()).filter_map(|number| world.party(number)) {
            let count = match party.kind {
                PartyKind::Pod(..) => &mut bound.pods,
                PartyKind::Imagined(_) => &mut bound.imagined,
                PartyKind::Node(_) => &mut bound.nodes,
                PartyKind::Outside => &mut bound.outside,
            };
            *count += 1;
        }
        bound
    }
}

/// Packets that are treated in another way than before the migration, between pods of which some have one network and some the other.
#[derive(Debug)]
pub struct MixedComparison {
    /// Those of pods that still have the old network, where the old CNI enforces policies.
    pub old: Vec<Difference>,
    /// Those of pods that have the new network, if the new CNI enforces policies already.
    pub new: Vec<Difference>,
    /// All parties.
    pub world: World,
}

/// The policies of both CNIs in the world of a comparison, with pods of both networks.
///
/// # Errors
/// As [`crate::compare::compared`].
pub fn compare_mixed(
    comparison: &Comparison,
    before: &Policies,
    after: &Policies,
) -> Result<MixedComparison, String> {
    let world = comparison.world.mix();
    // All pods have the old network before the migration, so that its CNI knows all of them.
    let known_enforcement = before.enforcement(&world)?;
    let describe = |policies: &Policies| {
        let engine_world = engine_world(policies.engine(), &world);
        let engine_world = engine_world.as_ref().unwrap_or(&world);
        Ok::<_, String>(new(engine_world, &known_enforcement, &policies.enforcement(engine_world)?))
    };
    Ok(MixedComparison { old: describe(before)?, new: describe(after)?, world })
}

/// The world as a CNI sees it; none if it knows all pods, whatever their network: those of Kubernetes' API, by their addresses.
fn engine_world(engine: Engine, world: &World) -> Option<World> {
    match engine {
        Engine::Cilium(_) => Some(world.to_identity_world()),
        Engine::Kubernetes(_) | Engine::Calico | Engine::Antrea => None,
    }
}

fn new(world: &World, before: &Enforcement, after: &Enforcement) -> Vec<Difference> {
    distinct_differences(world, before, after).take(SHOWN).collect()
}
