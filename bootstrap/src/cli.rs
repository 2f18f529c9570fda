//! The command line.
//!
//! [`Command`] has one type per command. A command flattens the groups of shared options that it uses ([`options`]), and
//! [`Cli::global`] turns them into the one [`Global`] that every command gets.

mod cleanup;
pub(crate) mod fix;
mod graduate;
mod image;
mod install;
mod move_pods;
mod node;
mod options;
mod policy;
pub(crate) mod print;
mod running;
mod words;

use clap::{Args, Parser, Subcommand};

pub(crate) use cleanup::Cleanup;
pub(crate) use graduate::Graduate;
pub(crate) use image::{Bake, Seal, Selftest};
pub(crate) use install::{Install, Uninstall};
pub(crate) use move_pods::MovePods;
pub(crate) use node::{Boot, Explain, Gate, Place, Prove, Render, Retract, Watch};
pub(crate) use options::{Global, Output};
pub(crate) use policy::{PodChoice, Policy, Set};
pub(crate) use running::{Doctor, List, Status, Sweep};

/// Install and operate Crossfade on one Kubernetes node.
///
/// Crossfade moves a live cluster from one CNI to another. Its CNI plugin attaches each pod to the network that the node's policy names.
/// This program prepares a node before kubelet starts, installs Crossfade on a node with running pods, changes and explains the policy,
/// reports the state of the node, and builds node images. Most commands need root.
///
/// In these pages, a conf is a CNI network configuration file. The phase of a node says which network new pods get: `old`, `new`, or both, as
/// `both-old` or `both-new`.
#[derive(Debug, Parser)]
#[command(
    name = "crossfade-bootstrap",
    version,
    before_help = "Example: see what an installation would change on this node, then install\n  \
                   crossfade-bootstrap install --dry-run\n  crossfade-bootstrap install",
    after_help = "systemd's units and pods call the commands below `unit`: crossfade-bootstrap unit --help.\n\n\
                  Exit status of every command:\n  \
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

/// The commands by who calls them. systemd's units, and pods, call those below `unit`.
pub(crate) const GROUPS: [(&str, &[&str]); 3] = [
    ("To look at a node", &["status", "doctor", "attachments"]),
    ("To change a node", &["install", "uninstall", "policy", "move-pods", "cleanup", "graduate"]),
    ("To build a node image", &["image"]),
];

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Install Crossfade on a node with running pods, without restarting them.
    ///
    /// install lists the attachments of the running pods in an inventory, copies the plugin to where the runtime looks for it, and writes
    /// Crossfade's conf so that it sorts first. From then on, new pods get the network that the policy names, and every DEL goes to the CNI that
    /// did the ADD. install checks everything first. It prints all reasons at once if something stands in the way, and then changes nothing.
    Install(Install),
    /// Remove Crossfade's conf, so that new pods bypass Crossfade.
    ///
    /// uninstall refuses while a pod is attached through Crossfade, because that pod's DEL needs the plugin and the record. Delete or move these
    /// pods first. The runtime then uses the conf that sorts first without Crossfade.
    Uninstall(Uninstall),
    /// Show, check or change the policy, which decides the network of each new pod.
    #[command(subcommand)]
    Policy(Policy),
    /// List the attachments of this node: sandboxes, interfaces and their networks.
    ///
    /// The list has every attachment that Crossfade recorded, and every sandbox from before the installation that the inventory names: its age,
    /// its pod and its networks.
    Attachments(List),
    /// Remove what a CNI has left on this node: interfaces, routes, rules, chains, sets, files.
    ///
    /// A CNI that is removed from the cluster leaves a data plane on each node, which can drop or masquerade the traffic of the next one. cleanup
    /// lists what the CNI's profile names and this node has, and with --apply removes it, one object at a time. It refuses while anything needs
    /// the network: an attachment, a pod, the policy, or the agent. It removes nothing whose name is not that CNI's alone, and no object that
    /// another CNI in use names as well. It can be interrupted at any moment and run again.
    Cleanup(Cleanup),
    /// Move the pods of this node that are not on the network that the policy names.
    ///
    /// After a flip of the policy, pods stay on the network that they were attached to until their sandbox ends. move-pods lists these pods and
    /// what would become of each, and with --apply it evicts them, one after the other, as a drain of the node would: PodDisruptionBudgets are
    /// kept, and it goes on once the pod is gone and a pod that comes back to this node is Ready on the right network. With --in-place it restarts
    /// the pods where they are. It never touches static pods and pods on the node's own network, and it refuses while a run of kubectl crossfade roll
    /// moves this node. It can be interrupted at any moment and run again.
    #[command(name = "move-pods")]
    MovePods(MovePods),
    /// Remove Crossfade from a node that stays, once all its pods are on the new network.
    ///
    /// graduate removes Crossfade from a node under living pods. It gives the runtime what the later DEL of each pod needs, removes Crossfade's conf,
    /// and sees that the runtime attaches pods to the new network without Crossfade; if not, the conf comes back. It refuses while anything still
    /// needs Crossfade, such as a pod on the old network. At the end it prints the ledger: attachments that ended without their network's own DEL.
    /// It can be interrupted at any moment and run again. Without --apply, nothing changes.
    Graduate(Graduate),
    /// Report the phase, the pods of each network, pending DELs, and readiness.
    ///
    /// The first line says whether the node is all right. The report says which network new pods get, whether the runtime uses Crossfade's conf, how many attachments each network has, how many
    /// DELs are pending, and what watch observes. A problem is something that keeps pods from the right network; a warning is something to do
    /// elsewhere in the cluster.
    Status(Status),
    /// Find everything that is wrong on this node, by symptom, with the command that mends it.
    ///
    /// doctor reads the settings, the records, the runtime, the kernel, systemd, the journal and the Node at the API server, and changes nothing.
    /// Each finding says what was seen, why it is so, and which command mends it. A source that cannot be read is a finding as well, so doctor
    /// works on a node that is half broken. It needs neither kubelet nor a credential.
    Doctor(Doctor),
    /// Build a node image: bake settings into it, check it, and seal it.
    #[command(subcommand)]
    Image(ImageCommand),
    /// The commands that systemd's units and pods call. A person may call each of them, too.
    #[command(subcommand)]
    Unit(UnitCommand),
}

/// The commands below `image`.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Write the policy and the node settings of a node image.
    ///
    /// bake writes policy.json and node.json to /usr/lib/crossfade, from the options below and from what Crossfade knows about each CNI. It
    /// checks both files against the rules of the programs and of kubelet before it writes anything.
    Bake(Bake),
    /// Check whether this machine, or an image, has everything that a boot needs.
    ///
    /// selftest checks programs, units and their order, settings, networks, the runtime and the registration of the node. It prints one line per
    /// check, and how to fix each failure. It changes nothing. Without --image, it also checks that a running node has come up.
    Selftest(Selftest),
    /// Remove or refuse what must not be in a golden image, as the last step of an image build.
    ///
    /// seal removes what belongs to the machine that built the image, such as leases, cached results and the machine id. It refuses what only a
    /// person can judge, such as credentials, records of attachments and confs that an agent wrote. While it refuses one thing, it removes
    /// nothing.
    Seal(Seal),
    /// Explain what boot and render would do on this node or in an image, and why.
    ///
    /// The explanation names the settings files and what they say, the runtime and its conf directory, the labels and taints that kubelet
    /// registers with and who says so, and the changes that boot would make. explain changes nothing.
    Explain(Explain),
}

/// The commands below `unit`.
#[derive(Debug, Subcommand)]
pub enum UnitCommand {
    /// Prepare this node before its runtime and kubelet start (crossfade-boot.service).
    ///
    /// boot copies the plugin to where the runtime looks for it, and writes Crossfade's conf, or in private mode the empty directory for it. If
    /// the node is a clone of another machine, boot moves that machine's state aside. boot opens no network connection and runs no plugin. A
    /// second run changes nothing.
    Boot(Boot),
    /// Delay kubelet until this node can attach pods to the right network (ExecStartPre of kubelet).
    ///
    /// The gate checks that boot has succeeded in this boot, that the settings are valid, and that the runtime reads the right conf directory. It
    /// does not wait for a CNI agent. While a check fails, the gate prints every reason and systemd tries again. After gate.giveUpSeconds of
    /// node.json, the gate lets kubelet start with the taint crossfade/unfit.
    Gate(Gate),
    /// Write Crossfade's flags for the command line of kubelet or of the runtime (ExecStartPre of both).
    ///
    /// For kubelet these are the labels and taints of node.json. For the runtime these are, in private mode, the flags that make it read
    /// Crossfade's conf directory. A systemd generator appends them to the command line.
    Render(Render),
    /// Reconcile Crossfade's conf, observe readiness and report (crossfade-watch.service).
    ///
    /// watch keeps Crossfade's conf and plugin in place, asks the probes of both networks, starts proofs and sweeps, and follows the desired
    /// phase in the Node's annotation crossfade/desired if node.json allows it. It reports in /run/crossfade/status.json, in a condition of the
    /// Node, in the journal and in metrics.
    Watch(Watch),
    /// Detach sandboxes that the runtime no longer lists.
    ///
    /// A runtime can forget a sandbox without calling DEL, for example after a crash. Then an address and an interface stay behind. A sweep asks
    /// the runtime for its sandboxes, compares them with the attachments that Crossfade recorded, and runs the DELs of the others. It also
    /// repairs host routes, removes files of calls that were killed, and removes annotations that Calico left on Pods of sandboxes that are gone.
    /// watch starts a sweep by itself.
    Sweep(Sweep),
    /// Remove from the Node object what Crossfade published there (crossfade-retract.service).
    ///
    /// retract removes the label crossfade/phase and the annotation crossfade/observed, and sets the condition CrossfadeReady for the last time.
    /// It uses kubelet's credential. The node must be switched off or run a final image, unless --removed is given.
    Retract(Retract),
    /// Attach a scratch network namespace to a network, check it and detach it.
    #[command(hide = true)]
    Prove(Prove),
    /// Copy the package's plugin to where the runtime looks for it.
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
            Self::Cleanup(cleanup) => cleanup.global(all),
            Self::MovePods(move_pods) => move_pods.global(all),
            Self::Graduate(graduate) => graduate.global(all),
            Self::Status(status) => status.global(all),
            Self::Doctor(doctor) => doctor.global(all),
            Self::Image(command) => command.global(all),
            Self::Unit(command) => command.global(all),
        }
    }
}

impl ImageCommand {
    fn global(&self, all: Global) -> Global {
        match self {
            Self::Bake(bake) => bake.global(all),
            Self::Selftest(selftest) => selftest.global(all),
            Self::Seal(seal) => seal.global(all),
            Self::Explain(explain) => explain.global(all),
        }
    }
}

impl UnitCommand {
    fn global(&self, all: Global) -> Global {
        match self {
            Self::Boot(boot) => boot.global(all),
            Self::Gate(gate) => gate.global(all),
            Self::Render(render) => render.global(all),
            Self::Watch(watch) => watch.global(all),
            Self::Sweep(sweep) => sweep.global(all),
            Self::Retract(retract) => retract.global(all),
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

    #[test]
    fn help_shows_ten_commands_at_most_and_leaves_out_those_of_units_alone() {
        let shown: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        let command = Cli::command();
        let others =
            command.get_subcommands().map(clap::Command::get_name).filter(|name| !shown.contains(name));
        assert_eq!(others.collect::<Vec<_>>(), ["unit"]);
        assert!(
            shown.len() <= 10 && shown.iter().all(|name| command.find_subcommand(name).is_some()),
            "{shown:?}"
        );
    }
}
