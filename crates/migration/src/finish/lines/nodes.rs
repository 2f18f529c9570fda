//! The lines about Nodes: whether each is on the new network, and whether the old CNI keeps pods away from it.

use std::collections::BTreeMap;

use snapshot::Range;
use snapshot::model::{Kind, Node, Pod, Workload};
use types::policy::{PROBE_NAMESPACE, Phase};
use types::profile::Profiles;
use types::text::quote::shell_word;

use super::{Facts, Line, LineName, LineState, first_few};
use crate::check::Scene;
use crate::cni::support::Cni;
use crate::finish::cleaning::Cleaning;
use crate::plan::stragglers::find;
use crate::workload::{agents, is_final, platform, reported_now};

/// What each line is decided from that has to be known.
const NEEDED: [Kind; 3] = [Kind::NODE, Kind::POD, Kind::DAEMON_SET];

pub(super) fn moved(facts: &Facts<'_>) -> Line {
    let Facts { scene, .. } = facts;
    let name = LineName::Moved;
    let waits = |evidence: Vec<String>| Line::new(name, LineState::Waits, first_few(evidence));
    if let Some(kind) = NEEDED.into_iter().find(|kind| !scene.snapshot.knows(*kind)) {
        return waits(vec![format!("{}: they are not known", kind.resource())])
            .help("read them with the rights in deploy/cluster/rbac-viewer.yaml");
    }
    if let Some(run) = facts.open_run {
        return waits(vec![format!("run {run} is not over")])
            .help("kubectl crossfade status says what it waits for");
    }
    let survey = find(scene.snapshot, Phase::New, scene.config);
    let stragglers = survey.stragglers.iter().map(|group| {
        format!(
            "{} has {} pods on the old network, or on a node that does not report",
            group.owner,
            group.pods.len()
        )
    });
    let unnamed = survey
        .unnamed
        .iter()
        .map(|(node, count)| format!("Node/{node} has {count} more attachments of other phases"));
    let behind: Vec<String> = behind(facts).into_iter().chain(stragglers).chain(unnamed).collect();
    let unhealthy: Vec<String> = unready(facts).chain(unhealthy_agents(scene)).collect();
    let mut helps = Vec::new();
    if !behind.is_empty() {
        helps.push("kubectl crossfade roll stragglers names all pods, and what brings them over; of nodes without Crossfade, the addresses of pods tell: name the ranges in the settings file: networks: {new: {cidrs: [..]}}");
    }
    if !unhealthy.is_empty() {
        helps.push("repair or delete the nodes that are not Ready, and look at the new agents' logs; agents of other names are named in the settings file: agents: {new: [..]}");
    }
    let probing = witnesses(scene);
    if probing.is_some() {
        helps.push("kubectl crossfade probe --remove takes them away");
    }
    let evidence: Vec<String> = behind.into_iter().chain(unhealthy).chain(probing).collect();
    if evidence.is_empty() {
        return Line::done(
            name,
            format!("{} nodes, and no pod that is not on the new network alone", nodes(facts).len()),
        );
    }
    waits(evidence).help(helps.join("; "))
}

/// Agents that probe, and have the old network by a rule of their nodes, which no node reports.
fn witnesses(scene: &Scene<'_>) -> Option<String> {
    let mut sets = scene.snapshot.workloads(Kind::DAEMON_SET).iter();
    let is_old = |set: &&Workload| set.namespace() == PROBE_NAMESPACE && set.name() == "old";
    sets.find(is_old).map(|_| "agents of kubectl crossfade probe are on the old network".to_owned())
}

/// The Nodes as they were read last.
fn nodes<'a>(facts: &Facts<'a>) -> &'a [Node] {
    facts.inventory.current_nodes(facts.scene.snapshot)
}

/// Nodes that report another phase, and those that report none although they are not known to be of the new network.
fn behind(facts: &Facts<'_>) -> Vec<String> {
    let Facts { scene, .. } = facts;
    let new: Vec<Range> = scene.config.networks.new.cidrs.iter().copied().map(Range::from).collect();
    let mut on: BTreeMap<&str, Vec<&Pod>> = BTreeMap::new();
    for pod in scene.snapshot.pods.iter().filter(|pod| !pod.is_finished()) {
        on.entry(&pod.spec.node_name).or_default().push(pod);
    }
    let evidence = |node: &Node| match reported_now(node).and_then(|observation| observation.phase) {
        Some(Phase::New) => None,
        Some(phase) => Some(format!("Node/{} is in phase {phase}", node.name())),
        None => {
            let pods = on.get(node.name()).map_or(&[][..], Vec::as_slice);
            (!is_final(node, pods.iter().copied(), &new)).then(|| {
                format!("Node/{} reports no phase, and is not known to be of the new network", node.name())
            })
        }
    };
    nodes(facts).iter().filter(|node| platform(node).is_none()).filter_map(evidence).collect()
}

fn unready<'a>(facts: &Facts<'a>) -> impl Iterator<Item = String> + 'a {
    let is_ready =
        |node: &Node| node.condition("Ready").is_some_and(|condition| condition.status.as_ref() == "True");
    let unready = nodes(facts).iter().filter(move |node| platform(node).is_none() && !is_ready(node));
    unready.map(|node| format!("Node/{} is not Ready", node.name()))
}

/// Agents of the new CNI that do not run on each of their nodes.
fn unhealthy_agents(scene: &Scene<'_>) -> Vec<String> {
    let agents = agents(scene, scene.to);
    if agents.iter().all(|agent| agent.daemon_set.status.desired_number_scheduled == 0) {
        return vec![format!("no agent of {} is known to run on any node", scene.to)];
    }
    let lacking = |agent: &crate::workload::Agent<'_>| {
        let status = &agent.daemon_set.status;
        (status.number_ready < status.desired_number_scheduled).then(|| {
            format!(
                "DaemonSet/{}/{} is ready on {} of {} nodes",
                agent.daemon_set.namespace(),
                agent.daemon_set.name(),
                status.number_ready,
                status.desired_number_scheduled
            )
        })
    };
    agents.iter().filter_map(lacking).collect()
}

/// Whether the old CNI keeps pods away from Nodes. Its agents and its operator write so when the agents end, and nothing takes it back.
pub(super) fn node_state(facts: &Facts<'_>) -> Line {
    let name = LineName::NodeState;
    let (old, new) = (facts.scene.from.facts().footprint, facts.scene.to.facts().footprint);
    let (mut evidence, mut helps) = (Vec::new(), Vec::new());
    for key in old.taints.iter().filter(|key| !new.taints.contains(key)) {
        let is_tainted = |node: &&Node| node.spec.taints.iter().any(|taint| taint.key.as_ref() == *key);
        let tainted: Vec<&Node> = nodes(facts).iter().filter(is_tainted).collect();
        if !tainted.is_empty() {
            evidence.extend(tainted.iter().map(|node| format!("Node/{} has the taint {key}", node.name())));
            helps.push(format!("kubectl taint nodes --all {key}-"));
        }
    }
    let unavailable = |node: &Node| {
        let condition = node.condition("NetworkUnavailable")?;
        let (status, reason) = (condition.status.as_ref(), condition.reason.as_ref());
        let is_of_old = old.reasons.contains(&reason) && !new.reasons.contains(&reason);
        let what = format!("Node/{}: NetworkUnavailable is {status} with the reason {reason}", node.name());
        (status == "True" || is_of_old).then(|| (shell_word(node.name()), what))
    };
    let unavailable: Vec<(String, String)> = nodes(facts).iter().filter_map(unavailable).collect();
    if let Some((first, _)) = unavailable.first() {
        helps.push(format!("for each of these nodes: kubectl patch node {first} --subresource=status --type strategic -p '{{\"status\":{{\"conditions\":[{{\"type\":\"NetworkUnavailable\",\"status\":\"False\",\"reason\":\"Migrated\"}}]}}}}'"));
    }
    evidence.extend(unavailable.into_iter().map(|(_, what)| what));
    if evidence.is_empty() {
        let what = format!(
            "no Node has a taint of {}, or a network condition that keeps pods away",
            facts.scene.from
        );
        return Line::done(name, what);
    }
    Line::new(name, LineState::Waits, first_few(evidence)).help(helps.join("; "))
}

/// Whether the nodes that stay have nothing of the old CNI. Its agents are gone by then: they would make anew what is removed.
pub(super) fn clean(facts: &Facts<'_>, is_removed: bool) -> Line {
    let name = LineName::Nodes;
    let waits = |evidence: Vec<String>, help: String| {
        Line::new(name, LineState::Waits, first_few(evidence)).help(help)
    };
    let pods = facts.inventory.cleanup.as_ref();
    let Cleaning { done, cleaned, open, next, later } = Cleaning::new(nodes(facts), pods, facts.run_plan);
    let left = cleaned.len() + open.len() + next.len() + later;
    if left == 0 {
        let what = match done {
            0 => "no node that had Crossfade is there".to_owned(),
            done => format!("{done} nodes were cleaned, and no other one reports Crossfade"),
        };
        return Line::done(name, what);
    }
    if !is_removed {
        return waits(vec![format!("{left} nodes are to be cleaned")], "the removal comes first".into());
    }
    if pods.is_none() {
        let what = format!(
            "{left} nodes are to be cleaned, and the cluster has no DaemonSet crossfade-system/crossfade-cleanup"
        );
        return waits(
            vec![what],
            format!(
                "name {} in deploy/cleanup.yaml, and apply it: kubectl apply -f deploy/cleanup.yaml; or replace these nodes",
                profiles(facts.scene.from)
            ),
        );
    }
    if !cleaned.is_empty() || !next.is_empty() {
        let cleaned = cleaned.iter().map(|node| format!("Node/{node} is clean"));
        let next = next.iter().map(|node| format!("Node/{node} is next"));
        return Line::new(name, LineState::Ready, first_few(cleaned.chain(next).collect()));
    }
    let state = |node: &&str| match pods.and_then(|pods| pods.get(*node)) {
        Some(pod) => format!("Node/{node}: Pod/crossfade-system/{} is not ready", pod.name),
        None => format!("Node/{node} has no pod of DaemonSet/crossfade-system/crossfade-cleanup yet"),
    };
    let pod = open.iter().find_map(|node| Some(pods?.get(*node)?.name.as_str())).unwrap_or("POD");
    waits(
        open.iter().map(state).collect(),
        format!(
            "kubectl -n crossfade-system logs {} -c cleanup says what is in the way (docs/cleanup.md)",
            shell_word(pod)
        ),
    )
}

/// By which profiles `cleanup` knows what a CNI leaves, in words.
fn profiles(cni: Cni) -> String {
    let parts = Profiles::built_in().find(cni.into_str()).map_or(&[][..], |profile| &profile.parts);
    match parts {
        [] => format!("the profile {cni}"),
        _ => format!("the profiles {}, each in an init container of its own,", parts.join(" and ")),
    }
}
