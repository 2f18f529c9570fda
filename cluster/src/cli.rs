//! The command line.

pub(crate) mod access;
pub(crate) mod complete;
pub(crate) mod exit;
pub(crate) mod finish;
pub(crate) mod options;
pub(crate) mod policies;
pub(crate) mod probe;
pub(crate) mod report;
pub(crate) mod roll;
pub(crate) mod unsupported;

use std::fmt;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand};
use serde::Serialize;

use migration::check;
use migration::cni::support::{Cni, Strategy};
use options::Global;
use types::command::rule::Explanation;

/// Move a live Kubernetes cluster from one CNI to another.
///
/// This program is for the person who migrates a cluster. Before: check says what stands in the way. Then plan decides which
/// node moves when, and roll carries the plan out, node by node; it stops before something breaks, goes on from anywhere and goes back from anywhere.
/// Only roll changes nodes and pods, and only with an approved plan.
///
/// A migration is of the whole cluster, and so is every answer: no command has a namespace.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-crossfade",
    bin_name = "kubectl crossfade",
    version,
    before_help = "Example: find every reason not to start\n  \
                   kubectl crossfade check --from calico --to cilium",
    after_help = "Exit status of every command:\n  \
                  0   the command did what it was asked to do\n  \
                  1   something failed on the way\n  \
                  2   an argument is wrong\n  \
                  3   the answer is no: something stands in the way, a run waits for a person, or plans differ\n  \
                  75  not now: the API server does not answer, or a run is paused, or has another holder\n  \
                  78  the settings file is missing or invalid"
)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands by when they are called.
pub(crate) const GROUPS: [(&str, &[&str]); 3] = [
    ("Before a migration", &["check", "snapshot", "policies", "plan"]),
    ("While nodes move, and after", &["probe", "roll", "permit", "status", "finish", "report"]),
    ("This program", &["completion"]),
];

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Find every reason not to start a migration, all at once.
    ///
    /// Each finding has a severity: it blocks the migration, it is a risk, or it is a note. It names the objects, says why it matters, and how to fix
    /// it. A waiver in the settings file accepts a finding, with a reason. A check whose objects are not in the snapshot is reported as
    /// not done, and blocks.
    ///
    /// --settings checks the settings file alone. --requirements lists what a migration requires, each row met, not met or unknown. Whether the pair of CNIs is supported, with which versions and
    /// modes, is the first row. --dump-script prints what gets the cluster into files, where this program cannot reach it.
    Check(Check),
    /// Save the objects that checks read as one file, for checks elsewhere and later.
    ///
    /// The file has what checks read and nothing else: no Secret, no ConfigMap but those of CNIs, and no environment variable but those of agents. Only
    /// its owner may read it. The same cluster gives the same bytes.
    Snapshot(Snapshot),
    /// Plan which nodes move when, and within which limits.
    ///
    /// A plan is data. The same cluster and the same settings give the same bytes, and the hash of these bytes is what you approve. plan runs
    /// check first: a finding that blocks keeps a plan from being made, and so do nodes that do not report, policies that are not enforced for a while
    /// and were not accepted by name, and passes that need nodes which forward between both networks. It changes nothing in the cluster.
    ///
    /// --simulate plays the run on a likeness of the cluster, many times, and says how long it takes and where a person is needed. The likeness has the
    /// cluster's nodes, workloads and budgets; the program that decides is the one that rolls. How long pods take to start and to end is drawn anew for
    /// each history. What pods request is not looked at.
    Plan(Plan),
    /// Test with packets which pods and nodes reach each other.
    ///
    /// Agents come to every node, on its own network and in pods, and send packets to each other: datagrams, large ones, new and held TCP connections,
    /// over both families, to pods on either network, to nodes, to a Service and to DNS. First they take a baseline, then they measure: for a time, or as long as a
    /// command runs. A table says what does not pass any more, and the causes. The agents go when the command ends, unless --keep leaves them for the gates of a
    /// run (probe.gates in the settings).
    Probe(probe::Probe),
    /// Carry out a plan, node by node.
    ///
    /// Each node is cordoned, asked for the phase, emptied by evictions, proven and uncordoned. Gates hold back nodes that have not started. What happens
    /// is on stderr, a line for each event; how far the run is, and what it waits for, is the answer. Ctrl-C ends roll in order, and roll --resume goes on
    /// from any machine.
    Roll(roll::Roll),
    /// Ask whether a pipeline may drain and remove a node.
    ///
    /// This is for pipelines that replace nodes, in pools that the plan rotates with the method permit. The request counts until --release takes it back
    /// or the Node is gone, so that a pipeline which was interrupted asks again and gets the same answer. The run lets the node go when it is the node's
    /// turn. Nothing but the request is written.
    Permit(Permit),
    /// Show how far the run is, what it waits for, and what to do about it.
    Status(roll::Status),
    /// End a migration: show what is left to do, fence off the old CNI, and remove it.
    ///
    /// The lines stand in an order in which nothing is lost: every pod is moved, a backup is written, the new CNI has its final settings, its policies mean
    /// what those of the old one meant, the old agents are fenced off, the cluster soaks. Up to there --undo leads back. Then the old CNI's objects are deleted,
    /// each by the UID that was approved, and none whose name no published installation has. Nothing is changed without --confirm.
    ///
    /// Crossfade reads and deletes no Secret, strips no finalizer, and touches no Node and no namespace here: the last lines say what is left, with commands.
    Finish(finish::Finish),
    /// Report what a run did and what it cost: nodes over time, restarts, refused evictions, waits, lost probes.
    ///
    /// The report is made of the run's plan, its journal and what probes measured, while the run goes on and after. What is not known is absent, and never a
    /// zero; where the journal lacks lines, the report says which span is missing. --out writes it as one page that needs no network and no script.
    ///
    /// --archive puts all that is kept of the run into one file: plan, journal, gates, settings and the report, with checksums that sha256sum --check SHA256SUMS
    /// verifies. The same run gives the same bytes, and no Secret is in them. errors.json in the archive says what could not be read.
    Report(report::Report),
    /// Convert network policies for another CNI, compare what they allow, and back them up.
    #[command(subcommand)]
    Policies(policies::Policies),
    /// Print a completion script for a shell.
    ///
    /// The script completes kubectl-crossfade by its own name: source <(kubectl crossfade completion bash).
    ///
    /// For kubectl crossfade, kubectl completes itself, from 1.26 on. It asks a program kubectl_complete-crossfade, which is this one by another name:
    ///
    /// ln -s "$(command -v kubectl-crossfade)" ~/.local/bin/kubectl_complete-crossfade
    #[command(about = "Print a completion script for a shell", verbatim_doc_comment)]
    Completion(Completion),
}

/// Options of `completion`.
#[derive(Debug, Args)]
pub struct Completion {
    /// The shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Options of `permit`.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: drain a node when its turn has come, within an hour\n  \
                   kubectl crossfade permit b7 --wait 3600 && kubectl drain b7 --ignore-daemonsets",
    after_help = "Exit status: 0 the node may go, or the request is taken back; 3 this run never lets the node go, and why; 75 not yet: ask again."
)]
pub struct Permit {
    /// The Node's name.
    #[arg(value_name = "NODE")]
    pub node: String,
    /// Wait so many seconds at most for the node's turn.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    pub wait: u32,
    /// Take the request back. A node that its pipeline has not cordoned yet waits again.
    #[arg(long, conflicts_with = "wait")]
    pub release: bool,
}

/// Options of `snapshot`.
#[derive(Debug, Args)]
pub struct Snapshot {
    /// The file to write; .gz compresses it, and - is stdout.
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub out: PathBuf,
}

/// Which migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Migration {
    /// The CNI to move from.
    #[arg(long, value_enum)]
    pub from: Cni,
    /// The CNI to move to.
    #[arg(long, value_enum)]
    pub to: Cni,
    /// How to move: double gives pods both networks for a while, bridge goes from one network to the other on each node, rotation replaces the nodes.
    #[arg(long, value_enum, default_value_t = Strategy::Double)]
    pub strategy: Strategy,
}

/// `calico to cilium, double`.
impl fmt::Display for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}, {}", self.from, self.to, self.strategy)
    }
}

/// What `check` does.
#[derive(Debug)]
pub enum Check {
    /// It looks for what stands in the way of a migration.
    Migration(Migration),
    /// It lists what a migration requires.
    Requirements(Migration),
    /// It prints the script that dumps what it reads.
    DumpScript(Migration),
    /// It explains a code.
    Explain(Explanation),
    /// It checks the settings file alone.
    Settings,
}

impl FromArgMatches for Check {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        if let Some(explanation) = matches.get_one::<Explanation>("explain") {
            return Ok(Self::Explain(explanation.clone()));
        }
        if matches.get_flag("settings") {
            return Ok(Self::Settings);
        }
        let check = match (matches.get_flag("requirements"), matches.get_flag("dump-script")) {
            (true, _) => Self::Requirements,
            (_, true) => Self::DumpScript,
            _ => Self::Migration,
        };
        Migration::from_arg_matches(matches).map(check)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Check {
    fn augment_args(command: clap::Command) -> clap::Command {
        let optional = |arg: Arg| arg.required(false).required_unless_present_any(["explain", "settings"]);
        let explain = Arg::new("explain")
            .long("explain")
            .value_name("CODE")
            .value_parser(check::CATALOG)
            .hide_possible_values(true)
            .conflicts_with_all(["from", "to", "strategy"])
            .help("Print what a finding's code means, and look at no cluster");
        let requirements = Arg::new("requirements")
            .long("requirements")
            .action(ArgAction::SetTrue)
            .conflicts_with("explain")
            .help("List what the migration requires, and whether this cluster has it");
        let dump_script = Arg::new("dump-script")
            .long("dump-script")
            .action(ArgAction::SetTrue)
            .conflicts_with_all(["explain", "requirements"])
            .help("Print a shell script that dumps with kubectl all that check, plan and policies read for this migration, and look at no cluster")
            .long_help(
                "Print a shell script that dumps with kubectl all that check, plan and policies read for this migration, and look at no cluster\n\n\
                 sh SCRIPT DIRECTORY dumps into a new directory, and fails where a call of kubectl does. --snapshot DIRECTORY reads it, without --dumped.",
            );
        let settings = Arg::new("settings")
            .long("settings")
            .action(ArgAction::SetTrue)
            .conflicts_with_all(["explain", "requirements", "dump-script", "from", "to", "strategy"])
            .help("Check the settings file alone, print it with all defaults, and look at no cluster");
        let command = Migration::augment_args(command).mut_arg("from", optional).mut_arg("to", optional);
        command.args([requirements, dump_script, settings, explain])
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

/// Options of `plan`.
#[derive(Debug, Args)]
pub struct Plan {
    /// Which migration.
    #[command(flatten)]
    pub migration: Migration,
    /// The file to write the plan to; - is stdout. The hash of the file is the hash of the plan.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Keep the plan in the cluster, where roll --plan finds it by its hash.
    #[arg(long, conflicts_with = "diff")]
    pub save: bool,
    /// Say what differs from a plan that an earlier call wrote. The exit status is 0 if nothing does, and 3 otherwise.
    #[arg(long, value_name = "OLD", conflicts_with = "out")]
    pub diff: Option<PathBuf>,
    /// Play so many histories of the run instead of writing a plan; 20 without a number.
    #[arg(
        long,
        value_name = "HISTORIES",
        num_args = 0..=1,
        default_missing_value = "20",
        conflicts_with_all = ["out", "save", "diff"],
        value_parser = clap::value_parser!(u64).range(1..=10_000)
    )]
    pub simulate: Option<u64>,
    /// The seed of the first history; each of the others has the next one. The same seed plays the same history.
    #[arg(long, default_value_t = 1, requires = "simulate")]
    pub seed: u64,
    /// Let things go wrong: machines reboot, people cordon nodes and edit objects, calls fail, another holder takes the run over.
    #[arg(long, requires = "simulate")]
    pub faults: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn help_shows_each_command_and_eleven_at_most() {
        let mut shown: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        let command = Cli::command();
        let mut all: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        shown.sort_unstable();
        all.sort_unstable();
        assert_eq!(shown, all);
        assert!(shown.len() <= 11, "{shown:?}");
    }
}
