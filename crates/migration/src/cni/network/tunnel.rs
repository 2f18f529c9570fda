//! The tunnels between nodes, as the kernel sees them.

use std::fmt;

use super::default_subject;
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
    pub(in crate::cni) fn new(
        protocol: Protocol,
        port: u16,
        vni: Option<u32>,
        device: &str,
        source: Subject,
    ) -> Self {
        Self { protocol, port, vni, device: device.into(), source, is_default: false }
    }

    pub(in crate::cni) fn default(
        cni: Cni,
        protocol: Protocol,
        port: u16,
        vni: Option<u32>,
        device: &str,
    ) -> Self {
        Self { is_default: true, ..Self::new(protocol, port, vni, device, default_subject(cni)) }
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
