//! The parts of the API server's objects that a run reads: from JSON to the slim types of [`crate::roll::world`].

mod counted_pod;
mod machine;
mod node;
mod node_claim;
mod pod;
mod workload;

pub use counted_pod::count_pod;
pub use machine::{HOOK, ObservedMachine, machine};
pub use node::{FENCE, ObservedNode, READINESS, node};
pub use node_claim::{ObservedNodeClaim, node_claim};
pub use pod::{PodClassifier, pod, pod_of};
pub use workload::workload;

/// Labels, annotations and the condition that a node's `watch` writes or obeys.
pub mod keys {
    /// The label of a Node's phase.
    pub const PHASE: &str = "crossfade/phase";
    /// The annotation that asks a Node for a phase.
    pub const DESIRED: &str = "crossfade/desired";
    /// The condition of a Node that says whether its network works.
    pub const READY: &str = "CrossfadeReady";
    /// The key of the taint that makes the scheduler prefer other nodes.
    pub const EARLIER: &str = "crossfade/earlier";
    /// The annotation with which Karpenter leaves a Node alone; it reads the value `true` alone. *Source*: Karpenter 1.14, "Disruption", "Node-Level Controls".
    pub use types::api::node_keys::UNDISTURBED;
}

#[cfg(test)]
mod tests {
    use snapshot::model::Kind;

    use super::*;
    use crate::plan::Dns;

    /// A user who may write an object writes its managedFields, too. What a run does not read is passed over, however deep it is.
    #[test]
    fn what_a_run_does_not_read_may_be_deep() {
        let deep = format!("{}0{}", "{\"f:a\":".repeat(5000), "}".repeat(5000));
        let object = format!(
            r#"{{"metadata":{{"name":"n","managedFields":[{{"fieldsV1":{deep}}}]}},"spec":{{"other":{deep}}}}}"#
        );
        let dns = Dns { namespace: "kube-system".into(), labels: [].into() };
        assert!(node(&object, &[]).is_ok());
        assert!(pod(&object, &PodClassifier { dns, agents: Vec::new(), ranges: None }).is_ok());
        assert!(count_pod(&object).is_ok());
        assert!(workload(Kind::DEPLOYMENT, &object).is_ok());
    }
}
