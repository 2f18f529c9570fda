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

const NEEDS: &[&[Need]] = &[NODES, LEAVINGS];
/// For cases with a real plugin.
const PORTS: &[&[Need]] = &[NODES, PLUGINS, LEAVINGS];
/// For cases that are killed at a system call.
const STRACE: &[&[Need]] = &[NODES, LEAVINGS, TRACE];

fn main() -> Result<ExitCode> {
    // The files of a CNI have one place each.
    lab::build::preflight::main_in_turn(|| {
        [removed::trials(), refused::trials(), interrupted::trials()].into_iter().flatten().collect()
    })
}
