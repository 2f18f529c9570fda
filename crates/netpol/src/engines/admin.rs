//! Policies of a cluster's administrators as Kubernetes defines them: ClusterNetworkPolicy, and the AdminNetworkPolicy and BaselineAdminNetworkPolicy
//! before it.
//!
//! Speaks for `policy.networking.k8s.io/v1alpha2` and `v1alpha1`. *Source*: kubernetes-sigs/network-policy-api, `apis/v1alpha2`, `apis/v1alpha1`.

mod meaning;
mod object;
mod older;

pub use self::meaning::{Input, enforcement, mentions};
pub use self::object::{Peer, Place, Policy, Port, Rule, RuleAction, read};
pub use self::older::{read_admin, read_baseline};
