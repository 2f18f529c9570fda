//! New nodes of a rotation: what each of them lacks until it is proven, and what waits for it.

use std::collections::HashSet;
use std::time::Duration;

use snapshot::model::Text;
use types::api::node_keys;
use types::api::observed;
use types::api::step::State;
use types::policy::Phase;

use crate::cni::reach::Way;
use crate::cni::support::Cni;
use crate::plan::Plan;
use crate::roll::replacement::{Direction, Exchange, Turnover, directions};
use crate::roll::run::Run;
use crate::roll::start::unmet_gates;
use crate::roll::start::wave::done_ago;
use crate::roll::transit::STEADY;
use crate::roll::view::{NodeStatus, Standing, View, is_done, is_of_pass};
use crate::roll::wait::{Reason, Subject, Wait};
use crate::roll::world::{Node, Owner, Pod, Trait, World};
use crate::workload::{START_TAINT_CILIUM, is_startup};

/// How many Nodes with an earlier report are named.
const NAMED: usize = 3;
/// On how many new nodes pods are watched at once: more than a pipeline launches ahead.
const ARRIVING: usize = 100;

/// Whether a node is done in this pass, by its step.
fn has_proof(node: &Node, run: &Run) -> bool {
    node.step.as_ref().is_some_and(|step| step.state == State::Done && is_of_pass(step, run))
}

/// Whether the run has seen the proof of a new node.
pub(in crate::roll) fn is_proven(status: &NodeStatus<'_>, run: &Run) -> bool {
    status.standing == Standing::Done && has_proof(status.node, run)
}

/// Whether a node is new, and not proven yet.
pub(in crate::roll) fn is_arriving(status: &NodeStatus<'_>, run: &Run) -> bool {
    let is_at_rest = matches!(status.standing, Standing::Done | Standing::Pending);
    status.turnover == Turnover::Arrives && is_at_rest && !is_proven(status, run)
}

/// New nodes of this pass whose pods are watched: those that are not proven, since their agents have to be Ready; and those that are, where pods alone tell what
/// image a node is of. A plan that is made in the middle of a rotation has nodes of the image, too.
pub fn arriving<'w>(world: &'w World, run: &Run, plan: &Plan) -> impl Iterator<Item = &'w Text> + use<'w> {
    let directions = directions(plan, run);
    let waves = plan.waves.iter().filter(|_| !directions.is_empty());
    let planned: HashSet<&Text> = waves.flat_map(|wave| &wave.nodes).map(|planned| &planned.uid).collect();
    let is_new = |node: &Node| match directions.get(&*node.pool) {
        Some(Direction::Forth) => !planned.contains(&node.uid) || node.phase() == run.target(),
        Some(Direction::Back) => !planned.contains(&node.uid),
        Some(Direction::Final) => node.is_silent(),
        None => false,
    };
    let new = world.nodes.iter().filter(|(_, node)| is_new(node));
    let (proven, arriving): (Vec<_>, Vec<_>) = new.partition(|(_, node)| has_proof(node, run));
    let proven = if plan.is_final() { proven } else { Vec::new() };
    arriving.into_iter().chain(proven).take(ARRIVING).map(|(name, _)| name)
}

/// What a new node lacks to fill a place; none if it has everything that a node in place would have at the end.
pub(in crate::roll) fn shortfall(view: &View<'_>, status: &NodeStatus<'_>) -> Option<String> {
    let node = status.node;
    if node.is_going {
        return Some("another program takes it away".into());
    }
    if !node.is_ready {
        return Some("it is not Ready".into());
    }
    if !status.is_plain && !is_done(node, view.target) {
        let text = node.crossfade.as_ref().map(|condition| condition.message.as_ref()).unwrap_or_default();
        return Some(format!(
            "it does not report in this boot that it is in phase {}, and all that is on it: {text}",
            view.target
        ));
    }
    let follows =
        |phase: &Phase| node.observed.as_ref().is_some_and(|observed| observed.follows.contains(phase));
    if let Some(desired) = node.desired.filter(|desired| *desired != view.target && follows(desired)) {
        let (name, key) = (status.name, node_keys::DESIRED);
        return Some(format!(
            "its annotation {key} names {desired}, and it may follow that again; to remove it: kubectl annotate node {name} {key}-"
        ));
    }
    if let Some(what) = other_network(view, status) {
        return Some(what);
    }
    let is_known = |key: &&Text| is_startup(key) || view.plan.startup_taints.contains(key);
    if let Some(taint) = node.taints.iter().find(is_known) {
        return Some(format!("it still bears the start-up taint {taint}"));
    }
    if view.memory.steady(status.name, view.world.now).is_none_or(|steady| steady < STEADY) {
        return Some("it has not been steady in its phase for 10 s".into());
    }
    if let Some(cni) = missing_agent(view, status.name) {
        return Some(format!("no pod of the agent of {cni} is Ready on it"));
    }
    let gate = unmet_gates(view, Way::Restart).into_iter().next()?;
    Some(format!("{}: {}", gate.object, gate.what))
}

/// What shows that a new node without Crossfade is not of the final image; none if nothing does.
fn other_network(view: &View<'_>, status: &NodeStatus<'_>) -> Option<String> {
    let is_foreign = |pod: &&Pod| pod.has_trait(Trait::OtherNetwork) && !pod.has_trait(Trait::Finished);
    let pod = view.pods_on(status.name).find(is_foreign)?;
    let title = pod.title();
    Some(format!(
        "pod {title} on it has an address that is not of the new network, so its image is no final one"
    ))
}

/// Waits for nodes that are not of the final image. A pod may have come there once the node was proven.
pub(in crate::roll) fn other_network_waits(view: &View<'_>) -> Vec<Wait> {
    let new = view.nodes().filter(|status| status.turnover == Turnover::Arrives);
    let wait = |status: &NodeStatus<'_>| {
        let what = other_network(view, status)?;
        let help = replacement_help(view, status);
        Some(Wait::new_held(Subject::node(status.name), Reason::Arriving, what, help))
    };
    new.filter_map(wait).collect()
}

/// The commands that show why a new node is not proven, and that get another one in its place.
fn replacement_help(view: &View<'_>, status: &NodeStatus<'_>) -> String {
    let NodeStatus { name, node, .. } = *status;
    let again = view.pipeline(node).replace(view.world, name);
    format!("kubectl describe node {name}; for another one in its place: {again}")
}

/// The CNI whose agent a new node lacks, of those that the plan knows agents of: it has no Ready pod there.
///
/// New nodes need the old network's agent as long as nodes of both phases reach each other through it; those of the earlier image have no other.
fn missing_agent(view: &View<'_>, name: &str) -> Option<Cni> {
    let plan = view.plan;
    let needs_old = plan.bridge.is_some() || view.target != Phase::New;
    let needed = match view.nodes.direction() {
        Some(Direction::Back) => [Some(plan.from), None],
        Some(Direction::Final) => [Some(plan.to), None],
        Some(Direction::Forth) | None => [Some(plan.to), needs_old.then_some(plan.from)],
    };
    let is_there = |cni: Cni| {
        let agents = || plan.agents.iter().filter(|agent| agent.cni == Some(cni));
        let runs = |pod: &Pod| {
            let is_of = |owner: &Owner| {
                agents().any(|agent| agent.namespace == owner.namespace && agent.name == owner.name)
            };
            // kubelet has a pod Ready until it has ended.
            pod.has_trait(Trait::Ready)
                && !pod.has_trait(Trait::Terminating)
                && pod.owner.as_ref().is_some_and(|owner| owner.is_daemon_set() && is_of(owner))
        };
        agents().next().is_none() || view.pods_on(name).any(runs)
    };
    needed.into_iter().flatten().find(|cni| !is_there(*cni))
}

/// How long a new node may take until it is proven.
pub(super) fn arrival_limit(view: &View<'_>) -> Duration {
    let limits = &view.plan.limits;
    Duration::from_secs(u64::from(limits.flip_seconds) + u64::from(limits.prove_seconds))
}

/// Waits for new nodes, each by name, and for those that have not come.
pub(in crate::roll) fn waits(view: &View<'_>) -> Vec<Wait> {
    let (now, limit) = (view.world.now, arrival_limit(view));
    let mut waits = other_network_waits(view);
    let is_shown = |status: &&NodeStatus<'_>| other_network(view, status).is_some();
    for status in view.nodes().filter(|status| is_arriving(status, view.run) && !is_shown(status)) {
        let name = status.name;
        let Some(what) = shortfall(view, status) else { continue };
        let since = view.memory.since(name, now);
        // Nothing removes it from a node of the earlier image, and it comes back where a person does.
        let is_tainted = status.is_plain && status.node.taints.iter().any(|key| &**key == START_TAINT_CILIUM);
        let setting =
            if is_tainted { "operator.setNodeTaints=false of Cilium keeps the taint off; " } else { "" };
        let help = format!("{setting}{}", replacement_help(view, status));
        let wait = Wait::new(Subject::node(name), Reason::Arriving, what).help(help);
        waits.push(wait.limited(since, limit, now));
    }
    for exchange in view.nodes.exchanges() {
        let missing = exchange.count_unfilled().saturating_sub(exchange.arriving);
        let Some(last) = exchange.last_gone.filter(|_| missing > 0) else { continue };
        let since = view.memory.last_departure(exchange.pool, now);
        let limit = Duration::from_secs(view.plan.limits.move_seconds.into());
        let pool = exchange.pool;
        let what = format!("{missing} more of its nodes have gone than new ones have come");
        let look = exchange.pipeline.arrivals();
        let help = format!("{look}; where the pool is to stay smaller: kubectl crossfade roll skip {last}");
        let wait = Wait::new(Subject::Pool(pool.clone()), Reason::ReplacementMissing, what).help(help);
        waits.push(wait.limited(since, limit, now));
    }
    waits.extend(outdated_reports(view));
    let unreadable = view.world.permits.unreadable.iter();
    waits.extend(unreadable.map(|why| {
        let what = format!("it is no request of a pipeline, and is ignored: {why}");
        let help = "ask with kubectl crossfade permit NODE, which writes it";
        Wait::new("ConfigMap/crossfade/crossfade-permits", Reason::NotAsked, what).help(help)
    }));
    waits
}

/// A wait for a node that is Ready and reports nothing in this boot; none if it does.
///
/// A Node that outlives its machine keeps the label and the report of the one before. Whether the image has Crossfade is known to people alone: a `watch` that
/// cannot report leaves the same.
pub(in crate::roll) fn outdated_report(view: &View<'_>, status: &NodeStatus<'_>) -> Option<Wait> {
    let NodeStatus { name, node, .. } = *status;
    if !view.plan.rotates(&node.pool) || !node.is_unreported() {
        return None;
    }
    let look = "on the node: systemctl status crossfade-watch";
    let (what, help) = match view.nodes.direction_of(&node.pool) {
        Some(Direction::Back | Direction::Final) => (
            "its label and its report are of an earlier boot, and nothing reports in this one: its image has no Crossfade, or watch does not run there",
            format!(
                "if its image has no Crossfade: kubectl annotate node {name} {}- && kubectl label node {name} {}-; else, {look}",
                observed::KEY,
                node_keys::PHASE
            ),
        ),
        Some(Direction::Forth) | None if node.observed.is_none() => (
            "it has the label crossfade/phase and no report, so it may be of the new image: nothing takes it away before it reports",
            look.to_owned(),
        ),
        Some(Direction::Forth) | None => (
            "its report is of an earlier boot, so it may be of the new image by now: nothing takes it away before it reports",
            look.to_owned(),
        ),
    };
    Some(Wait::new(Subject::node(name), Reason::Arriving, what).help(help))
}

/// Such waits, where nodes without Crossfade come.
fn outdated_reports(view: &View<'_>) -> Vec<Wait> {
    if !matches!(view.nodes.direction(), Some(Direction::Back | Direction::Final)) {
        return Vec::new();
    }
    let is_left =
        |status: &&NodeStatus<'_>| matches!(status.standing, Standing::Pending | Standing::Transit(_));
    view.nodes().filter(is_left).filter_map(|status| outdated_report(view, status)).take(NAMED).collect()
}

/// What keeps every node of a wave from starting: a new node that is late, or an earlier wave whose places are still open.
pub(in crate::roll) fn obstacles(view: &View<'_>, wave: usize) -> Vec<Wait> {
    let held: Vec<Wait> = waits(view).into_iter().filter(|wait| wait.is_held).collect();
    if !held.is_empty() {
        return held;
    }
    let is_behind = |exchange: &&Exchange<'_>| {
        exchange.count_unfilled() > exchange.gone_by_wave.iter().skip(wave).sum::<u32>()
    };
    let behind = view.nodes.exchanges().iter().filter(is_behind);
    let wait = |exchange: &Exchange<'_>| {
        let what = "nodes of an earlier wave have gone, and new ones are not proven in their places yet";
        Wait::new(Subject::Pool(exchange.pool.clone()), Reason::Arriving, what)
    };
    behind.map(wait).collect()
}

/// How long ago the nodes that have gone up to this wave were replaced: since the proof of as many new nodes of their pool.
pub(in crate::roll) fn replaced_ago<'v>(
    view: &'v View<'_>,
    wave: usize,
    known: Duration,
) -> impl Iterator<Item = Duration> + use<'v> {
    view.nodes.exchanges().iter().filter_map(move |exchange| {
        let gone = exchange.gone_by_wave.iter().take(wave + 1).sum::<u32>() as usize;
        let is_new = |status: &&NodeStatus<'_>| {
            status.turnover == Turnover::Arrives
                && status.node.pool == *exchange.pool
                && is_proven(status, view.run)
        };
        let proven = view.nodes().filter(is_new);
        let mut ages: Vec<Duration> =
            proven.filter_map(|status| done_ago(view, status.name, &status.node.uid, known)).collect();
        ages.sort_unstable_by(|age, other| other.cmp(age));
        ages.get(gone.checked_sub(1)?).or(ages.last()).copied()
    })
}
