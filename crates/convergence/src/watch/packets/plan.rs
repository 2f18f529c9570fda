//! The packets that a proof by packets exchanges.

use core::net::IpAddr;

use types::packets::{PacketPath, Peer, Protocol};
use types::profile::{Profiles, Proof};

// The addresses alone: `core` has no sockets.

/// A sender or receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// The first scratch attachment.
    First,
    /// The second scratch attachment.
    Second,
    Node,
    /// Another host, which answers without help.
    Outside,
}

/// One exchange that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedExchange {
    pub path: PacketPath,
    pub protocol: Protocol,
    /// Who sends the request.
    pub from: Party,
    /// The sender's address; `None` for the node, which chooses.
    pub source: Option<IpAddr>,
    /// Who receives the request.
    pub to: Party,
    pub target: IpAddr,
    /// The receiver's port, where it is not the proof's own.
    pub port: Option<u16>,
}

/// What the exchanges are planned by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeInputs {
    /// The addresses of the two scratch attachments. Those of the second are missing if it was refused.
    pub pods: [Vec<IpAddr>; 2],
    /// The node's own addresses, one of each family that it has.
    pub node: Vec<IpAddr>,
    /// The cluster's DNS servers, or why none is known.
    pub dns: Result<Vec<IpAddr>, String>,
    /// Addresses on other nodes, or why none is known.
    pub peers: Result<Vec<Peer>, String>,
}

/// The exchanges, and what is left out, one line each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    pub exchanges: Vec<PlannedExchange>,
    /// What is left out and why.
    pub notes: Vec<String>,
}

/// What a scratch attachment may do: what node.json says, else what every profile allows whose CNI has a plugin in the chain.
///
/// A chain can end in a plugin of another CNI than the profile's, as Cilium's on top of Flannel. A profile that allows no attachment, or no
/// packets, allows nothing here.
#[must_use]
pub fn allowed_paths<'a>(
    configured: Option<&[PacketPath]>,
    profile: &str,
    plugins: impl IntoIterator<Item = &'a str>,
    profiles: &Profiles,
) -> Vec<PacketPath> {
    if let Some(configured) = configured {
        return PacketPath::ALL.into_iter().filter(|path| configured.contains(path)).collect();
    }
    let of_plugins = plugins.into_iter().filter_map(|plugin| profiles.detect(&[plugin]));
    let profiles: Vec<_> = profiles.find(profile).into_iter().chain(of_plugins).collect();
    let allows = |path: &PacketPath| {
        profiles.iter().all(|profile| {
            profile.proof == Proof::Packet
                && profile.packets.as_ref().is_none_or(|packets| packets.contains(path))
        })
    };
    PacketPath::ALL.into_iter().filter(allows).collect()
}

/// Plans the exchanges on the paths `allowed`.
#[must_use]
pub fn plan(ground: &ExchangeInputs, allowed: &[PacketPath]) -> Plan {
    let mut plan = Plan { notes: left_out(allowed).into_iter().collect(), ..Plan::default() };
    let sources: Vec<IpAddr> =
        [false, true].into_iter().filter_map(|v6| address_of_family(&ground.pods[0], v6)).collect();
    for first in &sources {
        local(&mut plan, ground, allowed, *first);
    }
    let source = |target: IpAddr| sources.iter().copied().find(|source| source.is_ipv6() == target.is_ipv6());
    if allowed.contains(&PacketPath::PodToDns) {
        let servers = ground.dns.clone().map(|servers| servers.into_iter().map(|server| (server, Some(53))));
        plan.add_other_targets(
            PacketPath::PodToDns,
            servers.map(Iterator::collect),
            |_| Protocol::Dns,
            source,
        );
    }
    if allowed.contains(&PacketPath::PodToPeer) {
        let peers = ground.peers.clone().map(|peers| peers.into_iter().map(|peer| (peer.address, peer.port)));
        let protocol = |port: Option<u16>| if port.is_some() { Protocol::Tcp } else { Protocol::Icmp };
        plan.add_other_targets(PacketPath::PodToPeer, peers.map(Iterator::collect), protocol, source);
    }
    plan
}

/// The note about the paths that are not `allowed`.
#[must_use]
pub fn left_out(allowed: &[PacketPath]) -> Option<String> {
    let skipped: Vec<&str> =
        PacketPath::ALL.iter().filter(|path| !allowed.contains(path)).map(|path| path.words()).collect();
    (!skipped.is_empty()).then(|| {
        let skipped = skipped.join(", ");
        format!("not tried, since an attachment without a Pod may not: {skipped}; packets.paths in node.json allows it")
    })
}

/// The exchanges of one family that never leave the node.
fn local(plan: &mut Plan, ground: &ExchangeInputs, allowed: &[PacketPath], first: IpAddr) {
    let mut add = |path, from, source, to, target| {
        if !allowed.contains(&path) {
            return;
        }
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            plan.exchanges.push(PlannedExchange { path, protocol, from, source, to, target, port: None });
        }
    };
    if let Some(second) = address_of_family(&ground.pods[1], first.is_ipv6()) {
        add(PacketPath::PodToPod, Party::First, Some(first), Party::Second, second);
        add(PacketPath::PodToPod, Party::Second, Some(second), Party::First, first);
    }
    add(PacketPath::NodeToPod, Party::Node, None, Party::First, first);
    if let Some(node) = address_of_family(&ground.node, first.is_ipv6()) {
        add(PacketPath::PodToNode, Party::First, Some(first), Party::Node, node);
    }
}

impl Plan {
    /// Adds exchanges with hosts that answer without help; without any, a note says so.
    fn add_other_targets(
        &mut self,
        path: PacketPath,
        targets: Result<Vec<(IpAddr, Option<u16>)>, String>,
        protocol: impl Fn(Option<u16>) -> Protocol,
        source: impl Fn(IpAddr) -> Option<IpAddr>,
    ) {
        let none = |why: &str| format!("not tried: {}: {why}", path.words());
        let targets = match targets {
            Ok(targets) if targets.is_empty() => return self.notes.push(none("node.json says so")),
            Ok(targets) => targets,
            Err(why) => return self.notes.push(none(&why)),
        };
        for (target, port) in targets {
            let Some(source) = source(target) else {
                self.notes.push(none(&format!("the attachments have no address of the family of {target}")));
                continue;
            };
            let protocol = protocol(port);
            self.exchanges.push(PlannedExchange {
                path,
                protocol,
                from: Party::First,
                source: Some(source),
                to: Party::Outside,
                target,
                port,
            });
        }
    }
}

/// The first address of a family that is routed.
fn address_of_family(addresses: &[IpAddr], v6: bool) -> Option<IpAddr> {
    let is_routed = |address: &&IpAddr| match address {
        IpAddr::V4(address) => !address.is_link_local(),
        IpAddr::V6(address) => !address.is_unicast_link_local(),
    };
    addresses.iter().filter(|address| address.is_ipv6() == v6).find(is_routed).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    fn ground() -> ExchangeInputs {
        ExchangeInputs {
            pods: [vec![ip("10.1.0.2"), ip("fe80::2"), ip("fd00::2")], vec![ip("10.1.0.3"), ip("fd00::3")]],
            node: vec![ip("192.0.2.1")],
            dns: Ok(vec![ip("10.96.0.10")]),
            peers: Ok(vec![
                Peer { address: ip("10.1.1.0"), port: None },
                Peer { address: ip("fd00:1::1"), port: Some(10250) },
            ]),
        }
    }

    fn words(plan: &Plan) -> Vec<String> {
        let word = |exchange: &PlannedExchange| {
            let source = exchange.source.map_or("node".to_owned(), |source| source.to_string());
            let port = exchange.port.map(|port| format!(" {port}")).unwrap_or_default();
            format!("{} {source} {}{port}", exchange.protocol.word(), exchange.target)
        };
        plan.exchanges.iter().map(word).collect()
    }

    #[test]
    fn every_path_in_every_family_that_the_attachments_have() {
        let all = plan(&ground(), &PacketPath::ALL);
        let lines = words(&all);
        for expected in [
            "UDP 10.1.0.2 10.1.0.3",
            "TCP 10.1.0.2 10.1.0.3",
            "UDP 10.1.0.3 10.1.0.2",
            "UDP node 10.1.0.2",
            "TCP 10.1.0.2 192.0.2.1",
            "UDP fd00::2 fd00::3",
            "TCP node fd00::2",
            "DNS 10.1.0.2 10.96.0.10 53",
            "ICMP 10.1.0.2 10.1.1.0",
            "TCP fd00::2 fd00:1::1 10250",
        ] {
            assert!(lines.iter().any(|line| line == expected), "{expected}: {lines:#?}");
        }
        assert_eq!((lines.len(), all.notes.len()), (17, 0), "{lines:#?} {:?}", all.notes);
    }

    #[test]
    fn what_is_left_out_is_said() {
        let mut ground = ground();
        ground.pods[0].retain(IpAddr::is_ipv4);
        ground.dns = Err("nothing names a server".into());
        let planned = plan(&ground, &PacketPath::ALL);
        assert!(words(&planned).iter().all(|line| !line.contains("fd00")), "{planned:#?}");
        assert_eq!(
            planned.notes,
            [
                "not tried: pod to DNS: nothing names a server",
                "not tried: pod to another node: the attachments have no address of the family of fd00:1::1",
            ]
        );
        let least = plan(&ground, &[PacketPath::NodeToPod]);
        assert_eq!(words(&least), ["UDP node 10.1.0.2", "TCP node 10.1.0.2"]);
        assert!(least.notes[0].contains("pod to pod, pod to node, pod to DNS, pod to another node"));
        // A second attachment that was refused has no addresses.
        ground.pods[1].clear();
        let alone = words(&plan(&ground, &[PacketPath::PodToPod, PacketPath::NodeToPod]));
        assert_eq!(alone, ["UDP node 10.1.0.2", "TCP node 10.1.0.2"]);
        ground.peers = Ok(Vec::new());
        let planned = plan(&ground, &[PacketPath::PodToPeer]);
        assert_eq!(
            planned.notes.last().map(String::as_str),
            Some("not tried: pod to another node: node.json says so")
        );
    }

    #[test]
    fn the_strictest_cni_of_a_chain_counts_unless_node_json_says_otherwise() {
        use PacketPath::{NodeToPod, PodToDns};
        let all = PacketPath::ALL.to_vec();
        for (configured, profile, plugins, expected) in [
            (None, "flannel", &["flannel", "portmap"][..], all.clone()),
            (None, "flannel", &["flannel", "cilium-cni"], vec![NodeToPod]),
            (None, "flannel", &["flannel", "calico"], vec![]),
            (None, "cilium", &["cilium-cni"], vec![NodeToPod]),
            (Some(&[PodToDns, NodeToPod][..]), "cilium", &["cilium-cni"], vec![NodeToPod, PodToDns]),
            (Some(&[]), "flannel", &["flannel"], vec![]),
        ] {
            let plugins = plugins.iter().copied();
            assert_eq!(
                allowed_paths(configured, profile, plugins, Profiles::built_in()),
                expected,
                "{profile}"
            );
        }
    }
}
