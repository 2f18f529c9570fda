//! Options of the commands that put us onto a running node and take us away again.

use std::path::PathBuf;

use clap::Args;
use shim::layout::{PACKAGED_PLUGIN, RUNTIME_CACHE};
use types::node::{CniVersion, Mode};
use types::policy::Side;

use super::{Endpoint, words};

/// Options of `install`.
#[derive(Debug, Args)]
#[command(before_help = "Example:\n  crossfade-bootstrap install --dry-run")]
pub struct Install {
    /// Where the runtime is to read confs.
    #[arg(long, value_parser = words::mode(), default_value = Mode::Shared.as_str())]
    pub mode: Mode,
    /// The plugin to install.
    #[arg(long, value_name = "PATH", default_value = PACKAGED_PLUGIN)]
    pub plugin: PathBuf,
    /// Where the runtime looks for plugins; may be given more than once [default: what the runtime says, else those of
    /// /opt/cni/bin and /usr/lib/cni that exist].
    #[arg(long = "bin-dir", value_name = "DIR")]
    pub bin_dirs: Vec<PathBuf>,
    /// cniVersion of our conf [default: what it is, else 1.0.0].
    #[arg(long, value_parser = words::cni_version())]
    pub cni_version: Option<CniVersion>,
    /// List attachments of this network, which is none of the policy's, as `unrecorded`; may be given more than once.
    #[arg(long = "accept-unknown", value_name = "NETWORK")]
    pub accepted: Vec<String>,
    /// Leave attachments of this network out, for their DEL never comes here; may be given more than once.
    #[arg(long = "ignore-network", value_name = "NETWORK")]
    pub ignored: Vec<String>,
    /// List sandboxes that the runtime runs and its result cache does not know as attached to this network, old or new, with
    /// interface eth0.
    #[arg(long, value_name = "NETWORK", value_parser = super::side)]
    pub uncached: Option<Side>,
    /// Leave this sandbox out, which the runtime runs and its result cache does not know; may be given more than once.
    #[arg(long = "ignore-sandbox", value_name = "ID")]
    pub ignored_sandboxes: Vec<String>,
    /// Bring policy.json and node.json of this directory to /etc/crossfade first; a file there that is somebody else's is kept, and
    /// is a finding where it differs.
    #[arg(long, value_name = "DIR")]
    pub bring: Option<PathBuf>,
    /// With --bring: replace a file that is somebody else's.
    #[arg(long, requires = "bring")]
    pub overwrite: bool,
    /// Bring this program, the plugin and their units onto the node as well, and have its systemd run crossfade-watch.service; goes
    /// with --host.
    #[arg(long)]
    pub units: bool,
    /// The runtime's result cache.
    #[arg(long, value_name = "DIR", default_value = RUNTIME_CACHE)]
    pub cache_dir: PathBuf,
    /// The runtime.
    #[command(flatten)]
    pub runtime: Endpoint,
}

/// Options of `uninstall`.
#[derive(Debug, Args)]
#[command(before_help = "Example:\n  crossfade-bootstrap uninstall --dry-run")]
pub struct Uninstall {
    /// Remove the plugin and the empty state as well. CRI-O replays confs it has cached, so keep the plugin while a sandbox
    /// of our time lives.
    #[arg(long)]
    pub purge: bool,
    /// Remove what install --bring and --units brought as well, and all that was remembered but for what nobody has read yet.
    #[arg(long, requires = "purge")]
    pub brought: bool,
    /// While something is attached, say what and try again, without an end.
    #[arg(long)]
    pub wait: bool,
    /// Where the plugin is; may be given more than once [default: those of /opt/cni/bin and /usr/lib/cni that exist].
    #[arg(long = "bin-dir", value_name = "DIR")]
    pub bin_dirs: Vec<PathBuf>,
    /// The runtime.
    #[command(flatten)]
    pub runtime: Endpoint,
}
