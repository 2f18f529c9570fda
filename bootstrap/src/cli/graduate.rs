//! Options of `graduate`.

use std::path::PathBuf;

use clap::Args;
use shim::node::layout::RUNTIME_CACHE;

use super::options::{Global, InService, absolute_path_parser};

/// Options of `graduate`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: list what leaving this node takes, then leave it\n  crossfade-bootstrap graduate\n  crossfade-bootstrap graduate --apply",
    after_help = "Exit status: 0 done, or listed; 1 a step failed; 3 something stands in the way, or the new network failed and Crossfade's \
                  conf is back; 75 something has to end first, run the same command again; 78 the policy or node.json is invalid."
)]
pub struct Graduate {
    /// Carry out what the command lists without this option.
    #[arg(long)]
    pub apply: bool,
    /// With --apply, while something stands in the way or has to end first, print what it is and try again, until the process is ended.
    #[arg(long, requires = "apply")]
    pub wait: bool,
    /// A directory with CNI plugins; repeat the option for more [default: the runtime's directories, else those of /opt/cni/bin and
    /// /usr/lib/cni that exist].
    #[arg(long = "bin-dir", value_name = "DIR", value_parser = absolute_path_parser())]
    pub bin_dirs: Vec<PathBuf>,
    /// The runtime's cache of CNI results.
    #[arg(long, value_name = "DIR", default_value = RUNTIME_CACHE, value_parser = absolute_path_parser())]
    pub cache_dir: PathBuf,
    /// The node.
    #[command(flatten)]
    pub node: InService,
}

impl Graduate {
    pub(super) fn global(&self, all: Global) -> Global {
        self.node.global(all, self.apply)
    }
}
