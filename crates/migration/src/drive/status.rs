//! The status of a run, as people and pipelines read it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use snapshot::model::Text;
use types::api::step::State as NodeState;
use types::policy::Phase;

use crate::cni::reach;
use crate::config::roll::Method;
use crate::plan::canon;
use crate::roll::replacement::{Exchange, Turnover, cannot_return};
use crate::roll::run::{State, UnenforcedPolicies};
use crate::roll::view::View;
use crate::roll::view::{NodeStatus, Standing};
use crate::roll::wait::Wait;
use crate::roll::world::Color;
use crate::workload::describe_images;

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The run.
    pub run: String,
    /// The first twelve characters of the plan's hash.
    pub plan: String,
    /// Which pass it is; the first is 1. It only grows, also when a run goes back.
    pub pass: u32,
    /// How many passes are left, this one included.
    pub passes_left: usize,
    /// How many of them restart a pod that networks join and leave; others are restarted in each.
    pub restarts_left: usize,
    /// The phase that nodes leave in this pass.
    pub from: Phase,
    /// The phase that this pass brings nodes to; none when every pass is done.
    pub to: Option<Phase>,
    /// It replaces nodes by those of the final image.
    #[serde(rename = "final", skip_serializing_if = "std::ops::Not::not")]
    pub is_final: bool,
    /// What an abort to the phase `old` would do with the nodes that pipelines replace; none where there is no such way back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub way_back: Option<WayBack>,
    /// Whether it goes on.
    pub state: State,
    /// The holder of the run, if it has one.
    pub holder: Option<String>,
    /// Since when, by the holder's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_since: Option<String>,
    /// When the holder renewed the Lease last, by its own clock. One that is gone is named for as long as no other one takes the Lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "renewed")]
    pub renewed_at: Option<String>,
    /// Nodes by how they stand.
    pub nodes: Counts,
    /// The same, by zone. Nodes without a zone have the empty name.
    pub zones: BTreeMap<Text, Counts>,
    /// Pools whose nodes are replaced in this pass.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<PoolCounts>,
    /// Attachments of all nodes, by the phase that they were made in.
    pub attached: BTreeMap<Phase, u32>,
    /// Nodes that do not say what is attached to them, without those of an image without Crossfade, which never do.
    pub silent: Vec<Text>,
    /// Nodes that are being moved.
    pub moving: Vec<MovingNode>,
    /// What people skipped, with their reasons: nodes by their names, workloads (`KIND/NAMESPACE/NAME`) and namespaces (`Namespace/NAME`).
    pub skipped: BTreeMap<Text, String>,
    /// Policies that came after the plan was made, and that no CNI enforces in some phase, as the last holder found them that took the run up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unenforced: Vec<UnenforcedPolicies>,
    /// What gates say.
    pub gates: Vec<Gate>,
    /// What the run waits for, those first that need a person.
    pub waits: Vec<Wait>,
}

/// Who holds the Lease of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holder {
    /// `user@host:pid:random`, with the user as the API server knows it.
    pub name: String,
    /// Since when, by the holder's clock, in RFC 3339.
    pub since: String,
    /// When it renewed the Lease last, by its own clock, in RFC 3339.
    pub renewed_at: String,
}

/// Status and refusals name a holder in the same words.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} since {}, renewed last at {}", self.name, self.since, self.renewed_at)
    }
}

impl Status {
    /// The same with its holder, which the Lease names.
    #[must_use]
    pub fn with_holder(self, holder: Option<Holder>) -> Self {
        let Holder { name, since, renewed_at: renewed } = match holder {
            Some(holder) => holder,
            None => return Self { holder: None, held_since: None, renewed_at: None, ..self },
        };
        Self { holder: Some(name), held_since: Some(since), renewed_at: Some(renewed), ..self }
    }

    /// Its holder; none if the run has no holder.
    #[must_use]
    pub fn current_holder(&self) -> Option<Holder> {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let name = self.holder.clone()?;
        Some(Holder { name, since: text(&self.held_since), renewed_at: text(&self.renewed_at) })
    }
}

/// How many nodes stand how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// All of them, but those that the plan leaves out.
    pub all: u32,
    /// Nodes that are done in this pass.
    pub done: u32,
    /// Nodes that are being moved.
    pub in_transit: u32,
    /// Nodes that wait for a person.
    #[serde(rename = "held")]
    pub held_nodes: u32,
    /// Nodes that an operator skipped.
    pub skipped: u32,
    /// Nodes that are still to be moved.
    pub pending: u32,
    /// Nodes that are not Ready, whatever else they are.
    pub not_ready: u32,
}

/// How many nodes an abort to the phase `old` would bring back, by the way that each of them would go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct WayBack {
    /// Nodes of the earlier image, which stay as they are.
    pub stay: u32,
    /// Nodes that follow the phase `old`, and go back in place.
    pub in_place: u32,
    /// Nodes that their pipelines would replace by nodes of the earlier image.
    pub replaced: u32,
    /// Nodes that follow no phase back, where no replacement leads to the phase `old` either.
    pub held: u32,
}

/// `9 stay, 2 go back in place, 1 is replaced by its pipeline`.
impl fmt::Display for WayBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.stay, "stays", "stay"),
            (self.in_place, "goes back in place", "go back in place"),
            (self.replaced, "is replaced by its pipeline", "are replaced by their pipelines"),
            (
                self.held,
                "is held, since it does not follow the phase",
                "are held, since they do not follow the phase",
            ),
        ];
        let words = parts.into_iter().filter(|(count, _, _)| *count > 0);
        let words: Vec<String> = words
            .map(|(count, one_does, several_do)| {
                format!("{count} {}", if count == 1 { one_does } else { several_do })
            })
            .collect();
        f.write_str(&words.join(", "))
    }
}

/// How far a pool is whose nodes a pipeline replaces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PoolCounts {
    /// The pool; empty for nodes without one.
    pub pool: Text,
    /// What replaces its nodes.
    pub method: Method,
    /// All its nodes that are there.
    pub nodes: u32,
    /// Nodes that are to be replaced, and are still there.
    pub old: u32,
    /// Those of them that may go.
    pub permitted: u32,
    /// Nodes that have gone.
    pub gone: u32,
    /// New nodes that are not proven yet.
    pub arriving: u32,
    /// New nodes that are proven.
    pub proven: u32,
    /// How many of all its nodes there are of each image, by what they report as `image`; those that report none are not counted.
    pub images: BTreeMap<Text, u32>,
}

impl PoolCounts {
    /// Its images in words.
    #[must_use]
    pub fn describe_images(&self) -> String {
        let without = self.nodes.saturating_sub(self.images.values().sum());
        describe_images(self.images.iter().map(|(image, nodes)| (&**image, *nodes)), without)
    }
}

/// A node that is being moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Moving"))]
#[serde(rename_all = "camelCase")]
pub struct MovingNode {
    /// Its name.
    pub node: Text,
    /// How far it is.
    pub state: NodeState,
    /// The phase that it is brought to.
    pub to: Phase,
    /// How many attachments of other phases are left; none if it does not say.
    #[serde(rename = "left")]
    pub remaining: Option<u32>,
    /// How many attachments it has; none if it does not say.
    pub attached: Option<u32>,
}

/// What a gate says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Gate {
    /// Its name.
    pub name: String,
    /// `green`, `amber`, `red` or `unknown`.
    #[serde(rename = "is")]
    pub color: &'static str,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// How far the run is.
#[must_use]
pub fn status(view: &View<'_>, waits: &[Wait]) -> Status {
    let View { run, plan, .. } = *view;
    let mut status = Status {
        run: run.id.clone(),
        plan: canon::shorten_hash(&run.plan).to_owned(),
        pass: run.pass,
        passes_left: run.targets.len(),
        restarts_left: run.steps().filter(|(from, to)| plan.is_restarted(*from, *to)).count(),
        from: run.from,
        to: run.target(),
        is_final: plan.is_final(),
        way_back: way_back(view),
        state: run.state.clone(),
        holder: None,
        held_since: None,
        renewed_at: None,
        nodes: Counts::default(),
        zones: BTreeMap::new(),
        pools: pools(view),
        attached: BTreeMap::new(),
        silent: Vec::new(),
        moving: Vec::new(),
        skipped: run.skipped.clone(),
        unenforced: run.unenforced.clone(),
        gates: plan.gates.iter().map(|gate| gate_status(view, &gate.name)).collect(),
        waits: waits.to_vec(),
    };
    status.waits.sort_by_key(|wait| !wait.is_held);
    let mut zones = vec![Counts::default(); view.nodes.zones().len()];
    for &NodeStatus { name, node, standing, zone, is_plain, .. } in view.nodes() {
        status.nodes.count(standing, node.is_ready);
        zones[zone].count(standing, node.is_ready);
        match node.observed.as_ref().and_then(|observation| observation.attached.as_ref()) {
            Some(attached) => {
                for (phase, count) in &attached.by_phase {
                    let all = status.attached.entry(*phase).or_default();
                    *all = all.saturating_add(*count);
                }
            }
            None if is_plain => {}
            None => status.silent.push(name.clone()),
        }
        if let Standing::Transit(step) = standing {
            status.moving.push(MovingNode {
                node: name.clone(),
                state: step.state,
                to: step.to,
                remaining: node.attached_otherwise(step.to),
                attached: node.attached_count(),
            });
        }
    }
    status.zones = view.nodes.zones().iter().map(|zone| Text::clone(zone)).zip(zones).collect();
    status
}

/// The way back of a rotation that goes forth.
fn way_back(view: &View<'_>) -> Option<WayBack> {
    let plan = view.plan;
    plan.image.filter(|_| !plan.is_final())?;
    view.run.target().filter(|to| *to > view.run.from)?;
    // The only pass back that replaces nodes leads from the phase of their image to `old`.
    let is_single = |image| reach::path(image, Phase::Old, plan.bridge.is_some()) == [Phase::Old];
    let mut back = WayBack::default();
    for status in view.nodes() {
        let Some(image) = plan.image_phase(&status.node.pool) else { continue };
        *match status.node.phase() {
            None | Some(Phase::Old) => &mut back.stay,
            Some(_) if !cannot_return(status.node) => &mut back.in_place,
            Some(_) if is_single(image) => &mut back.replaced,
            Some(_) => &mut back.held,
        } += 1;
    }
    Some(back)
}

/// How far the pools are whose nodes this pass replaces.
fn pools(view: &View<'_>) -> Vec<PoolCounts> {
    let of_exchange = |exchange: &Exchange<'_>| {
        let mut counts = PoolCounts {
            pool: exchange.pool.clone(),
            method: view.plan.method(exchange.pool),
            gone: exchange.gone(),
            arriving: exchange.arriving,
            proven: exchange.proven,
            ..PoolCounts::default()
        };
        for status in view.nodes().filter(|status| status.node.pool == *exchange.pool) {
            let is_old = status.turnover == Turnover::Leaves;
            let is_permitted =
                matches!(status.standing, Standing::Transit(step) if step.state == NodeState::Permitted);
            counts.nodes += 1;
            counts.old += u32::from(is_old);
            counts.permitted += u32::from(is_old && is_permitted);
            if let Some(image) = status.node.observed.as_ref().and_then(|seen| seen.image.as_deref()) {
                *counts.images.entry(image.into()).or_default() += 1;
            }
        }
        counts
    };
    view.nodes.exchanges().iter().map(of_exchange).collect()
}

impl Counts {
    fn count(&mut self, standing: Standing<'_>, is_ready: bool) {
        self.all += 1;
        self.not_ready += u32::from(!is_ready);
        *match standing {
            Standing::Done | Standing::LeftOut => &mut self.done,
            Standing::Transit(step) if step.state == NodeState::Held => &mut self.held_nodes,
            Standing::Transit(_) | Standing::Foreign(_) => &mut self.in_transit,
            Standing::Skipped => &mut self.skipped,
            Standing::Pending => &mut self.pending,
        } += 1;
    }
}

fn gate_status(view: &View<'_>, name: &str) -> Gate {
    let verdict = view.verdict(name);
    let color = verdict.map_or(Color::Unknown, |verdict| verdict.color).into_str();
    let why = verdict.map_or_else(|| "it was not asked lately".into(), |verdict| verdict.why.clone());
    Gate { name: name.to_owned(), color, why }
}

/// A run that is over says nothing of the present: nodes join, and others move them on.
fn describe_end(status: &Status) -> String {
    let (Counts { all, done, .. }, phase) = (&status.nodes, status.from);
    if done == all {
        return format!("all {all} nodes are in phase {phase}");
    }
    format!(
        "every pass is done, and now {done} of {all} nodes are in phase {phase} with all that is on them; kubectl crossfade roll stragglers lists the rest"
    )
}

/// One line: `pass 1, old to both-old: 38 of 100 nodes done, 3 in transit, 0 held`.
#[must_use]
pub fn line(status: &Status) -> String {
    let Some(to) = status.to else {
        return describe_end(status);
    };
    let nodes = &status.nodes;
    let (from, to) = match status.from {
        from if status.is_final => (from.as_str(), "the final image"),
        from if from == to => ("stragglers", to.as_str()),
        from => (from.as_str(), to.as_str()),
    };
    format!(
        "pass {}, {from} to {to}: {} of {} nodes done, {} in transit, {} held",
        status.pass, nodes.done, nodes.all, nodes.in_transit, nodes.held_nodes
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run that is over, with so many of its three nodes as it left them.
    fn finished(done: u32) -> Status {
        Status {
            run: "r-1".into(),
            plan: "4be1".into(),
            pass: 3,
            passes_left: 0,
            restarts_left: 0,
            from: Phase::New,
            to: None,
            is_final: false,
            way_back: None,
            state: State::Done,
            holder: None,
            held_since: None,
            renewed_at: None,
            nodes: Counts { all: 3, done, ..Counts::default() },
            zones: BTreeMap::new(),
            pools: Vec::new(),
            attached: BTreeMap::new(),
            silent: Vec::new(),
            moving: Vec::new(),
            skipped: BTreeMap::new(),
            unenforced: Vec::new(),
            gates: Vec::new(),
            waits: Vec::new(),
        }
    }

    #[test]
    fn a_line_names_what_the_pass_is_about() {
        let begun = |from, to| Status { from, to: Some(to), passes_left: 1, ..finished(1) };
        for (status, words) in [
            (begun(Phase::Old, Phase::New), "pass 3, old to new: 1 of 3 nodes done"),
            (begun(Phase::New, Phase::New), "pass 3, stragglers to new: 1 of"),
            (
                Status { is_final: true, ..begun(Phase::New, Phase::New) },
                "pass 3, new to the final image: 1 of",
            ),
        ] {
            assert!(line(&status).starts_with(words), "{}", line(&status));
        }
    }

    #[test]
    fn a_run_that_is_over_says_how_its_nodes_are_now() {
        assert_eq!(line(&finished(3)), "all 3 nodes are in phase new");
        let moved_on = line(&finished(1));
        assert!(
            moved_on.contains("now 1 of 3 nodes are in phase new") && moved_on.contains("stragglers"),
            "{moved_on}"
        );
    }
}
