//! Options of `policy` and its verbs.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use types::policy::Phase;

use super::options::{ConfDir, DryRun, Global, Host, PolicyFile, StateDirs, Tree, absolute_path_parser};
use super::words;

/// What to do with the policy.
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Print the policy that this node uses.
    #[command(
        before_help = "Example: see which network this node gives to new pods\n  crossfade-bootstrap policy show",
        after_help = "Exit status: 0 done, 3 this node has no plugin of Crossfade, 78 the policy is missing or invalid."
    )]
    Show(Show),
    /// Check whether a policy is valid.
    #[command(
        before_help = "Example: check a file before you copy it to a node\n  crossfade-bootstrap policy check ./policy.json",
        after_help = "Exit status: 0 the policy is valid, 2 there is no such FILE, 78 the policy is invalid."
    )]
    Check(Check),
    /// Set the phase of the policy, which decides the network of new pods. Running pods keep their networks.
    #[command(
        before_help = "Example: attach new pods to both networks, with the address of the old one in the Pod's status\n  \
                             crossfade-bootstrap policy set both-old",
        after_help = "Exit status: 0 done, 3 the policy does not allow this phase, or --require-ready was given and a network is not ready, \
                      75 run the command again, 78 the policy is invalid."
    )]
    Set(Set),
    /// Explain which network a pod would get, and why.
    ///
    /// With POD, the pod is one that is on this node: its annotations come from the API server, where kubelet has a credential, and the networks
    /// that it has from its record. Without POD, the options describe any pod.
    #[command(
        before_help = "Example: what a pod of this node has, and what its successor would get\n  crossfade-bootstrap policy explain kube-system/coredns-1",
        after_help = "Exit status: 0 done, 3 neither the API server nor a record has POD on this node, 78 the policy is missing or invalid."
    )]
    Explain(PodChoice),
}

/// Options of `policy show`.
#[derive(Debug, Args)]
pub struct Show {
    #[command(flatten)]
    place: Place,
}

/// Options of `policy check`.
#[derive(Debug, Args)]
pub struct Check {
    /// The file to check [default: the policy that this node uses].
    #[arg(value_parser = absolute_path_parser())]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Options of `policy set`.
#[derive(Debug, Args)]
pub struct Set {
    /// The phase: `old` or `new` for one network, `both-old` or `both-new` for both networks, where the named network is the primary.
    #[arg(value_parser = words::phase, value_name = "PHASE")]
    pub phase: Phase,
    /// Change nothing unless every network of the phase is ready now. Without this option, the command warns.
    #[arg(long)]
    pub require_ready: bool,
    /// Accept that the next reboot loses the change, because the policy file is on a tmpfs.
    #[arg(long)]
    pub runtime: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    state: StateDirs,
    #[command(flatten)]
    dry_run: DryRun,
}

/// Options of `policy explain`.
#[derive(Debug, Args)]
pub struct PodChoice {
    /// A pod of this node: NAME in the namespace of --namespace, else in `default`, or NAMESPACE/NAME.
    #[arg(value_name = "POD", conflicts_with = "pod")]
    pub live: Option<String>,
    /// The pod's namespace.
    #[arg(long)]
    pub namespace: Option<String>,
    /// The pod's name.
    #[arg(long)]
    pub pod: Option<String>,
    /// An annotation of the pod; repeat the option for more.
    #[arg(long = "annotation", value_name = "KEY=VALUE", value_parser = words::pair)]
    pub annotations: Vec<(String, String)>,
    #[command(flatten)]
    place: Place,
}

/// Where a policy is looked for: the runtime's conf directory has Crossfade's conf, which may name the policy.
#[derive(Debug, Args)]
struct Place {
    #[command(flatten)]
    conf: ConfDir,
    #[command(flatten)]
    policy: PolicyFile,
    #[command(flatten)]
    tree: Tree,
    #[command(flatten)]
    host: Host,
}

impl Place {
    fn global(&self, all: Global) -> Global {
        all.conf_dir(&self.conf).policy(&self.policy).root(&self.tree.root).host(&self.host)
    }
}

impl Policy {
    pub(super) fn global(&self, all: Global) -> Global {
        match self {
            Self::Show(show) => show.place.global(all),
            Self::Check(check) => check.place.global(all),
            Self::Set(set) => set.place.global(all).state(&set.state).dry_run(&set.dry_run),
            Self::Explain(explain) => explain.place.global(all),
        }
    }
}
