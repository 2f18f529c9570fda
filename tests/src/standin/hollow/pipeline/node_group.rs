//! A stand-in for the update of an EKS managed node group. Nothing holds it: it launches a burst, marks all old nodes at once, then drains them in an order of
//! its own, and at the end takes as many nodes away as it had launched too many.
//!
//! *Source*: Amazon EKS user guide, "Understand each phase of node updates". Its minute of rest after each drain is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{Cluster, Fleet, Machines, Pipeline, is_up, name};

/// A drain that takes longer fails the update (`PodEvictionFailure`).
const DRAIN_WITHIN: Duration = Duration::from_mins(15);

/// A fleet as a managed node group.
#[derive(Debug)]
pub struct NodeGroup<'a> {
    machines: Machines<'a>,
    /// How many nodes it launches first.
    burst: usize,
    /// How many it drains at once.
    most: usize,
    is_updated: bool,
    /// It has marked the old nodes.
    is_marked: bool,
    draining: BTreeMap<String, Instant>,
}

impl<'a> NodeGroup<'a> {
    /// Takes over a fleet, of which `most` nodes may be unavailable.
    ///
    /// # Errors
    /// What the API server says.
    pub fn new(cluster: &'a Cluster, fleet: Fleet, most: u32) -> Result<Self> {
        let machines = Machines::new(cluster, fleet)?;
        let group = Self {
            machines,
            burst: (2 * fleet.zones).max(most) as usize,
            most: most as usize,
            is_updated: false,
            is_marked: false,
            draining: BTreeMap::new(),
        };
        group.machines.old.iter().try_for_each(|node| group.label(node, "ami-old"))?;
        Ok(group)
    }

    /// Begins the update to the new version of the launch template.
    pub fn update(&mut self) {
        self.is_updated = true;
    }

    fn label(&self, node: &str, image: &str) -> Result<()> {
        self.machines.patch(
            node,
            &json!({ "metadata": { "labels": {
            "eks.amazonaws.com/nodegroup": "main", "eks.amazonaws.com/nodegroup-image": image,
        } } }),
        )
    }

    fn launch(&mut self) -> Result<()> {
        let node = self.machines.launch_any()?;
        self.label(&node, "ami-new")
    }

    /// Cordons all old nodes, and takes them from load balancers.
    fn mark(&self) -> Result<()> {
        let mark = json!({
            "metadata": { "labels": { "node.kubernetes.io/exclude-from-external-load-balancers": "true" } },
            "spec": { "unschedulable": true },
        });
        self.machines.old.iter().try_for_each(|node| self.machines.patch(node, &mark))
    }

    /// Goes on with the drains; the group launches another node for each old one that ends, and none for one of the burst.
    fn drain(&mut self) -> Result<()> {
        for (node, since) in std::mem::take(&mut self.draining) {
            ensure!(since.elapsed() < DRAIN_WITHIN, "PodEvictionFailure: {node}");
            if !self.machines.drain(&node)? {
                self.draining.insert(node, since);
                continue;
            }
            self.machines.end(&node)?;
            if self.machines.old.contains(&node) {
                self.launch()?;
            }
        }
        Ok(())
    }

    /// Nodes that are to go next: old ones, then those of the burst.
    fn next(&self, nodes: &[Value]) -> Vec<String> {
        let waits = |node: &&Value| !self.draining.contains_key(name(node));
        let mut old: Vec<&str> =
            nodes.iter().filter(waits).map(name).filter(|node| self.machines.old.contains(*node)).collect();
        // An order of its own.
        old.sort_by_key(|node| node.bytes().rev().collect::<Vec<u8>>());
        let unavailable = self.draining.len() + nodes.iter().filter(|node| !is_up(node)).count();
        if !old.is_empty() {
            let room = self.most.saturating_sub(unavailable);
            return old.into_iter().take(room).map(str::to_owned).collect();
        }
        let surplus = nodes.len().saturating_sub(self.machines.old.len()).min(1);
        let is_free = unavailable == 0;
        nodes.iter().take(if is_free { surplus } else { 0 }).map(|node| name(node).to_owned()).collect()
    }
}

impl Pipeline for NodeGroup<'_> {
    fn advance(&mut self, nodes: &[Value]) -> Result<()> {
        self.machines.lift(nodes)?;
        if !self.is_updated {
            return Ok(());
        }
        if !self.is_marked {
            for _ in self.machines.new.len()..self.burst {
                self.launch()?;
            }
            // It waits for kubelet, and for nothing that is of Kubernetes otherwise.
            self.is_marked = nodes.len() == self.machines.old.len() + self.burst;
            return if self.is_marked { self.mark() } else { Ok(()) };
        }
        let next = self.next(nodes);
        self.drain()?;
        for node in next {
            self.machines.cordon(&node)?;
            self.draining.insert(node, Instant::now());
        }
        Ok(())
    }

    fn draining(&self) -> BTreeSet<String> {
        self.draining.keys().cloned().collect()
    }

    fn is_unheld(&self, _node: &str) -> bool {
        true
    }

    fn is_done(&self, nodes: &[Value]) -> bool {
        let has_surplus = nodes.len() > self.machines.old.len();
        self.is_marked && !has_surplus && self.draining.is_empty() && self.machines.are_replaced(nodes)
    }

    fn launches(&self) -> usize {
        self.machines.new.len()
    }
}
