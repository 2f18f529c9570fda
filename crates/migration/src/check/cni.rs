//! Checks of both CNIs: their settings, agents, features and policies.

pub(super) mod chaining;
pub(super) mod cilium_nodes;
pub(super) mod distribution;
pub(super) mod features;
pub(super) mod fence;
pub(super) mod join;
pub(super) mod meaning;
pub(super) mod network_condition;
pub(super) mod plugins;
pub(super) mod policies;
pub(super) mod requirements;
pub(super) mod strategy;
pub(super) mod values;
