//! Draws a plan.

use migration::cni::reach;
use migration::cni::support::{Cni, Strategy};
use migration::config::roll::{Limits, Method, Pods};
use migration::plan::{
    Bridge, Dns, ExcludedNode, Gate, GateSource, Networks, Plan, PlannedNode, Pool, Wave, WaveKind, WaveName,
};
use snapshot::model::{Labels, Text};
use types::policy::Phase;

use super::BASE;
use crate::cluster::truth::Truth;
use crate::draw::random::Random;
use crate::history::queue::SECOND;

/// Draws a plan for a cluster, and the gates that it names.
pub(super) fn draw(random: &mut Random, truth: &mut Truth, start: Phase, to: Phase) -> Plan {
    let bridge = match random.number_below(10) {
        0..7 => None,
        7 => Some(Bridge::Accepted("it is known".into())),
        _ => Some(Bridge::Gate("bridge".into())),
    };
    let is_bridged = bridge.is_some();
    let mut names: Vec<&str> = vec!["workload"];
    names.extend(is_bridged.then_some("bridge"));
    for name in &names {
        truth.add_gate(name, 30 * SECOND);
    }
    let gate = |name: &&str| Gate {
        name: (*name).to_owned(),
        source: if *name == "workload" { GateSource::Workload } else { GateSource::Command(Vec::new()) },
        every_seconds: 30,
        fresh_seconds: 90,
    };
    let left_out = draw_excluded(random, truth);
    Plan {
        version: Plan::VERSION,
        cluster: "sim".into(),
        from: Cni::Calico,
        to: Cni::Cilium,
        strategy: if is_bridged { Strategy::Bridge } else { Strategy::Double },
        settings: String::new(),
        start,
        passes: reach::path(start, to, is_bridged),
        ways: Vec::new(),
        image: None,
        bridge,
        waves: waves(random, truth, &left_out),
        left_out,
        leave_out: Vec::new(),
        pools: pools(random, truth),
        pool_labels: Vec::new(),
        startup_taints: Vec::new(),
        limits: limits(random),
        margin_percent: 10,
        pods: pods(random),
        gates: names.iter().map(gate).collect(),
        dns: Dns { namespace: "kube-system".into(), labels: Labels::new() },
        policies: vec![BASE.into()],
        networks: Networks::default(),
        agents: Vec::new(),
        unenforced: Vec::new(),
        waivers: Vec::new(),
    }
}

/// Sometimes the last node of several takes no part.
fn draw_excluded(random: &mut Random, truth: &Truth) -> Vec<ExcludedNode> {
    let last = truth.nodes.last().filter(|_| truth.nodes.len() > 3 && random.chance(50));
    let out = |node: &crate::cluster::truth::Node| ExcludedNode {
        name: node.name.clone(),
        uid: node.api.uid.clone(),
        why: "it is virtual".into(),
    };
    last.map(out).into_iter().collect()
}

/// A node alone in its cluster cannot be drained: its pods have nowhere to go.
fn pools(random: &mut Random, truth: &Truth) -> Vec<Pool> {
    let mut pools: Vec<Pool> = Vec::new();
    for node in &truth.nodes {
        if let Some(pool) = pools.iter_mut().find(|pool| pool.name == node.api.pool) {
            pool.zones.push(node.api.zone.clone());
            continue;
        }
        let is_alone = truth.nodes.len() == 1;
        let method = if is_alone || random.chance(200) { Method::Churn } else { Method::Drain };
        pools.push(Pool {
            name: node.api.pool.clone(),
            nodes: 1,
            zones: vec![node.api.zone.clone()],
            method,
            image: None,
        });
    }
    pools
}

fn limits(random: &mut Random) -> Limits {
    let between = |random: &mut Random, from, to| u32::try_from(random.number_between(from, to)).unwrap_or(1);
    Limits {
        in_transit: between(random, 1, 5),
        zone_percent: *random.pick(&[5, 20, 50, 100]).unwrap_or(&5),
        per_hour: if random.chance(50) { between(random, 6, 20) } else { 0 },
        evictions: between(random, 1, 10),
        fence: random.chance(700),
        soak_seconds: *random.pick(&[0, 60, 600]).unwrap_or(&0),
        job_seconds: *random.pick(&[60, 1800]).unwrap_or(&60),
        ..Limits::default()
    }
}

fn pods(random: &mut Random) -> Pods {
    let listed = |is_listed: bool, what: &str| if is_listed { vec![what.to_owned()] } else { Vec::new() };
    Pods {
        delete: listed(random.chance(500), "default/bare"),
        delete_empty_dir: random.chance(800),
        disrupt: listed(random.chance(300), "default/web*"),
        evict_jobs: random.chance(700),
        in_place: Vec::new(),
    }
}

fn waves(random: &mut Random, truth: &Truth, left_out: &[ExcludedNode]) -> Vec<Wave> {
    let mut kinds = vec![WaveKind::Scouts, WaveKind::Dns, WaveKind::Canary, WaveKind::ControlPlane];
    kinds.retain(|_| random.chance(600));
    let mut waves: Vec<Wave> =
        kinds.iter().map(|kind| wave(random, format!("{kind:?}").into(), *kind)).collect();
    let mut zones: Vec<&Text> = truth.nodes.iter().map(|node| &node.api.zone).collect();
    zones.sort();
    zones.dedup();
    for zone in &zones {
        waves.push(wave(random, WaveName::Zone(zone.to_string()), WaveKind::Zone));
    }
    waves.sort_by_key(|wave| wave.kind);
    let taking = waves.len() - zones.len();
    for node in &truth.nodes {
        if left_out.iter().any(|out| out.name == node.name) {
            continue;
        }
        let zone = WaveName::Zone(node.api.zone.to_string());
        let is_special = taking > 0 && random.chance(250);
        let any = random.number_below(waves.len() as u64);
        let of_zone = waves.iter().position(|wave| wave.name == zone);
        // No plan moves a node in the wave of another zone.
        let special =
            usize::try_from(any).ok().filter(|index| is_special && waves[*index].takes(&node.api.zone));
        let index = special.or(of_zone);
        let placed = PlannedNode {
            name: node.name.clone(),
            uid: node.api.uid.clone(),
            pool: Default::default(),
            why: String::new(),
        };
        waves[index.unwrap_or_default()].nodes.push(placed);
    }
    waves
}

fn wave(random: &mut Random, name: WaveName, kind: WaveKind) -> Wave {
    let at_once =
        if kind == WaveKind::Scouts { 1 } else { u32::try_from(random.number_between(1, 5)).unwrap_or(1) };
    let soak_seconds = if kind == WaveKind::Scouts { 600 } else { 0 };
    Wave { name, kind, at_once, soak_seconds, nodes: Vec::new() }
}
