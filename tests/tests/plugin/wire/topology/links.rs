//! The wire between the nodes, the overlays on it and the ways to the outside, as `ip` commands.

use std::fmt::Write as _;

use anyhow::Result;

use crate::topology::{Network, OUTSIDE, Side};

/// The overlays and the wire of node 1 or 2, as `ip` commands.
pub(crate) fn node_links(node: u8) -> Result<String> {
    let peer = 3 - node;
    let mut batch = format!(
        "addr add 2001:db8:1::{node}/64 dev eth0 nodad\n\
         route add default via 192.0.2.3\nroute add default via 2001:db8:1::3\n"
    );
    for (vni, side) in Side::BOTH.into_iter().enumerate() {
        let device = format!("vx-{}", side.name());
        writeln!(
            batch,
            "link add {device} mtu 1450 type vxlan id {0} dstport 847{0} local 192.0.2.{node} remote 192.0.2.{peer}\n\
             addr add 10.9{0}.0.{node}/24 dev {device}\naddr add fd00:9{0}::{node}/64 dev {device}\n\
             link set {device} up",
            vni + 1
        )?;
        for network in Network::all().filter(|network| network.side == side) {
            let [v4, v6] = network.subnets(peer);
            writeln!(batch, "route add {v4} via 10.9{}.0.{peer}", vni + 1)?;
            writeln!(batch, "route add {v6} via fd00:9{}::{peer}", vni + 1)?;
        }
    }
    Ok(batch)
}

/// What the host outside has.
pub(crate) fn outside_links() -> Result<String> {
    let mut batch = "addr add 2001:db8:1::3/64 dev eth0 nodad\n".to_owned();
    for address in OUTSIDE {
        // Also without a duplicate check, an IPv6 address is only usable in a moment, unless it says so.
        let nodad = if address.contains(':') { "nodad" } else { "" };
        writeln!(batch, "addr add {address} dev lo {nodad}")?;
    }
    for (node, network) in [1, 2].into_iter().flat_map(|node| Network::all().map(move |net| (node, net))) {
        let [v4, v6] = network.subnets(node);
        writeln!(batch, "route add {v4} via 192.0.2.{node}\nroute add {v6} via 2001:db8:1::{node}")?;
    }
    Ok(batch)
}
