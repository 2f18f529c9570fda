//! One copy of what many objects have in common, and nothing of what no check reads.
//!
//! The 150,000 pods of a large cluster come from a few thousand templates. A [`Pool`] keeps one copy of each list of containers, tolerations,
//! labels and so on, so that a pod costs a few hundred bytes.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use super::node::Condition;
use super::pod::Variable;
use super::{Meta, Node, Pod, PodSpec, PodTemplate, Text, Workload};

/// Parts of the names of Deployments whose command, arguments and settings are kept.
const AUTOSCALERS: [&str; 2] = ["cluster-autoscaler", "karpenter"];

/// Names of the DaemonSets that are CNI agents, or that checks compare with them. Only their environment and arguments are kept.
const AGENTS: [&str; 15] = [
    "antrea-agent",
    "aws-node",
    "azure-cni",
    "calico-node",
    "canal",
    "cilium",
    "kindnet",
    "kube-flannel",
    "kube-flannel-ds",
    "kube-multus",
    "kube-ovn-cni",
    "kube-proxy",
    "kube-router",
    "multus",
    "weave-net",
];

/// How the names of variables begin that agents and autoscalers are set up by. No secret is among them.
const SETTINGS: [&str; 22] = [
    "ADDITIONAL_ENI_TAGS",
    "ANTREA_",
    "AWS_VPC_",
    "CALICO_",
    "CILIUM_",
    "CLUSTER_CIDR",
    "CLUSTER_TYPE",
    "CNI_",
    "DATASTORE_TYPE",
    "DISABLE_",
    "ENABLE_",
    "FEATURE_GATES",
    "FELIX_",
    "FLANNEL",
    "IP",
    "MAX_ENI",
    "MINIMUM_",
    "NETWORK_POLICY_",
    "NO_DEFAULT_POOLS",
    "POD_MTU",
    "USE_POD_CIDR",
    "WARM_",
];

/// Conditions of a pod that checks read.
const LASTING: [&str; 2] = ["Ready", "PodScheduled"];

/// One copy of each value.
#[derive(Debug, Default)]
pub struct Pool {
    texts: HashSet<Text>,
    labels: HashSet<Arc<super::Labels>>,
    owners: HashSet<Arc<[super::OwnerRef]>>,
    finalizers: HashSet<Arc<[Text]>>,
    tolerations: HashSet<Arc<[super::Toleration]>>,
    containers: HashSet<Arc<[super::Container]>>,
    volumes: HashSet<Arc<[super::Volume]>>,
    conditions: HashSet<Arc<[Condition]>>,
}

/// Replaces a value by the copy that `all` has of it.
fn share<T: ?Sized + Hash + Eq>(all: &mut HashSet<Arc<T>>, value: &mut Arc<T>) {
    match all.get(&**value) {
        Some(item) => *value = Arc::clone(item),
        None => {
            all.insert(Arc::clone(value));
        }
    }
}

impl Pool {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Slims a pod and shares what it has in common with others.
    pub fn pod(&mut self, pod: &mut Pod) {
        self.meta(&mut pod.metadata);
        pod.spec.affinity = None;
        if pod.spec.containers.iter().any(is_set_up) {
            pod.spec.containers = without_settings(&pod.spec.containers);
        }
        self.spec(&mut pod.spec);
        share(&mut self.texts, &mut pod.status.phase);
        share(&mut self.conditions, &mut pod.status.conditions);
    }

    /// Slims a workload, which keeps the settings of an agent, and shares what it has in common with others.
    pub fn workload(&mut self, workload: &mut Workload) {
        self.meta(&mut workload.metadata);
        let name = &workload.metadata.name;
        // RKE2 writes its own name before that of a CNI.
        let bare = name.strip_prefix("rke2-").unwrap_or(name);
        let is_agent = AGENTS.iter().any(|agent| bare.starts_with(agent))
            || AUTOSCALERS.iter().any(|part| name.contains(part));
        let PodTemplate { metadata, spec } = &mut workload.spec.template;
        if !is_agent {
            spec.containers = without_settings(&spec.containers);
            spec.init_containers = without_settings(&spec.init_containers);
        }
        self.meta(metadata);
        self.spec(spec);
    }

    /// Shares what a node has in common with others.
    pub fn node(&mut self, node: &mut Node) {
        let info = &mut node.status.node_info;
        for text in [
            &mut info.architecture,
            &mut info.container_runtime_version,
            &mut info.kernel_version,
            &mut info.kubelet_version,
            &mut info.operating_system,
            &mut info.os_image,
        ] {
            share(&mut self.texts, text);
        }
        for condition in &mut node.status.conditions {
            for text in
                [&mut condition.kind, &mut condition.status, &mut condition.reason, &mut condition.message]
            {
                share(&mut self.texts, text);
            }
        }
    }

    /// Shares what an object's metadata has in common with others.
    pub fn meta(&mut self, meta: &mut Meta) {
        share(&mut self.texts, &mut meta.namespace);
        meta.creation_timestamp.iter_mut().for_each(|text| share(&mut self.texts, text));
        share(&mut self.labels, &mut meta.labels);
        share(&mut self.labels, &mut meta.annotations);
        share(&mut self.owners, &mut meta.owner_references);
        share(&mut self.finalizers, &mut meta.finalizers);
    }

    fn spec(&mut self, spec: &mut PodSpec) {
        share(&mut self.texts, &mut spec.node_name);
        share(&mut self.texts, &mut spec.dns_policy);
        share(&mut self.texts, &mut spec.priority_class_name);
        share(&mut self.texts, &mut spec.runtime_class_name);
        share(&mut self.texts, &mut spec.service_account_name);
        share(&mut self.labels, &mut spec.node_selector);
        share(&mut self.tolerations, &mut spec.tolerations);
        share(&mut self.containers, &mut spec.containers);
        share(&mut self.containers, &mut spec.init_containers);
        share(&mut self.volumes, &mut spec.volumes);
    }
}

fn is_set_up(container: &super::Container) -> bool {
    !container.env.is_empty() || !container.args.is_empty() || !container.command.is_empty()
}

fn without_settings(containers: &[super::Container]) -> Arc<[super::Container]> {
    let without = |container: &super::Container| super::Container {
        env: Vec::new(),
        args: Vec::new(),
        command: Vec::new(),
        ..container.clone()
    };
    containers.iter().map(without).collect()
}

/// Reads environment variables and keeps those that agents are set up by.
pub(super) fn agent_variables<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Variable>, D::Error> {
    let mut all = Option::<Vec<Variable>>::deserialize(deserializer)?.unwrap_or_default();
    all.retain(|variable| SETTINGS.iter().any(|setting| variable.name.starts_with(setting)));
    Ok(all)
}

/// Reads conditions of a pod and keeps the two that checks read, without their times and messages, which differ in every pod.
pub(super) fn deserialize_lasting<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Arc<[Condition]>, D::Error> {
    let all = Option::<Vec<Condition>>::deserialize(deserializer)?.unwrap_or_default();
    let conditions = all.into_iter().filter(|condition| LASTING.contains(&&*condition.kind));
    let slim = |condition: Condition| Condition {
        kind: condition.kind,
        status: condition.status,
        reason: condition.reason,
        ..Condition::default()
    };
    Ok(conditions.map(slim).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = r#"{"metadata":{"name":"a","namespace":"x","labels":{"app":"web"}},
        "spec":{"affinity":{"nodeAffinity":{}},"tolerations":[{"operator":"Exists"}],
        "serviceAccountName":"web","containers":[{"name":"c","image":"i","args":["--token=s3cret"],"command":["--key=s3cret"],
            "env":[{"name":"PASSWORD","value":"s3cret"},{"name":"IP","value":"autodetect"}]}]},
        "status":{"phase":"Running","conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z"},
            {"type":"Initialized","status":"True"}]}}"#;

    fn pod() -> Pod {
        serde_json::from_str(POD).expect("a pod")
    }

    #[test]
    fn pods_of_one_template_share_their_lists() {
        let (mut pool, mut pod, mut two) = (Pool::new(), pod(), pod());
        pool.pod(&mut pod);
        pool.pod(&mut two);
        assert!(Arc::ptr_eq(&pod.spec.containers, &two.spec.containers));
        assert!(Arc::ptr_eq(&pod.metadata.labels, &two.metadata.labels));
        assert!(Arc::ptr_eq(&pod.spec.service_account_name, &two.spec.service_account_name));
        assert!(Arc::ptr_eq(&pod.status.conditions, &two.status.conditions));
    }

    #[test]
    fn a_pod_keeps_neither_variables_nor_arguments() {
        let mut pod = pod();
        Pool::new().pod(&mut pod);
        let text = serde_json::to_string(&pod).expect("JSON");
        assert!(
            !text.contains("s3cret") && !text.contains("autodetect") && !text.contains("affinity"),
            "{text}"
        );
        assert_eq!(pod.status.conditions.len(), 1);
    }

    #[test]
    fn only_an_agent_keeps_its_settings() {
        for (name, kept) in
            [("calico-node", true), ("rke2-canal", true), ("my-karpenter", true), ("web", false)]
        {
            let text = format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{{"template":{POD}}}}}"#);
            let mut workload: Workload = serde_json::from_str(&text).expect("a workload");
            Pool::new().workload(&mut workload);
            let env = &workload.spec.template.spec.containers[0].env;
            assert_eq!(
                env.iter().map(|variable| variable.name.as_ref()).collect::<Vec<_>>(),
                ["IP"][..usize::from(kept)]
            );
        }
    }
}
