//! Calico as the network to leave: its plugin in the conf, and its agents on every node, which follow the statuses of the pods.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::build::dist;
use crate::host::fabric::Overlay;
use crate::host::node::Node;
use crate::host::scratch::{self, Scratch};
use crate::standin::calico::{Datastore, Felix, Spec};

/// Begins the name of the node's end of every pod.
pub const HOST_PREFIX: &str = "cali";

const PLUGIN: &str = "lab-calico";

/// Passes of every agent before a step is judged: the second would undo what was only mended after the first.
const SEVERAL: u64 = 3;

/// Milliseconds between two passes.
const EVERY_MS: u64 = 100;

/// The agents of a cluster. Dropping them kills them, and leaves what they made.
#[derive(Debug)]
pub struct Agents {
    datastore: Datastore,
    running: Mutex<Vec<Felix>>,
    _scratch: Scratch,
}

impl Agents {
    /// Brings plugin and agent to every node. With a grace, addresses that look leaked for so many passes are released.
    ///
    /// # Errors
    /// A program is not built, or an agent does not start.
    pub fn start(nodes: &[Node], overlay: &Overlay, leak_grace: Option<u64>) -> Result<Agents> {
        let scratch = Scratch::new(PLUGIN)?;
        let datastore = Datastore::create(&scratch.dir("datastore")?)?;
        let mut running = Vec::new();
        for node in nodes {
            scratch::install(&dist::lab_bin(PLUGIN)?, &node.outside("/opt/cni/bin").join(PLUGIN))?;
            let spec = Spec {
                nodename: node.name().to_owned(),
                datastore: datastore.path().to_owned(),
                state: scratch.join(format!("{}.json", node.name())),
                prefix: HOST_PREFIX.to_owned(),
                blocks: vec![overlay.subnet(node.index())],
                every_ms: EVERY_MS,
                leak_grace,
            };
            running.push(Felix::start(spec, Some(u32::try_from(node.pid().as_raw())?))?);
        }
        Ok(Agents { datastore, running: Mutex::new(running), _scratch: scratch })
    }

    /// Puts Calico's plugin in the place of the first one of a conflist, which keeps its addresses.
    pub fn adopt(&self, conflist: &mut Value, node: &Node) {
        let plugin = &mut conflist["plugins"][0];
        *plugin = json!({
            "type": PLUGIN,
            "mtu": plugin["mtu"],
            "ipam": { "type": "host-local", "ranges": plugin["ipam"]["ranges"] },
            "hostPrefix": HOST_PREFIX,
            "datastore": self.datastore.path(),
            "nodename": node.name(),
        });
    }

    /// Plays kubelet: the runtime has told a pod's address.
    ///
    /// # Errors
    /// What the file system says.
    pub fn publish(&self, namespace: &str, pod: &str, address: IpAddr) -> Result<()> {
        self.datastore.set_status(namespace, pod, &[address])
    }

    /// Plays the API server: a Pod is deleted.
    ///
    /// # Errors
    /// What the file system says.
    pub fn forget(&self, namespace: &str, pod: &str) -> Result<()> {
        self.datastore.delete_pod(namespace, pod)
    }

    /// Waits until every agent has seen what was published, several times.
    ///
    /// # Errors
    /// One has ended, had trouble with the kernel, or released an address of a living pod.
    pub fn dwell(&self) -> Result<()> {
        for agent in self.running().iter() {
            let state = agent.wait_passes(SEVERAL)?;
            ensure!(state.troubles.is_empty(), "an agent of Calico had trouble: {:?}", state.troubles);
            ensure!(state.released.is_empty(), "addresses of living pods released: {:?}", state.released);
        }
        Ok(())
    }

    /// Calico leaves the nodes.
    pub fn end(&self) {
        self.running().clear();
    }

    /// How many addresses it holds to be given away.
    ///
    /// # Errors
    /// What the file system says.
    pub fn allocations(&self) -> Result<u64> {
        let allocations = self.datastore.allocations().context("Calico's allocations")?;
        Ok(u64::try_from(allocations.len())?)
    }

    fn running(&self) -> MutexGuard<'_, Vec<Felix>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
