//! The view of a decision: the cluster, the run and the plan, with the status of every node, computed once for each step.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use snapshot::model::Text;
use types::api::eviction::Answer;
use types::api::step::{Cordon, State, Step};
use types::policy::Phase;

use super::memory::Memory;
use super::replacement::pipeline::{self, PipelineRules};
use super::replacement::{self, Direction, Exchange, Turnover};
use super::run::Run;
use super::world::{Color, Node, Pod, Trait, Verdict, World};
use crate::cni::reach::{self, Way};
use crate::config::roll::{Method, NodeExclusion};
use crate::plan::{Bridge, Plan};

/// For so long an eviction whose answer was lost may have happened although its pod seems to stay.
const DOUBTFUL: Duration = Duration::from_mins(10);

/// Everything that a decision looks at.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The cluster.
    pub world: &'a World,
    /// What the holder remembers.
    pub memory: &'a Memory,
    pub run: &'a Run,
    pub plan: &'a Plan,
    /// The phase that this pass brings nodes to.
    pub target: Phase,
    /// How they stand.
    pub nodes: &'a Nodes<'a>,
}

impl<'a> View<'a> {
    /// Everything that a decision looks at.
    #[must_use]
    pub const fn new(world: &'a World, memory: &'a Memory, run: &'a Run, nodes: &'a Nodes<'a>) -> Self {
        Self { world, memory, run, plan: nodes.plan, target: nodes.target, nodes }
    }

    /// How a node stands.
    #[must_use]
    pub fn decide_standing(&self, name: &str) -> Standing<'a> {
        self.nodes.get(name).map_or(Standing::LeftOut, |status| status.standing)
    }

    /// Whether a node was held in an earlier pass: it starts like any other, and may still bear the run's cordon.
    #[must_use]
    pub fn is_held_since_earlier_pass(&self, node: &Node) -> bool {
        let is_of_earlier_pass = |step: &Step| {
            step.state == State::Held && is_of_run(step, self.run) && !is_of_pass(step, self.run)
        };
        node.step.as_ref().is_some_and(is_of_earlier_pass)
    }

    /// All nodes that passes touch, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &'a NodeStatus<'a>> {
        self.nodes.all().iter()
    }

    /// Pods on a node.
    pub fn pods_on(&self, node: &str) -> impl Iterator<Item = &'a Pod> {
        self.world.pods.on_node(node)
    }

    /// Pods that answer DNS queries, are Ready and stay for now.
    pub fn ready_dns(&self) -> impl Iterator<Item = &'a Pod> {
        let answers =
            |pod: &&Pod| pod.has_trait(Trait::Dns) && pod.has_trait(Trait::Ready) && !self.is_leaving(pod);
        self.world.pods.values().filter(answers)
    }

    /// Whether a pod is on its way out, or may be: the API server was asked to evict it, and the object may be older than its answer.
    #[must_use]
    pub fn is_leaving(&self, pod: &Pod) -> bool {
        let is_evicted = self.is_on_its_way(&pod.node)
            || self.memory.answer(&pod.uid).is_some_and(|answered| match answered.answer {
                Answer::Accepted | Answer::Gone => true,
                Answer::Failed(_) => self.ago(answered.attempted_at) < DOUBTFUL,
                Answer::Budget(_) | Answer::Busy(_) | Answer::TwoBudgets | Answer::NamespaceGoes => false,
            });
        is_evicted || pod.has_trait(Trait::Terminating)
    }

    /// Whether a pipeline drains the node, or may by now.
    fn is_on_its_way(&self, node: &str) -> bool {
        let is_permitted = |status: &&NodeStatus<'_>| {
            status.turnover == Turnover::Leaves
                && (matches!(status.standing, Standing::Transit(step) if step.state == State::Permitted)
                    || self.memory.pending_patches().has_permitted(node))
        };
        self.nodes.direction().is_some() && self.nodes.get(node).filter(is_permitted).is_some()
    }

    /// How the pods of a node come to a phase of this pass: by a restart if that is the only way of some of them, or if it is not known which pods there are.
    #[must_use]
    pub fn way(&self, node: &Node, to: Phase) -> Way {
        if to == self.target && self.nodes.replaces(node) {
            return Way::Replace;
        }
        let attached = node
            .observed
            .as_ref()
            .and_then(|observation| Some((observation, observation.attached.as_ref()?)));
        let Some((observation, attached)) = attached.filter(|_| !is_unheard(node)) else {
            return Way::Restart;
        };
        if attached.unknown > 0 {
            return Way::Restart;
        }
        let own = observation.phase.filter(|phase| *phase != to);
        let mut ways = node.other_phases(to).chain(own).map(|from| reach::way(from, to, &observation.joins));
        let begins = if to == self.target { self.run.from } else { self.target };
        let way = ways.next().unwrap_or_else(|| reach::way(begins, to, &observation.joins));
        if ways.all(|other| other == way) { way } else { Way::Restart }
    }

    /// Whether the plan was made for the policy that the node says it has. A node that came from the image has the image's policy.
    #[must_use]
    pub fn is_covered(&self, name: &str, node: &Node) -> bool {
        let base = node.observed.as_ref().and_then(|observation| observation.base.as_ref());
        let is_new =
            || self.plan.rotates(&node.pool) && self.nodes.get(name).is_some_and(|status| !status.is_planned);
        base.is_some_and(|base| self.plan.policies.contains(base)) || is_new()
    }

    /// The method of a node's pool.
    #[must_use]
    pub fn method(&self, node: &Node) -> Method {
        self.plan.method(&node.pool)
    }

    /// What replaces a node of a pool whose nodes are replaced; one of any other pool counts as one whose pipeline asks.
    #[must_use]
    pub(super) fn pipeline(&self, node: &Node) -> &'static dyn PipelineRules {
        pipeline::for_method(self.method(node)).unwrap_or(pipeline::ASKING)
    }

    /// How long ago.
    #[must_use]
    pub fn ago(&self, time: Duration) -> Duration {
        self.world.now.saturating_sub(time)
    }

    /// The verdict of a gate; none if there is none that is fresh enough.
    #[must_use]
    pub fn verdict(&self, name: &str) -> Option<&'a Verdict> {
        let gate = self.plan.gates.iter().find(|gate| gate.name == name)?;
        let verdict = self.world.verdicts.get(name)?;
        let is_fresh = self.ago(verdict.checked_at) <= Duration::from_secs(gate.fresh_seconds.into());
        is_fresh.then_some(verdict)
    }

    /// Whether it is known now that nodes forward between both networks.
    #[must_use]
    pub fn is_bridged(&self) -> bool {
        match &self.plan.bridge {
            None => false,
            Some(Bridge::Accepted(_)) => true,
            Some(Bridge::Gate(name)) => {
                self.verdict(name).is_some_and(|verdict| verdict.color == Color::Green)
            }
        }
    }

    /// Whether pods that another network parts live on the node, or may: of a phase that is neither where this pass begins nor where it leads.
    ///
    /// Where a run fixes stragglers, such pods are all that it moves: none of their nodes goes before the others, or past a gate.
    #[must_use]
    pub fn is_foreign(&self, status: &NodeStatus<'_>) -> bool {
        !self.run.fixes_stragglers()
            && !self.is_bridged()
            && status.reported_phases.iter().any(|phase| phase != self.target && phase != self.run.from)
    }

    /// Two phases of pods that would lose each other if nodes went from the phase where this pass begins to the one where it leads: the client's, and the
    /// server's. None if all that reach each other now still do. A node whose pods reach no pod of the pass anyway keeps no other node.
    #[must_use]
    pub fn lost_connectivity_of_pass(&self) -> Option<(Phase, Phase)> {
        if self.is_bridged() {
            return None;
        }
        let (from, to) = (self.run.from, self.target);
        let loses =
            |client: Phase, server: Phase, before: bool| reach::needs_bridge(client, server) && !before;
        self.live_phases(None).into_iter().find_map(|other| {
            let client = loses(other, to, reach::needs_bridge(other, from)).then_some((other, to));
            client.or_else(|| loses(to, other, reach::needs_bridge(from, other)).then_some((to, other)))
        })
    }

    /// Two phases of pods that this node would part if it went to `to`: the client's, and the server's. None if no pods are parted that reach each other now.
    ///
    /// A node whose own phase is parted from others already may go to one that others have: that is the way out.
    #[must_use]
    pub fn lost_connectivity(&self, name: &str, node: &Node, to: Phase) -> Option<(Phase, Phase)> {
        if self.is_bridged() {
            return None;
        }
        let now = node.phase();
        let is_of_pass = |phase: Phase| phase == self.target || phase == self.run.from;
        let is_lost = |phase: &Phase| {
            reach::is_parted(to, *phase) && !now.is_some_and(|now| reach::is_parted(now, *phase))
        };
        // Where its own phase is what has to go, pods of such phases are parted from the others anyway, until they have gone.
        let is_right = now.is_none_or(is_of_pass);
        let mut with = self.live_phases(Some(name));
        with.extend(
            self.nodes.get(name).iter().flat_map(|status| status.possible_phases.iter()).filter(|_| is_right),
        );
        let with = with.into_iter().filter(|phase| is_right || is_of_pass(*phase)).find(is_lost)?;
        Some(if reach::needs_bridge(to, with) { (to, with) } else { (with, to) })
    }

    /// Every phase that a pod has, may get as nodes are now, or may get soon since a node is asked to change; one node left out.
    #[must_use]
    pub fn live_phases(&self, without: Option<&str>) -> BTreeSet<Phase> {
        let is_other = |(name, _): &(&Text, Phase)| {
            Some(&***name) != without && self.decide_standing(name) != Standing::LeftOut
        };
        let requested =
            self.memory.pending_patches().requested_phases().filter(is_other).map(|(_, phase)| phase);
        self.nodes.live_phases(without).iter().chain(requested).collect()
    }

    /// The same without pods that answer DNS queries, which ask none: what a node has of other phases does not count where it is such pods alone.
    #[must_use]
    pub fn client_phases(&self, without: Option<&str>) -> BTreeSet<Phase> {
        let dns_nodes = self.world.pods.dns_nodes();
        let asks = |status: &NodeStatus<'_>| {
            let without = dns_nodes.contains(status.name).then(|| self.without_dns(status.node)).flatten();
            without.map_or_else(
                || status.possible_phases,
                |node| possible_phases(&node, reported_phases(&node).collect()),
            )
        };
        let pending = self.memory.pending_patches().requested_phases();
        let is_other = |name: &str| Some(name) != without;
        let requested =
            pending.filter(|(name, _)| is_other(name) && self.decide_standing(name) != Standing::LeftOut);
        let others = self.nodes().filter(|status| is_other(status.name));
        others.flat_map(|status| asks(status).iter()).chain(requested.map(|(_, phase)| phase)).collect()
    }

    /// The node without its attachments of other phases, where all of them are of pods that answer DNS queries.
    fn without_dns(&self, node: &Node) -> Option<Node> {
        let observation = node.observed.as_ref()?;
        let (phase, others) = (observation.phase?, &observation.attached.as_ref()?.others);
        let is_dns = |short: &String| {
            self.world
                .pods
                .values()
                .any(|pod| pod.has_trait(Trait::Dns) && pod.uid.starts_with(short.as_str()))
        };
        let has_others = node.attached_otherwise(phase) != u32::try_from(others.len()).ok();
        if others.is_empty() || has_others || !others.iter().all(is_dns) {
            return None;
        }
        let mut without = node.clone();
        if let Some(attached) =
            without.observed.as_mut().and_then(|observation| observation.attached.as_mut())
        {
            attached.by_phase.retain(|attached_phase, _| *attached_phase == phase);
        }
        Some(without)
    }
}

/// Every phase that a pod of the node has, may get as it is now, or may get soon since it is asked to change. All of them if it is not known.
fn possible_phases(node: &Node, reported: Phases) -> Phases {
    if is_unheard(node) { Phases::ALL } else { reported }
}

/// It is not known which phases the node's pods have: it is new and has said nothing yet, or it was rebooted, and what it says is of an earlier boot. Its image
/// may have another policy.
#[must_use]
pub fn is_unheard(node: &Node) -> bool {
    match &node.observed {
        None => node.is_silent(),
        Some(observation) => *observation.boot_id != *node.boot,
    }
}

/// Every phase that a pod of the node has, may get as it is now, or may get soon since it is asked to change, as far as the node says it.
fn reported_phases(node: &Node) -> impl Iterator<Item = Phase> {
    let follows =
        |to: &Phase| node.observed.as_ref().is_none_or(|observation| observation.follows.contains(to));
    node.phases().chain(node.desired.filter(follows))
}

/// Everything says that the node is in the phase, and that nothing of another phase is attached to it.
#[must_use]
pub fn is_done(node: &Node, phase: Phase) -> bool {
    node.is_in(phase) && node.attached_otherwise(phase) == Some(0)
}

/// Whether a step is of the present pass.
#[must_use]
pub fn is_of_pass(step: &Step, run: &Run) -> bool {
    is_of_run(step, run) && run.tries(&step.claim).is_some()
}

/// Whether the node bears a step of this run that another holder than one up to this epoch wrote. Every writer of a Node's annotations can make it up.
#[must_use]
pub fn is_later(node: &Node, run: &Run, epoch: u64) -> bool {
    node.step.as_ref().is_some_and(|step| is_of_run(step, run) && step.epoch > epoch)
}

/// The same step in another state, written by this holder now.
#[must_use]
pub fn set_state(step: &Step, state: State, world: &World) -> Step {
    Step { state, epoch: world.epoch, since: Some(world.since()), why: None, ..step.clone() }
}

/// Whether the node bears a cordon that this run set, and that is still there.
#[must_use]
pub fn is_ours(node: &Node, step: &Step) -> bool {
    node.is_cordoned && step.cordon == Some(Cordon::Ours)
}

/// Whether a step is of this run.
#[must_use]
pub fn is_of_run(step: &Step, run: &Run) -> bool {
    step.run == run.id
}

/// How a node stands in the pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing<'a> {
    /// No pass touches it.
    LeftOut,
    /// It is in the phase, and so is everything on it.
    Done,
    /// This run is moving it.
    Transit(&'a Step),
    /// Another run is moving it, or its step is one that no holder up to this one wrote.
    Foreign(&'a Step),
    /// The operator skipped it in this pass.
    Skipped,
    /// It is still to be moved.
    Pending,
}

/// The status of a node that passes touch.
#[derive(Debug, Clone, Copy)]
pub struct NodeStatus<'a> {
    pub name: &'a Text,
    pub node: &'a Node,
    pub standing: Standing<'a>,
    /// Where the plan has it, or the node of its pool whose turn it takes; none if it joined later.
    pub place: Option<Place>,
    /// The plan names this very node.
    pub is_planned: bool,
    /// Whether it stays in this pass.
    pub turnover: Turnover,
    /// It has no trace of Crossfade, and is of a pool whose nodes are replaced.
    pub is_plain: bool,
    /// Its zone, as a place in [`Nodes::zones`].
    pub zone: usize,
    /// Phases that the node reports for its pods, or may give them as it is now.
    pub reported_phases: Phases,
    /// The same, or all phases while the node has not reported.
    pub possible_phases: Phases,
}

/// The nodes that passes touch.
#[derive(Debug)]
pub struct Nodes<'a> {
    pub plan: &'a Plan,
    /// The phase that the pass brings nodes to; where the run is over, the one that it has brought them to.
    pub target: Phase,
    /// By name.
    all: Vec<NodeStatus<'a>>,
    zones: Vec<&'a Text>,
    /// How many nodes have pods of each phase, or may get some.
    living: [usize; Phase::ALL.len()],
    /// Which nodes come to each pool whose nodes this pass replaces. It is the same for all of them.
    directions: HashMap<&'a str, Direction>,
    /// UIDs of those that a pipeline takes away whatever becomes of them.
    lost: HashSet<&'a Text>,
    exchanges: Vec<Exchange<'a>>,
}

/// A set of phases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Phases(u8);

impl Phases {
    /// All four.
    pub const ALL: Self = Self((1 << Phase::ALL.len()) - 1);

    const fn bit(phase: Phase) -> u8 {
        1 << phase as u8
    }

    /// Whether the phase is one of them.
    #[must_use]
    pub const fn has(self, phase: Phase) -> bool {
        self.0 & Self::bit(phase) != 0
    }

    /// Each of them, in the order of a migration.
    pub fn iter(self) -> impl Iterator<Item = Phase> {
        Phase::ALL.into_iter().filter(move |phase| self.has(*phase))
    }
}

impl FromIterator<Phase> for Phases {
    fn from_iter<I: IntoIterator<Item = Phase>>(phases: I) -> Self {
        Self(phases.into_iter().fold(0, |set, phase| set | Self::bit(phase)))
    }
}

impl<'a> Nodes<'a> {
    /// How the nodes of a world stand in the present pass of a run.
    #[must_use]
    pub fn new(world: &'a World, run: &Run, order: &Order<'a>) -> Self {
        let target = run.target().unwrap_or(run.from);
        let mut nodes = Self {
            plan: order.plan,
            target,
            all: Vec::new(),
            zones: Vec::new(),
            living: Default::default(),
            directions: replacement::directions(order.plan, run),
            lost: HashSet::new(),
            exchanges: Vec::new(),
        };
        for (name, node) in world.nodes.iter().filter(|(name, _)| !order.leaves_out(name)) {
            let place = order.place(name, node);
            let is_plain = replacement::is_plain(order.plan, node, place);
            let reported = if is_plain {
                [order.plan.plain_phase()].into_iter().collect()
            } else {
                reported_phases(node).collect()
            };
            let turnover = nodes.direction_of(&node.pool).map_or(Turnover::Stays, |direction| {
                let is_lost = replacement::is_lost(order.plan, world, run, name, node);
                nodes.lost.extend(is_lost.then_some(&node.uid));
                replacement::turnover(direction, node, target, place, is_lost)
            });
            let is_there = turnover != Turnover::Leaves
                && (is_done(node, target) || is_plain && target == order.plan.plain_phase());
            let status = NodeStatus {
                name,
                node,
                standing: decide_standing(world.epoch, run, is_there, name, node),
                place,
                is_planned: place.is_some(),
                turnover,
                is_plain,
                zone: nodes.zone(&node.zone),
                reported_phases: reported,
                possible_phases: if is_plain { reported } else { possible_phases(node, reported) },
            };
            for phase in status.possible_phases.iter() {
                nodes.living[phase as usize] += 1;
            }
            nodes.all.push(status);
        }
        if let Some(direction) = nodes.direction() {
            replacement::take_places(&nodes.directions, &mut nodes.all, order.plan, run, world);
            nodes.exchanges = replacement::exchanges(direction, &nodes, run);
        }
        nodes
    }

    /// Whether another node takes the place of this one in this pass, unless it is of the image that comes.
    fn replaces(&self, node: &Node) -> bool {
        let is_replaced = |direction| match direction {
            Direction::Forth => node.phase() != Some(self.target),
            Direction::Back => replacement::cannot_return(node),
            Direction::Final => !node.is_silent(),
        };
        self.lost.contains(&node.uid) || self.direction_of(&node.pool).is_some_and(is_replaced)
    }

    /// Which nodes come to a pool in this pass, if it replaces the nodes of that one.
    pub(super) fn direction_of(&self, pool: &str) -> Option<Direction> {
        self.directions.get(pool).copied()
    }

    /// Which nodes come, if this pass replaces the nodes of some pools.
    pub(super) fn direction(&self) -> Option<Direction> {
        self.directions.values().next().copied()
    }

    /// The places of the pools whose nodes this pass replaces.
    pub(crate) fn exchanges(&self) -> &[Exchange<'a>] {
        &self.exchanges
    }

    /// The number of a zone; there are few.
    fn zone(&mut self, zone: &'a Text) -> usize {
        self.zones.iter().position(|other| *other == zone).unwrap_or_else(|| {
            self.zones.push(zone);
            self.zones.len() - 1
        })
    }

    /// The nodes, by name.
    #[must_use]
    pub fn all(&self) -> &[NodeStatus<'a>] {
        &self.all
    }

    /// The names of their zones.
    #[must_use]
    pub fn zones(&self) -> &[&'a Text] {
        &self.zones
    }

    /// The node of this name; none if there is none, or if no pass touches it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&NodeStatus<'a>> {
        let index = self.all.binary_search_by(|status| (**status.name).cmp(name)).ok()?;
        self.all.get(index)
    }

    /// Every phase that a pod has or may get as nodes are now, one node left out.
    #[must_use]
    pub fn live_phases(&self, without: Option<&str>) -> Phases {
        let own =
            without.and_then(|name| self.get(name)).map(|status| status.possible_phases).unwrap_or_default();
        let lives = |phase: &Phase| self.living[*phase as usize] > usize::from(own.has(*phase));
        Phase::ALL.into_iter().filter(lives).collect()
    }
}

/// The step of another run that a node bears. Only that run may act on the node.
#[must_use]
pub(super) fn foreign_step<'a>(node: &'a Node, run: &Run) -> Option<&'a Step> {
    node.step.as_ref().filter(|step| step.state.is_in_transit() && !is_of_run(step, run))
}

/// How a node stands that passes touch.
fn decide_standing<'a>(epoch: u64, run: &Run, is_there: bool, name: &str, node: &'a Node) -> Standing<'a> {
    let at_rest = || if is_there { Standing::Done } else { Standing::Pending };
    let is_skipped = run.skipped.contains_key(name);
    let is_held = |step: &Step| step.state == State::Held && is_of_run(step, run);
    if is_skipped && foreign_step(node, run).is_some() {
        return Standing::Skipped;
    }
    match &node.step {
        Some(step) if is_later(node, run, epoch) => Standing::Foreign(step),
        // Its step stays on it, for a later retry.
        Some(step) if is_held(step) && is_skipped => Standing::Skipped,
        // It was left behind in an earlier pass, or the run turned back: it starts like any other. What it said last may be older than what it was asked for.
        Some(step) if is_held(step) && !is_of_pass(step, run) => Standing::Pending,
        Some(step) if step.state.is_in_transit() && is_of_run(step, run) => Standing::Transit(step),
        Some(step) if step.state.is_in_transit() => Standing::Foreign(step),
        Some(_) | None if is_skipped => Standing::Skipped,
        Some(_) | None => at_rest(),
    }
}

/// A plan, and where in it each node is. It is made once for a run: plans of large clusters are long.
#[derive(Debug)]
pub struct Order<'a> {
    pub plan: &'a Plan,
    places: HashMap<&'a str, (Place, &'a str)>,
    left_out: HashSet<&'a str>,
}

/// Where a node is in the plan; the first place comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Which wave it is of, from 0.
    pub wave: usize,
    /// Which of the wave's nodes it is, from 0.
    pub index: usize,
}

impl<'a> Order<'a> {
    /// The order of a plan.
    #[must_use]
    pub fn new(plan: &'a Plan) -> Self {
        let of_wave = |(wave, planned): (usize, &'a crate::plan::Wave)| {
            let place = move |(position, planned): (usize, &'a crate::plan::PlannedNode)| {
                (&*planned.name, (Place { wave, index: position }, &*planned.uid))
            };
            planned.nodes.iter().enumerate().map(place)
        };
        let places = plan.waves.iter().enumerate().flat_map(of_wave).collect();
        let left_out = plan.left_out.iter().map(|out| &*out.name).collect();
        Self { plan, places, left_out }
    }

    /// Where a node is in the plan; none if it joined later, also under the name of another one.
    #[must_use]
    pub fn place(&self, name: &str, node: &Node) -> Option<Place> {
        let (place, uid) = self.places.get(name)?;
        (**uid == *node.uid).then_some(*place)
    }

    /// Whether no pass touches the node.
    #[must_use]
    pub fn leaves_out(&self, name: &str) -> bool {
        self.left_out.contains(name) || NodeExclusion::find(&self.plan.leave_out, name).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_set_of_phases_has_what_was_put_in() {
        let set: Phases = [Phase::New, Phase::Old].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [Phase::Old, Phase::New]);
        assert!(!set.has(Phase::BothOld));
        assert_eq!(Phases::ALL.iter().collect::<Vec<_>>(), Phase::ALL);
    }

    /// A node that says it is in this phase.
    fn in_phase(phase: &str) -> Node {
        let observed = json!({ "bootId": "b", "phase": phase, "attached": { phase: 1 } });
        Node { boot: "b".into(), observed: serde_json::from_value(observed).ok(), ..Node::default() }
    }

    #[test]
    fn a_phase_lives_as_long_as_a_node_has_it() {
        let plan: Plan = serde_json::from_value(json!({
            "version": 1, "cluster": "c", "from": "calico", "to": "cilium", "strategy": "double", "settings": "s", "start": "old",
            "passes": ["both-old"], "waves": [], "leftOut": [{"name": "out", "uid": "u", "why": "so"}], "leaveOut": [{"node": "edge-*", "reason": "so"}],
            "pools": [], "limits": {}, "pods": {}, "gates": [], "dns": {"namespace": "kube-system", "labels": {}}, "policies": [],
            "networks": {"old": [], "new": []}, "agents": [], "unenforced": [], "waivers": [],
        }))
        .expect("a plan");
        let nodes = [("a", "old"), ("b", "old"), ("c", "both-old"), ("out", "new"), ("edge-later", "new")];
        let nodes = nodes.map(|(name, phase)| (Text::from(name), in_phase(phase).into()));
        let mut world = World { nodes: nodes.into(), ..World::default() };
        let run = Run::new("r-1", "4be1".repeat(16), &plan);
        let order = Order::new(&plan);
        let living = |world: &World, without| {
            Nodes::new(world, &run, &order).live_phases(without).iter().collect::<Vec<_>>()
        };
        assert_eq!(living(&world, None), [Phase::Old, Phase::BothOld]);
        assert_eq!(living(&world, Some("a")), [Phase::Old, Phase::BothOld]);
        assert_eq!(living(&world, Some("c")), [Phase::Old]);
        world.node("c").boot = "another".into();
        assert_eq!(living(&world, None), Phase::ALL, "it was rebooted, and what it hands out is unknown");
        world.put("c".into(), in_phase("both-old"));
        assert_eq!(living(&world, None), [Phase::Old, Phase::BothOld]);
        world.put("d".into(), Node::default());
        assert_eq!(living(&world, None), Phase::ALL, "it is new, and says nothing yet");
        world.put("d".into(), Node { label: Some(Phase::New), ..Node::default() });
        assert_eq!(living(&world, None), [Phase::Old, Phase::BothOld, Phase::New], "kubelet set its label");
    }
}
