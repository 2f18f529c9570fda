//! Pods, and the templates of pods.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::meta::{is_empty, is_false, is_without_labels, or_default};
use super::node::{Condition, Resources};
use super::{Labels, Meta, Text};

/// The service account of pods that name none. *Source*: Kubernetes, "Service Accounts".
const DEFAULT_ACCOUNT: &str = "default";

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Name, labels, owners.
    pub metadata: Meta,
    pub spec: PodSpec,
    /// What became of the pod.
    pub status: PodStatus,
}

/// The pods that a workload makes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodTemplate {
    /// Labels and annotations of the pods.
    pub metadata: Meta,
    pub spec: PodSpec,
}

/// `spec` of a Pod. All pods of an owner share its lists.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// The node; empty while the pod is not scheduled.
    #[serde(skip_serializing_if = "is_empty")]
    pub node_name: Text,
    /// The pod uses the node's network.
    #[serde(skip_serializing_if = "is_false")]
    pub host_network: bool,
    /// Labels that a node must have.
    #[serde(skip_serializing_if = "is_without_labels")]
    pub node_selector: Arc<Labels>,
    /// `affinity.nodeAffinity`, `podAffinity` and `podAntiAffinity` of a template, as written. A pod has none here: each pod of a DaemonSet would have
    /// one of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Arc<Value>>,
    /// The taints that the pod tolerates.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub tolerations: Arc<[Toleration]>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub containers: Arc<[Container]>,
    /// The containers that run before the others.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub init_containers: Arc<[Container]>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub volumes: Arc<[Volume]>,
    /// `ClusterFirst`, `Default`, `None`.
    #[serde(skip_serializing_if = "is_empty")]
    pub dns_policy: Text,
    /// The name of its PriorityClass.
    #[serde(skip_serializing_if = "is_empty")]
    pub priority_class_name: Text,
    /// The name of its RuntimeClass; empty for the runtime's default handler.
    #[serde(skip_serializing_if = "is_empty")]
    pub runtime_class_name: Text,
    /// The name of its service account; empty means `default`.
    #[serde(skip_serializing_if = "is_empty", deserialize_with = "deserialize_unless_default")]
    pub service_account_name: Text,
    /// How long its containers may take to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub termination_grace_period_seconds: Option<i64>,
}

/// A taint, or a group of taints, that a pod tolerates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Toleration {
    /// The key; empty means every key.
    #[serde(skip_serializing_if = "is_empty")]
    pub key: Text,
    /// `Exists` or `Equal`; empty means `Equal`.
    #[serde(skip_serializing_if = "is_empty")]
    pub operator: Text,
    /// The value to be equal to.
    #[serde(skip_serializing_if = "is_empty")]
    pub value: Text,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`; empty means every effect.
    #[serde(skip_serializing_if = "is_empty")]
    pub effect: Text,
}

/// A container, as far as checks read it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    pub name: Text,
    /// Its image; the version of an agent.
    pub image: Text,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// What it requests: `cpu`, `memory`.
    #[serde(skip_serializing_if = "Requests::is_empty")]
    pub resources: Requests,
    /// `Always` of an init container that runs as long as the pod, a sidecar.
    #[serde(skip_serializing_if = "is_empty")]
    pub restart_policy: Text,
    /// Environment variables of a CNI agent. Other variables are not kept: a value may be a secret.
    #[serde(deserialize_with = "super::pool::agent_variables", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<Variable>,
    /// The command of a CNI agent's or an autoscaler's template; no pod keeps it.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<Text>,
    /// Arguments of a CNI agent's or an autoscaler's template; no pod keeps them.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Text>,
}

/// `resources` of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Requests {
    /// What the scheduler counts.
    pub requests: Resources,
}

impl Requests {
    fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }
}

/// A port of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Port {
    #[serde(skip_serializing_if = "is_empty")]
    pub name: Text,
    /// The port in the pod.
    pub container_port: u16,
    /// The port on the node; 0 for none.
    pub host_port: u16,
    /// `TCP`, `UDP`, `SCTP`; empty means `TCP`.
    #[serde(skip_serializing_if = "is_empty")]
    pub protocol: Text,
    /// The node's address that the port on the node is bound to.
    #[serde(rename = "hostIP", skip_serializing_if = "is_empty")]
    pub host_ip: Text,
}

/// An environment variable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Variable {
    pub name: Text,
    /// Its value; empty if it comes from elsewhere.
    pub value: Text,
}

/// A volume: what kind of storage it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Volume {
    pub name: Text,
    /// `emptyDir`, `hostPath`, `persistentVolumeClaim`, `configMap` and others.
    pub source: Text,
    /// The name of the PersistentVolumeClaim or ConfigMap, or the path on the node.
    pub target: Option<Text>,
}

/// `status` of a Pod.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`.
    pub phase: Text,
    /// Its addresses, one of each family.
    #[serde(rename = "podIPs", deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub pod_ips: Vec<PodIp>,
    /// `Ready` and others.
    #[serde(skip_serializing_if = "<[_]>::is_empty", deserialize_with = "super::pool::deserialize_lasting")]
    pub conditions: Arc<[Condition]>,
}

/// An address of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PodIp {
    /// The address.
    pub ip: IpAddr,
}

/// Most pods have the service account `default`, which the API server writes into each of them.
fn deserialize_unless_default<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
    let name: Text = or_default(deserializer)?;
    Ok(if &*name == DEFAULT_ACCOUNT { Text::default() } else { name })
}

impl Pod {
    #[must_use]
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.metadata.namespace
    }

    /// The name of its service account.
    #[must_use]
    pub fn service_account(&self) -> &str {
        if self.spec.service_account_name.is_empty() {
            DEFAULT_ACCOUNT
        } else {
            &self.spec.service_account_name
        }
    }

    /// Its containers and its sidecars: all that run as long as the pod.
    pub fn lasting_containers(&self) -> impl Iterator<Item = &Container> {
        let sidecars =
            self.spec.init_containers.iter().filter(|container| &*container.restart_policy == "Always");
        self.spec.containers.iter().chain(sidecars)
    }

    /// The pod ended and holds no address.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.status.phase.as_ref(), "Succeeded" | "Failed")
    }

    /// kubelet reads the pod from a file of the node; it cannot be evicted.
    #[must_use]
    pub fn is_static(&self) -> bool {
        self.metadata.annotation("kubernetes.io/config.mirror").is_some()
    }

    /// The ports of its node that the pod asks for; none for a pod that uses the node's network or ended.
    pub fn host_ports(&self) -> impl Iterator<Item = &Port> {
        let has_some = !self.spec.host_network && !self.is_finished();
        let ports = self.lasting_containers().flat_map(|container| &container.ports);
        ports.filter(move |port| has_some && port.host_port > 0)
    }

    /// Its addresses on the pod network; none for a pod that uses the node's network or ended.
    pub fn network_ips(&self) -> impl Iterator<Item = IpAddr> {
        let has_some = !self.spec.host_network && !self.is_finished();
        self.status.pod_ips.iter().filter(move |_| has_some).map(|ip| ip.ip)
    }
}

impl Serialize for Volume {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let key = source_key(&self.source);
        let target = self.target.as_ref().filter(|_| !key.is_empty());
        let source: BTreeMap<&str, &str> = target.iter().map(|name| (key, name.as_ref())).collect();
        let mut all = BTreeMap::new();
        all.insert("name", Value::from(self.name.as_ref()));
        all.insert(self.source.as_ref(), serde_json::to_value(source).unwrap_or_default());
        all.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Volume {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut all = serde_json::Map::<String, Value>::deserialize(deserializer)?;
        let name = match all.remove("name") {
            Some(Value::String(name)) => name.into(),
            _ => Text::default(),
        };
        let (source, value) = all.into_iter().next().unwrap_or_default();
        let target = value.get(source_key(&source)).and_then(Value::as_str).map(Text::from);
        Ok(Self { name, source: source.into(), target })
    }
}

/// The key that names what a volume has in it.
fn source_key(source: &str) -> &'static str {
    match source {
        "persistentVolumeClaim" => "claimName",
        "hostPath" => "path",
        "configMap" => "name",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_keeps_its_kind_and_what_it_names() {
        let text = r#"{"hostPath":{"path":"/var/lib"},"name":"data"}"#;
        let volume: Volume = serde_json::from_str(text).expect("a volume");
        assert_eq!((volume.source.as_ref(), volume.target.as_deref()), ("hostPath", Some("/var/lib")));
        assert_eq!(serde_json::to_string(&volume).expect("JSON"), text);
        let secret: Volume =
            serde_json::from_str(r#"{"name":"s","secret":{"secretName":"x"}}"#).expect("one");
        assert_eq!((secret.source.as_ref(), secret.target), ("secret", None));
    }

    #[test]
    fn a_pod_has_a_service_account_and_sidecars() {
        let read =
            |spec: &str| -> Pod { serde_json::from_str(&format!(r#"{{"spec":{spec}}}"#)).expect("a pod") };
        for (spec, account) in [
            ("{}", "default"),
            (r#"{"serviceAccountName":"default"}"#, "default"),
            (r#"{"serviceAccountName":"web"}"#, "web"),
            (r#"{"serviceAccountName":null}"#, "default"),
        ] {
            assert_eq!(read(spec).service_account(), account, "{spec}");
        }
        assert_eq!(
            read(r#"{"serviceAccountName":"default"}"#),
            read("{}"),
            "one copy of what most pods have"
        );
        let pod = read(
            r#"{"containers":[{"name":"a"}],"initContainers":[{"name":"b"},{"name":"c","restartPolicy":"Always"}]}"#,
        );
        assert_eq!(
            pod.lasting_containers().map(|container| &*container.name).collect::<Vec<_>>(),
            ["a", "c"]
        );
        let again: Pod = serde_json::from_value(serde_json::to_value(&pod).expect("JSON")).expect("a pod");
        assert_eq!(again, pod);
    }

    #[test]
    fn a_pod_on_the_nodes_network_has_no_address_of_its_own() {
        let read = |host: bool, phase: &str| -> Pod {
            let text = format!(
                r#"{{"spec":{{"hostNetwork":{host}}},"status":{{"phase":"{phase}","podIPs":[{{"ip":"10.0.0.1"}},{{"ip":"fd00::1"}}]}}}}"#
            );
            serde_json::from_str(&text).expect("a pod")
        };
        assert_eq!(read(false, "Running").network_ips().count(), 2);
        assert_eq!(read(true, "Running").network_ips().count(), 0);
        assert_eq!(read(false, "Succeeded").network_ips().count(), 0);
    }
}
