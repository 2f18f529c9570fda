//! Policies of Cilium, and NetworkPolicies of Kubernetes as Cilium enforces them.
//!
//! Speaks for the releases 1.15 to 1.18 in the enforcement mode `default`, with all pods managed by Cilium. *Source*: Cilium, "Layer 3 Policies",
//! "Layer 4 Policies", "Deny Policies", "Policy Enforcement Modes", "Using Kubernetes Constructs in Policy"; cilium/cilium,
//! `pkg/k8s/apis/cilium.io/utils`, `pkg/policy`. Cilium judges by who somebody is and not by an address: a range matches no pod.

mod kubernetes;
mod manifest;
mod meaning;
mod message;
mod object;
mod selector;

pub use self::meaning::{Input, Settings, enforcement, mentions};
pub use self::object::{End, Kind, Policy, Rule, Side};
pub(crate) use self::selector::{ACCOUNT, NAMESPACE, OF_NAMESPACE};
pub(crate) use crate::engines::cilium::manifest::MOST;
pub use crate::engines::cilium::manifest::read_policies;
