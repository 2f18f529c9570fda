//! Options of `probe`.

use std::path::PathBuf;

use clap::Args;

use super::Migration;

/// Options of `probe`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: watch the network while the agents of the new CNI are installed\n  \
                   kubectl crossfade probe --from flannel --to cilium --during -- helm install cilium cilium/cilium",
    after_help = "Exit status: 0 every class of packets that passed before still passes; 3 packets were lost or connections broke, or packets arrive that a \
                  policy denies; 1 the command failed; 75 it was interrupted before there was a baseline."
)]
pub struct Probe {
    /// Which migration: agents tell both networks by the ranges of their pods.
    #[command(flatten)]
    pub migration: Migration,
    /// Seconds for which the network is looked at before. What does not pass then is not measured.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(10..=3600))]
    pub baseline: u32,
    /// Seconds for which the network is looked at.
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(10..=86_400))]
    pub time: u32,
    /// Look at the network as long as the command after -- runs, and a minute more.
    #[arg(long, requires = "command", conflicts_with = "time")]
    pub during: bool,
    /// The command and its arguments. No shell reads them, and what they print goes to stderr.
    #[arg(last = true, value_name = "COMMAND", requires = "during")]
    pub command: Vec<String>,
    /// Leave the agents in the cluster, for the gates of a run.
    #[arg(long)]
    pub keep: bool,
    /// Put up a NetworkPolicy as well, and probe whether what it denies stays denied.
    #[arg(long)]
    pub enforcement: bool,
    /// Print the objects that would be put up, and change nothing.
    #[arg(long, conflicts_with_all = ["during", "keep"])]
    pub dry_run: bool,
    /// Take the agents away.
    #[arg(long, conflicts_with_all = ["during", "keep", "dry_run", "enforcement", "measured"])]
    pub remove: bool,
    /// Write what was measured as a file for kubectl crossfade report --measured.
    #[arg(long, value_name = "FILE")]
    pub measured: Option<PathBuf>,
}
