//! `kubectl crossfade roll` on a real control plane with hollow nodes: more nodes than a machine has room for kubelets (`make test-kubernetes`).

mod roll;
mod rotation;

use std::process::ExitCode;

use anyhow::Result;
use libtest_mimic::Arguments;

fn main() -> Result<ExitCode> {
    lab::host::isolate::enter()?;
    let mut arguments = Arguments::from_args();
    // A lab has one control plane.
    arguments.test_threads = Some(1);
    let trials = roll::trials().into_iter().chain(rotation::trials()).collect();
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}
