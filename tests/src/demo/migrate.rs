//! One strategy, from the first pod on the old network to the last one on the new.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::board::Board;
use super::crossfade::{self, SCOUTS};
use super::report::{Left, Migration, Probes};
use super::scene::{Pod, Scene, Wanted, ensure_placed};
use super::strategy::{Network, Phase, Strategy};
use crate::deadline;
use crate::probe::{Gauge, Mesh, Report};

/// An agent that is silent for so long is dead; agents speak twice a second.
const SILENCE_MS: u64 = 20_000;

/// Tells a mesh whose probes are settled from one that hangs.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// How big a migration is, and how long it is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Nodes.
    pub nodes: u8,
    /// Pods on each of them.
    pub pods: u8,
    /// Probes per directed pair, UDP and TCP each, before one step is followed by the next.
    pub probes_per_step: u64,
}

/// Phases in which the pods were made, by name, for the mesh to know who is to reach whom.
type Phases = Arc<Mutex<BTreeMap<String, Phase>>>;

/// Takes a cluster of its own from `old` to `new`.
///
/// # Errors
/// The cluster cannot be built. What goes wrong later is in the report.
pub fn run(strategy: Strategy, size: Size, board: &Board) -> Result<Migration> {
    let scene = Scene::new(size.nodes)?;
    let names: Vec<&str> = scene.hosts().iter().map(|host| host.node.name()).collect();
    board.scene(strategy.as_str(), &names);
    let mut mesh = Mesh::new("before", SILENCE_MS);
    let phases = Phases::default();
    let known = Arc::clone(&phases);
    mesh.restrict(move |client, server, _| {
        let known = lock(&known);
        let phase = |name| known.get(name).copied();
        phase(client).zip(phase(server)).is_some_and(|(client, server)| strategy.reaches(client, server))
    });
    let gauge = mesh.gauge();
    board.watch(gauge.clone());
    let mut journey = Journey {
        strategy,
        size,
        scene: &scene,
        board,
        mesh,
        phases,
        pods: Vec::new(),
        recreated: 0,
        untouched: 0,
        misplaced: Vec::new(),
        blocked: None,
    };
    let outcome = journey.travel();
    let Journey { mesh, pods, recreated, untouched, misplaced, blocked, .. } = journey;
    let (probes, error) = match outcome.and_then(|()| mesh.finish()) {
        Ok(report) => (report, None),
        Err(error) => (gauge.report(), Some(format!("{error:#}"))),
    };
    let (asked, left, error) = match end(&scene, &pods) {
        Ok((asked, left)) => (asked, left, error),
        Err(late) => {
            let error = error.unwrap_or_else(|| format!("{late:#}"));
            (BTreeMap::new(), Left::default(), Some(error))
        }
    };
    board.say(&format!("all pods stopped: {} leases, {} records left", left.leases, left.records));
    Ok(Migration {
        strategy,
        untouched_by_install: untouched,
        recreated,
        phases: probes.phases.iter().map(Probes::from).collect(),
        losses: probes.losses,
        misplaced,
        asked,
        blocked_packets: blocked,
        left,
        longest_stall_ms: probes.longest_stall_ms.values().copied().max().unwrap_or_default(),
        error,
    })
}

/// Stops every pod and looks at what is left.
fn end(scene: &Scene, pods: &[Pod]) -> Result<(BTreeMap<Network, super::witness::Asked>, Left)> {
    for pod in pods {
        scene.end_pod(pod)?;
    }
    let mut left = Left {
        records: scene.files("/var/lib/crossfade/attachments")?
            + scene.files("/var/lib/crossfade/damaged")?,
        netns: scene.files("/run/netns")?,
        ..Left::default()
    };
    for (index, host) in scene.hosts().iter().enumerate() {
        left.leases += u64::try_from(scene.leases(index)?.len())?;
        left.inventory += crossfade::inventory(host)?;
    }
    Ok((scene.asked()?, left))
}

fn lock(phases: &Phases) -> MutexGuard<'_, BTreeMap<String, Phase>> {
    phases.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A migration under way.
struct Journey<'a> {
    strategy: Strategy,
    size: Size,
    scene: &'a Scene,
    board: &'a Board,
    mesh: Mesh,
    phases: Phases,
    pods: Vec<Pod>,
    recreated: u64,
    untouched: u64,
    misplaced: Vec<String>,
    blocked: Option<u64>,
}

impl Journey<'_> {
    fn travel(&mut self) -> Result<()> {
        self.populate()?;
        self.mesh.phase("install")?;
        self.install()?;
        self.scene.new_agents_arrive()?;
        self.settle()?;
        self.look_at_forwarding()?;
        for phase in self.strategy.passes() {
            self.mesh.phase(phase.as_str())?;
            for host in 0..self.scene.hosts().len() {
                self.roll(host, *phase)?;
            }
        }
        self.mesh.phase("old removed")?;
        self.remove_old()
    }

    /// Pods on the old network, made by the runtime without us.
    fn populate(&mut self) -> Result<()> {
        for number in 1..=self.size.pods {
            for (host, on) in self.scene.hosts().iter().enumerate() {
                let name = format!("{}-{number}", on.node.name());
                let wanted =
                    Wanted { name: &name, namespace: "default", host, attempt: 0, phase: Phase::Old };
                let pod = self.scene.run_pod(wanted)?;
                self.enter(&pod)?;
                self.pods.push(pod);
            }
        }
        for host in 0..self.scene.hosts().len() {
            self.place(host)?;
        }
        self.settle()?;
        self.board.say(&format!("{} pods run on old and probe each other", self.pods.len()));
        Ok(())
    }

    /// Crossfade comes, and no pod notices.
    fn install(&mut self) -> Result<()> {
        let overlays = Network::ALL.map(|network| self.scene.overlay(network));
        let before = self.snapshot()?;
        for (index, host) in self.scene.hosts().iter().enumerate() {
            let pods: Vec<&Pod> = self.pods.iter().filter(|pod| pod.host == index).collect();
            self.board.node(host.node.name(), "install");
            crossfade::install(host, overlays, &pods)?;
            crossfade::until_loaded(host)?;
        }
        let after = self.snapshot()?;
        let same = before.iter().zip(&after).filter(|(before, after)| before == after).count();
        self.untouched = u64::try_from(same)?;
        self.board.say(&format!("crossfade is installed on every node, {same} pods untouched"));
        Ok(())
    }

    /// What must not change when Crossfade is installed: sandbox, process, address, netns.
    fn snapshot(&self) -> Result<Vec<(String, bool, i64, Option<std::net::IpAddr>, u64)>> {
        let of = |pod: &Pod| {
            let status = self.scene.hosts()[pod.host].containerd.cri().status(&pod.id)?;
            let netns = std::fs::metadata(&pod.netns).context("the pod's netns")?;
            let inode = std::os::unix::fs::MetadataExt::ino(&netns);
            Ok((pod.id.clone(), status.ready, status.pid, status.ip, inode))
        };
        self.pods.iter().map(of).collect()
    }

    /// Before the first node is rolled: what the strategy takes for granted about forwarding is tried.
    ///
    /// Scouts are pods that a rule of the policy puts on the new network while everybody else is on the old one.
    fn look_at_forwarding(&mut self) -> Result<()> {
        self.mesh.phase("scouts")?;
        let [old, new] = Network::ALL.map(|network| self.scene.overlay(network));
        if self.strategy == Strategy::Double {
            self.scene.fabric.block_forwarding_between(old, new)?;
            self.blocked = Some(0);
        }
        let mut scouts = Vec::new();
        for (host, on) in self.scene.hosts().iter().enumerate() {
            let name = format!("scout-{}", on.node.name());
            let wanted = Wanted { name: &name, namespace: SCOUTS, host, attempt: 0, phase: Phase::New };
            let scout = self.scene.run_pod(wanted)?;
            self.misplaced
                .extend(ensure_placed(&scout, &self.scene.leases(host)?).err().map(|e| e.to_string()));
            self.enter(&scout)?;
            scouts.push(scout);
        }
        self.settle_with(&scouts)?;
        match self.strategy {
            Strategy::Bridge => self.board.say("old and new reach each other through every node"),
            Strategy::Double => {
                for pod in &self.pods {
                    self.ensure_apart(pod, &scouts)?;
                }
                let blocked = self.count_blocked()?;
                self.board.say(&format!("old and new are apart: {blocked} packets ran into the block"));
            }
        }
        for scout in &scouts {
            self.retire(scout)?;
            self.scene.end_pod(scout)?;
        }
        Ok(())
    }

    /// Holds if a pod reaches none of the scouts.
    fn ensure_apart(&self, pod: &Pod, scouts: &[Pod]) -> Result<()> {
        let node = &self.scene.hosts()[pod.host].node;
        for scout in scouts {
            let mut ping = node.command("true");
            let _ = &mut ping;
            let reached = crate::node::run(
                std::process::Command::new("nsenter")
                    .arg(format!("--net={}", pod.netns.display()))
                    .args(["busybox", "ping", "-c1", "-W1"])
                    .arg(scout.address.to_string()),
            );
            ensure!(reached.is_err(), "{} reaches {} although forwarding is blocked", pod.name, scout.name);
        }
        Ok(())
    }

    fn count_blocked(&mut self) -> Result<u64> {
        if self.blocked.is_some() {
            self.blocked = Some(self.scene.fabric.blocked_packets()?);
        }
        Ok(self.blocked.unwrap_or_default())
    }

    /// One node: its policy, then its pods one by one.
    fn roll(&mut self, host: usize, phase: Phase) -> Result<()> {
        let on = &self.scene.hosts()[host];
        self.board.node(on.node.name(), phase.as_str());
        crossfade::set_phase(on, phase)?;
        for index in 0..self.pods.len() {
            if self.pods[index].host == host {
                self.recreate(index, phase)?;
            }
        }
        self.place(host)?;
        self.settle()
    }

    fn recreate(&mut self, index: usize, phase: Phase) -> Result<()> {
        let before = self.pods[index].clone();
        self.retire(&before)?;
        self.scene.end_pod(&before)?;
        let Pod { name, namespace, host, attempt, .. } = &before;
        let wanted = Wanted { name, namespace, host: *host, attempt: attempt + 1, phase };
        let pod = self.scene.run_pod(wanted)?;
        self.recreated += 1;
        self.enter(&pod)?;
        self.pods[index] = pod;
        Ok(())
    }

    fn enter(&mut self, pod: &Pod) -> Result<()> {
        lock(&self.phases).insert(pod.name.clone(), pod.phase);
        self.mesh.enter(&pod.name, &pod.netns, &[pod.address])
    }

    fn retire(&mut self, pod: &Pod) -> Result<()> {
        self.mesh.retire(&pod.name)?;
        lock(&self.phases).remove(&pod.name);
        Ok(())
    }

    /// Looks where the pods of a node really are.
    fn place(&mut self, host: usize) -> Result<()> {
        let leases = self.scene.leases(host)?;
        let pods = self.pods.iter().filter(|pod| pod.host == host);
        self.board.pods(self.scene.hosts()[host].node.name(), pods.clone().map(|pod| pod.phase));
        self.misplaced
            .extend(pods.filter_map(|pod| ensure_placed(pod, &leases).err()).map(|error| error.to_string()));
        Ok(())
    }

    /// The old network goes, and new pods still come.
    fn remove_old(&mut self) -> Result<()> {
        self.count_blocked()?;
        for host in self.scene.hosts() {
            crossfade::retire_old(host)?;
        }
        self.scene.remove_old()?;
        for (index, host) in self.scene.hosts().iter().enumerate() {
            self.board.node(host.node.name(), "old removed");
            crossfade::sweep(host)?;
            let first = self.pods.iter().position(|pod| pod.host == index).context("a node without pods")?;
            self.recreate(first, Phase::New)?;
            self.place(index)?;
        }
        self.settle()?;
        self.mesh.check()
    }

    fn settle(&self) -> Result<()> {
        self.settle_with(&[])
    }

    /// Waits until every pair that is to reach each other has had its probes of this step, answered or lost.
    fn settle_with(&self, scouts: &[Pod]) -> Result<()> {
        let gauge = self.mesh.gauge();
        let base = settled(&gauge);
        let pods: Vec<&Pod> = self.pods.iter().chain(scouts).collect();
        let mut pairs = Vec::new();
        for (client, server) in pods.iter().flat_map(|client| pods.iter().map(move |server| (client, server)))
        {
            if client.name != server.name && self.strategy.reaches(client.phase, server.phase) {
                pairs.push((client.name.clone(), server.name.clone()));
            }
        }
        let wanted = self.size.probes_per_step;
        let outcome = deadline::until("probes of this step", SETTLED_WITHIN, || {
            let now = settled(&gauge);
            let had = |pair| now.get(pair).copied().unwrap_or(0) - base.get(pair).copied().unwrap_or(0);
            Ok(pairs.iter().all(|pair| had(pair) >= wanted).then_some(()))
        });
        if outcome.is_err() {
            let now = settled(&gauge);
            let missing = pairs.iter().find(|pair| {
                now.get(*pair).copied().unwrap_or(0) - base.get(*pair).copied().unwrap_or(0) < wanted
            });
            bail!("probes of this step: {missing:?}");
        }
        Ok(())
    }
}

/// Probes that had their end, per directed pair: the smaller count of the two kinds.
fn settled(gauge: &Gauge) -> BTreeMap<(String, String), u64> {
    let report: Report = gauge.report();
    let mut sums: BTreeMap<(String, String), [u64; 2]> = BTreeMap::new();
    for pair in report.phases.into_iter().flat_map(|phase| phase.pairs) {
        let sum = sums.entry((pair.src, pair.dst)).or_default();
        sum[0] += pair.udp.answered + pair.udp.lost;
        sum[1] += pair.tcp.answered + pair.tcp.lost + pair.broken;
    }
    sums.into_iter().map(|(pair, [udp, tcp])| (pair, udp.min(tcp))).collect()
}
