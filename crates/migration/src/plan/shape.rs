//! What no type says of a plan.

use std::collections::BTreeSet;

use super::{Bridge, Plan};

/// Checks that a plan does not contradict itself.
///
/// # Errors
/// What does not fit, by its key.
pub(super) fn check(plan: &Plan) -> Result<(), String> {
    if plan.passes.is_empty() {
        return Err("passes: expected a phase, found nothing".into());
    }
    let mut nodes = BTreeSet::new();
    let mut waves = BTreeSet::new();
    for wave in &plan.waves {
        if wave.at_once == 0 {
            return Err(format!("wave {}: atOnce: expected at least 1, found 0", wave.name));
        }
        if !waves.insert(&wave.name) {
            return Err(format!("waves: {} is there twice; expected it once", wave.name));
        }
        if let Some(twice) = wave.nodes.iter().find(|planned| !nodes.insert(&planned.name)) {
            return Err(format!(
                "wave {}: node {} is in the plan twice; expected it once",
                wave.name, twice.name
            ));
        }
    }
    if let Some(twice) = plan.left_out.iter().find(|excluded| !nodes.insert(&excluded.name)) {
        return Err(format!("leftOut: node {} is in the plan twice; expected it once", twice.name));
    }
    let mut gates = BTreeSet::new();
    if let Some(twice) = plan.gates.iter().find(|gate| !gates.insert(gate.name.as_str())) {
        return Err(format!("gates: {} is there twice; expected it once", twice.name));
    }
    match &plan.bridge {
        Some(Bridge::Gate(name)) if !gates.contains(name.as_str()) => {
            Err(format!("bridge.gate: expected a gate of the plan, found {name:?}"))
        }
        _ => Ok(()),
    }
}
