//! The counts of a demonstration while a cluster moves: probes, pods, and where the pods are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};

use super::board::Board;
use super::cluster::Pod;
use super::placement::ensure_placed;
use super::report::{Forwarding, Leftovers, Migration, Probes};
use super::settle::{Pair, Settling};
use super::strategy::{Arrival, Network, Phase, Strategy};
use super::witness::CallCounts;
use crate::host::fabric::Fabric;
use crate::host::leases::Lease;
use crate::host::node::Node;
use crate::probe::{Kind, Loss, Mesh, Report};

/// An agent that is silent for so long is dead; agents speak twice a second.
const SILENCE_MS: u64 = 20_000;

/// Phases in which the pods in the mesh were made, by pod name: who is to reach whom depends on them.
type Phases = Arc<Mutex<BTreeMap<String, Phase>>>;

/// The counts of one migration.
#[derive(Debug)]
pub(super) struct Audit<'a> {
    strategy: Strategy,
    probes_per_step: u64,
    board: &'a Board,
    pub(super) mesh: Mesh,
    phases: Phases,
    pub(super) recreated: u64,
    pub(super) changed: u64,
    pub(super) untouched: u64,
    pub(super) ports_answered: u64,
    misplaced: Vec<String>,
    forwarding: Option<Forwarding>,
    absences: Vec<Absence>,
}

/// A time in which a pod was being stopped, and still in the mesh.
#[derive(Debug)]
struct Absence {
    pod: String,
    /// Milliseconds since the Unix epoch.
    from_ms: u64,
    until_ms: u64,
}

impl<'a> Audit<'a> {
    /// Nothing is counted yet; the board shows what will be.
    pub(super) fn new(strategy: Strategy, probes_per_step: u64, board: &'a Board) -> Audit<'a> {
        let mut mesh = Mesh::new("before", SILENCE_MS);
        let phases = Phases::default();
        let shared_phases = Arc::clone(&phases);
        mesh.restrict(move |client, server, _| {
            let shared_phases = lock(&shared_phases);
            let ends = shared_phases.get(client).zip(shared_phases.get(server));
            ends.is_some_and(|(client, server)| strategy.reaches(*client, *server))
        });
        board.watch(mesh.gauge());
        Audit {
            strategy,
            probes_per_step,
            board,
            mesh,
            phases,
            recreated: 0,
            changed: 0,
            untouched: 0,
            ports_answered: 0,
            misplaced: Vec::new(),
            forwarding: None,
            absences: Vec::new(),
        }
    }

    /// Puts a pod into the mesh, by its published address.
    pub(super) fn enter(&mut self, pod: &Pod) -> Result<()> {
        lock(&self.phases).insert(pod.name.clone(), pod.phase);
        self.mesh.enter(&pod.name, &pod.netns, &[pod.address])
    }

    /// Notes that a network has joined a pod of the mesh, or is about to leave it.
    pub(super) fn change(&mut self, pod: &Pod) {
        lock(&self.phases).insert(pod.name.clone(), pod.phase);
        self.changed += 1;
    }

    /// Takes a pod out of the mesh.
    pub(super) fn retire(&mut self, pod: &Pod) -> Result<()> {
        self.mesh.retire(&pod.name)?;
        lock(&self.phases).remove(&pod.name);
        Ok(())
    }

    /// Takes a pod out of the mesh that another actor has begun to stop at `from_ms`, in milliseconds since the Unix epoch. What was lost
    /// between it and others since then is no loss between pods that are not being restarted.
    #[cfg(feature = "kubernetes")]
    pub(super) fn retire_late(&mut self, pod: &Pod, from_ms: u64) -> Result<()> {
        self.retire(pod)?;
        let until_ms = crate::probe::clock::wall_ms();
        self.absences.push(Absence { pod: pod.name.clone(), from_ms, until_ms });
        Ok(())
    }

    /// How much was lost so far between pods that were not being restarted.
    #[cfg(feature = "kubernetes")]
    pub(super) fn lost(&self) -> usize {
        self.mesh.gauge().losses().iter().filter(|loss| !is_excused(loss, &self.absences)).count()
    }

    /// Looks where a pod really is, by the leases of its node.
    pub(super) fn look_at(&mut self, pod: &Pod, leases: &[(Network, Lease)]) {
        self.misplaced.extend(ensure_placed(pod, leases).err().map(|error| error.to_string()));
    }

    /// Waits until every pair of these pods that must reach each other has had its probes since.
    pub(super) fn settle<'p>(&self, pods: impl Iterator<Item = &'p Pod>) -> Result<()> {
        let pods: Vec<&Pod> = pods.collect();
        let all = pods.iter().flat_map(|client| pods.iter().map(move |server| (client, server)));
        let reach = all.filter(|(client, server)| {
            client.name != server.name && self.strategy.reaches(client.phase, server.phase)
        });
        let pairs: Vec<Pair> =
            reach.map(|(client, server)| (client.name.clone(), server.name.clone())).collect();
        Settling::begin(&self.mesh.gauge(), pairs, self.probes_per_step).wait(&self.mesh.gauge())
    }

    /// Holds if old and new reach each other through the nodes, or do not, as the strategy takes for granted. The scouts, one on each
    /// node, are on the new network and in the mesh, the pods on the old one.
    pub(super) fn try_forwarding(&mut self, fabric: &Fabric, pods: &[Pod], scouts: &[Pod]) -> Result<()> {
        match self.strategy {
            Strategy::Bridge => {
                // A pod that was not reached is a loss by now.
                let lost = self.mesh.gauge().progress().lost;
                ensure!(
                    lost == 0,
                    "{lost} probes lost while old and new were to reach each other; no node is rolled"
                );
                self.forwarding = Some(Forwarding::Open);
                self.board.say("old and new reach each other through the nodes");
            }
            Strategy::Double => {
                ensure_apart(fabric.nodes(), pods, scouts)?;
                let packets = fabric.blocked_packets()?;
                self.forwarding = Some(Forwarding::Blocked { packets });
                self.board.say(&format!("old and new are apart: {packets} packets ran into the block"));
            }
        }
        Ok(())
    }

    /// Counts once more what ran into the block, where there is one.
    pub(super) fn count_blocked(&mut self, fabric: &Fabric) -> Result<()> {
        if let Some(Forwarding::Blocked { packets }) = &mut self.forwarding {
            *packets = fabric.blocked_packets()?;
        }
        Ok(())
    }

    /// Ends the probes, then all pods, and puts together what was found. What went wrong on the way is part of it.
    pub(super) fn finish(
        self,
        arrival: Arrival,
        travelled: Result<()>,
        end: impl FnOnce() -> Result<(BTreeMap<Network, CallCounts>, Leftovers)>,
    ) -> Migration {
        let gauge = self.mesh.gauge();
        let mut errors = Vec::new();
        let probes = self.mesh.finish().unwrap_or_else(|error| {
            errors.push(format!("probe mesh: {error:#}"));
            gauge.report()
        });
        errors.extend(travelled.err().map(|error| format!("{error:#}")));
        let (calls, left) = end().unwrap_or_else(|error| {
            errors.push(format!("stopping all pods: {error:#}"));
            Default::default()
        });
        self.board
            .say(&format!("all pods stopped; {} leases and {} records left", left.leases, left.records));
        let Report { phases, losses, longest_stall_ms, .. } = probes;
        let mut phases: Vec<Probes> = phases.iter().map(Probes::from).collect();
        let (excused, losses): (Vec<Loss>, Vec<Loss>) =
            losses.into_iter().partition(|loss| is_excused(loss, &self.absences));
        for loss in excused {
            excuse(&mut phases, &loss);
        }
        Migration {
            strategy: self.strategy,
            arrival,
            untouched: self.untouched,
            recreated: self.recreated,
            changed: self.changed,
            ports_answered: self.ports_answered,
            phases,
            losses,
            misplaced: self.misplaced,
            asked: calls,
            forwarding: self.forwarding,
            left,
            longest_stall_ms: longest_stall_ms.into_values().max().unwrap_or_default(),
            errors,
        }
    }
}

/// Whether one of a loss' two pods was being stopped when the probe was sent, or when the connection broke.
fn is_excused(loss: &Loss, absences: &[Absence]) -> bool {
    absences.iter().any(|absence| {
        (absence.from_ms..=absence.until_ms).contains(&loss.wall_ms)
            && [&loss.src, &loss.dst].contains(&&absence.pod)
    })
}

/// Counts a loss as excused in its phase. A broken connection was no probe that was sent.
fn excuse(phases: &mut [Probes], loss: &Loss) {
    for phase in phases.iter_mut().filter(|phase| phase.phase == loss.phase) {
        phase.lost = phase.lost.saturating_sub(1);
        if loss.kind != Kind::Connection {
            phase.excused += 1;
        }
    }
}

/// Holds if no pod reaches the scout of the next node.
fn ensure_apart(nodes: &[Node], pods: &[Pod], scouts: &[Pod]) -> Result<()> {
    let scout_of = |host: usize| {
        let scout = scouts.iter().find(|scout| scout.host == host);
        scout.with_context(|| format!("{} has no scout", nodes[host].name()))
    };
    let aims = pods.iter().map(|pod| Ok((pod, scout_of((pod.host + 1) % nodes.len())?)));
    let aims = aims.collect::<Result<Vec<_>>>()?;
    let reached: Vec<String> = std::thread::scope(|scope| {
        let ask = |(pod, scout): (&'_ Pod, &'_ Pod)| {
            let (node, netns, address) = (&nodes[pod.host], pod.netns_inside.clone(), scout.address);
            let line = format!("{} reaches {}", pod.name, scout.name);
            scope.spawn(move || node.ping_from(&netns, &address.to_string()).is_ok().then_some(line))
        };
        let threads: Vec<_> = aims.into_iter().map(ask).collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap_or_default()).collect()
    });
    ensure!(reached.is_empty(), "forwarding is blocked, and yet: {}", reached.join(", "));
    Ok(())
}

fn lock(phases: &Phases) -> MutexGuard<'_, BTreeMap<String, Phase>> {
    phases.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(src: &str, dst: &str, wall_ms: u64, kind: Kind) -> Loss {
        let address = std::net::Ipv4Addr::LOCALHOST.into();
        let (src, dst) = (src.to_owned(), dst.to_owned());
        let (phase, cause) = ("new".to_owned(), String::new());
        Loss { phase, wall_ms, monotonic_ns: 0, src, dst, address, kind, seq: 1, cause }
    }

    #[test]
    fn only_what_was_lost_with_a_pod_that_was_being_stopped_is_excused() {
        let absences = [Absence { pod: "b".to_owned(), from_ms: 10, until_ms: 20 }];
        for (src, dst, second, expected) in [
            ("a", "b", 10, true),
            ("b", "a", 20, true),
            ("a", "b", 9, false),
            ("a", "b", 21, false),
            ("a", "c", 15, false),
        ] {
            assert_eq!(
                is_excused(&loss(src, dst, second, Kind::Udp), &absences),
                expected,
                "{src} {dst} {second}"
            );
        }
    }

    #[test]
    fn an_excused_loss_moves_from_one_count_to_the_other() {
        let phase = |name: &str| Probes {
            phase: name.to_owned(),
            sent: 9,
            answered: 7,
            lost: 2,
            excused: 0,
            late: 0,
        };
        let mut phases = [phase("old"), phase("new")];
        excuse(&mut phases, &loss("a", "b", 1, Kind::Tcp));
        excuse(&mut phases, &loss("a", "b", 1, Kind::Connection));
        assert_eq!((phases[0].lost, phases[0].excused), (2, 0));
        assert_eq!((phases[1].lost, phases[1].excused), (0, 1));
    }
}
