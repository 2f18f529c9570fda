//! Another program is at work in the pod's netns, or the networks are not as tidy as one would like.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use lab::host::deadline::until;
use lab::runtime::caller::Plugin;
use serde_json::json;
use socket2::{Domain, Protocol as Transport, Socket, Type};

use crate::attachment::{Attachment, SOON};
use crate::echo::{Protocol, ask, connect};
use crate::matrix::Case;
use crate::packets::{PacketWatch, address_of};
use crate::remains::{Leave, leave};
use crate::space::Space;
use crate::tables;
use crate::tables::homes;
use crate::topology::{Kind, NODE, OUTSIDE, Side, Topology, of_family, topology};

/// `lo` goes up and down by the loopback plugin, as runtimes call it beside us, through whole lives of a pod.
pub(crate) fn the_loopback_plugin_beside(kinds: [Kind; 2], id: &str) -> Result<()> {
    let space = Space::pod(id)?;
    let netns = space.path().display().to_string();
    let loopback = |verb: &str| {
        let conf = json!({"cniVersion": "1.0.0", "name": "cni-loopback", "type": "loopback"});
        let plugin = Plugin::new(Path::new("/usr/lib/cni/loopback")).env("CNI_COMMAND", verb);
        plugin
            .env("CNI_CONTAINERID", id)
            .env("CNI_NETNS", &netns)
            .env("CNI_IFNAME", "lo")
            .env("CNI_PATH", "/usr/lib/cni")
            .stdin(&conf.to_string())
            .patience(SOON)
            .run()?
            .succeeded()
    };
    let topology = topology()?;
    let case = Case::with_kinds(kinds);
    let mut pod = case.pod(topology, id, space)?;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let flapper = scope.spawn(|| -> Result<u32> {
            let mut rounds = 0;
            while !done.load(Ordering::Relaxed) {
                loopback("ADD")?;
                loopback("DEL")?;
                rounds += 1;
            }
            Ok(rounds)
        });
        let lives = (0..4).try_for_each(|_| {
            let reply = pod.add(topology)?;
            tables::hold(&case, &pod, &reply)?;
            pod.check(topology)?;
            pod.del(topology)?;
            crate::remains::nothing_inside(&pod)
        });
        done.store(true, Ordering::Relaxed);
        let rounds = flapper.join().map_err(|_| anyhow!("the flapper panicked"))??;
        ensure!(rounds > 0, "the loopback plugin never ran");
        lives
    })
}

/// `net1` is an interface that is not ours: the secondary is `net2`, and the other one is left alone.
pub(crate) fn the_secondarys_name_is_taken(id: &str) -> Result<()> {
    let space = Space::pod(id)?;
    space.ip("link add net1 type bridge")?;
    space.ip("link set net1 up")?;
    let topology = topology()?;
    let case = Case { secondary: "net2", ..Case::with_kinds([Kind::Ptp, Kind::Bridge]) };
    let mut pod = case.pod(topology, id, space)?;
    let watched = PacketWatch::new(&case, &pod)?;
    let reply = pod.add(topology)?;
    tables::hold(&case, &pod, &reply)?;
    pod.respond()?;
    watched.all_questions(topology, &pod)?;
    pod.check(topology)?;
    pod.be_silent()?;
    pod.del(topology)?;
    let names = pod.space.list("link show")?;
    let names: Vec<&str> = names.iter().filter_map(|link| link["ifname"].as_str()).collect();
    ensure!(names == ["lo", "net1"], "interfaces after DEL: {names:?}");
    Ok(())
}

/// One network takes smaller packets than the other: each stream arrives whole, both ways, on every address.
pub(crate) fn networks_of_two_mtus(kinds: [Kind; 2], id: &str) -> Result<()> {
    let topology = topology()?;
    let case = Case::with_kinds(kinds);
    let mut pod = case.pod(topology, id, Space::pod(id)?)?;
    for (side, mtu) in [(Side::Old, 1300), (Side::New, 1450)] {
        let mut conf = case.network(side).conflist(1, case.families_of(side), &topology.leases[0]);
        conf["plugins"][0]["mtu"] = json!(mtu);
        pod.write_conf(side, &conf)?;
    }
    let watched = PacketWatch::new(&case, &pod)?;
    pod.add(topology)?;
    pod.settle()?;
    let mtu = |ifname: &str| pod.space.list(&format!("link show {ifname}"));
    // A bridge has the least of its ports' sizes by itself; a pod's interface has what its own network says.
    ensure!(mtu(case.ifname(Side::Old))?[0]["mtu"] == 1300 && mtu(case.ifname(Side::New))?[0]["mtu"] == 1450);
    for ifname in ["eth0", "net1"] {
        // Packets as a wire has them: a pair of interfaces passes larger ones on that are to be cut later.
        pod.space.ip(&format!("link set {ifname} gso_max_segs 1"))?;
    }
    let old_far = &topology.peer(case.network(Side::Old), 2)?.pod.space;
    for home in pod.homes() {
        for other in [&topology.outside, old_far] {
            whole_stream(other, None, &pod.space, home.address)?;
        }
    }
    let new_far = &topology.peer(case.network(Side::New), 2)?.pod;
    for home in pod.homes() {
        let to = new_far.addresses().into_iter().find(|to| to.is_ipv4() == home.address.is_ipv4());
        whole_stream(&pod.space, Some(home.address), &new_far.space, to.context("an address")?)?;
    }
    watched.every_packet_at_home(&pod)?;
    drop(watched);
    leave(Leave::Orderly, topology, pod)
}

/// Half a megabyte from each end of one connection.
fn whole_stream(from: &Space, source: Option<IpAddr>, to: &Space, address: IpAddr) -> Result<()> {
    const BYTES: usize = 1 << 19;
    let listener = to.inside(|| TcpListener::bind((address, 0)).context("listen"))?;
    let end = listener.local_addr()?;
    let mut stream = from.inside(|| connect(source, end))?;
    let (mut accepted, _) = listener.accept()?;
    for stream in [&stream, &accepted] {
        stream.set_read_timeout(Some(SOON))?;
        stream.set_write_timeout(Some(SOON))?;
    }
    thread::scope(|scope| {
        let server = scope.spawn(move || -> Result<usize> {
            let mut received = vec![0; BYTES];
            accepted.read_exact(&mut received)?;
            accepted.write_all(&received)?;
            Ok(received.len())
        });
        let sent: Vec<u8> = (0..BYTES).map(|at| (at % 251) as u8).collect();
        stream.write_all(&sent)?;
        let mut back = Vec::with_capacity(BYTES);
        stream.read_to_end(&mut back).with_context(|| format!("stream to {end}"))?;
        let received = server.join().map_err(|_| anyhow!("the server panicked"))??;
        ensure!(
            received == BYTES && back == sent,
            "{received} bytes arrived at {end}, {} came back",
            back.len()
        );
        Ok(())
    })
}

/// What the policy says of ranges that overlap: nothing. The longer prefix decides; for one and the same, the owner.
pub(crate) fn ranges_that_overlap(id: &str) -> Result<()> {
    let topology = topology()?;
    let case = Case::with_kinds([Kind::Bridge, Kind::Ptp]);
    let [old, new] = Side::BOTH.map(|side| case.network(side).cidrs()[0].clone());
    let rest = "10.200.0.0/16";
    // Who sees the pod with which side's address: the far pods of old and new, the node, and the outside.
    let (mine, theirs) = (Side::Old, Side::New);
    for (number, (old_cidrs, new_cidrs, seen)) in [
        // Everything of ten, but the more exact range is the other's.
        (vec!["10.0.0.0/8".to_owned()], vec![new.clone()], [mine, theirs, theirs, theirs]),
        // The same range twice: the owner's.
        (vec!["10.0.0.0/8".to_owned()], vec!["10.0.0.0/8".to_owned()], [theirs, theirs, theirs, theirs]),
        // The range of the one that does not own the default covers the nodes, and the outside too.
        (
            vec![old.clone(), "192.0.2.0/24".to_owned(), "198.51.100.0/24".to_owned()],
            vec![new.clone()],
            [mine, theirs, mine, mine],
        ),
        // Neither names its own pods: what is on no wire of the pod's goes by the default.
        (vec![rest.to_owned()], vec![rest.to_owned()], [theirs, theirs, theirs, theirs]),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("{id}{number}");
        let mut pod = case.pod(topology, &name, Space::pod(&name)?)?;
        let mut policy = case.policy(&pod);
        policy["networks"]["old"]["cidrs"] = json!(old_cidrs);
        policy["networks"]["new"]["cidrs"] = json!(new_cidrs);
        pod.write_policy(&policy)?;
        let watched = PacketWatch::new(&case, &pod)?;
        pod.add(topology)?;
        pod.respond()?;
        watched
            .is_answered(topology, &pod, Protocol::Tcp)
            .with_context(|| format!("{old_cidrs:?} {new_cidrs:?}"))?;
        let destinations = [
            address_of(topology, case.network(Side::Old), 2, true)?,
            address_of(topology, case.network(Side::New), 2, true)?,
            of_family(NODE, true)?,
            of_family(OUTSIDE, true)?,
        ];
        for (to, side) in destinations.into_iter().zip(seen) {
            let answer = ask(&pod.space, None, to, Protocol::Udp)?;
            let right = case.network(side).owns(answer.seen);
            ensure!(right, "{old_cidrs:?} {new_cidrs:?}: {to} should see an address of {side:?}: {answer:?}");
        }
        watched.every_packet_at_home(&pod)?;
        pod.check(topology)?;
        pod.be_silent()?;
        drop(watched);
        leave(Leave::Orderly, topology, pod)?;
    }
    Ok(())
}

/// The node's agents probe pods by link-local address too: each answers on its own interface.
pub(crate) fn link_local_addresses_answer(id: &str) -> Result<()> {
    let topology = topology()?;
    let case = Case::with_kinds([Kind::Ptp, Kind::Calico]);
    let mut pod = case.pod(topology, id, Space::pod(id)?)?;
    pod.add(topology)?;
    let listener = pod.space.inside(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, 7009)).context("listen"))?;
    for side in Side::BOTH {
        let (address, host_end) = link_local(&pod, case.ifname(side))?;
        let to = SocketAddr::V6(SocketAddrV6::new(address, 7009, 0, host_end));
        let stream = topology.node.inside(|| connect(None, to)).with_context(|| format!("{side:?}: {to}"))?;
        let (accepted, _) = listener.accept()?;
        ensure!(accepted.local_addr()?.ip() == IpAddr::V6(address), "{:?} answered", accepted.local_addr());
        drop(stream);
    }
    drop(listener);
    leave(Leave::Orderly, topology, pod)
}

/// Link-local address of an interface in the pod, and the index of its other end on the node.
fn link_local(pod: &Attachment, ifname: &str) -> Result<(Ipv6Addr, u32)> {
    let links = pod.space.list(&format!("-6 address show dev {ifname} scope link"))?;
    let link = links.iter().find(|link| link["ifname"] == ifname).context("the interface")?;
    let mut infos = link["addr_info"].as_array().into_iter().flatten();
    let address = infos.find_map(|info| info["local"].as_str()).context("a link-local address")?;
    let links = pod.space.list(&format!("link show {ifname}"))?;
    let host_end = links[0]["link_index"].as_u64().context("the other end")?;
    Ok((address.parse()?, u32::try_from(host_end)?))
}

/// A router speaks up on the first network after the step. The owner's default stays the only one.
pub(crate) fn a_router_that_speaks_up_later_is_not_heeded(owner: Side, id: &str) -> Result<()> {
    let topology = topology()?;
    let case = Case { owner, ..Case::with_kinds([Kind::Ptp, Kind::Ptp]) };
    let mut pod = case.pod(topology, id, Space::pod(id)?)?;
    let watched = PacketWatch::new(&case, &pod)?;
    let reply = pod.add(topology)?;
    let (_, host_end) = link_local(&pod, case.ifname(owner.other()))?;
    let heard = advertisements(&pod)?;
    until("an advertisement", SOON, || {
        advertise(topology, host_end)?;
        Ok((advertisements(&pod)? > heard).then_some(()))
    })?;
    // Whatever an advertisement does is done before what is sent after it is answered.
    pod.respond()?;
    watched.all_questions(topology, &pod)?;
    tables::hold(&case, &pod, &reply)?;
    pod.check(topology)?;
    pod.be_silent()?;
    drop(watched);
    leave(Leave::Orderly, topology, pod)
}

/// Advertisements that the pod has heard.
fn advertisements(pod: &Attachment) -> Result<u64> {
    let text = pod.space.read("/proc/net/snmp6")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Icmp6InRouterAdvertisements"));
    Ok(line.context("the counter")?.trim().parse()?)
}

/// Sends a router advertisement (RFC 4861, section 4.2) out of one interface of the node: a default router for half an hour.
fn advertise(topology: &Topology, index: u32) -> Result<()> {
    const ADVERTISEMENT: [u8; 16] = [134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
    let all_nodes = SocketAddr::V6(SocketAddrV6::new("ff02::1".parse()?, 0, 0, index));
    topology.node.inside(|| {
        let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Transport::ICMPV6)).context("a raw socket")?;
        socket.set_multicast_if_v6(index)?;
        socket.set_multicast_hops_v6(255)?;
        socket.send_to(&ADVERTISEMENT, &all_nodes.into()).context("advertise")?;
        Ok(())
    })
}

/// CHECK asks every network, and looks at what was attached. Right after ADD all is well; then one network's interface loses its IPv6 address, and CHECK fails with that network's name, or, where
/// the plugin's own CHECK is empty, with the address.
///
/// With its last IPv4 address an interface would lose its routes too, the default perhaps, which the other's plugin may miss first.
pub(crate) fn check_names_the_network_that_is_broken(kinds: [Kind; 2], owner: Side, id: &str) -> Result<()> {
    let topology = topology()?;
    for broken in Side::BOTH {
        let case = Case { owner, ..Case::with_kinds(kinds) };
        let name = format!("{id}-{}", broken.name());
        let mut pod = case.pod(topology, &name, Space::pod(&name)?)?;
        pod.add(topology)?;
        pod.check(topology)?;
        pod.space.ip(&format!("-6 address flush dev {} scope global", case.ifname(broken)))?;
        let refusal = pod.call(topology, "CHECK", &pod.netns())?.error().context("CHECK of a broken pod")?;
        let named = |side: Side| {
            let address = homes(&case, &pod, side, false).next().map(|home| home.address.to_string());
            let names = [Some(case.network(side).name()), address];
            names.into_iter().flatten().any(|name| refusal.text().contains(&name))
        };
        ensure!(named(broken) && !named(broken.other()), "{broken:?} is broken: {refusal:?}");
        leave(Leave::Orderly, topology, pod)?;
    }
    Ok(())
}
