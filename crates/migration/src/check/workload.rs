//! Checks of workloads that have to move, and of what keeps their pods in place.

pub(super) mod budgets;
pub(super) mod capacity;
pub(super) mod drains;
pub(super) mod evictions;
pub(super) mod evictors;
pub(super) mod reachability;
pub(super) mod resources;
pub(super) mod stateful;
pub(super) mod volumes;
pub(super) mod webhooks;
