//! A pod's routes from text: routes as `ip route` prints them, fed through the same parser as the kernel's.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_core::Emitable;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteNextHop, RouteProtocol, RouteScope,
    RouteType,
};

use crate::attachment::route::entry::{OURS, Route, family};
use crate::attachment::route::pod_state::{Address, PodRoutes};
use crate::attachment::route::rtnl::Link;
use crate::attachment::route::rule::Rule;

const LINKS: [&str; 4] = ["lo", "eth0", "net1", "net2"];

/// A pod with all of [`LINKS`] up, the given addresses (`eth0 10.1.0.2`, then any of `tentative`, `deprecated`), routes
/// and rules (`10.1.0.2 1001`).
pub(super) fn facts(addresses: &[&str], routes: &[&str], rules: &[&str]) -> PodRoutes {
    PodRoutes {
        links: (1..).zip(LINKS).map(|(index, name)| link(index, name)).collect(),
        addresses: addresses.iter().map(|line| address(line)).collect(),
        routes: routes.iter().flat_map(|line| routes_of(line)).collect(),
        rules: rules.iter().map(|line| rule(line)).collect(),
    }
}

pub(super) fn link(index: u32, name: &str) -> Link {
    Link { index, name: name.to_owned(), up: true, mac: Vec::new(), kind: None, link: None }
}

fn index(name: &str) -> u32 {
    1 + LINKS.iter().position(|link| *link == name).expect("an interface of LINKS") as u32
}

fn address(line: &str) -> Address {
    let words: Vec<&str> = line.split(' ').collect();
    Address {
        index: index(words[0]),
        ip: words[1].parse().expect("an address"),
        is_usable: !words.contains(&"tentative"),
        deprecated: words.contains(&"deprecated"),
    }
}

fn rule(line: &str) -> Rule {
    let (source, table) = line.split_once(' ').expect("source and table");
    Rule { source: source.parse().expect("an address"), table: table.parse().expect("a table") }
}

/// A route as it comes out of a dump: `default[6]` or a CIDR, then `via`, `dev`, `src`, `metric`, `table` with a value
/// each; `ours` and `unreachable` alone; several `dev` are a multipath route.
fn routes_of(line: &str) -> Vec<Route> {
    let mut words = line.split(' ');
    let destination = match words.next().expect("a destination") {
        "default" => "0.0.0.0/0",
        "default6" => "::/0",
        cidr => cidr,
    };
    let destination: IpNetwork = destination.parse().expect("a CIDR");
    let mut message = RouteMessage::default();
    message.header.address_family = family(destination.ip());
    message.header.destination_prefix_length = destination.prefix();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Boot;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    let mut attributes = Vec::new();
    if destination.prefix() > 0 {
        attributes.push(RouteAttribute::Destination(RouteAddress::from(destination.ip())));
    }
    let mut hops = Vec::new();
    while let Some(word) = words.next() {
        let mut value = || words.next().expect("a value");
        match word {
            "via" => attributes.push(RouteAttribute::Gateway(ip(value()))),
            "src" => attributes.push(RouteAttribute::PrefSource(ip(value()))),
            "metric" => attributes.push(RouteAttribute::Priority(value().parse().expect("a metric"))),
            "table" => attributes.push(RouteAttribute::Table(value().parse().expect("a table"))),
            "dev" => hops.push(index(value())),
            "ours" => message.header.protocol = OURS,
            "unreachable" => message.header.kind = RouteType::Unreachable,
            other => panic!("unknown word {other}"),
        }
    }
    attributes.push(match hops[..] {
        [index] => RouteAttribute::Oif(index),
        _ => RouteAttribute::MultiPath(hops.iter().map(|index| hop(*index)).collect()),
    });
    message.attributes = attributes;
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    Route::parse(&bytes).expect("a route message")
}

fn hop(index: u32) -> RouteNextHop {
    let mut hop = RouteNextHop::default();
    hop.interface_index = index;
    hop
}

fn ip(text: &str) -> RouteAddress {
    RouteAddress::from(text.parse::<IpAddr>().expect("an address"))
}

pub(super) fn cidrs(list: &[&str]) -> Vec<IpNetwork> {
    list.iter().map(|cidr| cidr.parse().expect("a CIDR")).collect()
}
