//! Nodes without Crossfade: those of the image before it, and those of the one after it.

use std::net::IpAddr;

use crate::plan::Networks;
use snapshot::Range;
use snapshot::model::{Node, Pod};
use types::api::node_keys::{IMAGE, PHASE, READY};
use types::api::observed::{self, NodeObservation};

/// The reasons of the last condition of a node that Crossfade has left for good: those of `convergence::publish::report::FinalReason`.
const LEFT: [&str; 2] = ["Removed", "FinalImage"];

/// Whether a Node bears nothing of Crossfade's: no label, no report, no condition.
///
/// In a rotation the nodes of the old image are like this, and their silence is no fault: their pods live in the old network. A new node of a final
/// image is like this, too, so where both may be, the addresses of a node's pods tell them apart. A Node object that outlived a machine with Crossfade
/// is not plain: its last condition stays.
#[must_use]
pub fn is_plain(node: &Node) -> bool {
    let has_label = [PHASE, IMAGE].into_iter().any(|key| node.metadata.label(key).is_some());
    !has_label && node.metadata.annotation(observed::KEY).is_none() && node.condition(READY).is_none()
}

/// Whether the last condition reports that Crossfade has left the node for good: it was removed, or a final image came up under the same name.
#[must_use]
pub fn has_left(node: &Node) -> bool {
    node.condition(READY).is_some_and(|condition| LEFT.contains(&&*condition.reason))
}

/// Whether these pods live in the new network by their addresses. Pods without an address say nothing.
pub fn lives_in<'a>(pods: impl IntoIterator<Item = &'a Pod>, ranges: &[Range]) -> bool {
    let is_within = |address| ranges.iter().any(|range| range.contains(Range::from_address(address)));
    let mut addresses = pods.into_iter().flat_map(Pod::network_ips).peekable();
    addresses.peek().is_some() && addresses.all(is_within)
}

/// Whether a node is of the new network without Crossfade: Crossfade has left it, or it is of a final image, which the addresses of its pods tell.
pub fn is_final<'a>(node: &Node, pods: impl IntoIterator<Item = &'a Pod>, new: &[Range]) -> bool {
    has_left(node) || is_plain(node) && lives_in(pods, new)
}

/// The ranges of both networks, which tell a pod of the new network from one of the old network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkRanges {
    old: Vec<Range>,
    new: Vec<Range>,
}

impl NetworkRanges {
    /// The ranges of a plan.
    #[must_use]
    pub fn new(networks: &Networks) -> Self {
        let ranges =
            |texts: &[String]| texts.iter().filter_map(|text| Some(Range::read(text).ok()?.0)).collect();
        Self { old: ranges(&networks.old), new: ranges(&networks.new) }
    }

    /// Whether a pod has an address that is not of the new network. Where the ranges of the new network are not known, those of the old network count.
    #[must_use]
    pub fn is_foreign(&self, pod: &Pod) -> bool {
        let contains = |ranges: &[Range], address: IpAddr| {
            ranges.iter().any(|range| range.contains(Range::from_address(address)))
        };
        let is_of_family = |address: IpAddr| self.new.iter().any(|range| range.is_v6() == address.is_ipv6());
        pod.network_ips().any(|address| {
            contains(&self.old, address) || is_of_family(address) && !contains(&self.new, address)
        })
    }
}

/// What the node reports of the boot that it is in. A Node outlives a reboot and even its machine, and what it bore then stays on it; nothing of that
/// is true of the machine that is there now.
#[must_use]
pub fn reported_now(node: &Node) -> Option<NodeObservation> {
    let observation = NodeObservation::parse(node.metadata.annotation(observed::KEY)?).ok()?;
    (!observation.boot_id.is_empty() && *observation.boot_id == *node.status.node_info.boot_id)
        .then_some(observation)
}

/// The identity of the image that a node came up with, as kubelet has registered it, else as Crossfade reports it; none of an image without one.
#[must_use]
pub fn image(node: &Node) -> Option<String> {
    let reported = || NodeObservation::parse(node.metadata.annotation(observed::KEY)?).ok()?.image;
    node.metadata.label(IMAGE).map(str::to_owned).or_else(reported)
}

/// How many nodes there are of each image, in words: `5f2c (3), none (2)`.
#[must_use]
pub fn describe_images<'i>(images: impl IntoIterator<Item = (&'i str, u32)>, without: u32) -> String {
    let named = images.into_iter().chain((without > 0).then_some(("none", without)));
    named.map(|(image, nodes)| format!("{image} ({nodes})")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_node_with_anything_of_crossfades_is_not_plain() {
        let node = |metadata: &Value, conditions: &Value| -> Node {
            serde_json::from_value(json!({"metadata": metadata, "status": {"conditions": conditions}}))
                .expect("a node")
        };
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let others =
            json!({"name": "n", "labels": {"pool": "a"}, "annotations": {"crossfade/desired": "new"}});
        assert!(is_plain(&node(&others, &ready)), "what others write is not the node's own");
        for metadata in [
            json!({"labels": {"crossfade/phase": "old"}}),
            json!({"labels": {"crossfade/image": "5f2c"}}),
            json!({"annotations": {"crossfade/observed": "{}"}}),
        ] {
            assert!(!is_plain(&node(&metadata, &ready)), "{metadata}");
        }
        let left = json!([{"type": "CrossfadeReady", "status": "Unknown", "reason": "FinalImage"}]);
        assert!(!is_plain(&node(&json!({"name": "n"}), &left)));
    }

    #[test]
    fn a_report_of_another_boot_is_none() {
        let node = |report: &str, boot: &str| -> Node {
            serde_json::from_value(json!({
                "metadata": {"annotations": {"crossfade/observed": report}},
                "status": {"nodeInfo": {"bootID": boot}}}))
            .expect("a node")
        };
        for (report, boot, expected) in [
            (r#"{"bootId":"b"}"#, "b", true),
            (r#"{"bootId":"a"}"#, "b", false),
            (r#"{"bootId":""}"#, "", false),
            ("{", "b", false),
        ] {
            assert_eq!(reported_now(&node(report, boot)).is_some(), expected, "{report} in boot {boot}");
        }
    }

    #[test]
    fn addresses_say_where_pods_live() {
        let pod = |status: &Value| -> Pod {
            serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {}, "status": status}))
                .expect("a pod")
        };
        let (range, _) = Range::read("10.20.0.0/16").expect("a range");
        let pod_at = |address: &str| pod(&json!({"phase": "Running", "podIPs": [{"ip": address}]}));
        let bare = pod(&json!({"phase": "Pending"}));
        let (old, new) = (pod_at("10.10.0.7"), pod_at("10.20.0.7"));
        assert!(lives_in([&new, &bare], &[range]));
        assert!(!lives_in([&new, &old], &[range]) && !lives_in([&bare], &[range]) && !lives_in([&new], &[]));
    }

    #[test]
    fn a_node_that_crossfade_has_left_says_so() {
        for (reason, expected) in [("FinalImage", true), ("Removed", true), ("SwitchedOff", false)] {
            let conditions = json!([{"type": "CrossfadeReady", "status": "Unknown", "reason": reason}]);
            let node = json!({"metadata": {"name": "n"}, "status": {"conditions": conditions}});
            assert_eq!(has_left(&serde_json::from_value(node).expect("a node")), expected, "{reason}");
        }
    }
}
