//! Options of `finish`.

use std::path::PathBuf;

use clap::Args;
use migration::cni::support::Cni;
use migration::plan::canon::Prefix;

/// Options of `finish`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: what is left to do, and what would be removed\n  \
                   kubectl crossfade finish",
    after_help = "Exit status: 0 the next line can be done, or all are done; 3 the next line is refused; 75 the next line waits.\n\
                  Nothing is changed without --confirm. Until the removal begins, --undo takes the fence back."
)]
pub struct Finish {
    /// The CNI that goes. Without it, that of the run that the cluster had.
    #[arg(long, value_enum, requires = "to")]
    pub from: Option<Cni>,
    /// The CNI that stays.
    #[arg(long, value_enum, requires = "from")]
    pub to: Option<Cni>,
    /// Carry the next lines out by the plan whose hash begins so, as finish printed it. The removal also needs --remove.
    #[arg(long, value_name = "HASH")]
    pub confirm: Option<Prefix>,
    /// Remove the old CNI from the cluster that has this name in the kubeconfig. There is no way back from it.
    #[arg(long, value_name = "CLUSTER", requires = "confirm")]
    pub remove: Option<String>,
    /// Let the old CNI's agents run again: take the fence from their DaemonSets.
    #[arg(long, conflicts_with = "confirm")]
    pub undo: bool,
    /// The directory of the backup. It is written there before anything is changed, and read again before anything is removed.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub backup: PathBuf,
    /// Write the settings of the new CNI that change at the end as Helm values.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["confirm", "undo"])]
    pub values: Option<PathBuf>,
    /// A file with recorded flows, as policies observe takes it; - is stdin. Repeat it for several. Of these flows the policies must deny none before the
    /// setting is named with which the new CNI enforces them.
    #[arg(long, value_name = "FILE", conflicts_with = "undo")]
    pub flows: Vec<PathBuf>,
    /// Wait for the Lease of another holder to expire, and take it over.
    #[arg(long)]
    pub take_over: bool,
}
