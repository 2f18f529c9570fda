//! The mesh follows what others do to the pods: a pod that is being stopped leaves it, a pod that is ready enters it.

use anyhow::{Context, Result};
use serde_json::Value;

use super::{DESIRED, Rollout, name_of, overlay, pods, workloads};
use crate::demo::cluster::Pod;
use crate::demo::placement;
use crate::demo::strategy::Phase;
use crate::probe::{self, Link};

impl Rollout<'_> {
    /// Looks at the cluster once. At most one pod enters at a time, since a pod that leaves must not wait for long.
    pub(super) fn follow(&mut self) -> Result<()> {
        let nodes = self.api.list("/api/v1/nodes")?;
        self.name_the_pass(&nodes)?;
        let objects = pods::objects(&self.api, workloads::NAMESPACE)?;
        let has_changed = self.change(&nodes) || self.let_go(&objects)? || self.let_in(&objects, &nodes)?;
        if has_changed {
            self.show();
        } else {
            self.link_one()?;
            self.ask_ports();
        }
        Ok(())
    }

    /// Whether every pod that is to be there is in the mesh, every Service that can be asked is, and every published port was.
    pub(super) fn is_complete(&self) -> bool {
        let expected = workloads::count(self.size.nodes, self.size.pods);
        self.pods.len() == expected && self.ports_due.is_empty() && self.unasked().is_none()
    }

    /// Probes are counted by the pass in which they are sent: the furthest phase that a node was asked for.
    fn name_the_pass(&mut self, nodes: &[Value]) -> Result<()> {
        let has_request = |phase: &Phase| {
            nodes.iter().any(|node| node["metadata"]["annotations"][DESIRED] == phase.as_str())
        };
        let passes = self.strategy.passes();
        if let Some(phase) = passes.iter().rev().find(|phase| has_request(phase))
            && self.pass != Some(*phase)
        {
            self.pass = Some(*phase);
            self.audit.mesh.phase(phase.as_str())?;
        }
        Ok(())
    }

    /// Pods of the mesh that are being stopped, or that are gone.
    fn let_go(&mut self, objects: &[Value]) -> Result<bool> {
        let object_of =
            |uid: &String| objects.iter().find(|object| object["metadata"]["uid"] == uid.as_str());
        let mut going = Vec::new();
        for pod in &self.pods {
            let uid = self.uids.get(&pod.name).with_context(|| format!("{} has no UID", pod.name))?;
            match object_of(uid) {
                Some(object) if !pods::is_going(object) => {}
                Some(object) => going.push((pod.clone(), pods::going_since(object)?)),
                None => anyhow::bail!("{} went sooner than it was to", pod.name),
            }
        }
        for (pod, since) in &going {
            self.audit.retire_late(pod, *since)?;
            self.audit.recreated += 1;
            self.uids.remove(&pod.name);
            self.pods.retain(|other| other.id != pod.id);
        }
        Ok(!going.is_empty())
    }

    /// One pod that is ready and not in the mesh. It was made in the phase of its node: no node changes its phase while it takes pods.
    fn let_in(&mut self, objects: &[Value], nodes: &[Value]) -> Result<bool> {
        let is_known = |object: &&Value| self.uids.contains_key(&name_of(object));
        let new: Vec<Value> = objects.iter().filter(|object| !is_known(object)).cloned().collect();
        if new.is_empty() {
            return Ok(false);
        }
        let phases = self.phases(nodes)?;
        let Some(pod) = pods::running(self.cluster, &new, |host| phases[host])?.into_iter().next() else {
            return Ok(false);
        };
        let object = new.iter().find(|object| name_of(object) == pod.name).context("its object")?;
        let uid = object["metadata"]["uid"].as_str().context("a UID")?;
        let node = &self.cluster.workers[pod.host].node;
        let leases = placement::leases(node, |network| overlay(self.cluster, network).clone())?;
        self.audit.look_at(&pod, &leases);
        self.audit.enter(&pod)?;
        self.uids.insert(pod.name.clone(), uid.to_owned());
        if workloads::is_published(&pod.name) {
            self.ports_due.insert(pod.host);
        }
        self.pods.push(pod);
        Ok(true)
    }

    /// Pods that networks have joined or left, once their node says that none is left to join or leave.
    fn change(&mut self, nodes: &[Value]) -> bool {
        let settled = |host: usize| -> Option<Phase> {
            let name = self.cluster.workers[host].name();
            let node = nodes.iter().find(|node| name_of(node) == name)?;
            let observed = node["metadata"]["annotations"]["crossfade/observed"].as_str()?;
            let observed: Value = serde_json::from_str(observed).ok()?;
            let phase = serde_json::from_value(observed["phase"].clone()).ok()?;
            (observed["restarts"] == 0).then_some(phase)
        };
        let before = self.audit.changed;
        let of_host: Vec<Option<Phase>> = (0..self.cluster.workers.len()).map(settled).collect();
        for pod in &mut self.pods {
            if let Some(phase) = of_host[pod.host].filter(|phase| *phase != pod.phase) {
                pod.phase = phase;
                self.audit.change(pod);
            }
        }
        self.audit.changed > before
    }

    /// The phase of every node, in the order of the workers.
    fn phases(&self, nodes: &[Value]) -> Result<Vec<Phase>> {
        let phase = |name: &str| {
            let node = nodes.iter().find(|node| name_of(node) == name);
            let label = node.map(|node| node["metadata"]["labels"]["crossfade/phase"].clone());
            serde_json::from_value(label.unwrap_or_default()).with_context(|| format!("the phase of {name}"))
        };
        self.cluster.workers.iter().map(|worker| phase(worker.name())).collect()
    }

    /// A pod with a Service of its own that no pod asks through it, and a pod of another node that may.
    fn unasked(&self) -> Option<(&Pod, &Pod)> {
        let has_answer = |server: &Pod| {
            let client = self.asked_by.get(&server.id);
            client.is_some_and(|client| self.pods.iter().any(|pod| pod.id == *client))
        };
        let servers = self.pods.iter().filter(|pod| workloads::address_of(&pod.name).is_some());
        servers.filter(|server| !has_answer(server)).find_map(|server| {
            let may_ask = |client: &&Pod| {
                client.host != server.host && self.strategy.reaches_by_service(client.phase, server.phase)
            };
            self.pods.iter().find(may_ask).map(|client| (server, client))
        })
    }

    /// Asks a pod of the StatefulSet through its own Service, too, once kube-proxy knows it.
    fn link_one(&mut self) -> Result<()> {
        let Some((server, client)) = self.unasked() else { return Ok(()) };
        let address = workloads::address_of(&server.name).context("an address")?;
        let node = &self.cluster.workers[client.host].node;
        let connect = format!("exec 3<>/dev/tcp/{address}/{}", probe::PORT);
        if node.run_in(&client.netns_inside, &["timeout", "1", "bash", "-c", &connect]).is_err() {
            return Ok(());
        }
        let link = Link {
            src: client.name.clone(),
            dst: server.name.clone(),
            address: address.parse().context("the address of a Service")?,
            source: None,
        };
        let pair = (server.id.clone(), client.id.clone());
        self.audit.mesh.link(&link)?;
        self.asked_by.insert(pair.0, pair.1);
        Ok(())
    }

    /// Whether published ports lead to their pods; one that does not is asked again.
    fn ask_ports(&mut self) {
        let workers = &self.cluster.workers;
        let answers = |host: usize| {
            let (server, client) = (&workers[host].node, &workers[(host + 1) % workers.len()].node);
            let answer = client.http_get(server.address().into(), workloads::HOST_PORT, "/etc/hostname");
            answer.is_ok_and(|answer| self.pods.iter().any(|pod| pod.host == host && pod.name == answer))
        };
        let answered: Vec<usize> = self.ports_due.iter().copied().filter(|host| answers(*host)).collect();
        for host in answered {
            self.ports_due.remove(&host);
            self.audit.ports_answered += 1;
        }
    }

    fn show(&self) {
        for (host, worker) in self.cluster.workers.iter().enumerate() {
            let phases = self.pods.iter().filter(|pod| pod.host == host).map(|pod| pod.phase);
            self.board.pods(worker.name(), phases);
        }
    }
}
