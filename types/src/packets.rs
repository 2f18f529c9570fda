//! The packets of a proof, and their outcome.
//!
//! Two scratch attachments of a network exchange packets with each other and with others before pods get the network. node.json says with
//! whom ([`PacketTargets`]), a profile says what its CNI lets such an attachment do (`packets`), and status.json says what came of it
//! ([`Packets`]).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::json::text;

/// Between whom packets are exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum PacketPath {
    /// From one scratch attachment to the other, both ways.
    PodToPod,
    /// From the node to a scratch attachment, and back, as kubelet's probes.
    NodeToPod,
    /// From a scratch attachment to the node.
    PodToNode,
    /// From a scratch attachment to the cluster's DNS servers.
    PodToDns,
    /// From a scratch attachment to other nodes.
    PodToPeer,
}

impl PacketPath {
    /// All paths.
    pub const ALL: [Self; 5] =
        [Self::PodToPod, Self::NodeToPod, Self::PodToNode, Self::PodToDns, Self::PodToPeer];

    /// The path in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::PodToPod => "pod to pod",
            Self::NodeToPod => "node to pod",
            Self::PodToNode => "pod to node",
            Self::PodToDns => "pod to DNS",
            Self::PodToPeer => "pod to another node",
        }
    }
}

/// An address of another node or of a pod there, at which something answers: an echo request, or a TCP connection if there is a port.
///
/// *Shape*: `"10.244.3.0"`, `"10.0.0.7:10250"`, `"[fd00::7]:10250"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    /// The address.
    pub address: IpAddr,
    /// The TCP port; `None` for an echo request.
    pub port: Option<u16>,
}

impl Peer {
    fn read(text: &str) -> Option<Self> {
        let with_port = |address: SocketAddr| {
            (address.port() != 0).then_some(Self { address: address.ip(), port: Some(address.port()) })
        };
        let alone = || text.parse().ok().map(|address| Self { address, port: None });
        text.parse().ok().and_then(with_port).or_else(alone)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.address, port).fmt(f),
            None => self.address.fmt(f),
        }
    }
}

impl Serialize for Peer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Peer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "ADDRESS, or ADDRESS:PORT with an IPv6 address in brackets";
        let text = text::held_to(deserializer, EXPECTED, |text| Self::read(text).is_some())?;
        Self::read(&text).ok_or_else(|| serde::de::Error::custom(EXPECTED))
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Peer {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Peer".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "An IP address, which is sent an echo request, or ADDRESS:PORT, to which a TCP connection is made.",
            "pattern": r"^([0-9]{1,3}(\.[0-9]{1,3}){3}(:[0-9]+)?|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*|\[[0-9A-Fa-f:.]+\]:[0-9]+)$"
        })
    }
}

/// node.json's `packets`: with whom a proof by packets exchanges them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PacketTargets {
    /// The addresses of the cluster's DNS servers. Default: kubelet's clusterDNS. An empty list asks none.
    #[serde(deserialize_with = "addresses", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(inner(regex(pattern = r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)$")))
    )]
    pub dns: Option<Vec<IpAddr>>,
    /// Addresses on other nodes. Default: the next hops of the network's routes to other nodes. An empty list asks none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peers: Option<Vec<Peer>>,
    /// What a scratch attachment is allowed to do in this cluster. Default: what the network's profile says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<PacketPath>>,
}

/// An IP address, read with an error that says so.
struct Address(IpAddr);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "an IP address";
        let text = text::held_to(deserializer, EXPECTED, |text| text.parse::<IpAddr>().is_ok())?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<IpAddr>>, D::Error> {
    let all = Option::<Vec<Address>>::deserialize(deserializer)?;
    Ok(all.map(|all| all.into_iter().map(|cidr| cidr.0).collect()))
}

/// How packets are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Protocol {
    /// A datagram and its answer.
    Udp,
    /// A connection, some bytes and their answer.
    Tcp,
    /// An echo request.
    Icmp,
    /// A DNS query over UDP.
    Dns,
}

impl Protocol {
    /// As people spell it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Icmp => "ICMP",
            Self::Dns => "DNS",
        }
    }
}

/// How one exchange ended, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Outcome {
    /// Nothing arrived, as far as this node can see.
    Silent,
    /// A host answered that nothing listens there.
    Refused,
    /// The request arrived, and its answer did not.
    NoAnswer,
    /// The request and its answer arrived.
    Passed,
}

impl Outcome {
    /// The outcome in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::NoAnswer => "no answer came back",
            Self::Silent => "nothing arrived",
            Self::Refused => "refused",
        }
    }
}

/// One exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct Exchange {
    /// Between whom.
    pub path: PacketPath,
    /// How.
    pub protocol: Protocol,
    /// The sender's address; null for the node's own choice.
    pub from: Option<IpAddr>,
    /// The receiver's address.
    pub to: IpAddr,
    /// How it ended.
    pub outcome: Outcome,
    /// The size in bytes of the largest packet that the sender's interface and route allow; null if no large packet was sent.
    pub mtu: Option<u32>,
    /// The size in bytes of the largest packet that passed there and back; null if none did.
    pub passes: Option<u32>,
    /// Whether a smaller size was announced to the sender, so that connections adapt to it.
    pub announced: bool,
}

/// Why a proof by packets passed or failed, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum PacketReason {
    /// Every exchange that counts passed.
    Passed,
    /// Nothing passes at all.
    Silent,
    /// Packets arrive in one direction only.
    OneWay,
    /// One address family passes, the other does not.
    Family,
    /// The node and the scratch attachments reach each other, and the attachments do not.
    Pods,
    /// The scratch attachments reach each other, and the node does not reach them.
    Node,
    /// UDP passes and TCP does not, or the other way round.
    Protocol,
    /// Packets that fill the interface's MTU are lost on this node.
    Mtu,
    /// No DNS server answers.
    Dns,
    /// No other node answers.
    Peers,
    /// Packets that fill the interface's MTU are lost on the way to another node.
    PeerMtu,
}

impl PacketReason {
    /// The reason in a few words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Passed => "everything that counts passes",
            Self::Silent => "nothing passes",
            Self::OneWay => "packets arrive in one direction only",
            Self::Family => "one address family does not pass",
            Self::Pods => "pods do not reach each other",
            Self::Node => "the node does not reach pods",
            Self::Protocol => "TCP or UDP does not pass",
            Self::Mtu => "large packets are lost on this node",
            Self::Dns => "no DNS server answers",
            Self::Peers => "no other node answers",
            Self::PeerMtu => "large packets are lost on the way to another node",
        }
    }

    /// Whether the cause may lie elsewhere in the cluster, so that this node cannot wait for its end: the DNS servers may need this very
    /// node, and other nodes may be down.
    #[must_use]
    pub const fn is_of_others(self) -> bool {
        matches!(self, Self::Dns | Self::Peers | Self::PeerMtu)
    }
}

/// What a proof by packets found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct Packets {
    /// Why the proof passed or failed.
    pub reason: PacketReason,
    /// Milliseconds from the attachments until the last exchange that counts passed; null if one did not.
    pub settled_millis: Option<u64>,
    /// What a person should know, one line each: what was left out and why, and what failed without counting.
    pub notes: Vec<String>,
    /// The exchanges as they ended.
    pub exchanges: Vec<Exchange>,
}

impl Packets {
    /// What the proof found, for people: how it ended, and its notes.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let ended = match (self.reason, self.settled_millis) {
            (PacketReason::Passed, Some(millis)) => format!("passed by packets after {millis} ms"),
            (PacketReason::Passed, None) => "passed by an attachment, without packets".into(),
            (reason, _) => format!("failed by packets: {}", reason.words()),
        };
        [ended].into_iter().chain(self.notes.iter().map(|note| format!("note: {note}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_an_address_with_or_without_a_port() {
        let read = |text: &str| serde_json::from_value::<Peer>(text.into());
        for text in ["10.244.3.0", "10.0.0.7:10250", "fd00::7", "[fd00::7]:10250"] {
            assert_eq!(read(text).expect(text).to_string(), text);
        }
        for text in ["", "node-2", "10.0.0.7:", "10.0.0.7:0", "10.0.0.7:70000", "[fd00::7]", "10.0.0.0/8"] {
            let why = read(text).expect_err(text).to_string();
            assert!(why.contains("ADDRESS:PORT"), "{text}: {why}");
        }
    }
}
