//! Draws a cluster, a plan for it and what goes wrong from a seed.

mod faults;
mod joins;
mod last;
mod plan;
pub(crate) mod random;
pub(crate) mod rotation;
mod sizes;
mod stragglers;

use std::collections::BTreeSet;

use types::policy::Phase;

pub use faults::Choice;
use migration::plan::Plan;
use migration::roll::world::{Owner, Trait};
use migration::workload::capacity::Request;
use snapshot::model::Text;

use self::random::Random;
use crate::cluster::build::{NodeBlueprint, WorkloadBlueprint};
use crate::cluster::truth::{Budget, Truth};
use crate::disturb::fault::Faults;
use crate::history::queue::{MINUTE, SECOND};

/// What a history begins with.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The cluster.
    pub(super) truth: Truth,
    pub(super) plan: Plan,
    /// What goes wrong.
    pub(super) faults: Faults,
    pub(super) seed: u64,
}

/// Draws which rotations are the last one: none of those whose seeds are kept.
const LAST: u64 = 0x1726;

/// The policy that all nodes have, without its phase.
pub(super) const BASE: &str = "base-1";

impl Scenario {
    /// Draws a history. The same seed and choice draw the same one.
    #[must_use]
    pub fn draw(seed: u64, choice: Choice) -> Self {
        let mut random = Random::new(seed);
        let mut truth = Truth { is_open: true, ..Truth::default() };
        let (start, to) = phases(&mut random);
        nodes(&mut random, &mut truth, start);
        workloads(&mut random, &mut truth);
        room(&mut random, &mut truth);
        // By numbers of its own, so that everything else is drawn as it was.
        sizes::draw(&mut Random::new(seed ^ 0x51e5), &mut truth);
        joins::draw(&mut Random::new(seed ^ 0x101e), &mut truth);
        let plan = plan::draw(&mut random, &mut truth, start, to);
        truth.settle();
        let faults = faults::draw(&mut random, choice);
        Self { truth, plan, faults, seed }
    }

    /// Draws the history of a run that fixes stragglers: the cluster of [`Drawn::of`], of which some pods were attached in other phases, and some nodes are in
    /// one.
    #[must_use]
    pub fn draw_stragglers(seed: u64, choice: Choice) -> Self {
        let mut drawn = Self::draw(seed, choice);
        stragglers::draw(&mut Random::new(seed ^ 0x57a6), &mut drawn.truth, &mut drawn.plan);
        drawn
    }

    /// Draws the history of a run that has nodes replaced: the cluster of [`Self::of`], in which pipelines replace the nodes of some pools.
    #[must_use]
    pub fn draw_rotation(seed: u64, choice: Choice) -> Self {
        let mut random = Random::new(seed);
        let mut truth = Truth { is_open: true, ..Truth::default() };
        nodes(&mut random, &mut truth, Phase::Old);
        workloads(&mut random, &mut truth);
        room(&mut random, &mut truth);
        sizes::draw(&mut random.fork(), &mut truth);
        joins::draw(&mut random, &mut truth);
        let mut plan = plan::draw(&mut random, &mut truth, Phase::Old, Phase::New);
        rotation::draw(&mut random, &mut truth, &mut plan);
        last::draw(&mut Random::new(seed ^ LAST), &mut truth, &mut plan);
        truth.settle();
        let mut faults = faults::draw(&mut random, choice);
        if choice == Choice::Some {
            faults::add_of_pipelines(&mut random, &mut faults);
        }
        Self { truth, plan, faults, seed }
    }

    /// Draws the history of a rotation with Machines of Cluster API, and with images in different phases: the cluster of [`Self::draw_rotation`].
    #[must_use]
    pub fn draw_fleet(seed: u64, choice: Choice) -> Self {
        let mut drawn = Self::draw_rotation(seed, choice);
        rotation::draw_fleet(&mut Random::new(seed ^ 0xf1ee7), &mut drawn.truth, &mut drawn.plan);
        drawn
    }

    /// What goes wrong is drawn for a cluster and a plan that are there.
    pub(super) fn new(truth: Truth, plan: Plan, seed: u64, choice: Choice) -> Self {
        let faults = faults::draw(&mut Random::new(seed), choice);
        Self { truth, plan, faults, seed }
    }
}

/// The first and the last phase.
fn phases(random: &mut Random) -> (Phase, Phase) {
    match random.number_below(10) {
        0..6 => (Phase::Old, Phase::New),
        6..8 => (Phase::New, Phase::Old),
        _ => {
            let from = random.number_below(4);
            let to = (from + 1 + random.number_below(3)) % 4;
            let phase = |time: u64| Phase::ALL[usize::try_from(time).unwrap_or_default()];
            (phase(from), phase(to))
        }
    }
}

fn nodes(random: &mut Random, truth: &mut Truth, start: Phase) {
    let count = match random.number_below(100) {
        0..65 => random.number_between(1, 6),
        65..96 => random.number_between(7, 14),
        _ => random.number_between(15, 60),
    };
    let zones = random.number_between(1, 3);
    let pools = random.number_between(1, 2);
    for time in 0..count {
        let zone = if zones == 1 { String::new() } else { format!("z{}", time % zones) };
        truth.add_node(&NodeBlueprint {
            name: Text::from(format!("n{time}")),
            zone: Text::from(zone),
            pool: Text::from(format!("p{}", random.number_below(pools))),
            phase: start,
            base: BASE.into(),
            joins: Vec::new(),
            offers: Request::default(),
            room: Request::default(),
        });
    }
}

/// How many pods fit on a node: enough for all of them when one node is away.
fn room(random: &mut Random, truth: &mut Truth) {
    let pods: u32 = truth
        .workloads
        .iter()
        .filter(|workload| &*workload.blueprint.owner.kind != "DaemonSet")
        .map(|workload| workload.blueprint.replicas)
        .sum();
    let others = truth.nodes.len().saturating_sub(1).max(1);
    let least = (pods as usize + 2).div_ceil(others);
    for node in &mut truth.nodes {
        let pods = least + 2 + usize::try_from(random.number_below(4)).unwrap_or_default();
        node.room = Request::POD.times(pods as u128);
    }
}

fn workloads(random: &mut Random, truth: &mut Truth) {
    let host = || BTreeSet::from([Trait::HostNetwork, Trait::Agent]);
    for name in ["old-agent", "new-agent"] {
        truth.add_workload(draw_workload(random, "DaemonSet", name.into(), 0, host()));
    }
    let replicas =
        if random.chance(100) { 1 } else { u32::try_from(random.number_between(2, 4)).unwrap_or(2) };
    truth.add_workload(draw_workload(
        random,
        "Deployment",
        "dns".into(),
        replicas,
        BTreeSet::from([Trait::Dns]),
    ));
    let nodes = truth.nodes.len() as u64;
    for time in 0..random.number_between(1, 3 + nodes / 4) {
        let replicas = u32::try_from(random.number_between(1, 3 + nodes / 3)).unwrap_or(1);
        let workload = truth.add_workload(drawn(random, time, replicas));
        let is_set =
            replicas > 1 && !matches!(&*truth.workloads[workload].blueprint.owner.kind, "Job" | "DaemonSet");
        if is_set && random.chance(300) {
            let least = replicas - 1 - u32::from(replicas > 2 && random.chance(300));
            truth.budgets.push(Budget { workload, least });
        }
    }
    if random.chance(80) {
        truth.add_pod("bare", None, BTreeSet::new());
    }
    if random.chance(60) {
        let owner = Owner { kind: "Node".into(), namespace: Text::default(), name: "n0".into() };
        truth.add_pod("static", Some(owner), BTreeSet::from([Trait::Static]));
    }
}

fn drawn(random: &mut Random, time: u64, replicas: u32) -> WorkloadBlueprint {
    let mut traits = BTreeSet::new();
    if random.chance(40) {
        traits.insert(Trait::EmptyDir);
    }
    if random.chance(20) {
        traits.insert(Trait::Undisturbed);
    }
    match random.number_below(100) {
        0..60 => draw_workload(random, "Deployment", format!("web{time}"), replicas, traits),
        60..78 => draw_workload(random, "StatefulSet", format!("db{time}"), replicas.min(4), traits),
        78..90 => draw_workload(random, "DaemonSet", format!("log{time}"), 0, traits),
        _ => {
            let lasts = random.number_between(5, 90) * MINUTE;
            WorkloadBlueprint {
                lasts: Some(lasts),
                ..draw_workload(random, "Job", format!("job{time}"), 1, traits)
            }
        }
    }
}

fn draw_workload(
    random: &mut Random,
    kind: &'static str,
    name: String,
    replicas: u32,
    traits: BTreeSet<Trait>,
) -> WorkloadBlueprint {
    let start = random.number_between(SECOND, 20 * SECOND);
    let grace = random.number_between(SECOND, 30 * SECOND);
    let owner = Owner { kind: kind.into(), namespace: "default".into(), name: name.into() };
    WorkloadBlueprint { owner, replicas, traits, request: Request::POD, start, grace, lasts: None }
}
