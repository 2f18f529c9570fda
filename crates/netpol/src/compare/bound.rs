//! In which world both sides were compared: what a proof holds for.

use serde::Serialize;

use crate::world::{PartyKind, World};

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
    pub(super) fn of(world: &World, with_new_namespaces: bool) -> Self {
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
