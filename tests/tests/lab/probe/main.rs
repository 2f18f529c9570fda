//! The probe mesh: it counts every loss, and nothing else.

mod agents;
mod excuses;
mod lan;
mod losses;
mod watch;

use std::process::ExitCode;

use anyhow::Result;
use lab::build::preflight::{NODES, Need, trial};
use libtest_mimic::Arguments;

type Case = fn() -> Result<()>;

const NEEDS: &[&[Need]] = &[NODES];

fn main() -> Result<ExitCode> {
    lab::host::isolate::enter()?;
    let arguments = Arguments::from_args();
    let cases: [(&str, Case); 13] = [
        ("quiet_mesh_loses_nothing", losses::quiet_mesh_loses_nothing),
        ("cut_cable_loses_its_pairs_only", losses::cut_cable_loses_its_pairs_only),
        ("one_direction_is_told_from_the_other", losses::one_direction_is_told_from_the_other),
        ("answer_after_two_seconds_is_a_loss", losses::answer_after_two_seconds_is_a_loss),
        ("reset_connection_is_a_loss", losses::reset_connection_is_a_loss),
        ("another_pods_answer_does_not_count", losses::another_pods_answer_does_not_count),
        ("answer_comes_from_the_probed_address", losses::answer_comes_from_the_probed_address),
        ("retired_pod_is_excused", excuses::retired_pod_is_excused),
        ("retired_pod_excuses_no_other_pod", excuses::retired_pod_excuses_no_other_pod),
        ("phases_are_told_apart", excuses::phases_are_told_apart),
        ("dead_agent_is_an_error", agents::dead_agent_is_an_error),
        ("silent_agent_is_an_error", agents::silent_agent_is_an_error),
        ("stalled_agent_is_late_not_lossy", agents::stalled_agent_is_late_not_lossy),
    ];
    let trials = cases.map(|(name, case)| trial(name, NEEDS, case));
    Ok(libtest_mimic::run(&arguments, trials.into()).exit_code())
}
