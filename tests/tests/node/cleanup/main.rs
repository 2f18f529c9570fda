//! `crossfade-bootstrap cleanup` against a real kernel: real iptables in both back ends, nft, ipset, interfaces, routes and rules, each case on a
//! node of its own, which is a network namespace. What CNIs leave is made as they make it, beside others' rules and names that are nearly
//! theirs. The reference is always the same node before the CNI came.

mod interrupted;
mod leavings;
mod node;
mod refused;
mod removed;

use std::process::ExitCode;

use anyhow::Result;
use lab::build::preflight::{LEAVINGS, NODES, Need, PLUGINS, TRACE};
use libtest_mimic::Arguments;

const NEEDS: &[&[Need]] = &[NODES, LEAVINGS];
/// For cases with a real plugin.
const PORTS: &[&[Need]] = &[NODES, PLUGINS, LEAVINGS];
/// For cases that are killed at a system call.
const STRACE: &[&[Need]] = &[NODES, LEAVINGS, TRACE];

fn main() -> Result<ExitCode> {
    lab::host::isolate::enter()?;
    let mut arguments = Arguments::from_args();
    // The files of a CNI have one place each.
    arguments.test_threads = Some(1);
    let topics = [removed::trials(), refused::trials(), interrupted::trials()];
    Ok(libtest_mimic::run(&arguments, topics.into_iter().flatten().collect()).exit_code())
}
