//! Calico's settings: `FelixConfiguration`, the operator's `Installation`, and the variables of the DaemonSet.
//!
//! *Source*: Calico's documentation, "Configuring Felix": a variable of the DaemonSet wins over a `FelixConfiguration`, and one of a node over
//! the one called `default`.

use super::{Setting, agent, subject, variable};
use crate::finding::Subject;
use crate::model::{Kind, Object, Snapshot, Workload};

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
        return vec![Setting::of(value, Subject::of(Kind::DAEMON_SET, &node.metadata), &name)];
    }
    let of = |object: &Object| {
        let value = super::yaml::text(object.at("/spec")?.get(key)?)?;
        Some(Setting::of(value, subject(Kind::FELIX_CONFIGURATION, object), key))
    };
    snapshot.objects(Kind::FELIX_CONFIGURATION).iter().filter_map(of).collect()
}

/// A number that Felix has, or its default.
#[must_use]
pub fn number(snapshot: &Snapshot, key: &str, default: u32) -> u32 {
    let all = felix(snapshot, key);
    let cluster = all.iter().find(|setting| setting.by.name == "default").or_else(|| all.first());
    cluster.and_then(|setting| setting.value.parse().ok()).unwrap_or(default)
}

/// Every object that says yes to a setting of Felix.
#[must_use]
pub fn enabled(snapshot: &Snapshot, key: &str) -> Vec<Subject> {
    let all = felix(snapshot, key).into_iter();
    all.filter(|setting| super::is_yes(&setting.value)).map(|setting| setting.by).collect()
}

/// The pools whose mode of encapsulation (`ipipMode` or `vxlanMode`) is on.
pub fn pools_with<'a>(snapshot: &'a Snapshot, mode: &'a str) -> impl Iterator<Item = &'a Object> {
    let is_on = move |pool: &&Object| {
        let mode = pool.at("/spec").and_then(|spec| spec.get(mode)?.as_str());
        mode.is_some_and(|mode| mode != "Never" && !mode.is_empty())
    };
    snapshot.objects(Kind::IP_POOL).iter().filter(is_on)
}

/// The backend routes without tunnels and needs no address: Canal, or Calico for policies only.
#[must_use]
pub fn is_policy_only(snapshot: &Snapshot) -> bool {
    node(snapshot).and_then(|node| variable(node, "CALICO_NETWORKING_BACKEND")) == Some("none")
}
