//! Deliveries of watches to a holder: objects as they are at that moment, in batches, each kind by itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use migration::config::roll::Method;
use migration::plan::Pool;
use migration::roll::replacement::arriving;
use migration::roll::run::Run;
use migration::roll::world::Trait;

use crate::cluster::controllers::uid;
use crate::cluster::truth::{Truth, Workload};
use crate::history::History;
use crate::history::event::{Event, Stream};
use crate::holder::{Holder, TouchedWorkload};

impl Truth {
    /// Whether a holder has this pod.
    fn is_watched(&self, driver: &Holder, id: u32) -> bool {
        let is_on = |node: usize| driver.watched.contains(&node) || driver.arriving.contains(&node);
        self.pods.get(&id).is_some_and(|pod| pod.api.has_trait(Trait::Dns) || pod.node.is_none_or(is_on))
    }
}

impl History {
    /// A holder waits for the workloads that earlier ones have moved, as the run names them.
    pub(crate) fn take_up_moved(&mut self, holder: usize, run: &Run) {
        let since = self.now;
        let touched = |(workload, controller): (usize, &Workload)| {
            let desired = run.moved_owners.get(&controller.blueprint.owner.title())?.unwrap_or(u32::MAX);
            Some((workload, TouchedWorkload { desired, since }))
        };
        self.holders[holder].touched = self.truth.workloads.iter().enumerate().filter_map(touched).collect();
    }

    /// A holder reads everything anew.
    pub(crate) fn read_everything(&mut self, holder: usize) {
        for node in 0..self.truth.nodes.len() {
            self.holders[holder].nodes.mark(node, self.now);
            self.holders[holder].machines.mark(node, self.now);
        }
        for id in self.truth.pods.keys() {
            self.holders[holder].pods.mark(*id, self.now);
        }
        for workload in 0..self.truth.workloads.len() {
            self.holders[holder].workloads.mark(workload, self.now);
        }
        self.deliver_workloads(holder);
        self.deliver_nodes(holder);
        self.deliver_machines(holder);
        // The run tells on which new nodes pods are watched, and nothing is decided before these are known.
        self.deliver_run(holder);
        self.deliver_pods(holder);
    }

    /// What changed reaches a holder.
    pub(crate) fn deliver(&mut self, holder: usize, stream: Stream) {
        let driver = &self.holders[holder];
        if !driver.holds() {
            return;
        }
        let late = driver.delay(stream);
        if late > self.now {
            self.queue.push(late + 1, Event::Deliver(holder, stream));
            return;
        }
        match stream {
            Stream::Nodes => self.deliver_nodes(holder),
            Stream::Pods => self.deliver_pods(holder),
            Stream::Workloads => self.deliver_workloads(holder),
            Stream::Run => self.deliver_run(holder),
            Stream::Machines => self.deliver_machines(holder),
        }
        self.news(holder);
    }

    fn deliver_nodes(&mut self, holder: usize) {
        let changed = self.holders[holder].nodes.take();
        let is_karpenter = |pool: &Pool| pool.method == Method::Karpenter && self.plan.rotates(&pool.name);
        let sees_drift = self.plan.pools.iter().any(is_karpenter);
        for index in changed {
            let name = self.truth.nodes[index].name.clone();
            let driver = &mut self.holders[holder];
            let world = Arc::make_mut(&mut driver.world);
            // Another Node may have the name by now.
            let living = self.truth.node_by_name(&name).map(|living| &self.truth.nodes[living]);
            if sees_drift {
                let drifted = Arc::make_mut(world.drifted.get_or_insert_default());
                if living.is_some_and(|node| node.is_drifted) {
                    drifted.insert(name.clone());
                } else {
                    drifted.remove(&name);
                }
            }
            match living {
                Some(node) => world.put(name, node.api.clone()),
                None => {
                    world.nodes.remove(&name);
                }
            }
            let node = &self.truth.nodes[index];
            let is_moving = node.api.step.as_ref().is_some_and(|step| step.state.is_in_transit())
                && node.gone_at.is_none();
            let is_new = if is_moving { driver.watched.insert(index) } else { driver.watched.remove(&index) };
            if is_new {
                self.mark_pods(holder, [index]);
            }
        }
        self.watch_arriving(holder);
    }

    /// Watches the pods of new nodes, where the plan has agents that prove them.
    fn watch_arriving(&mut self, holder: usize) {
        if self.plan.agents.iter().all(|agent| agent.cni.is_none()) {
            return;
        }
        let driver = &self.holders[holder];
        let Some(run) = &driver.stored else { return };
        let names = arriving(&driver.world, run, &self.plan);
        let arriving: BTreeSet<usize> = names.filter_map(|name| self.truth.node_by_name(name)).collect();
        let before = std::mem::replace(&mut self.holders[holder].arriving, arriving);
        // What is not watched any more is not known any more.
        let changed: Vec<usize> =
            before.symmetric_difference(&self.holders[holder].arriving).copied().collect();
        self.mark_pods(holder, changed);
    }

    /// The pods of these nodes are to reach a holder.
    fn mark_pods(&mut self, holder: usize, nodes: impl IntoIterator<Item = usize>) {
        let driver = &mut self.holders[holder];
        let mut is_first = false;
        for id in nodes.into_iter().flat_map(|index| &self.truth.nodes[index].pods) {
            is_first |= driver.pods.mark(*id, self.now);
        }
        if is_first {
            let (from, to) = driver.lag;
            self.schedule_within(from, to, Event::Deliver(holder, Stream::Pods));
        }
    }

    fn deliver_machines(&mut self, holder: usize) {
        let driver = &mut self.holders[holder];
        let changed = driver.machines.take();
        if !self.truth.pipelines.iter().any(|acting| acting.has_machines) {
            return;
        }
        let world = Arc::make_mut(&mut driver.world);
        let machines = Arc::make_mut(world.machines.get_or_insert_default());
        for index in changed {
            let name = &self.truth.nodes[index].name;
            let living = self.truth.node_by_name(name).map(|living| &self.truth.nodes[living]);
            match living.and_then(|node| node.capi.clone()) {
                Some(machine) => machines.insert(name.clone(), machine),
                None => machines.remove(name),
            };
        }
    }

    fn deliver_pods(&mut self, holder: usize) {
        let changed = self.holders[holder].pods.take();
        let driver = &mut self.holders[holder];
        for id in changed {
            let uid = uid(id);
            match self.truth.pods.get(&id).filter(|_| self.truth.is_watched(driver, id)) {
                Some(pod) => {
                    let moves = ![Trait::HostNetwork, Trait::Finished, Trait::Static]
                        .into_iter()
                        .any(|what| pod.api.has_trait(what));
                    let is_on = pod.node.is_some_and(|node| driver.watched.contains(&node));
                    if let Some(workload) = pod.workload.filter(|_| moves && is_on) {
                        let desired = driver
                            .available
                            .get(&workload)
                            .map_or(u32::MAX, |availability| availability.desired);
                        let since = self.now;
                        driver.touched.entry(workload).or_insert(TouchedWorkload { desired, since });
                    }
                    Arc::make_mut(&mut driver.world).pods.put(pod.api.clone());
                }
                None => Arc::make_mut(&mut driver.world).pods.remove(&uid),
            }
        }
    }

    fn deliver_workloads(&mut self, holder: usize) {
        let driver = &mut self.holders[holder];
        for workload in driver.workloads.take() {
            let now = self.truth.workloads[workload].status;
            driver.available.insert(workload, now);
            if let Some(touched) = driver.touched.get_mut(&workload).filter(|_| !now.is_short(0)) {
                touched.desired = now.desired;
            }
        }
    }

    fn deliver_run(&mut self, holder: usize) {
        let driver = &mut self.holders[holder];
        driver.record.take();
        driver.version = self.truth.record.version;
        driver.stored.clone_from(&self.truth.record.run);
        driver.wishes.clone_from(&self.truth.record.wishes);
        Arc::make_mut(&mut driver.world).permits.clone_from(&self.truth.permits);
        self.watch_arriving(holder);
    }
}
