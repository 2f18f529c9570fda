//! The packets of a proof: gathers with whom they are exchanged, has them exchanged, and says what it means.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use ipnetwork::IpNetwork;
use types::packets::{PacketPath, PacketReason, PacketTargets, Packets, Peer};
use types::policy::Network;
use types::profile;

use super::scene::Attachment;
use crate::kubelet::dns::cluster_dns;
use crate::node::facts::NodeFacts;
use crate::watch::packets::decide::decide;
use crate::watch::packets::place::Place;
use crate::watch::packets::plan::{Ground, left_out, plan};
use crate::watch::packets::rounds::{Stage, make};
use crate::watch::packets::routes;

/// Addresses for documentation: the node's way there is its way to everybody outside. No packet is sent.
const ELSEWHERE: [&str; 2] = ["192.0.2.1:9", "[2001:db8::1]:9"];

/// What the packets of a proof came to, and why they failed, in words.
#[must_use]
pub(super) fn exchange(
    node: &NodeFacts,
    network: &Network,
    pods: &[Attachment],
    (allowed, patience): (&[PacketPath], Duration),
) -> (Packets, Option<String>) {
    let [first, second] = pods else {
        // One attachment has nobody to exchange packets with.
        let notes = left_out(allowed).into_iter().collect();
        let none =
            Packets { reason: PacketReason::Passed, settled_millis: None, notes, exchanges: Vec::new() };
        return (none, None);
    };
    let known = cluster_dns(&node.root, &node.settings.kubelet.unit);
    let domain = known.as_ref().map_or("cluster.local", |known| known.domain.as_str());
    let name = format!("kubernetes.default.svc.{domain}.");
    let PacketTargets { dns, peers, .. } = &node.settings.packets;
    let ground = Ground {
        pods: [first.addresses.clone(), second.addresses.clone()],
        node: own(&first.addresses),
        dns: dns.clone().map_or_else(|| known.map(|known| known.servers), Ok),
        peers: peers.clone().map_or_else(|| neighbours(network, &first.addresses), Ok),
    };
    let plan = plan(&ground, allowed);
    let pods = [first, second].map(|pod| Place::Pod(pod.netns.clone()));
    let made = make(&Stage { pods, name, patience }, &plan.exchanges);
    let judged = decide(&made.exchanges);
    let found = Packets {
        reason: judged.reason,
        settled_millis: made.settled.map(|settled| u64::try_from(settled.as_millis()).unwrap_or(u64::MAX)),
        notes: plan.notes.into_iter().chain(judged.notes).collect(),
        exchanges: made.exchanges,
    };
    (found, judged.failed)
}

fn neighbours(network: &Network, own: &[IpAddr]) -> Result<Vec<Peer>, String> {
    let cidrs: Vec<IpNetwork> = network.cidrs.clone();
    routes::peers(&routes::gather(), &cidrs, profile::find(&network.profile), own)
}

/// The node's own address in each family: the one that it has for everybody outside, or else the one that it has for its pods.
fn own(pods: &[IpAddr]) -> Vec<IpAddr> {
    let elsewhere = ELSEWHERE.iter().filter_map(|text| text.parse::<SocketAddr>().ok());
    let to_pods = pods.iter().map(|pod| SocketAddr::new(*pod, 9));
    let mut own: Vec<IpAddr> = Vec::new();
    for target in elsewhere.chain(to_pods) {
        let is_known = own.iter().any(|known| known.is_ipv6() == target.is_ipv6());
        own.extend(way_to(target).filter(|_| !is_known));
    }
    own
}

/// The node's address in packets to `target`.
fn way_to(target: SocketAddr) -> Option<IpAddr> {
    let any = if target.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(target).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|own| !own.is_loopback())
}
