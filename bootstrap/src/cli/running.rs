//! Options of the commands that inspect a running node, and of `sweep`.

use std::path::PathBuf;

use clap::Args;
use convergence::doctor::decide::CATALOG;
use types::command::rule::Explanation;

use super::Endpoint;
use super::options::{DryRun, Global, HiddenTree, Host, Installation, Tree, absolute_path_parser};

/// The longest record of connections: a week.
const MAX_SECONDS: u64 = 7 * 24 * 60 * 60;

/// Options of `attachments`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: list the pods that are still on the old network alone\n  crossfade-bootstrap attachments --on old\n\nExample: record the flows of an hour for kubectl crossfade policies observe\n  crossfade-bootstrap attachments --connections --for 3600 > flows.txt",
    after_help = "Exit status: 0 done, 1 the records or the kernel's connections cannot be read, 3 --connections in a pod without the node's network, 75 --leaks needs the runtime, which does not answer, 78 a settings file cannot be used."
)]
pub struct List {
    /// List only the attachments that were made in the phase PHASE (old, both-old, both-new, new), or that have the network NAME. In a phase
    /// that the node has left, these are its stragglers.
    #[arg(long = "on", value_name = "PHASE|NAME")]
    pub selection: Option<String>,
    /// List also what is left of attachments that ended: records and inventory entries whose sandbox the runtime does not list for longer
    /// than the policy's grace, and leases of containers that are unknown. Asks the runtime.
    #[arg(long)]
    pub leaks: bool,
    /// List also the ledger: attachments that ended without the confirmation of their network.
    #[arg(long)]
    pub ledger: bool,
    /// Print instead the connections of these pods that the kernel tracks (conntrack), as lines that kubectl crossfade policies observe --flows
    /// reads. The pods' addresses are those of the records and of the inventory. Needs CAP_NET_ADMIN.
    #[arg(long, conflicts_with_all = ["selection", "leaks", "ledger", "root"])]
    pub connections: bool,
    /// Print also the connections that begin within the next SECONDS, as they come.
    #[arg(long = "for", value_name = "SECONDS", requires = "connections", value_parser = clap::value_parser!(u64).range(1..=MAX_SECONDS))]
    pub seconds: Option<u64>,
    /// The runtime.
    #[command(flatten)]
    pub runtime: Endpoint,
    #[command(flatten)]
    installation: Installation,
    #[command(flatten)]
    tree: Tree,
    #[command(flatten)]
    host: Host,
}

impl List {
    pub(super) fn global(&self, all: Global) -> Global {
        all.installation(&self.installation).root(&self.tree.root).host(&self.host)
    }
}

/// Options of `doctor`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: find out what is wrong with this node, and how to mend it\n  crossfade-bootstrap doctor",
    after_help = "Exit status: 0 nothing is wrong, 3 something is wrong.\n\ndocs/troubleshooting.md has the words of --explain for every code."
)]
pub struct Doctor {
    /// Print what a finding's code means, and look at no node.
    #[arg(long, value_name = "CODE", value_parser = CATALOG, hide_possible_values = true, conflicts_with_all = ["runtime_endpoint",
        "conf_dir", "state_dir", "run_dir", "policy", "root", "host"])]
    pub explain: Option<Explanation>,
    /// The runtime.
    #[command(flatten)]
    pub runtime: Endpoint,
    #[command(flatten)]
    installation: Installation,
    #[command(flatten)]
    tree: Tree,
    #[command(flatten)]
    host: Host,
}

impl Doctor {
    pub(super) fn global(&self, all: Global) -> Global {
        all.installation(&self.installation).root(&self.tree.root).host(&self.host)
    }
}

/// Options of `sweep`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: list what a sweep would do, then sweep\n  crossfade-bootstrap unit sweep --dry-run\n  crossfade-bootstrap unit sweep",
    after_help = "Exit status: 0 done, 1 a DEL failed, 75 the runtime does not answer, 78 the policy is missing or invalid."
)]
pub struct Sweep {
    /// Read the living sandboxes from FILE instead of asking the runtime. FILE is a JSON list of {"containerID":"..","ifname":"eth0"};
    /// without ifname, an entry means all interfaces of the container. Every attachment that FILE does not list counts as gone, also if
    /// the list is empty.
    #[arg(long, value_name = "FILE", value_parser = absolute_path_parser())]
    pub listed: Option<PathBuf>,
    /// Sweep again every SECONDS seconds until the process is ended, as in a pod.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub every: Option<u64>,
    /// A directory with CNI plugins; repeat the option for more [default: the runtime's directories, else those of /opt/cni/bin and
    /// /usr/lib/cni that exist].
    #[arg(long = "bin-dir", value_name = "DIR", value_parser = absolute_path_parser())]
    pub bin_dirs: Vec<PathBuf>,
    /// The runtime.
    #[command(flatten)]
    pub runtime: Endpoint,
    /// The number of the pass that watch has started; the result repeats it.
    #[arg(long, value_name = "NUMBER", hide = true)]
    pub turn: Option<u64>,
    #[command(flatten)]
    installation: Installation,
    #[command(flatten)]
    tree: HiddenTree,
    #[command(flatten)]
    host: Host,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Sweep {
    pub(super) fn global(&self, all: Global) -> Global {
        all.installation(&self.installation).root(&self.tree.root).host(&self.host).dry_run(&self.dry_run)
    }
}

/// Options of `status`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: wait until new pods get the network that the policy names\n  crossfade-bootstrap status --wait --timeout 300",
    after_help = "Exit status: 0 the node is all right, 1 the state cannot be read, 3 it is not: watch does not run, a network that pods get is not ready, a DEL is owed for longer than the policy's grace, or there is another problem, or the node was not ready within the timeout, 78 the policy cannot be used."
)]
pub struct Status {
    /// Wait until watch reports that the node is ready. The command ends with exit status 3 after the timeout.
    #[arg(long)]
    pub wait: bool,
    /// How long --wait waits, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, requires = "wait")]
    pub timeout: u64,
    /// Print one line now, and one whenever the report of watch changes, until the process is ended.
    #[arg(long, conflicts_with = "wait")]
    pub follow: bool,
    /// Print only the report of watch, for a pod that has only /run/crossfade of its node. The command ends with exit status 3 unless
    /// the node is ready.
    #[arg(long, conflicts_with_all = ["wait", "follow"])]
    pub reported: bool,
    /// The runtime.
    #[command(flatten)]
    pub runtime: Endpoint,
    #[command(flatten)]
    installation: Installation,
    #[command(flatten)]
    tree: Tree,
    #[command(flatten)]
    host: Host,
}

impl Status {
    pub(super) fn global(&self, all: Global) -> Global {
        all.installation(&self.installation).root(&self.tree.root).host(&self.host)
    }
}
