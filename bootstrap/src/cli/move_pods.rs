//! Options of `move-pods`.

use clap::Args;

use super::options::{Global, InService};
use super::words;

/// Options of `move-pods`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: list the pods that are not on the network which the policy names, then move them\n  crossfade-bootstrap move-pods\n  crossfade-bootstrap move-pods --apply",
    after_help = "Exit status: 0 done, or listed; 1 a request failed; 2 an argument is wrong; 3 pods stay or did not come back, or something stands \
                  in the way; 75 another move-pods runs, or the API server or the runtime does not answer; 78 a settings file cannot be used."
)]
pub struct MovePods {
    /// Move only the pods that were attached in the phase PHASE (old, both-old, both-new, new), or that have the network NAME.
    #[arg(long = "on", value_name = "PHASE|NAME")]
    pub selection: Option<String>,
    /// Move only this pod; repeat the option for more. In NAMESPACE/NAME, * stands for any text.
    #[arg(long = "pod", value_name = "NAMESPACE/NAME", value_parser = words::pod_glob)]
    pub pods: Vec<String>,
    /// Restart the containers of each pod in a new sandbox on this node, instead of evicting the pod. The pod keeps its name and its
    /// volumes, and gets another address. Only pods whose restartPolicy is Always can be restarted so.
    #[arg(long)]
    pub in_place: bool,
    /// Restart also pods with a preStop hook in place, although the hook does not run.
    #[arg(long, requires = "in_place")]
    pub skip_pre_stop: bool,
    /// Delete this pod, which no controller makes again; repeat the option for more. In NAMESPACE/NAME, * stands for any text.
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = words::pod_glob, conflicts_with = "in_place")]
    pub delete_bare: Vec<String>,
    /// Evict also pods with an emptyDir, whose data is lost.
    #[arg(long, conflicts_with = "in_place")]
    pub delete_emptydir_data: bool,
    /// Move this pod although it is a Job's or an annotation asks not to disrupt it; repeat the option for more. In NAMESPACE/NAME, *
    /// stands for any text.
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = words::pod_glob)]
    pub disrupt: Vec<String>,
    /// How long, in seconds, to wait for a PodDisruptionBudget to allow a pod to go, and then for the pod to be back.
    #[arg(long = "timeout", value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout_secs: u64,
    /// Restart every pod, also those that a network could join or leave while they run.
    #[arg(long)]
    pub restart_only: bool,
    /// Restart no pod: networks only join and leave pods that run.
    #[arg(long, conflicts_with_all = ["restart_only", "in_place"])]
    pub no_restart: bool,
    /// How long, in seconds, connections may take to end that use a network which is to leave a pod. A pod whose connections remain keeps the network.
    #[arg(long = "wait", value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub wait_secs: u64,
    /// Break the connections that use a network which is to leave a pod.
    #[arg(long, conflicts_with = "wait_secs")]
    pub now: bool,
    /// Carry out what the command lists without this option.
    #[arg(long)]
    pub apply: bool,
    /// The number of the pass that watch has started; the result repeats it.
    #[arg(long, value_name = "NUMBER", hide = true)]
    pub turn: Option<u64>,
    /// The node.
    #[command(flatten)]
    pub node: InService,
}

impl MovePods {
    pub(super) fn global(&self, all: Global) -> Global {
        self.node.global(all, self.apply)
    }
}
