//! The observation of one pass.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use types::node::Mode;
use types::policy::Side;

use crate::node::attachments::last_pass::PassResult;
use crate::node::cni::CniFacts;
use crate::node::conf::foreign::ForeignEntry;
use crate::node::facts::NodeFacts;
use crate::node::networks::ProbeAnswers;
use crate::node::switch::OffSwitch;
use crate::watch::proof::ProofResult;

/// What a round finds: the node, and what only `watch` looks at.
#[derive(Debug)]
pub struct Observation {
    /// The node; its conf directory is the one in which the runtime finds Crossfade's conf. Where node.json cannot be used, its settings
    /// are what they were before.
    pub node: NodeFacts,
    /// The confs, networks and plugins of the node.
    pub cni: CniFacts,
    /// Time since `watch` began.
    pub now: Duration,
    pub boot_id: String,
    /// `watch` runs in a pod.
    pub in_pod: bool,
    /// What switched Crossfade off.
    pub off_switch: Option<OffSwitch>,
    /// Why `boot` has not succeeded in this boot.
    pub not_booted: Option<String>,
    /// The policy's networks, with what their agents and probes say.
    pub networks: Vec<NetworkObservation>,
    /// Foreign files in Crossfade's own conf directory, in private mode.
    pub foreign: Vec<ForeignEntry>,
    /// Which directory the conf directory is, by device and inode; none while there is none.
    pub dir_id: Option<String>,
    /// Whether `uninstall` is removing Crossfade's conf.
    pub leaving: bool,
    /// The identity of the runtime's socket, which changes when the runtime restarts.
    pub life: Option<String>,
    /// Why CRI-O, which does not tell what it has loaded, may not have read Crossfade's conf.
    pub unread: Option<String>,
    /// What the last pass of the sweep in this boot came to.
    pub last_sweep: Option<PassResult>,
    /// What the last pass of `move-pods` in this boot came to.
    pub last_move: Option<PassResult>,
    /// The directory of markers of networks whose probes held, and the networks that have one.
    pub probed: (PathBuf, BTreeSet<Side>),
}

impl Observation {
    /// Whether the runtime reads Crossfade's private directory.
    #[must_use]
    pub const fn is_private(&self) -> bool {
        matches!(self.node.settings.conf_dir, Mode::Private)
    }
}

/// One network of the policy.
#[derive(Debug, Clone)]
pub struct NetworkObservation {
    /// Whether the network is the policy's `old` or `new`.
    pub side: Side,
    /// The name of the network's profile.
    pub profile: String,
    /// The network's own name and the path of its conf, or why it has no conf.
    pub conf: Result<(String, PathBuf), String>,
    /// Binaries that are missing or cannot be used.
    pub missing: Vec<String>,
    /// The answers of the network's probes.
    pub probe_answers: ProbeAnswers,
    /// The identities of the agent's sockets, which change when the agent restarts.
    pub agent: Vec<Option<String>>,
    /// Whether the network was ready earlier in this boot.
    pub marked: bool,
    /// Whether pods of it asked for host ports in this boot, and no plugin of its conf maps them.
    pub unmapped_hostports: bool,
    /// What a proof has found in this boot.
    pub proof: Option<ProofResult>,
}
