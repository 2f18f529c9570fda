//! One strategy on a real Kubernetes, by annotations alone: nobody logs in to a node.
//!
//! The pods are a Deployment's, a StatefulSet's and a DaemonSet's. A node is closed, emptied by evictions, told its phase by the
//! annotation `crossfade/desired`, and opened when its Node says that it is there. All pods probe each other throughout, and each pod of
//! the StatefulSet through a Service of its own.

mod pods;
mod scouts;
mod workloads;

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::board::Board;
use super::cluster::Pod;
use super::migrate::Size;
use super::report::{Forwarding, Left, Migration, Probes};
use super::settle::until_probed;
use super::strategy::{Arrival, Network, Phase, Strategy};
use super::witness::{Asked, Witness, add_up};
use super::{placement, remains};
use crate::deadline::until;
use crate::fabric::Overlay;
use crate::kubernetes::api::{WITHIN, condition, node_path};
use crate::kubernetes::{Api, Cluster, conf_path};
use crate::probe::{self, Link, Mesh, Report};

/// As in the small demonstration.
const SILENCE_MS: u64 = 20_000;
/// Asks a node for a phase.
const DESIRED: &str = "crossfade/desired";

/// Phases in which the pods in the mesh were made, by pod name.
type Phases = Arc<Mutex<BTreeMap<String, Phase>>>;

/// A migration under way.
struct Rollout<'a> {
    strategy: Strategy,
    size: Size,
    cluster: &'a Cluster,
    api: Api,
    board: &'a Board,
    mesh: Mesh,
    phases: Phases,
    /// In the mesh.
    pods: Vec<Pod>,
    /// Who asks a pod through its Service, by their sandboxes.
    asked_by: BTreeMap<String, String>,
    /// What each node was asked for last.
    asked_for: Vec<Phase>,
    recreated: u64,
    untouched: u64,
    ports_answered: u64,
    misplaced: Vec<String>,
    forwarding: Option<Forwarding>,
}

/// Takes a cluster of its own from `old` to `new`.
///
/// # Errors
/// The cluster cannot be built. What goes wrong later is in the report.
pub fn run(strategy: Strategy, size: Size, board: &Board) -> Result<Migration> {
    board.cluster(strategy.as_str(), size.nodes);
    let (cluster, witnesses) = build(size.nodes).context("building the cluster")?;
    let mut rollout = Rollout::new(strategy, size, &cluster, board)?;
    let gauge = rollout.mesh.gauge();
    board.watch(gauge.clone());
    let mut errors = Vec::new();
    errors.extend(rollout.travel().err().map(|error| format!("{error:#}")));
    let Rollout { mesh, api, recreated, untouched, ports_answered, misplaced, forwarding, .. } = rollout;
    let probes = mesh.finish().unwrap_or_else(|error| {
        errors.push(format!("probe mesh: {error:#}"));
        gauge.report()
    });
    let (asked, left) = end(&cluster, &api, &witnesses).unwrap_or_else(|error| {
        errors.push(format!("deleting everything: {error:#}"));
        Default::default()
    });
    board.say(&format!("all pods deleted; {} leases and {} records left", left.leases, left.records));
    let Report { phases, losses, longest_stall_ms, .. } = probes;
    Ok(Migration {
        strategy,
        arrival: Arrival::Booted,
        untouched,
        recreated,
        ports_answered,
        phases: phases.iter().map(Probes::from).collect(),
        losses,
        misplaced,
        asked,
        forwarding,
        left,
        longest_stall_ms: longest_stall_ms.into_values().max().unwrap_or_default(),
        errors,
    })
}

/// Nodes that booted with Crossfade from their image; there is one network so far.
fn build(nodes: u8) -> Result<(Cluster, Vec<Witness>)> {
    let mut cluster = Cluster::prepare(nodes)?;
    let mut policy = cluster.policy();
    policy["rules"] = json!([{ "namespace": scouts::NAMESPACE, "attach": "new" }]);
    let witnesses = cluster.fabric.nodes().iter().map(Witness::install).collect::<Result<Vec<_>>>()?;
    let old = cluster.old.clone();
    cluster.each(|worker| {
        worker.node.write(conf_path(&old), Witness::conflist(&old, &worker.node).to_string())?;
        worker.bake(&policy, json!({}), &[])?;
        worker.boot()
    })?;
    let api = cluster.api()?;
    cluster.workers.iter().try_for_each(|worker| api.until_ready(worker.name()).map(drop))?;
    cluster.serve_dns(&[])?;
    Ok((cluster, witnesses))
}

/// Deletes every pod as a person would, and looks at what is left.
fn end(cluster: &Cluster, api: &Api, witnesses: &[Witness]) -> Result<(BTreeMap<Network, Asked>, Left)> {
    for path in ["/api/v1/namespaces/demo", "/apis/apps/v1/namespaces/kube-system/deployments/kube-dns"] {
        api.client.delete(&format!("{path}?propagationPolicy=Foreground"))?.object()?;
        api.until_gone(path)?;
    }
    let overlay = |network| overlay(cluster, network).clone();
    let mut left = Left::default();
    // An object is gone a little before its sandbox.
    let outcome = until("the end of every sandbox", WITHIN, || {
        left = remains::of(cluster.fabric.nodes(), overlay)?;
        Ok((left == Left::default()).then_some(()))
    });
    // What is left is in the report, in words of its own.
    let _what_is_left = outcome;
    let mut calls = Vec::new();
    for witness in witnesses {
        calls.extend(witness.seen()?);
    }
    Ok((add_up(&calls), left))
}

fn overlay(cluster: &Cluster, network: Network) -> &Overlay {
    match network {
        Network::Old => &cluster.old,
        Network::New => &cluster.new,
    }
}

impl<'a> Rollout<'a> {
    fn new(strategy: Strategy, size: Size, cluster: &'a Cluster, board: &'a Board) -> Result<Rollout<'a>> {
        let mut mesh = Mesh::new("before", SILENCE_MS);
        let phases = Phases::default();
        let known = Arc::clone(&phases);
        mesh.restrict(move |client, server, _| {
            let known = lock(&known);
            let ends = known.get(client).zip(known.get(server));
            ends.is_some_and(|(client, server)| strategy.reaches(*client, *server))
        });
        Ok(Rollout {
            strategy,
            size,
            cluster,
            api: cluster.api()?,
            board,
            mesh,
            phases,
            pods: Vec::new(),
            asked_by: BTreeMap::new(),
            asked_for: vec![Phase::Old; cluster.workers.len()],
            recreated: 0,
            untouched: 0,
            ports_answered: 0,
            misplaced: Vec::new(),
            forwarding: None,
        })
    }

    fn travel(&mut self) -> Result<()> {
        self.api.create(&workloads::objects(self.size.nodes, self.size.pods))?;
        self.gather().context("pods on the old network")?;
        self.settle()?;
        self.board.say(&format!("{} pods run on old and probe each other", self.pods.len()));
        self.mesh.phase("new agents")?;
        self.admit_new().context("the new network's agents")?;
        self.settle()?;
        scouts::look_around(self).context("scouts")?;
        for phase in self.strategy.passes() {
            self.mesh.phase(phase.as_str())?;
            for host in 0..self.cluster.workers.len() {
                self.roll(host, *phase).with_context(|| format!("phase {phase}"))?;
            }
        }
        self.mesh.phase("old removed")?;
        self.remove_old().context("removing the old network")
    }

    /// The new network's agents come up; their conf sorts before the old one's, and changes nothing.
    fn admit_new(&mut self) -> Result<()> {
        let before = self.pods.clone();
        for worker in &self.cluster.workers {
            let conf = Witness::conflist(&self.cluster.new, &worker.node);
            worker.node.write(conf_path(&self.cluster.new), serde_json::to_vec_pretty(&conf)?)?;
        }
        let now = self.running()?;
        self.untouched = u64::try_from(before.iter().filter(|pod| now.contains(pod)).count())?;
        self.board.say(&format!("the new agents are on every node; {} pods untouched", self.untouched));
        Ok(())
    }

    /// One node: closed, emptied, told, and opened again when it says that it is there.
    fn roll(&mut self, host: usize, phase: Phase) -> Result<()> {
        let name = self.cluster.workers[host].name();
        self.board.node(name, phase.as_str());
        self.api.cordon(name, true)?;
        self.empty(host)?;
        self.api.annotate(name, DESIRED, json!(phase.as_str()))?;
        self.api.until(&node_path(name), &format!("is in phase {phase}"), |node| {
            node["metadata"]["labels"]["crossfade/phase"] == phase.as_str()
                && condition(node, "CrossfadeReady") == "True"
        })?;
        self.asked_for[host] = phase;
        // A DaemonSet's pod is bound to its node, and is not evicted.
        for pod in workloads::of_daemon_set(&self.api, name)? {
            self.api.client.delete(&crate::kubernetes::api::pod_path(&pod))?.object()?;
        }
        self.api.cordon(name, false)?;
        self.gather()?;
        self.look_at(host)?;
        self.settle()
    }

    /// Evicts what may be evicted; nobody probes a pod that is about to go.
    fn empty(&mut self, host: usize) -> Result<()> {
        let leaving: Vec<Pod> = self.pods.iter().filter(|pod| pod.host == host).cloned().collect();
        for pod in &leaving {
            self.mesh.retire(&pod.name)?;
            lock(&self.phases).remove(&pod.name);
        }
        self.recreated += u64::try_from(leaving.len())?;
        self.pods.retain(|pod| pod.host != host);
        let name = self.cluster.workers[host].name();
        let drain = ["drain", name, "--ignore-daemonsets", "--timeout", "300s"];
        crate::node::run(&mut self.cluster.plane.kubectl(&drain)?).map(drop)
    }

    /// Waits until every workload has its pods, and takes those that are new into the mesh.
    fn gather(&mut self) -> Result<()> {
        workloads::PATHS.iter().try_for_each(|path| self.api.until_rolled_out(path))?;
        // A workload counts a pod that was just deleted until its controller has noticed.
        let expected = workloads::count(self.size.nodes, self.size.pods);
        let running = until(&format!("{expected} pods that run"), WITHIN, || {
            let running = self.running()?;
            Ok((running.len() == expected).then_some(running))
        })?;
        for pod in running {
            if !self.pods.contains(&pod) {
                self.enter(pod)?;
            }
        }
        for host in 0..self.cluster.workers.len() {
            let phases = self.pods.iter().filter(|pod| pod.host == host).map(|pod| pod.phase);
            self.board.pods(self.cluster.workers[host].name(), phases);
        }
        self.link_services()
    }

    fn enter(&mut self, pod: Pod) -> Result<()> {
        lock(&self.phases).insert(pod.name.clone(), pod.phase);
        self.mesh.enter(&pod.name, &pod.netns, &[pod.address])?;
        self.pods.push(pod);
        Ok(())
    }

    /// Every pod that runs, as its node's runtime has it.
    fn running(&self) -> Result<Vec<Pod>> {
        pods::running(self.cluster, &self.api, workloads::NAMESPACE, |host| self.asked_for[host])
    }

    /// Each pod of the StatefulSet is asked through its own Service, too, by a pod of another node that may reach it.
    fn link_services(&mut self) -> Result<()> {
        let pods = &self.pods;
        let lives = |id: &String| pods.iter().any(|pod| pod.id == *id);
        self.asked_by.retain(|server, client| lives(server) && lives(client));
        for server in pods {
            let Some(address) = workloads::address_of(&server.name) else { continue };
            if self.asked_by.contains_key(&server.id) {
                continue;
            }
            let may_ask = |client: &&Pod| {
                client.host != server.host && self.strategy.reaches_by_service(client.phase, server.phase)
            };
            let Some(client) = pods.iter().find(may_ask) else { continue };
            let node = &self.cluster.workers[client.host].node;
            let connect = format!("exec 3<>/dev/tcp/{address}/{}", probe::PORT);
            let line = ["timeout", "2", "bash", "-c", &connect];
            // kube-proxy follows the pod's readiness a moment later.
            until(&format!("the Service of {}", server.name), WITHIN, || {
                Ok(node.run_in(&client.netns_inside, &line).ok())
            })?;
            self.mesh.link(&Link {
                src: client.name.clone(),
                dst: server.name.clone(),
                address: address.parse().context("the address of a Service")?,
                source: None,
            })?;
            self.asked_by.insert(server.id.clone(), client.id.clone());
        }
        Ok(())
    }

    /// Looks where the pods of a node really are, and whether its published port leads to its pod.
    fn look_at(&mut self, host: usize) -> Result<()> {
        let workers = &self.cluster.workers;
        let leases =
            placement::leases(&workers[host].node, |network| overlay(self.cluster, network).clone())?;
        for pod in self.pods.iter().filter(|pod| pod.host == host) {
            self.misplaced
                .extend(placement::ensure_placed(pod, &leases).err().map(|error| error.to_string()));
        }
        let (server, client) = (&workers[host].node, &workers[(host + 1) % workers.len()].node);
        let port = format!("port {} of {}", workloads::HOST_PORT, server.name());
        let said = until(&port, WITHIN, || {
            Ok(client.http_get(server.address().into(), workloads::HOST_PORT, "/etc/hostname").ok())
        })?;
        ensure!(
            self.pods.iter().any(|pod| pod.host == host && pod.name == said),
            "{port} leads to {said:?}, which is no pod of that node"
        );
        self.ports_answered += 1;
        Ok(())
    }

    /// The old network goes, and new pods still come.
    fn remove_old(&mut self) -> Result<()> {
        if let Some(Forwarding::Blocked { packets }) = &mut self.forwarding {
            *packets = self.cluster.fabric.blocked_packets()?;
        }
        for worker in &self.cluster.workers {
            let conf = worker.node.outside(conf_path(&self.cluster.old));
            fs::remove_file(&conf).with_context(|| format!("removing {}", conf.display()))?;
        }
        self.cluster.fabric.remove_overlay(&self.cluster.old.name)?;
        for host in 0..self.cluster.workers.len() {
            self.board.node(self.cluster.workers[host].name(), "old removed");
        }
        self.roll(0, Phase::New)
    }

    /// Waits until every pair that must reach each other has had its probes since.
    fn settle(&self) -> Result<()> {
        let all = self.pods.iter().flat_map(|client| self.pods.iter().map(move |server| (client, server)));
        let reach = all.filter(|(client, server)| {
            client.name != server.name && self.strategy.reaches(client.phase, server.phase)
        });
        let pairs: Vec<_> =
            reach.map(|(client, server)| (client.name.clone(), server.name.clone())).collect();
        until_probed(&self.mesh.gauge(), &pairs, self.size.probes_per_step)
    }
}

fn lock(phases: &Phases) -> MutexGuard<'_, BTreeMap<String, Phase>> {
    phases.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The name of an object.
fn name_of(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}
