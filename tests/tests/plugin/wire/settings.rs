//! The same under other settings of the kernel, in the pod and on the nodes.

use std::net::{IpAddr, UdpSocket};

use anyhow::{Context, Result, ensure};
use lab::host::deadline::until;

use crate::attachment::SOON;
use crate::echo::{PORT, Protocol, ask};
use crate::matrix::Case;
use crate::packets::address_of;
use crate::space::Space;
use crate::topology::{Kind, Side, Topology};

/// With duplicate address detection, as runtimes leave it: asked are addresses that passed it.
pub(crate) fn duplicate_checks(kinds: [Kind; 2], owner: Side, id: &str) -> Result<()> {
    let space = Space::bare(id)?;
    ensure!(space.read("/proc/sys/net/ipv6/conf/default/accept_dad")?.trim() == "1", "checks are off");
    Case { owner, ..Case::with_kinds(kinds) }.run_in(id, space)
}

/// Reverse-path checks off (0) or loose (2) in the pod, as a node's default may be.
pub(crate) fn reverse_path(kinds: [Kind; 2], rp_filter: &str, id: &str) -> Result<()> {
    let space = Space::pod(id)?;
    space.set("ipv4/conf/all/rp_filter", rp_filter)?;
    space.set("ipv4/conf/default/rp_filter", rp_filter)?;
    Case::with_kinds(kinds).run_in(id, space)
}

/// Strict checks on the overlays of a node drop what goes from one network to the other across nodes, for it comes back by
/// the other device. That is so without us; loose checks pass it, and within a network strict ones do.
pub(crate) fn strict_overlays_part_the_networks() -> Result<()> {
    let topology = Topology::new("strict-")?;
    for side in Side::BOTH {
        topology.node.set(&format!("ipv4/conf/vx-{}/rp_filter", side.name()), "1")?;
    }
    let case = Case::with_kinds([Kind::Bridge, Kind::Ptp]);
    let mut pod = case.pod(&topology, "strict", Space::pod("strict")?)?;
    pod.add(&topology)?;
    pod.respond()?;
    let homes: Vec<_> = pod.homes().iter().filter(|home| home.address.is_ipv4()).collect();
    for home in &homes {
        let side = if case.network(Side::Old).owns(home.address) { Side::Old } else { Side::New };
        let own = &topology.peer(case.network(side), 2)?.pod.space;
        let other = &topology.peer(case.network(side.other()), 2)?.pod.space;
        for protocol in Protocol::BOTH {
            ask(own, None, home.address, protocol).context("within the network")?;
        }
        dropped_by_reverse_path(&topology, other, home.address)?;
    }
    for side in Side::BOTH {
        topology.node.set(&format!("ipv4/conf/vx-{}/rp_filter", side.name()), "2")?;
    }
    for home in &homes {
        for side in Side::BOTH {
            ask(&topology.peer(case.network(side), 2)?.pod.space, None, home.address, Protocol::Udp)?;
        }
    }
    Ok(())
}

/// A datagram ends at the node, and the node counts it as dropped for its way back.
fn dropped_by_reverse_path(topology: &Topology, from: &Space, to: IpAddr) -> Result<()> {
    let before = reverse_path_drops(&topology.node)?;
    let socket = from.inside(|| UdpSocket::bind("0.0.0.0:0").context("UDP socket"))?;
    until("a drop by the reverse-path check", SOON, || {
        socket.send_to(b"?", (to, PORT)).context("send")?;
        Ok((reverse_path_drops(&topology.node)? > before).then_some(()))
    })
}

/// `IPReversePathFilter` of /proc/net/netstat: a line of names, then one of numbers.
fn reverse_path_drops(space: &Space) -> Result<u64> {
    let text = space.read("/proc/net/netstat")?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, numbers) = (lines.next().context("names")?, lines.next().context("numbers")?);
    let mut pairs = names.split(' ').zip(numbers.split(' '));
    let counter = pairs.find(|(name, _)| *name == "IPReversePathFilter").context("the counter")?;
    Ok(counter.1.parse()?)
}

/// The limit of any host with two addresses: a UDP server on the wildcard address that does not say where its answer is to
/// come from answers from the address of the way back. It is the asked one only for who is in that address's network.
pub(crate) fn a_datagram_server_that_does_not_say_is_heard_from_another_address() -> Result<()> {
    let topology = crate::topology::topology()?;
    let case = Case::with_kinds([Kind::Bridge, Kind::Calico]);
    let mut pod = case.pod(topology, "wildcard", Space::pod("wildcard")?)?;
    pod.add(topology)?;
    let server = pod.space.inside(|| UdpSocket::bind(("0.0.0.0", PORT)).context("the server"))?;
    server.set_read_timeout(Some(SOON))?;
    let own = |side| {
        let home =
            pod.homes().iter().find(|home| home.address.is_ipv4() && case.network(side).owns(home.address));
        home.map(|home| home.address).context("an address")
    };
    for asker in Side::BOTH {
        let client = &topology.peer(case.network(asker), 2)?.pod.space;
        for side in Side::BOTH {
            let socket = client.inside(|| UdpSocket::bind("0.0.0.0:0").context("the client"))?;
            socket.set_read_timeout(Some(SOON))?;
            socket.send_to(b"?", (own(side)?, PORT))?;
            let (_, from) = server.recv_from(&mut [0; 8]).context("the question")?;
            ensure!(from.ip() == address_of(topology, case.network(asker), 2, true)?, "asked by {from}");
            server.send_to(b"!", from)?;
            let (_, heard) = socket.recv_from(&mut [0; 8]).context("the answer")?;
            ensure!(heard.ip() == own(asker)?, "{side:?} was asked from {asker:?}, {heard} answered");
        }
    }
    drop(server);
    pod.del(topology)
}
