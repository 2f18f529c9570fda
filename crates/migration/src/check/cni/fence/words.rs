//! The findings in words.

use std::collections::BTreeMap;
use std::sync::Arc;

use snapshot::model::{Kind, Toleration, Workload};
use types::text::quote::shell_word;

use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::cni::support::{Cni, Strategy};
use crate::workload::{Agent, Refusal, label_command, toleration_patch};

pub(crate) const AGENT_OLD_ABSENT: Rule = Severity::Risk.rule(
    "agent-old-absent",
    "No DaemonSet of the old CNI is there.",
    "Either --from names another CNI than the cluster runs, or the agent does not run as a DaemonSet, as in k3s. Then it was not checked on which nodes the agent runs.",
    "Correct --from, or name the DaemonSet: agents: {old: [{namespace: NAMESPACE, name: NAME}]} in the settings file.",
);

pub(super) fn old_absent(cni: Cni) -> Finding {
    Finding::new(&AGENT_OLD_ABSENT)
        .what(format!("No DaemonSet has the container {} of {cni}.", cni.facts().agent_container))
}

pub(crate) const AGENT_NEW_ABSENT: Rule = Severity::Note.rule(
    "agent-new-absent",
    "The new CNI is not installed yet.",
    "Its selectors, tolerations and settings are checked only once its objects are in the cluster.",
    "Install CNI with the values of the finding values-not-installed, then check again before the first node moves.",
);

pub(super) fn new_absent(cni: Cni) -> Finding {
    let container = cni.facts().agent_container;
    Finding::new(&AGENT_NEW_ABSENT)
        .what(format!("{cni} is not installed: no DaemonSet has the container {container}."))
        .fix(AGENT_NEW_ABSENT.fix.replace("CNI", cni.into_str()))
}

pub(super) const AGENT_MISSING: Rule = Severity::Blocks.rule(
    "agent-missing",
    "Nodes run without one of the two agents. Every node needs both until the end of the migration.\n\n\
     With the strategy `rotation`, every node needs one of them.",
    "A node without the old agent cannot start pods before its turn, and a node without the new one has no route to pods that have moved.",
    "Label the nodes, or let the DaemonSet tolerate their taints: the finding has the commands.",
);

/// `causes`: the nodes that each DaemonSet refuses for each reason.
pub(super) fn missing_finding(
    strategy: Strategy,
    causes: &BTreeMap<(String, Refusal), Vec<String>>,
    tolerations: impl Fn(&str) -> Arc<[Toleration]>,
) -> Finding {
    let mut fixes: Vec<String> = causes
        .iter()
        .map(|((daemon_set, refusal), nodes)| remedy(daemon_set, refusal, nodes, &tolerations(daemon_set)))
        .collect();
    fixes.dedup();
    let finding = Finding::new(&AGENT_MISSING).fix(fixes.join("; "));
    match strategy {
        Strategy::Rotation => finding
            .what("Nodes run neither the old CNI's agent nor the new one's.")
            .why("Pods on such a node stay in ContainerCreating."),
        Strategy::Double | Strategy::Bridge => finding,
    }
}

/// The command that lets a DaemonSet run on nodes.
fn remedy(daemon_set: &str, refusal: &Refusal, nodes: &[String], tolerations: &[Toleration]) -> String {
    let (namespace, name) = daemon_set.split_once('/').unwrap_or(("", daemon_set));
    let present: Vec<&str> = nodes.iter().filter_map(|node| node.strip_prefix("Node/")).collect();
    match refusal {
        Refusal::Label { key, value, .. } if present.is_empty() => {
            format!("give the nodes of {} the label {key}={value}", nodes.join(", "))
        }
        Refusal::Label { key, value, actual } => {
            let overwrite = if actual.is_some() { " --overwrite" } else { "" };
            let label = shell_word(&format!("{key}={value}"));
            label_command(&present, &format!("{label}{overwrite}"))
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

pub(super) const AGENT_TWICE: Rule = Severity::Blocks.rule(
    "agent-twice",
    "Two DaemonSets of one CNI select the same nodes.",
    "Both agents use the same sockets, ports and directories of the node, so they stop each other.",
    "Make the selectors exclude each other: the label that one DaemonSet requires, the other must refuse with the operator NotIn or DoesNotExist in spec.template.spec.affinity.nodeAffinity.",
);

pub(super) const FENCE_MIXED: Rule = Severity::Blocks.rule(
    "fence-mixed",
    "Some nodes run both agents and others one.\n\n\
     The agents of the Amazon VPC CNI and Cilium never share a node.",
    "Either every node runs both agents, so that each has routes to both networks, or each node runs exactly one and the networks route between each other. In between, some pairs of nodes have no route.",
    "Choose a label of the new nodes. Let one agent refuse it and the other require it: in spec.template.spec.affinity.nodeAffinity, operator DoesNotExist in one and Exists in the other. Or let both run on all nodes.",
);

pub(super) fn mixed_finding(
    must_be_apart: bool,
    mean_both: bool,
    old: &[&Workload],
    new: &[&Workload],
) -> Finding {
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
    let what = if mean_both {
        "Nodes run the agent of one CNI where most run both."
    } else {
        "Nodes run the agents of both CNIs where others run one."
    };
    let why = if must_be_apart {
        "When its container starts, Cilium's agent removes the iptables rules with which the Amazon VPC CNI translates addresses, so pods of that node lose their way out of the VPC."
    } else {
        FENCE_MIXED.why
    };
    Finding::new(&FENCE_MIXED).what(what).why(why).fix(fix)
}

pub(super) const FENCE_UNPROVEN: Rule = Severity::Note.rule(
    "fence-unproven",
    "Nothing says which labels and taints the nodes to come will have.",
    "The selectors of both agents are proven for the present nodes only. A new node that neither selects stays NotReady.",
    "Describe each pool in the settings file: nodes: {templates: [{name: POOL, labels: {KEY: VALUE}, taints: [{key: KEY, effect: NoSchedule}]}]}.",
);

pub(super) const AGENT_RESTARTS: Rule = Severity::Note.rule(
    "agent-restarts",
    "Agents restart on every node when their selectors change.",
    "A change of a DaemonSet's template, its node affinity too, replaces all its pods one after the other. While an agent restarts, its node starts no pods.",
    r#"Change selectors when the nodes may bear it, or let pods keep their template until they are deleted: `kubectl -n NAMESPACE patch daemonset NAME --type merge -p '{"spec":{"updateStrategy":{"type":"OnDelete","rollingUpdate":null}}}'`"#,
);

pub(super) fn restarts(old: &[Agent<'_>], new: &[Agent<'_>]) -> Option<Finding> {
    let rolls = |agent: &&Agent<'_>| {
        agent.daemon_set.spec.update_strategy.pointer("/type").and_then(|kind| kind.as_str())
            != Some("OnDelete")
    };
    let all = old.iter().chain(new).filter(rolls);
    let objects: Vec<Subject> =
        all.map(|agent| Subject::from_meta(Kind::DAEMON_SET, &agent.daemon_set.metadata)).collect();
    (!objects.is_empty()).then(|| Finding::new(&AGENT_RESTARTS).with_commands(&objects).with_objects(objects))
}

pub(super) const AGENT_NOT_READY: Rule = Severity::Blocks.rule(
    "agent-not-ready",
    "Agents are not ready on all nodes that they select.",
    "A network that is broken before the migration cannot be told from one that the migration breaks.",
    "Find the pods that are not ready, and repair them: `kubectl -n NAMESPACE get pods -o wide | grep NAME`",
);

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
    (!objects.is_empty())
        .then(|| Finding::new(&AGENT_NOT_READY).with_commands(&objects).with_objects(objects))
}
