//! The facts of `install` about the node.

use std::collections::BTreeSet;
use std::path::PathBuf;

use shim::host::boot::Moment;
use shim::node::inventory::Deleter;
use shim::node::store::Key;
use types::node::Mode;

use crate::change::Change;
use crate::node::cni::CniFacts;
use crate::node::facts::NodeFacts;
use crate::node::networks::gated::{GatedNetwork, Keeper};
use crate::node::policy::completion::Completion;
use crate::runtime::Sandbox;
use crate::runtime::answer::RuntimeAnswer;
use crate::runtime::cache::Cache;
use crate::runtime::config::RuntimeConfig;
use crate::runtime::endpoint::RuntimeChoice;
use crate::runtime::facts::RuntimeFacts;

/// What an installation finds beyond what every command gathers. What could not be read says why, in words that name it.
#[derive(Debug)]
pub struct InstallFacts {
    /// The running node, whose runtime was asked.
    pub node: NodeFacts,
    /// The confs, networks and plugins of the node.
    pub cni: CniFacts,
    /// The mode that the command line names.
    pub mode: Mode,
    /// Directories of Crossfade and of the runtime that other users could write.
    pub distrusted: Vec<String>,
    /// The probes that its profiles know and it does not.
    pub completion: Option<Completion>,
    /// Networks whose pods will wait for a file of `watch`.
    pub waiting: Vec<GatedNetwork>,
    /// Who keeps the files that pods wait for.
    pub keeper: Keeper,
    /// The attachments in the runtime's result cache.
    pub cache: Result<Cache, String>,
    /// The attachments that have a record, without damaged ones.
    pub recorded: Result<BTreeSet<Key>, String>,
    /// The attachments that have an inventory entry.
    pub listed: Result<BTreeSet<Key>, String>,
    /// The sandboxes that it runs on a pod network and that neither its cache, a record nor the inventory knows.
    pub uncached: Result<Vec<Sandbox>, String>,
    /// Directories in which the runtime itself says that it looks for plugins; none where it says nothing.
    pub runtime_dirs: Vec<PathBuf>,
    /// Whether a runtime that does not name its conf has read Crossfade's conf, if the conf is installed.
    pub read: Result<(), String>,
    /// The runtime that `watch`, `boot` and later commands will ask without options of a command line.
    pub later: RuntimeChoice,
    /// What an earlier installation may have left on the Node, if this one begins.
    pub leftovers: Result<Option<Change>, String>,
    /// Who sends the DELs of the attachments from before the installation.
    pub deleter: Deleter,
    /// Whether its ADDs that are running can be seen from here.
    pub sees: Result<(), String>,
    pub now: Result<Moment, String>,
}

impl InstallFacts {
    /// The configuration of a runtime that runs and says nothing of itself, which is CRI-O.
    #[must_use]
    pub fn config_without_dir(&self) -> Option<&RuntimeConfig> {
        config_without_dir(&self.node.runtime)
    }
}

pub fn config_without_dir(runtime: &RuntimeFacts) -> Option<&RuntimeConfig> {
    runtime.crio().filter(|_| runtime.answer == RuntimeAnswer::Silent)
}
