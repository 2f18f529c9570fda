//! The facts of `boot`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use shim::node::ledger::Line;
use types::command::problem::Problem;

use crate::node::cni::CniFacts;
use crate::node::conf::confdir::ConfDir;
use crate::node::conf::foreign::ForeignEntry;
use crate::node::facts::NodeFacts;
use crate::node::identity::{BootKind, Identity};
use crate::node::policy::completion::Completion;

/// What a boot finds beyond what every command gathers. Paths have the root before them.
#[derive(Debug)]
pub struct BootFacts {
    /// The node; its conf directory is the one that agents write to, whichever the runtime reads.
    pub node: NodeFacts,
    /// The confs, networks and plugins of the node.
    pub cni: CniFacts,
    /// What to name where no runtime is known.
    pub unconfigured: Option<Problem>,
    /// Paths that boot writes and removes.
    pub places: Places,
    /// The identity of this machine and of this boot.
    pub identity: Identity,
    /// What kind of boot this is.
    pub kind: BootKind,
    /// The runtime runs already: what it reads now is in force until it is started again.
    pub runtime_runs: bool,
    /// Whether the runtime's unit passes Crossfade's arguments on; always true in shared mode.
    pub handed_on: Result<(), Problem>,
    /// Confs in Crossfade's private directory, or why they cannot be listed.
    pub private: Result<ConfDir, String>,
    /// Foreign entries in Crossfade's private directory.
    pub foreign: Vec<ForeignEntry>,
    /// Of what is in the usual directory: SHA-256 by file name, in hex, of what can be read.
    pub sums: BTreeMap<String, String>,
    /// Whether the agents' conf directory exists.
    pub usual_exists: bool,
    /// Whether Crossfade's private directory exists.
    pub private_exists: bool,
    /// Crossfade's conf in the usual directory, if the file is Crossfade's, whatever else the directory holds.
    pub our_conf: Option<PathBuf>,
    /// The confs that the policy's networks name, below the root.
    pub policy_confs: BTreeSet<PathBuf>,
    /// The probes that its profiles know and it does not.
    pub completion: Option<Completion>,
    /// An earlier boot left the marker of a node without Crossfade's plugin.
    pub marked_without: bool,
    /// Networks, each with its profile, whose pods would come to wait for a file that is not there, under running pods.
    pub held_back: Vec<String>,
    /// Confs that records name, with the root before them.
    pub recorded: Result<BTreeSet<PathBuf>, String>,
    /// File names of the runtime's result cache: `NETWORK-ID-IFNAME`.
    pub cached: Vec<String>,
    /// Network namespaces of pods that run although there is neither a record nor an inventory: they were attached without Crossfade.
    pub unlisted: Vec<String>,
    /// Crossfade's files and directories of state that exist.
    pub state: Vec<PathBuf>,
    /// Directories that other users could write, one line each.
    pub distrusted: Vec<String>,
    /// What an earlier image left on a node of a final image; `None` where the node has Crossfade's plugin.
    pub leavings: Option<Leavings>,
}

/// Crossfade's files and directories that boot writes and removes, below the root.
#[derive(Debug)]
pub struct Places {
    pub final_settings: PathBuf,
    /// A directory of this boot in [`SET_ASIDE`].
    pub aside_dir: PathBuf,
    /// [`PRIVATE_CONF_DIR`].
    pub private: PathBuf,
    pub identity: PathBuf,
    pub booted: PathBuf,
}

impl BootFacts {
    /// Whether this machine has not been prepared before, by `install` neither: what lies around is an image's.
    #[must_use]
    pub const fn is_fresh(&self) -> bool {
        match self.kind {
            BootKind::Clone => true,
            BootKind::First => self.state.is_empty() && !self.runtime_runs,
            BootKind::Reboot | BootKind::Again => false,
        }
    }
}

/// What an earlier image left on this node, and whether an attachment still needs it.
#[derive(Debug)]
pub struct Leavings {
    /// Paths of Crossfade's conf in directories that the runtime may read.
    pub confs: Vec<PathBuf>,
    /// The attachments through Crossfade, and the inventory entries, of this boot: `CONTAINER-ID IFNAME`.
    pub living: Result<Vec<String>, String>,
    /// CRI-O replays the confs of sandboxes that it remembers, and one of these confs is Crossfade's.
    pub is_replayed: bool,
    /// A line for everything of an earlier boot that ended without its DEL.
    pub owed: Vec<Line>,
}
