//! A run: one migration from its plan to the last node, as the ConfigMap `crossfade-run` keeps it; and wishes, the requests of operators
//! to a run that another process holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use snapshot::model::Text;
use types::policy::Phase;

use super::world::Owner;
use crate::cni::reach;
use crate::plan::{Plan, WaveKind};

/// The greatest number of a wish: one that every reader of JSON has exactly.
pub const MAX_WISH_SEQ: u64 = 1 << 53;
/// How far the number of a wish may be above that of the last one that the run took up. Numbers are given one by one, and a ConfigMap has room for fewer.
const MAX_AHEAD: u64 = 1 << 20;

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Version of this shape; 1.
    pub version: u32,
    /// Names the run; every claim begins with it.
    pub id: String,
    /// SHA-256 of the plan, in hex.
    pub plan: String,
    /// The phase that nodes leave in this pass.
    pub from: Phase,
    /// The targets of this pass and of those after it. Empty when the last pass is done.
    pub targets: Vec<Phase>,
    /// Which pass it is, for people and for claims; the first is 1. It only grows, also when a run goes back.
    pub pass: u32,
    /// Whether it goes on.
    pub state: State,
    /// What this part of the run is limited to.
    #[serde(default)]
    pub bounds: Bounds,
    /// Nodes that an operator skipped in this pass, with the reason; and workloads (`KIND/NAMESPACE/NAME`) and namespaces (`Namespace/NAME`) that no pass waits for
    /// any more.
    #[serde(default)]
    pub skipped: BTreeMap<Text, String>,
    /// How many pods of each workload were missing when the run began: `KIND/NAMESPACE/NAME`. Such a workload may stay that short.
    #[serde(default)]
    pub short: BTreeMap<String, u32>,
    /// Pods without an owner that the holder's command line names for deletion: `NAMESPACE/NAME`. Each holder sets it anew.
    #[serde(default)]
    pub delete: BTreeSet<String>,
    /// The last wish that the run took up.
    #[serde(default)]
    pub wish: u64,
    /// What the operator asked of single nodes and no act has met yet.
    #[serde(rename = "asked", default)]
    pub requests: BTreeMap<Text, NodeRequest>,
    /// Workloads of which the run has evicted pods that come back elsewhere, `KIND/NAMESPACE/NAME`, and how many pods each wanted when it had all of them last;
    /// nothing for a kind that nothing counts. A holder remembers nothing of the one before, and waits for these as that one did.
    #[serde(rename = "moved", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub moved_owners: BTreeMap<String, Option<u32>>,
    /// Policies that no CNI enforces in some phase, of kinds that no person accepted, as the last holder found them that took the run up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unenforced: Vec<UnenforcedPolicies>,
}

/// Policies of a kind that came after the plan was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct UnenforcedPolicies {
    /// The kind.
    pub kind: String,
    /// Phases of pods for which no CNI enforces it.
    pub phases: Vec<String>,
    /// The first of them: `KIND/NAMESPACE/NAME`, or `KIND/NAME` where it has no namespace.
    pub policies: Vec<String>,
    /// How many there are beyond these.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Whether a run goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It does.
    Running,
    /// No node starts; those in transit go on.
    Paused(Pause),
    /// Nothing is done at all, not even an eviction.
    Stopped(Pause),
    /// Every pass is done.
    Done,
}

/// Who paused a run, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pause {
    /// Who: `alice@laptop`.
    #[serde(rename = "by")]
    pub operator: String,
    /// Why.
    pub why: String,
}

/// What a part of a run is limited to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Bounds {
    /// The last kind of wave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<WaveKind>,
    /// These nodes alone; all of them if it is empty.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub only: BTreeSet<Text>,
    /// The nodes of this pool alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<Text>,
}

/// An operator's request about one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum NodeRequest {
    /// Try once more, from the start.
    Retry,
    /// Go back to the phase that the nodes leave in this pass.
    Rollback,
}

/// A wish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Wish {
    /// Its number; each wish has a greater one than those before it.
    pub seq: u64,
    /// Who: `alice@laptop`.
    #[serde(rename = "by")]
    pub operator: String,
    /// Why.
    pub reason: String,
    /// What.
    pub what: RunRequest,
}

/// What the operator asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "What"))]
#[serde(rename_all = "camelCase")]
pub enum RunRequest {
    /// No node starts any more; those in transit go on.
    Pause,
    /// Nothing is done any more.
    PauseNow,
    /// Go on, within these bounds.
    Resume(Bounds),
    /// Bring all nodes back to this phase.
    Abort(Phase),
    /// Leave this node out of the pass; or do not wait for this workload (`KIND/NAMESPACE/NAME`), or for those of this namespace (`Namespace/NAME`).
    Skip(Text),
    /// Try this node once more; or wait for this workload, or for those of this namespace, again.
    Retry(Text),
    /// Bring this node back to the phase that the nodes leave in this pass.
    Rollback(Text),
}

/// Wishes in the order of their numbers, if a program that asks could have written them to a run that took up the wish `last_seq` last.
///
/// A number that is far too great would be the last one that the run ever takes up, and of two wishes with one number the second would not be heard.
///
/// # Errors
/// Which wish is wrong, and why.
pub fn sort_new_wishes(mut wishes: Vec<Wish>, last_seq: u64) -> Result<Vec<Wish>, String> {
    let most = last_seq.saturating_add(MAX_AHEAD).min(MAX_WISH_SEQ);
    wishes.sort_by_key(|wish| wish.seq);
    if let Some(wish) = wishes.last().filter(|wish| wish.seq > most) {
        return Err(format!(
            "a wish of {} has the number {}; expected at most {most}",
            wish.operator, wish.seq
        ));
    }
    let is_twice = |pair: &&[Wish]| pair[0].seq == pair[1].seq && pair[0].seq > last_seq;
    match wishes.windows(2).find(is_twice) {
        Some(pair) => Err(format!(
            "two wishes, of {} and {}, have the number {}",
            pair[0].operator, pair[1].operator, pair[0].seq
        )),
        None => Ok(wishes),
    }
}

impl UnenforcedPolicies {
    /// How many of a kind are named: tenants make policies, and the run's ConfigMap has a limit.
    const NAMED: usize = 12;

    /// Those of a kind with these titles, for pods in these phases.
    #[must_use]
    pub fn new(kind: &str, phases: Vec<&str>, titles: impl Iterator<Item = String>) -> Self {
        let mut policies: Vec<String> = titles.collect();
        let more = policies.len().saturating_sub(Self::NAMED);
        policies.truncate(Self::NAMED);
        let phases = phases.into_iter().map(str::to_owned).collect();
        Self { kind: kind.to_owned(), phases, policies, more }
    }

    /// `NetworkPolicy/x/a, NetworkPolicy/x/b and 3 more`.
    #[must_use]
    pub fn names(&self) -> String {
        let names = self.policies.join(", ");
        if self.more == 0 { names } else { format!("{names} and {} more", self.more) }
    }
}

impl fmt::Display for UnenforcedPolicies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "These policies came since the plan was made, and no CNI enforces them for pods in phase {}: {}.",
            self.phases.join(", "),
            self.names()
        )
    }
}

/// Whether what is skipped is a Node: names of Nodes have no slash.
pub(super) fn is_node(object: &str) -> bool {
    !object.contains('/')
}

impl Run {
    /// The version that this program reads and writes.
    pub const VERSION: u32 = 1;

    /// The last pass that a run may have, and the last try of a node in a pass: numbers that no run reaches by itself.
    pub const MAX_COUNT: u32 = 1_000_000;

    /// How many bytes the names of moved workloads may have: the run's ConfigMap has a limit, and tenants make workloads. The next holder does not wait for
    /// further ones.
    pub const MOVED_BYTES: usize = 256 << 10;

    /// Whether its numbers are ones that a run reaches, so that the next ones can be counted.
    ///
    /// # Errors
    /// Which number is not.
    pub fn require_bounded(&self) -> Result<(), String> {
        if self.pass > Self::MAX_COUNT {
            return Err(format!("pass is {}; expected at most {}", self.pass, Self::MAX_COUNT));
        }
        if self.wish > MAX_WISH_SEQ {
            return Err(format!("wish is {}; expected at most {MAX_WISH_SEQ}", self.wish));
        }
        Ok(())
    }

    /// Whether its passes are ones to which its plan, or an abort of it, can lead. Others may write the run, too, and have no right to take nodes further than
    /// the plan that was approved.
    ///
    /// # Errors
    /// Which phase is not.
    pub fn keeps_to(&self, plan: &Plan) -> Result<(), String> {
        match self.targets.iter().chain([&self.from]).find(|phase| !plan.covers(**phase)) {
            Some(phase) => Err(format!(
                "a pass from or to phase {phase}, which is beyond the plan's; expected phases from {} to {}, or before them",
                plan.start,
                plan.target()
            )),
            None => Ok(()),
        }
    }

    /// A run of this plan that has not begun.
    #[must_use]
    pub fn new(id: impl Into<String>, hash: impl Into<String>, plan: &Plan) -> Self {
        Self {
            version: Self::VERSION,
            id: id.into(),
            plan: hash.into(),
            from: plan.start,
            targets: plan.passes.clone(),
            pass: 1,
            state: State::Running,
            bounds: Bounds::default(),
            skipped: BTreeMap::new(),
            short: BTreeMap::new(),
            delete: BTreeSet::new(),
            wish: 0,
            requests: BTreeMap::new(),
            moved_owners: BTreeMap::new(),
            unenforced: Vec::new(),
        }
    }

    /// Sets what no earlier holder decides, nor any other writer of the run: the bounds and the pods without an owner that may be deleted are those
    /// of this holder's own command line, and no workload may miss more pods than it misses now.
    pub fn authorize(&mut self, bounds: Bounds, delete: BTreeSet<String>, missing: &BTreeMap<String, u32>) {
        self.bounds = bounds;
        self.delete = delete;
        self.short.retain(|workload, short| {
            *short = (*short).min(missing.get(workload).copied().unwrap_or(0));
            *short > 0
        });
    }

    /// The phase that this pass and each later one leave, and the one that it leads to.
    pub fn steps(&self) -> impl Iterator<Item = (Phase, Phase)> {
        let from = [self.from].into_iter().chain(self.targets.iter().copied());
        from.zip(self.targets.iter().copied())
    }

    /// The phase that this pass brings nodes to; none when the last pass is done.
    #[must_use]
    pub fn target(&self) -> Option<Phase> {
        self.targets.first().copied()
    }

    /// Whether this pass begins where it leads: nodes have their phase, and what is left are pods that were attached in another one.
    #[must_use]
    pub fn fixes_stragglers(&self) -> bool {
        self.target() == Some(self.from)
    }

    /// How many pods of a workload may be missing: as many as were when the run began, and any number if the operator skipped it or its namespace.
    #[must_use]
    pub fn missing_replicas(&self, owner: &Owner) -> u32 {
        let title = owner.title();
        let is_skipped = self.skipped.contains_key(title.as_str())
            || self.skipped.contains_key(format!("Namespace/{}", owner.namespace).as_str());
        if is_skipped { u32::MAX } else { self.short.get(&title).copied().unwrap_or(0) }
    }

    /// Which try of the present pass a claim is of; none if it is of another pass or another run.
    #[must_use]
    pub fn tries(&self, claim: &str) -> Option<u32> {
        let (pass, tried) = claim.strip_prefix(&*self.id)?.strip_prefix('.')?.split_once('.')?;
        let tried = tried.parse().ok().filter(|tried| *tried <= Self::MAX_COUNT);
        tried.filter(|_| pass.parse() == Ok(self.pass))
    }

    /// The claim of a node's try in this pass.
    #[must_use]
    pub fn claim(&self, tried: u32) -> String {
        format!("{}.{}.{tried}", self.id, self.pass)
    }

    /// The same run in its next pass, or done.
    #[must_use]
    pub fn next_pass(&self) -> Self {
        let mut next = self.clone();
        if let Some(reached) = self.target() {
            next.from = reached;
            next.targets.remove(0);
            next.pass += 1;
            next.skip_no_node();
            next.requests.clear();
        }
        if next.targets.is_empty() {
            next.state = State::Done;
        }
        next
    }

    /// From now on no node is skipped any more. Workloads and namespaces are those of the whole run.
    pub(super) fn skip_no_node(&mut self) {
        self.skipped.retain(|object, _| !is_node(object));
    }

    /// The same run with this wish taken up.
    ///
    /// # Errors
    /// Why the run cannot: one sentence that names what was asked for and what is possible.
    pub fn apply_wish(&self, wish: &Wish, plan: &Plan, is_bridged: bool) -> Result<Self, String> {
        let mut next = self.clone();
        next.wish = wish.seq;
        let is_over = self.target().is_none() || self.state == State::Done;
        let pause = || Pause { operator: wish.operator.clone(), why: wish.reason.clone() };
        match &wish.what {
            RunRequest::Pause if is_over => return Err(run_over_text("paused")),
            RunRequest::PauseNow if is_over => return Err(run_over_text("paused")),
            // An operator stopped everything: that is a pause already, and a stronger one.
            RunRequest::Pause if matches!(self.state, State::Stopped(_)) => {}
            RunRequest::Pause => next.state = State::Paused(pause()),
            RunRequest::PauseNow => next.state = State::Stopped(pause()),
            RunRequest::Resume(_) if is_over => return Err(run_over_text("resumed")),
            RunRequest::Resume(bounds) => {
                next.state = State::Running;
                next.bounds = bounds.clone();
            }
            RunRequest::Abort(_) | RunRequest::Rollback(_) if plan.fixes_stragglers() => {
                return Err(no_way_back_text(plan.target()));
            }
            RunRequest::Abort(to) if !plan.covers(*to) => return Err(beyond_target_text(*to, plan)),
            RunRequest::Abort(to) => {
                // Nodes that pipelines replace know no phases but those of the plan's images, whatever the bridge's gate says at this moment: the pass waits for it.
                let is_direct = is_bridged || plan.image.is_some() && plan.bridge.is_some();
                next.targets = self.back_to(*to, is_direct);
                // Nodes are where the pass began and where it led; those of the other phase are left to be brought back.
                let led = self.target().unwrap_or(self.from);
                next.from = if next.targets.first() == Some(&led) { self.from } else { led };
                next.pass += 1;
                next.skip_no_node();
                next.requests.clear();
                next.bounds = Bounds::default();
                // One that is where it is to be brought back to is over already, or gives back the last of what it keeps.
                next.state = if next.targets.is_empty() { self.state.clone() } else { State::Running };
            }
            RunRequest::Skip(node) => {
                next.skipped.insert(node.clone(), wish.reason.clone());
                next.requests.remove(node);
            }
            RunRequest::Retry(node) => {
                next.skipped.remove(node);
                if is_node(node) {
                    next.requests.insert(node.clone(), NodeRequest::Retry);
                }
            }
            RunRequest::Rollback(node) => {
                next.skipped.insert(node.clone(), wish.reason.clone());
                next.requests.insert(node.clone(), NodeRequest::Rollback);
            }
        }
        Ok(next)
    }

    /// The passes that bring nodes, some of which may have reached this pass's target, back to `to`.
    #[must_use]
    pub fn back_to(&self, to: Phase, is_bridged: bool) -> Vec<Phase> {
        let furthest = self.target().map_or(self.from, |target| {
            // Going back already, the nodes that have not moved are the furthest.
            let is_further = |a: Phase, b: Phase| if to <= a.min(b) { a.max(b) } else { a.min(b) };
            is_further(self.from, target)
        });
        reach::path(furthest, to, is_bridged)
    }
}

impl Run {
    /// The same run by another plan. It keeps its id, its passes and everything that people asked of it, so that nodes in transit go on; what the plan says
    /// anew are the nodes' order, pools, policies, gates and limits.
    ///
    /// # Errors
    /// Why the plan is not one for this run: a sentence that says what both are.
    pub fn replan(&self, before: &Plan, plan: &Plan, hash: &str) -> Result<Self, String> {
        if plan.cluster != before.cluster {
            return Err(format!(
                "the plan is of cluster {}, and the run of {}",
                plan.cluster, before.cluster
            ));
        }
        let migration = |plan: &Plan| format!("{} to {}, {}", plan.from, plan.to, plan.strategy);
        if migration(plan) != migration(before) {
            return Err(format!(
                "the plan moves {}, and the run moves {}",
                migration(plan),
                migration(before)
            ));
        }
        let kind = |plan: &Plan| if plan.fixes_stragglers() { "moves stragglers" } else { "moves all nodes" };
        if kind(plan) != kind(before) {
            return Err(format!("the plan {}, and the run {}", kind(plan), kind(before)));
        }
        // A run that was turned goes where the operator sent it, which no plan says.
        let is_as_planned = before.passes.ends_with(&self.targets);
        let has = |target: &Phase| plan.start == *target || plan.passes.contains(target);
        if let Some(target) = self.targets.iter().find(|target| is_as_planned && !has(target)) {
            let passes: Vec<String> = plan.passes.iter().map(ToString::to_string).collect();
            return Err(format!(
                "the plan has no pass to {target}, and the run still has one; its passes go from {} to {}",
                plan.start,
                passes.join(", ")
            ));
        }
        self.keeps_to(plan)?;
        Ok(Self { plan: hash.to_owned(), ..self.clone() })
    }
}

fn no_way_back_text(phase: Phase) -> String {
    format!(
        "the run brings stragglers to phase {phase}, in which the cluster is, so there is no phase to go back to; pause it, or skip a node: kubectl crossfade roll skip NODE"
    )
}

fn beyond_target_text(to: Phase, plan: &Plan) -> String {
    format!(
        "the plan goes from phase {} to {}, so that no way back from it leads to {to}; to go on with it: kubectl crossfade roll resume; for phase {to}, make a new plan: kubectl crossfade plan",
        plan.start,
        plan.target()
    )
}

fn run_over_text(what: &str) -> String {
    format!("the run is over and cannot be {what}; make a new plan: kubectl crossfade plan")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn plan(change: impl FnOnce(&mut Value)) -> Plan {
        let mut plan = json!({
            "version": 1, "cluster": "c", "from": "calico", "to": "cilium", "strategy": "double", "settings": "s", "start": "old",
            "passes": ["both-old", "both-new", "new"], "waves": [], "leftOut": [], "pools": [], "limits": {}, "pods": {}, "gates": [],
            "dns": {"namespace": "kube-system", "labels": {}}, "policies": [], "networks": {"old": [], "new": []}, "agents": [],
            "unenforced": [], "waivers": [],
        });
        change(&mut plan);
        serde_json::from_value(plan).expect("a plan")
    }

    fn refused(run: &Run, before: &Plan, other: &Plan) -> String {
        run.replan(before, other, "9a2f").expect_err("it is refused")
    }

    #[test]
    fn a_run_keeps_everything_but_its_plan() {
        let before = plan(|_| {});
        let mut run = Run::new("r-1", "4be1", &before).next_pass();
        run.skipped.insert("a".into(), "so".into());
        run.wish = 7;
        let other = plan(|plan| {
            plan["start"] = json!("both-old");
            plan["passes"] = json!(["both-new", "new"]);
            plan["settings"] = json!("others");
        });
        let next = run.replan(&before, &other, "9a2f").expect("it fits");
        assert_eq!(next, Run { plan: "9a2f".into(), ..run });
    }

    #[test]
    fn a_plan_of_something_else_is_refused() {
        let before = plan(|_| {});
        let run = Run::new("r-1", "4be1", &before);
        for (key, value, why) in [
            ("cluster", json!("d"), "the plan is of cluster d, and the run of c"),
            (
                "to",
                json!("antrea"),
                "the plan moves calico to antrea, double, and the run moves calico to cilium, double",
            ),
            (
                "strategy",
                json!("bridge"),
                "the plan moves calico to cilium, bridge, and the run moves calico to cilium, double",
            ),
            ("passes", json!(["old"]), "the plan moves stragglers, and the run moves all nodes"),
        ] {
            assert_eq!(refused(&run, &before, &plan(|plan| plan[key] = value)), why);
        }
    }

    #[test]
    fn a_plan_has_the_passes_that_the_run_still_has() {
        let before = plan(|_| {});
        let run = Run::new("r-1", "4be1", &before);
        let later = |start: &str, passes: Value| {
            plan(|plan| {
                plan["start"] = json!(start);
                plan["passes"] = passes;
            })
        };
        assert!(run.replan(&before, &later("both-old", json!(["both-new", "new"])), "9a2f").is_ok());
        let far = later("both-new", json!(["new"]));
        assert_eq!(
            refused(&run, &before, &far),
            "the plan has no pass to both-old, and the run still has one; its passes go from both-new to new"
        );
        assert!(run.next_pass().replan(&before, &far, "9a2f").is_ok(), "the first pass is over");
        let back = Run { targets: vec![Phase::Old, Phase::New], ..run };
        assert!(back.replan(&before, &far, "9a2f").is_ok(), "it was turned back");
        let short = later("old", json!(["both-old"]));
        assert_eq!(
            refused(&Run { targets: vec![Phase::Old], from: Phase::BothNew, ..back }, &before, &short),
            "a pass from or to phase both-new, which is beyond the plan's; expected phases from old to both-old, or before them"
        );
    }
}
