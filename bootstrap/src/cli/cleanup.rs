//! Options of `cleanup`.

use std::path::PathBuf;

use clap::Args;

use super::options::{Global, InService, absolute_path_parser};

/// Options of `cleanup`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: list what Flannel has left on this node, then remove it\n  crossfade-bootstrap cleanup flannel\n  crossfade-bootstrap cleanup flannel --apply",
    after_help = "Exit status: 0 done, or listed; 1 a removal failed; 2 no CNI is known by this name; 3 something still needs the network, \
                  something is still there, or a reboot is required; 75 another clean-up runs; 78 the policy, node.json or the profile is invalid."
)]
pub struct Cleanup {
    /// The CNI whose leavings are removed, by the name of its profile: antrea, aws-vpc, calico, cilium or flannel, or one that has a file
    /// in /etc/crossfade/profiles.
    #[arg(value_name = "PROFILE")]
    pub profile: String,
    /// Carry out what the command lists without this option.
    #[arg(long)]
    pub apply: bool,
    /// Read the living sandboxes from FILE instead of asking the runtime, to tell whose published ports and addresses are left. FILE is a
    /// JSON list of {"containerID":".."}.
    #[arg(long, value_name = "FILE", value_parser = absolute_path_parser())]
    pub listed: Option<PathBuf>,
    /// A directory with CNI plugins; repeat the option for more [default: the runtime's directories, else those of /opt/cni/bin and
    /// /usr/lib/cni that exist].
    #[arg(long = "bin-dir", value_name = "DIR", value_parser = absolute_path_parser())]
    pub bin_dirs: Vec<PathBuf>,
    /// The node.
    #[command(flatten)]
    pub node: InService,
}

impl Cleanup {
    pub(super) fn global(&self, all: Global) -> Global {
        self.node.global(all, self.apply)
    }
}
