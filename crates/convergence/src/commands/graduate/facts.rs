//! The facts by which `graduate` decides.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use shim::host::boot::Moment;
use shim::node::inventory::Entry;
use shim::node::layout::Layout;
use shim::node::store::Key;
use shim::sweep::ListStatus;
use types::attachment::Attachment;
use types::policy::Policy;

use crate::change::Change;
use crate::node::conf::confdir::ConfDir;
use crate::node::plugins::bin_dirs::BinDir;
use crate::node::settings::directories::InstalledConf;
use crate::runtime::answer::RuntimeAnswer;
use crate::runtime::conf_selection::ConfSelection;

/// The facts about a node that Crossfade is to leave.
#[derive(Debug, Clone)]
pub struct GraduateFacts {
    pub runtime: ObservedRuntime,
    /// The directory of confs.
    pub conf: ObservedConf,
    /// The policy's network `new`; none if the policy has none.
    pub new: Option<NewNetwork>,
    pub policy: Policy,
    /// The attachments with a record, and what the runtime's list says of each sandbox.
    pub records: Vec<(Attachment, ListStatus)>,
    /// Records that cannot be read.
    pub damaged: Vec<String>,
    /// The entries of the inventory, and what the runtime's list says of each sandbox.
    pub entries: Vec<(Entry, ListStatus)>,
    /// The runtime's result cache.
    pub cache: ObservedCache,
    /// How far earlier runs have come.
    pub progress: Progress,
    /// What is on its way from elsewhere.
    pub transit: NodeAnnotations,
    pub node_json: NodeJson,
    /// Crossfade's plugin in the runtime's directories.
    pub plugins: Vec<BinDir>,
    /// The directories of the installation.
    pub layout: Layout,
    /// What is there of the records and the inventory.
    pub state: Vec<PathBuf>,
    /// The directory to which files are moved.
    pub aside_dir: PathBuf,
    /// The marker of a node without Crossfade's plugin.
    pub marker: PathBuf,
    /// Whether systemd runs `watch`.
    pub watch_runs: bool,
    /// What is taken back on the Node, if this node reports there.
    pub retract: Option<Change>,
}

/// The runtime, as it is configured and as it answers.
#[derive(Debug, Clone)]
pub struct ObservedRuntime {
    /// It sends a DEL with the conf of the ADD, as CRI-O does.
    pub replays: bool,
    pub answer: RuntimeAnswer,
    /// Why its ADDs cannot be seen from here, if so.
    pub blind: Option<String>,
    /// Which conf of its directory it uses.
    pub picks: ConfSelection,
    /// It reads Crossfade's private directory.
    pub is_private: bool,
    /// systemd can restart it under its usual name.
    pub can_restart: bool,
    /// It has started since Crossfade's conf left.
    pub is_restarted: bool,
    /// Why it does not list its sandboxes, if so.
    pub unlisted: Option<String>,
    /// The container ids that it lists.
    pub sandboxes: BTreeSet<String>,
}

/// The directory of confs.
#[derive(Debug, Clone)]
pub struct ObservedConf {
    pub dir: ConfDir,
    /// The path of Crossfade's conf, whether it exists or not.
    pub file: PathBuf,
    /// Crossfade's conf, if it is installed.
    pub ours: Option<InstalledConf>,
    /// The name of Crossfade's network, as long as it is known.
    pub name: Option<String>,
}

/// The network that stays.
#[derive(Debug, Clone)]
pub struct NewNetwork {
    /// Its own name and the path of its conf, or why the conf cannot be loaded.
    pub conf: Result<(String, PathBuf), String>,
    /// A CHECK reaches its plugins: the conf's version has CHECK, and the conf does not disable it.
    pub is_checked: bool,
    /// Why it could not attach a pod now, if so.
    pub why_not: Option<String>,
}

/// The runtime's result cache.
#[derive(Debug, Clone, Default)]
pub struct ObservedCache {
    pub dir: PathBuf,
    /// The bytes of the entries of attachments with a record, under Crossfade's name or under that of the new network.
    pub entries: BTreeMap<Key, Vec<u8>>,
    /// Whose entry is under Crossfade's name.
    pub under_ours: BTreeSet<Key>,
    /// Whose entry is under the new network's name.
    pub under_new: BTreeSet<Key>,
    /// The attachments through Crossfade.
    pub through_us: BTreeSet<Key>,
    /// Why it cannot be read, if so.
    pub unreadable: Option<String>,
}

/// How far earlier runs have come, by their journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// When Crossfade's conf was about to be removed; none if it was not, or if it was put back since.
    pub left_at: Option<Moment>,
    /// The runtime uses the new network, and an attachment to it worked.
    pub is_confirmed: bool,
    pub is_ended: bool,
    /// The attachments whose entries in the cache were written under the new network's name.
    pub handed: BTreeSet<Key>,
}

/// What is on its way to this node from elsewhere.
#[derive(Debug, Clone, Default)]
pub struct NodeAnnotations {
    /// The annotation `crossfade/desired`.
    pub desired: Option<String>,
    /// The annotation `crossfade/step`.
    pub step: Option<String>,
    /// Why the Node was not read, if it was to be.
    pub unseen: Option<String>,
}

/// node.json, and what it is to say.
#[derive(Debug, Clone)]
pub struct NodeJson {
    /// The path of the administrator's file.
    pub path: PathBuf,
    /// That file's bytes, if it exists.
    pub before: Option<Vec<u8>>,
    /// What it is to say: everything that counts now, and `confDir` none.
    pub after: Result<Vec<u8>, String>,
    /// Why it does not outlive a reboot, if so.
    pub fleeting: Option<String>,
}
