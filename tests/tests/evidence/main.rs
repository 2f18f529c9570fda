//! Ready before the datapath: what an ADD goes by after a reboot, while the agent is down, for every profile; and who keeps the file
//! that stands for what an ADD cannot ask.

mod keeper;
mod profiles;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use lab::node::Node;
use lab::person;
use lab::preflight::{CONTAINERD, NODES, Need, PLUGINS, trial};
use libtest_mimic::Arguments;

const NEEDS: &[&[Need]] = &[NODES, PLUGINS, CONTAINERD];
/// Tells what happens from what hangs.
const LIMIT: Duration = Duration::from_secs(60);

fn main() -> Result<ExitCode> {
    lab::isolate::enter()?;
    let arguments = Arguments::from_args();
    let trials = vec![
        trial(
            "an_add_after_a_reboot_waits_for_the_evidence_of_its_profile",
            &[NODES],
            profiles::an_add_after_a_reboot_waits_for_the_evidence_of_its_profile,
        ),
        trial(
            "a_policy_without_probes_makes_nobody_wait_before_the_next_boot",
            &[NODES],
            profiles::a_policy_without_probes_makes_nobody_wait_before_the_next_boot,
        ),
        trial(
            "nothing_waits_for_a_file_that_nobody_keeps",
            NEEDS,
            keeper::nothing_waits_for_a_file_that_nobody_keeps,
        ),
    ];
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

/// Runs the node's program; its exit status and all that it said.
fn bootstrap(node: &Node, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    person::said(&mut person::bootstrap(node, arguments)?)
}
