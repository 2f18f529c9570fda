//! The state that one pass leaves to the next.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use types::api::observed::AttachmentCounts;
use types::policy::{Phase, Side};
use types::status::{Document, Reason};

use crate::node::settings::directories::InstalledConf;
use crate::publish::report::NodeEvent;
use crate::watch::desired::PhaseMismatch;
use crate::watch::guard::Guard;
use crate::watch::moves::Moves;
use crate::watch::passes::Passes;
use crate::watch::proof::Proofs;
use crate::watch::reload::Reload;

/// See the module. A `watch` that starts knows nothing but what its predecessor of this boot wrote into status.json.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// Crossfade's conf when it was last in place.
    pub good: Option<InstalledConf>,
    /// Its bytes while it is as it should be; none while it is not.
    pub settled_conf: Option<Vec<u8>>,
    /// It was there once in this boot: in private mode it stays from then on.
    pub was_there: bool,
    /// When another program took the conf away.
    pub guard: Guard,
    /// How often `watch` removed a foreign entry from the private directory, and what it was the last time.
    pub expelled: Option<(u64, String)>,
    /// When the conf was written for the runtime to load.
    pub reload: Reload,
    /// Since when the runtime has not answered; none while it does.
    pub unanswered: Option<Duration>,
    /// Whether the runtime used Crossfade's conf when it last answered.
    pub used: bool,
    /// How often `watch` repaired the conf.
    pub repairs: u64,
    /// The path of the runtime's directory.
    pub dir_path: Option<PathBuf>,
    /// Which directory the runtime watches, as far as `watch` knows.
    pub dir: Option<String>,
    /// The moment since which the directory is absent.
    pub dir_missing: Option<Duration>,
    /// The life of the runtime that has lost its directory.
    pub lost_by: Option<String>,
    /// The state of each network's agent.
    pub standing: BTreeMap<Side, AgentState>,
    /// The phase in the last report.
    pub phase: Option<Phase>,
    /// The reason of the last report.
    pub verdict: Option<Reason>,
    /// The Events of conditions that hold and that `watch` has already reported.
    pub conditions_reported: Vec<NodeEvent>,
    /// The passes of `sweep`.
    pub sweeps: Passes,
    /// The networks that join and leave pods.
    pub moves: Moves,
    /// The policy is in the phase that the Node's annotation asks for.
    pub is_led: bool,
    /// When a unit may put Crossfade's plugin back again.
    pub placed: Duration,
    /// Whether inotify is not available, so `watch` observes the directories at intervals.
    pub polls: bool,
    /// A write or a removal that failed in the last round.
    pub failed: Option<String>,
    /// Why the metrics' file was not written in the last round.
    pub unmeasured: Option<String>,
    /// The attachments as they were counted last; none if they could not be.
    pub attached: Option<AttachmentCounts>,
    /// Why the node is not in the phase that its annotation asks for.
    pub unmet: Option<PhaseMismatch>,
}

/// The state of one network's agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentState {
    /// Whether the network's probes held in the last pass.
    pub green: bool,
    /// The identity of the agent's socket files at that time, which tells a restart.
    pub agent: Vec<Option<String>>,
    pub proofs: Proofs,
}

impl Memory {
    /// What a `watch` knows that starts after another one of this boot, or after none.
    #[must_use]
    pub fn from_status(before: Option<&Document>) -> Self {
        let conf = before.map(|document| &document.conf);
        Self {
            dir_path: conf.map(|conf| conf.dir.clone()),
            dir: conf.and_then(|conf| conf.directory.clone()),
            lost_by: conf.and_then(|conf| conf.lost_by.clone()),
            was_there: conf.is_some_and(|conf| conf.was_there),
            repairs: conf.map_or(0, |conf| conf.repairs),
            ..Self::default()
        }
    }
}
