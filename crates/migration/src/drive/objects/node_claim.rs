//! A NodeClaim of Karpenter as a run reads it, in either version of its API.

use serde::Deserialize;
use snapshot::model::Text;

/// A NodeClaim, and the Node that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedNodeClaim {
    /// The Node's name.
    pub node: Text,
    /// `metadata.uid`.
    pub uid: Text,
    /// Whether Karpenter finds that the Node differs from what its NodePool and its NodeClass ask for. Karpenter replaces such nodes.
    ///
    /// *Source*: Karpenter 1.14, `pkg/apis/v1/nodeclaim_status.go` (`ConditionTypeDrifted`).
    pub is_drifted: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodeClaimObject {
    metadata: Metadata,
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    uid: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    node_name: Text,
    conditions: Option<Vec<Condition>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    r#type: Text,
    status: Text,
}

/// Reads a NodeClaim; none if it has no Node yet.
///
/// # Errors
/// Why it is no NodeClaim.
pub fn node_claim(json: &str) -> Result<Option<ObservedNodeClaim>, String> {
    let NodeClaimObject { metadata, status } =
        serde_json::from_str(json).map_err(|e| format!("a NodeClaim: {e}"))?;
    let is_drift = |condition: &Condition| &*condition.r#type == "Drifted" && &*condition.status == "True";
    let is_drifted = status.conditions.iter().flatten().any(is_drift);
    let claim = ObservedNodeClaim { node: status.node_name, uid: metadata.uid, is_drifted };
    Ok(Some(claim).filter(|claim| !claim.node.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_node_claim_is_drifted_by_its_condition_alone() {
        let read = |node: &str, conditions: serde_json::Value| {
            let status = json!({"nodeName": node, "imageID": "ami-1", "conditions": conditions});
            let claim = json!({"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": {"uid": "u"}, "status": status});
            node_claim(&claim.to_string()).expect("a NodeClaim")
        };
        let claim = |is_drifted| Some(ObservedNodeClaim { node: "a".into(), uid: "u".into(), is_drifted });
        let ready = json!({"type": "Ready", "status": "True"});
        assert_eq!(read("a", json!([ready, {"type": "Drifted", "status": "True"}])), claim(true));
        assert_eq!(read("a", json!([ready, {"type": "Drifted", "status": "Unknown"}])), claim(false));
        assert_eq!(read("a", json!(null)), claim(false));
        assert_eq!(read("", json!([ready])), None, "it has no Node yet");
        assert!(node_claim("{").is_err());
    }
}
