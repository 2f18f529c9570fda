//! The report of what a run did and what it cost, made of its plan, its run and its journal, none of which has to be there as a whole. What is
//! not known is absent from a report, and is never a zero.
//!
//! A journal is a history that others may write, too: everything in it is bounded here, and nothing is decided by it.

mod evictions;
pub mod journal;
mod lanes;
pub mod measure;
mod nodes;
pub mod redact;
#[cfg(test)]
mod tests;
mod waits;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use types::policy::Phase;

pub use evictions::{Evictions, WorkloadRestarts};
use journal::{Journal, JournalEvent};
pub use journal::{MissingSpan, Piece};
pub use lanes::{Lane, Span};
use measure::Measurements;
pub use measure::{ClassReport, Figures};
pub use nodes::{NodeTimes, Replacements};
pub use waits::{ReasonTotal, WaitSpan};

use crate::cni::reach::Way;
use crate::cni::support::{Cni, Strategy};
use crate::config::Waiver;
use crate::plan::{Agent, Bridge, Plan};
use crate::roll::run::{Run, State, Wish};
use crate::roll::world::Color;

/// How many entries a list of a report has at most. What is beyond is counted in `notListed`.
pub const LISTED: usize = 10_000;
/// How many counts of attachments a report has at most: of more, every second one is left out, until they fit.
const COUNTS: usize = 2_000;
/// Longest text of others in a report, in bytes.
const TEXT: usize = 2 << 10;

/// What is known of a run.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The run's id.
    pub id: String,
    pub run: Option<Run>,
    /// The plan with its whole hash.
    pub plan: Option<(String, Plan)>,
    /// The pieces of its journal.
    pub journal: Vec<Piece>,
    /// What gates said last.
    pub gates: BTreeMap<String, GateVerdict>,
    /// What probes and gates measured.
    pub measured: Vec<Measurements>,
    /// The version of the API server.
    pub kubernetes: Option<String>,
}

/// What a run did and what it cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "RunReport"))]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The run.
    pub run: String,
    /// Whether it goes on; none if the run cannot be read.
    pub state: Option<State>,
    /// When the first line of the journal was written, by the holder's clock, in RFC 3339, UTC, as all times here; none without a line.
    pub since: Option<String>,
    /// The same of the last line.
    pub until: Option<String>,
    /// Spans of which the journal lacks lines. What a report counts is then too little.
    pub missing: Vec<MissingSpan>,
    /// What was planned; none if the plan cannot be read.
    pub plan: Option<PlanSummary>,
    /// Who held the run, and who approved which plan, in order.
    pub holders: Vec<HolderSpan>,
    /// What people asked of the run.
    pub wishes: Vec<WishRecord>,
    /// Decisions that the program refused to itself.
    pub broken: Vec<BrokenRule>,
    /// Nodes by what they took; none if none came to its phase in place.
    pub times: Option<NodeTimes>,
    /// Nodes that pipelines replaced; none if pipelines replace no nodes.
    pub replaced: Option<Replacements>,
    /// Each node over time.
    pub nodes: Vec<Lane>,
    /// What was attached over time.
    pub attached: Vec<AttachedCount>,
    /// What the run itself evicted, and restarts of pods; none without a line of the journal. What pipelines evict is not measured.
    pub evictions: Option<Evictions>,
    /// What the run waited for, in total.
    pub reasons: Vec<ReasonTotal>,
    /// What the run waited for, in order.
    pub waits: Vec<WaitSpan>,
    /// What was lost on the way from pods of one kind to pods of another, by what probes and gates measured.
    pub probes: Vec<ClassReport>,
    /// What gates said last whose commands the holder runs.
    pub gates: BTreeMap<String, GateVerdict>,
    /// Policies that no CNI enforced in some phase, and the time in which that may have been so: kinds that were accepted by name, and what came later.
    pub unenforced: Vec<PolicyWindow>,
    /// Versions.
    pub versions: Versions,
    /// How many nodes, waits, wishes, holders and workloads are not listed, since there are too many.
    pub not_listed: usize,
}

/// What was planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PlanSummary {
    /// SHA-256 of the plan, in hex.
    pub hash: String,
    /// The UID of the cluster's namespace kube-system.
    pub cluster: String,
    /// The CNI to move from.
    pub from: Cni,
    /// The CNI to move to.
    pub to: Cni,
    /// How to move.
    pub strategy: Strategy,
    /// The passes.
    pub passes: Vec<PassSummary>,
    /// How many passes restart a pod that networks join and leave.
    pub restarts: usize,
    /// How many nodes it moves.
    pub nodes: usize,
    /// The waves, with the number of their nodes.
    pub waves: Vec<WaveSummary>,
    /// Nodes that no pass touches, with the reason.
    pub left_out: BTreeMap<String, String>,
    /// How it is known that nodes forward between both networks; none where no pass needs it.
    pub bridge: Option<Bridge>,
    /// Findings of `check` that were accepted.
    pub waivers: Vec<Waiver>,
}

/// A pass of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PassSummary {
    /// The phase that nodes leave.
    pub from: Phase,
    /// The phase that it brings nodes to.
    pub to: Phase,
    /// How it brings pods there.
    pub way: Way,
}

/// A wave of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WaveSummary {
    /// Its name.
    pub name: String,
    /// How many nodes it has.
    pub nodes: usize,
}

/// A program that held the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HolderSpan {
    /// When it began.
    #[serde(rename = "at")]
    pub time: String,
    /// `user@host:pid:random`.
    #[serde(rename = "by")]
    pub holder: String,
    /// SHA-256 of the plan that it went by, in hex.
    pub plan: String,
    /// Its command line named the plan: that approves it.
    pub is_approved: bool,
    /// Its version.
    pub program: String,
}

/// What was asked of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WishRecord {
    /// When the run took it up.
    #[serde(rename = "at")]
    pub time: String,
    /// The wish.
    #[serde(flatten)]
    pub wish: Wish,
    /// Why it was refused; none if it was not.
    pub refused: Option<String>,
}

/// A decision that the program refused to itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BrokenRule {
    /// When.
    #[serde(rename = "at")]
    pub time: String,
    /// What must never happen.
    pub invariant: String,
    /// What would have broken it.
    pub why: String,
}

/// What was attached at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AttachedCount {
    /// When.
    #[serde(rename = "at")]
    pub time: String,
    /// Which pass it was.
    pub pass: u32,
    /// Attachments by the phase that they were made in.
    pub attached: BTreeMap<Phase, u32>,
    /// How many nodes did not say what is attached to them.
    pub silent: usize,
}

/// What a gate said last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "LastVerdict"))]
pub struct GateVerdict {
    /// How it was.
    #[serde(rename = "is")]
    pub color: Color,
    /// When its command was started.
    #[serde(rename = "at")]
    pub time: String,
    /// Why, in words.
    pub why: String,
}

/// The time in which policies of a kind may have been unenforced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PolicyWindow {
    /// The kind of policies.
    pub kind: String,
    /// Those that came after the plan was made; none where the plan accepts the whole kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policies: Option<String>,
    /// When the first node was asked for another phase; none if none was yet.
    pub since: Option<String>,
    /// When the last pass was done; none if it was not yet, or if the journal does not say it.
    pub until: Option<String>,
}

/// Versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Versions {
    /// Versions of `kubectl-crossfade` that held the run.
    pub programs: BTreeSet<String>,
    /// The API server's, as it is now; none if it was not asked.
    pub kubernetes: Option<String>,
    /// The agents' DaemonSets as the plan has them.
    pub agents: Vec<Agent>,
}

/// Makes the report of a run.
#[must_use]
pub fn report(sources: Sources) -> Report {
    let Sources { id, run, plan, journal, gates, measured, kubernetes } = sources;
    let Journal { entries, missing } = journal::read(&journal);
    let plan = plan.as_ref().map(|(hash, plan)| (hash.as_str(), plan));
    let lanes = lanes::lanes(&entries, plan.map(|(_, plan)| plan));
    let times = nodes::times(&lanes);
    let is_rotation = plan.is_some_and(|(_, plan)| !plan.image_phases().is_empty());
    let replaced = nodes::replacements(&entries, is_rotation, missing.is_empty());
    let waits = waits::waits(&entries);
    let counts = counts(&entries);
    let evictions = evictions::evictions(&entries, &counts, replaced.is_some());
    let mut not_listed = 0;
    let mut report = Report {
        run: id,
        state: run.as_ref().map(|run| run.state.clone()),
        since: entries.first().map(|entry| shown(entry.time)),
        until: entries.last().map(|entry| shown(entry.time)),
        missing,
        holders: holders(&entries),
        wishes: wishes(&entries),
        broken: broken(&entries),
        times,
        replaced,
        nodes: listed(lanes, &mut not_listed),
        attached: thinned(counts),
        evictions: (!entries.is_empty())
            .then(|| Evictions { workloads: listed(evictions.workloads, &mut not_listed), ..evictions }),
        reasons: waits::totals(&waits),
        waits: listed(waits, &mut not_listed),
        probes: measure::classes(plan.map(|(_, plan)| plan), &measured, &entries),
        gates: gates.into_iter().map(|(name, verdict)| (text(&name), verdict.shortened())).collect(),
        unenforced: windows(plan.map(|(_, plan)| plan), run.as_ref(), &entries),
        versions: Versions {
            programs: BTreeSet::new(),
            kubernetes,
            agents: plan.map(|(_, plan)| plan.agents.clone()).unwrap_or_default(),
        },
        plan: plan.map(|(hash, plan)| summary(hash, plan)),
        not_listed: 0,
    };
    report.versions.programs = report.holders.iter().map(|holder| holder.program.clone()).collect();
    report.holders = listed(report.holders, &mut not_listed);
    report.wishes = listed(report.wishes, &mut not_listed);
    report.broken = listed(report.broken, &mut not_listed);
    report.not_listed = not_listed;
    report
}

/// A time as a report has it: UTC, RFC 3339, whole seconds.
fn shown(at: Timestamp) -> String {
    format!("{at:.0}")
}

/// Text of others, shortened.
fn text(text: &str) -> String {
    if text.len() <= TEXT { text.to_owned() } else { types::text::quote::quote(text.as_bytes(), TEXT) }
}

/// A list without what is beyond the limit, which is counted.
fn listed<T>(mut list: Vec<T>, not_listed: &mut usize) -> Vec<T> {
    *not_listed += list.len().saturating_sub(LISTED);
    list.truncate(LISTED);
    list
}

impl GateVerdict {
    fn shortened(self) -> Self {
        Self { time: text(&self.time), why: text(&self.why), ..self }
    }
}

fn summary(hash: &str, plan: &Plan) -> PlanSummary {
    PlanSummary {
        hash: hash.to_owned(),
        cluster: plan.cluster.clone(),
        from: plan.from,
        to: plan.to,
        strategy: plan.strategy,
        passes: plan.steps().map(|(from, to, way)| PassSummary { from, to, way }).collect(),
        restarts: plan.restarts(),
        nodes: plan.waves.iter().map(|wave| wave.nodes.len()).sum(),
        waves: plan
            .waves
            .iter()
            .map(|wave| WaveSummary { name: text(&wave.name.to_string()), nodes: wave.nodes.len() })
            .collect(),
        left_out: plan
            .left_out
            .iter()
            .take(LISTED)
            .map(|excluded| (text(&excluded.name), text(&excluded.why)))
            .collect(),
        bridge: plan.bridge.clone(),
        waivers: plan.waivers.clone(),
    }
}

fn holders(entries: &[journal::Entry]) -> Vec<HolderSpan> {
    let holder = |entry: &journal::Entry| {
        let JournalEvent::Holds { holder, plan, is_approved, program } = &entry.event else { return None };
        Some(HolderSpan {
            time: shown(entry.time),
            holder: text(holder),
            plan: text(plan),
            is_approved: *is_approved,
            program: text(program),
        })
    };
    entries.iter().filter_map(holder).collect()
}

fn wishes(entries: &[journal::Entry]) -> Vec<WishRecord> {
    let record = |entry: &journal::Entry| {
        let JournalEvent::Wished { wish, refused } = &entry.event else { return None };
        Some(WishRecord {
            time: shown(entry.time),
            wish: wish.clone(),
            refused: refused.as_deref().map(text),
        })
    };
    entries.iter().filter_map(record).collect()
}

fn broken(entries: &[journal::Entry]) -> Vec<BrokenRule> {
    let rule = |entry: &journal::Entry| {
        let JournalEvent::Broken { invariant, why } = &entry.event else { return None };
        Some(BrokenRule { time: shown(entry.time), invariant: text(invariant), why: text(why) })
    };
    entries.iter().filter_map(rule).collect()
}

fn counts(entries: &[journal::Entry]) -> Vec<AttachedCount> {
    let count = |entry: &journal::Entry| {
        let JournalEvent::Counted { count } = &entry.event else { return None };
        Some(AttachedCount {
            time: shown(entry.time),
            pass: count.pass,
            attached: count.attached.clone(),
            silent: count.silent,
        })
    };
    entries.iter().filter_map(count).collect()
}

/// As many counts as are listed, from the first to the last.
fn thinned(mut counts: Vec<AttachedCount>) -> Vec<AttachedCount> {
    while counts.len() > COUNTS {
        let last = counts.len() - 1;
        let mut index = 0..;
        counts.retain(|_| index.next().is_none_or(|index| index % 2 == 0 || index == last));
    }
    counts
}

/// The time in which some nodes were in another phase than the first one, which is when policies may be unenforced.
fn windows(plan: Option<&Plan>, run: Option<&Run>, entries: &[journal::Entry]) -> Vec<PolicyWindow> {
    let since = entries.iter().find(|entry| entry.event.asks_for_a_phase()).map(|entry| shown(entry.time));
    let end = entries.iter().rposition(|entry| entry.event.ends_the_run());
    let until = end.filter(|end| !entries[*end..].iter().any(|entry| entry.event.asks_for_a_phase()));
    let until = until.filter(|_| since.is_some()).map(|end| shown(entries[end].time));
    let accepted = plan.into_iter().flat_map(|plan| &plan.unenforced).map(|kind| (kind, None));
    let later = run.into_iter().flat_map(|run| &run.unenforced);
    let later = later.take(LISTED).map(|policies| (&policies.kind, Some(text(&policies.names()))));
    let window = |(kind, policies): (&String, Option<String>)| PolicyWindow {
        kind: text(kind),
        policies,
        since: since.clone(),
        until: until.clone(),
    };
    accepted.chain(later).map(window).collect()
}
