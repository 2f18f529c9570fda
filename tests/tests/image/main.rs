//! Images that Packer makes of a Debian with the bundle of `packer/`, and machines that boot from them: real systemd, containerd and
//! package; stand-ins for kubelet and for the agents of two CNIs.

mod boots;
mod built;
mod bundle;
mod faults;
mod finals;
mod node;
mod removed;

use std::process::ExitCode;

use anyhow::Result;
use lab::preflight::{BOOT, CONTAINERD, Need};
use libtest_mimic::Arguments;

/// What an image and a machine of it need.
pub(crate) const NEEDS: &[&[Need]] =
    &[CONTAINERD, BOOT, &[Need::Program("packer"), Need::Program("ssh-keygen")]];

fn main() -> Result<ExitCode> {
    lab::isolate::enter()?;
    let arguments = Arguments::from_args();
    // The first ones make the two images that all others boot.
    let mut trials = built::trials();
    for more in [boots::trials(), removed::trials(), finals::trials(), faults::trials(), bundle::trials()] {
        trials.extend(more);
    }
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}
