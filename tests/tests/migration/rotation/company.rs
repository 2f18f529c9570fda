//! The pods that probe each other: they enter when they are Ready, and leave when the loop begins to drain their node.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::host::deadline::until;
use lab::kubernetes::api::{WITHIN, condition};
use lab::probe::{Mesh, Report};
use serde_json::Value;

use super::world::{NAMESPACE, World};

/// Tells a busy agent from a dead one; agents speak twice a second.
const SILENCE_MS: u64 = 60_000;
/// What every directed pair has had over UDP, and over TCP, before the next step.
const LEAST: u64 = 20;
/// Tells a mesh that probes from one that hangs.
const PROBED_WITHIN: Duration = Duration::from_secs(300);

/// A pod in the mesh.
#[derive(Debug)]
struct Member {
    node: String,
    address: String,
}

/// All pods of the workloads.
#[derive(Debug)]
pub(crate) struct Company {
    mesh: Mesh,
    members: BTreeMap<String, Member>,
    /// All that ever were, in the order in which they entered.
    entered: Vec<String>,
    phase: String,
}

impl Company {
    pub(crate) fn new() -> Company {
        let phase = "old nodes".to_owned();
        Company { mesh: Mesh::new(&phase, SILENCE_MS), members: BTreeMap::new(), entered: Vec::new(), phase }
    }

    /// Probes sent from now on are counted under this name.
    pub(crate) fn begin(&mut self, phase: &str) -> Result<()> {
        phase.clone_into(&mut self.phase);
        self.mesh.phase(phase)
    }

    /// Takes the pods of a node out, before they are stopped.
    pub(crate) fn leave(&mut self, node: &str) -> Result<()> {
        let (going, staying) =
            std::mem::take(&mut self.members).into_iter().partition(|(_, it)| it.node == node);
        self.members = staying;
        let going: BTreeMap<String, Member> = going;
        going.keys().try_for_each(|name| self.mesh.retire(name))
    }

    /// Waits until so many pods are Ready, with all of them in the mesh, and each pair of them has had its probes.
    pub(crate) fn gather(&mut self, world: &World, expected: usize) -> Result<()> {
        let what = format!("{expected} pods that probe each other");
        until(&what, WITHIN * 3, || {
            self.mesh.check()?;
            for pod in world.pods()? {
                let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                if self.members.contains_key(name) || condition(&pod, "Ready") != "True" {
                    continue;
                }
                if let Some(netns) = world.netns_of(&pod)? {
                    self.enter(name, &pod, &netns)?;
                }
            }
            std::thread::sleep(Duration::from_millis(200));
            Ok((self.members.len() == expected).then_some(()))
        })
        .with_context(|| format!("in the mesh: {:?}", self.members))?;
        self.settle()
    }

    fn enter(&mut self, name: &str, pod: &Value, netns: &Path) -> Result<()> {
        let address = pod["status"]["podIP"].as_str().context("an address")?.to_owned();
        let node = pod["spec"]["nodeName"].as_str().context("a node")?.to_owned();
        self.mesh.enter(name, netns, &[address.parse()?]).with_context(|| format!("{name} on {node}"))?;
        self.entered.push(name.to_owned());
        self.members.insert(name.to_owned(), Member { node, address });
        Ok(())
    }

    /// Pods that came to a node after the first ones, and are gone again.
    pub(crate) fn moved_twice(&self, first: usize) -> Vec<&str> {
        let later = self.entered.iter().skip(first).filter(|name| !self.members.contains_key(*name));
        later.map(String::as_str).collect()
    }

    /// Waits until each pair has had its probes in this phase.
    fn settle(&self) -> Result<()> {
        let names: Vec<&String> = self.members.keys().collect();
        until("probes of every pair", PROBED_WITHIN, || {
            std::thread::sleep(Duration::from_millis(200));
            let report = self.mesh.gauge().report();
            let Some(phase) = report.phases.iter().rev().find(|phase| phase.name == self.phase) else {
                return Ok(None);
            };
            let probed = |src: &str, dst: &str| {
                let mut pairs = phase.pairs.iter().filter(|pair| pair.src == src && pair.dst == dst);
                pairs.any(|pair| {
                    pair.udp.answered + pair.udp.lost >= LEAST && pair.tcp.answered + pair.tcp.lost >= LEAST
                })
            };
            let all = names.iter().all(|src| names.iter().all(|dst| src == dst || probed(src, dst)));
            Ok(all.then_some(()))
        })
    }

    /// How many pods have an address of the old network, and how many one of the new.
    pub(crate) fn networks(&self) -> [usize; 2] {
        ["10.244.", "10.245."]
            .map(|prefix| self.members.values().filter(|it| it.address.starts_with(prefix)).count())
    }

    /// Nodes with pods of the mesh, and how many they have.
    pub(crate) fn nodes(&self) -> BTreeMap<&str, usize> {
        let mut nodes = BTreeMap::new();
        for member in self.members.values() {
            *nodes.entry(member.node.as_str()).or_default() += 1;
        }
        nodes
    }

    /// Ends the probes, prints their counts, and holds if none was lost.
    pub(crate) fn finish(self) -> Result<()> {
        let report: Report = self.mesh.finish()?;
        eprintln!(
            "{:<28} {:>10} {:>10} {:>6} {:>8} {:>8}",
            "probes", "sent", "answered", "lost", "excused", "late"
        );
        let all = report.phases.iter().map(|phase| (phase.name.as_str(), phase.total));
        for (name, sum) in all.chain([("all", report.total)]) {
            eprintln!(
                "{name:<28} {:>10} {:>10} {:>6} {:>8} {:>8}",
                sum.sent, sum.answered, sum.lost, sum.excused, sum.late
            );
        }
        ensure!(report.total.sent > 0, "no probe in {NAMESPACE}");
        // Each pair has had them, since no step began before.
        report.verify(LEAST)
    }
}
