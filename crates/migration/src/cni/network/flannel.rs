//! Flannel's settings: the key `net-conf.json` of ConfigMap `kube-flannel-cfg` or, of Canal, `canal-config`, which RKE2 calls `rke2-canal-config`.
//!
//! *Source*: flannel-io/flannel: Documentation/configuration.md, Documentation/backends.md.

use serde_json::Value;
use snapshot::model::{Kind, Object, Snapshot};

use super::{read_yaml, subject};
use crate::check::finding::Subject;

/// Where the settings stand, and what they say.
#[derive(Debug, Clone, PartialEq)]
pub struct Flannel {
    /// The ConfigMap.
    pub source: Subject,
    /// `net-conf.json`.
    pub conf: Value,
}

/// The settings; none if neither Flannel nor Canal is there.
#[must_use]
pub fn read(snapshot: &Snapshot) -> Option<Flannel> {
    let flannel_of = |object: &Object| {
        let conf = read_yaml(object.data("net-conf.json")?)?;
        Some(Flannel { source: subject(Kind::CONFIG_MAP, object), conf })
    };
    snapshot.objects(Kind::CONFIG_MAP).iter().find_map(flannel_of)
}

impl Flannel {
    /// `vxlan`, `host-gw`, `wireguard`, `udp` and others.
    #[must_use]
    pub fn backend(&self) -> &str {
        self.conf.pointer("/Backend/Type").and_then(Value::as_str).unwrap_or("udp")
    }

    /// A number of the backend, such as `Port`.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        self.conf.get("Backend")?.get(key)?.as_u64()
    }

    /// The ranges of all nodes, of the families that are on.
    ///
    /// *Source*: flannel-io/flannel: pkg/subnet/config.go: `EnableIPv4` is true and `EnableIPv6` false where they are absent.
    pub fn ranges(&self) -> impl Iterator<Item = &str> {
        let is_on = |key: &str, absent: bool| self.conf.get(key).and_then(Value::as_bool).unwrap_or(absent);
        let families = [("Network", is_on("EnableIPv4", true)), ("IPv6Network", is_on("EnableIPv6", false))];
        let on = families.into_iter().filter(|(_, is_on)| *is_on);
        on.filter_map(|(key, _)| self.conf.get(key)?.as_str())
    }
}
