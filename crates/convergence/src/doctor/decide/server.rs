//! Findings about the Node at the API server, compared with the node's own state.

use types::api::observed::NodeObservation;
use types::policy::Phase;

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;
use crate::doctor::rule::{Rule, Severity, Symptom};
use crate::publish::node_read::{CONDITION, ObservedCondition, RegisteredNode};
use crate::publish::registered::own_labels;

pub const RULES: &[&Rule] = &[
    &NODE_CONDITION_READY,
    &NETWORK_UNAVAILABLE,
    &NODE_UNREGISTERED,
    &NODE_LABELS,
    &DESIRED_UNMET,
    &NODE_OUTDATED,
];

pub fn all(facts: &Facts) -> Vec<Finding> {
    let mut findings = node_itself(facts);
    findings.extend(registered_node(facts).into_iter().flat_map(|node| {
        [unavailable(facts, node), labels(facts, node), outdated(facts, node), desired(facts, node)]
            .into_iter()
            .flatten()
    }));
    findings
}

/// Whether the Node is there, and Ready.
pub fn node_itself(facts: &Facts) -> Vec<Finding> {
    [unregistered(facts), registered_node(facts).and_then(|node| ready(facts, node))]
        .into_iter()
        .flatten()
        .collect()
}

fn registered_node(facts: &Facts) -> Option<&RegisteredNode> {
    facts.server.read()?.registered.as_ref()
}

fn condition<'a>(node: &'a RegisteredNode, kind: &str) -> Option<&'a ObservedCondition> {
    node.conditions.get(kind)
}

fn line(kind: &str, condition: &ObservedCondition) -> String {
    format!("condition {kind} is {}, {}: {}", condition.status, condition.reason, condition.message)
}

fn object(facts: &Facts) -> String {
    format!("Node {}", facts.node_name())
}

const NODE_UNREGISTERED: Rule = Severity::Error.rule(
    Symptom::NodeNotReady,
    "node-unregistered",
    "A list of Nodes with the name of this node is empty.",
    "the API server has no Node of this name: kubelet has not registered it, or registered another name",
    "kubelet's journal says what its registration waits for. If kubelet calls the Node otherwise, name it in node.json, `kubelet.nodeName`.",
);

fn unregistered(facts: &Facts) -> Option<Finding> {
    let looked = facts.server.read().filter(|looked| looked.registered.is_none())?;
    let finding = Finding::new(&NODE_UNREGISTERED).with_objects([object(facts)]);
    let finding = finding.with_evidence([format!("a list of Nodes with the name {} is empty", looked.node)]);
    let unit = &facts.node.settings.kubelet.unit;
    Some(
        finding.run(
            format!("journalctl --unit={unit} --lines=50"),
            "says what kubelet's registration waits for",
        ),
    )
}

const NODE_CONDITION_READY: Rule = Severity::Error.rule(
    Symptom::NodeNotReady,
    "node-condition-ready",
    "The API server says that the Node is not Ready.",
    "the Node is not Ready, so the scheduler keeps new pods away, and pods are evicted after five minutes",
    "`Unknown` means that kubelet has not reported for a while: see whether it runs. With `False`, the message has the reason.",
);

fn ready(facts: &Facts, node: &RegisteredNode) -> Option<Finding> {
    let ready_condition = condition(node, "Ready").filter(|condition| condition.status != "True")?;
    let finding = Finding::new(&NODE_CONDITION_READY)
        .with_objects([object(facts)])
        .with_evidence([line("Ready", ready_condition)]);
    let unit = &facts.node.settings.kubelet.unit;
    Some(if ready_condition.status == "Unknown" {
        finding.run(
            format!("systemctl status {unit}"),
            "says whether kubelet runs: it has not reported for a while",
        )
    } else {
        finding.run(
            format!("journalctl --unit={unit} --lines=50"),
            "says why; a message about the network is explained by another finding",
        )
    })
}

const NETWORK_UNAVAILABLE: Rule = Severity::Error.rule(
    Symptom::NodeNotReady,
    "network-unavailable",
    "The Node's condition `NetworkUnavailable` is `True`.\n\n\
     Calico writes it when its agent ends.",
    "the Node says that its network is unavailable, so no pod is scheduled to it. An agent that left may have left this behind",
    "Start the agent that writes the condition. If the agent is gone, `watch` clears the condition, where the networks that pods get are ready and none of their agents ever writes it.",
);

fn unavailable(facts: &Facts, node: &RegisteredNode) -> Option<Finding> {
    let network_condition =
        condition(node, "NetworkUnavailable").filter(|condition| condition.status == "True")?;
    let finding = Finding::new(&NETWORK_UNAVAILABLE)
        .with_objects([object(facts)])
        .with_evidence([line("NetworkUnavailable", network_condition)]);
    Some(finding.with_manual_step("start the agent that writes this condition. If it is gone, watch clears the condition once the networks that pods get are ready").run(
        "systemctl restart crossfade-watch",
        "lets watch look at the condition again",
    ))
}

const NODE_LABELS: Rule = Severity::Warning.rule(
    Symptom::NodeNotReady,
    "node-labels",
    "The Node lacks labels that node.json registers.\n\n\
     A machine that comes back under the name of an earlier one (its root volume was replaced) finds a Node without them.",
    "the Node lacks labels that node.json registers. kubelet registers labels only when it creates its Node, and an agent that selects its nodes by a label gives this node no network",
    "`watch` sets them in its first report of a boot, and deletes the pod of an agent that has started without its label (event `LabelsRestored`). On a running node `watch` leaves labels alone, and the command of the finding sets them. If you took a label away, this finding only reminds you.",
);

/// Labels of node.json that the Node lacks. Without the one that the new agent selects by, the agent gives this node no network.
fn labels(facts: &Facts, node: &RegisteredNode) -> Option<Finding> {
    let lacks = |(key, value): &(&String, &String)| node.labels.get(*key) != Some(value);
    let missing: Vec<String> =
        own_labels(&facts.node.settings).filter(lacks).map(|(key, value)| format!("{key}={value}")).collect();
    if missing.is_empty() {
        return None;
    }
    let finding = Finding::new(&NODE_LABELS).with_objects([object(facts)]);
    let finding = finding.with_evidence([format!("node.json registers {}", missing.join(", "))]);
    let set = format!("kubectl label node {} --overwrite {}", facts.node_name(), missing.join(" "));
    Some(
        finding
            .run(set, "sets them; watch does so once, when it first reports in a boot")
            .with_manual_step("delete the pod of the agent on this node, if the agent selects by one of them: it reads the label when it starts"),
    )
}

const NODE_OUTDATED: Rule = Severity::Warning.rule(
    Symptom::Stale,
    "node-outdated",
    "The Node's condition `CrossfadeReady` says the opposite of `watch`, or the annotation `crossfade/observed` is of another boot.",
    "the Node does not say what watch knows: watch could not write it. Controllers that follow the Node act on what was",
    "The journal says why `watch` could not write the Node: a credential that expired, or an API server that refuses.",
);

/// The condition is that of another boot, or says the opposite of `watch`.
fn outdated(facts: &Facts, node: &RegisteredNode) -> Option<Finding> {
    let report = facts.status_document()?;
    let own_condition = condition(node, CONDITION)?;
    let is_ready = own_condition.status == "True";
    let observed = node.observed.as_deref().and_then(|text| NodeObservation::parse(text).ok());
    let other_boot =
        observed.filter(|observed| !facts.boot_id.is_empty() && observed.boot_id != facts.boot_id);
    if is_ready == report.ready && other_boot.is_none() {
        return None;
    }
    let finding = Finding::new(&NODE_OUTDATED)
        .with_objects([object(facts)])
        .with_evidence([
            line(CONDITION, own_condition),
            format!("watch: {}: {}", report.reason, report.message),
        ])
        .with_evidence(
            other_boot
                .map(|observed| format!("the annotation crossfade/observed is of boot {}", observed.boot_id)),
        );
    Some(
        finding
            .run(
                "journalctl --boot --identifier=crossfade --grep='Node is not up to date'",
                "says why watch could not write",
            )
            .run("systemctl restart crossfade-watch", "lets watch try again at once"),
    )
}

const DESIRED_UNMET: Rule = Severity::Warning.rule(
    Symptom::WrongNetwork,
    "desired-unmet",
    "The Node's annotation `crossfade/desired` asks for another phase than the policy has.",
    "the Node's annotation asks for another phase than the policy has, and the node has not followed",
    "node.json must say `desired: node-annotation` and list the phase under `allowed`, and the annotation must have been set while the Node reported this policy. The event `FlipRefused` says why `watch` refused.",
);

fn desired(facts: &Facts, node: &RegisteredNode) -> Option<Finding> {
    let desired = node.desired.as_deref()?;
    let phase = facts.node.policy()?.phase();
    if Phase::parse(desired) == Some(phase) {
        return None;
    }
    let follows = facts.node.settings.desired == types::node::DesiredSource::NodeAnnotation;
    let finding = Finding::new(&DESIRED_UNMET).with_objects([object(facts)]);
    let finding = finding.with_evidence([
        format!("crossfade/desired is {desired}, and the policy's phase is {phase}"),
        format!(
            "node.json: desired {}, allowed {:?}",
            if follows { "node-annotation" } else { "off" },
            facts.node.settings.allowed.iter().map(|phase| phase.as_str()).collect::<Vec<_>>()
        ),
    ]);
    Some(match Phase::parse(desired) {
        None => finding.run(
            format!("kubectl annotate node {} --overwrite crossfade/desired={phase}", facts.node_name()),
            "asks for the phase that the node has; the value is no phase",
        ),
        Some(desired) if follows => finding.run(
            "journalctl --boot EVENT=FlipRefused --lines=1",
            format!("says why watch did not flip to {desired}"),
        ),
        Some(desired) => finding.run(
            format!("crossfade-bootstrap policy set {desired}"),
            "flips by hand; or let node.json say desired node-annotation and allow the phase",
        ),
    })
}
