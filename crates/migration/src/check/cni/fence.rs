//! On which nodes the agents of both CNIs run, now and on nodes to come.

mod words;

use std::collections::BTreeMap;

use snapshot::model::{Kind, Workload};

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::cni::support::{Cni, Strategy};
use crate::workload::{Agent, Place, Refusal, agents, futures, platform};

pub(crate) use words::{AGENT_NEW_ABSENT, AGENT_OLD_ABSENT};

pub(in crate::check) const CHECK: Check = Check {
    name: "fence",
    rules: &[
        &AGENT_CONTROLLER_HOMELESS,
        &words::AGENT_MISSING,
        &AGENT_NEW_ABSENT,
        &words::AGENT_NOT_READY,
        &AGENT_OLD_ABSENT,
        &words::AGENT_RESTARTS,
        &words::AGENT_TWICE,
        &words::FENCE_MIXED,
        &words::FENCE_UNPROVEN,
    ],
    needs: &[
        Need::Always(Kind::NODE),
        Need::Always(Kind::DAEMON_SET),
        Need::Always(Kind::DEPLOYMENT),
        Need::Always(Kind::KARPENTER_NODE_POOL),
    ],
    run,
};

/// A node, or a pool of nodes to come, and the agents that run there.
struct Spot<'a> {
    subject: Subject,
    old: Side<'a>,
    new: Side<'a>,
}

/// The DaemonSets of one CNI: those that run on a node, and why the others do not.
struct Side<'a> {
    runs: Vec<&'a Workload>,
    refused: Vec<(&'a Workload, Refusal)>,
}

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let (old, new) = (agents(scene, scene.from), agents(scene, scene.to));
    let mut findings = Vec::new();
    if old.is_empty() {
        findings.push(words::old_absent(scene.from));
    }
    if new.is_empty() {
        findings.push(words::new_absent(scene.to));
    }
    let spots = spots(scene, &old, &new);
    findings.extend(find_missing(scene, &spots, !old.is_empty(), !new.is_empty()));
    findings.extend(find_doubled(&spots));
    if scene.strategy == Strategy::Rotation && !old.is_empty() && !new.is_empty() {
        findings.extend(find_mixed(scene, &spots));
        findings.extend(words::restarts(&old, &new));
        if futures(scene).is_empty() {
            findings.push(Finding::new(&words::FENCE_UNPROVEN));
        }
    }
    findings.extend(words::unready_finding(old.iter().chain(&new)));
    findings.extend(homeless(scene));
    findings
}

/// Every node on which agents can run, and every pool of nodes to come.
fn spots<'a>(scene: &Scene<'a>, old: &[Agent<'a>], new: &[Agent<'a>]) -> Vec<Spot<'a>> {
    let spot =
        |subject: Subject, place: Place<'_>| Spot { subject, old: side(old, place), new: side(new, place) };
    let nodes = scene.snapshot.nodes.iter().filter(|node| platform(node).is_none());
    let present = nodes.map(|node| spot(Subject::new(Kind::NODE, node.name()), Place::from_node(node)));
    let futures = futures(scene);
    let to_come = futures.iter().map(|pool| spot(pool.subject.clone(), pool.place()));
    present.chain(to_come).collect()
}

fn side<'a>(agents: &[Agent<'a>], place: Place<'_>) -> Side<'a> {
    let mut side = Side { runs: Vec::new(), refused: Vec::new() };
    for Agent { daemon_set, .. } in agents {
        match place.refusal(&daemon_set.spec.template.spec) {
            None => side.runs.push(daemon_set),
            Some(refusal) => side.refused.push((daemon_set, refusal)),
        }
    }
    side
}

/// Nodes without an agent that they need: both, or one of both where nodes are replaced.
fn find_missing(scene: &Scene<'_>, spots: &[Spot<'_>], has_old: bool, has_new: bool) -> Option<Finding> {
    let runs = spots.iter().flat_map(|spot| spot.old.runs.iter().chain(&spot.new.runs));
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for workload in runs {
        *counts.entry((workload.namespace(), workload.name())).or_default() += 1;
    }
    let popular = |workload: &Workload| {
        counts.get(&(workload.namespace(), workload.name())).copied().unwrap_or_default()
    };
    let mut objects = Vec::new();
    let mut causes: BTreeMap<(String, Refusal), Vec<String>> = BTreeMap::new();
    for spot in spots {
        let (old, new) = (has_old && spot.old.runs.is_empty(), has_new && spot.new.runs.is_empty());
        let lacks: Vec<&Side<'_>> = match scene.strategy {
            Strategy::Rotation if has_old && has_new && !(old && new) => Vec::new(),
            Strategy::Double | Strategy::Bridge | Strategy::Rotation => {
                let sides = [(old, &spot.old), (new, &spot.new)];
                sides.into_iter().filter_map(|(lacks, side)| lacks.then_some(side)).collect()
            }
        };
        for side in lacks {
            // One agent of a CNI is enough: the one that runs on most of the other nodes.
            let most = side.refused.iter().rev().max_by_key(|(workload, _)| popular(workload));
            let Some((daemon_set, refusal)) = most else { continue };
            let name = format!("{}/{}", daemon_set.namespace(), daemon_set.name());
            objects.push(spot.subject.clone().detail(format!("{name} does not run there: {refusal}")));
            causes.entry((name, refusal.clone())).or_default().push(spot.subject.to_string());
        }
    }
    let tolerations = |name: &str| {
        let is_named =
            |workload: &&Workload| name.split_once('/') == Some((workload.namespace(), workload.name()));
        let existing = scene.snapshot.workloads(Kind::DAEMON_SET).iter().find(is_named);
        existing.map(|workload| workload.spec.template.spec.tolerations.clone()).unwrap_or_default()
    };
    (!objects.is_empty())
        .then(|| words::missing_finding(scene.strategy, &causes, tolerations).with_objects(objects))
}

/// Nodes that two DaemonSets of one CNI select.
fn find_doubled(spots: &[Spot<'_>]) -> Option<Finding> {
    let mut objects = Vec::new();
    for spot in spots {
        for side in [&spot.old, &spot.new] {
            if let [first, .., last] = side.runs.as_slice() {
                let names = format!(
                    "{}/{} and {}/{}",
                    first.namespace(),
                    first.name(),
                    last.namespace(),
                    last.name()
                );
                objects.push(spot.subject.clone().detail(names));
            }
        }
    }
    (!objects.is_empty()).then(|| Finding::new(&words::AGENT_TWICE).with_objects(objects))
}

/// Where nodes are replaced, every node runs both agents, or every node exactly one; the agents of the Amazon VPC CNI and Cilium never share a node.
fn find_mixed(scene: &Scene<'_>, spots: &[Spot<'_>]) -> Option<Finding> {
    let both = |spot: &&Spot<'_>| !spot.old.runs.is_empty() && !spot.new.runs.is_empty();
    let with_both: Vec<&Spot<'_>> = spots.iter().filter(both).collect();
    let must_be_apart = scene.from == Cni::AwsVpcCni;
    if with_both.is_empty() || with_both.len() == spots.len() && !must_be_apart {
        return None;
    }
    let agents = |spot: &Spot<'_>| {
        let all = spot.old.runs.iter().chain(&spot.new.runs);
        all.map(|workload| format!("{}/{}", workload.namespace(), workload.name()))
            .collect::<Vec<_>>()
            .join(", ")
    };
    // What most nodes run is meant, and the others are to be mended.
    let mean_both = !must_be_apart && with_both.len() * 2 > spots.len();
    let lacking = |spot: &Spot<'_>| {
        let sides = [&spot.old, &spot.new].into_iter().filter(|side| side.runs.is_empty());
        let refused = sides.filter_map(|side| side.refused.first());
        let reasons: Vec<String> = refused
            .map(|(workload, why)| {
                format!("{}/{} does not run there: {why}", workload.namespace(), workload.name())
            })
            .collect();
        reasons.join("; ")
    };
    let objects = spots.iter().filter(|spot| both(spot) != mean_both).map(|spot| {
        let detail = if mean_both { lacking(spot) } else { format!("runs {}", agents(spot)) };
        spot.subject.clone().detail(detail)
    });
    Some(
        words::mixed_finding(must_be_apart, mean_both, &with_both[0].old.runs, &with_both[0].new.runs)
            .with_objects(objects),
    )
}

const AGENT_CONTROLLER_HOMELESS: Rule = Severity::Blocks.rule(
    "agent-controller-homeless",
    "Controllers of a CNI can run on no node.",
    "Without its controller an agent gets no address range, and start-up taints stay on the nodes.",
    r#"Correct the node selector, or tolerate the taints: `kubectl -n NAMESPACE patch deployment NAME --type merge -p '{"spec":{"template":{"spec":{"tolerations":[{"operator":"Exists"}]}}}}'`"#,
);

/// Controllers that no node takes.
fn homeless(scene: &Scene<'_>) -> Option<Finding> {
    let is_controller = |deployment: &&Workload| {
        let mut names =
            deployment.spec.template.spec.containers.iter().map(|container| container.name.as_ref());
        names.any(|name| [scene.from, scene.to].iter().any(|cni| cni.facts().controllers.contains(&name)))
    };
    let nodes: Vec<_> = scene
        .snapshot
        .nodes
        .iter()
        .filter(|node| platform(node).is_none() && !node.spec.unschedulable)
        .collect();
    let mut objects = Vec::new();
    for deployment in scene.snapshot.workloads(Kind::DEPLOYMENT).iter().filter(is_controller) {
        let spec = &deployment.spec.template.spec;
        let refusals: Vec<_> =
            nodes.iter().map(|node| (node.name(), Place::from_node(node).refusal(spec))).collect();
        if refusals.iter().all(|(_, refusal)| refusal.is_some()) {
            let why = refusals
                .iter()
                .find_map(|(name, refusal)| refusal.as_ref().map(|why| format!("{name}: {why}")));
            let why = why.unwrap_or_else(|| "every node is cordoned".into());
            objects.push(Subject::from_meta(Kind::DEPLOYMENT, &deployment.metadata).detail(why));
        }
    }
    (!objects.is_empty())
        .then(|| Finding::new(&AGENT_CONTROLLER_HOMELESS).with_commands(&objects).with_objects(objects))
}

#[cfg(test)]
mod tests;
