//! Checks of nodes: their state, taints, labels, versions and what replaces them.

pub(super) mod disruption;
pub(super) mod labels;
pub(super) mod machines;
pub(super) mod nodes;
pub(super) mod platform;
pub(super) mod repair;
pub(super) mod taints;
pub(super) mod versions;
