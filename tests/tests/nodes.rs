//! Nodes, their fabric and the isolation around them.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use lab::fabric::Fabric;
use libtest_mimic::{Arguments, Trial};

fn main() -> Result<ExitCode> {
    lab::isolate::enter()?;
    let arguments = Arguments::from_args();
    let trials = vec![Trial::test("nodes_reach_each_other", || {
        nodes_reach_each_other().map_err(|e| format!("{e:#}").into())
    })];
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

fn nodes_reach_each_other() -> Result<()> {
    let fabric = Fabric::new(2)?;
    fabric.overlay("old", 1, 8472, "10.244")?;
    fabric
        .node(1)
        .run(&["busybox", "ping", "-c1", "-W2", "192.0.2.2"])?;
    ensure!(
        fabric
            .node(1)
            .run(&["busybox", "ping", "-c1", "-W1", "192.0.2.9"])
            .is_err()
    );
    Ok(())
}
