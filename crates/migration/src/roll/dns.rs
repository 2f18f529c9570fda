//! Which DNS pods must stay until others are ready.

use types::observed::NAMED;
use types::policy::Phase;

use super::view::{View, is_unheard};
use super::world::{Pod, Trait};
use crate::reach;

/// Why a DNS pod must stay for now; none if it may go, or if the pod is no such one.
///
/// In its zone all but one of the DNS pods stay ready, and at least one. Where it is the only one of its zone, two others are ready in other zones, or
/// the other one of a cluster that has just two: otherwise two DNS pods in two zones could never move.
#[must_use]
pub(super) fn needed(view: &View<'_>, pod: &Pod) -> Option<String> {
    if !pod.is(Trait::Dns) {
        return None;
    }
    let zone_of =
        |pod: &Pod| view.world.nodes.get(&pod.node).map(|node| node.zone.clone()).unwrap_or_default();
    let zone = zone_of(pod);
    let stays = |other: &&Pod| other.uid != pod.uid;
    let (here, elsewhere): (Vec<&Pod>, Vec<&Pod>) =
        view.ready_dns().filter(stays).partition(|other| zone_of(other) == zone);
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let (here, elsewhere) = (count(here.len()), count(elsewhere.len()));
    // Those that are being replaced count as pods that the zone has.
    let is_dns = |other: &&Pod| other.is(Trait::Dns) && !other.is(Trait::Finished);
    let of_cluster: Vec<&Pod> = view.world.pods.values().filter(is_dns).collect();
    let all = count(of_cluster.iter().filter(|other| zone_of(other) == zone).count());
    if all <= 1 {
        let least = of_others(of_cluster.len());
        if count(least) > elsewhere {
            return Some(format!(
                "it is the only DNS pod of its zone; {elsewhere} others are ready in other zones, and {least} must be"
            ));
        }
    } else if here < all.saturating_sub(1).max(1) {
        return Some(format!(
            "{here} other DNS pods of its zone are ready, and {} must be",
            all.saturating_sub(1).max(1)
        ));
    }
    unreached(view, pod).map(|phase| format!("pods in phase {phase} would reach no DNS pod"))
}

/// How many DNS pods must be ready in other zones for the only one of a zone to go, in a cluster that has so many in all.
fn of_others(all: usize) -> usize {
    all.saturating_sub(1).clamp(1, 2)
}

/// A phase of living pods that would reach no DNS pod without this one. It need not stay for itself, nor for others of its kind.
///
/// Where pods of forbidden phases live, some may reach no DNS pod at all: those lose nothing.
fn unreached(view: &View<'_>, pod: &Pod) -> Option<Phase> {
    if view.is_bridged() {
        return None;
    }
    let others: Vec<Vec<Phase>> =
        view.ready_dns().filter(|other| other.uid != pod.uid).map(|other| phases(view, other)).collect();
    let own = phases(view, pod);
    let reaches = |client: Phase, server: &Phase| !reach::needs_bridge(client, *server);
    let may_need = |client: &Phase| own.iter().any(|server| reaches(*client, server));
    let has_other = |client: &Phase| {
        others.iter().any(|phases| !phases.is_empty() && phases.iter().all(|server| reaches(*client, server)))
    };
    view.client_phases().into_iter().find(|client| may_need(client) && !has_other(client))
}

/// The phases that a pod may have: that of its node, unless the node names it as one of another phase. All of them if what the node says is of an earlier boot.
fn phases(view: &View<'_>, pod: &Pod) -> Vec<Phase> {
    let Some(node) = view.world.nodes.get(&pod.node) else { return Vec::new() };
    if is_unheard(node) {
        return Phase::ALL.to_vec();
    }
    let Some(observed) = &node.observed else { return node.phases().collect() };
    let of_others = observed.attached.iter().flat_map(|attached| attached.by_phase.keys().copied());
    let of_others = of_others.filter(|phase| Some(*phase) != observed.phase);
    let named = observed.attached.iter().flat_map(|attached| &attached.others);
    let is_named = named.clone().any(|other| pod.uid.starts_with(other.as_str()));
    // A list that is full may lack it.
    let is_doubtful = named.count() >= NAMED;
    let of_node = observed.phase.filter(|_| !is_named);
    of_others.filter(|_| is_named || is_doubtful).chain(of_node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_dns_pods_in_two_zones_can_move() {
        for (all, others) in [(1, 1), (2, 1), (3, 2), (12, 2)] {
            assert_eq!(of_others(all), others, "{all} DNS pods");
        }
    }
}
