//! Walk-throughs of `docs/` on a real Kubernetes, each command as it is printed ([`lab::walk`]; `make test-cluster`).
//!
//! Three nodes on which nothing of Crossfade's is: what the pages are about begins there.

mod cilium;
mod finish;
mod flannel;
mod inplace;
mod migrations;
mod place;

use std::process::ExitCode;

use anyhow::Result;
use lab::build::preflight::{CONTAINERD, DNS, NODES, Need, PLUGINS};

const NEEDS: &[&[Need]] = &[NODES, PLUGINS, CONTAINERD, DNS];

fn main() -> Result<ExitCode> {
    lab::build::preflight::main_in_turn(|| {
        lab::trials_of![
            NEEDS;
            inplace::a_cluster_whose_nodes_stay_is_moved_as_the_page_says,
            migrations::two_migrations_are_made_as_the_page_says,
            finish::a_cluster_goes_the_whole_path_as_the_pages_say,
        ]
    })
}
