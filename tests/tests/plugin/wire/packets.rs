//! The questions between pods: from which address, and through which interface every packet of each went.

mod capture;

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};

use crate::attachment::Attachment;
use crate::echo::{Protocol, ask};
use crate::matrix::Case;
use crate::space::Space;
use crate::tables::homes;
use crate::topology::{NODE, Network, OUTSIDE, Side, Topology, of_family};
use capture::Capture;

/// A pod whose packets are recorded from before its ADD.
#[derive(Debug)]
pub(crate) struct PacketWatch<'a> {
    case: &'a Case,
    capture: Capture,
}

impl<'a> PacketWatch<'a> {
    pub(crate) fn new(case: &'a Case, pod: &Attachment) -> Result<Self> {
        Ok(Self { case, capture: Capture::start(&pod.space)? })
    }

    /// Everybody asks the pod, the pod asks everybody, over TCP and UDP; then every packet is looked at.
    pub(crate) fn all_questions(&self, topology: &Topology, pod: &Attachment) -> Result<()> {
        for protocol in Protocol::BOTH {
            self.is_answered(topology, pod, protocol).context("the pod is asked")?;
            self.asks(topology, pod, protocol).context("the pod asks")?;
        }
        self.every_packet_at_home(pod)
    }

    /// Each address of the pod is asked from the node, from pods of both networks on both nodes, and from outside.
    pub(crate) fn is_answered(
        &self,
        topology: &Topology,
        pod: &Attachment,
        protocol: Protocol,
    ) -> Result<()> {
        for home in pod.homes() {
            let mut askers: Vec<&Space> = vec![&topology.node, &topology.outside];
            for (side, node) in Side::BOTH.into_iter().flat_map(|side| [(side, 1), (side, 2)]) {
                askers.push(&topology.peer(self.case.network(side), node)?.pod.space);
            }
            for asker in askers {
                let answer = ask(asker, None, home.address, protocol)?;
                ensure!(answer.seen == answer.local, "the asker's address was changed: {answer:?}");
            }
        }
        Ok(())
    }

    /// The pod asks, without a word about its source, then from each of its addresses.
    fn asks(&self, topology: &Topology, pod: &Attachment, protocol: Protocol) -> Result<()> {
        for (to, expected) in self.destinations(topology, pod)? {
            let answer = ask(&pod.space, None, to, protocol)?;
            ensure!(answer.seen == expected, "{to} should see {expected}: {answer:?}");
            for home in pod.homes().iter().filter(|home| home.address.is_ipv4() == to.is_ipv4()) {
                let answer = ask(&pod.space, Some(home.address), to, protocol)?;
                ensure!(answer.seen == home.address, "{to} should see {}: {answer:?}", home.address);
            }
        }
        Ok(())
    }

    /// Whom the pod can ask, and the address it is to be seen with.
    fn destinations(&self, topology: &Topology, pod: &Attachment) -> Result<Vec<(IpAddr, IpAddr)>> {
        let mut destinations = Vec::new();
        let own = |side, is_ipv4| homes(self.case, pod, side, is_ipv4).next().map(|home| home.address);
        for is_ipv4 in [true, false] {
            let Some(default) = self.case.default_of(is_ipv4) else { continue };
            let by_default = own(default, is_ipv4).context("the owner's address")?;
            for pair in [NODE, OUTSIDE] {
                destinations.push((of_family(pair, is_ipv4)?, by_default));
            }
            for (side, node) in Side::BOTH.into_iter().flat_map(|side| [(side, 1), (side, 2)]) {
                let to = address_of(topology, self.case.network(side), node, is_ipv4)?;
                destinations.push((to, own(side, is_ipv4).unwrap_or(by_default)));
            }
        }
        Ok(destinations)
    }

    /// No packet left by another interface than its source's, none came in by another than its destination's; and some did
    /// both for every address.
    pub(crate) fn every_packet_at_home(&self, pod: &Attachment) -> Result<()> {
        self.packets_at_home(pod, |_| true)
    }

    /// The same, some packets being expected of the addresses that are `busy`.
    pub(crate) fn packets_at_home(&self, pod: &Attachment, busy: impl Fn(&IpAddr) -> bool) -> Result<()> {
        let expected = busy;
        let packets = self.capture.packets()?;
        let mut busy = BTreeSet::new();
        for packet in &packets {
            let own = if packet.sent { packet.source } else { packet.destination };
            let Some(home) = pod.homes().iter().find(|home| home.address == own) else {
                continue; // link-local, multicast
            };
            if packet.index == 1 {
                continue; // the pod's own lo
            }
            ensure!(
                packet.index == home.index,
                "went through another interface than {}: {packet:?}",
                home.ifname
            );
            if packet.is_transport {
                busy.insert((own, packet.sent));
            }
        }
        for address in pod.addresses().into_iter().filter(expected) {
            let both_ways = busy.contains(&(address, true)) && busy.contains(&(address, false));
            ensure!(both_ways, "nothing was seen of {address}, the capture proves nothing: {packets:?}");
        }
        Ok(())
    }
}

/// A network's pod on a node, in one family.
pub(crate) fn address_of(topology: &Topology, network: Network, node: u8, is_ipv4: bool) -> Result<IpAddr> {
    let addresses = topology.peer(network, node)?.pod.addresses();
    addresses.into_iter().find(|address| address.is_ipv4() == is_ipv4).context("a peer's address")
}
