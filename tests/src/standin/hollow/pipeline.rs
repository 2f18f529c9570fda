//! Pipelines that replace hollow nodes: stand-ins for controllers and clouds, which leave the same objects and marks in the API server as the real ones.
//!
//! | stand-in | what it waits for before it drains a node | the new node comes |
//! |---|---|---|
//! | [`Karpenter`] | no `karpenter.sh/do-not-disrupt`, a budget, a replacement that is initialised | before |
//! | [`MachineDeployment`] | no pre-drain hook on the Machine | as soon as a Machine is deleted |
//! | [`NodeGroup`] | nothing | a burst before the first drain |
//! | [`ScalingGroup`] | `kubectl crossfade permit` in the terminating hook | before or after, as the refresh prefers |
//!
//! *Source*: as `docs/pipelines` names them.

mod cluster_api;
mod karpenter;
mod node_group;
mod scaling_group;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
pub use cluster_api::{MACHINES, MANAGED, MachineDeployment, delete_machine, hooked};
pub use karpenter::Karpenter;
pub use node_group::NodeGroup;
pub use scaling_group::ScalingGroup;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::fleet::{AGENT, Boot, Fleet, Member, STARTUP};
use super::play::Hollow;
use crate::host::deadline::until;
use crate::kubernetes::api::{condition, node_path, pod_path};
use crate::kubernetes::{Api, MERGE, manifest};

/// Nodes by their names.
type Nodes<'n> = BTreeMap<&'n str, &'n Value>;

/// What replaces the nodes of a fleet.
pub trait Pipeline {
    /// Looks at the cluster, and does what follows.
    ///
    /// # Errors
    /// The API server refuses something, or the pipeline fails as the real one would.
    fn advance(&mut self, nodes: &[Value]) -> Result<()>;

    /// The nodes that it drains.
    fn draining(&self) -> BTreeSet<String>;

    /// Whether it takes a node away without asking anything.
    fn is_unheld(&self, node: &str) -> bool;

    /// Whether every old node is gone and the fleet has its size.
    fn is_done(&self, nodes: &[Value]) -> bool;

    /// How many machines it has launched.
    fn launches(&self) -> usize;
}

/// The machines of a fleet: how they boot, are drained and end, whatever has them replaced.
#[derive(Debug)]
struct Machines<'a> {
    hollow: &'a Hollow,
    api: Api,
    /// Nodes of the earlier image.
    old: BTreeSet<String>,
    /// Nodes that were launched since.
    new: BTreeSet<String>,
    /// The version of the API of budgets and evictions.
    budgets: &'static str,
}

impl<'a> Machines<'a> {
    fn new(cluster: &'a Cluster, fleet: Fleet) -> Result<Self> {
        let api = cluster.api()?;
        Ok(Self {
            hollow: &cluster.hollow,
            old: fleet.first_nodes().collect(),
            new: BTreeSet::new(),
            budgets: manifest::budgets(&api)?,
            api,
        })
    }

    /// Launches a machine of the new image, in the zone of another one.
    fn launch(&mut self, like: &str, boot: Boot) -> Result<String> {
        let node = self.hollow.start_replacement(like, boot)?;
        self.new.insert(node.clone());
        Ok(node)
    }

    /// Launches a machine where any zone will do.
    fn launch_any(&mut self) -> Result<String> {
        let at = self.new.len() % self.old.len();
        let like = self.old.iter().nth(at).cloned().unwrap_or_default();
        self.launch(&like, Boot::Begun)
    }

    /// Evicts the pods of a node, but for those of DaemonSets; says whether none is there any more.
    fn drain(&self, node: &str) -> Result<bool> {
        let pods = self.movable(node)?;
        for pod in pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()) {
            self.evict(pod)?;
        }
        Ok(pods.is_empty())
    }

    /// The pods of a node that a drain ends.
    fn movable(&self, node: &str) -> Result<Vec<Value>> {
        let mut pods = self.api.pods_on(node)?;
        pods.retain(is_movable);
        Ok(pods)
    }

    fn evict(&self, pod: &Value) -> Result<()> {
        let metadata = &pod["metadata"];
        let eviction = json!({
            "apiVersion": self.budgets, "kind": "Eviction",
            "metadata": { "name": metadata["name"], "namespace": metadata["namespace"] },
        });
        let answer = self.api.client.create(&format!("{}/eviction", pod_path(pod)), &eviction)?;
        match answer.status {
            // A budget refuses it for now, or the pod is gone.
            404 | 429 => Ok(()),
            _ => answer.object().map(drop),
        }
    }

    /// Ends a machine: its Node goes.
    fn end(&self, node: &str) -> Result<()> {
        self.settled(self.api.client.delete(&node_path(node))?)
    }

    /// Changes the taints of a Node, which change as a whole.
    fn change_taints(&self, node: &str, change: impl Fn(&mut Vec<Value>)) -> Result<()> {
        until(&format!("other taints of {node}"), Duration::from_mins(5), || {
            let answer = self.api.client.get(&node_path(node))?;
            if answer.status == 404 {
                return Ok(Some(()));
            }
            let object = answer.object()?;
            let mut taints = object["spec"]["taints"].as_array().cloned().unwrap_or_default();
            change(&mut taints);
            let patch = json!({
                "metadata": { "resourceVersion": object["metadata"]["resourceVersion"] }, "spec": { "taints": taints },
            });
            let answer = self.api.client.patch(&node_path(node), MERGE, &patch)?;
            // Another patch was faster.
            if answer.status == 409 { Ok(None) } else { self.settled(answer).map(Some) }
        })
    }

    fn taint(&self, node: &str, key: &str, effect: &str) -> Result<()> {
        self.change_taints(node, |taints| {
            if !taints.iter().any(|taint| taint["key"] == key) {
                taints.push(json!({ "key": key, "effect": effect }));
            }
        })
    }

    fn untaint(&self, node: &str, key: &str) -> Result<()> {
        self.change_taints(node, |taints| taints.retain(|taint| taint["key"] != key))
    }

    /// Patches a Node, which may be gone.
    fn patch(&self, node: &str, patch: &Value) -> Result<()> {
        self.settled(self.api.client.patch(&node_path(node), MERGE, patch)?)
    }

    fn cordon(&self, node: &str) -> Result<()> {
        self.patch(node, &json!({ "spec": { "unschedulable": true } }))
    }

    /// What the Node Readiness Controller and the new agent do: the start-up taints go when the node's network works.
    fn lift(&self, nodes: &[Value]) -> Result<()> {
        for key in [STARTUP, AGENT] {
            let works = |node: &&Value| has_taint(node, key) && condition(node, "CrossfadeReady") == "True";
            nodes.iter().filter(works).try_for_each(|node| self.untaint(name(node), key))?;
        }
        Ok(())
    }

    /// Whether no old node is there, and at least as many new ones as there were old ones take pods.
    fn are_replaced(&self, nodes: &[Value]) -> bool {
        let new = nodes.iter().filter(|node| self.new.contains(name(node)));
        !nodes.iter().any(|node| self.old.contains(name(node)))
            && new.clone().all(is_up)
            && new.count() >= self.old.len()
    }

    fn settled(&self, answer: crate::kubernetes::Answer) -> Result<()> {
        if answer.status == 404 { Ok(()) } else { answer.object().map(drop) }
    }
}

/// Whether a node takes pods: Ready, and its start-up taints gone.
fn is_up(node: &Value) -> bool {
    condition(node, "Ready") == "True" && ![STARTUP, AGENT].iter().any(|key| has_taint(node, key))
}

/// Whether a drain ends a pod.
fn is_movable(pod: &Value) -> bool {
    let owners = pod["metadata"]["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default();
    !owners.iter().any(|owner| owner["kind"] == "DaemonSet")
}

fn has_taint(node: &Value, key: &str) -> bool {
    taints(node).iter().any(|taint| taint["key"] == key)
}

fn taints(node: &Value) -> &[Value] {
    node["spec"]["taints"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn named(nodes: &[Value]) -> Nodes<'_> {
    nodes.iter().map(|node| (name(node), node)).collect()
}

/// Serves a kind of another API group, whose objects may have any fields.
fn define(api: &Api, [group, version, kind]: [&str; 3], scope: &str) -> Result<()> {
    let (singular, list) = (kind.to_lowercase(), format!("{kind}List"));
    let plural = if singular.ends_with('s') { format!("{singular}es") } else { format!("{singular}s") };
    let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let served =
        json!({ "name": version, "served": true, "storage": true, "schema": { "openAPIV3Schema": schema } });
    api.create(&[json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{group}"),
            "annotations": { "api-approved.kubernetes.io": "unapproved, a test's" },
        },
        "spec": {
            "group": group, "scope": scope, "versions": [served],
            "names": { "plural": plural, "singular": singular, "kind": kind, "listKind": list },
        },
    })])?;
    until(&format!("{kind} is served"), Duration::from_mins(5), || {
        Ok((api.client.get(&format!("/apis/{group}/{version}/{plural}"))?.status == 200).then_some(()))
    })
}

/// What is true of a rotation, whatever a run believes.
#[derive(Debug)]
pub struct Truth {
    /// Old nodes, each with the pods that had started on it.
    old: BTreeMap<String, usize>,
    /// Nodes that stay.
    others: BTreeSet<String>,
    /// How many nodes may be away at once.
    allowed: usize,
    /// How many were away at most.
    pub most_away: usize,
    /// When a new node took pods, and how long after that it was proven.
    up: BTreeMap<String, (std::time::Instant, Option<Duration>)>,
}

impl Truth {
    /// Of a fleet whose pods run, before anything of it is replaced.
    pub fn new(cluster: &Cluster, fleet: Fleet, allowed: u32) -> Self {
        let pods = |node: String| (node.clone(), cluster.hollow.starts(&node));
        Self {
            old: fleet.first_nodes().map(pods).collect(),
            others: fleet.members().skip(fleet.first as usize).map(Member::name).collect(),
            allowed: allowed as usize,
            most_away: 0,
            up: BTreeMap::new(),
        }
    }

    /// Holds if the cluster is as a run must keep it.
    ///
    /// # Errors
    /// What is broken.
    pub fn look(&mut self, nodes: &[Value], pipeline: &dyn Pipeline) -> Result<()> {
        let draining = pipeline.draining();
        let (mut old, mut up, mut going, mut unheld) = (0, 0, 0, 0);
        for node in nodes.iter().filter(|node| !self.others.contains(name(node))) {
            let (name, state) = (name(node), state(node));
            if !self.old.contains_key(name) {
                ensure!(matches!(&*state, "" | "done"), "the run moves {name}, a new node: {state}");
                up += usize::from(is_up(node));
                if is_up(node) {
                    let (since, proof) =
                        self.up.entry(name.to_owned()).or_insert_with(|| (std::time::Instant::now(), None));
                    if state == "done" && proof.is_none() {
                        *proof = Some(since.elapsed());
                    }
                }
                continue;
            }
            ensure!(
                matches!(&*state, "" | "waiting" | "permitted"),
                "the run moves {name} in place: {state}"
            );
            old += 1;
            if draining.contains(name) && pipeline.is_unheld(name) {
                unheld += 1;
            } else if draining.contains(name) {
                going += 1;
                ensure!(state == "permitted", "{name} is drained, and the run says {state:?}");
            }
        }
        let away = going + self.old.len().saturating_sub(old + up);
        self.most_away = self.most_away.max(away + unheld);
        // A node that goes without the run's consent may come on top of those that have it, and counts until another one is up in its place.
        let expired = self.old.keys().filter(|node| pipeline.is_unheld(node)).count();
        ensure!(
            away <= self.allowed + expired,
            "{away} nodes are away, {} may be: {going} are drained, of {} {old} old and {up} new are up",
            self.allowed,
            self.old.len()
        );
        Ok(())
    }

    /// How many pods have gone to nodes which were to be replaced, and so moved twice.
    pub fn double_moves(&self, cluster: &Cluster) -> BTreeMap<String, usize> {
        let later = |(node, pods): (&String, &usize)| {
            let starts = cluster.hollow.starts(node).saturating_sub(*pods);
            (starts > 0).then(|| (node.clone(), starts))
        };
        self.old.iter().filter_map(later).collect()
    }

    /// How long new nodes took pods before the run had proven them, the shortest first.
    pub fn proofs(&self) -> Vec<Duration> {
        let mut proofs: Vec<Duration> = self.up.values().filter_map(|(_, proof)| *proof).collect();
        proofs.sort_unstable();
        proofs
    }

    /// How many pods have started on new nodes.
    pub fn moves(&self, cluster: &Cluster) -> usize {
        self.up.keys().map(|node| cluster.hollow.starts(node)).sum()
    }
}

/// How far a run is with a node; empty where it has nothing to do with it.
fn state(node: &Value) -> String {
    let step = node["metadata"]["annotations"][types::api::step::KEY].as_str().unwrap_or_default();
    let step: Value = serde_json::from_str(step).unwrap_or_default();
    step["state"].as_str().unwrap_or_default().to_owned()
}

/// Waits until a run that goes on keeps all nodes of a fleet's pool `first` from their pipeline.
///
/// # Errors
/// The run ends, or does not come to that.
pub fn until_waiting(api: &Api, fleet: Fleet, mut goes_on: impl FnMut() -> Result<()>) -> Result<()> {
    until("a step on each Node", Duration::from_mins(30), || {
        goes_on()?;
        std::thread::sleep(Duration::from_millis(300));
        let nodes = api.list("/api/v1/nodes")?;
        // The first one may go as soon as all are kept. Where networks join pods, an earlier pass has moved the nodes in place.
        let is_kept = |node: &&Value| matches!(&*state(node), "waiting" | "permitted");
        let kept: BTreeSet<&str> = nodes.iter().filter(is_kept).map(name).collect();
        Ok(fleet.first_nodes().all(|node| kept.contains(&*node)).then_some(()))
    })
}

/// Lets a pipeline replace all nodes of a fleet, and looks at the truth meanwhile. `meanwhile` is called with all Nodes before each look of the pipeline.
///
/// # Errors
/// Something fails, is not as it must be, or does not come to an end.
pub fn rotate(
    cluster: &Cluster,
    pipeline: &mut dyn Pipeline,
    truth: &mut Truth,
    mut meanwhile: impl FnMut(&[Value]) -> Result<()>,
) -> Result<()> {
    let api = cluster.api()?;
    let mut last = usize::MAX;
    until("the end of the rotation", Duration::from_hours(3), || {
        let began = Instant::now();
        let nodes = api.list("/api/v1/nodes")?;
        meanwhile(&nodes)?;
        truth.look(&nodes, pipeline)?;
        pipeline.advance(&nodes)?;
        cluster.hollow.ensure_sound()?;
        let old = nodes.iter().filter(|node| truth.old.contains_key(name(node))).count();
        if old / 20 != last / 20 {
            eprintln!("{old} old nodes are there");
        }
        last = old;
        // A pipeline that reads many pods reads them less often, or the API server would have no time for other clients.
        std::thread::sleep(began.elapsed().max(Duration::from_millis(300)));
        Ok(pipeline.is_done(&nodes).then_some(()))
    })
}
