//! The command line.
//!
//! [`Command`] has one type per command. A command flattens the groups of shared options that it uses ([`options`]), and
//! [`Cli::global`] turns them into the one [`Global`] that every command gets.

pub mod exit;
pub(crate) mod fix;
mod image;
mod install;
mod node;
mod options;
mod policy;
pub mod print;
mod running;
mod words;

use clap::{Args, Parser, Subcommand};

pub use image::{Bake, Image, Seal, Selftest};
pub use install::{Install, Uninstall};
pub use node::{Boot, Explain, Gate, Place, Prove, Render, Retract, Watch};
pub use options::{Global, Output};
pub use policy::{Check, PodChoice, Policy, Set, Show};
pub use running::{List, Status, Sweep};

/// Install and operate Crossfade on one Kubernetes node.
///
/// Crossfade moves a live cluster from one CNI to another. Its CNI plugin attaches each pod to the network that the node's policy names.
/// This program prepares a node before kubelet starts, installs Crossfade on a node with running pods, changes and explains the policy,
/// reports the state of the node, and builds node images. Most commands need root.
#[derive(Debug, Parser)]
#[command(
    name = "crossfade-bootstrap",
    version,
    before_help = "Example: see what an installation would change on this node, then install\n  \
                   crossfade-bootstrap install --dry-run\n  crossfade-bootstrap install",
    after_help = "Exit status of every command:\n  \
                  0   the command did what it was asked to do\n  \
                  1   something failed on the way\n  \
                  2   an argument is wrong\n  \
                  3   the answer is no: something stands in the way, or the node is not ready\n  \
                  75  not now; run the same command again later\n  \
                  78  a settings file (policy.json, node.json) is missing, invalid or not trusted"
)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub common: options::Common,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Install Crossfade on a node with running pods, without restarting them.
    Install(Install),
    /// Remove Crossfade's conf, so that new pods bypass Crossfade.
    Uninstall(Uninstall),
    /// Show, check or change the policy, which decides the network of each new pod.
    #[command(subcommand)]
    Policy(Policy),
    /// List the attachments of this node: sandboxes, interfaces and their networks.
    Attachments(List),
    /// Detach sandboxes that the runtime no longer lists.
    Sweep(Sweep),
    /// Report the phase, the pods of each network, pending DELs, and readiness.
    Status(Status),
    /// Prepare this node before its runtime and kubelet start (crossfade-boot.service).
    Boot(Boot),
    /// Delay kubelet until this node can attach pods to the right network (ExecStartPre of kubelet).
    Gate(Gate),
    /// Write Crossfade's flags for the command line of kubelet or of the runtime (ExecStartPre of both).
    Render(Render),
    /// Reconcile Crossfade's conf, observe readiness and report (crossfade-watch.service).
    Watch(Watch),
    /// Remove from the Node object what Crossfade published there (crossfade-retract.service).
    Retract(Retract),
    /// Explain what boot and render would do on this node or in an image, and why.
    Explain(Explain),
    /// Write the policy and the node settings of a node image.
    Bake(Bake),
    /// Remove or refuse what must not be in a golden image, as the last step of an image build.
    Seal(Seal),
    /// Check whether this machine, or an image, has everything that a boot needs.
    Selftest(Selftest),
    /// Attach a scratch network namespace to a network, check it and detach it; watch starts this command as a unit.
    #[command(hide = true)]
    Prove(Prove),
    /// Copy the package's plugin to where the runtime looks for it; watch starts this command as a unit.
    #[command(hide = true)]
    Place(Place),
}

impl Cli {
    /// The shared options of the command, with defaults for those that it does not offer.
    #[must_use]
    pub fn global(&self) -> Global {
        self.command.global(Global::new(self.common.output))
    }
}

impl Command {
    fn global(&self, all: Global) -> Global {
        match self {
            Self::Install(install) => install.global(all),
            Self::Uninstall(uninstall) => uninstall.global(all),
            Self::Policy(verb) => verb.global(all),
            Self::Attachments(list) => list.global(all),
            Self::Sweep(sweep) => sweep.global(all),
            Self::Status(status) => status.global(all),
            Self::Boot(boot) => boot.global(all),
            Self::Gate(gate) => gate.global(all),
            Self::Render(render) => render.global(all),
            Self::Watch(watch) => watch.global(all),
            Self::Retract(retract) => retract.global(all),
            Self::Explain(explain) => explain.global(all),
            Self::Bake(bake) => bake.global(all),
            Self::Seal(seal) => seal.global(all),
            Self::Selftest(selftest) => selftest.global(all),
            Self::Prove(prove) => prove.global(all),
            Self::Place(place) => place.global(all),
        }
    }
}

/// The runtime to ask.
#[derive(Debug, Clone, Args)]
pub struct Endpoint {
    /// The runtime's CRI socket as unix:///PATH, or `none` to ask no runtime [default: the socket that node.json, kubelet or the
    /// runtime's configuration names].
    #[arg(long, value_name = "ENDPOINT", value_parser = words::endpoint)]
    pub runtime_endpoint: Option<String>,
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
