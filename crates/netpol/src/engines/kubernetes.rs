//! NetworkPolicies of Kubernetes, as its API defines them.
//!
//! *Source*: `networking.k8s.io/v1`, the types' documentation; Kubernetes, "Network Policies". What the API leaves to the CNI is [`Blocks`].

mod meaning;
mod object;
mod selector;

pub use self::meaning::{Blocks, mentions, tier};
pub(crate) use self::meaning::{to_port, to_port_by_cluster};
pub use self::object::{Block, Peer, Policy, Port, PortNumber, Rule, read};
pub use self::selector::{LabelSelector, Requirement};
