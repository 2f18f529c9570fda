//! What a real Kubernetes makes of Crossfade on its nodes (`make test-cluster`).
//!
//! One cluster for all cases, started once: three nodes that booted with Crossfade, each with a real containerd, kubelet and kube-proxy.
//! The cases run one after the other, each in a namespace of its own, and leave the nodes in phase `old`.

mod life;
mod manifest;
mod phases;
mod registration;
mod restarts;
mod services;
mod world;

use std::process::ExitCode;

use anyhow::Result;
use lab::preflight::{CONTAINERD, DNS, NODES, Need, PLUGINS};
use libtest_mimic::Arguments;

const NEEDS: &[&[Need]] = &[NODES, PLUGINS, CONTAINERD, DNS];

fn main() -> Result<ExitCode> {
    lab::isolate::enter()?;
    let mut arguments = Arguments::from_args();
    // They flip the same nodes.
    arguments.test_threads = Some(1);
    let trials: Vec<_> =
        [phases::trials(), services::trials(), life::trials(), restarts::trials(), registration::trials()]
            .into_iter()
            .flatten()
            .collect();
    if !arguments.list {
        world::start()?;
    }
    let outcome = libtest_mimic::run(&arguments, trials).exit_code();
    world::end();
    Ok(outcome)
}
