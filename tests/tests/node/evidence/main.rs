//! Ready before the datapath: what an ADD goes by after a reboot, while the agent is down, for every profile; and who keeps the file
//! that stands for what an ADD cannot ask.

mod keeper;
mod profiles;

use std::process::ExitCode;

use anyhow::Result;
use lab::build::preflight::{CONTAINERD, NODES, Need, PLUGINS};
use lab::host::command;
use lab::host::node::Node;
use lab::install::person;

const NEEDS: &[&[Need]] = &[NODES, PLUGINS, CONTAINERD];

fn main() -> Result<ExitCode> {
    lab::build::preflight::main(|| {
        let mut trials = lab::trials_of![
            &[NODES];
            profiles::an_add_after_a_reboot_waits_for_the_evidence_of_its_profile,
            profiles::a_policy_without_probes_makes_no_pod_wait_before_the_next_boot,
        ];
        trials.extend(lab::trials_of![
            NEEDS;
            keeper::no_pod_waits_for_a_file_that_no_watch_keeps,
            keeper::an_agent_that_listens_on_ipv6_alone_is_found,
            keeper::an_agent_that_speaks_https_is_asked_by_watch,
            keeper::an_agent_that_speaks_grpc_is_asked_by_watch_where_it_listens,
            keeper::an_agent_gets_the_header_that_its_profile_names,
        ]);
        trials
    })
}

/// Runs the node's program; its exit status and all that it said.
fn bootstrap(node: &Node, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    command::status_and_text(&mut person::bootstrap(node, arguments)?)
}
