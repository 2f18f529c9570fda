//! One pod: its namespace, its calls of the shim, and what it has of each network.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::host::deadline::until;
use lab::host::scratch::Scratch;
use lab::runtime::caller::{Outcome, Plugin};
use serde_json::{Value, json};

use crate::echo::Responder;
use crate::space::Space;
use crate::topology::{Side, Topology};

/// Tells what happens from what does not, on a machine that has other things to do as well.
pub(crate) const SOON: Duration = Duration::from_secs(180);

/// An address of the pod and the interface it is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) address: IpAddr,
    pub(crate) ifname: String,
    /// Index of the interface in the pod.
    pub(crate) index: usize,
}

/// One pod, attached or about to be.
#[derive(Debug)]
pub(crate) struct Attachment {
    pub(crate) id: String,
    pub(crate) space: Space,
    /// 1 or 2.
    pub(crate) node: u8,
    /// Keys of the shim's conf beside those that every case has.
    pub(crate) more: Value,
    dir: Scratch,
    search_path: String,
    shim: PathBuf,
    homes: Vec<Home>,
    responder: Option<Responder>,
}

impl Attachment {
    /// A pod with a policy and state of its own, on node 1.
    pub(crate) fn new(topology: &Topology, id: &str, space: Space) -> Result<Self> {
        Ok(Self {
            id: id.to_owned(),
            space,
            node: 1,
            more: json!({}),
            dir: Scratch::new(id)?,
            search_path: topology.search_path(),
            shim: topology.shim().clone(),
            homes: Vec::new(),
            responder: None,
        })
    }

    /// Where the conf of a network lies.
    pub(crate) fn conf_path(&self, side: Side) -> PathBuf {
        self.dir.join(format!("{}.conflist", side.name()))
    }

    /// Writes the conf of a network.
    pub(crate) fn write_conf(&self, side: Side, conf: &Value) -> Result<()> {
        fs::write(self.conf_path(side), conf.to_string()).context("write a conf")
    }

    /// Writes the policy.
    pub(crate) fn write_policy(&self, policy: &Value) -> Result<()> {
        fs::write(self.dir.join("policy.json"), policy.to_string()).context("write the policy")
    }

    /// One call of the shim, from the pod's node.
    pub(crate) fn call(&self, topology: &Topology, verb: &str, netns: &str) -> Result<Outcome> {
        let mut conf = json!({
            "cniVersion": "1.0.0",
            "name": "crossfade",
            "type": "crossfade",
            "policy": self.dir.join("policy.json"),
            "stateDir": self.dir.join("state"),
            "runDir": self.dir.join("run"),
        });
        for (key, value) in self.more.as_object().into_iter().flatten() {
            conf[key] = value.clone();
        }
        let args = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME={0};K8S_POD_UID={0}", self.id);
        let plugin = Plugin::new(&self.shim)
            .read_by_the_oracle()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", &self.id)
            .env("CNI_NETNS", netns)
            .env("CNI_IFNAME", "eth0")
            .env("CNI_ARGS", &args)
            .env("CNI_PATH", &self.search_path)
            .stdin(&conf.to_string())
            .patience(SOON);
        topology.space(self.node).inside(|| plugin.run()).with_context(|| format!("{verb} of {}", self.id))
    }

    /// ADD, which must succeed; its result.
    pub(crate) fn add(&mut self, topology: &Topology) -> Result<Value> {
        let result = self.call(topology, "ADD", &self.netns())?.result()?;
        self.homes = homes(&self.space)?;
        Ok(result)
    }

    /// CHECK, which must succeed.
    pub(crate) fn check(&self, topology: &Topology) -> Result<()> {
        self.call(topology, "CHECK", &self.netns())?.silent().context("CHECK")
    }

    /// DEL, which must succeed.
    pub(crate) fn del(&self, topology: &Topology) -> Result<()> {
        self.call(topology, "DEL", &self.netns())?.silent().context("DEL")
    }

    /// CNI_NETNS.
    pub(crate) fn netns(&self) -> String {
        self.space.path().display().to_string()
    }

    /// Answers on every address from now on, as soon as none is under duplicate check any more.
    pub(crate) fn respond(&mut self) -> Result<()> {
        self.settle()?;
        self.responder = Some(Responder::start(&self.space, &self.addresses())?);
        Ok(())
    }

    /// No more.
    pub(crate) fn be_silent(&mut self) -> Result<()> {
        self.responder.take().map_or(Ok(()), Responder::stop)
    }

    /// Every address, with its interface.
    pub(crate) fn homes(&self) -> &[Home] {
        &self.homes
    }

    /// Every address.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        self.homes.iter().map(|home| home.address).collect()
    }

    /// Waits until no address is under duplicate check any more.
    pub(crate) fn settle(&self) -> Result<()> {
        until("the end of duplicate checks", SOON, || {
            let tentative = self.space.ip("-6 address show tentative")?;
            Ok(tentative.trim().is_empty().then_some(()))
        })
    }

    /// Files that hold records.
    pub(crate) fn records(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        let mut dirs = vec![self.dir.join("state/attachments")];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))? {
                let path = entry?.path();
                if path.is_dir() { dirs.push(path) } else { files.push(path) }
            }
        }
        Ok(files)
    }
}

/// Every address but link-local ones, with its interface.
fn homes(space: &Space) -> Result<Vec<Home>> {
    let mut homes = Vec::new();
    for link in space.list("address show scope global")? {
        let (Some(ifname), Some(index)) = (link["ifname"].as_str(), link["ifindex"].as_u64()) else {
            continue;
        };
        for info in link["addr_info"].as_array().into_iter().flatten() {
            // `ip` leaves an empty object for what it does not show.
            let Some(address) = info["local"].as_str() else { continue };
            let address = address.parse().with_context(|| format!("address {address}"))?;
            homes.push(Home { address, ifname: ifname.to_owned(), index: usize::try_from(index)? });
        }
    }
    ensure!(!homes.is_empty(), "{} has no address", space.path().display());
    Ok(homes)
}
