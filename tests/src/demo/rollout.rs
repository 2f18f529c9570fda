//! One strategy on a real Kubernetes, by `kubectl crossfade plan` and `roll` alone: no login to a node.
//!
//! The pods are a Deployment's, a StatefulSet's and a DaemonSet's. All of them probe each other throughout, and each pod of the StatefulSet
//! is asked through a Service of its own. The run goes by the agents of `kubectl crossfade probe` alone: its gates say whether packets pass and, with the
//! strategy `bridge`, whether the nodes forward. The mesh says afterwards whether that was true.

mod follow;
mod followed;
mod pods;
mod scouts;
mod workloads;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::audit::Audit;
use super::board::Board;
use super::cluster::Pod;
use super::migrate::Size;
use super::remains;
use super::report::{Leftovers, Migration};
use super::strategy::{Arrival, Network, Phase, Strategy};
use super::witness::{CallCounts, Witness, add_up};
use crate::host::deadline::until;
use crate::host::fabric::Overlay;
use crate::kubernetes::api::{WITHIN, pod_path};
use crate::kubernetes::{Api, Cluster, Operator, agent_rules, conf_path};
use followed::FollowedCommand;

/// How often the pods are looked at while a command runs: the API server has more to answer.
const LOOK: Duration = Duration::from_millis(100);
/// What `roll` asks a node for.
const DESIRED: &str = "crossfade/desired";

/// A migration under way.
struct Rollout<'a> {
    strategy: Strategy,
    size: Size,
    cluster: &'a Cluster,
    api: Api,
    board: &'a Board,
    audit: Audit<'a>,
    /// In the mesh.
    pods: Vec<Pod>,
    /// Of the pods in the mesh, by name.
    uids: BTreeMap<String, String>,
    /// Who asks a pod through its Service, by their sandboxes.
    asked_by: BTreeMap<String, String>,
    /// Nodes whose published port has not led to its pod yet.
    ports_due: BTreeSet<usize>,
    /// What the nodes are being brought to.
    pass: Option<Phase>,
}

/// Takes a cluster of its own from `old` to `new`.
///
/// # Errors
/// The cluster cannot be built. What goes wrong later is in the report.
pub fn run(strategy: Strategy, size: Size, board: &Board) -> Result<Migration> {
    board.cluster(strategy.as_str(), size.nodes);
    let (cluster, witnesses) = build(size.nodes, strategy).context("building the cluster")?;
    let mut rollout = Rollout::new(strategy, size, &cluster, board)?;
    let travelled = rollout.travel();
    let Rollout { audit, api, .. } = rollout;
    Ok(audit.finish(Arrival::Booted, travelled, || end(&cluster, &api, &witnesses)))
}

/// Nodes that booted with Crossfade from their image; there is one network so far.
fn build(nodes: u8, strategy: Strategy) -> Result<(Cluster, Vec<Witness>)> {
    let mut cluster = Cluster::prepare(nodes)?;
    let mut policy = cluster.policy();
    policy["rules"] = rules(strategy);
    let scouts = json!({ "namespace": scouts::NAMESPACE, "attach": "new" });
    policy["rules"].as_array_mut().context("rules")?.push(scouts);
    let witnesses = cluster.fabric.nodes().iter().map(Witness::install).collect::<Result<Vec<_>>>()?;
    let old = cluster.old.clone();
    cluster.each(|worker| {
        worker.node.write(conf_path(&old), Witness::conflist(&old, &worker.node).to_string())?;
        worker.give_systemd_run()?;
        worker.bake(&policy, json!({ "joinPods": true, "proof": "probe" }), &[])?;
        worker.boot()
    })?;
    let api = cluster.api()?;
    cluster.workers.iter().try_for_each(|worker| api.until_ready(worker.name()).map(drop))?;
    cluster.serve_dns(&[])?;
    Ok((cluster, witnesses))
}

/// Where nodes forward, agents that probe are on either network alone, so that forwarding is proven before the first node moves.
fn rules(strategy: Strategy) -> Value {
    match strategy {
        Strategy::Bridge => agent_rules(),
        Strategy::Double => json!([]),
    }
}

/// Deletes every pod as a person would, and looks at what is left.
fn end(
    cluster: &Cluster,
    api: &Api,
    witnesses: &[Witness],
) -> Result<(BTreeMap<Network, CallCounts>, Leftovers)> {
    for path in [
        "/api/v1/namespaces/demo",
        "/api/v1/namespaces/crossfade-probe",
        "/apis/apps/v1/namespaces/kube-system/deployments/kube-dns",
    ] {
        api.client.delete(&format!("{path}?propagationPolicy=Foreground"))?.object()?;
        api.until_gone(path)?;
    }
    let overlay = |network| overlay(cluster, network).clone();
    let mut leftovers = Leftovers::default();
    // An object is gone a little before its sandbox.
    let outcome = until("the end of every sandbox", WITHIN, || {
        leftovers = remains::gather(cluster.fabric.nodes(), overlay)?;
        Ok((leftovers == Leftovers::default()).then_some(()))
    });
    // What is left is in the report, in words of its own.
    let _what_is_left = outcome;
    let mut calls = Vec::new();
    for witness in witnesses {
        calls.extend(witness.seen()?);
    }
    Ok((add_up(&calls), leftovers))
}

fn overlay(cluster: &Cluster, network: Network) -> &Overlay {
    match network {
        Network::Old => &cluster.old,
        Network::New => &cluster.new,
    }
}

impl<'a> Rollout<'a> {
    fn new(strategy: Strategy, size: Size, cluster: &'a Cluster, board: &'a Board) -> Result<Rollout<'a>> {
        Ok(Rollout {
            strategy,
            size,
            cluster,
            api: cluster.api()?,
            board,
            audit: Audit::new(strategy, size.probes_per_step, board),
            pods: Vec::new(),
            uids: BTreeMap::new(),
            asked_by: BTreeMap::new(),
            ports_due: BTreeSet::new(),
            pass: None,
        })
    }

    fn travel(&mut self) -> Result<()> {
        self.api.create(&workloads::objects(self.size.nodes, self.size.pods))?;
        self.gather().context("pods on the old network")?;
        self.settle()?;
        self.board.say(&format!("{} pods run on old and probe each other", self.pods.len()));
        self.audit.mesh.phase("new agents")?;
        self.admit_new().context("the new network's agents")?;
        self.settle()?;
        scouts::look_around(self).context("scouts")?;
        self.roll().context("the run")?;
        self.audit.mesh.phase("old removed")?;
        self.remove_old().context("removing the old network")
    }

    /// The new network's agents come up; their conf sorts before the old one's, and changes nothing.
    fn admit_new(&mut self) -> Result<()> {
        for worker in &self.cluster.workers {
            let conf = Witness::conflist(&self.cluster.new, &worker.node);
            worker.node.write(conf_path(&self.cluster.new), serde_json::to_vec_pretty(&conf)?)?;
        }
        let objects = pods::objects(&self.api, workloads::NAMESPACE)?;
        let now = pods::running(self.cluster, &objects, |_| Phase::Old)?;
        self.audit.untouched = u64::try_from(self.pods.iter().filter(|pod| now.contains(pod)).count())?;
        self.board.say(&format!("the new agents are on every node; {} pods untouched", self.audit.untouched));
        Ok(())
    }

    /// Plans, and carries the plan out, with the mesh behind it.
    fn roll(&mut self) -> Result<()> {
        let mut gates = vec!["packets", "dns-queries", "api-server-to-pods"];
        if self.strategy == Strategy::Bridge {
            gates.push("forwarding");
        }
        let settings = json!({
            "roll": { "limits": { "settleSeconds": 1, "soakSeconds": 0 } },
            "networks": self.cluster.networks(),
            "probe": { "gates": gates },
        });
        let operator =
            Operator::new(&self.cluster.plane, self.strategy.as_str(), settings)?.waiving_what_blocks()?;
        let agents = operator.bring_agents(&self.cluster.plane)?["agents"].clone();
        self.board.say(&format!("{agents} agents of kubectl crossfade probe report"));
        let hash = operator.plan()?;
        self.board.say(&format!("kubectl crossfade roll --plan {}", &hash[..12]));
        let before = self.audit.recreated;
        self.accompany(operator.command(&["roll", "--plan", &hash]))?;
        self.gather()?;
        self.settle()?;
        operator.ends(&operator.about(&["probe", "--remove"]), 0)?;
        self.report(&operator, self.audit.recreated - before)
    }

    /// Writes what the run says of itself, and holds it to what was seen of the pods.
    fn report(&self, operator: &Operator, recreated: u64) -> Result<()> {
        let probes = self.audit.mesh.gauge().progress();
        let name = format!("demo-cluster-{}", self.strategy.as_str());
        let report = operator.report(&name, Some([probes.sent, u64::try_from(self.audit.lost())?]))?;
        let evictions = &report["evictions"];
        // DNS moves as well, and is not in the mesh.
        let place = format!("/{}/", workloads::NAMESPACE);
        let is_in_mesh =
            |workload: &&Value| workload["owner"].as_str().is_some_and(|owner| owner.contains(&place));
        let owners = evictions["workloads"].as_array().context("workloads")?;
        let reported: u64 =
            owners.iter().filter(is_in_mesh).filter_map(|workload| workload["restarts"].as_u64()).sum();
        ensure!(reported == recreated, "{recreated} pods were re-created, and the report has {evictions}");
        self.board.say(&format!(
            "restarts per pod {}; target/reports/{name}.html shows the run",
            evictions["restartsPerPod"]
        ));
        Ok(())
    }

    /// Runs a command, and follows what becomes of the pods until it ends.
    fn accompany(&mut self, command: std::process::Command) -> Result<()> {
        let mut command = FollowedCommand::start(command)?;
        loop {
            self.follow()?;
            for line in command.lines() {
                self.tell(&line);
            }
            if let Some(output) = command.ended()? {
                output.lines().for_each(|line| self.tell(line));
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// A line of `roll`, which is a milestone, or is about one node.
    fn tell(&self, line: &str) {
        if let Some((node, doing)) = line.strip_prefix("node ").and_then(|rest| rest.split_once(": ")) {
            self.board.doing(node, doing.split(',').next().unwrap_or(doing));
        }
        self.board.say(line);
    }

    /// Waits until every workload has its pods, and all of them are in the mesh.
    fn gather(&mut self) -> Result<()> {
        let expected = workloads::count(self.size.nodes, self.size.pods);
        until(&format!("{expected} pods that run and probe each other"), WITHIN, || {
            self.follow()?;
            Ok(self.is_complete().then_some(()))
        })
        .with_context(|| format!("{} are in the mesh", self.pods.len()))?;
        workloads::PATHS.iter().try_for_each(|path| self.api.until_rolled_out(path))
    }

    /// Waits until every pair that must reach each other has had its probes.
    fn settle(&self) -> Result<()> {
        self.audit.settle(self.pods.iter())
    }

    /// The old network goes, and new pods still come.
    fn remove_old(&mut self) -> Result<()> {
        self.audit.count_blocked(&self.cluster.fabric)?;
        for worker in &self.cluster.workers {
            let conf = worker.node.outside(conf_path(&self.cluster.old));
            fs::remove_file(&conf).with_context(|| format!("removing {}", conf.display()))?;
        }
        self.cluster.fabric.remove_overlay(&self.cluster.old.name)?;
        for worker in &self.cluster.workers {
            self.board.node(worker.name(), "old removed");
        }
        let first = self.cluster.workers[0].name();
        let drain = ["drain", first, "--ignore-daemonsets", "--timeout", "300s"];
        self.accompany(self.cluster.plane.kubectl(&drain)?)?;
        self.api.cordon(first, false)?;
        // A DaemonSet's pod is not evicted by a drain.
        for pod in self.api.pods_on(first)?.iter().filter(|pod| workloads::is_published(&name_of(pod))) {
            self.api.client.delete(&pod_path(pod))?.object()?;
        }
        let before = self.audit.recreated;
        until("the end of the DaemonSet's pod", WITHIN, || {
            self.follow()?;
            Ok((self.audit.recreated > before).then_some(()))
        })?;
        self.gather()?;
        self.settle()?;
        ensure!(self.pods.iter().any(|pod| pod.host == 0), "{first} has no pod");
        Ok(())
    }
}

/// The name of an object.
fn name_of(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}
