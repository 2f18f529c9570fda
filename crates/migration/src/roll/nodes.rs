//! The status of every node, computed once for each step.

use snapshot::model::Text;
use types::policy::Phase;
use types::step::{State, Step};

use super::memory::is_of;
use super::order::{Order, Place};
use super::run::Run;
use super::view::{is_done, is_later, is_of_pass, possible_phases, reported_phases};
use super::world::{Node, World};
use crate::plan::Plan;

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
    /// Its name.
    pub name: &'a Text,
    /// The Node.
    pub node: &'a Node,
    /// How it stands.
    pub standing: Standing<'a>,
    /// Where the plan has it; none if it joined later.
    pub place: Option<Place>,
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
    /// The plan.
    pub plan: &'a Plan,
    /// The phase that the pass brings nodes to; where the run is over, the one that it has brought them to.
    pub target: Phase,
    /// By name.
    all: Vec<NodeStatus<'a>>,
    zones: Vec<&'a Text>,
    /// How many nodes have pods of each phase, or may get some.
    living: [usize; Phase::ALL.len()],
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
    pub fn of(world: &'a World, run: &Run, order: &Order<'a>) -> Self {
        let target = run.target().unwrap_or(run.from);
        let mut nodes =
            Self { plan: order.plan, target, all: Vec::new(), zones: Vec::new(), living: Default::default() };
        for (name, node) in world.nodes.iter().filter(|(name, _)| !order.leaves_out(name)) {
            let reported = reported_phases(node).collect();
            let status = NodeStatus {
                name,
                node,
                standing: standing(world.epoch, run, target, name, node),
                place: order.place(name, node),
                zone: nodes.zone(&node.zone),
                reported_phases: reported,
                possible_phases: possible_phases(node, reported),
            };
            for phase in status.possible_phases.iter() {
                nodes.living[phase as usize] += 1;
            }
            nodes.all.push(status);
        }
        nodes
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
pub(super) fn foreign<'a>(node: &'a Node, run: &Run) -> Option<&'a Step> {
    node.step.as_ref().filter(|step| step.state.is_in_transit() && !is_of(step, run))
}

/// How a node stands that passes touch.
fn standing<'a>(epoch: u64, run: &Run, target: Phase, name: &str, node: &'a Node) -> Standing<'a> {
    let at_rest = || if is_done(node, target) { Standing::Done } else { Standing::Pending };
    let is_skipped = run.skipped.contains_key(name);
    let is_held = |step: &Step| step.state == State::Held && is_of(step, run);
    if is_skipped && foreign(node, run).is_some() {
        return Standing::Skipped;
    }
    match &node.step {
        Some(step) if is_later(node, run, epoch) => Standing::Foreign(step),
        // Its step stays on it, for whoever tries it again.
        Some(step) if is_held(step) && is_skipped => Standing::Skipped,
        // It was left behind in an earlier pass, or the run turned back: it starts like any other.
        Some(step) if is_held(step) && !is_of_pass(step, run) => at_rest(),
        Some(step) if step.state.is_in_transit() && is_of(step, run) => Standing::Transit(step),
        Some(step) if step.state.is_in_transit() => Standing::Foreign(step),
        _ if is_skipped => Standing::Skipped,
        _ => at_rest(),
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
            "passes": ["both-old"], "waves": [], "leftOut": [{"name": "out", "uid": "u", "why": "so"}],
            "pools": [], "limits": {}, "pods": {}, "gates": [], "dns": {"namespace": "kube-system", "labels": {}}, "policies": [],
            "networks": {"old": [], "new": []}, "agents": [], "unenforced": [], "waivers": [],
        }))
        .expect("a plan");
        let nodes = [("a", "old"), ("b", "old"), ("c", "both-old"), ("out", "new")];
        let nodes = nodes.map(|(name, phase)| (Text::from(name), in_phase(phase).into()));
        let mut world = World { nodes: nodes.into(), ..World::default() };
        let run = Run::new("r-1", "4be1".repeat(16), &plan);
        let order = Order::of(&plan);
        let living = |world: &World, without| {
            Nodes::of(world, &run, &order).live_phases(without).iter().collect::<Vec<_>>()
        };
        assert_eq!(living(&world, None), [Phase::Old, Phase::BothOld]);
        assert_eq!(living(&world, Some("a")), [Phase::Old, Phase::BothOld]);
        assert_eq!(living(&world, Some("c")), [Phase::Old]);
        world.node("c").boot = "another".into();
        assert_eq!(living(&world, None), Phase::ALL, "it was rebooted, and nobody knows what it hands out");
        world.put("c".into(), in_phase("both-old"));
        assert_eq!(living(&world, None), [Phase::Old, Phase::BothOld]);
        world.put("d".into(), Node::default());
        assert_eq!(living(&world, None), Phase::ALL, "it is new, and says nothing yet");
        world.put("d".into(), Node { label: Some(Phase::New), ..Node::default() });
        assert_eq!(living(&world, None), [Phase::Old, Phase::BothOld, Phase::New], "kubelet set its label");
    }
}
