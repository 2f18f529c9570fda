//! The packets of a proof: gathers with whom they are exchanged, has them exchanged, and says what it means.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use convergence::node::facts::NodeFacts;
use convergence::watch::packets::decide::decide;
use convergence::watch::packets::plan::{ExchangeInputs, plan};
use ipnetwork::IpNetwork;
use types::packets::{PacketPath, PacketTargets, Packets, Peer};
use types::policy::Network;

use super::scene::Attachment;
use crate::host::root::Root;
use crate::kubelet::dns::cluster_dns;
use crate::watch::packets::place::Place;
use crate::watch::packets::rounds::{Stage, make};
use crate::watch::packets::routes;

/// Addresses for documentation: the node's way there is its way to every host outside. No packet is sent.
const ELSEWHERE: [&str; 2] = ["192.0.2.1:9", "[2001:db8::1]:9"];

/// What the packets of a proof came to, and why they failed, in words.
#[must_use]
pub(super) fn exchange(
    node: &NodeFacts,
    network: &Network,
    (pods, refused): (&[Attachment], Option<String>),
    (allowed, patience): (&[PacketPath], Duration),
) -> (Packets, Option<String>) {
    let addresses = |index: usize| pods.get(index).map_or_else(Vec::new, |pod| pod.addresses.clone());
    let (first, second) = (addresses(0), addresses(1));
    let resolver = cluster_dns(&Root::new(&node.root), &node.settings.kubelet.unit);
    let domain = resolver.as_ref().map_or("cluster.local", |resolver| resolver.domain.as_str());
    let name = format!("kubernetes.default.svc.{domain}.");
    let PacketTargets { dns, peers, .. } = &node.settings.packets;
    let ground = ExchangeInputs {
        node: own_addresses(&first),
        dns: dns.clone().map_or_else(|| resolver.map(|resolver| resolver.servers), Ok),
        peers: peers.clone().map_or_else(|| neighbours(node, network, &first), Ok),
        pods: [first, second],
    };
    let plan = plan(&ground, allowed);
    let pods = pods.iter().map(|pod| Place::Pod(pod.netns.clone())).collect();
    let exchanges = make(&Stage { pods, name, patience }, &plan.exchanges);
    let judged = decide(&exchanges.exchanges);
    let refused =
        refused.map(|why| format!("not tried: pod to pod: a second scratch attachment was refused: {why}"));
    let packets = Packets {
        reason: judged.reason,
        settled_millis: exchanges
            .settled_after
            .map(|settled| u64::try_from(settled.as_millis()).unwrap_or(u64::MAX)),
        notes: refused.into_iter().chain(plan.notes).chain(judged.notes).collect(),
        exchanges: exchanges.exchanges,
    };
    (packets, judged.failed)
}

fn neighbours(node: &NodeFacts, network: &Network, own: &[IpAddr]) -> Result<Vec<Peer>, String> {
    let cidrs: Vec<IpNetwork> = network.cidrs.clone();
    let profile = node.profiles.find(&network.profile);
    convergence::watch::packets::routes::peers(&routes::gather(), &cidrs, profile, own)
}

/// The node's own address in each family: the one that it has for hosts outside, or else the one that it has for its pods.
fn own_addresses(pods: &[IpAddr]) -> Vec<IpAddr> {
    let elsewhere = ELSEWHERE.iter().filter_map(|text| text.parse::<SocketAddr>().ok());
    let to_pods = pods.iter().map(|pod| SocketAddr::new(*pod, 9));
    let mut own: Vec<IpAddr> = Vec::new();
    for target in elsewhere.chain(to_pods) {
        let is_known = own.iter().any(|address| address.is_ipv6() == target.is_ipv6());
        own.extend(source_address(target).filter(|_| !is_known));
    }
    own
}

/// The node's address in packets to `target`.
fn source_address(target: SocketAddr) -> Option<IpAddr> {
    let any = if target.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(target).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|own| !own.is_loopback())
}
