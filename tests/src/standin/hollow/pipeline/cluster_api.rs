//! A stand-in for Cluster API: a MachineDeployment whose template has changed, and the controller of Machines, which drains a Node once no pre-drain hook is on
//! its Machine. The management cluster is the cluster itself.
//!
//! *Source*: Cluster API 1.12, `internal/controllers/machinedeployment` (a rolling update: new Machines up to `maxSurge` more than the replicas, old ones deleted
//! as soon as enough are available; a Machine that is deleted is no replica) and `internal/controllers/machine` (`reconcileDelete`).

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::{Value, json};

use super::{Cluster, Fleet, MERGE, Machines, Pipeline, define, is_up, name, named};
use crate::kubernetes::{Api, manifest};

/// The namespace of the Machines, and the name of their Cluster.
pub const MANAGED: [&str; 2] = ["fleets", "blue"];
pub const MACHINES: &str = "/apis/cluster.x-k8s.io/v1beta2/namespaces/fleets/machines";
/// How the annotations begin that keep Cluster API from draining a Node.
const HOOKS: &str = "pre-drain.delete.hook.machine.cluster.x-k8s.io/";
/// Keeps a Machine that is deleted until its Node has gone.
const FINALIZER: &str = "machine.cluster.x-k8s.io";
/// Nodes of Machines of an earlier template bear this taint.
const OUTDATED: &str = "node.cluster.x-k8s.io/outdated-revision";

/// A fleet as a MachineDeployment.
#[derive(Debug)]
pub struct MachineDeployment<'a> {
    machines: Machines<'a>,
    surge: usize,
    draining: BTreeSet<String>,
    has_new_template: bool,
}

impl<'a> MachineDeployment<'a> {
    /// Takes over a fleet: each Node has a Machine, and names it. There may be `surge` Machines more than Nodes during a rollout.
    ///
    /// # Errors
    /// What the API server says.
    pub fn new(cluster: &'a Cluster, fleet: Fleet, surge: u32) -> Result<Self> {
        let machines = Machines::new(cluster, fleet)?;
        define(&machines.api, ["cluster.x-k8s.io", "v1beta2", "Machine"], "Namespaced")?;
        machines.api.create(&[manifest::namespace(MANAGED[0])])?;
        let deployment =
            Self { machines, surge: surge as usize, draining: BTreeSet::new(), has_new_template: false };
        deployment.machines.old.iter().try_for_each(|node| deployment.add(node))?;
        Ok(deployment)
    }

    /// Gives it the template of the new image.
    ///
    /// # Errors
    /// What the API server says.
    pub fn change_template(&mut self) -> Result<()> {
        self.has_new_template = true;
        self.machines.old.iter().try_for_each(|node| self.machines.taint(node, OUTDATED, "PreferNoSchedule"))
    }

    /// The Machine of a Node, and the annotations that Cluster API writes on it.
    fn add(&self, node: &str) -> Result<()> {
        let [namespace, cluster] = MANAGED;
        let machine = format!("m-{node}");
        self.machines.patch(
            node,
            &json!({ "metadata": { "annotations": {
            "cluster.x-k8s.io/machine": machine, "cluster.x-k8s.io/cluster-namespace": namespace,
            "cluster.x-k8s.io/cluster-name": cluster,
        } } }),
        )?;
        self.machines.api.create(&[json!({
            "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Machine",
            "metadata": {
                "name": machine, "namespace": namespace, "finalizers": [FINALIZER],
                "labels": { "cluster.x-k8s.io/cluster-name": cluster },
            },
            "spec": { "clusterName": cluster }, "status": { "nodeRef": { "name": node } },
        })])
    }

    /// The rollout: Machines are launched and deleted. Those that are deleted count no more.
    fn roll_out(&mut self, nodes: &[Value], machines: &[Value]) -> Result<()> {
        let nodes = named(nodes);
        let replicas = self.machines.old.len();
        let stays: Vec<&str> = machines.iter().filter(|machine| !is_deleted(machine)).map(node_of).collect();
        let is_old = |node: &&&str| self.machines.old.contains(**node);
        let old: Vec<&str> = stays.iter().filter(is_old).copied().collect();
        let available = stays.iter().filter(|node| nodes.get(**node).is_some_and(|node| is_up(node))).count();
        // Which one goes first is Cluster API's own choice.
        for node in old.iter().rev().take(available.saturating_sub(replicas)) {
            delete_machine(&self.machines.api, node)?;
        }
        let new = stays.len() - old.len();
        let launches = (replicas + self.surge).saturating_sub(stays.len()).min(replicas.saturating_sub(new));
        for _ in 0..launches {
            let node = self.machines.launch_any()?;
            self.add(&node)?;
        }
        Ok(())
    }

    /// The controller of Machines: those that are deleted and have no hook are drained and ended.
    fn reconcile(&mut self, machines: &[Value]) -> Result<()> {
        for machine in machines.iter().filter(|machine| is_deleted(machine) && !has_hook(machine)) {
            let node = node_of(machine);
            if self.draining.insert(node.to_owned()) {
                self.machines.cordon(node)?;
            }
            if self.machines.drain(node)? {
                self.machines.end(node)?;
                let patch = json!({ "metadata": { "finalizers": null } });
                let path = format!("{MACHINES}/{}", name(machine));
                self.machines.settled(self.machines.api.client.patch(&path, MERGE, &patch)?)?;
                self.draining.remove(node);
            }
        }
        Ok(())
    }
}

impl Pipeline for MachineDeployment<'_> {
    fn advance(&mut self, nodes: &[Value]) -> Result<()> {
        self.machines.lift(nodes)?;
        let machines = self.machines.api.list(MACHINES)?;
        if self.has_new_template {
            self.roll_out(nodes, &machines)?;
        }
        self.reconcile(&machines)
    }

    fn draining(&self) -> BTreeSet<String> {
        self.draining.clone()
    }

    fn is_unheld(&self, _node: &str) -> bool {
        false
    }

    fn is_done(&self, nodes: &[Value]) -> bool {
        self.draining.is_empty() && self.machines.are_replaced(nodes)
    }

    fn launches(&self) -> usize {
        self.machines.new.len()
    }
}

/// Deletes the Machine of a Node.
///
/// # Errors
/// There is none.
pub fn delete_machine(api: &Api, node: &str) -> Result<()> {
    api.client.delete(&format!("{MACHINES}/m-{node}"))?.object().map(drop)
}

/// The nodes of Machines with a pre-drain hook.
///
/// # Errors
/// What the API server says.
pub fn hooked(api: &Api) -> Result<BTreeSet<String>> {
    let machines = api.list(MACHINES)?;
    Ok(machines
        .iter()
        .filter(|machine| has_hook(machine))
        .map(|machine| node_of(machine).to_owned())
        .collect())
}

fn has_hook(machine: &Value) -> bool {
    let annotations = machine["metadata"]["annotations"].as_object();
    annotations.is_some_and(|all| all.keys().any(|key| key.starts_with(HOOKS)))
}

fn is_deleted(machine: &Value) -> bool {
    !machine["metadata"]["deletionTimestamp"].is_null()
}

fn node_of(machine: &Value) -> &str {
    machine["status"]["nodeRef"]["name"].as_str().unwrap_or_default()
}
