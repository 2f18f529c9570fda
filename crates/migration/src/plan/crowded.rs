//! Whether a cluster is too full for its nodes to be drained, by the rule that a run asks before it drains one.

use std::collections::HashMap;

use super::site::{Survey, join_names};
use super::{Method, Plan};
use crate::check::Scene;
use crate::workload::capacity::{Place, Request, Room, Shortage, State, barring};
use crate::workload::{Requests, is_movable};

/// A note on the nodes that a run would not drain as the cluster is now; none if there is none.
pub(super) fn crowded(scene: &Scene<'_>, plan: &Plan, survey: &Survey<'_>) -> Option<String> {
    let mut on: HashMap<&str, (Request, Request)> = HashMap::new();
    let mut requests = Requests::default();
    for pod in scene.snapshot.pods.iter().filter(|pod| !pod.is_finished() && !pod.spec.node_name.is_empty()) {
        let (moves, stays) = on.entry(&pod.spec.node_name).or_default();
        *(if is_movable(pod) { moves } else { stays }) += requests.of(&pod.spec);
    }
    let mut room = Room::default();
    let mut drained: Vec<(&str, Place<'_>)> = Vec::new();
    for site in &survey.sites {
        let (moves, stays) = on.get(site.name()).copied().unwrap_or_default();
        let is_ready = site.node.condition("Ready").is_none_or(|ready| &*ready.status == "True");
        let state = if is_ready && !site.node.spec.unschedulable { State::Open } else { State::Closed };
        let offers = Request::offered(&site.node.status.allocatable);
        let place = Place { taints: barring(site.node), offers, moves, stays, state };
        room.add(place.clone());
        let pool = plan.pools.iter().find(|pool| &*pool.name == site.pool);
        let is_planned =
            || plan.waves.iter().flat_map(|wave| &wave.nodes).any(|planned| *planned.name == *site.name());
        if plan.fixes_stragglers() && !is_planned() {
            continue;
        }
        if state == State::Open && pool.is_none_or(|pool| pool.method == Method::Drain) {
            drained.push((site.name(), place));
        }
    }
    let short = |(name, place): &(&'_ str, Place<'_>)| {
        room.short(place, plan.margin_percent).map(|short| ((*name).to_owned(), short))
    };
    let short: Vec<(String, Shortage)> = drained.iter().filter_map(short).collect();
    let (first, why) = short.first()?;
    Some(format!(
        "The run drains none of these nodes before the others have room for its pods (NoCapacity): {}. For {first}, {why}.",
        join_names(short.iter().map(|(name, _)| name.as_str()))
    ))
}
