//! Calico's agents on the two nodes, and the pods that they know.
//!
//! A pair of agents for each side, since both networks may be a Calico here. A pod is one side's or neither's: real nodes have
//! one Calico, and two would fight for the route to its primary address. The other side then is any CNI with a link-local
//! next hop whose agents do not follow the Pod's status.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use lab::host::node::Node;
use lab::host::scratch::Scratch;
use lab::standin::calico::{Datastore, Felix, Spec};
use serde_json::{Value, json};

use crate::attachment::Attachment;
use crate::topology::{Kind, Network, Side};

/// Pods of the tests are all in it.
pub(crate) const NAMESPACE: &str = "ns";

/// How long a pass may wait for its turn; four agents share the machine with the tests.
const EVERY_MS: u64 = 250;

/// See the module.
#[derive(Debug)]
pub(crate) struct Calico {
    /// Of old and new.
    datastores: [Datastore; 2],
    agents: Vec<Felix>,
    _scratch: Scratch,
}

impl Calico {
    /// On nodes 1 and 2.
    ///
    /// No address is collected as leaked: an administrator with a Calico as the second network has set its grace to zero.
    pub(crate) fn start(nodes: [&Node; 2]) -> Result<Self> {
        let scratch = Scratch::new("calico")?;
        let datastore = |side: Side| Datastore::create(&scratch.dir(side.name())?);
        let datastores = [datastore(Side::Old)?, datastore(Side::New)?];
        let mut agents = Vec::new();
        for node in nodes {
            for side in Side::BOTH {
                let network = Network { side, kind: Kind::Calico };
                let spec = Spec {
                    nodename: node.name().to_owned(),
                    datastore: datastores[side as usize].path().to_owned(),
                    state: scratch.join(format!("{}-{}.json", node.name(), side.name())),
                    prefix: network.host_prefix(),
                    blocks: network.subnets(node.index()).to_vec(),
                    every_ms: EVERY_MS,
                    leak_grace: None,
                };
                agents.push(Felix::start(spec, Some(u32::try_from(node.pid().as_raw())?))?);
            }
        }
        Ok(Self { datastores, agents, _scratch: scratch })
    }

    /// Lets the agents know the pods of a conflist.
    pub(crate) fn follow(&self, conflist: &mut Value, side: Side, node: u8) {
        let plugin = &mut conflist["plugins"][0];
        plugin["datastore"] = json!(self.datastores[side as usize].path());
        plugin["nodename"] = json!(format!("n{node}"));
    }

    /// Plays kubelet after an ADD: the reply's addresses are the Pod's status.
    pub(crate) fn publish(&self, pod: &Attachment, reply: &Value) -> Result<()> {
        let mut pod_ips: Vec<IpAddr> = Vec::new();
        for ip in reply["ips"].as_array().into_iter().flatten() {
            let text = ip["address"].as_str().context("an address")?;
            pod_ips.push(text.split('/').next().unwrap_or(text).parse()?);
        }
        ensure!(!pod_ips.is_empty(), "the reply has no address: {reply}");
        let mut datastores = self.datastores.iter();
        datastores.try_for_each(|datastore| datastore.set_status(NAMESPACE, &pod.id, &pod_ips))
    }

    /// Plays the API server after the last DEL.
    pub(crate) fn delete(&self, id: &str) -> Result<()> {
        self.datastores.iter().try_for_each(|datastore| datastore.delete_pod(NAMESPACE, id))
    }

    /// Waits until every agent has seen what was published, so many times; none may have had trouble.
    pub(crate) fn dwell(&self, passes: u64) -> Result<()> {
        for agent in &self.agents {
            let state = agent.wait_passes(passes)?;
            ensure!(state.troubles.is_empty(), "{:?}", state.troubles);
        }
        Ok(())
    }

    /// Addresses that a policy of a side knows a pod on node 1 by.
    pub(crate) fn known_by(&self, side: Side, id: &str) -> Result<Vec<IpAddr>> {
        let endpoint = self.datastores[side as usize].endpoint(NAMESPACE, id)?;
        let interface = endpoint.context("no endpoint")?.interface;
        let state = self.agents[side as usize].state()?;
        let set = state.sets.get(&interface).context("the agent does not know the pod")?;
        Ok(set.iter().copied().collect())
    }
}
