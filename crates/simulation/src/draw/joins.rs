//! Draws on which nodes networks join and leave pods that run, and which pods refuse that.

use types::policy::Side;

use crate::cluster::truth::Truth;
use crate::draw::random::Random;

/// How many of a thousand workloads refuse.
const REFUSING: u64 = 120;

/// Draws both: in some clusters no node does that, in others all, and in others some, or with one network alone.
pub(super) fn draw(random: &mut Random, truth: &mut Truth) {
    let often = *random.pick(&[0, 0, 1000, 1000, 500]).unwrap_or(&0);
    for node in &mut truth.nodes {
        if random.chance(often) {
            let side = random.pick(&Side::BOTH).copied().filter(|_| random.chance(100));
            node.machine.joins = side.map_or_else(|| Side::BOTH.to_vec(), |side| vec![side]);
        }
    }
    for workload in &mut truth.workloads {
        workload.refuses = random.chance(REFUSING);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use migration::cni::reach;
    use migration::cni::support::Strategy;
    use migration::config::roll::Method;
    use migration::roll::world::{Owner, Trait};
    use migration::workload::capacity::Request;
    use types::policy::Phase;

    use super::*;
    use crate::cluster::build::{NodeBlueprint, WorkloadBlueprint};
    use crate::disturb::fault::{CallFault, Fault};
    use crate::draw::{BASE, Choice, Scenario, plan};
    use crate::history::History;
    use crate::history::outcome::Outcome;
    use crate::history::queue::SECOND;

    /// Three nodes, and a pod of each workload on each: one that refuses, one of a DaemonSet, one of a Deployment and one of a StatefulSet. Only their nodes have
    /// room for them. Moved by three passes in which nothing else goes wrong.
    fn moved(joins: &[Side], from: Phase, to: Phase, choice: Choice) -> Outcome {
        let mut truth = Truth { is_open: true, ..Truth::default() };
        for name in ["a", "b", "c"] {
            truth.add_node(&NodeBlueprint {
                name: name.into(),
                zone: "z".into(),
                pool: "p".into(),
                phase: from,
                base: BASE.into(),
                joins: joins.to_vec(),
                offers: Request::default(),
                room: Request::POD.times(3),
            });
        }
        for (kind, name) in
            [("Deployment", "vm"), ("DaemonSet", "log"), ("Deployment", "web"), ("StatefulSet", "db")]
        {
            let index = truth.add_workload(WorkloadBlueprint {
                owner: Owner { kind: kind.into(), namespace: "default".into(), name: name.into() },
                replicas: 3,
                traits: BTreeSet::<Trait>::new(),
                request: Request::POD,
                start: SECOND,
                grace: SECOND,
                lasts: None,
            });
            truth.workloads[index].refuses = name == "vm";
        }
        let mut plan = plan::draw(&mut Random::new(1), &mut truth, from, to);
        (plan.strategy, plan.bridge, plan.passes) = (Strategy::Double, None, reach::path(from, to, false));
        plan.gates.retain(|gate| gate.name == "workload");
        plan.left_out.clear();
        plan.limits.fence = false;
        (plan.limits.in_transit, plan.limits.zone_percent) = (1, 100);
        plan.pools.iter_mut().for_each(|pool| pool.method = Method::Churn);
        truth.settle();
        let outcome = History::new(Scenario::new(truth, plan, 1, choice), None).play();
        assert_eq!(outcome.violations, []);
        outcome
    }

    /// How many pods were restarted in each pass.
    fn by_pass(outcome: &Outcome) -> [u64; 3] {
        [1, 2, 3].map(|pass| {
            outcome.tally.times.get(&format!("a restart in pass {pass}")).copied().unwrap_or_default()
        })
    }

    #[test]
    fn a_pod_that_networks_join_and_leave_is_restarted_once() {
        for (from, to) in [(Phase::Old, Phase::New), (Phase::New, Phase::Old)] {
            let outcome = moved(&Side::BOTH, from, to, Choice::Quiet);
            assert_eq!(by_pass(&outcome), [3, 12, 3], "those that refuse in each pass, all in the second");
            assert_eq!(outcome.restarts, BTreeMap::from([(1, 9), (3, 3)]), "by how often, from {from}");
            let count = |what: &str| outcome.tally.times.get(what).copied();
            assert_eq!((count("a join"), count("a leave")), (Some(9), Some(9)));
        }
    }

    #[test]
    fn a_leave_waits_for_connections_and_no_pod_is_restarted_for_it() {
        let outcome =
            moved(&Side::BOTH, Phase::Old, Phase::New, Choice::Only(Fault::Call(CallFault::OldConnections)));
        // A person may skip a node that is held, so that one of those that refuse goes with it.
        let [first, second, third] = by_pass(&outcome);
        assert_eq!((first, second), (3, 12));
        assert!(third <= 3, "{third} restarts in pass 3");
        let count = |what: &str| outcome.tally.times.get(what).copied();
        assert_eq!(count("a leave"), Some(9));
        assert!(count("a leave that waits for connections") > Some(10), "{:?}", outcome.tally.times);
        assert!(count("a run done").is_some());
    }

    #[test]
    fn where_no_network_joins_every_pod_is_restarted_in_each_pass() {
        let outcome = moved(&[], Phase::Old, Phase::New, Choice::Quiet);
        assert_eq!((by_pass(&outcome), outcome.restarts), ([12, 12, 12], BTreeMap::from([(3, 12)])));
        let outcome = moved(&[Side::New], Phase::Old, Phase::New, Choice::Quiet);
        assert_eq!(by_pass(&outcome), [3, 12, 12], "the new network joins, and the old one does not leave");
    }
}
