//! Nodes that Crossfade has never been on.

use snapshot::model::Node;
use types::api::node_keys::{IMAGE, PHASE, READY};
use types::api::observed;

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
}
