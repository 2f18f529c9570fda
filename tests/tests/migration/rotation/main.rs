//! Rotations for real (`make demo-rotation`): nodes without Crossfade are replaced by machines that boot the images which Packer has
//! made, and these by machines of the final image or by nodes of the earlier one. Kubernetes, containerd, systemd and package are real; the lab's own
//! overlays stand in for both networks. A loop drains and deletes, and asks `kubectl crossfade permit` before. All pods probe each other throughout.

mod company;
mod rotation;
mod world;

use std::process::ExitCode;

use anyhow::Result;
use lab::build::preflight::{BOOT, CONTAINERD, DNS, NODES, Need, PLUGINS};

const NEEDS: &[&[Need]] =
    &[NODES, PLUGINS, CONTAINERD, DNS, BOOT, &[Need::Program("packer"), Need::Program("ssh-keygen")]];

fn main() -> Result<ExitCode> {
    // A lab has one control plane.
    lab::build::preflight::main_in_turn(|| {
        lab::trials_of![
            NEEDS;
            rotation::a_loop_replaces_every_node_by_the_migration_image_and_then_by_the_final_one,
            rotation::a_loop_goes_back_to_the_earlier_image_in_mid_rotation,
        ]
    })
}
