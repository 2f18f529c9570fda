//! Options of the commands that install Crossfade on a running node, and remove it.

use std::path::PathBuf;

use clap::Args;
use shim::node::layout::{PACKAGED_PLUGIN, RUNTIME_CACHE};
use types::node::{CniVersion, Mode};
use types::policy::Side;

use super::options::{DryRun, Global, HiddenTree, Host, Installation, absolute_path_parser, directory};
use super::{Endpoint, words};

/// Options of `install`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: list what an installation would change, then install\n  crossfade-bootstrap install --dry-run\n  \
                   crossfade-bootstrap install",
    after_help = "Exit status: 0 installed, 1 a change failed, 2 an argument is wrong, 3 something stands in the way, 75 the runtime has \
                  not confirmed the change, 78 the policy or node.json is missing or invalid."
)]
pub struct Install {
    /// The directory from which the runtime reads Crossfade's conf.
    #[arg(long, value_parser = words::mode(), default_value = Mode::Shared.as_str())]
    pub mode: Mode,
    /// The plugin to install.
    #[arg(long, value_name = "PATH", default_value = PACKAGED_PLUGIN, value_parser = absolute_path_parser())]
    pub plugin: PathBuf,
    /// A directory in which the runtime looks for plugins; repeat the option for more [default: the runtime's directories, else those of
    /// /opt/cni/bin and /usr/lib/cni that exist].
    #[arg(long = "bin-dir", value_name = "DIR", value_parser = absolute_path_parser())]
    pub bin_dirs: Vec<PathBuf>,
    /// The cniVersion of Crossfade's conf; where there is a node.json, the file decides, and another version is refused [default: the version
    /// of node.json, else of the installed conf, else 1.0.0].
    #[arg(long, value_parser = words::cni_version())]
    pub cni_version: Option<CniVersion>,
    /// Add attachments of NETWORK, which the policy does not name, to the inventory as `unrecorded`; repeat the option for more.
    #[arg(long = "accept-unknown", value_name = "NETWORK")]
    pub accepted: Vec<String>,
    /// Omit attachments of NETWORK from the inventory, because their DEL never reaches Crossfade; repeat the option for more.
    #[arg(long = "ignore-network", value_name = "NETWORK")]
    pub ignored: Vec<String>,
    /// Add sandboxes that the runtime's result cache does not know to the inventory, as attached to NETWORK (old or new) with interface
    /// eth0.
    #[arg(long, value_name = "NETWORK", value_parser = words::side)]
    pub uncached: Option<Side>,
    /// Omit this sandbox from the inventory although the runtime runs it, because the runtime's result cache does not know it; repeat the
    /// option for more.
    #[arg(long = "ignore-sandbox", value_name = "ID")]
    pub ignored_sandboxes: Vec<String>,
    /// Copy policy.json and node.json from DIR to /etc/crossfade first. A file there that install did not write stays, and the command
    /// reports it if its content differs.
    #[arg(long, value_name = "DIR", value_parser = directory())]
    pub bring: Option<PathBuf>,
    /// With --bring, also replace files that install did not write.
    #[arg(long, requires = "bring")]
    pub overwrite: bool,
    /// Also copy this program, the plugin and their systemd units to the node, and start crossfade-watch.service there. This option
    /// needs --host.
    #[arg(long)]
    pub units: bool,
    /// The runtime's cache of CNI results.
    #[arg(long, value_name = "DIR", default_value = RUNTIME_CACHE, value_parser = absolute_path_parser())]
    pub cache_dir: PathBuf,
    /// The runtime.
    #[command(flatten)]
    pub runtime: Endpoint,
    #[command(flatten)]
    installation: Installation,
    /// It is refused with the way to go on.
    #[command(flatten)]
    tree: HiddenTree,
    #[command(flatten)]
    host: Host,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Install {
    pub(super) fn global(&self, all: Global) -> Global {
        all.installation(&self.installation).root(&self.tree.root).host(&self.host).dry_run(&self.dry_run)
    }
}

/// Options of `uninstall`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: list what would be removed\n  crossfade-bootstrap uninstall --dry-run",
    after_help = "Exit status: 0 removed, 1 a change failed, 3 pods are still attached through Crossfade, 75 the runtime has not \
                  confirmed the change."
)]
pub struct Uninstall {
    /// Also remove the plugin and the empty state directories. CRI-O calls the plugin again for each of its sandboxes that began under
    /// Crossfade, so keep the plugin while such a sandbox exists.
    #[arg(long)]
    pub purge: bool,
    /// Also remove what install --bring and install --units copied to the node, and all remembered state except reports that have not been
    /// read yet.
    #[arg(long, requires = "purge")]
    pub brought: bool,
    /// While a pod is attached through Crossfade, print which one and try again, until the process is ended.
    #[arg(long)]
    pub wait: bool,
    /// A directory with the plugin; repeat the option for more [default: those of /opt/cni/bin and /usr/lib/cni that exist].
    #[arg(long = "bin-dir", value_name = "DIR", value_parser = absolute_path_parser())]
    pub bin_dirs: Vec<PathBuf>,
    /// The runtime.
    #[command(flatten)]
    pub runtime: Endpoint,
    #[command(flatten)]
    installation: Installation,
    #[command(flatten)]
    tree: HiddenTree,
    #[command(flatten)]
    host: Host,
    #[command(flatten)]
    dry_run: DryRun,
}

impl Uninstall {
    pub(super) fn global(&self, all: Global) -> Global {
        all.installation(&self.installation).root(&self.tree.root).host(&self.host).dry_run(&self.dry_run)
    }
}
