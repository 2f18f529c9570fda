//! Calico's settings: `FelixConfiguration`, the operator's `Installation`, and the variables of the DaemonSet.
//!
//! *Source*: Calico's documentation, "Configuring Felix": a variable of the DaemonSet wins over a `FelixConfiguration`, and one of a node over
//! the one called `default`.

use snapshot::model::{Kind, Object, Snapshot, Workload};

use super::{Setting, agent, subject, variable};
use crate::check::finding::Subject;
use crate::cni::support::Cni;

/// The DaemonSet.
#[must_use]
pub fn node(snapshot: &Snapshot) -> Option<&Workload> {
    agent(snapshot, &["calico-node", "canal"])
}

/// The operator's description of what it installs.
#[must_use]
pub fn installation(snapshot: &Snapshot) -> Option<&Object> {
    snapshot.objects(Kind::TIGERA_INSTALLATION).first()
}

/// Every value of a setting of Felix: `bpfEnabled` of a `FelixConfiguration`, `FELIX_BPFENABLED` of the DaemonSet. Only the latter counts if there is one.
#[must_use]
pub fn felix(snapshot: &Snapshot, key: &str) -> Vec<Setting> {
    let name = format!("FELIX_{}", key.to_ascii_uppercase());
    if let Some(node) = node(snapshot)
        && let Some(value) = variable(node, &name).filter(|value| !value.is_empty())
    {
        return vec![Setting::new(value, Subject::from_meta(Kind::DAEMON_SET, &node.metadata), &name)];
    }
    let setting_of = |object: &Object| {
        let value = super::scalar_text(object.pointer("/spec")?.get(key)?)?;
        Some(Setting::new(value, subject(Kind::FELIX_CONFIGURATION, object), key))
    };
    snapshot.objects(Kind::FELIX_CONFIGURATION).iter().filter_map(setting_of).collect()
}

/// A number that Felix has, or its default.
#[must_use]
pub fn number(snapshot: &Snapshot, key: &str, default: u32) -> u32 {
    let all = felix(snapshot, key);
    let cluster = all.iter().find(|setting| setting.source.name == "default").or_else(|| all.first());
    cluster.and_then(|setting| setting.value.parse().ok()).unwrap_or(default)
}

/// Every object that says yes to a setting of Felix.
#[must_use]
pub fn find_enabled(snapshot: &Snapshot, key: &str) -> Vec<Subject> {
    let all = felix(snapshot, key).into_iter();
    all.filter(|setting| super::is_yes(&setting.value)).map(|setting| setting.source).collect()
}

/// The pools whose mode of encapsulation (`ipipMode` or `vxlanMode`) is on.
pub fn pools_with<'a>(snapshot: &'a Snapshot, mode: &'a str) -> impl Iterator<Item = &'a Object> {
    let is_on = move |pool: &&Object| {
        let mode = pool.pointer("/spec").and_then(|spec| spec.get(mode)?.as_str());
        mode.is_some_and(|mode| mode != "Never" && !mode.is_empty())
    };
    snapshot.objects(Kind::IP_POOL).iter().filter(is_on)
}

/// Whether a pool gives addresses for a use: `Workload`, `Tunnel` or `LoadBalancer`. A pool that names no use serves workloads and tunnels.
///
/// *Source*: Calico's documentation, "IP pool", `allowedUses`.
#[must_use]
pub fn serves(pool: &Object, usage: &str) -> bool {
    let mut uses = pool.texts("/spec/allowedUses").peekable();
    if uses.peek().is_none() { usage != "LoadBalancer" } else { uses.any(|item| item == usage) }
}

/// Pods get addresses of their Node's pod CIDR (the plugin host-local), and not of Calico's pools.
///
/// *Source*: Calico's documentation, "Configure the Calico CNI plugins", "Using host-local IPAM"; "Installation reference", `spec.cni.ipam.type`.
#[must_use]
pub fn is_host_local(snapshot: &Snapshot) -> bool {
    let by_operator = installation(snapshot).and_then(|object| object.text("/spec/cni/ipam/type"));
    let conf = snapshot.config_map("calico-config").and_then(|config| config.data("cni_network_config"));
    by_operator == Some("HostLocal") || conf.is_some_and(|conf| conf.contains("\"host-local\""))
}

/// Calico keeps its resources in an etcd of its own, where no snapshot sees them.
///
/// *Source*: projectcalico/calico: manifests/calico-etcd.yaml (`etcd_endpoints`); Calico's documentation, "Configure calico/node", `DATASTORE_TYPE`.
#[must_use]
pub fn is_on_etcd(snapshot: &Snapshot) -> bool {
    let endpoints = snapshot.config_map("calico-config").and_then(|config| config.data("etcd_endpoints"));
    let kind = node(snapshot).and_then(|node| variable(node, "DATASTORE_TYPE"));
    kind == Some("etcdv3") || kind.is_none() && endpoints.is_some_and(|text| !text.is_empty())
}

/// The agent of Calico where it enforces policies for another CNI.
///
/// *Source*: Calico's documentation, "Amazon Elastic Kubernetes Service (EKS)": with Amazon's networking, Calico is the policy engine alone.
#[must_use]
pub fn policy_engine(snapshot: &Snapshot, cni: Cni) -> Option<&Workload> {
    node(snapshot).filter(|_| cni == Cni::AwsVpcCni && is_policy_only(snapshot))
}

/// The backend routes without tunnels and needs no address: Canal, or Calico for policies only.
#[must_use]
pub fn is_policy_only(snapshot: &Snapshot) -> bool {
    node(snapshot).and_then(|node| variable(node, "CALICO_NETWORKING_BACKEND")) == Some("none")
}
