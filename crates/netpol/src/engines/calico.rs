//! Policies of Calico: tiers, order, its selectors, network sets and host endpoints.
//!
//! Speaks for the open-source releases 3.26 to 3.31. *Source*: Calico, "Resource definitions" (Network policy, Global network policy, Tier, Network
//! set, Host endpoint); projectcalico/calico, `libcalico-go/lib/selector` and `felix/calc`.

mod entity;
mod manifest;
mod meaning;
mod object;
mod peers;
mod rules;
mod selector;

pub use self::manifest::{read_host_endpoint, read_policy, read_set, read_tier};
pub use self::meaning::{Input, enforcement, mentions};
pub(crate) use self::meaning::{is_after_kubernetes, is_among_kubernetes, name_policy, sort_tiers};
pub use self::object::{
    Entity, HostEndpoint, Message, NetworkSet, Order, Policy, Port, Protocol, Rule, RuleAction, Set, Tier,
};
pub use self::rules::{RefusedRule, read_rules};
pub use self::selector::{parse, parse_for_namespaces};
