//! The DaemonSets of `deploy/` on nodes with a real containerd: the image of `make packages` is imported, and the manifests are run
//! as they are (`make test-packages`).

mod cleaned;
mod graduated;
mod host;
mod image;
mod install;
mod interlock;
mod manifests;
mod removal;
mod rights;
mod running;
mod settings;

use std::process::ExitCode;

use anyhow::Result;
use lab::build::preflight::{CONTAINERD, NODES, Need, PLUGINS};

/// What a node with pods needs.
pub(crate) const NEEDS: &[&[Need]] = &[NODES, PLUGINS, CONTAINERD];
fn main() -> Result<ExitCode> {
    lab::build::preflight::main(|| {
        let trials = [
            manifests::trials(),
            image::trials(),
            install::trials(),
            settings::trials(),
            rights::trials(),
            interlock::trials(),
            removal::trials(),
            cleaned::trials(),
            graduated::trials(),
            host::trials(),
        ];
        trials.into_iter().flatten().collect()
    })
}
