//! What policies mean in the middle of a migration, when pods of both networks are there.

use super::{Comparison, SHOWN, distinct};
use crate::gather::{Engine, Policies};
use crate::tier::Enforcement;
use crate::verdict::Difference;
use crate::world::World;

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
/// As [`super::compared`].
pub fn meanwhile(
    comparison: &Comparison,
    before: &Policies,
    after: &Policies,
) -> Result<MixedComparison, String> {
    let world = comparison.world.mixed();
    // All pods have the old network before the migration, so that its CNI knows all of them.
    let known = before.enforcement(&world)?;
    let describe = |policies: &Policies| {
        let seen = seen(policies.engine(), &world);
        let seen = seen.as_ref().unwrap_or(&world);
        Ok::<_, String>(of(seen, &known, &policies.enforcement(seen)?))
    };
    Ok(MixedComparison { old: describe(before)?, new: describe(after)?, world })
}

/// The world as a CNI sees it; none if it knows all pods, whatever their network: those of Kubernetes' API, by their addresses.
fn seen(engine: Engine, world: &World) -> Option<World> {
    match engine {
        Engine::Cilium(_) => Some(world.by_identity()),
        Engine::Kubernetes(_) | Engine::Calico | Engine::Antrea => None,
    }
}

fn of(world: &World, before: &Enforcement, after: &Enforcement) -> Vec<Difference> {
    distinct(world, before, after).take(SHOWN).collect()
}
