//! The nodes of all cases: two nodes with pods of every network, and a host outside.
//!
//! ```text
//!   n1: the pods under test, and one pod of each network     n2: one pod of each network      outside: 198.51.100.9
//!     \____ VXLAN 1, old networks ____________________________/                                2001:db8:99::9
//!      \___ VXLAN 2, new networks ___________________________/                                  (default route)
//! ```
//!
//! A network is a side (old, new) and a kind of plugin; its number N is in all its names: 10.N.NODE.0/24 and
//! fd00:N:NODE::/64 on each node, 10.N.0.0/16 and fd00:N::/32 as a whole. Nothing is masqueraded, so that the pod or host that
//! is asked sees the address that the pod sent from.
//!
//! Reverse-path checks are strict in the pods and where the nodes hear pods, as Calico's agent sets them. They are off on
//! the wire and on the overlays: what goes from one network to the other comes back by another device than it left by,
//! with or without us. Calico's agents run on both nodes, a pair for each side, and follow the pods that are theirs.
//!
//! Apart from [`lab::scene`], for no runtime is here: plugins are called directly, and packets between three nodes are what counts.

mod calico;
mod links;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use lab::host::fabric::Fabric;
use lab::host::scratch::Scratch;
use serde_json::{Value, json};

use crate::attachment::Attachment;
use crate::echo::Responder;
use crate::space::Space;
use calico::Calico;
use links::{node_links, outside_links};

/// Where Debian's package puts the standard plugins.
const STANDARD: &str = "/usr/lib/cni";

/// Of a network's two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Old,
    New,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::Old, Self::New];

    /// As the policy spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Old => Self::New,
            Self::New => Self::Old,
        }
    }
}

/// Which plugin serves a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bridge,
    Ptp,
    Calico,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Bridge, Self::Ptp, Self::Calico];

    /// The plugin's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Ptp => "ptp",
            Self::Calico => "calico",
        }
    }
}

/// Address families that a network gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Families {
    V4,
    V6,
    Dual,
}

impl Families {
    /// Whether there is one of `address`'s family.
    pub(crate) fn has(self, is_ipv4: bool) -> bool {
        match self {
            Self::V4 => is_ipv4,
            Self::V6 => !is_ipv4,
            Self::Dual => true,
        }
    }
}

impl fmt::Display for Families {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "v4",
            Self::V6 => "v6",
            Self::Dual => "dual",
        })
    }
}

/// One network of the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) side: Side,
    pub(crate) kind: Kind,
}

impl Network {
    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Side::BOTH.into_iter().flat_map(|side| Kind::ALL.map(|kind| Self { side, kind }))
    }

    /// N, in every address of it.
    pub(crate) fn number(self) -> u8 {
        let kind = match self.kind {
            Kind::Bridge => 1,
            Kind::Ptp => 2,
            Kind::Calico => 3,
        };
        kind + if self.side == Side::Old { 10 } else { 20 }
    }

    /// What its name in a conf begins with.
    pub(crate) fn name(self) -> String {
        format!("{}-{}", self.side.name(), self.kind.name())
    }

    /// `cidrs` of the policy.
    pub(crate) fn cidrs(self) -> [String; 2] {
        let number = self.number();
        [format!("10.{number}.0.0/16"), format!("fd00:{number}::/32")]
    }

    /// What the host's end of each pod of a Calico begins with.
    pub(crate) fn host_prefix(self) -> String {
        format!("{}cali", self.side.name())
    }

    /// Whether an address is one of it.
    pub(crate) fn owns(self, address: IpAddr) -> bool {
        let cidrs = self.cidrs().map(|cidr| cidr.parse::<ipnetwork::IpNetwork>());
        cidrs.into_iter().flatten().any(|cidr| cidr.contains(address))
    }

    pub(crate) fn subnets(self, node: u8) -> [String; 2] {
        let number = self.number();
        [format!("10.{number}.{node}.0/24"), format!("fd00:{number}:{node}::/64")]
    }

    /// Its conflist on a node: addresses of these families, a default for each.
    ///
    /// Each choice of families has leases and a part of the subnet for itself. host-local counts on from the address given
    /// last, by the position of a range in the conf, so that two confs with one count would soon give an address again, to
    /// a pod whose neighbours still know the one before.
    pub(crate) fn conflist(self, node: u8, families: Families, leases: &Scratch) -> Value {
        let number = self.number();
        let [v4, v6] = self.subnets(node);
        let (from, to) = match families {
            Families::Dual => (10, 99),
            Families::V4 | Families::V6 => (100, 199),
        };
        let (mut ranges, mut routes) = (Vec::new(), Vec::new());
        for (subnet, default, is_ipv4) in [(v4, "0.0.0.0/0", true), (v6, "::/0", false)] {
            if families.has(is_ipv4) {
                let prefix = subnet.split_once("0/24").or(subnet.split_once("/64")).unwrap_or_default().0;
                let (from, to) = (format!("{prefix}{from}"), format!("{prefix}{to}"));
                ranges.push(json!([{ "subnet": subnet, "rangeStart": from, "rangeEnd": to }]));
                routes.push(json!({ "dst": default }));
            }
        }
        let mut plugin = json!({
            "type": self.kind.name(),
            "mtu": 1450,
            "ipam": {"type": "host-local", "dataDir": leases.path(), "ranges": ranges, "routes": routes},
        });
        match self.kind {
            Kind::Bridge => {
                plugin["bridge"] = json!(format!("br{number}"));
                plugin["isGateway"] = json!(true);
            }
            Kind::Ptp => {}
            // Two Calicos on one node would both call the host's end of a pod the same.
            Kind::Calico => {
                plugin["hostPrefix"] = json!(self.host_prefix());
                plugin["podInResult"] = json!(true);
            }
        }
        json!({"cniVersion": "1.0.0", "name": format!("{}-{families}", self.name()), "plugins": [plugin]})
    }
}

/// A pod of one network, which answers.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) network: Network,
    /// 1: beside the pods under test; 2: across the overlay.
    pub(crate) node: u8,
    pub(crate) pod: Attachment,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Topology {
    /// Where the pods under test are.
    pub(crate) node: Space,
    pub(crate) outside: Space,
    pub(crate) peers: Vec<Peer>,
    /// The far node, for peers of the networks alone.
    far: Space,
    pub(crate) leases: [Scratch; 2],
    /// What follows the statuses of pods.
    pub(crate) calico: Calico,
    programs: Scratch,
    shim: PathBuf,
    _responders: Vec<Responder>,
    _fabric: Fabric,
}

/// Address of the node under test on the wire between the nodes.
pub(crate) const NODE: [&str; 2] = ["192.0.2.1", "2001:db8:1::1"];
/// Where only a default route leads.
pub(crate) const OUTSIDE: [&str; 2] = ["198.51.100.9", "2001:db8:99::9"];

/// The address of one family of such a pair.
pub(crate) fn of_family(pair: [&str; 2], is_ipv4: bool) -> Result<IpAddr> {
    Ok(pair[usize::from(!is_ipv4)].parse()?)
}

static TOPOLOGY: OnceLock<std::result::Result<Topology, String>> = OnceLock::new();

/// The one topology of this process, made when the first case asks.
pub(crate) fn topology() -> Result<&'static Topology> {
    let made = TOPOLOGY.get_or_init(|| Topology::new("").map_err(|error| format!("{error:#}")));
    made.as_ref().map_err(|error| anyhow!("the topology: {error}"))
}

impl Topology {
    /// A topology whose pods have names that begin with `prefix`.
    pub(crate) fn new(prefix: &str) -> Result<Self> {
        let programs = Scratch::new("programs")?;
        let shim = programs.install(&lab::build::dist::crossfade().context("the shim")?, "crossfade")?;
        programs.install(&lab::build::dist::lab_bin("lab-calico")?, "calico")?;
        let fabric = Fabric::new(3)?;
        let [node, far, outside] = [1, 2, 3].map(|index| Space::of_node(fabric.node(index)));
        for space in [&node, &far, &outside] {
            for family in ["all", "default"] {
                space.set(&format!("ipv6/conf/{family}/accept_dad"), "0")?;
                space.set(&format!("ipv6/conf/{family}/forwarding"), "1")?;
            }
        }
        for (index, space) in [(1, &node), (2, &far)] {
            fabric.node(index).ip_batch(&node_links(index)?)?;
            // For what comes from now on, which is the pods' side.
            space.set("ipv4/conf/default/rp_filter", "1")?;
        }
        fabric.node(3).ip_batch(&outside_links()?)?;
        let responders = vec![
            Responder::start(&node, &[of_family(NODE, true)?, of_family(NODE, false)?])?,
            Responder::start(&outside, &[of_family(OUTSIDE, true)?, of_family(OUTSIDE, false)?])?,
        ];
        let leases = [Scratch::new("leases1")?, Scratch::new("leases2")?];
        let mut topology = Self {
            calico: Calico::start([fabric.node(1), fabric.node(2)])?,
            node,
            outside,
            peers: Vec::new(),
            far,
            leases,
            programs,
            shim,
            _responders: responders,
            _fabric: fabric,
        };
        topology.peers = std::thread::scope(|scope| {
            let topology = &topology;
            let nodes = [1, 2];
            let threads: Vec<_> = nodes
                .into_iter()
                .flat_map(|node| Network::all().map(move |network| (node, network)))
                .map(|(node, network)| scope.spawn(move || Peer::attach(topology, prefix, node, network)))
                .collect();
            let joined = threads.into_iter().map(|thread| thread.join());
            joined.map(|peer| peer.map_err(|_| anyhow!("a thread panicked"))?).collect::<Result<_>>()
        })?;
        Ok(topology)
    }

    /// The namespace of node 1 or 2.
    pub(crate) fn space(&self, node: u8) -> &Space {
        if node == 1 { &self.node } else { &self.far }
    }

    /// The pod of a network on a node.
    pub(crate) fn peer(&self, network: Network, node: u8) -> Result<&Peer> {
        let peer = self.peers.iter().find(|peer| peer.network == network && peer.node == node);
        peer.with_context(|| format!("no pod of {} on node {node}", network.name()))
    }

    /// The shim under test.
    pub(crate) fn shim(&self) -> &PathBuf {
        &self.shim
    }

    /// CNI_PATH.
    pub(crate) fn search_path(&self) -> String {
        format!("{STANDARD}:{}", self.programs.path().display())
    }
}

impl Peer {
    fn attach(topology: &Topology, prefix: &str, node: u8, network: Network) -> Result<Self> {
        let id = format!("{prefix}peer-{}-{node}", network.name());
        let mut pod = Attachment::new(topology, &id, Space::pod(&id)?)?;
        pod.node = node;
        let mut conf = network.conflist(node, Families::Dual, &topology.leases[usize::from(node) - 1]);
        if network.kind == Kind::Calico {
            topology.calico.follow(&mut conf, network.side, node);
        }
        pod.write_conf(network.side, &conf)?;
        pod.write_policy(&json!({
            "version": 1,
            "networks": {network.side.name(): {"conf": [pod.conf_path(network.side)], "cidrs": network.cidrs()}},
            "attach": network.side.name(),
        }))?;
        let reply = pod.add(topology).with_context(|| format!("pod of {} on node {node}", network.name()))?;
        topology.calico.publish(&pod, &reply)?;
        ensure!(pod.addresses().len() == 2, "{id} has addresses {:?}", pod.addresses());
        pod.respond()?;
        Ok(Self { network, node, pod })
    }
}
