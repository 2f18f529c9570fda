//! Options of the commands of a node's boot and of `watch`, most of which systemd runs.

use std::path::PathBuf;

use clap::Args;
use types::policy::Side;

use super::options::{DryRun, Global, Host, Installation, PolicyFile, StateDirs, Tree, absolute_path_parser};
use super::words;

/// Options of `boot`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: list what the next boot would change\n  crossfade-bootstrap unit boot --dry-run",
    after_help = "Exit status: 0 the node is prepared, 1 a change failed, 3 something stands in the way, 75 run boot again, \
                  78 the policy or node.json is missing or invalid."
)]
pub struct Boot {
    #[command(flatten)]
    state: StateDirs,
    #[command(flatten)]
    policy: PolicyFile,
    #[command(flatten)]
    tree: Tree,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Boot {
    pub(super) fn global(&self, all: Global) -> Global {
        all.state(&self.state).policy(&self.policy).root(&self.tree.root).dry_run(&self.dry_run)
    }
}

/// Options of `gate`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: list what would keep kubelet from starting now\n  crossfade-bootstrap unit gate --dry-run",
    after_help = "Exit status: 0 kubelet may start, 3 a check fails, 75 run the gate again, 78 the policy or node.json is missing or invalid."
)]
pub struct Gate {
    #[command(flatten)]
    state: StateDirs,
    #[command(flatten)]
    policy: PolicyFile,
    #[command(flatten)]
    tree: Tree,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Gate {
    pub(super) fn global(&self, all: Global) -> Global {
        all.state(&self.state).policy(&self.policy).root(&self.tree.root).dry_run(&self.dry_run)
    }
}

/// Options of `render`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: check the labels and taints of node.json in an image build\n  crossfade-bootstrap unit render --check",
    after_help = "Exit status: 0 done, 2 an argument is wrong, 3 --check found something that kubelet or the API server would reject, \
                  75 a file that kubelet needs is missing, 78 node.json is invalid."
)]
pub struct Render {
    /// Write the flags of the runtime, not those of kubelet.
    #[arg(long, conflicts_with_all = ["check", "print"])]
    pub runtime: bool,
    /// Write nothing. Check the labels and taints against the rules of kubelet and of the API server.
    #[arg(long)]
    pub check: bool,
    /// Write nothing. Print the labels and taints as settings of PLATFORM, such as eksctl or talos, for nodes whose kubelet Crossfade
    /// does not configure.
    #[arg(long, value_name = "PLATFORM", conflicts_with = "check")]
    pub print: Option<String>,
    #[command(flatten)]
    tree: Tree,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Render {
    pub(super) fn global(&self, all: Global) -> Global {
        all.root(&self.tree.root).dry_run(&self.dry_run)
    }
}

/// Options of `watch`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: list what one pass would change\n  crossfade-bootstrap unit watch --once --dry-run",
    after_help = "Exit status: 0 ended by a signal, or with --once the node is ready; 3 Crossfade is switched off or this node has no plugin of \
                  it, or with --once the node is not ready; 75 another watch runs on this node."
)]
pub struct Watch {
    /// Make one pass over the node, and end.
    #[arg(long)]
    pub once: bool,
    /// Run in a pod. watch then starts no systemd units, and only observes while crossfade-watch.service or another watch runs on the node.
    #[arg(long, conflicts_with = "once")]
    pub pod: bool,
    #[command(flatten)]
    installation: Installation,
    #[command(flatten)]
    tree: Tree,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Watch {
    pub(super) fn global(&self, all: Global) -> Global {
        all.installation(&self.installation).root(&self.tree.root).dry_run(&self.dry_run)
    }
}

/// Options of `retract`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: show what would be removed from the Node\n  crossfade-bootstrap unit retract --dry-run",
    after_help = "Exit status: 0 done, 3 Crossfade is in use on this node, 75 watch runs, or the API server did not answer in time."
)]
pub struct Retract {
    /// State that Crossfade was removed from this node by hand.
    #[arg(long)]
    pub removed: bool,
    /// How long to try, in seconds.
    #[arg(long = "timeout", value_name = "SECONDS", default_value_t = 20)]
    pub timeout_secs: u64,
    #[command(flatten)]
    tree: Tree,
    #[command(flatten)]
    host: Host,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Retract {
    pub(super) fn global(&self, all: Global) -> Global {
        all.root(&self.tree.root).host(&self.host).dry_run(&self.dry_run)
    }
}

/// Options of `explain`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: explain what the first boot of a mounted image would do\n  crossfade-bootstrap image explain --root /mnt/image",
    after_help = "Exit status: 0 nothing stands in the way, 3 something does, 78 the policy or node.json is missing or invalid."
)]
pub struct Explain {
    #[command(flatten)]
    state: StateDirs,
    #[command(flatten)]
    policy: PolicyFile,
    #[command(flatten)]
    tree: Tree,
    #[command(flatten)]
    host: Host,
}

impl Explain {
    pub(super) fn global(&self, all: Global) -> Global {
        all.state(&self.state).policy(&self.policy).root(&self.tree.root).host(&self.host)
    }
}

/// Options of `prove`.
#[derive(Debug, Args)]
#[command(before_help = "Example:\n  crossfade-bootstrap unit prove new")]
pub struct Prove {
    /// The network: old or new.
    #[arg(value_parser = words::side)]
    pub network: Side,
    /// The number of the agent's start that watch asks about; the result repeats it.
    #[arg(long, default_value_t = 0)]
    pub turn: u64,
    /// A directory with CNI plugins; repeat the option for more [default: those of /opt/cni/bin and /usr/lib/cni that exist].
    #[arg(long = "bin-dir", value_name = "DIR", value_parser = absolute_path_parser())]
    pub bin_dirs: Vec<PathBuf>,
    /// How long packets that do not pass yet are sent again, in seconds.
    #[arg(long = "within", value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub timeout: u64,
    #[command(flatten)]
    installation: Installation,
    #[command(flatten)]
    tree: Tree,
}

impl Prove {
    pub(super) fn global(&self, all: Global) -> Global {
        all.installation(&self.installation).root(&self.tree.root)
    }
}

/// Options of `place`.
#[derive(Debug, Args)]
#[command(before_help = "Example:\n  crossfade-bootstrap unit place --bin-dir /opt/cni/bin")]
pub struct Place {
    /// A directory in which the runtime looks for plugins; repeat the option for more.
    #[arg(long = "bin-dir", value_name = "DIR", required = true, value_parser = absolute_path_parser())]
    pub bin_dirs: Vec<PathBuf>,
    #[command(flatten)]
    tree: Tree,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Place {
    pub(super) fn global(&self, all: Global) -> Global {
        all.root(&self.tree.root).dry_run(&self.dry_run)
    }
}
