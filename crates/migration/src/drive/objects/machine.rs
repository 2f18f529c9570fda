//! A Machine of Cluster API as a run reads it, in either version of its API.

use std::collections::BTreeMap;

use serde::Deserialize;
use snapshot::model::Text;

use crate::roll::world::Machine;

/// The annotation that keeps Cluster API from draining the Node of a Machine that is being deleted. Its value says who holds the Machine: the run.
///
/// *Source*: Cluster API 1.12, `api/core/v1beta2/machine_types.go` (`PreDrainDeleteHookAnnotationPrefix`), proposal "Machine deletion phase hooks".
pub const HOOK: &str = "pre-drain.delete.hook.machine.cluster.x-k8s.io/crossfade";

/// A Machine, and the Node that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedMachine {
    /// The Node's name.
    pub node: Text,
    /// What decisions are made on.
    pub machine: Machine,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MachineObject {
    metadata: Metadata,
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    namespace: Text,
    name: Text,
    uid: Text,
    resource_version: Text,
    deletion_timestamp: Option<Text>,
    annotations: Option<BTreeMap<Text, Text>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    node_ref: Option<NodeRef>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodeRef {
    name: Text,
}

/// Reads a Machine; none if it has no Node yet.
///
/// # Errors
/// Why it is no Machine.
pub fn machine(json: &str) -> Result<Option<ObservedMachine>, String> {
    let MachineObject { metadata, status } =
        serde_json::from_str(json).map_err(|e| format!("a Machine: {e}"))?;
    let Some(node) = status.node_ref.map(|node| node.name).filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    let machine = Machine {
        namespace: metadata.namespace,
        name: metadata.name,
        uid: metadata.uid,
        version: metadata.resource_version,
        hook: metadata.annotations.unwrap_or_default().remove(HOOK),
        is_deleted: metadata.deletion_timestamp.is_some(),
    };
    Ok(Some(ObservedMachine { node, machine }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_machine_is_read_with_its_hook_and_its_node() {
        let mut object = json!({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Machine",
            "metadata": {"namespace": "fleet", "name": "blue-x7", "uid": "u", "resourceVersion": "9",
                "annotations": {HOOK: "r-1", "pre-drain.delete.hook.machine.cluster.x-k8s.io/other": "x"}},
            "spec": {"clusterName": "blue"}, "status": {"nodeRef": {"name": "b7", "kind": "Node"}}});
        let read = machine(&object.to_string()).expect("a Machine").expect("its Node");
        let expected = Machine {
            namespace: "fleet".into(),
            name: "blue-x7".into(),
            uid: "u".into(),
            version: "9".into(),
            hook: Some("r-1".into()),
            is_deleted: false,
        };
        assert_eq!((&*read.node, &read.machine), ("b7", &expected));
        object["metadata"]["deletionTimestamp"] = "2026-11-20T15:00:00Z".into();
        object["metadata"]["annotations"] = json!(null);
        let read = machine(&object.to_string()).expect("a Machine").expect("its Node").machine;
        assert_eq!(read, Machine { hook: None, is_deleted: true, ..expected });
        object["status"] = json!({});
        assert_eq!(machine(&object.to_string()), Ok(None), "it has no Node yet");
        assert!(machine("{").is_err());
    }
}
