//! Options of the commands that an image build runs.

use std::path::PathBuf;

use clap::Args;
use convergence::image::bake::Image;
use types::node::Mode;
use types::policy::Phase;

use super::options::{DryRun, Global, Host, Installation, Tree, absolute_path_parser};
use super::words;

/// Options of `bake`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: an image for a migration from Calico to Cilium\n  \
                   crossfade-bootstrap image bake --image migration --old calico --new cilium --dry-run",
    after_help = "Exit status: 0 done, 2 an argument is wrong, 3 a file in the image would override what bake writes, 78 the resulting \
                  policy or node settings are not valid."
)]
pub struct Bake {
    /// What the image is for.
    #[arg(long, value_enum)]
    pub image: Image,
    /// The CNI that a migration image moves pods from: the name of a profile such as calico, or `generic` with --old-conf.
    #[arg(long, value_name = "CNI")]
    pub old: Option<String>,
    /// The CNI that the image moves pods to: the name of a profile such as cilium, or `generic` with --new-conf.
    #[arg(long, value_name = "CNI")]
    pub new: Option<String>,
    /// The conf of the old CNI, as a path on the node; repeat the option for alternatives, the first that exists counts [default: the
    /// profile's conf in the runtime's directory].
    #[arg(long = "old-conf", value_name = "FILE")]
    pub old_conf: Vec<PathBuf>,
    /// The conf of the new CNI, as a path on the node; repeat the option for alternatives, the first that exists counts [default: the
    /// profile's conf in the runtime's directory].
    #[arg(long = "new-conf", value_name = "FILE")]
    pub new_conf: Vec<PathBuf>,
    /// A range of pod addresses of the old network; repeat the option for more.
    #[arg(long = "old-cidr", value_name = "CIDR")]
    pub old_cidrs: Vec<String>,
    /// A range of pod addresses of the new network; repeat the option for more.
    #[arg(long = "new-cidr", value_name = "CIDR")]
    pub new_cidrs: Vec<String>,
    /// The phase of a migration image, which decides the network of new pods: old, both-old, both-new or new [default: new].
    #[arg(long, value_parser = words::phase)]
    pub phase: Option<Phase>,
    /// A label that kubelet registers the Node with, as KEY=VALUE; repeat the option for more. Without crossfade/image among them, a migration image
    /// gets one with the digest of its content.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub labels: Vec<String>,
    /// A taint that kubelet registers the Node with, as KEY[=VALUE]:EFFECT; repeat the option for more.
    #[arg(long = "taint", value_name = "TAINT")]
    pub taints: Vec<String>,
    /// Register the taint readiness.k8s.io/crossfade:NoSchedule as well, which the Node Readiness Controller removes once CrossfadeReady is True.
    #[arg(long = "readiness-taint")]
    pub readiness_taint: bool,
    /// Report CrossfadeReady only while both networks of the policy are ready on the node: for a bridge, where both agents run on each node.
    #[arg(long = "require-all-networks")]
    pub require_all_networks: bool,
    /// Omit the label and the taint that the new CNI's own migration guide recommends.
    #[arg(long)]
    pub bare: bool,
    /// The directory from which the runtime of a migration image reads Crossfade's conf [default: private].
    #[arg(long, value_parser = words::mode())]
    pub mode: Option<Mode>,
    /// Use the policy in FILE, and not one made from the options above.
    #[arg(long = "from-policy", value_name = "FILE", value_parser = absolute_path_parser(), conflicts_with_all = ["old", "new", "old_conf", "new_conf", "old_cidrs", "new_cidrs", "phase"])]
    pub from_policy: Option<PathBuf>,
    /// Use the node settings in FILE, and not those made from the options above.
    #[arg(long = "from-node", value_name = "FILE", value_parser = absolute_path_parser(), conflicts_with_all = ["labels", "taints", "readiness_taint", "require_all_networks", "bare", "mode"])]
    pub from_node: Option<PathBuf>,
    #[command(flatten)]
    tree: Tree,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Bake {
    pub(super) fn global(&self, all: Global) -> Global {
        all.root(&self.tree.root).dry_run(&self.dry_run)
    }
}

/// Options of `seal`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: list what must not be in a golden image, then remove it\n  \
                   crossfade-bootstrap image seal --check\n  crossfade-bootstrap image seal",
    after_help = "Exit status: 0 the image is sealed; 2 an argument is wrong; 3 seal refuses something, or --check found something to \
                  remove; 78 a list of exceptions is invalid, and seal checked nothing."
)]
pub struct Seal {
    /// Change nothing. End with exit status 3 if seal would remove or refuse anything.
    #[arg(long)]
    pub check: bool,
    /// An exception: an absolute path that may stay, where `*` stands for any text between two slashes; repeat the option for more.
    #[arg(long = "allow", value_name = "PATH")]
    pub allowed: Vec<String>,
    /// A file of exceptions, one path per line; `#` begins a comment. Repeat the option for more.
    #[arg(long = "allow-file", value_name = "FILE", value_parser = absolute_path_parser())]
    pub allow_files: Vec<PathBuf>,
    #[command(flatten)]
    installation: Installation,
    #[command(flatten)]
    tree: Tree,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Seal {
    pub(super) fn global(&self, all: Global) -> Global {
        all.installation(&self.installation).root(&self.tree.root).dry_run(&self.dry_run)
    }
}

/// Options of `selftest`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: check an image at the end of its build\n  crossfade-bootstrap image selftest --image",
    after_help = "Exit status: 0 nothing failed, 3 at least one check failed."
)]
pub struct Selftest {
    /// Check an image that is being built, of which nothing has booted yet.
    #[arg(long)]
    pub image: bool,
    #[command(flatten)]
    installation: Installation,
    #[command(flatten)]
    tree: Tree,
    #[command(flatten)]
    host: Host,
}

impl Selftest {
    pub(super) fn global(&self, all: Global) -> Global {
        all.installation(&self.installation).root(&self.tree.root).host(&self.host)
    }
}
