//! The routers of a CNI's network on each node.

use std::collections::HashMap;
use std::net::IpAddr;

use snapshot::Range;
use snapshot::model::Snapshot;

/// The routers of a network: address, device and node.
pub type Routers<'s> = HashMap<IpAddr, (&'static str, &'s str)>;

/// The routers that have addresses at these positions of each node's pod CIDRs.
#[must_use]
pub fn routers_at<'s>(snapshot: &'s Snapshot, positions: &[(u128, &'static str)]) -> Routers<'s> {
    let mut routers = Routers::new();
    for node in &snapshot.nodes {
        let ranges = node.pod_cidrs().into_iter().filter_map(|cidr| Range::read(cidr).ok());
        for (range, _) in ranges {
            for (position, device) in positions {
                routers.extend(range.address(*position).map(|address| (address, (*device, node.name()))));
            }
        }
    }
    routers
}
