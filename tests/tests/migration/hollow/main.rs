//! `kubectl crossfade roll` on a real control plane with hollow nodes: more nodes than a machine has room for kubelets (`make test-kubernetes`).

mod roll;
mod rotation;

use std::process::ExitCode;

use anyhow::Result;

fn main() -> Result<ExitCode> {
    // A lab has one control plane.
    lab::build::preflight::main_in_turn(|| roll::trials().into_iter().chain(rotation::trials()).collect())
}
