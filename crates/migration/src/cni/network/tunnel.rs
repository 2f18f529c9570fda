//! The tunnels between nodes, as the kernel sees them.

use std::fmt;

use serde_json::Value;
use snapshot::model::{Kind, Snapshot};

use super::{antrea, calico, cilium, flannel, subject};
use crate::check::finding::Subject;
use crate::cni::support::Cni;

/// A protocol of tunnels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// VXLAN, over UDP.
    Vxlan,
    /// Geneve, over UDP.
    Geneve,
    /// IP in IP, protocol 4.
    Ipip,
    /// WireGuard, over UDP.
    WireGuard,
}

/// One tunnel device on every node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    /// How packets are wrapped.
    pub protocol: Protocol,
    /// The UDP port; 0 for IPIP.
    pub port: u16,
    /// The network identifier of a device that has one for all packets. A device without, which each packet tells its own, shares its port with no other.
    pub vni: Option<u32>,
    pub device: String,
    /// The object that says so.
    pub source: Subject,
    /// The CNI is not installed, and this is what it does unless it is changed.
    pub is_default: bool,
}

impl Tunnel {
    fn new(protocol: Protocol, port: u16, vni: Option<u32>, device: &str, source: Subject) -> Self {
        Self { protocol, port, vni, device: device.into(), source, is_default: false }
    }

    fn default(cni: Cni, protocol: Protocol, port: u16, vni: Option<u32>, device: &str) -> Self {
        let source = Subject {
            kind: "Default".into(),
            namespace: String::new(),
            name: cni.name().into(),
            detail: String::new(),
        };
        Self { is_default: true, ..Self::new(protocol, port, vni, device, source) }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vxlan => "VXLAN",
            Self::Geneve => "Geneve",
            Self::Ipip => "IPIP",
            Self::WireGuard => "WireGuard",
        })
    }
}

/// `VXLAN on UDP port 8472, VNI 1 (flannel.1)`.
impl fmt::Display for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.protocol)?;
        match self.port {
            0 => f.write_str(", IP protocol 4")?,
            port => write!(f, " on UDP port {port}")?,
        }
        if let Some(vni) = self.vni {
            write!(f, ", VNI {vni}")?;
        }
        write!(f, " ({})", self.device)
    }
}

/// The tunnels of a CNI: as it is set up, or by its defaults if it is not installed.
///
/// *Source*: Flannel: Documentation/backends.md; Calico: felix/config/config_params.go (VXLANPort, VXLANVNI, WireguardListeningPort); Cilium:
/// Documentation/operations/system_requirements.rst (ports); Antrea: build/charts/antrea/conf/antrea-agent.conf.
#[must_use]
pub fn tunnels(snapshot: &Snapshot, cni: Cni) -> Vec<Tunnel> {
    match cni {
        Cni::Calico => calico_tunnels(snapshot),
        Cni::Flannel | Cni::Canal => flannel_tunnels(snapshot, cni),
        Cni::Cilium => cilium_tunnels(snapshot),
        Cni::Antrea => antrea_tunnels(snapshot),
        Cni::AwsVpcCni => Vec::new(),
    }
}

fn calico_tunnels(snapshot: &Snapshot) -> Vec<Tunnel> {
    let mut all = Vec::new();
    if let Some(pool) = calico::pools_with(snapshot, "ipipMode").next() {
        all.push(Tunnel::new(Protocol::Ipip, 0, None, "tunl0", subject(Kind::IP_POOL, pool)));
    }
    if let Some(pool) = calico::pools_with(snapshot, "vxlanMode").next() {
        let port = u16::try_from(calico::number(snapshot, "vxlanPort", 4789)).unwrap_or(4789);
        let vni = Some(calico::number(snapshot, "vxlanVNI", 4096));
        all.push(Tunnel::new(Protocol::Vxlan, port, vni, "vxlan.calico", subject(Kind::IP_POOL, pool)));
    }
    for (key, port, default, device) in [
        ("wireguardEnabled", "wireguardListeningPort", 51_820, "wireguard.cali"),
        ("wireguardEnabledV6", "wireguardListeningPortV6", 51_821, "wg-v6.cali"),
    ] {
        if let Some(source) = calico::find_enabled(snapshot, key).into_iter().next() {
            let port = u16::try_from(calico::number(snapshot, port, u32::from(default))).unwrap_or(default);
            all.push(Tunnel::new(Protocol::WireGuard, port, None, device, source));
        }
    }
    if snapshot.objects(Kind::IP_POOL).is_empty() {
        all.push(Tunnel::default(Cni::Calico, Protocol::Vxlan, 4789, Some(4096), "vxlan.calico"));
    }
    all
}

fn flannel_tunnels(snapshot: &Snapshot, cni: Cni) -> Vec<Tunnel> {
    let Some(flannel) = flannel::read(snapshot) else {
        return vec![Tunnel::default(cni, Protocol::Vxlan, 8472, Some(1), "flannel.1")];
    };
    let source = flannel.source.clone();
    let number =
        |key: &str, default: u64| flannel.number(key).filter(|number| *number != 0).unwrap_or(default);
    let port = |key: &str, default: u16| u16::try_from(number(key, default.into())).unwrap_or(default);
    match flannel.backend() {
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

fn cilium_tunnels(snapshot: &Snapshot) -> Vec<Tunnel> {
    let Some(overlay) = cilium::overlay(snapshot) else {
        return vec![Tunnel::default(Cni::Cilium, Protocol::Vxlan, 8472, None, "cilium_vxlan")];
    };
    let mut all = match overlay.protocol.as_str() {
        "vxlan" => vec![Tunnel::new(Protocol::Vxlan, overlay.port, None, "cilium_vxlan", overlay.source)],
        "geneve" => vec![Tunnel::new(Protocol::Geneve, overlay.port, None, "cilium_geneve", overlay.source)],
        _ => Vec::new(),
    };
    if let Some(setting) = cilium::setting(snapshot, "enable-wireguard").filter(|set| set.value == "true") {
        all.push(Tunnel::new(Protocol::WireGuard, 51_871, None, "cilium_wg0", setting.source));
    }
    all
}

fn antrea_tunnels(snapshot: &Snapshot) -> Vec<Tunnel> {
    let Some((agent, config)) = antrea::agent(snapshot).zip(antrea::config(snapshot)) else {
        return vec![Tunnel::default(Cni::Antrea, Protocol::Geneve, 6081, None, "genev_sys_6081")];
    };
    let source = subject(Kind::CONFIG_MAP, config);
    let port = |pointer: &str, default: u16| {
        let set = agent.pointer(pointer).and_then(Value::as_u64).filter(|port| *port != 0);
        set.and_then(|port| u16::try_from(port).ok()).unwrap_or(default)
    };
    let is_encapsulated =
        matches!(antrea::value(snapshot, "/trafficEncapMode", "encap").as_str(), "encap" | "hybrid");
    if !is_encapsulated {
        return Vec::new();
    }
    if antrea::value(snapshot, "/trafficEncryptionMode", "none") == "wireGuard" {
        return vec![Tunnel::new(
            Protocol::WireGuard,
            port("/wireGuard/port", 51_820),
            None,
            "antrea-wg0",
            source,
        )];
    }
    match antrea::value(snapshot, "/tunnelType", "geneve").as_str() {
        "vxlan" => {
            let port = port("/tunnelPort", 4789);
            vec![Tunnel::new(Protocol::Vxlan, port, None, &format!("vxlan_sys_{port}"), source)]
        }
        "geneve" => {
            let port = port("/tunnelPort", 6081);
            vec![Tunnel::new(Protocol::Geneve, port, None, &format!("genev_sys_{port}"), source)]
        }
        _ => Vec::new(),
    }
}
