//! The fields of a Node that decisions use.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A Node, as the API server last sent it.
///
/// *Source*: `core/v1`, `Node`; everything else in it is skipped unread.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeObject {
    pub metadata: Metadata,
    #[serde(default)]
    pub status: NodeObjectStatus,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    #[serde(default)]
    pub resource_version: String,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct NodeObjectStatus {
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub message: String,
    #[serde(default)]
    pub last_transition_time: Option<String>,
}

/// The answer to a list with the name of this node's Node as its field selector: one or none.
#[derive(Debug, Deserialize)]
pub struct List {
    pub metadata: Metadata,
    pub items: Vec<NodeObject>,
}

impl NodeObject {
    /// Its condition of this type.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.status.conditions.iter().find(|condition| condition.kind == kind)
    }

    /// Whether `other` is an earlier state of the same Node: what a watch tells may be older than the answer to a patch of Crossfade's.
    /// Versions that are no numbers, which the API allows, are never earlier.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        let version = |previous: &Self| previous.metadata.resource_version.parse::<u64>().ok();
        matches!((version(self), version(other)), (Some(this), Some(that)) if this > that)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_read_and_the_rest_of_it_skipped() {
        let text = r#"{"kind":"Node","apiVersion":"v1","metadata":{"name":"n1","resourceVersion":"7","labels":{"a":"b"},
            "managedFields":[{}]},"spec":{"taints":[]},"status":{"conditions":[{"type":"Ready","status":"True",
            "lastHeartbeatTime":null,"lastTransitionTime":"2026-01-01T00:00:00Z"}],"images":[{"names":["x"]}]}}"#;
        let seen: NodeObject = serde_json::from_str(text).expect("a Node");
        assert_eq!(seen.metadata.labels["a"], "b");
        assert_eq!(seen.condition("Ready").map(|condition| condition.status.as_str()), Some("True"));
        assert_eq!(seen.condition("DiskPressure"), None);
        let bare: NodeObject = serde_json::from_str(r#"{"metadata":{}}"#).expect("bare");
        assert!(!bare.is_newer_than(&seen) && !seen.is_newer_than(&bare) && !seen.is_newer_than(&seen));
        let newer: NodeObject =
            serde_json::from_str(r#"{"metadata":{"resourceVersion":"10"}}"#).expect("a Node");
        assert!(newer.is_newer_than(&seen) && !seen.is_newer_than(&newer));
    }
}
