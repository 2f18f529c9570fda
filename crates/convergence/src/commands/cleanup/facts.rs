//! The facts by which `cleanup` decides.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ipnetwork::IpNetwork;
use types::profile::Profile;

use crate::commands::cleanup::decide::ActiveCni;
use crate::commands::cleanup::kernel::KernelFacts;

/// The facts about one CNI on a node.
#[derive(Debug, Clone)]
pub struct CleanupFacts {
    /// The CNI that is cleaned up.
    pub profile: Profile,
    pub kernel: KernelFacts,
    /// What is there of the profile's paths.
    pub files: FileFacts,
    /// What Crossfade knows of attachments to the CNI.
    pub claims: Claims,
    /// The other CNIs of this node.
    pub in_use: Vec<ActiveCni>,
    /// The confs in the runtime's directories.
    pub confs: Vec<ConfFact>,
    /// The conf that the runtime uses, if it is the CNI's.
    pub used_conf: Option<PathBuf>,
    /// The names of the CNI's networks: the usual ones, and those of its confs.
    pub networks: BTreeSet<String>,
    /// The ranges of the CNI's networks, by the policy.
    pub cidrs: Vec<IpNetwork>,
    /// Processes of the agent, as `flanneld (process 12)`.
    pub agents: Vec<String>,
    /// Probes of the agent that hold.
    pub answering: Vec<String>,
    /// The sandboxes that live; none if the runtime was not asked or does not answer.
    pub live: Option<BTreeSet<String>>,
    /// What earlier runs have noted.
    pub earlier: EarlierRuns,
    /// The directory to which files are moved.
    pub aside_dir: PathBuf,
}

/// What Crossfade knows of attachments to the CNI, in words.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    /// Records that cannot be read.
    pub damaged: Vec<String>,
    /// Attachments with a record.
    pub records: Vec<String>,
    /// Attachments in the inventory.
    pub inventory: Vec<String>,
    /// Networks of the policy, `old` or `new`, of this CNI, which a pod may get.
    pub attached: Vec<String>,
    /// Types of plugins that records of any network name.
    pub programs: Vec<String>,
}

/// A conf in a directory that the runtime reads, or that agents write to.
#[derive(Debug, Clone)]
pub struct ConfFact {
    pub path: PathBuf,
    /// The name of its network.
    pub name: String,
    /// The types of its plugins.
    pub types: Vec<String>,
    /// The interfaces that its plugins `bridge` make.
    pub bridges: Vec<String>,
    /// Whether it is of the CNI that is cleaned up.
    pub is_own: bool,
    /// Whether the runtime may have it loaded.
    pub is_loaded: bool,
}

/// What is there of a profile's paths.
#[derive(Debug, Clone, Default)]
pub struct FileFacts {
    /// Mount points.
    pub mounts: Vec<PathBuf>,
    /// Pinned BPF objects and directories of them.
    pub pins: Vec<PinFact>,
    pub files: Vec<PathBuf>,
    /// Files under a name of the CNI's confs that are none of its confs, each with the reason.
    pub strange_confs: Vec<(PathBuf, String)>,
    pub directories: Vec<DirectoryFact>,
    /// Directories of leases.
    pub leases: Vec<LeaseFact>,
    pub programs: Vec<PathBuf>,
    /// Paths that show that only a reboot removes everything.
    pub shown: Vec<PathBuf>,
}

/// A pinned BPF object, or a directory of them.
#[derive(Debug, Clone)]
pub struct PinFact {
    pub path: PathBuf,
    /// Whether it is a directory.
    pub is_dir: bool,
}

#[derive(Debug, Clone)]
pub struct DirectoryFact {
    /// Its path, without a link in it.
    pub path: PathBuf,
    /// What is mounted at it or below it.
    pub mounts: Vec<PathBuf>,
}

/// The leases of a network. *Source*: containernetworking/plugins: plugins/ipam/host-local/backend/disk/backend.go.
#[derive(Debug, Clone)]
pub struct LeaseFact {
    pub path: PathBuf,
    pub network: String,
    /// How many addresses are leased.
    pub count: usize,
    /// Some of the container ids that hold one.
    pub container_ids: Vec<String>,
    /// Sandboxes that live and hold one.
    pub live: Vec<String>,
}

/// What earlier runs have noted in the journal.
#[derive(Debug, Clone, Default)]
pub struct EarlierRuns {
    /// Why a reboot was necessary, in this very boot.
    pub reboot: BTreeSet<String>,
    /// The names of the CNI's networks, when its confs were still there.
    pub networks: BTreeSet<String>,
    /// Chains to which a removed rule led: whose they were, that rule alone said.
    pub chains: BTreeSet<String>,
}
