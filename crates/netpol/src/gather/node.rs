//! The addresses of a node from which pods get packets: its own, and those of its tunnels and bridges.

use std::net::IpAddr;

use serde_json::Value;
use snapshot::Range;
use snapshot::model::{Kind, Node, Object, TUNNELS};

use super::reference::{Reference, UnreadObject};

/// Annotations with the address by which other nodes reach it, maybe with a prefix length, maybe several with commas. *Source*: Calico,
/// `libcalico-go/lib/backend/k8s/resources/node.go`; Antrea, `pkg/agent/types/annotations.go`; Flannel, `pkg/subnet/kube`.
const OWN: [&str; 5] = [
    "projectcalico.org/IPv4Address",
    "projectcalico.org/IPv6Address",
    "node.antrea.io/transport-addresses",
    "flannel.alpha.coreos.com/public-ip",
    "flannel.alpha.coreos.com/public-ipv6",
];
/// The annotation of a node with an agent of Antrea, whose gateway has the first address of each pod CIDR. *Source*: Antrea, "Antrea Architecture".
const ANTREA: &str = "node.antrea.io/mac-address";
/// The annotation of a node with an agent of Flannel; of the backend `vxlan`, its device has the network address of each pod CIDR. *Source*: Flannel,
/// `pkg/backend/vxlan`.
const FLANNEL: &str = "flannel.alpha.coreos.com/backend-type";

/// The addresses of a node, each once, and what the node has in their place that is none. `of_cilium` is the CiliumNode of its name.
pub(super) fn addresses(node: &Node, of_cilium: Option<&Object>) -> (Vec<IpAddr>, Vec<UnreadObject>) {
    let (mut addresses, mut wrong) = (Vec::new(), Vec::new());
    let reported = ["InternalIP", "ExternalIP"].into_iter().flat_map(|kind| node.addresses(kind));
    let annotated = OWN.iter().chain(&TUNNELS).filter_map(|key| node.metadata.annotation(key));
    let written =
        reported.map(str::to_owned).chain(annotated.flat_map(|text| text.split(',')).map(str::to_owned));
    for text in written.chain(of_cilium.into_iter().flat_map(known_to_cilium)) {
        let text = text.trim();
        let address = text.split('/').next().unwrap_or(text);
        match address.parse() {
            Ok(address) => addresses.push(address),
            Err(_) if address.is_empty() => {}
            Err(why) => wrong.push(
                Reference::from_meta(Kind::NODE, &node.metadata)
                    .into_unread(format!("{text:?} is no address: {why}")),
            ),
        }
    }
    addresses.extend(device_addresses(node));
    addresses.sort_unstable();
    addresses.dedup();
    (addresses, wrong)
}

/// The addresses that Cilium knows of a node, that of its device `cilium_host` among them.
fn known_to_cilium(node: &Object) -> Vec<String> {
    let address = |entry: &Value| Some(entry.get("ip")?.as_str()?.to_owned());
    node.list("/spec/addresses").iter().filter_map(address).collect()
}

/// The addresses of devices that have a fixed place in a node's pod CIDRs.
fn device_addresses(node: &Node) -> Vec<IpAddr> {
    let has = |key: &str, is_valid: fn(&str) -> bool| node.metadata.annotation(key).is_some_and(is_valid);
    let places = [(has(ANTREA, |_| true), 1), (has(FLANNEL, |kind| kind == "vxlan"), 0)];
    let ranges: Vec<Range> = node
        .pod_cidrs()
        .into_iter()
        .filter_map(|cidr| Range::read(cidr).ok())
        .map(|(range, _)| range)
        .collect();
    let all = places.into_iter().filter(|(is_present, _)| *is_present);
    all.flat_map(|(_, place)| ranges.iter().filter_map(move |range| range.address(place))).collect()
}
