//! Labels that node.json registers and the Node lacks.
//!
//! kubelet registers labels only when it creates its Node. A machine that comes back under the name of an earlier one finds the Node there: its disk was
//! replaced, or the Node outlived the machine. Then the Node has the labels of the image before, or none, and an agent that selects its nodes by label
//! gives this one no network.
//!
//! The first report of a boot puts the labels right, and no later one: what a person changes on a running node stays. The agent's pod reads the label
//! when it starts, and the one of this node may have started already. It is deleted once, so that its DaemonSet makes another. kubelet's credential may
//! do both: NodeRestriction forbids it labels of Kubernetes' own alone, and pods of other nodes. *Source*: Kubernetes,
//! `plugin/pkg/admission/noderestriction`, `admitNode` and `admitPod`.

use std::collections::BTreeMap;

use types::api::label;
use types::api::node_keys::PHASE;
use types::api::observed::NodeObservation;
use types::node::Node;
use types::policy::Policy;
use types::profile::Profiles;
use types::status::Reason;

use crate::publish::decide::OBSERVED;
use crate::publish::node_object::NodeObject;
use crate::publish::pods::BoundPod;
use crate::publish::report::{EventReason, NodeEvent, NodeReport};

/// What the Node has to bear because node.json registers it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegisteredLabels {
    /// The labels of node.json that kubelet's credential may set.
    pub labels: BTreeMap<String, String>,
    /// The agents that select their nodes by one of these labels.
    pub agents: Vec<AgentSelection>,
}

/// How an agent selects its nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentSelection {
    /// The label's key. The agent reads the label when its pod starts.
    pub label: String,
    /// The names of the agent's containers.
    pub containers: Vec<String>,
}

impl RegisteredLabels {
    /// What node.json registers, with the agents of the policy's networks.
    #[must_use]
    pub fn gather(node: &Node, policy: Option<&Policy>, profiles: &Profiles) -> Self {
        let settable = own_labels(node).filter(|(key, value)| label::refusal(key, value).is_none());
        let networks = policy.into_iter().flat_map(Policy::networks);
        let agents = networks.filter_map(|(_, network)| {
            let profile = profiles.find(&network.profile)?;
            let (label, _) = &profile.migration.as_ref()?.label;
            let containers = profile.leaves.as_ref()?.agents.clone();
            node.labels.contains_key(label).then(|| AgentSelection { label: label.clone(), containers })
        });
        Self {
            labels: settable.map(|(key, value)| (key.clone(), value.clone())).collect(),
            agents: agents.collect(),
        }
    }
}

/// The labels that node.json registers and nothing else writes: the one with the phase is the report's.
pub fn own_labels(node: &Node) -> impl Iterator<Item = (&String, &String)> {
    node.labels.iter().filter(|(key, _)| *key != PHASE)
}

/// The labels that the first report of a boot puts right; none in a later report of that boot, and none on a node that is switched off.
#[must_use]
pub fn missing_labels(node: &NodeObject, report: &NodeReport) -> BTreeMap<String, String> {
    let observed = node.metadata.annotations.get(OBSERVED).and_then(|text| NodeObservation::parse(text).ok());
    let is_first = observed.is_none_or(|observed| observed.boot_id != report.observed.boot_id);
    if !is_first || report.reason == Reason::SwitchedOff {
        return BTreeMap::new();
    }
    let lacks = |(key, value): &(&String, &String)| node.metadata.labels.get(*key) != Some(value);
    let lacking = report.registered.labels.iter().filter(lacks);
    lacking.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The pods of agents that have started without the label: those of a DaemonSet, with a container of the agent's, one of whose containers was created.
/// One that is being deleted, and one that has yet to start, will read the label.
pub fn agent_pods<'a>(
    pods: &'a [BoundPod],
    agents: &'a [AgentSelection],
) -> impl Iterator<Item = &'a BoundPod> {
    let is_agent = |pod: &&BoundPod| {
        let mut containers = agents.iter().flat_map(|agent| &agent.containers);
        containers.any(|container| pod.container_names.contains(container))
    };
    let is_of_daemonset = |pod: &&BoundPod| pod.owner.as_ref().is_some_and(|owner| owner.kind == "DaemonSet");
    let reads_no_more = |pod: &&BoundPod| pod.has_started && !pod.is_leaving && !pod.has_ended;
    pods.iter().filter(is_of_daemonset).filter(is_agent).filter(reads_no_more)
}

/// The event about labels that were put right.
#[must_use]
pub fn restored_event(labels: &BTreeMap<String, String>) -> NodeEvent {
    let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let message = format!(
        "the Node was there before this machine and lacked labels that node.json registers; they were set: {}",
        labels.join(", ")
    );
    NodeEvent { reason: EventReason::LabelsRestored, warning: true, message }
}

#[cfg(test)]
mod tests {
    use types::node::Node;
    use types::policy::Policy;

    use super::*;
    use crate::publish::pods::Owner;

    const LABEL: &str = "io.cilium.migration/cilium-default";

    fn registered() -> RegisteredLabels {
        let node = br#"{"version":1,"labels":{"io.cilium.migration/cilium-default":"true","crossfade/image":"5f2c","crossfade/phase":"old"}}"#;
        let policy = br#"{"version":1,"attach":"new","networks":{"old":{"profile":"flannel","conf":["/o"]},"new":{"profile":"cilium","conf":["/n"]}}}"#;
        let (node, policy) = (Node::parse(node).expect("valid"), Policy::parse(policy).expect("valid"));
        RegisteredLabels::gather(&node, Some(&policy), Profiles::built_in())
    }

    fn report(boot: &str, reason: Reason) -> NodeReport {
        NodeReport {
            ready: false,
            reason,
            message: String::new(),
            observed: NodeObservation { boot_id: boot.into(), ..NodeObservation::default() },
            clears_network_unavailable: false,
            registered: registered(),
        }
    }

    fn node_object(labels: &[(&str, &str)], boot: Option<&str>) -> NodeObject {
        let mut seen = NodeObject::default();
        seen.metadata.labels =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let observed = |boot: &str| NodeObservation { boot_id: boot.into(), ..NodeObservation::default() };
        seen.metadata.annotations =
            boot.map(|boot| (OBSERVED.to_owned(), observed(boot).to_text())).into_iter().collect();
        seen
    }

    #[test]
    fn the_first_report_of_a_boot_puts_labels_right_and_no_later_one() {
        let right = [(LABEL, "true"), ("crossfade/image", "5f2c"), ("other", "x")];
        let earlier = [(LABEL, "true"), ("crossfade/image", "77aa")];
        for (labels, boot, reason, expected) in [
            (&[][..], None, Reason::BootFailed, &["crossfade/image", LABEL][..]),
            (&[], Some("earlier"), Reason::BootFailed, &["crossfade/image", LABEL]),
            (&earlier, Some("earlier"), Reason::BootFailed, &["crossfade/image"]),
            (&right, Some("earlier"), Reason::BootFailed, &[]),
            (&right, None, Reason::BootFailed, &[]),
            // A person has taken the label away while the node runs.
            (&[], Some("boot"), Reason::BootFailed, &[]),
            (&[], None, Reason::SwitchedOff, &[]),
        ] {
            let missing = missing_labels(&node_object(labels, boot), &report("boot", reason));
            assert_eq!(missing.into_keys().collect::<Vec<_>>(), expected, "{labels:?} {boot:?} {reason:?}");
        }
    }

    #[test]
    fn an_agent_that_started_without_its_label_starts_again_and_no_other_pod() {
        let agents = registered().agents;
        assert_eq!(agents.len(), 1, "Flannel selects by no label");
        let agent = BoundPod {
            name: "cilium-x".into(),
            owner: Some(Owner { kind: "DaemonSet".into(), ..Owner::default() }),
            container_names: ["cilium-agent".to_owned()].into(),
            has_started: true,
            ..BoundPod::default()
        };
        let another = |change: fn(&mut BoundPod)| {
            let mut pod = BoundPod { name: "other".into(), ..agent.clone() };
            change(&mut pod);
            pod
        };
        let pods = [
            another(|pod| pod.owner = None),
            another(|pod| pod.owner = Some(Owner { kind: "ReplicaSet".into(), ..Owner::default() })),
            another(|pod| pod.container_names = ["kube-flannel".to_owned()].into()),
            another(|pod| pod.has_started = false),
            another(|pod| pod.is_leaving = true),
            another(|pod| pod.has_ended = true),
            agent.clone(),
        ];
        let names: Vec<_> = agent_pods(&pods, &agents).map(|pod| pod.name.as_str()).collect();
        assert_eq!(names, ["cilium-x"]);
        assert_eq!(agent_pods(&pods, &[]).count(), 0);
    }

    #[test]
    fn an_agent_counts_only_where_node_json_registers_its_label() {
        let policy = br#"{"version":1,"attach":"new","networks":{"old":{"profile":"flannel","conf":["/o"]},"new":{"profile":"cilium","conf":["/n"]}}}"#;
        let policy = Policy::parse(policy).expect("valid");
        let agents_of =
            |node: &Node, policy| RegisteredLabels::gather(node, policy, Profiles::built_in()).agents;
        assert_eq!(agents_of(&Node::default(), Some(&policy)), []);
        let node = Node { labels: [(LABEL.to_owned(), "true".to_owned())].into(), ..Node::default() };
        assert_eq!((agents_of(&node, Some(&policy)).len(), agents_of(&node, None).len()), (1, 0));
    }
}
