//! The node's own Node object: condition, label, annotation and events, with kubelet's credential.
