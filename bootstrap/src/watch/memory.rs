//! What one round leaves to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use types::policy::{Phase, Side};
use types::status::Document;

use super::desired::Unmet;
use super::guard::Guard;
use super::proof::Proofs;
use super::reload::Reload;
use super::sweeps::Sweeps;
use crate::node::directories::Installed;

/// See the module. A `watch` that starts knows nothing but what its predecessor of this boot wrote into status.json.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// Our conf as it was when it was last there and ours.
    pub good: Option<Installed>,
    /// Its bytes while it is as it should be; none while it is not.
    pub settled: Option<Vec<u8>>,
    /// It was there once in this boot: in private mode it stays from then on.
    pub was_there: bool,
    /// Who took it.
    pub guard: Guard,
    /// How often something of others was removed from our own directory, and what it was the last time.
    pub expelled: Option<(u64, String)>,
    /// What was written for the runtime to load.
    pub reload: Reload,
    /// Since when the runtime has not answered; none while it does.
    pub unanswered: Option<Duration>,
    /// The runtime used our conf when it was last asked.
    pub used: bool,
    /// How often it was put back.
    pub repairs: u64,
    /// Where the runtime's directory is.
    pub dir_path: Option<PathBuf>,
    /// Which directory the runtime watches, as far as we know.
    pub dir: Option<String>,
    /// Since when there is no directory.
    pub dir_missing: Option<Duration>,
    /// The life of the runtime that has lost its directory.
    pub lost_by: Option<String>,
    /// The networks' agents.
    pub standing: BTreeMap<Side, Standing>,
    /// The phase that was reported.
    pub phase: Option<Phase>,
    /// What was reported, as (whether ready, why).
    pub verdict: Option<(bool, &'static str)>,
    /// Conditions that hold and have been told.
    pub told: BTreeSet<(&'static str, String)>,
    /// The passes of the sweep.
    pub sweeps: Sweeps,
    /// When a unit may put our plugin back again.
    pub placed: Duration,
    /// Events cannot be had, so the directories are looked at every so often.
    pub polls: bool,
    /// A write or a removal that failed in the last round.
    pub failed: Option<String>,
    /// Why the metrics' file was not written in the last round.
    pub unmeasured: Option<String>,
    /// Why the node is not in the phase that its annotation asks for.
    pub unmet: Option<Unmet>,
}

/// One network's agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether its probes held when it was last looked at.
    pub green: bool,
    /// Which life it was in then.
    pub agent: Vec<Option<String>>,
    /// Its proofs by attachment.
    pub proofs: Proofs,
}

impl Memory {
    /// What a `watch` knows that starts after another one of this boot, or after none.
    #[must_use]
    pub fn after(before: Option<&Document>) -> Self {
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
