//! Evictions, what budgets refused, and how often pods were restarted.

use std::collections::BTreeMap;

use serde::Serialize;

use super::journal::{Entry, JournalEvent};
use super::{AttachedCount, text};
use crate::drive::event::{ActRecord, CallResult};

/// How many workloads and pods are counted by their names, which come from others.
const NAMES: usize = 200_000;

/// What the run itself evicted, and restarts of pods.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Evictions {
    /// Pods that were evicted.
    pub evicted: u64,
    /// Pods without an owner that were deleted.
    pub deleted: u64,
    /// Calls that a PodDisruptionBudget refused; the same pod may be asked for many times.
    pub refused_by_budgets: u64,
    /// Calls that the API server had no time for.
    pub refused_as_busy: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Evictions and deletions for each attachment that was counted when there were most; none if attachments were not counted, or if pipelines replace nodes: they
    /// restart pods as well, and nothing counts these.
    pub restarts_per_pod: Option<f64>,
    /// The same by what makes the pods, those with most restarts first.
    pub workloads: Vec<WorkloadRestarts>,
}

/// Restarts of the pods of one workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct WorkloadRestarts {
    /// `KIND/NAMESPACE/NAME`; a pod without an owner is `Pod/NAMESPACE/NAME`.
    pub owner: String,
    /// Pods that were evicted or deleted.
    pub restarts: u64,
    /// How many of them were in each pass.
    pub passes: BTreeMap<u32, u64>,
    /// How often the pod of one name was restarted most.
    pub most_of_one_pod: u64,
    /// Calls that a PodDisruptionBudget refused.
    pub refused_by_budgets: u64,
}

#[derive(Debug, Default)]
struct Tally {
    passes: BTreeMap<u32, u64>,
    pods: BTreeMap<String, u64>,
    refused: u64,
}

/// Counts evictions; `counts` says in which pass they were, and how many attachments there were. Where pipelines replace nodes, these are not all of them.
pub(super) fn evictions(entries: &[Entry], counts: &[AttachedCount], has_pipelines: bool) -> Evictions {
    let mut sums = Evictions::default();
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let (mut pass, mut names) = (1, 0_usize);
    for Entry { event, .. } in entries {
        let (act, outcome) = match event {
            JournalEvent::Counted { count } => {
                pass = count.pass;
                continue;
            }
            JournalEvent::Acted { act: ActRecord::Record { pass: next, .. }, outcome } => {
                pass = if outcome == "Done" { *next } else { pass };
                continue;
            }
            JournalEvent::Acted { act, outcome } => (act, CallResult::parse(outcome)),
            JournalEvent::Holds { .. }
            | JournalEvent::Waits { .. }
            | JournalEvent::Over { .. }
            | JournalEvent::Wished { .. }
            | JournalEvent::Broken { .. }
            | JournalEvent::Replanned {}
            | JournalEvent::Finished { .. } => continue,
        };
        let (pod, owner) = match act {
            ActRecord::Evict { pod, owner, .. } => (pod, owner.as_ref()),
            ActRecord::Delete { pod, .. } => (pod, None),
            ActRecord::Patch { .. }
            | ActRecord::Hook { .. }
            | ActRecord::Census
            | ActRecord::Record { .. } => continue,
        };
        match (outcome, act) {
            (CallResult::Accepted, ActRecord::Delete { .. }) => sums.deleted += 1,
            (CallResult::Accepted, _) => sums.evicted += 1,
            (CallResult::Budget, _) => sums.refused_by_budgets += 1,
            (CallResult::Busy, _) => sums.refused_as_busy += 1,
            (CallResult::Failed, _) => sums.failed += 1,
            (CallResult::Gone, _) => {}
        }
        if names >= NAMES {
            continue;
        }
        let owner = owner.map_or_else(|| text(&format!("Pod/{pod}")), |owner| text(owner));
        match outcome {
            CallResult::Budget => tallies.entry(owner).or_default().refused += 1,
            CallResult::Accepted => {
                let tally = tallies.entry(owner).or_default();
                *tally.passes.entry(pass).or_default() += 1;
                *tally.pods.entry(text(pod)).or_default() += 1;
            }
            CallResult::Busy | CallResult::Failed | CallResult::Gone => continue,
        }
        names += 1;
    }
    let most: u64 =
        counts.iter().map(|count| count.attached.values().copied().map(u64::from).sum()).max().unwrap_or(0);
    sums.restarts_per_pod = (most > 0 && !has_pipelines).then(|| ratio(sums.evicted + sums.deleted, most));
    sums.workloads = tallies.into_iter().map(restarts).collect();
    sums.workloads.sort_by(|a, b| {
        (b.restarts, b.refused_by_budgets, &a.owner).cmp(&(a.restarts, a.refused_by_budgets, &b.owner))
    });
    sums
}

fn restarts((owner, tally): (String, Tally)) -> WorkloadRestarts {
    WorkloadRestarts {
        owner,
        restarts: tally.passes.values().sum(),
        passes: tally.passes,
        most_of_one_pod: tally.pods.into_values().max().unwrap_or(0),
        refused_by_budgets: tally.refused,
    }
}

/// A ratio with two digits. Both numbers are of pods, and exact in an f64.
#[expect(clippy::cast_precision_loss, reason = "numbers of pods are far below 2^52")]
fn ratio(number: u64, all: u64) -> f64 {
    (number as f64 * 100.0 / all as f64).round() / 100.0
}
