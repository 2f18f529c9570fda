//! The wire between the nodes and the two overlays on it.
//!
//! The fabric is a bridge in the lab's own net namespace; node N has `eth0` with 192.0.2.N/24 on it. An overlay is a VXLAN
//! device per node with static neighbours, and the pod network PREFIX.N.0/24 behind node N. The bridge on the pod side is
//! made by whichever CNI plugin serves the overlay; [`Overlay::bridge`] is the name it must use for
//! [`Fabric::block_forwarding_between`] to see its packets, or [`Overlay::host_prefix`] where it makes none.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::host::leases::{Lease, leases};
use crate::host::node::{Node, ip_batch};

/// The chain on each node that drops what would go from one overlay to the other.
const CHAIN: &str = "LAB-BLOCK";

/// Links of this process's fabrics are numbered, since all live in one net namespace.
static LINKS: AtomicU32 = AtomicU32::new(0);

/// One of the two pod networks of a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// The one to leave.
    Old,
    /// The one to reach.
    New,
}

impl Network {
    pub const ALL: [Self; 2] = [Self::Old, Self::New];

    /// Its name, of conf and overlay, and its key in the policy.
    pub fn name(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
        }
    }
}

/// A pod network over all nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// Short, as in `old`; part of link names.
    pub name: String,
    /// VXLAN network identifier.
    pub vni: u32,
    /// UDP port of the encapsulation; overlays on one fabric differ in it.
    pub udp_port: u16,
    /// First two octets of every address, as in `10.244`.
    pub prefix: String,
    /// Begins the name of the node's end of every pod, where no bridge joins them.
    pub host_prefix: Option<String>,
}

impl Overlay {
    /// Size in bytes of the largest packet that crosses the overlay unfragmented.
    pub const MTU: u32 = 1450;

    /// The bridge that pods of a node are attached to.
    pub fn bridge(&self) -> String {
        format!("cni-{}", self.name)
    }

    /// Where packets of a node's pods come in, as `iptables` names it.
    fn pods_side(&self) -> String {
        self.host_prefix.as_ref().map_or_else(|| self.bridge(), |prefix| format!("{prefix}+"))
    }

    /// The VXLAN device of a node.
    pub fn device(&self) -> String {
        format!("vx-{}", self.name)
    }

    /// Addresses of the pods of node `index`, as in `10.244.1.0/24`.
    pub fn subnet(&self, index: u8) -> String {
        format!("{}.{index}.0/24", self.prefix)
    }

    /// Addresses of all pods, as in `10.244.0.0/16`.
    pub fn cidr(&self) -> String {
        format!("{}.0.0/16", self.prefix)
    }

    /// A network of the standard plugins for node `index`: bridge, host-local with leases below /var/lib/cni, portmap.
    pub fn conflist(&self, index: u8) -> Value {
        json!({
            "cniVersion": "1.0.0",
            "name": self.name,
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": self.bridge(),
                    "isGateway": true,
                    "ipMasq": false,
                    "mtu": Overlay::MTU,
                    "ipam": {
                        "type": "host-local",
                        "ranges": [[{ "subnet": self.subnet(index) }]],
                        "routes": [{ "dst": "0.0.0.0/0" }],
                    },
                },
                { "type": "portmap", "capabilities": { "portMappings": true }, "snat": true },
            ],
        })
    }

    /// What host-local has given away on a node.
    ///
    /// # Errors
    /// As [`leases`].
    pub fn lease_entries(&self, node: &Node) -> Result<Vec<Lease>> {
        leases(&node.outside("/var/lib/cni/networks").join(&self.name))
    }

    /// Its addresses alone.
    ///
    /// # Errors
    /// As [`leases`].
    pub fn leases(&self, node: &Node) -> Result<Vec<IpAddr>> {
        Ok(self.lease_entries(node)?.into_iter().map(|lease| lease.address).collect())
    }

    /// The same with more plugins at the end of the chain.
    pub fn conflist_with(&self, index: u8, more: &[&str]) -> Value {
        let mut conflist = self.conflist(index);
        let plugins = conflist["plugins"].as_array_mut().into_iter();
        plugins.for_each(|plugins| plugins.extend(more.iter().map(|plugin| json!({ "type": plugin }))));
        conflist
    }

    fn mac(&self, index: u8) -> String {
        let [_, a, b, c] = self.vni.to_be_bytes();
        format!("02:{a:02x}:{b:02x}:{c:02x}:00:{index:02x}")
    }
}

/// Nodes on one wire.
#[derive(Debug)]
pub struct Fabric {
    nodes: Vec<Node>,
    bridge: String,
    overlays: Mutex<Vec<Overlay>>,
}

impl Fabric {
    /// Makes `count` nodes, `n1` to `nCOUNT`, that reach each other by `eth0`.
    ///
    /// # Errors
    /// Outside of [`crate::host::isolate::enter`], or what the kernel refuses.
    pub fn new(count: u8) -> Result<Fabric> {
        let bridge = format!("fab{}", LINKS.fetch_add(1, Ordering::Relaxed));
        let nodes =
            (1..=count).map(|index| Node::start(&format!("n{index}"), index)).collect::<Result<_>>()?;
        let fabric = Fabric { nodes, bridge, overlays: Mutex::default() };
        let mut batch = format!("link add {0} type bridge\nlink set {0} up\n", fabric.bridge);
        for node in &fabric.nodes {
            let link = format!("v{}", LINKS.fetch_add(1, Ordering::Relaxed));
            writeln!(batch, "link add {link} type veth peer name eth0 netns {}", node.pid())?;
            writeln!(batch, "link set {link} master {} up", fabric.bridge)?;
        }
        ip_batch(Command::new("ip"), &batch).context("the fabric")?;
        for node in &fabric.nodes {
            node.ip_batch(&format!("addr add {}/24 dev eth0\nlink set eth0 up\n", node.address()))?;
        }
        Ok(fabric)
    }

    /// Puts the lab's own namespace on the wire, with the address 192.0.2.254, which is returned.
    ///
    /// # Errors
    /// Another fabric of this lab has it.
    pub fn join(&self) -> Result<Ipv4Addr> {
        let address = Ipv4Addr::new(192, 0, 2, 254);
        let batch = format!("addr add {address}/24 dev {}\n", self.bridge);
        ip_batch(Command::new("ip"), &batch).context("the lab's own address on the fabric")?;
        Ok(address)
    }

    /// Leads the lab's own namespace to the pods of an overlay, through their nodes, as a control plane with the routes of its network has it. What no node has
    /// goes to the first one: a real CNI may number its nodes otherwise, and leads on.
    ///
    /// # Errors
    /// It is not on the wire ([`Fabric::join`]).
    pub fn route_to_pods(&self, overlay: &Overlay) -> Result<()> {
        let mut batch = format!("route add {} via {}\n", overlay.cidr(), self.node(1).address());
        for node in &self.nodes {
            writeln!(batch, "route add {} via {}", overlay.subnet(node.index()), node.address())?;
        }
        ip_batch(Command::new("ip"), &batch).with_context(|| format!("routes to {}", overlay.name))
    }

    /// All nodes, in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Node `index`, from 1.
    ///
    /// # Panics
    /// There is no such node.
    pub fn node(&self, index: u8) -> &Node {
        &self.nodes[usize::from(index) - 1]
    }

    /// Lays the network that a node of the lab has: `old`, 10.244.0.0/16.
    ///
    /// # Errors
    /// As [`Fabric::overlay`].
    pub fn old(&self) -> Result<Overlay> {
        self.overlay("old", 1, 8472, "10.244")
    }

    /// Lays both networks of a migration: `old`, and `new`, 10.245.0.0/16.
    ///
    /// # Errors
    /// As [`Fabric::overlay`].
    pub fn old_and_new(&self) -> Result<[Overlay; 2]> {
        Ok([self.old()?, self.overlay("new", 2, 8473, "10.245")?])
    }

    /// Lays an overlay over all nodes.
    ///
    /// # Errors
    /// Name, identifier or port are taken.
    pub fn overlay(&self, name: &str, vni: u32, udp_port: u16, prefix: &str) -> Result<Overlay> {
        let overlay =
            Overlay { name: name.to_owned(), vni, udp_port, prefix: prefix.to_owned(), host_prefix: None };
        for node in &self.nodes {
            node.ip_batch(&self.overlay_links(&overlay, node)?).with_context(|| format!("overlay {name}"))?;
            for peer in self.peers(node) {
                let (mac, address) = (overlay.mac(peer.index()), peer.address().to_string());
                node.run(&["bridge", "fdb", "append", &mac, "dev", &overlay.device(), "dst", &address])?;
            }
        }
        self.overlays().push(overlay.clone());
        Ok(overlay)
    }

    fn overlay_links(&self, overlay: &Overlay, node: &Node) -> Result<String> {
        let (device, own) = (overlay.device(), node.index());
        let mut batch = format!(
            "link add {device} address {} mtu {} type vxlan id {} dstport {} local {} dev eth0 nolearning\n\
             addr add {}.{own}.0/32 dev {device}\nlink set {device} up\n",
            overlay.mac(own),
            Overlay::MTU,
            overlay.vni,
            overlay.udp_port,
            node.address(),
            overlay.prefix,
        );
        for peer in self.peers(node) {
            let (mac, gateway) =
                (overlay.mac(peer.index()), format!("{}.{}.0", overlay.prefix, peer.index()));
            writeln!(batch, "neigh add {gateway} lladdr {mac} dev {device}")?;
            writeln!(batch, "route add {} via {gateway} dev {device} onlink", overlay.subnet(peer.index()))?;
        }
        Ok(batch)
    }

    fn peers(&self, node: &Node) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(move |peer| peer.index() != node.index())
    }

    /// Takes an overlay away, with the bridges its plugins left behind.
    ///
    /// # Errors
    /// There is no such overlay.
    pub fn remove_overlay(&self, name: &str) -> Result<()> {
        let mut overlays = self.overlays();
        let Some(position) = overlays.iter().position(|overlay| overlay.name == name) else {
            bail!("no overlay named {name}");
        };
        let overlay = overlays.remove(position);
        for node in &self.nodes {
            node.run(&["ip", "link", "delete", &overlay.device()])?;
            if node.run(&["ip", "link", "show", &overlay.bridge()]).is_ok() {
                node.run(&["ip", "link", "delete", &overlay.bridge()])?;
            }
        }
        Ok(())
    }

    /// Drops, on every node, every packet that would be forwarded from one overlay to the other, and counts it.
    ///
    /// `iptables` and not `nft` does it: the portmap plugin needs the program anyway.
    ///
    /// # Errors
    /// Forwarding is blocked already, or the kernel refuses the rules.
    pub fn block_forwarding_between(&self, first: &Overlay, second: &Overlay) -> Result<()> {
        for node in &self.nodes {
            iptables(node, &["-N", CHAIN])?;
            for (from, to) in [(first, second), (second, first)] {
                for input in [from.pods_side(), from.device()] {
                    for output in [to.pods_side(), to.device()] {
                        iptables(node, &["-A", CHAIN, "-i", &input, "-o", &output, "-j", "DROP"])?;
                    }
                }
            }
            iptables(node, &["-I", "FORWARD", "1", "-j", CHAIN])?;
        }
        Ok(())
    }

    /// Lets packets pass between the overlays again; the count starts anew with the next block.
    ///
    /// # Errors
    /// Forwarding is not blocked.
    pub fn unblock_forwarding(&self) -> Result<()> {
        for node in &self.nodes {
            for line in [["-D", "FORWARD", "-j", CHAIN].as_slice(), &["-F", CHAIN], &["-X", CHAIN]] {
                iptables(node, line)?;
            }
        }
        Ok(())
    }

    /// How many packets [`Fabric::block_forwarding_between`] dropped, over all nodes.
    ///
    /// # Errors
    /// Forwarding is not blocked.
    pub fn blocked_packets(&self) -> Result<u64> {
        let mut packets = 0;
        for node in &self.nodes {
            let table = iptables(node, &["-nvxL", CHAIN])?;
            // Two lines of heading, then packets, bytes, target, ...
            for rule in table.lines().skip(2) {
                let count = rule.split_whitespace().next().context("a rule without a counter")?;
                packets += count.parse::<u64>().with_context(|| format!("counter of {rule}"))?;
            }
        }
        Ok(packets)
    }

    fn overlays(&self) -> std::sync::MutexGuard<'_, Vec<Overlay>> {
        self.overlays.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Fabric {
    fn drop(&mut self) {
        self.nodes.clear();
        // The veth pairs went with their nodes.
        let _litter = Command::new("ip").args(["link", "delete", &self.bridge]).status();
    }
}

fn iptables(node: &Node, arguments: &[&str]) -> Result<String> {
    let mut line = vec!["iptables", "-w"];
    line.extend(arguments);
    node.run(&line)
}
