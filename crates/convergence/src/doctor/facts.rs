//! The facts of `doctor` about a node, gathered once. A source that could not be read is a fact, too.

use std::collections::{BTreeMap, BTreeSet};

use shim::host::boot::Moment;
use shim::host::lock::RunningCall;
use shim::node::ledger;
use shim::node::store::Key;
use types::command::problem::Problem;
use types::node::RuntimeKind;

use crate::doctor::journal::Entry;
use crate::node::agent::status_file::StatusFile;
use crate::node::attachments::Attachments;
use crate::node::attachments::last_pass::PassResult;
use crate::node::attachments::leaks::Leak;
use crate::node::attachments::sweep_candidates::SweepCandidate;
use crate::node::cni::CniFacts;
use crate::node::facts::NodeFacts;
use crate::node::networks::readiness::NetworkReadiness;
use crate::node::switch::OffSwitch;
use crate::publish::node_read::ApiServerState;
use crate::runtime::{Sandbox, State};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source<T> {
    Read(T),
    /// It does not exist here, or is not to be asked; why.
    Absent(String),
    /// It could not be read.
    Unread(Problem),
}

impl<T> Source<T> {
    /// What it says, if it was read.
    pub const fn read(&self) -> Option<&T> {
        match self {
            Self::Read(read) => Some(read),
            Self::Absent(_) | Self::Unread(_) => None,
        }
    }
}

/// Everything that findings are made of.
#[derive(Debug)]
pub struct Facts {
    /// Settings, runtime, conf, name and policy.
    pub node: NodeFacts,
    /// The conf directory, the networks' confs, and Crossfade's plugin.
    pub cni: CniFacts,
    pub boot_id: String,
    /// Now, on the clock of this boot.
    pub now: Moment,
    /// What switched Crossfade off.
    pub off_switch: Option<OffSwitch>,
    /// Whether `boot` has succeeded in this boot.
    pub booted: Result<(), Problem>,
    /// What keeps the gate shut; `None` if the gate does not hold kubelet back in this boot.
    pub gate: Option<Vec<Problem>>,
    /// Why the gate gave up in this boot.
    pub unfit: Option<String>,
    /// What others have put into the private conf directory.
    pub foreign: Option<Problem>,
    /// The report of `watch`; `None` for a tree, and for directories that the command line named, whose `watch` is not known.
    pub watch: Option<StatusFile>,
    /// What the last sweep of this boot came to.
    pub swept: Option<PassResult>,
    /// The policy's networks, asked now.
    pub networks: Vec<NetworkReadiness>,
    /// The networks of which pods asked for host ports that no plugin maps.
    pub unmapped: Vec<String>,
    /// Records, inventory and ledger.
    pub state: Source<AttachmentRecords>,
    /// What the kernel has of attachments.
    pub kernel: Source<Kernel>,
    pub sandboxes: Source<Sandboxes>,
    /// The units, by name.
    pub units: Source<BTreeMap<String, UnitState>>,
    /// What Crossfade wrote to the journal in this boot, the oldest first.
    pub journal: Source<Vec<Entry>>,
    /// What the API server has of this node.
    pub server: Source<ApiServerState>,
}

/// What Crossfade keeps of attachments.
#[derive(Debug)]
pub struct AttachmentRecords {
    /// The attachments as `attachments` lists them.
    pub attached: Attachments,
    /// The same as a sweep judges them.
    pub judged: Vec<SweepCandidate>,
    /// The calls of the plugin that run now.
    pub running: BTreeMap<Key, RunningCall>,
    pub ledger: Vec<ledger::Line>,
}

/// What the kernel says of attachments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kernel {
    /// Records of this boot whose netns is certainly gone, or another one's by now.
    pub lost_netns: BTreeSet<Key>,
    /// What a sweep would change about host routes, in words.
    pub routes: Option<String>,
    /// Leases of unknown containers.
    pub leases: Vec<Leak>,
}

/// The sandboxes of the runtime.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sandboxes {
    /// All of them by container id.
    pub listed: BTreeMap<String, State>,
    /// Those on a pod network of which Crossfade knows nothing.
    pub past_us: Vec<Sandbox>,
}

/// Units that `doctor` asks systemd about.
pub const BOOT_UNIT: &str = "crossfade-boot.service";
pub const WATCH_UNIT: &str = "crossfade-watch.service";

impl Facts {
    /// What systemd says of a unit that it knows.
    #[must_use]
    pub fn unit(&self, name: &str) -> Option<&UnitState> {
        self.units.read()?.get(name).filter(|unit| unit.load == "loaded")
    }

    /// The report of a `watch` that runs.
    #[must_use]
    pub const fn status_document(&self) -> Option<&types::status::Document> {
        match &self.watch {
            Some(StatusFile::Fresh(document)) => Some(document),
            None | Some(StatusFile::Absent | StatusFile::Stale(..) | StatusFile::Unreadable(_)) => None,
        }
    }

    /// The runtime's unit, as a person names it to systemctl; a placeholder where the runtime is part of another program.
    #[must_use]
    pub fn runtime_unit(&self) -> &str {
        match self.node.runtime.config() {
            Some(config) => config.unit.as_deref().unwrap_or("RUNTIME"),
            None => RuntimeKind::Containerd.unit(),
        }
    }

    /// The name of the Node, or a placeholder where it is not known.
    #[must_use]
    pub fn node_name(&self) -> &str {
        self.server.read().map_or("NODE", |looked| looked.node.as_str())
    }
}

/// The state of a unit, in systemd's words.
///
/// *Source*: man 5 `org.freedesktop.systemd1`, `LoadState`, `ActiveState`, `SubState` and `Result`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitState {
    /// `loaded`, `not-found`, `masked`, ..
    pub load: String,
    /// `active`, `activating`, `inactive`, `failed`, ..
    pub active: String,
    /// What the unit does within that state: `start-pre`, `auto-restart`, ..
    pub sub: String,
    /// How its last run ended: `success`, `exit-code`, ..
    pub result: String,
}

impl UnitState {
    /// The state as a line of evidence.
    #[must_use]
    pub fn line(&self, name: &str) -> String {
        format!("{name} is {} ({}), its last result is {}", self.active, self.sub, self.result)
    }
}
