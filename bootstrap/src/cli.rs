//! The command line.

pub mod exit;
mod image;
mod install;
pub mod print;
mod words;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use shim::layout::CONF_DIR;
use types::policy::{Phase, Side};

pub use image::{Bake, Image, Seal, Selftest};
pub use install::{Install, Uninstall};

/// Crossfade on this node: install it under running pods, flip its policy, sweep up after it.
#[derive(Debug, Parser)]
#[command(
    name = "crossfade-bootstrap",
    version,
    before_help = "Example: see what installing would do here, then do it\n  \
                   crossfade-bootstrap install --dry-run\n  crossfade-bootstrap install",
    after_help = "Exit status: 0 done, 1 failed, 2 usage, 3 the answer is no (something stands in the way), \
                  75 try later, 78 bad settings."
)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// The runtime's conf directory.
    #[arg(long, global = true, value_name = "DIR", default_value = CONF_DIR)]
    pub conf_dir: PathBuf,
    /// Where records and inventory lie [default: what the installed conf names, else /var/lib/crossfade].
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Where locks and markers lie [default: what the installed conf names, else /run/crossfade].
    #[arg(long, global = true, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
    /// The policy [default: what the installed conf names, else the first policy.json in /etc/crossfade, /run/crossfade, /usr/lib/crossfade].
    #[arg(long, global = true, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// How to print.
    #[arg(long, global = true, value_enum, default_value_t = Output::Human)]
    pub output: Output,
    /// Print what would be changed, and change nothing.
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// A tree that is looked at instead of this node: an image that is being built (boot, render, gate, explain, bake, seal, selftest).
    #[arg(long, global = true, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// The node's root directory, where a pod has it mounted: the command works in there as if it were run on the node.
    #[arg(long, global = true, value_name = "DIR", conflicts_with = "root")]
    pub host: Option<PathBuf>,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Lines for people.
    Human,
    /// One JSON document with a version.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Install Crossfade on a node with running pods, without restarting them.
    Install(Install),
    /// Take the conf away again, once nothing is attached through it.
    Uninstall(Uninstall),
    /// The policy: who gives a pod its network.
    #[command(subcommand)]
    Policy(Policy),
    /// List what is attached.
    Attachments,
    /// Close what the runtime no longer lists, one pass.
    Sweep(Sweep),
    /// Phase, pods per network, what is owed, and what watch sees.
    Status(Status),
    /// Prepare this node before its runtime and kubelet start (crossfade-boot.service).
    Boot(Boot),
    /// Hold kubelet back until this node can come up right (kubelet's ExecStartPre).
    Gate(Gate),
    /// Write what kubelet, or the runtime, is told on its command line (their ExecStartPre).
    Render(Render),
    /// Guard the conf, follow readiness and report (crossfade-watch.service).
    Watch(Watch),
    /// Take back what this node said on its Node, once Crossfade takes no part here (crossfade-retract.service).
    Retract(Retract),
    /// Say what boot and render would do here, and why.
    Explain(Explain),
    /// Write an image's policy and node settings (image builds).
    Bake(Bake),
    /// Remove or refuse what must not be in a golden image (the last step of an image build).
    Seal(Seal),
    /// Say whether this machine, or an image of one, will come up right.
    Selftest(Selftest),
    /// Attach a scratch namespace to a network, check it and detach it (watch starts it as a unit of its own).
    #[command(hide = true)]
    Prove(Prove),
    /// Put the package's plugin where the runtime looks for it (watch starts it as a unit of its own).
    #[command(hide = true)]
    Place(Place),
}

/// Options of `status`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: wait until pods get the network that the policy names\n  crossfade-bootstrap status --wait --timeout 300"
)]
pub struct Status {
    /// Wait until watch says that the node is ready; exit status 3 when the time is over.
    #[arg(long)]
    pub wait: bool,
    /// How long to wait, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, requires = "wait")]
    pub timeout: u64,
    /// Print one line now and whenever what watch sees is another, without an end.
    #[arg(long, conflicts_with = "wait")]
    pub follow: bool,
    /// Say only what watch reports, for a pod that has nothing of the node but /run/crossfade; exit status 3 unless the node is ready.
    #[arg(long, conflicts_with_all = ["wait", "follow"])]
    pub reported: bool,
    /// The runtime.
    #[command(flatten)]
    pub runtime: Endpoint,
}

/// Options of `prove`.
#[derive(Debug, Args)]
#[command(before_help = "Example:\n  crossfade-bootstrap prove new")]
pub struct Prove {
    /// old or new.
    #[arg(value_parser = side)]
    pub network: Side,
    /// Which life of the network's agent is meant; the result repeats it.
    #[arg(long, default_value_t = 0)]
    pub turn: u64,
    /// Where plugins are; may be given more than once [default: those of /opt/cni/bin and /usr/lib/cni that exist].
    #[arg(long = "bin-dir", value_name = "DIR")]
    pub bin_dirs: Vec<PathBuf>,
}

/// Options of `place`.
#[derive(Debug, Args)]
#[command(before_help = "Example:\n  crossfade-bootstrap place --bin-dir /opt/cni/bin")]
pub struct Place {
    /// Where the runtime looks for plugins; may be given more than once.
    #[arg(long = "bin-dir", value_name = "DIR", required = true)]
    pub bin_dirs: Vec<PathBuf>,
}

/// Options of `boot`.
#[derive(Debug, Args)]
#[command(before_help = "Example:\n  crossfade-bootstrap boot --dry-run")]
pub struct Boot {}

/// Options of `gate`.
#[derive(Debug, Args)]
#[command(before_help = "Example: would kubelet be let through now?\n  crossfade-bootstrap gate --dry-run")]
pub struct Gate {}

/// Options of `render`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: what kubelet would be told, and whether it would take it\n  crossfade-bootstrap render --check"
)]
pub struct Render {
    /// For the runtime, not for kubelet.
    #[arg(long, conflicts_with_all = ["check", "print"])]
    pub runtime: bool,
    /// Write nothing; hold labels and taints against the rules of kubelet and of the API server.
    #[arg(long)]
    pub check: bool,
    /// Print the settings for a platform that we cannot reach from here, instead of writing ours.
    #[arg(long, value_name = "PLATFORM", conflicts_with = "check")]
    pub print: Option<String>,
}

/// Options of `watch`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: one round, and what it would change\n  crossfade-bootstrap watch --once --dry-run"
)]
pub struct Watch {
    /// One round, then end.
    #[arg(long)]
    pub once: bool,
    /// In a pod: start no units, and look on while crossfade-watch.service of the node, or another watch, does the work.
    #[arg(long, conflicts_with = "once")]
    pub pod: bool,
}

/// Options of `retract`.
#[derive(Debug, Args)]
#[command(before_help = "Example: what would be taken back\n  crossfade-bootstrap retract --dry-run")]
pub struct Retract {
    /// Crossfade was removed from this node by hand; without it the node must be switched off or of a final image.
    #[arg(long)]
    pub removed: bool,
    /// How long to try.
    #[arg(long = "timeout", value_name = "SECONDS", default_value_t = 20)]
    pub timeout_secs: u64,
}

/// Options of `explain`.
#[derive(Debug, Args)]
#[command(before_help = "Example:\n  crossfade-bootstrap explain --root /mnt/image")]
pub struct Explain {}

/// The runtime to ask.
#[derive(Debug, Clone, Args)]
pub struct Endpoint {
    /// The runtime's socket, or `none` to ask nobody [default: what node.json, kubelet, or the runtime's configuration says].
    #[arg(long, value_name = "ENDPOINT")]
    pub runtime_endpoint: Option<String>,
}

/// What to do with the policy.
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Print it.
    #[command(before_help = "Example:\n  crossfade-bootstrap policy show")]
    Show,
    /// Say whether it is valid.
    #[command(before_help = "Example:\n  crossfade-bootstrap policy check ./policy.json")]
    Check {
        /// Another file than the one that counts here.
        file: Option<PathBuf>,
    },
    /// Flip it to a phase.
    #[command(before_help = "Example: new pods get both networks, the old one primary\n  \
                             crossfade-bootstrap policy set both-old")]
    Set {
        /// old, both-old, both-new or new.
        #[arg(value_parser = phase)]
        phase: Phase,
        /// The flip may be lost at the next reboot.
        #[arg(long)]
        runtime: bool,
    },
    /// Say which network a pod would get, and why.
    #[command(
        before_help = "Example:\n  crossfade-bootstrap policy explain --namespace kube-system --pod coredns-1"
    )]
    Explain {
        /// The pod's namespace.
        #[arg(long)]
        namespace: Option<String>,
        /// The pod's name.
        #[arg(long)]
        pod: Option<String>,
        /// One of its annotations; may be given more than once.
        #[arg(long = "annotation", value_name = "KEY=VALUE", value_parser = pair)]
        annotations: Vec<(String, String)>,
    },
}

/// Options of `sweep`.
#[derive(Debug, Args)]
#[command(before_help = "Example:\n  crossfade-bootstrap sweep --dry-run")]
pub struct Sweep {
    /// The living sandboxes, instead of asking the runtime: a JSON list of {"containerID":"..","ifname":"eth0"}, without
    /// ifname for all of a container's. It is taken for the whole truth, also when it is empty.
    #[arg(long, value_name = "FILE")]
    pub listed: Option<PathBuf>,
    /// Another pass after so many seconds, without an end; for a pod that sweeps.
    #[arg(long, value_name = "SECONDS")]
    pub every: Option<u64>,
    /// Where delegates are; may be given more than once [default: those of /opt/cni/bin and /usr/lib/cni that exist].
    #[arg(long = "bin-dir", value_name = "DIR")]
    pub bin_dirs: Vec<PathBuf>,
    /// The runtime.
    #[command(flatten)]
    pub runtime: Endpoint,
    /// Which pass of watch's it is; the result that it leaves for watch repeats it.
    #[arg(long, value_name = "NUMBER", hide = true)]
    pub turn: Option<u64>,
}

fn phase(text: &str) -> Result<Phase, String> {
    Phase::parse(text).ok_or_else(|| format!("expected one of {}", Phase::ALL.map(Phase::as_str).join(", ")))
}

fn side(text: &str) -> Result<Side, String> {
    Side::parse(text).ok_or_else(|| "expected old or new".to_owned())
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
