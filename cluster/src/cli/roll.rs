//! Options of `roll` and the commands below it, and of `status`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use migration::cni::support::{Cni, Strategy};
use migration::plan::WaveKind;
use migration::plan::canon::Prefix;
use types::policy::Phase;

use super::Migration;
use super::access::Access;

/// Options of `roll`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Without --plan and --resume, the command prints what it would do next, and changes nothing.\n\n\
                        Exit status: 0 everything that was asked for is done; 3 the run waits for a person, or a finding blocks it; 75 the run is paused, \
                        was interrupted, or another holder has it."
)]
pub struct Roll {
    /// The plan that you approve: its hash, or at least the first twelve characters.
    #[arg(long, value_name = "HASH", conflicts_with = "resume")]
    pub plan: Option<Prefix>,
    /// Go on with the run that the cluster has. If its holder has not renewed the Lease for a minute, take it over.
    #[arg(long)]
    pub resume: bool,
    /// End after this kind of wave in each pass.
    #[arg(long, value_enum, value_name = "WAVE")]
    pub until: Option<LastWave>,
    /// Move these nodes only.
    #[arg(long, value_name = "NODE", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Move nodes of this pool only.
    #[arg(long, value_name = "POOL")]
    pub pool: Option<String>,
    /// Delete this pod, which no controller makes again, when its node's turn comes.
    #[arg(long, value_name = "NAMESPACE/NAME", value_delimiter = ',')]
    pub delete_bare: Vec<String>,
    /// Wait until the holder has not renewed the Lease for a minute, then take the run over.
    #[arg(long)]
    pub take_over: bool,
    /// Take the run from a holder that may still be at work. What it has in flight may still happen.
    #[arg(long, conflicts_with = "take_over")]
    pub force_take_over: bool,
    /// The context of Cluster API's management cluster: the run holds each old node by a pre-drain hook on its Machine there.
    #[arg(long, value_name = "NAME")]
    pub management_context: Option<String>,
    /// The kubeconfig file with that context [default: that of --kubeconfig].
    #[arg(long, value_name = "FILE", requires = "management_context")]
    pub management_kubeconfig: Option<PathBuf>,
    /// Print what would be done next, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// What to ask of a run, or to do after it.
    #[command(subcommand)]
    pub command: Option<RollCommand>,
}

impl Roll {
    /// How to reach the management cluster, if one was named. What else the flags say of the API server and the credential is of the cluster that migrates.
    #[must_use]
    pub fn management(&self, access: &Access) -> Option<Access> {
        let context = self.management_context.clone()?;
        let kubeconfig = self.management_kubeconfig.clone().or_else(|| access.kubeconfig.clone());
        Some(Access {
            kubeconfig,
            context: Some(context),
            request_timeout: access.request_timeout,
            log: access.log,
            ..Access::default()
        })
    }
}

/// The commands below `roll`.
#[derive(Debug, Subcommand)]
pub enum RollCommand {
    /// Pause the run: no further node starts.
    Pause(Pause),
    /// Resume a run that was paused.
    Resume(Justification),
    /// Bring all nodes back to a phase, by passes in the opposite order.
    Abort(Abort),
    /// Leave a node out of the pass that goes on, or a workload or a namespace out of the run.
    ///
    /// The pass ends only if the node is cordoned and nothing is attached to it. The run does not wait for missing pods of such a workload or namespace.
    Skip(ObjectOptions),
    /// Retry a held node from the start; or wait for a workload or a namespace again.
    Retry(ObjectOptions),
    /// Bring a node back to the phase that the pass leaves.
    Rollback(NodeOptions),
    /// Find pods that are not attached as their cluster should have them by now, and move them.
    ///
    /// Such pods are left where a node was skipped, a policy was edited, or a node joined from an older image. With --fix, a plan moves them by evictions, as
    /// roll does: with its order, limits, gates and decisions about pods. The plan is approved by its hash.
    Stragglers(Stragglers),
}

/// The last kind of wave that a part of a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LastWave {
    /// One node of each kind of node.
    Scouts,
    /// DNS pods and their nodes.
    Dns,
    /// A few nodes of each zone.
    Canary,
    /// All nodes but those of stateful groups and of the control plane.
    Zone,
    /// All nodes but those of the control plane.
    Stateful,
}

impl From<LastWave> for WaveKind {
    fn from(until: LastWave) -> Self {
        match until {
            LastWave::Scouts => Self::Scouts,
            LastWave::Dns => Self::Dns,
            LastWave::Canary => Self::Canary,
            LastWave::Zone => Self::Zone,
            LastWave::Stateful => Self::Stateful,
        }
    }
}

/// Why a run is asked for something.
#[derive(Debug, Args)]
pub struct Justification {
    /// Why; it stands in the run's journal.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// Options of `roll pause`.
#[derive(Debug, Args)]
pub struct Pause {
    /// Do nothing at all from now on, not even with nodes in transit. They stay as they are.
    #[arg(long)]
    pub now: bool,
    /// Why.
    #[command(flatten)]
    pub justification: Justification,
}

/// Options of `roll abort`.
#[derive(Debug, Args)]
pub struct Abort {
    /// The phase that all nodes go back to.
    #[arg(long, value_parser = phase, value_name = "PHASE")]
    pub to: Phase,
    /// Why.
    #[command(flatten)]
    pub justification: Justification,
}

/// Options of the commands about one node.
#[derive(Debug, Args)]
pub struct NodeOptions {
    /// The Node's name.
    #[arg(value_name = "NODE")]
    pub node: String,
    /// Why.
    #[command(flatten)]
    pub justification: Justification,
}

/// Options of the commands about a node, a workload or a namespace.
#[derive(Debug, Args)]
pub struct ObjectOptions {
    /// The Node's name; or a workload as `status` names it, KIND/NAMESPACE/NAME, or a namespace, Namespace/NAME.
    #[arg(value_name = "NODE", value_parser = object)]
    pub object: String,
    /// Why.
    #[command(flatten)]
    pub justification: Justification,
}

/// Options of `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Print it again whenever something changes, until the run ends.
    #[arg(long, short = 'w')]
    pub watch: bool,
}

/// Options of `roll stragglers`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: see what would move them, keep that plan, and carry it out\n  \
                   kubectl crossfade roll stragglers --fix\n  \
                   kubectl crossfade roll stragglers --fix --save\n  \
                   kubectl crossfade roll stragglers --fix --plan 13b0513e65fa",
    after_help = "Without --fix, the command changes nothing. Neither does it without --plan, but that --save keeps the plan.\n\n\
                  Exit status: 0 there are none, or none any more, or there is a plan that moves them; 3 there are some, or the run waits for a person; \
                  75 the run is paused, was interrupted, or another holder has it."
)]
pub struct Stragglers {
    /// The phase in which every pod should be attached. Without it, the furthest phase that a node is in; with --fix, the one that the last run reached.
    #[arg(long, value_parser = phase, value_name = "PHASE")]
    pub phase: Option<Phase>,
    /// Plan what moves them, and print what would become of each.
    #[arg(long)]
    pub fix: bool,
    /// Keep the plan in the cluster, where --plan finds it by its hash.
    #[arg(long, requires = "fix")]
    pub save: bool,
    /// Carry this plan out: its hash, or at least the first twelve characters.
    #[arg(long, value_name = "HASH", requires = "fix", conflicts_with_all = ["save", "phase", "from", "to"])]
    pub plan: Option<Prefix>,
    /// Delete this pod, which no controller makes again, when its node's turn comes.
    #[arg(long, value_name = "NAMESPACE/NAME", value_delimiter = ',', requires = "fix")]
    pub delete_bare: Vec<String>,
    /// The CNI that the cluster moved from. Without it, the migration is that of the last run.
    #[arg(long, value_enum, requires_all = ["fix", "to"])]
    pub from: Option<Cni>,
    /// The CNI that the cluster moved to.
    #[arg(long, value_enum, requires = "from")]
    pub to: Option<Cni>,
    /// How it moved.
    #[arg(long, value_enum, requires = "from", default_value_t = Strategy::Double)]
    pub strategy: Strategy,
}

impl Stragglers {
    /// The migration that was named.
    #[must_use]
    pub fn migration(&self) -> Option<Migration> {
        Some(Migration { from: self.from?, to: self.to?, strategy: self.strategy })
    }
}

fn object(text: &str) -> Result<String, String> {
    match text.split('/').collect::<Vec<_>>().as_slice() {
        parts if parts.contains(&"") => {}
        [_] | ["Namespace", _] | [_, _, _] => return Ok(text.to_owned()),
        _ => {}
    }
    Err("expected the name of a Node, KIND/NAMESPACE/NAME of a workload, or Namespace/NAME".into())
}

fn phase(text: &str) -> Result<Phase, String> {
    let all = Phase::ALL.map(Phase::as_str).join(", ");
    Phase::parse(text).ok_or_else(|| format!("no phase; expected one of {all}"))
}
