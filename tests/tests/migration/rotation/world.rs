//! The cluster of a rotation: old nodes that run, the images, and the machines that boot them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use lab::boot::agents;
use lab::boot::furniture::Network;
use lab::build::image_build::BuildResult;
use lab::host::deadline::until;
use lab::kubernetes::api::{WITHIN, condition, node_path};
use lab::kubernetes::booted::{self, BootedNode};
use lab::kubernetes::{Api, Cluster, MERGE, conf_path, manifest};
use serde_json::{Value, json};

/// Where the workloads are.
pub(crate) const NAMESPACE: &str = "shop";
/// Pods of the Deployment and of the StatefulSet; the DaemonSet has one on each node.
const WEB: u32 = 4;
const DB: u32 = 2;
/// The deployment of DNS.
const DNS: &str = "/apis/apps/v1/namespaces/kube-system/deployments/kube-dns";
/// What a migration to Cilium has kubelet register by itself.
const LABEL: &str = "io.cilium.migration/cilium-default";
const TAINT: &str = "node.cilium.io/agent-not-ready";
/// The gate for new nodes of docs/images.md.
const GATE: &str = "readiness.k8s.io/crossfade";

/// What a node boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Image {
    /// The earlier one: nothing of Crossfade, the old network.
    Old,
    /// Both networks, Crossfade in phase `new`.
    Migration,
    /// The new network alone.
    Final,
}

/// The cluster, with the nodes that run.
#[derive(Debug)]
pub(crate) struct World {
    // Before the cluster, whose networks they have.
    machines: BTreeMap<String, BootedNode>,
    pub(crate) cluster: Cluster,
    pub(crate) api: Api,
    images: BTreeMap<&'static str, BuildResult>,
    running: Vec<String>,
}

impl World {
    /// Old nodes that run, as many as `old`, places for `more`, and the workloads on the old network.
    pub(crate) fn start(old: u8, more: u8) -> Result<World> {
        let cluster = Cluster::prepare(old + more)?;
        let api = cluster.api()?;
        let (machines, images) = (BTreeMap::new(), BTreeMap::new());
        let mut world = World { machines, cluster, api, images, running: Vec::new() };
        let names: Vec<String> = (1..=old).map(|index| format!("n{index}")).collect();
        names.iter().try_for_each(|name| world.launch(name, Image::Old))?;
        world.cluster.serve_dns(&[])?;
        world.api.until_rolled_out(DNS)?;
        world.api.namespace(NAMESPACE)?;
        let server = manifest::server();
        let mut everywhere = server.clone();
        everywhere["tolerations"] = json!([{ "operator": "Exists" }]);
        let workload = |kind, name, replicas| manifest::workload(kind, NAMESPACE, name, replicas, &server);
        world.api.create(&[
            workload("Deployment", "web", Some(WEB)),
            workload("StatefulSet", "db", Some(DB)),
            manifest::workload("DaemonSet", NAMESPACE, "agent", None, &everywhere),
            manifest::budget(NAMESPACE, "web", &json!({ "maxUnavailable": 2 }), &world.api)?,
        ])?;
        Ok(world)
    }

    /// The nodes that run.
    pub(crate) fn running(&self) -> Vec<String> {
        self.running.clone()
    }

    /// How many pods the workloads have.
    pub(crate) fn expected(&self) -> usize {
        (WEB + DB) as usize + self.running.len()
    }

    /// Has Packer make an image.
    pub(crate) fn build(&mut self, image: Image) -> Result<()> {
        let (name, variables) = match image {
            Image::Old => bail!("the nodes of the earlier image are the lab's own"),
            Image::Migration => (
                "migration",
                json!({ "crossfade_image": "migration", "crossfade_old_cni": "flannel", "crossfade_new_cni": "cilium",
                        "crossfade_old_cidrs": ["10.244.0.0/16"], "crossfade_new_cidrs": ["10.245.0.0/16"],
                        "crossfade_taints": [format!("{GATE}:NoSchedule")] }),
            ),
            Image::Final => ("final", json!({ "crossfade_image": "final", "crossfade_new_cni": "cilium" })),
        };
        let built = booted::build(&self.cluster, variables)?;
        ensure!(built.status == 0, "packer: exit status {}\n{}", built.status, built.output);
        eprintln!("Packer has made the {name} image");
        self.images.insert(name, built);
        Ok(())
    }

    /// Starts a new node, and waits until pods may come: it is Ready, and has none of the start-up taints.
    pub(crate) fn launch(&mut self, name: &str, image: Image) -> Result<()> {
        match image {
            Image::Old => self.start_old(name)?,
            Image::Migration => self.boot(name, "migration", &Network::ALL)?,
            Image::Final => self.boot(name, "final", &[Network::New])?,
        }
        if image != Image::Old {
            self.bring_networks(name, image)?;
        }
        let node = self.api.until_ready(name).with_context(|| self.journal(name))?;
        if image == Image::Migration {
            self.until_proven(name, &node)?;
        }
        self.lift(name, &[TAINT, GATE])?;
        self.running.push(name.to_owned());
        eprintln!("{name} is Ready, of the {image:?} image");
        Ok(())
    }

    fn start_old(&mut self, name: &str) -> Result<()> {
        let old = self.cluster.old.clone();
        let worker = self.cluster.workers.iter_mut().find(|worker| worker.name() == name);
        let worker = worker.with_context(|| format!("no place for {name}"))?;
        worker.node.write(conf_path(&old), old.conflist(worker.node.index()).to_string())?;
        worker.join()
    }

    fn boot(&mut self, name: &str, image: &str, networks: &[Network]) -> Result<()> {
        let built = self.images.get(image).with_context(|| format!("no {image} image"))?;
        let mut nodes = self.cluster.fabric.nodes().iter();
        let node = nodes.find(|node| node.name() == name).with_context(|| format!("no place for {name}"))?;
        let booted = BootedNode::boot(built, &self.cluster, node, networks)?;
        self.machines.insert(name.to_owned(), booted);
        Ok(())
    }

    /// What the agents' DaemonSets and the new CNI's operator do when a Node has come.
    fn bring_networks(&mut self, name: &str, image: Image) -> Result<()> {
        let node =
            self.api.until(&node_path(name), "is registered", |node| !condition(node, "Ready").is_empty());
        let node = node.with_context(|| self.journal(name))?;
        ensure!(condition(&node, "Ready") == "False", "Ready without a network: {}", node["status"]);
        let machine = self.machines.get_mut(name).context("a machine")?.machine();
        let is_tainted = node["spec"]["taints"].to_string().contains(TAINT);
        let is_labelled = node["metadata"]["labels"][LABEL] == "true";
        let expected = image == Image::Migration;
        ensure!((is_tainted, is_labelled) == (expected, expected), "{} {}", node["metadata"], node["spec"]);
        if image == Image::Migration {
            machine.open_gate(Network::Old)?;
        }
        machine.open_gate(Network::New)
    }

    /// Waits until the new network has been proven by packets. The taint of docs/kubernetes/node-readiness-rule.yaml is there until then.
    fn until_proven(&mut self, name: &str, node: &Value) -> Result<()> {
        ensure!(node["spec"]["taints"].to_string().contains(GATE), "{}", node["spec"]);
        self.api.until(&node_path(name), "says that its network is ready", |node| {
            condition(node, "CrossfadeReady") == "True"
                && node["metadata"]["labels"]["crossfade/phase"] == "new"
        })?;
        let machine = self.machines.get_mut(name).context("a machine")?.machine();
        let status: Value =
            serde_json::from_str(&machine.run(&["crossfade-bootstrap", "status", "--output", "json"])?)?;
        let mut networks = status["watch"]["networks"].as_array().into_iter().flatten();
        let is_proven = |network: &Value| {
            network["network"] == "new" && network["proof"] == "passed" && network["packets"].is_object()
        };
        ensure!(networks.any(is_proven), "{status:#}");
        let failed = machine.run(&["systemctl", "list-units", "--failed", "--no-legend", "--plain"])?;
        ensure!(failed.trim().is_empty(), "failed: {failed}");
        Ok(())
    }

    /// As long as the node bears one of these taints they are taken away, as the controllers do that these taints are for: Kubernetes' own controller
    /// writes all taints as it has last seen them, and so brings one back now and then. Ends when none is left, also of those that other programs put there.
    fn lift(&self, name: &str, keys: &[&str]) -> Result<()> {
        until(&format!("no start-up taint on {name}"), WITHIN, || {
            let mut node = self.api.get(&node_path(name))?;
            let Value::Array(mut taints) = node["spec"]["taints"].take() else { return Ok(Some(())) };
            let before = taints.len();
            taints.retain(|taint| !keys.iter().any(|key| taint["key"] == *key));
            if taints.len() < before {
                // Of the version that was read; where another one has written meanwhile, it is read again.
                let version = &node["metadata"]["resourceVersion"];
                let patch =
                    json!({ "metadata": { "resourceVersion": version }, "spec": { "taints": taints } });
                let answer = self.api.client.patch(&node_path(name), MERGE, &patch)?;
                if answer.status != 409 {
                    answer.object()?;
                }
            }
            std::thread::sleep(Duration::from_millis(200));
            Ok(None)
        })
    }

    /// The old network leaves the cluster: its agents, their confs, its links.
    pub(crate) fn remove_old(&mut self) -> Result<()> {
        let conf = agents::conf(Network::Old).display().to_string();
        for booted in self.machines.values_mut() {
            booted.machine().run(&["systemctl", "stop", &Network::Old.unit()])?;
            booted.machine().run(&["rm", "-r", &conf, "/run/flannel"])?;
        }
        self.cluster.fabric.remove_overlay("old")?;
        for name in self.machines.keys() {
            let last_heartbeat = heartbeat(&self.api.get(&node_path(name))?);
            self.api.until(&node_path(name), "is as before without the old network", |node| {
                heartbeat(node) != last_heartbeat
                    && condition(node, "Ready") == "True"
                    && condition(node, "CrossfadeReady") == "True"
            })?;
        }
        Ok(())
    }

    /// The machine of a node that was deleted ends.
    pub(crate) fn end(&mut self, name: &str) -> Result<()> {
        self.running.retain(|other| other != name);
        if self.machines.remove(name).is_some() {
            return Ok(());
        }
        let mut workers = self.cluster.workers.iter_mut();
        workers.find(|worker| worker.name() == name).with_context(|| format!("no node {name}"))?.power_off()
    }

    /// The pods of the workloads that stay, of the nodes that run.
    pub(crate) fn pods(&self) -> Result<Vec<Value>> {
        let mut pods = self.api.list(&format!("/api/v1/namespaces/{NAMESPACE}/pods"))?;
        pods.retain(|pod| {
            let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
            pod["metadata"]["deletionTimestamp"].is_null() && self.running.iter().any(|name| name == node)
        });
        Ok(pods)
    }

    /// The network namespace of a pod, where the lab finds it; none if its sandbox has gone.
    pub(crate) fn netns_of(&self, pod: &Value) -> Result<Option<PathBuf>> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (name, node) = (text(&pod["metadata"]["name"]), text(&pod["spec"]["nodeName"]));
        let machine = self.machines.get(&node);
        let worker = self.cluster.workers.iter().find(|worker| worker.name() == node);
        let cri = match (machine, worker) {
            (Some(machine), _) => machine.cri(),
            (None, Some(worker)) => worker.containerd.cri(),
            (None, None) => bail!("{name} is on {node}, which is not ours"),
        };
        let sandboxes = cri.list()?;
        let mut own = sandboxes.iter().filter(|it| it.ready && it.name == name && it.namespace == NAMESPACE);
        let Some(sandbox) = own.next() else { return Ok(None) };
        let inside = cri.status(&sandbox.id)?.netns;
        match (machine, worker) {
            (Some(machine), _) => machine.netns(&inside).map(Some),
            (None, worker) => Ok(worker.map(|worker| worker.node.outside(&inside))),
        }
    }

    /// Every workload has its pods, DNS too.
    pub(crate) fn until_rolled_out(&self) -> Result<()> {
        for (kind, name) in [("deployments", "web"), ("statefulsets", "db"), ("daemonsets", "agent")] {
            self.api.until_rolled_out(&format!("/apis/apps/v1/namespaces/{NAMESPACE}/{kind}/{name}"))?;
        }
        self.api.until_rolled_out(DNS)
    }

    /// The machine of a node.
    pub(crate) fn machine(&mut self, name: &str) -> Result<&mut BootedNode> {
        self.machines.get_mut(name).with_context(|| format!("{name} is no machine"))
    }

    /// The end of a machine's journal.
    fn journal(&mut self, name: &str) -> String {
        let Some(machine) = self.machines.get_mut(name) else { return String::new() };
        machine.machine().journal().map(|journal| journal.tail()).unwrap_or_default()
    }
}

/// When kubelet last reported how its node is.
fn heartbeat(node: &Value) -> Option<String> {
    let mut conditions = node["status"]["conditions"].as_array()?.iter();
    let ready = conditions.find(|condition| condition["type"] == "Ready")?;
    ready["lastHeartbeatTime"].as_str().map(str::to_owned)
}
