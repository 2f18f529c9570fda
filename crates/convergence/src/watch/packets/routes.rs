//! The other nodes of a network, as far as the node's own routes know them, with reads of two files.
//!
//! A network that gives each node a range of addresses has a route to each other node's range, by a next hop that the other node's kernel answers
//! for: Flannel's `10.244.3.0/24 via 10.244.3.0 dev flannel.1`, Antrea's `10.10.3.0/24 via 10.10.3.1 dev antrea-gw0`. So an echo request to
//! the next hop goes through the network to that node and back, needs no program there, and no node has to publish an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use types::packets::Peer;
use types::profile::{LinkRole, Profile};

/// The route leads to a next hop. *Source*: `linux/route.h`, `RTF_GATEWAY`.
const RTF_GATEWAY: u32 = 2;

/// How many other nodes of one family are asked; one that is down must not count for all.
const PEERS: usize = 3;

/// A route with a next hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub to: IpNetwork,
    /// The next hop.
    pub via: IpAddr,
    pub interface: String,
}

/// *Shape*: `flannel.1 0003F40A 0003F40A 0003 0 0 0 00FFFFFF 0 0 0`, with addresses in the byte order of the machine.
pub fn parse_v4(line: &str) -> Option<Route> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |index: usize| u32::from_str_radix(words.get(index)?, 16).ok();
    let address = |index: usize| Some(Ipv4Addr::from(number(index)?.to_ne_bytes()));
    if number(3)? & RTF_GATEWAY == 0 {
        return None;
    }
    let prefix = u8::try_from(u32::from(address(7)?).count_ones()).ok()?;
    let to = IpNetwork::new(address(1)?.into(), prefix).ok()?;
    (prefix > 0).then_some(Route { to, via: address(2)?.into(), interface: (*words.first()?).to_owned() })
}

/// *Shape*: `fd000000000000000000000000030000 70 (source) 00 fd000000000000000000000000030001 00000400 00000001 00000000 00000003 antrea-gw0`.
pub fn parse_v6(line: &str) -> Option<Route> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let address = |index: usize| Some(Ipv6Addr::from(u128::from_str_radix(words.get(index)?, 16).ok()?));
    let number = |index: usize| u32::from_str_radix(words.get(index)?, 16).ok();
    let prefix = u8::try_from(number(1)?).ok()?;
    let via = address(4)?;
    let leads = number(8)? & RTF_GATEWAY != 0 && prefix > 0 && !via.is_unicast_link_local();
    let to = IpNetwork::new(address(0)?.into(), prefix).ok()?;
    leads.then_some(Route { to, via: via.into(), interface: (*words.get(9)?).to_owned() })
}

/// The next hops of the network's routes to other nodes, or why there are none. A route is the network's if its destination lies in the
/// network's `cidrs`, or if its interface is one of the CNI's own.
///
/// `own` decides which next hops are chosen, so that the nodes of a cluster do not all ask the same ones.
///
/// # Errors
/// In words.
pub fn peers(
    routes: &[Route],
    cidrs: &[IpNetwork],
    profile: Option<&Profile>,
    pod_addresses: &[IpAddr],
) -> Result<Vec<Peer>, String> {
    let is_within =
        |to: &IpNetwork| cidrs.iter().any(|cidr| cidr.contains(to.ip()) && cidr.prefix() < to.prefix());
    let leaves = profile.and_then(|profile| profile.leaves.as_ref());
    let is_of_cni = |interface: &str| {
        let links = leaves.iter().flat_map(|leaves| &leaves.links);
        links.filter(|link| link.role != LinkRole::Pod).any(|link| link.name.matches(interface))
    };
    let mut chosen = Vec::new();
    for v6 in [false, true] {
        let of_network = |route: &&Route| {
            route.via.is_ipv6() == v6 && (is_within(&route.to) || is_of_cni(&route.interface))
        };
        let mut next: Vec<IpAddr> = routes.iter().filter(of_network).map(|route| route.via).collect();
        next.sort_unstable();
        next.dedup();
        let start = pod_addresses
            .iter()
            .find(|address| address.is_ipv6() == v6)
            .map_or(0, |address| number(*address));
        let first = if next.is_empty() { 0 } else { start % next.len() };
        next.rotate_left(first);
        chosen.extend(next.into_iter().take(PEERS).map(|address| Peer { address, port: None }));
    }
    if chosen.is_empty() {
        return Err(
            "the network has no routes to other nodes; packets.peers in node.json names addresses".into()
        );
    }
    Ok(chosen)
}

/// A number that differs between nodes whose pods have other addresses.
fn number(address: IpAddr) -> usize {
    let bytes = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    bytes.iter().fold(0, |sum, byte| sum * 31 % 1_000_003 + usize::from(*byte))
}

#[cfg(test)]
mod tests {
    use types::profile::Profiles;

    use super::*;

    const V4: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
        cni0\t0001F40A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
        flannel.1\t0002F40A\t0002F40A\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
        eth0\t0003F40A\t030200C0\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
        eth0\t0000A8C0\t090200C0\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
    const V6: &str = "\
        00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 1 0 00000003 eth0\n\
        fd000000000000020000000000000000 40 00000000000000000000000000000000 00 fd000000000000020000000000000001 00000400 1 0 00000003 antrea-gw0\n\
        fd000000000000010000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 1 0 00000001 cni0\n";

    fn routes() -> Vec<Route> {
        V4.lines().filter_map(parse_v4).chain(V6.lines().filter_map(parse_v6)).collect()
    }

    fn names(peers: Result<Vec<Peer>, String>) -> Vec<String> {
        peers.unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn routes_with_a_next_hop_are_read_in_both_families() {
        let names: Vec<String> =
            routes().iter().map(|route| format!("{} {} {}", route.to, route.via, route.interface)).collect();
        // The machine's byte order decides what the kernel prints.
        if cfg!(target_endian = "little") {
            assert_eq!(
                names,
                [
                    "10.244.2.0/24 10.244.2.0 flannel.1",
                    "10.244.3.0/24 192.0.2.3 eth0",
                    "192.168.0.0/16 192.0.2.9 eth0",
                    "fd00:0:0:2::/64 fd00:0:0:2::1 antrea-gw0",
                ]
            );
        }
    }

    #[test]
    fn the_network_s_own_routes_lead_to_other_nodes() {
        let cidrs: Vec<IpNetwork> = vec!["10.244.0.0/16".parse().expect("a range")];
        let profile = |name| Profiles::built_in().find(name);
        let none = |peers: Result<Vec<Peer>, String>| peers.is_err_and(|why| why.contains("packets.peers"));
        let routes = routes();
        assert_eq!(names(peers(&routes, &cidrs, None, &[])), ["10.244.2.0", "192.0.2.3"]);
        assert_eq!(names(peers(&routes, &[], profile("flannel"), &[])), ["10.244.2.0"]);
        assert_eq!(names(peers(&routes, &[], profile("antrea"), &[])), ["fd00:0:0:2::1"]);
        assert!(none(peers(&routes, &[], None, &[])));
        let everything: Vec<IpNetwork> = vec!["10.244.2.0/24".parse().expect("a range")];
        assert!(
            none(peers(&routes, &everything, None, &[])),
            "a range alone is not another node's part of it"
        );
    }

    #[test]
    fn some_of_many_are_asked_and_not_the_same_by_all() {
        let many: Vec<Route> = (1..=200u8)
            .map(|node| Route {
                to: IpNetwork::new(Ipv4Addr::new(10, 244, node, 0).into(), 24).expect("a range"),
                via: Ipv4Addr::new(10, 244, node, 0).into(),
                interface: "flannel.1".into(),
            })
            .collect();
        let ask = |node: u8| {
            let pod_addresses = [Ipv4Addr::new(10, 244, node, 2).into()];
            names(peers(&many, &[], Profiles::built_in().find("flannel"), &pod_addresses))
        };
        let chosen: std::collections::BTreeSet<_> = (201..=220).map(ask).collect();
        assert!(chosen.iter().all(|peers| peers.len() == PEERS));
        assert!(chosen.len() >= 15, "{chosen:?}");
    }
}
