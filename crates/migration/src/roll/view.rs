//! What a decision looks at, and how each node stands in the pass.

use std::collections::BTreeSet;
use std::time::Duration;
use types::eviction::Answer;

use snapshot::model::Text;
use types::policy::Phase;
use types::step::{Cordon, State, Step};

use super::act::{Change, Patch};
use super::memory::{Memory, is_of};
use super::nodes::{NodeStatus, Nodes, Phases, Standing};
use super::run::Run;
use super::world::{Color, Node, Pod, Trait, Verdict, World};
use crate::plan::{Bridge, Method, Plan};
use crate::reach;

/// For so long an eviction whose answer was lost may have happened although its pod seems to stay.
const DOUBTFUL: Duration = Duration::from_mins(10);

/// Everything that a decision looks at.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The cluster.
    pub world: &'a World,
    /// What the holder remembers.
    pub memory: &'a Memory,
    /// The run.
    pub run: &'a Run,
    /// The plan.
    pub plan: &'a Plan,
    /// The phase that this pass brings nodes to.
    pub target: Phase,
    /// How they stand.
    pub nodes: &'a Nodes<'a>,
}

impl<'a> View<'a> {
    /// Everything that a decision looks at.
    #[must_use]
    pub const fn of(world: &'a World, memory: &'a Memory, run: &'a Run, nodes: &'a Nodes<'a>) -> Self {
        Self { world, memory, run, plan: nodes.plan, target: nodes.target, nodes }
    }

    /// How a node stands.
    #[must_use]
    pub fn standing(&self, name: &str) -> Standing<'a> {
        self.nodes.get(name).map_or(Standing::LeftOut, |status| status.standing)
    }

    /// Whether a node was held in an earlier pass: it starts like any other, and may still bear the run's cordon.
    #[must_use]
    pub fn is_held_since_earlier_pass(&self, node: &Node) -> bool {
        let is =
            |step: &Step| step.state == State::Held && is_of(step, self.run) && !is_of_pass(step, self.run);
        node.step.as_ref().is_some_and(is)
    }

    /// All nodes that passes touch, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &'a NodeStatus<'a>> {
        self.nodes.all().iter()
    }

    /// Pods on a node.
    pub fn pods_on(&self, node: &str) -> impl Iterator<Item = &'a Pod> {
        self.world.pods.on(node)
    }

    /// Pods that answer DNS queries, are Ready and stay for now.
    pub fn ready_dns(&self) -> impl Iterator<Item = &'a Pod> {
        let is = |pod: &&Pod| pod.is(Trait::Dns) && pod.is(Trait::Ready) && !self.is_leaving(pod);
        self.world.pods.values().filter(is)
    }

    /// Whether a pod is on its way out, or may be: the API server was asked to evict it, and the object may be older than its answer.
    #[must_use]
    pub fn is_leaving(&self, pod: &Pod) -> bool {
        let is_asked = self.memory.answer(&pod.uid).is_some_and(|answered| match answered.answer {
            Answer::Accepted | Answer::Gone => true,
            Answer::Failed(_) => self.ago(answered.at) < DOUBTFUL,
            Answer::Budget(_) | Answer::Busy(_) | Answer::TwoBudgets | Answer::NamespaceGoes => false,
        });
        is_asked || pod.is(Trait::Terminating)
    }

    /// Whether the plan was made for the policy that the node says it has.
    #[must_use]
    pub fn is_covered(&self, node: &Node) -> bool {
        let base = node.observed.as_ref().and_then(|seen| seen.base.as_ref());
        base.is_some_and(|base| self.plan.policies.contains(base))
    }

    /// The method of a node's pool.
    #[must_use]
    pub fn method(&self, node: &Node) -> Method {
        let pool = self.plan.pools.iter().find(|pool| pool.name == node.pool);
        pool.map(|pool| pool.method).unwrap_or_default()
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
        let is_fresh = self.ago(verdict.at) <= Duration::from_secs(gate.fresh_seconds.into());
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

    /// Two phases of pods that this node would part if it went to `to`: the client's, and the server's. None if nobody is parted who is together now.
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
            Some(&***name) != without && self.standing(name) != Standing::LeftOut
        };
        let requested =
            self.memory.pending_patches().requested_phases().filter(is_other).map(|(_, phase)| phase);
        self.nodes.live_phases(without).iter().chain(requested).collect()
    }

    /// The same without pods that answer DNS queries, which ask none: what a node has of other phases does not count where it is such pods alone.
    #[must_use]
    pub fn client_phases(&self) -> BTreeSet<Phase> {
        let has_dns: BTreeSet<&Text> =
            self.world.pods.values().filter(|pod| pod.is(Trait::Dns)).map(|pod| &pod.node).collect();
        let asks = |status: &NodeStatus<'_>| {
            let without = has_dns.contains(status.name).then(|| self.without_dns(status.node)).flatten();
            without.map_or_else(
                || status.possible_phases,
                |node| possible_phases(&node, reported_phases(&node).collect()),
            )
        };
        let asked = self.memory.pending_patches().requested_phases();
        let requested = asked.filter(|(name, _)| self.standing(name) != Standing::LeftOut);
        self.nodes().flat_map(|status| asks(status).iter()).chain(requested.map(|(_, phase)| phase)).collect()
    }

    /// The node without its attachments of other phases, where all of them are of pods that answer DNS queries.
    fn without_dns(&self, node: &Node) -> Option<Node> {
        let seen = node.observed.as_ref()?;
        let (phase, others) = (seen.phase?, &seen.attached.as_ref()?.others);
        let is_dns = |short: &String| {
            self.world.pods.values().any(|pod| pod.is(Trait::Dns) && pod.uid.starts_with(short.as_str()))
        };
        let has_others = node.attached_otherwise(phase) != u32::try_from(others.len()).ok();
        if others.is_empty() || has_others || !others.iter().all(is_dns) {
            return None;
        }
        let mut without = node.clone();
        if let Some(attached) = without.observed.as_mut().and_then(|seen| seen.attached.as_mut()) {
            attached.by_phase.retain(|attached_phase, _| *attached_phase == phase);
        }
        Some(without)
    }
}

/// Every phase that a pod of the node has, may get as it is now, or may get soon since it is asked to change. All of them if nobody knows.
pub(super) fn possible_phases(node: &Node, reported: Phases) -> Phases {
    if is_unheard(node) { Phases::ALL } else { reported }
}

/// Nobody knows which phases the node's pods have: it is new and has said nothing yet, or it was rebooted, and what it says is of an earlier boot. Its image
/// may have another policy.
#[must_use]
pub fn is_unheard(node: &Node) -> bool {
    match &node.observed {
        None => node.label.is_none(),
        Some(seen) => *seen.boot_id != *node.boot,
    }
}

/// Every phase that a pod of the node has, may get as it is now, or may get soon since it is asked to change, as far as the node says it.
pub(super) fn reported_phases(node: &Node) -> impl Iterator<Item = Phase> {
    let follows = |to: &Phase| node.observed.as_ref().is_none_or(|seen| seen.follows.contains(to));
    node.phases().chain(node.desired.filter(follows))
}

/// Everything says that the node is in the phase, and that nothing of another phase is attached to it.
#[must_use]
pub fn is_done(node: &Node, phase: Phase) -> bool {
    node.is_in(phase) && node.attached_otherwise(phase) == Some(0)
}

/// A patch of this node, as it was read, that changes nothing yet.
#[must_use]
pub fn patch(name: &Text, node: &Node) -> Patch {
    Patch {
        node: name.clone(),
        uid: node.uid.clone(),
        version: node.version.clone(),
        step: Change::Keep,
        desired: None,
        cordon: None,
        fence: None,
    }
}

/// Whether a step is of the present pass.
#[must_use]
pub fn is_of_pass(step: &Step, run: &Run) -> bool {
    is_of(step, run) && run.tried(&step.claim).is_some()
}

/// Whether the node bears a step of this run that another holder than one up to this epoch wrote. Whoever can write a Node's annotations can make it up.
#[must_use]
pub fn is_later(node: &Node, run: &Run, epoch: u64) -> bool {
    node.step.as_ref().is_some_and(|step| is_of(step, run) && step.epoch > epoch)
}

/// The same step in another state, written by this holder now.
#[must_use]
pub fn in_state(step: &Step, state: State, world: &World) -> Step {
    Step { state, epoch: world.epoch, since: Some(world.since()), why: None, ..step.clone() }
}

/// Whether the node bears a cordon that this run set, and that is still there.
#[must_use]
pub fn is_ours(node: &Node, step: &Step) -> bool {
    node.is_cordoned && step.cordon == Some(Cordon::Ours)
}
