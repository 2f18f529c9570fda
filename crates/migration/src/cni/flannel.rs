//! Flannel's settings: the key `net-conf.json` of ConfigMap `kube-flannel-cfg` or, of Canal, `canal-config`, which RKE2 calls `rke2-canal-config`.
//!
//! *Source*: flannel-io/flannel: Documentation/configuration.md, Documentation/backends.md.

mod features;
pub(super) mod footprint;

use netpol::gather::Engine;
use serde_json::Value;
use snapshot::model::{Kind, Object, PodSpec, Snapshot};

use super::cidr::{Claim, Claims, Usage};
use super::driver::{Driver, Facts, has_container};
use super::network::{Protocol, Tunnel, default_subject, read_yaml, subject};
use super::support::Cni;
use crate::check::Scene;
use crate::check::finding::Subject;

/// Where the settings stand, and what they say.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The ConfigMap.
    pub source: Subject,
    /// `net-conf.json`.
    pub conf: Value,
}

/// The settings; none if neither Flannel nor Canal is there.
#[must_use]
pub fn read(snapshot: &Snapshot) -> Option<Settings> {
    let settings_of = |object: &Object| {
        let conf = read_yaml(object.data("net-conf.json")?)?;
        Some(Settings { source: subject(Kind::CONFIG_MAP, object), conf })
    };
    snapshot.objects(Kind::CONFIG_MAP).iter().find_map(settings_of)
}

impl Settings {
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

/// The tunnels of its backend.
///
/// *Source*: Flannel: Documentation/backends.md.
pub(super) fn tunnels(snapshot: &Snapshot, cni: Cni) -> Vec<Tunnel> {
    let Some(settings) = read(snapshot) else {
        return vec![Tunnel::default(cni, Protocol::Vxlan, 8472, Some(1), "flannel.1")];
    };
    let source = settings.source.clone();
    let number =
        |key: &str, default: u64| settings.number(key).filter(|number| *number != 0).unwrap_or(default);
    let port = |key: &str, default: u16| u16::try_from(number(key, default.into())).unwrap_or(default);
    match settings.backend() {
        "vxlan" => {
            let vni = u32::try_from(number("VNI", 1)).unwrap_or(1);
            vec![Tunnel::new(
                Protocol::Vxlan,
                port("Port", 8472),
                Some(vni),
                &format!("flannel.{vni}"),
                source,
            )]
        }
        "wireguard" => {
            let second = port("ListenPortV6", 51_821);
            vec![
                Tunnel::new(
                    Protocol::WireGuard,
                    port("ListenPort", 51_820),
                    None,
                    "flannel-wg",
                    source.clone(),
                ),
                Tunnel::new(Protocol::WireGuard, second, None, "flannel-wg-v6", source),
            ]
        }
        "ipip" => vec![Tunnel::new(Protocol::Ipip, 0, None, "flannel.ipip", source)],
        _ => Vec::new(),
    }
}

/// The MTU of its backend, as a number that is set.
pub(super) fn mtu(snapshot: &Snapshot, cni: Cni) -> (Option<u32>, Subject) {
    match read(snapshot) {
        Some(settings) => {
            let set = settings.number("MTU").and_then(|bytes| u32::try_from(bytes).ok());
            (set.filter(|bytes| *bytes != 0), settings.source)
        }
        None => (None, default_subject(cni)),
    }
}

/// Adds the pod CIDRs of nodes and the range of all nodes. That is no pool if the new CNI takes the pod CIDR of each Node, too: the controller manager gives
/// none twice.
pub(super) fn add_old_claims(scene: &Scene<'_>, claims: &mut Claims) {
    claims.add_node_cidrs(scene, Usage::OldBlock);
    let is_shared = |claim: &Claim| claim.usage == Usage::NewNode && claim.source.kind == Kind::NODE.name();
    if claims.all.iter().any(is_shared) {
        return;
    }
    let Some(settings) = read(scene.snapshot) else { return };
    for range in settings.ranges() {
        claims.add(range, Usage::OldPool { is_closed: false }, None, settings.source.clone());
    }
}

/// Flannel.
#[derive(Debug)]
pub struct Flannel;

pub(super) const FACTS: Facts = Facts {
    title: "Flannel",
    // *Source*: the manifest of 0.27.
    agent_container: "kube-flannel",
    footprint: footprint::FOOTPRINT,
    router_positions: &[(0, "flannel.1"), (1, "cni0")],
    enforces_policies: false,
    policy_kinds: &[],
    features: &[(Cni::Flannel, features::FEATURES)],
    ..Facts::COMMON
};

impl Driver for Flannel {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    // Canal has the container of Calico's agent, too.
    fn is_agent(&self, spec: &PodSpec) -> bool {
        has_container(spec, FACTS.agent_container)
            && !has_container(spec, super::calico::FACTS.agent_container)
    }

    fn tunnels(&self, snapshot: &Snapshot) -> Vec<Tunnel> {
        tunnels(snapshot, Cni::Flannel)
    }

    fn move_tunnel(&self, _tunnel: &Tunnel, port: u16) -> String {
        format!(
            "Set Backend.Port to {port} in net-conf.json of Flannel's ConfigMap, then restart its DaemonSet."
        )
    }

    fn mtu(&self, snapshot: &Snapshot) -> (Option<u32>, Subject) {
        mtu(snapshot, Cni::Flannel)
    }

    fn set_mtu(&self, _scene: &Scene<'_>, place: &Subject, bytes: u32) -> String {
        format!("Set Backend.MTU to {bytes} in net-conf.json of {place}, then restart Flannel's DaemonSet.")
    }

    fn has_node_cidrs(&self, _snapshot: &Snapshot) -> bool {
        true
    }

    fn add_old_claims(&self, scene: &Scene<'_>, claims: &mut Claims) {
        add_old_claims(scene, claims);
    }

    fn add_new_claims(&self, scene: &Scene<'_>, claims: &mut Claims) {
        claims.add_node_cidrs(scene, Usage::NewNode);
    }

    fn engine(&self, _scene: &Scene<'_>) -> Option<Engine> {
        None
    }
}
