//! The findings in words.

use std::collections::BTreeMap;
use std::sync::Arc;

use snapshot::model::{Kind, Toleration, Workload};
use types::text::quote::shell_word;

use crate::check::finding::{Finding, Severity, Subject};
use crate::cni::support::{Cni, Strategy};
use crate::workload::{Agent, Refusal, toleration_patch};

/// How many nodes a command names before it says that there are more.
const NAMED: usize = 20;

pub(super) fn old_absent(cni: Cni) -> Finding {
    Finding::new(
        "agent-old-absent",
        Severity::Risk,
        format!("No DaemonSet has the container {} of {cni}.", cni.facts().agent_container),
        "Either --from names another CNI than the cluster runs, or the agent does not run as a DaemonSet, as in k3s. Then it was not checked on which nodes the agent runs.",
        "Correct --from, or name the DaemonSet: agents: {old: [{namespace: NAMESPACE, name: NAME}]} in the settings file.",
    )
}

pub(super) fn new_absent(cni: Cni) -> Finding {
    Finding::new(
        "agent-new-absent",
        Severity::Note,
        format!("{cni} is not installed: no DaemonSet has the container {}.", cni.facts().agent_container),
        "Its selectors, tolerations and settings are checked only once its objects are in the cluster.",
        format!(
            "Install {cni} with the values of the finding values-not-installed, then check again before the first node moves."
        ),
    )
}

/// `causes`: the nodes that each DaemonSet refuses for each reason.
pub(super) fn missing_finding(
    strategy: Strategy,
    causes: &BTreeMap<(String, Refusal), Vec<String>>,
    tolerations: impl Fn(&str) -> Arc<[Toleration]>,
) -> Finding {
    let (what, why) = match strategy {
        Strategy::Rotation => (
            "Nodes run neither the old CNI's agent nor the new one's.",
            "Pods on such a node stay in ContainerCreating.",
        ),
        Strategy::Double | Strategy::Bridge => (
            "Nodes run without one of the two agents. Every node needs both until the end of the migration.",
            "A node without the old agent cannot start pods before its turn, and a node without the new one has no route to pods that have moved.",
        ),
    };
    let mut fixes: Vec<String> = causes
        .iter()
        .map(|((daemon_set, refusal), nodes)| remedy(daemon_set, refusal, nodes, &tolerations(daemon_set)))
        .collect();
    fixes.dedup();
    Finding::new("agent-missing", Severity::Blocks, what, why, fixes.join("; "))
}

/// The command that lets a DaemonSet run on nodes.
fn remedy(daemon_set: &str, refusal: &Refusal, nodes: &[String], tolerations: &[Toleration]) -> String {
    let (namespace, name) = daemon_set.split_once('/').unwrap_or(("", daemon_set));
    let present: Vec<&str> = nodes.iter().filter_map(|node| node.strip_prefix("Node/")).collect();
    let more = present.len().saturating_sub(NAMED);
    let list = present[..present.len() - more].join(" ");
    let rest = if more > 0 { format!(" (and {more} more nodes)") } else { String::new() };
    match refusal {
        Refusal::Label { key, value, .. } if present.is_empty() => {
            format!("give the nodes of {} the label {key}={value}", nodes.join(", "))
        }
        Refusal::Label { key, value, actual } => {
            let overwrite = if actual.is_some() { " --overwrite" } else { "" };
            let label = shell_word(&format!("{key}={value}"));
            format!("kubectl label node {list} {label}{overwrite}{rest}")
        }
        Refusal::Affinity(_) => format!(
            "kubectl -n {namespace} edit daemonset {name}, and correct spec.template.spec.affinity.nodeAffinity"
        ),
        Refusal::Taint(taint) => format!(
            "kubectl -n {namespace} patch daemonset {name} --type json -p {}",
            shell_word(&toleration_patch(tolerations, &taint.key, &taint.effect))
        ),
    }
}

pub(super) fn doubled_finding() -> Finding {
    Finding::new(
        "agent-twice",
        Severity::Blocks,
        "Two DaemonSets of one CNI select the same nodes.",
        "Both agents use the same sockets, ports and directories of the node, so they stop each other.",
        "Make the selectors exclude each other: the label that one DaemonSet requires, the other must refuse with the operator NotIn or DoesNotExist in spec.template.spec.affinity.nodeAffinity.",
    )
}

pub(super) fn mixed_finding(
    must_be_apart: bool,
    mean_both: bool,
    old: &[&Workload],
    new: &[&Workload],
) -> Finding {
    let why = if must_be_apart {
        "When its container starts, Cilium's agent removes the iptables rules with which the Amazon VPC CNI translates addresses, so pods of that node lose their way out of the VPC."
    } else {
        "Either every node runs both agents, so that each has routes to both networks, or each node runs exactly one and the networks route between each other. In between, some pairs of nodes have no route."
    };
    let fix = match (old.first(), new.first()) {
        (Some(old), Some(new)) if mean_both => format!(
            "Let {0}/{1} and {2}/{3} run on these nodes, too: take the selector away that keeps it from there, or let it tolerate their taints: kubectl -n {0} edit daemonset {1}; kubectl -n {2} edit daemonset {3}",
            old.namespace(),
            old.name(),
            new.namespace(),
            new.name()
        ),
        (Some(old), Some(new)) => format!(
            "Choose a label of the new nodes. Let {}/{} refuse it and {}/{} require it: in spec.template.spec.affinity.nodeAffinity, operator DoesNotExist in one and Exists in the other. Or let both run on all nodes.",
            old.namespace(),
            old.name(),
            new.namespace(),
            new.name()
        ),
        _ => "Make the selectors of both agents complementary.".into(),
    };
    Finding::new(
        "fence-mixed",
        Severity::Blocks,
        if mean_both {
            "Nodes run the agent of one CNI where most run both."
        } else {
            "Nodes run the agents of both CNIs where others run one."
        },
        why,
        fix,
    )
}

pub(super) fn unproven() -> Finding {
    Finding::new(
        "fence-unproven",
        Severity::Note,
        "Nothing says which labels and taints the nodes to come will have.",
        "The selectors of both agents are proven for the present nodes only. A new node that neither selects stays NotReady.",
        "Describe each pool in the settings file: nodes: {templates: [{name: POOL, labels: {KEY: VALUE}, taints: [{key: KEY, effect: NoSchedule}]}]}.",
    )
}

pub(super) fn restarts(old: &[Agent<'_>], new: &[Agent<'_>]) -> Option<Finding> {
    let rolls = |agent: &&Agent<'_>| {
        agent.daemon_set.spec.update_strategy.pointer("/type").and_then(|kind| kind.as_str())
            != Some("OnDelete")
    };
    let all: Vec<&Workload> = old.iter().chain(new).filter(rolls).map(|agent| agent.daemon_set).collect();
    let patch = |workload: &&Workload| {
        format!(
            "kubectl -n {} patch daemonset {} --type merge -p '{{\"spec\":{{\"updateStrategy\":{{\"type\":\"OnDelete\",\"rollingUpdate\":null}}}}}}'",
            workload.namespace(),
            workload.name()
        )
    };
    let fix = all.iter().map(patch).collect::<Vec<_>>().join("; ");
    (!all.is_empty()).then(|| {
        Finding::new(
            "agent-restarts",
            Severity::Note,
            "Agents restart on every node when their selectors change.",
            "A change of a DaemonSet's template, its node affinity too, replaces all its pods one after the other. While an agent restarts, its node starts no pods.",
            format!("Change selectors when the nodes may bear it, or let pods keep their template until they are deleted: {fix}"),
        )
        .with_objects(all.iter().map(|workload| Subject::from_meta(Kind::DAEMON_SET, &workload.metadata)))
    })
}

pub(super) fn unready_finding<'a>(agents: impl Iterator<Item = &'a Agent<'a>>) -> Option<Finding> {
    let missing = |agent: &&Agent<'_>| {
        agent.daemon_set.status.number_ready < agent.daemon_set.status.desired_number_scheduled
    };
    let objects: Vec<Subject> = agents
        .filter(missing)
        .map(|agent| {
            let status = &agent.daemon_set.status;
            let detail =
                format!("{} of {} pods are ready", status.number_ready, status.desired_number_scheduled);
            Subject::from_meta(Kind::DAEMON_SET, &agent.daemon_set.metadata).detail(detail)
        })
        .collect();
    let look = |subject: &Subject| {
        format!("kubectl -n {} get pods -o wide | grep {}", subject.namespace, subject.name)
    };
    let fix = objects.iter().map(look).collect::<Vec<_>>().join("; ");
    (!objects.is_empty()).then(|| {
        Finding::new(
            "agent-not-ready",
            Severity::Blocks,
            "Agents are not ready on all nodes that they select.",
            "A network that is broken before the migration cannot be told from one that the migration breaks.",
            format!("Find the pods that are not ready, and repair them: {fix}"),
        )
        .with_objects(objects)
    })
}
