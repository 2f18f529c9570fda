//! How long a plan takes, roughly. It is shown, and no part of the plan.

use super::{Plan, Wave};

/// Seconds from a node's claim until it is done: 2 for the claim, 15 for the flip, 90 until its pods have moved, and the rest for proofs and quiet.
pub const NODE_SECONDS: u64 = 180;

/// Seconds from the first node of the first pass to the last one of the last pass, if nothing waits for a person, a window or a budget.
#[must_use]
pub fn seconds(plan: &Plan) -> u64 {
    let nodes: u64 = plan.waves.iter().map(nodes).sum();
    let pass: u64 = plan.waves.iter().map(of_wave).sum();
    let pace = match u64::from(plan.limits.per_hour) {
        0 => 0,
        per_hour => nodes.saturating_mul(3600) / per_hour,
    };
    let passes = u64::try_from(plan.passes.len()).unwrap_or(u64::MAX);
    pass.max(pace).saturating_mul(passes)
}

fn nodes(wave: &Wave) -> u64 {
    u64::try_from(wave.nodes.len()).unwrap_or(u64::MAX)
}

fn of_wave(wave: &Wave) -> u64 {
    let rounds = nodes(wave).div_ceil(u64::from(wave.at_once.max(1)));
    rounds.saturating_mul(NODE_SECONDS).saturating_add(wave.soak_seconds.into())
}
