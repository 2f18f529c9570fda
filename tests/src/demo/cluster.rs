//! A cluster in miniature: nodes with containerd on one fabric, two overlays, and pods.
//!
//! Apart from [`crate::scene`], for here are several nodes, each with a witness in its networks, and Crossfade comes by a package in the
//! midst of it.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use super::bootstrap;
use super::calico::{Agents, HOST_PREFIX};
use super::plan::Old;
use super::strategy::{Arrival, Network, Phase};
use super::witness::{CallCounts, Witness, WitnessedCall, add_up};
use crate::host::fabric::{Fabric, Overlay};
use crate::host::node::{Daemon, Node};
use crate::probe;
use crate::runtime::containerd::{Containerd, Options};
use crate::runtime::cri::{PortMapping, Protocol, Sandbox};

/// Where agents put their confs, and where a runtime looks for its own unless it is configured otherwise.
pub const CONF_DIR: &str = "/etc/cni/net.d";

/// The cluster. Dropping it ends everything in it.
#[derive(Debug)]
pub struct Cluster {
    hosts: Vec<Host>,
    /// The wire.
    pub fabric: Fabric,
    overlays: BTreeMap<Network, Overlay>,
    networks: Value,
    agents: Option<Agents>,
}

/// One node with its runtime.
#[derive(Debug)]
pub struct Host {
    pub node: Node,
    /// Its runtime.
    pub containerd: Containerd,
    /// `crossfade-bootstrap unit watch`, where Crossfade came with the node's image.
    pub watch: Option<Daemon>,
    witness: Witness,
}

/// A pod that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its name; re-created pods keep it.
    pub name: String,
    pub namespace: String,
    /// Its node, counted from 0.
    pub host: usize,
    /// How often it was made before.
    pub attempt: u32,
    /// Its sandbox.
    pub id: String,
    /// Its published address, as the runtime tells it.
    pub address: IpAddr,
    /// Its netns as the lab sees it.
    pub netns: PathBuf,
    /// The same as the node sees it.
    pub netns_inside: PathBuf,
    /// The port of its node that leads to its probe agent.
    pub host_port: Option<u16>,
    /// The phase it must have been made in.
    pub phase: Phase,
}

impl Cluster {
    /// Nodes whose only network is the old one; with Crossfade from the first moment where it comes with their image.
    ///
    /// # Errors
    /// A part is missing, or a runtime does not start.
    pub fn new(nodes: u8, arrival: Arrival, kind: &Old) -> Result<Cluster> {
        let fabric = Fabric::new(nodes)?;
        let [mut old, new] = fabric.old_and_new()?;
        let agents = match *kind {
            Old::Bridge => None,
            Old::Calico { leak_grace, .. } => {
                old.host_prefix = Some(HOST_PREFIX.to_owned());
                Some(Agents::start(fabric.nodes(), &old, leak_grace)?)
            }
        };
        let networks = kind.networks(&old, &new);
        let mut hosts = Vec::new();
        for node in fabric.nodes() {
            let witness = Witness::install(node)?;
            let mut conf = Witness::conflist(&old, node);
            if let Some(agents) = &agents {
                agents.adopt(&mut conf, node);
            }
            node.write(conf_path(Network::Old), serde_json::to_vec_pretty(&conf)?)?;
            let containerd = Containerd::prepare(node, &Options::default())?;
            let mut host = Host { node: node.clone(), containerd, watch: None, witness };
            match arrival {
                Arrival::Installed => host.containerd.begin()?,
                Arrival::Booted => bootstrap::boot(&mut host, &networks)?,
            }
            hosts.push(host);
        }
        let overlays = [(Network::Old, old), (Network::New, new)].into();
        Ok(Cluster { hosts, fabric, overlays, networks, agents })
    }

    /// The nodes.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    pub fn overlay(&self, network: Network) -> &Overlay {
        &self.overlays[&network]
    }

    /// Both networks, as a policy has them.
    pub fn networks(&self) -> &Value {
        &self.networks
    }

    /// Waits until every follower of the pods has seen them as they are now, several times.
    ///
    /// # Errors
    /// An agent has ended, or done what it must not.
    pub fn dwell(&self) -> Result<()> {
        self.agents.as_ref().map_or(Ok(()), Agents::dwell)
    }

    /// Addresses that the old network's agents hold to be given away.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn allocations(&self) -> Result<u64> {
        self.agents.as_ref().map_or(Ok(0), Agents::allocations)
    }

    /// What the new network's agents do when they come up: drop its conf, which sorts before the old one's.
    ///
    /// # Errors
    /// A node cannot be written to.
    pub fn new_agents_arrive(&self) -> Result<()> {
        for Host { node, .. } in &self.hosts {
            let conf = Witness::conflist(self.overlay(Network::New), node);
            node.write(conf_path(Network::New), serde_json::to_vec_pretty(&conf)?)?;
        }
        Ok(())
    }

    /// Takes the old network away from every node: its agents, its conf, its overlay, its bridges.
    ///
    /// # Errors
    /// It is gone already.
    pub fn remove_old(&self) -> Result<()> {
        if let Some(agents) = &self.agents {
            agents.end();
        }
        for Host { node, .. } in &self.hosts {
            let conf = node.outside(conf_path(Network::Old));
            fs::remove_file(&conf).with_context(|| format!("removing {}", conf.display()))?;
        }
        self.fabric.remove_overlay(Network::Old.name())
    }

    /// Runs a pod; `wanted` is the pod, all of it but what the runtime decides.
    ///
    /// # Errors
    /// The runtime's, with what the plugin said.
    pub fn run_pod(&self, request: &PodRequest<'_>) -> Result<Pod> {
        let PodRequest { name, namespace, host, attempt, phase, host_port } = *request;
        let Host { node, containerd, .. } = &self.hosts[host];
        let mut sandbox = Sandbox::new(name);
        namespace.clone_into(&mut sandbox.namespace);
        sandbox.attempt = attempt;
        sandbox.port_mappings.extend(host_port.map(|host_port| PortMapping {
            protocol: Protocol::Tcp,
            host_port,
            container_port: probe::PORT,
        }));
        let id = containerd.cri().run_sandbox(&sandbox).with_context(|| format!("on {}", node.name()))?;
        let status = containerd.cri().status(&id)?;
        let address = status.ip.with_context(|| format!("{name} has no address"))?;
        if let Some(agents) = &self.agents {
            agents.publish(namespace, name, address)?;
        }
        Ok(Pod {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            host,
            attempt,
            id,
            address,
            netns: node.outside(&status.netns),
            netns_inside: status.netns,
            host_port,
            phase,
        })
    }

    /// Stops and removes a pod, as kubelet does.
    ///
    /// # Errors
    /// The runtime's, with what the plugin said.
    pub fn end_pod(&self, pod: &Pod) -> Result<()> {
        let Host { node, containerd, .. } = &self.hosts[pod.host];
        let ended = containerd.cri().stop(&pod.id).and_then(|()| containerd.cri().remove(&pod.id));
        ended.with_context(|| format!("{} on {}", pod.name, node.name()))?;
        self.agents.as_ref().map_or(Ok(()), |agents| agents.forget(&pod.namespace, &pod.name))
    }

    /// Holds if a pod's published port answers at its node's address, asked from the next node.
    ///
    /// # Errors
    /// It does not.
    pub fn ensure_published(&self, pod: &Pod) -> Result<()> {
        let Some(port) = pod.host_port else {
            return Ok(());
        };
        let (server, client) =
            (&self.hosts[pod.host].node, &self.hosts[(pod.host + 1) % self.hosts.len()].node);
        let connect = format!("exec 3<>/dev/tcp/{}/{port}", server.address());
        client
            .run(&["timeout", "10", "bash", "-c", &connect])
            .with_context(|| format!("port {port} of {} must lead to {}", server.name(), pod.name))
            .map(drop)
    }

    /// What each network was asked so far, over all nodes.
    ///
    /// # Errors
    /// A witness cannot be read.
    pub fn call_counts(&self) -> Result<BTreeMap<Network, CallCounts>> {
        let mut calls: Vec<WitnessedCall> = Vec::new();
        for host in &self.hosts {
            calls.extend(host.witness.seen()?);
        }
        Ok(add_up(&calls))
    }
}

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct PodRequest<'a> {
    pub name: &'a str,
    pub namespace: &'a str,
    /// Node, counted from 0.
    pub host: usize,
    /// How often it was made before.
    pub attempt: u32,
    /// The phase whose networks it must get.
    pub phase: Phase,
    /// The port of its node that is to lead to its probe agent.
    pub host_port: Option<u16>,
}

/// Where a network's agent puts its conf. The new one sorts first: that is what goes wrong without Crossfade.
pub fn conf_path(network: Network) -> PathBuf {
    let file = match network {
        Network::Old => "10-old.conflist",
        Network::New => "05-new.conflist",
    };
    PathBuf::from(CONF_DIR).join(file)
}
