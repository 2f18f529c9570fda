//! Options of the commands that an image build runs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use types::node::Mode;
use types::policy::Phase;

use super::words;

/// What an image is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Image {
    /// Both networks, and the plugin that chooses between them.
    Migration,
    /// The new network alone: no plugin, no policy.
    Final,
}

/// Options of `bake`.
#[derive(Debug, Args)]
#[command(before_help = "Example: an image for the way from Calico to Cilium\n  \
                   crossfade-bootstrap bake --image migration --old calico --new cilium --dry-run")]
pub struct Bake {
    /// What the image is for.
    #[arg(long, value_enum)]
    pub image: Image,
    /// The CNI to leave, in a migration image: a profile's name, or `generic` with --old-conf.
    #[arg(long, value_name = "CNI")]
    pub old: Option<String>,
    /// The CNI to go to: a profile's name, or `generic` with --new-conf.
    #[arg(long, value_name = "CNI")]
    pub new: Option<String>,
    /// The old CNI's conf; alternatives in their order [default: its profile's, in the usual directory].
    #[arg(long = "old-conf", value_name = "FILE")]
    pub old_conf: Vec<PathBuf>,
    /// The new CNI's conf; alternatives in their order [default: its profile's, in the usual directory].
    #[arg(long = "new-conf", value_name = "FILE")]
    pub new_conf: Vec<PathBuf>,
    /// Addresses of the old network's pods; may be given more than once.
    #[arg(long = "old-cidr", value_name = "CIDR")]
    pub old_cidrs: Vec<String>,
    /// Addresses of the new network's pods; may be given more than once.
    #[arg(long = "new-cidr", value_name = "CIDR")]
    pub new_cidrs: Vec<String>,
    /// Which network a node of a migration image gives its pods: old, both-old, both-new or new [default: new].
    #[arg(long, value_parser = super::phase)]
    pub phase: Option<Phase>,
    /// A label that kubelet registers the Node with, KEY=VALUE; may be given more than once.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub labels: Vec<String>,
    /// A taint that kubelet registers the Node with, KEY[=VALUE]:EFFECT; may be given more than once.
    #[arg(long = "taint", value_name = "TAINT")]
    pub taints: Vec<String>,
    /// Without the label and the taint that a migration to this CNI usually has.
    #[arg(long)]
    pub bare: bool,
    /// Where the runtime of a migration image is to read confs [default: private].
    #[arg(long, value_parser = words::mode())]
    pub mode: Option<Mode>,
    /// A whole policy, instead of one made of the options above.
    #[arg(long = "from-policy", value_name = "FILE", conflicts_with_all = ["old", "new", "old_conf", "new_conf", "old_cidrs", "new_cidrs", "phase"])]
    pub from_policy: Option<PathBuf>,
    /// A whole node.json, instead of one made of the options above.
    #[arg(long = "from-node", value_name = "FILE", conflicts_with_all = ["labels", "taints", "bare", "mode"])]
    pub from_node: Option<PathBuf>,
}

/// Options of `seal`.
#[derive(Debug, Args)]
#[command(before_help = "Example: what keeps this machine from being a golden image, then clean it\n  \
                   crossfade-bootstrap seal --check\n  crossfade-bootstrap seal")]
pub struct Seal {
    /// Only look; exit status 3 when anything would be removed or refused.
    #[arg(long)]
    pub check: bool,
    /// Something that may stay: an absolute path, with `*` for what is between two slashes; may be given more than once.
    #[arg(long = "allow", value_name = "PATH")]
    pub allowed: Vec<String>,
    /// The same from a file, one path a line, `#` begins a comment; may be given more than once.
    #[arg(long = "allow-file", value_name = "FILE")]
    pub allow_files: Vec<PathBuf>,
}

/// Options of `selftest`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: the last look at an image, before it is made\n  crossfade-bootstrap selftest --image"
)]
pub struct Selftest {
    /// The machine is an image that is being built: nothing of a boot is expected.
    #[arg(long)]
    pub image: bool,
}
