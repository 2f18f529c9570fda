//! Clusters of many kinds, made by chance: whatever they are, each node has one place, and the order of the objects makes no difference.

use serde_json::Value;

use super::case::{cluster, control_plane, dns, labelled, node, planned, pod, refused, with};
use crate::check::tests::Case;
use crate::plan::Survey;
use crate::plan::canon::{bytes, hash, read};

/// Numbers by chance, the same ones for the same seed. *Source*: Marsaglia, "Xorshift RNGs" (2003).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % 1_000_003).unwrap_or_default() % end
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for index in (1..all.len()).rev() {
            all.swap(index, self.below(index + 1));
        }
    }
}

fn objects(chance: &mut Chance) -> Vec<Value> {
    let mut all = Vec::new();
    let (nodes, zones) = (1 + chance.below(60), 1 + chance.below(4));
    for index in 0..nodes {
        let (name, zone) = (format!("n{index:02}"), ["", "z1", "z2", "z3"][chance.below(zones)]);
        let object = if chance.below(12) == 0 { control_plane(&name, zone) } else { node(&name, zone) };
        let object = labelled(object, "karpenter.sh/nodepool", ["web", "gpu", "db"][chance.below(3)]);
        all.push(if chance.below(15) == 0 {
            labelled(object, "kubernetes.io/os", "windows")
        } else {
            object
        });
        all.extend((chance.below(10) == 0).then(|| dns(&name)));
        for turn in 0..chance.below(4) {
            let (kind, owner) =
                [("ReplicaSet", "web"), ("StatefulSet", "pg"), ("StatefulSet", "zk")][chance.below(3)];
            all.push(pod(&format!("p{index:02}-{turn}"), &name, kind, owner));
        }
    }
    all
}

const SETTINGS: &str = "freeze: [{name: zk, members: [{namespace: default, name: zk}]}, {name: pg, members: [{namespace: default, name: pg}]}]
roll: {leaveOut: [{node: n*3, reason: why not}]}";

/// Shuffles what a snapshot has, beyond the order in which it sorts its objects.
fn shuffled(mut case: Case, chance: &mut Chance) -> Case {
    chance.shuffle(&mut case.snapshot.nodes);
    chance.shuffle(&mut case.snapshot.pods);
    case.snapshot.workloads.values_mut().for_each(|all| chance.shuffle(all));
    case.snapshot.objects.values_mut().for_each(|all| chance.shuffle(all));
    case
}

#[test]
fn the_order_of_objects_makes_no_difference_and_each_node_has_one_place() {
    let mut plans = 0;
    for seed in 1..=60_u64 {
        let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let objects = objects(&mut chance);
        let nodes = objects.iter().filter(|object| object["kind"] == "Node").count();
        let case = || with(cluster(objects.clone()), SETTINGS);
        let Ok(plan) = crate::plan::build(&case().scene(), &Survey::gather(&case().scene()), &[]) else {
            // All nodes are left out.
            continue;
        };
        plans += 1;
        let placed = plan.waves.iter().map(|wave| wave.nodes.len()).sum::<usize>();
        assert_eq!(placed + plan.left_out.len(), nodes, "seed {seed}");
        assert!(plan.waves.iter().all(|wave| wave.at_once > 0 && !wave.nodes.is_empty()), "seed {seed}");
        assert_eq!(read(&bytes(&plan)).as_ref(), Ok(&plan), "seed {seed}");
        for _ in 0..3 {
            let other = planned(&shuffled(case(), &mut chance));
            assert_eq!(hash(&other), hash(&plan), "seed {seed}");
        }
    }
    assert!(plans > 50, "{plans} plans");
}

#[test]
fn the_order_of_objects_makes_no_difference_to_what_stands_in_the_way() {
    let mut chance = Chance(7);
    let silent = |index: usize| {
        let mut node = node(&format!("n{index:02}"), "");
        if index.is_multiple_of(3) {
            node["metadata"]["annotations"] = serde_json::json!({});
        }
        node
    };
    let case = || cluster((0..30).map(silent));
    let lines = refused(&case(), &[]);
    for _ in 0..3 {
        assert_eq!(refused(&shuffled(case(), &mut chance), &[]), lines);
    }
}
