//! Services, their endpoints, and PodDisruptionBudgets.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::meta::{is_empty, or_default};
use super::{Labels, Meta, Selector, Text};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Name, labels, annotations.
    pub metadata: Meta,
    pub spec: ServiceSpec,
    /// What a load balancer made of it.
    #[serde(skip_serializing_if = "ServiceStatus::is_empty")]
    pub status: ServiceStatus,
}

/// `status` of a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceStatus {
    /// Where the load balancer is.
    pub load_balancer: LoadBalancer,
}

/// `status.loadBalancer` of a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoadBalancer {
    /// Its addresses.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub ingress: Vec<Ingress>,
}

/// An address of a load balancer; empty where it has a name instead.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ingress {
    /// The address.
    #[serde(skip_serializing_if = "is_empty")]
    pub ip: Text,
}

impl ServiceStatus {
    fn is_empty(&self) -> bool {
        self.load_balancer.ingress.is_empty()
    }
}

/// `spec` of a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// `ClusterIP`, `NodePort`, `LoadBalancer`, `ExternalName`.
    #[serde(rename = "type", skip_serializing_if = "is_empty")]
    pub kind: Text,
    /// Its addresses, or `None`.
    #[serde(rename = "clusterIPs", deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub cluster_ips: Vec<Text>,
    /// Addresses from outside that lead to it.
    #[serde(rename = "externalIPs", deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub external_ips: Vec<Text>,
    /// The address that its load balancer is asked for.
    #[serde(rename = "loadBalancerIP", skip_serializing_if = "is_empty")]
    pub load_balancer_ip: Text,
    /// Ranges from which a load balancer accepts connections.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub load_balancer_source_ranges: Vec<Text>,
    /// `Cluster` or `Local`.
    #[serde(skip_serializing_if = "is_empty")]
    pub external_traffic_policy: Text,
    /// `Cluster` or `Local`.
    #[serde(skip_serializing_if = "is_empty")]
    pub internal_traffic_policy: Text,
    /// `None` or `ClientIP`.
    #[serde(skip_serializing_if = "is_empty")]
    pub session_affinity: Text,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<ServicePort>,
    /// The labels of its pods.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Labels::is_empty")]
    pub selector: Labels,
}

impl Service {
    /// The addresses outside the cluster that lead to it.
    pub fn outside_ips(&self) -> impl Iterator<Item = &str> {
        let ingress = self.status.load_balancer.ingress.iter().map(|item| &item.ip);
        let all = self.spec.external_ips.iter().chain([&self.spec.load_balancer_ip]).chain(ingress);
        all.map(AsRef::as_ref).filter(|ip: &&str| !ip.is_empty())
    }
}

/// A port of a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServicePort {
    #[serde(skip_serializing_if = "is_empty")]
    pub name: Text,
    pub port: u16,
    /// The port of the pods: a number or a name.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub target_port: Value,
    /// The port on every node; 0 for none.
    pub node_port: u16,
    /// `TCP`, `UDP`, `SCTP`.
    #[serde(skip_serializing_if = "is_empty")]
    pub protocol: Text,
}

/// Some endpoints of a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointSlice {
    /// Name and labels; `kubernetes.io/service-name` names the Service.
    pub metadata: Meta,
    /// `IPv4` or `IPv6`.
    pub address_type: Text,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoint {
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<Text>,
    /// Whether it serves.
    pub conditions: EndpointConditions,
}

/// Whether an endpoint serves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointConditions {
    /// It serves; absent means that it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Budget {
    /// Name and labels.
    pub metadata: Meta,
    /// What it protects.
    pub spec: BudgetSpec,
    /// What it allows now.
    pub status: BudgetStatus,
}

/// `spec` of a PodDisruptionBudget.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BudgetSpec {
    /// A number or a percentage of pods that stay.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub min_available: Value,
    /// A number or a percentage of pods that may go.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub max_unavailable: Value,
    /// Its pods. None selects no pod; one without rules selects every pod of the namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// `IfHealthyBudget` or `AlwaysAllow`.
    #[serde(skip_serializing_if = "is_empty")]
    pub unhealthy_pod_eviction_policy: Text,
}

/// `status` of a PodDisruptionBudget.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BudgetStatus {
    /// Pods that are healthy.
    pub current_healthy: i32,
    /// Pods that must be healthy.
    pub desired_healthy: i32,
    /// Pods that may be evicted now.
    pub disruptions_allowed: i32,
    pub expected_pods: i32,
}
