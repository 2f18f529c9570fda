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
use lab::build::preflight::{BOOT, CONTAINERD, Need};

/// What an image and a machine of it need.
pub(crate) const NEEDS: &[&[Need]] =
    &[CONTAINERD, BOOT, &[Need::Program("packer"), Need::Program("ssh-keygen")]];

fn main() -> Result<ExitCode> {
    lab::build::preflight::main(|| {
        // The first ones make the two images that all others boot.
        let trials = [
            built::trials(),
            boots::trials(),
            removed::trials(),
            finals::trials(),
            faults::trials(),
            bundle::trials(),
        ];
        trials.into_iter().flatten().collect()
    })
}
