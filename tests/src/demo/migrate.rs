//! One strategy, from the first pod on the old network to the last one on the new.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result};

use super::audit::Audit;
use super::board::Board;
use super::bootstrap::SCOUTS;
use super::cluster::{Cluster, Pod, PodRequest};
use super::plan::Plan;
use super::report::{Leftovers, Migration};
use super::strategy::{Arrival, Network, Phase, Strategy};
use super::witness::CallCounts;
use super::{bootstrap, remains};
use crate::install::crossfade::BIN_DIR;
use crate::install::person;

/// The host port of pod number 0 of a node.
const HOST_PORTS: u16 = 20_000;

/// How big a migration is, and how long it is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub nodes: u8,
    /// Pods on each of them.
    pub pods: u8,
    /// Probes per directed pair, UDP and TCP each, before one step is followed by the next.
    pub probes_per_step: u64,
}

/// A migration under way.
#[derive(Debug)]
struct Journey<'a> {
    strategy: Strategy,
    passes: &'static [Phase],
    /// Whether networks join and leave pods that keep their primary.
    joins: bool,
    size: Size,
    cluster: &'a Cluster,
    board: &'a Board,
    audit: Audit<'a>,
    pods: Vec<Pod>,
    scouts: Vec<Pod>,
}

/// Takes a cluster of its own from `old` to `new`.
///
/// # Errors
/// The cluster cannot be built. What goes wrong later is in the report.
pub fn run(plan: &Plan, size: Size, board: &Board) -> Result<Migration> {
    let strategy = plan.strategy;
    board.cluster(strategy.as_str(), size.nodes);
    let cluster = Cluster::new(size.nodes, strategy.arrival(), &plan.old).context("building the cluster")?;
    let mut journey = Journey::new(plan, size, &cluster, board);
    let travelled = journey.travel();
    let Journey { audit, pods, scouts, .. } = journey;
    Ok(audit.finish(strategy.arrival(), travelled, || end(&cluster, pods.iter().chain(&scouts))))
}

/// Stops every pod and looks at what is left.
fn end<'a>(
    cluster: &Cluster,
    mut pods: impl Iterator<Item = &'a Pod>,
) -> Result<(BTreeMap<Network, CallCounts>, Leftovers)> {
    pods.try_for_each(|pod| cluster.end_pod(pod))?;
    let mut leftovers = remains::gather(cluster.fabric.nodes(), |network| cluster.overlay(network).clone())?;
    leftovers.leases += cluster.allocations()?;
    Ok((cluster.call_counts()?, leftovers))
}

/// What must not change when Crossfade is installed under a pod.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    ready: bool,
    pid: i64,
    address: Option<IpAddr>,
    netns_inode: u64,
}

impl<'a> Journey<'a> {
    fn new(plan: &Plan, size: Size, cluster: &'a Cluster, board: &'a Board) -> Journey<'a> {
        let Plan { strategy, passes, .. } = *plan;
        let audit = Audit::new(strategy, size.probes_per_step, board);
        let joins = plan.old.joins();
        Journey { strategy, passes, joins, size, cluster, board, audit, pods: Vec::new(), scouts: Vec::new() }
    }

    fn travel(&mut self) -> Result<()> {
        self.populate().context("pods on the old network")?;
        let before = self.identities()?;
        match self.arrival() {
            Arrival::Installed => {
                self.audit.mesh.phase("install")?;
                self.install().context("installing Crossfade")?;
            }
            Arrival::Booted => self.audit.mesh.phase("new agents")?,
        }
        self.admit_new().context("the new network's agents")?;
        self.count_untouched(&before)?;
        self.settle()?;
        self.try_forwarding().context("scouts")?;
        for phase in self.passes {
            self.audit.mesh.phase(phase.as_str())?;
            for host in 0..self.cluster.hosts().len() {
                self.roll(host, *phase).with_context(|| format!("phase {phase}"))?;
            }
        }
        self.audit.mesh.phase("old removed")?;
        self.remove_old().context("removing the old network")
    }

    /// Before the first node is rolled: what the strategy takes for granted about forwarding. Scouts are ordinary pods, one per node, that a rule of the
    /// policy puts on the new network while all other pods are on the old one. With `bridge`, every pod must reach them; with `double`, none may.
    fn try_forwarding(&mut self) -> Result<()> {
        self.audit.mesh.phase("scouts")?;
        let cluster = self.cluster;
        if self.strategy == Strategy::Double {
            let [old, new] = Network::ALL.map(|network| cluster.overlay(network));
            cluster.fabric.block_forwarding_between(old, new)?;
        }
        for (host, on) in cluster.hosts().iter().enumerate() {
            let name = format!("scout-{}", on.node.name());
            let request = PodRequest {
                name: &name,
                namespace: SCOUTS,
                host,
                attempt: 0,
                phase: Phase::New,
                host_port: None,
            };
            let scout = cluster.run_pod(&request)?;
            self.audit.look_at(&scout, &cluster.leases(host)?);
            self.audit.enter(&scout)?;
            self.scouts.push(scout);
        }
        self.settle()?;
        self.audit.try_forwarding(&cluster.fabric, &self.pods, &self.scouts)?;
        for scout in std::mem::take(&mut self.scouts) {
            self.audit.retire(&scout)?;
            cluster.end_pod(&scout)?;
        }
        Ok(())
    }

    /// Pods on the old network: made by the runtime without us, or through us since the first moment.
    fn populate(&mut self) -> Result<()> {
        for number in 1..=self.size.pods {
            for (host, on) in self.cluster.hosts().iter().enumerate() {
                let name = format!("{}-{number}", on.node.name());
                let pod = self.cluster.run_pod(&PodRequest {
                    name: &name,
                    namespace: "default",
                    host,
                    attempt: 0,
                    phase: Phase::Old,
                    host_port: Some(HOST_PORTS + u16::from(number)),
                })?;
                self.audit.enter(&pod)?;
                self.pods.push(pod);
                self.show(host);
            }
        }
        (0..self.cluster.hosts().len()).try_for_each(|host| self.look_at(host))?;
        self.settle()?;
        self.board.say(&format!("{} pods run on old and probe each other", self.pods.len()));
        Ok(())
    }

    /// Crossfade comes under running pods.
    fn install(&mut self) -> Result<()> {
        for host in self.cluster.hosts() {
            self.board.node(host.node.name(), "install");
            bootstrap::install(host, self.cluster.networks())?;
        }
        self.board.say("crossfade is installed on every node");
        Ok(())
    }

    /// Whatever has come, no pod has noticed.
    fn count_untouched(&mut self, before: &[Identity]) -> Result<()> {
        let after = self.identities()?;
        let untouched = before.iter().zip(&after).filter(|(before, after)| before == after).count();
        self.audit.untouched = u64::try_from(untouched)?;
        self.board
            .say(&format!("crossfade and the new agents are on every node; {untouched} pods untouched"));
        Ok(())
    }

    fn arrival(&self) -> Arrival {
        self.strategy.arrival()
    }

    /// The new network's agents come up; their conf sorts before the old one's, and changes nothing.
    fn admit_new(&self) -> Result<()> {
        self.cluster.new_agents_arrive()?;
        let (networks, arrival) = (self.cluster.networks(), self.arrival());
        self.cluster.hosts().iter().try_for_each(|host| bootstrap::admit_new(host, networks, arrival))
    }

    fn identities(&self) -> Result<Vec<Identity>> {
        let phase_of = |pod: &Pod| {
            let status = self.cluster.hosts()[pod.host].containerd.cri().status(&pod.id)?;
            let netns = fs::metadata(&pod.netns).with_context(|| format!("netns of {}", pod.name))?;
            Ok(Identity {
                ready: status.ready,
                pid: status.pid,
                address: status.ip,
                netns_inode: netns.ino(),
            })
        };
        self.pods.iter().map(phase_of).collect()
    }

    /// One node: its policy, then its pods one by one.
    fn roll(&mut self, host: usize, phase: Phase) -> Result<()> {
        let on = &self.cluster.hosts()[host];
        self.board.node(on.node.name(), phase.as_str());
        bootstrap::set_phase(on, phase)?;
        for index in 0..self.pods.len() {
            if self.pods[index].host == host {
                let pod = &self.pods[index];
                if self.joins && pod.phase.primary() == phase.primary() {
                    self.change(index, phase)?;
                } else {
                    self.recreate(index, phase)?;
                }
            }
        }
        self.look_at(host)?;
        self.settle()
    }

    /// A network joins a pod that runs, or leaves it; its probes go on.
    fn change(&mut self, index: usize, phase: Phase) -> Result<()> {
        let joins = phase.networks().len() > self.pods[index].phase.networks().len();
        self.pods[index].phase = phase;
        let pod = &self.pods[index];
        // Which pods are to reach it is so from the end of a join, and until the beginning of a leave.
        if !joins {
            self.audit.change(pod);
        }
        let (node, verb) = (&self.cluster.hosts()[pod.host].node, if joins { "JOIN" } else { "LEAVE" });
        person::change_network(node, BIN_DIR, verb, &pod.id, &pod.netns_inside)
            .with_context(|| format!("{verb} of {}", pod.name))?;
        if joins {
            self.audit.change(pod);
        }
        self.show(pod.host);
        Ok(())
    }

    /// The old network goes, and new pods still come.
    fn remove_old(&mut self) -> Result<()> {
        self.audit.count_blocked(&self.cluster.fabric)?;
        for host in self.cluster.hosts() {
            bootstrap::forget_old(host, self.cluster.networks())?;
        }
        self.cluster.remove_old()?;
        for (index, host) in self.cluster.hosts().iter().enumerate() {
            self.board.node(host.node.name(), "old removed");
            bootstrap::sweep(host)?;
            let first = self.pods.iter().position(|pod| pod.host == index).context("a node without pods")?;
            self.recreate(first, Phase::New)?;
            self.look_at(index)?;
        }
        self.settle()
    }

    /// Takes a pod down and makes it again; only its own probes are excused meanwhile.
    fn recreate(&mut self, index: usize, phase: Phase) -> Result<()> {
        let before = self.pods[index].clone();
        self.audit.retire(&before)?;
        self.cluster.end_pod(&before)?;
        let Pod { name, namespace, host, attempt, host_port, .. } = &before;
        let (host, attempt, host_port) = (*host, attempt + 1, *host_port);
        let pod = self.cluster.run_pod(&PodRequest { name, namespace, host, attempt, phase, host_port })?;
        self.audit.recreated += 1;
        self.audit.enter(&pod)?;
        self.pods[index] = pod;
        self.show(host);
        Ok(())
    }

    /// Tells which pods a node has.
    fn show(&self, host: usize) {
        let phases = self.pods.iter().filter(|pod| pod.host == host).map(|pod| pod.phase);
        self.board.pods(self.cluster.hosts()[host].node.name(), phases);
    }

    /// Looks where the pods of a node really are, and whether their published ports lead to them.
    fn look_at(&mut self, host: usize) -> Result<()> {
        let leases = self.cluster.leases(host)?;
        let pods: Vec<&Pod> = self.pods.iter().filter(|pod| pod.host == host).collect();
        for pod in pods {
            self.audit.look_at(pod, &leases);
            self.cluster.ensure_published(pod)?;
            self.audit.ports_answered += 1;
        }
        Ok(())
    }

    /// Waits until the agents have seen the pods of this step, and every pair that must reach each other has had its probes since.
    fn settle(&self) -> Result<()> {
        self.cluster.dwell()?;
        self.audit.settle(self.pods.iter().chain(&self.scouts))
    }
}
