//! A Pod as a run reads it.

use std::collections::BTreeSet;

use snapshot::model::{self, Text};

use crate::plan::{Dns, Plan};
use crate::roll::world::{Owner, Pod, Trait};
use crate::workload::{NetworkRanges, asks_to_stay, is_ready, owner};

/// What a plan says of pods: which ones answer DNS queries, and which ones are agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodClassifier {
    /// The cluster's DNS.
    pub dns: Dns,
    /// Namespaces and names of the agents' DaemonSets.
    pub agents: Vec<(Text, Text)>,
    /// What tells pods of the new network, where nodes of a final image come, which report nothing.
    pub ranges: Option<NetworkRanges>,
}

impl PodClassifier {
    /// What this plan says.
    #[must_use]
    pub fn from_plan(plan: &Plan) -> Self {
        let agents = plan.agents.iter().map(|agent| (agent.namespace.clone(), agent.name.clone()));
        let ranges = plan.is_final().then(|| NetworkRanges::new(&plan.networks));
        Self { dns: plan.dns.clone(), agents: agents.collect(), ranges }
    }

    fn is_dns(&self, pod: &model::Pod) -> bool {
        let has = |(key, value)| pod.metadata.labels.get(key) == Some(value);
        *pod.namespace() == *self.dns.namespace
            && !self.dns.labels.is_empty()
            && self.dns.labels.iter().all(has)
    }

    fn is_agent(&self, owner: &Owner) -> bool {
        let is_owner =
            |(namespace, name): &(Text, Text)| *namespace == owner.namespace && *name == owner.name;
        &*owner.kind == "DaemonSet" && self.agents.iter().any(is_owner)
    }
}

/// Reads a Pod.
///
/// # Errors
/// Why it is no Pod.
pub fn pod(json: &str, about: &PodClassifier) -> Result<Pod, String> {
    let read: model::Pod = serde_json::from_str(json).map_err(|e| format!("a Pod: {e}"))?;
    Ok(pod_of(&read, about))
}

/// The same of a Pod that was read already.
#[must_use]
pub fn pod_of(read: &model::Pod, about: &PodClassifier) -> Pod {
    let owner = owner(read);
    let owner = Owner { kind: owner.kind.into(), namespace: owner.namespace.into(), name: owner.name.into() };
    // A pod that no controller makes again owns itself there.
    let owner = (&*owner.kind != "Pod").then_some(owner);
    let is_unschedulable = |condition: &model::Condition| {
        (&*condition.kind, &*condition.status, &*condition.reason)
            == ("PodScheduled", "False", "Unschedulable")
    };
    let traits = [
        (Trait::HostNetwork, read.spec.host_network),
        (Trait::Static, read.is_static()),
        (Trait::Finished, read.is_finished()),
        (Trait::Terminating, read.metadata.deletion_timestamp.is_some()),
        (Trait::Ready, is_ready(read)),
        (Trait::Dns, about.is_dns(read)),
        (Trait::Agent, owner.as_ref().is_some_and(|owner| about.is_agent(owner))),
        (Trait::EmptyDir, read.spec.volumes.iter().any(|volume| &*volume.source == "emptyDir")),
        (Trait::Undisturbed, asks_to_stay(read)),
        (Trait::OtherNetwork, about.ranges.as_ref().is_some_and(|ranges| ranges.is_foreign(read))),
        (Trait::Unschedulable, read.status.conditions.iter().any(is_unschedulable)),
    ];
    let traits: BTreeSet<Trait> =
        traits.into_iter().filter_map(|(what, holds)| holds.then_some(what)).collect();
    Pod {
        namespace: read.metadata.namespace.clone(),
        name: read.metadata.name.clone(),
        uid: read.metadata.uid.clone(),
        node: read.spec.node_name.clone(),
        owner,
        traits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Networks;
    use serde_json::{Value, json};

    fn about() -> PodClassifier {
        PodClassifier {
            dns: Dns {
                namespace: "kube-system".into(),
                labels: [("k8s-app".into(), "kube-dns".into())].into(),
            },
            agents: vec![("kube-system".into(), "cilium".into())],
            ranges: None,
        }
    }

    fn read(value: &Value) -> Pod {
        pod(&value.to_string(), &about()).expect("a pod")
    }

    fn owned(namespace: &str, kind: &str, name: &str) -> Value {
        json!({"metadata": {"name": "p", "namespace": namespace,
            "ownerReferences": [{"kind": kind, "name": name, "controller": true}]}})
    }

    /// Each row: a pod, and all that holds of it.
    #[test]
    fn what_holds_of_a_pod() {
        let annotated = |key: &str, value: &str| json!({"metadata": {"annotations": {key: value}}});
        let condition = |kind: &str, status: &str, reason: &str| json!({"status": {"conditions": [{"type": kind, "status": status, "reason": reason}]}});
        let dns = |namespace: &str, label: &str| json!({"metadata": {"namespace": namespace, "labels": {"k8s-app": label, "x": "y"}}});
        for (pod, traits) in [
            (json!({}), &[][..]),
            (json!({"spec": {"hostNetwork": true}}), &[Trait::HostNetwork]),
            (annotated("kubernetes.io/config.mirror", "x"), &[Trait::Static]),
            (json!({"status": {"phase": "Succeeded"}}), &[Trait::Finished]),
            (json!({"status": {"phase": "Failed"}}), &[Trait::Finished]),
            (json!({"status": {"phase": "Running"}}), &[]),
            (json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}), &[Trait::Terminating]),
            (condition("Ready", "True", ""), &[Trait::Ready]),
            (condition("Ready", "False", ""), &[]),
            (dns("kube-system", "kube-dns"), &[Trait::Dns]),
            (dns("kube-system", "other"), &[]),
            (dns("other", "kube-dns"), &[]),
            (owned("kube-system", "DaemonSet", "cilium"), &[Trait::Agent]),
            (owned("kube-system", "DaemonSet", "cilium-envoy"), &[]),
            (owned("other", "DaemonSet", "cilium"), &[]),
            (owned("kube-system", "StatefulSet", "cilium"), &[]),
            (json!({"spec": {"volumes": [{"name": "d", "emptyDir": {}}]}}), &[Trait::EmptyDir]),
            (json!({"spec": {"volumes": [{"name": "d", "configMap": {"name": "x"}}]}}), &[]),
            (annotated("karpenter.sh/do-not-disrupt", "true"), &[Trait::Undisturbed]),
            (annotated("karpenter.sh/do-not-disrupt", "false"), &[]),
            (annotated("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"), &[Trait::Undisturbed]),
            (annotated("cluster-autoscaler.kubernetes.io/safe-to-evict", "true"), &[]),
            (condition("PodScheduled", "False", "Unschedulable"), &[Trait::Unschedulable]),
            (condition("PodScheduled", "False", "SchedulingGated"), &[]),
            (condition("PodScheduled", "True", ""), &[]),
        ] {
            let found_traits: Vec<Trait> = read(&pod).traits.into_iter().collect();
            assert_eq!(found_traits, traits, "{pod}");
        }
    }

    #[test]
    fn a_pod_names_itself_its_node_and_its_owner() {
        let mut value = owned("x", "ReplicaSet", "web-5d9c");
        value["metadata"]["uid"] = "u".into();
        value["metadata"]["labels"] = json!({"pod-template-hash": "5d9c"});
        value["spec"] = json!({"nodeName": "b7"});
        let pod = read(&value);
        assert_eq!((pod.title().as_str(), &*pod.uid, &*pod.node), ("x/p", "u", "b7"));
        let owner = pod.owner.expect("an owner");
        assert_eq!((&*owner.kind, &*owner.namespace, &*owner.name), ("Deployment", "x", "web"));
        assert_eq!(read(&json!({"metadata": {"name": "bare"}})).owner, None);
    }

    /// Each row: ranges of the old and the new network, an address, and whether it is of another network than the new one.
    #[test]
    fn the_addresses_of_a_pod_say_of_which_network_it_is() {
        for (old, new, address, is_foreign) in [
            (&["10.1.0.0/16"][..], &["10.2.0.0/16"][..], "10.1.0.7", true),
            (&["10.1.0.0/16"], &["10.2.0.0/16"], "10.2.0.7", false),
            (&[], &["10.2.0.0/16"], "10.3.0.7", true),
            (&[], &["10.2.0.0/16"], "fd00::7", false),
            (&["10.1.0.0/16"], &[], "10.3.0.7", false),
            (&["10.1.0.0/16"], &[], "10.1.0.7", true),
        ] {
            let texts = |ranges: &[&str]| ranges.iter().map(|text| (*text).to_owned()).collect();
            let networks = Networks { old: texts(old), new: texts(new) };
            let about = PodClassifier { ranges: Some(NetworkRanges::new(&networks)), ..about() };
            let value =
                json!({"status": {"podIP": address, "podIPs": [{"ip": address}], "phase": "Running"}});
            let is_of_old = |about: &PodClassifier| {
                pod(&value.to_string(), about).expect("a pod").has_trait(Trait::OtherNetwork)
            };
            assert_eq!(is_of_old(&about), is_foreign, "{old:?} {new:?} {address}");
            assert!(!is_of_old(&PodClassifier { ranges: None, ..about }), "no run to the final image");
        }
    }

    #[test]
    fn without_labels_no_pod_is_one_of_dns() {
        let mut about = about();
        about.dns.labels.clear();
        let text = json!({"metadata": {"namespace": "kube-system"}}).to_string();
        assert!(!pod(&text, &about).expect("a pod").has_trait(Trait::Dns));
    }
}
