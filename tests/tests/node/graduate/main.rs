//! `crossfade-bootstrap graduate` on a node with a real containerd and two networks of real plugins: living pods keep their network, their later
//! DELs reach their plugin with its own result, and the command goes on wherever it was killed.

mod handed;
mod interrupted;
mod node;
mod refused;
mod rolled_back;

use std::process::ExitCode;

use anyhow::Result;
use lab::build::preflight::{CONTAINERD, NODES, Need, PLUGINS, TRACE};
use libtest_mimic::Arguments;

const NEEDS: &[&[Need]] = &[NODES, PLUGINS, CONTAINERD];
/// For cases that are killed at a system call.
const STRACE: &[&[Need]] = &[NODES, PLUGINS, CONTAINERD, TRACE];

fn main() -> Result<ExitCode> {
    lab::host::isolate::enter()?;
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(2);
    let mut trials = lab::trials_of![
        NEEDS;
        handed::living_pods_keep_their_network_and_their_dels_reach_their_plugin,
        handed::the_ledger_stays_when_crossfade_is_uninstalled,
        refused::a_conf_that_crossfade_does_not_use_stays_in_front,
        refused::what_still_needs_crossfade_is_refused_with_the_way_on,
        rolled_back::where_the_first_add_fails_crossfade_s_conf_comes_back,
        rolled_back::a_pod_that_came_before_the_conf_was_back_is_crossfade_s,
    ];
    trials.extend(lab::trials_of![
        STRACE;
        interrupted::at_every_step_killed_and_resumed,
        interrupted::a_boot_between_two_steps_begins_anew,
    ]);
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}
