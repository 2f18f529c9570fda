//! Options of the commands about network policies.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use migration::cni::support::Cni;

/// What to do with network policies.
#[derive(Debug, Subcommand)]
pub enum Policies {
    /// Report for every field of every policy whether it can be converted, and whether the result means the same.
    ///
    /// It does all that convert does but writing. A field is exact, it is expanded into more words, it is a snapshot that holds for the cluster as it is
    /// now, or it is impossible. What is not exact and not expanded stops a conversion until a waiver in the settings file names the policy, its
    /// UID, its generation and a reason. NetworkPolicies of Kubernetes stay as they are; where the new CNI reads them in another way, a packet shows it.
    Check(Turn),
    /// Write the policies of the old CNI as policies of the new one, if they mean the same.
    ///
    /// Both sets of policies are compared packet by packet, in all ways in which some policy tells packets apart: between all pods that are there, pods
    /// that could be there, nodes, and addresses outside. Nothing is written if one packet is treated in another way, and the packet is printed. The
    /// policies of the old CNI are never changed and never deleted.
    Convert(Convert),
    /// Compare what the policies of the cluster mean with what those in files would mean under another CNI.
    ///
    /// This is the proof for policies that another author has written. The exit status is 0 if every packet is treated alike, and 3 if one is not.
    Diff(Diff),
    /// Say which recorded flows the policies would deny under the new CNI.
    ///
    /// Record the real flows of an hour or of a day, and ask before the new CNI enforces policies. Flows of Hubble, of Calico's Whisker and of a node's
    /// conntrack are read. A flow is judged by the policies of both its pods, and counts as not judged where the record says too little of it. The exit
    /// status is 0 if no flow would be denied, and 3 if one would be, or if that is not known.
    Observe(Observe),
    /// Save all policies of the cluster, of every kind, with all that belongs to them.
    ///
    /// The file has the objects as the API server has them: policies of every CNI, tiers, sets and groups. A kind that may not be read is an error, since
    /// half a backup is none. The name of the file has the hash of its bytes, and the same policies give the same file.
    Backup(Backup),
    /// Bring policies back from a backup.
    ///
    /// A policy that is not there is created, and one that says something else is replaced. Nothing is ever deleted: what is there and not in the backup is
    /// listed. The API server tries all of it before anything is written. A warning counts as an error, and so does a field that the API server drops.
    /// Objects that a controller makes are left to it.
    Restore(Restore),
}

/// From which CNI to which, and in which kind of policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Turn {
    /// The CNI that enforces the policies now.
    #[arg(long, value_enum)]
    pub from: Cni,
    /// The CNI that is to enforce what is written.
    #[arg(long, value_enum)]
    pub to: Cni,
    /// The kind of policies to write; by default, the new CNI's own kind.
    #[arg(long, value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Target>,
}

/// A kind of policy that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// NetworkPolicy of Kubernetes, which every CNI for policies enforces.
    Kubernetes,
    /// NetworkPolicy and ClusterNetworkPolicy of Antrea.
    Antrea,
    /// CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy.
    Cilium,
    /// ClusterNetworkPolicy of Kubernetes, v1alpha2.
    Cluster,
}

/// Options of `policies convert`.
#[derive(Debug, Args)]
pub struct Convert {
    /// What to convert to what.
    #[command(flatten)]
    pub turn: Turn,
    /// The file to write the policies to, as YAML; - is stdout.
    #[arg(long, value_name = "FILE", required_unless_present = "apply")]
    pub out: Option<PathBuf>,
    /// Apply the policies to the cluster, after the API server has tried all of them.
    #[arg(long)]
    pub apply: bool,
    /// With --apply: let the API server try all of them, print what would be applied, and change nothing.
    #[arg(long, requires = "apply")]
    pub dry_run: bool,
}

/// Options of `policies diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// The CNI that enforces the cluster's policies now.
    #[arg(long, value_enum)]
    pub from: Cni,
    /// The CNI that would enforce the policies in the files.
    #[arg(long, value_enum)]
    pub to: Cni,
    /// A file with policies, YAML or JSON; repeat it for several. The cluster's NetworkPolicies count beside them unless a file has one of the same name.
    #[arg(long, value_name = "FILE", required = true)]
    pub policies: Vec<PathBuf>,
}

/// Options of `policies observe`.
#[derive(Debug, Args)]
pub struct Observe {
    /// The CNI that the cluster has now.
    #[arg(long, value_enum)]
    pub from: Cni,
    /// The CNI that would enforce the policies.
    #[arg(long, value_enum)]
    pub to: Cni,
    /// A file with recorded flows, one in each line; - is stdin. Repeat it for several.
    #[arg(long, value_name = "FILE", required = true)]
    pub flows: Vec<PathBuf>,
    /// A file with policies that the new CNI would enforce, as policies diff takes it; by default, those that the cluster has.
    #[arg(long, value_name = "FILE")]
    pub policies: Vec<PathBuf>,
}

/// Options of `policies backup`.
#[derive(Debug, Args)]
pub struct Backup {
    /// The directory to write the file to. The file's name has the hash of its content, so the same policies give the same file.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Options of `policies restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// The file that policies backup wrote.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Let the API server try all of it, print what would be written, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

impl Turn {
    /// The kind of policies to write.
    #[must_use]
    pub const fn target(&self) -> Target {
        match (self.kind, self.to) {
            (Some(target), _) => target,
            (None, Cni::Antrea) => Target::Antrea,
            (None, Cni::Cilium) => Target::Cilium,
            (None, _) => Target::Kubernetes,
        }
    }
}

impl Target {
    /// The policies, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kubernetes => "NetworkPolicy of Kubernetes",
            Self::Antrea => "NetworkPolicy and ClusterNetworkPolicy of Antrea",
            Self::Cilium => "CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy",
            Self::Cluster => "ClusterNetworkPolicy of Kubernetes",
        }
    }
}

/// `calico to cilium, as CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy`.
impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}, as {}", self.from, self.to, self.target().name())
    }
}
