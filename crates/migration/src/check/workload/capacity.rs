//! The room of the other nodes for the pods of those in transit.
//!
//! The sum of requests is compared, as the scheduler counts them, so fragmentation is seen for the largest pods only.

use std::collections::{BTreeMap, HashMap, HashSet};

use snapshot::model::{Kind, Node, Pod};

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::cni::support::Strategy;
use crate::config::roll::Method;
use crate::workload::capacity::{RESOURCES, Request, barring, tenths};
use crate::workload::{Owner, Requests, is_movable, owner, platform, pool_of};

pub(in crate::check) const CHECK: Check = Check {
    name: "capacity",
    rules: &[&CAPACITY_SHORT, &CAPACITY_UNKNOWN, &POD_FITS_NOWHERE],
    needs: &[Need::Always(Kind::NODE), Need::Always(Kind::POD)],
    run,
};

/// A node and what is on it.
struct Load<'a> {
    node: &'a Node,
    /// What pods may request in sum.
    offer: Request,
    free: Request,
    /// What the pods request that would move to other nodes.
    moves: Request,
    /// Keys of the taints that keep pods away.
    taints: Vec<&'a str>,
    /// Takes new pods now.
    is_open: bool,
    /// Its pods must go elsewhere: it is drained, or goes itself.
    is_drained: bool,
}

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let mut requests = Requests::default();
    let loads = loads(scene, &mut requests);
    if loads.is_empty() {
        return Vec::new();
    }
    let silent: Vec<Subject> = loads
        .iter()
        .filter(|load| load.offer == Request::default())
        .map(|load| Subject::new(Kind::NODE, load.node.name()))
        .collect();
    if !silent.is_empty() {
        return vec![Finding::new(&CAPACITY_UNKNOWN).with_objects(silent)];
    }
    let mut findings = find_short(scene, &loads);
    findings.extend(find_nowhere(scene, &loads, &mut requests));
    findings
}

fn loads<'a>(scene: &Scene<'a>, requests: &mut Requests) -> Vec<Load<'a>> {
    let mut on: HashMap<&str, (Request, Request)> = HashMap::new();
    for pod in scene.snapshot.pods.iter().filter(|pod| !pod.is_finished()) {
        let request = requests.read(&pod.spec);
        let (all, moves) = on.entry(&pod.spec.node_name).or_default();
        *all += request;
        if is_movable(pod) {
            *moves += request;
        }
    }
    let nodes = scene.snapshot.nodes.iter().filter(|node| platform(node).is_none());
    nodes
        .map(|node| {
            let (all, moves) = on.get(node.name()).copied().unwrap_or_default();
            let offer = Request::from_resources(&node.status.allocatable);
            let taints = barring(node);
            let is_ready = node.condition("Ready").is_none_or(|ready| ready.status.as_ref() == "True");
            let is_open = is_ready && !node.spec.unschedulable;
            let is_drained = scene.strategy == Strategy::Rotation
                || scene.config.roll.method(pool_of(scene, node)) != Some(Method::Churn);
            Load { node, offer, free: offer.subtract(all), moves, taints, is_open, is_drained }
        })
        .collect()
}

const CAPACITY_UNKNOWN: Rule = Severity::Risk.rule(
    "capacity-unknown",
    "Nodes do not say what pods may request in sum.",
    "It is unknown whether the pods of the nodes in transit find room.",
    "Take the snapshot again, with status.allocatable of the nodes: kubectl get nodes -o json > nodes.json",
);

const CAPACITY_SHORT: Rule = Severity::Blocks.rule(
    "capacity-short",
    "The other nodes have no room for the pods of the nodes in transit.\n\n\
     With the strategy `rotation` it is a risk.",
    "Evicted pods stay Pending, and what they serve is down until their node is back.",
    "Add nodes of the same pool before the start. Or change the settings file: capacity: {inTransit: 1, marginPercent: 0} accepts less, and with roll: {methods: {POOL: churn}} pods come back to their nodes.",
);

/// For each set of taints: the fullest nodes with it, against all others whose taints their pods tolerate.
fn find_short(scene: &Scene<'_>, loads: &[Load<'_>]) -> Vec<Finding> {
    let settings = &scene.config.capacity;
    let mut groups: BTreeMap<&[&str], Vec<&Load<'_>>> = BTreeMap::new();
    for load in loads {
        groups.entry(&load.taints).or_default().push(load);
    }
    let mut objects = Vec::new();
    for (taints, group) in &groups {
        for (unit, count_of, size) in RESOURCES {
            let mut fullest: Vec<&&Load<'_>> =
                group.iter().filter(|load| load.is_drained && count_of(&load.moves) > 0).collect();
            fullest.sort_by_key(|load| (std::cmp::Reverse(count_of(&load.moves)), load.node.name()));
            fullest.truncate(settings.in_transit);
            let need: u128 = fullest.iter().map(|load| count_of(&load.moves)).sum();
            let is_left = |load: &&Load<'_>| fullest.iter().any(|full| std::ptr::eq(full.node, load.node));
            let rest = loads.iter().filter(|load| {
                load.is_open && load.taints.iter().all(|taint| taints.contains(taint)) && !is_left(load)
            });
            let (free, offer) = rest.fold((0, 0), |(free, offer), load| {
                (free + count_of(&load.free), offer + count_of(&load.offer))
            });
            let margin = offer * u128::from(settings.margin_percent) / 100;
            if need > free.saturating_sub(margin) {
                let shown = |amount: u128| tenths(amount, size);
                objects.extend(fullest.iter().map(|load| {
                    let detail = format!(
                        "needs {} {unit} with the other nodes in transit; {} are free, of which {} stay as a margin",
                        shown(need), shown(free), shown(margin)
                    );
                    Subject::new(Kind::NODE, load.node.name()).detail(detail)
                }));
            }
        }
    }
    if objects.is_empty() {
        return Vec::new();
    }
    let severity = if scene.strategy == Strategy::Rotation { Severity::Risk } else { Severity::Blocks };
    vec![
        Finding::new(&CAPACITY_SHORT)
            .severity(severity)
            .what(format!(
                "The other nodes have no room for the pods of {} in transit with a margin of {} %.",
                if settings.in_transit == 1 {
                    "one node".into()
                } else {
                    format!("{} nodes", settings.in_transit)
                },
                settings.margin_percent
            ))
            .with_objects(objects),
    ]
}

const POD_FITS_NOWHERE: Rule = Severity::Risk.rule(
    "pod-fits-nowhere",
    "Pods request more than any other node has free.",
    "The sum of what is free may be enough, but no single node has it. The pod stays Pending until its own node is back.",
    "Add a node that is large enough, or let these pods stay on their node: its pods are evicted without a cordon (roll: {methods: {POOL: churn}} in the settings file).",
);

/// Pods that request more than any other node has free, by owner.
fn find_nowhere(scene: &Scene<'_>, loads: &[Load<'_>], requests: &mut Requests) -> Option<Finding> {
    // For each amount: up to two nodes with room for it. A pod's own node is cordoned, so another one must be among them.
    let mut rooms: HashMap<(u128, u128), Vec<&str>> = HashMap::new();
    let mut details: BTreeMap<Owner<'_>, String> = BTreeMap::new();
    let drained: HashSet<&str> =
        loads.iter().filter(|load| load.is_drained).map(|load| load.node.name()).collect();
    let moves = |pod: &&Pod| is_movable(pod) && drained.contains(&*pod.spec.node_name);
    for pod in scene.snapshot.pods.iter().filter(moves) {
        let request = requests.read(&pod.spec);
        let rooms = rooms.entry((request.cpu, request.memory)).or_insert_with(|| {
            let fits = |load: &&Load<'_>| {
                load.is_open
                    && load.free.cpu >= request.cpu
                    && load.free.memory >= request.memory
                    && load.free.pods >= request.pods
            };
            loads.iter().filter(fits).map(|load| load.node.name()).take(2).collect()
        });
        if !rooms.iter().any(|node| *node != &*pod.spec.node_name) {
            let (cpu, memory) = (tenths(request.cpu, 1000), tenths(request.memory, 1000 * (1 << 30)));
            details.entry(owner(pod)).or_insert_with(|| {
                format!("{} on {} requests {cpu} cores and {memory} GiB", pod.name(), pod.spec.node_name)
            });
        }
    }
    (!details.is_empty()).then(|| {
        Finding::new(&POD_FITS_NOWHERE)
            .with_objects(details.into_iter().map(|(owner, detail)| owner.subject().detail(detail)))
    })
}

#[cfg(test)]
mod tests;
