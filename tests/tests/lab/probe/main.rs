//! The probe mesh: it counts every loss, and nothing else.

mod agents;
mod excuses;
mod lan;
mod losses;
mod watch;

use std::process::ExitCode;

use anyhow::Result;
use lab::build::preflight::{NODES, Need};

const NEEDS: &[&[Need]] = &[NODES];

fn main() -> Result<ExitCode> {
    lab::build::preflight::main(|| {
        lab::trials_of![
            NEEDS;
            losses::quiet_mesh_loses_nothing,
            losses::cut_cable_loses_its_pairs_only,
            losses::one_direction_is_told_from_the_other,
            losses::answer_after_two_seconds_is_a_loss,
            losses::reset_connection_is_a_loss,
            losses::another_pods_answer_does_not_count,
            losses::answer_comes_from_the_probed_address,
            excuses::retired_pod_is_excused,
            excuses::retired_pod_excuses_no_other_pod,
            excuses::phases_are_told_apart,
            agents::dead_agent_is_an_error,
            agents::silent_agent_is_an_error,
            agents::stalled_agent_is_late_not_lossy,
        ]
    })
}
