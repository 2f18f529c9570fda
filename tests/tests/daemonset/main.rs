//! The DaemonSets of `deploy/` on nodes with a real containerd: the image of `make packages` is imported, and the manifests are run
//! as they are (`make test-packages`).

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
use std::time::Duration;

use anyhow::Result;
use lab::preflight::{CONTAINERD, NODES, Need, PLUGINS};
use libtest_mimic::Arguments;

/// What a node with pods needs.
pub(crate) const NEEDS: &[&[Need]] = &[NODES, PLUGINS, CONTAINERD];
/// Tells what comes from what does not.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

fn main() -> Result<ExitCode> {
    lab::isolate::enter()?;
    let arguments = Arguments::from_args();
    let trials = [
        manifests::trials(),
        image::trials(),
        install::trials(),
        settings::trials(),
        rights::trials(),
        interlock::trials(),
        removal::trials(),
        host::trials(),
    ];
    Ok(libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit_code())
}
