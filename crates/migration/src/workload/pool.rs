//! Pools of nodes, the nodes to come, and platforms on which no CNI can be moved.

use std::borrow::Cow;

use serde::Deserialize as _;
use snapshot::model::{Kind, Labels, Node, Object, Taint};

use super::Place;
use crate::check::Scene;
use crate::check::finding::Subject;
use crate::cni::support::Strategy;
use crate::config::TemplateTaint;
use crate::config::roll::Method;

/// The label of the nodes of a NodePool of Karpenter. *Source*: Karpenter 1.14, `pkg/apis/v1/labels.go`.
pub const KARPENTER_POOL: &str = "karpenter.sh/nodepool";
/// The annotations of a Node with the Machine of Cluster API that it is, and with the namespace and the name of its Cluster.
///
/// *Source*: Cluster API 1.12, `api/core/v1beta2/common_types.go`; the controller of Machines writes them on each Node.
pub const CAPI_MACHINE: &str = "cluster.x-k8s.io/machine";
const CAPI_NAMESPACE: &str = "cluster.x-k8s.io/cluster-namespace";
const CAPI_CLUSTER: &str = "cluster.x-k8s.io/cluster-name";
/// All that a Node of Cluster API needs, so that its Machine can be found.
pub const CAPI_ANNOTATIONS: [&str; 3] = [CAPI_MACHINE, CAPI_NAMESPACE, CAPI_CLUSTER];
/// The label of the nodes of an EKS managed node group. *Source*: Amazon EKS user guide, "Managed node groups".
pub const EKS_NODE_GROUP: &str = "eks.amazonaws.com/nodegroup";
/// The label of the nodes of a GKE node pool. *Source*: GKE, "Node pools".
pub const GKE_POOL: &str = "cloud.google.com/gke-nodepool";

/// The label of the nodes of an AKS node pool. *Source*: AKS, "Reserved system prefixes".
pub const AKS_POOL: &str = "kubernetes.azure.com/agentpool";
/// The label of the nodes of a Gardener worker pool. *Source*: gardener/gardener, `pkg/apis/core/v1beta1/constants/types_constants.go`.
pub const GARDENER_POOL: &str = "worker.gardener.cloud/pool";

/// A platform on which a node's CNI is not the operator's to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Platform {
    /// Amazon EKS Auto Mode.
    EksAutoMode,
    /// AWS Fargate.
    Fargate,
    /// A virtual kubelet.
    Virtual,
    Windows,
}

/// What replaces the nodes of a pool, as their labels name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Provisioner {
    Karpenter,
    /// An EKS managed node group.
    ManagedNodeGroup,
    ClusterApi,
    /// The node pool of a provider: GKE, AKS, Gardener.
    ProviderPool,
}

/// A pool from which more nodes come.
#[derive(Debug, Clone)]
pub struct FutureNodes<'a> {
    /// The pool.
    pub subject: Subject,
    pub labels: Cow<'a, Labels>,
    /// Taints that its nodes keep, and those with which they start.
    pub taints: Vec<Taint>,
}

/// The platform of a node; none for a node like any other.
///
/// *Source*: Amazon EKS user guide, "Create a node pool for EKS Auto Mode" and "AWS Fargate considerations" (label `eks.amazonaws.com/compute-type`);
/// virtual-kubelet 1.11, `cmd/virtual-kubelet/internal/commands/root/node.go` (label `type`); Kubernetes API reference (`operatingSystem`).
#[must_use]
pub fn platform(node: &Node) -> Option<Platform> {
    let label = |key: &str| node.metadata.label(key).unwrap_or_default();
    match label("eks.amazonaws.com/compute-type") {
        "auto" => return Some(Platform::EksAutoMode),
        "fargate" => return Some(Platform::Fargate),
        _ => {}
    }
    if label("type") == "virtual-kubelet" {
        return Some(Platform::Virtual);
    }
    let is_windows = label("kubernetes.io/os") == "windows"
        || node.status.node_info.operating_system.as_ref() == "windows";
    is_windows.then_some(Platform::Windows)
}

/// What replaces a node, as its labels and annotations name it; none if it is the operator's own pipeline.
///
/// *Source*: Karpenter v1, "Disruption" (label of every node of a `NodePool`); Amazon EKS user guide, "Managed node groups".
#[must_use]
pub fn provisioner(node: &Node) -> Option<Provisioner> {
    let has = |key: &str| node.metadata.label(key).is_some();
    if has(KARPENTER_POOL) {
        return Some(Provisioner::Karpenter);
    }
    if has(EKS_NODE_GROUP) {
        return Some(Provisioner::ManagedNodeGroup);
    }
    let is_machine = node.metadata.annotation(CAPI_MACHINE).is_some();
    if is_machine && cluster_of(node).is_some() {
        return Some(Provisioner::ClusterApi);
    }
    [GKE_POOL, AKS_POOL, GARDENER_POOL].into_iter().any(has).then_some(Provisioner::ProviderPool)
}

/// The namespace and the name of the Cluster of Cluster API that a Node is of; none if it is of none.
#[must_use]
pub fn cluster_of(node: &Node) -> Option<(&str, &str)> {
    Some((node.metadata.annotation(CAPI_NAMESPACE)?, node.metadata.annotation(CAPI_CLUSTER)?))
}

/// The pool of a node: the value of the first label that names pools, else `control-plane`, else nothing.
#[must_use]
pub fn pool_of<'n>(scene: &Scene<'_>, node: &'n Node) -> &'n str {
    pool_in(&scene.config.nodes.pool_labels, node)
}

/// The same, by the labels that name pools.
#[must_use]
pub fn pool_in<'n>(labels: &[String], node: &'n Node) -> &'n str {
    let named = labels.iter().find_map(|label| node.metadata.label(label));
    let role =
        || node.metadata.label("node-role.kubernetes.io/control-plane").map_or("", |_| "control-plane");
    named.unwrap_or_else(role)
}

/// Pods that are evicted from the node come back to it: it stays, and is not cordoned meanwhile.
#[must_use]
pub fn takes_back(scene: &Scene<'_>, node: &Node) -> bool {
    scene.strategy != Strategy::Rotation
        && scene.config.roll.method(pool_of(scene, node)) == Some(Method::Churn)
}

/// The pools from which nodes may come: those of the settings, and Karpenter's.
#[must_use]
pub fn futures<'a>(scene: &Scene<'a>) -> Vec<FutureNodes<'a>> {
    let of_settings = scene.config.nodes.templates.iter().map(|template| FutureNodes {
        subject: Subject {
            kind: "NodeTemplate".into(),
            namespace: String::new(),
            name: template.name.clone(),
            detail: String::new(),
        },
        labels: linux(template.labels.clone()),
        taints: template.taints.iter().map(taint).collect(),
    });
    of_settings.chain(scene.snapshot.objects(Kind::KARPENTER_NODE_POOL).iter().map(karpenter_nodes)).collect()
}

fn taint(taint: &TemplateTaint) -> Taint {
    let TemplateTaint { key, value, effect } = taint;
    Taint { key: key.as_str().into(), value: value.as_str().into(), effect: effect.as_str().into() }
}

/// The start-up taints of a NodePool, as a JSON pointer has them.
pub const STARTUP_TAINTS: &str = "/spec/template/spec/startupTaints";

fn karpenter_nodes(pool: &Object) -> FutureNodes<'static> {
    let mut labels: Labels = pool
        .pointer("/spec/template/metadata/labels")
        .and_then(|labels| Labels::deserialize(labels).ok())
        .unwrap_or_default();
    labels.insert(KARPENTER_POOL.into(), pool.name().into());
    // A requirement with one value is a label of every node of the pool.
    for rule in pool.list("/spec/template/spec/requirements") {
        let values = rule.get("values").and_then(|values| values.as_array()).map_or(&[][..], Vec::as_slice);
        let key = rule.get("key").and_then(|key| key.as_str());
        if let (Some(key), [value], Some("In")) =
            (key, values, rule.get("operator").and_then(|operator| operator.as_str()))
        {
            labels.insert(key.into(), value.as_str().unwrap_or_default().into());
        }
    }
    let taints = ["/spec/template/spec/taints", STARTUP_TAINTS];
    let taints = taints
        .iter()
        .flat_map(|pointer| pool.list(pointer))
        .filter_map(|taint| Taint::deserialize(taint).ok());
    FutureNodes {
        subject: Subject::new(Kind::KARPENTER_NODE_POOL, pool.name()),
        labels: linux(labels),
        taints: taints.collect(),
    }
}

/// Every node has these labels, and agents select by them.
fn linux(mut labels: Labels) -> Cow<'static, Labels> {
    labels.entry("kubernetes.io/os".into()).or_insert_with(|| "linux".into());
    Cow::Owned(labels)
}

impl FutureNodes<'_> {
    /// A node of the pool, as the scheduler will see it.
    #[must_use]
    pub fn place(&self) -> Place<'_> {
        Place { name: "", labels: &self.labels, taints: &self.taints }
    }
}
