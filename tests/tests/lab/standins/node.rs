//! A node's Calico in the lab's own netns, and pods of it.
//!
//! ```text
//! pod under test                  the lab's own netns, which forwards            peer: a pod of Calico alone
//!   eth0, net1 ------------------- cali..., felix, kube-controllers ----------------- eth0
//! ```

use std::fs;
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use lab::host::command::run_line;
use lab::host::leases::leases;
use lab::host::netns::Netns;
use lab::host::scratch::Scratch;
use lab::standin::calico::{Datastore, Felix, Spec};
use serde_json::{Value, json};

use crate::call::Caller;

/// Of every pod.
pub(crate) const NAMESPACE: &str = "ns";

/// Passes: more than one, since some things happen in the second.
pub(crate) const SEVERAL: u64 = 3;

/// A node's Calico.
pub(crate) struct FelixNode {
    pub(crate) felix: Felix,
    pub(crate) datastore: Datastore,
    pub(crate) conf: Value,
    prefix: String,
    net: u8,
    pub(crate) scratch: Scratch,
}

/// A pod of it.
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) netns: Netns,
    pub(crate) caller: Caller,
    ifname: &'static str,
    /// Calico's.
    pub(crate) addresses: Vec<IpAddr>,
    /// Of the other network, if there is one: its interface leads nowhere.
    pub(crate) others: Vec<IpAddr>,
}

impl FelixNode {
    /// Subnets, links and names are numbered `net`.
    pub(crate) fn new(net: u8, leak_grace: Option<u64>) -> Result<Self> {
        fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
        fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")?;
        let scratch = Scratch::new("felix")?;
        let datastore = Datastore::create(&scratch.dir("datastore")?)?;
        let prefix = format!("f{net}cali");
        let blocks = [format!("10.76.{net}.0/24"), format!("fd00:76:{net}::/64")];
        let conf = json!({
            "cniVersion": "1.0.0", "name": "old", "type": "calico", "hostPrefix": prefix,
            "datastore": datastore.path(), "nodename": "n1",
            "ipam": {"type": "host-local", "dataDir": scratch.join("leases"),
                     "ranges": [[{"subnet": blocks[0]}], [{"subnet": blocks[1]}]]},
        });
        let spec = Spec {
            nodename: "n1".to_owned(),
            datastore: datastore.path().to_owned(),
            state: scratch.join("state.json"),
            prefix: prefix.clone(),
            blocks: blocks.to_vec(),
            every_ms: 50,
            leak_grace,
        };
        let felix = Felix::start(spec, None)?;
        Ok(Self { felix, datastore, conf, prefix, net, scratch })
    }

    /// A pod on Calico alone.
    pub(crate) fn alone(&self, name: &str) -> Result<Pod> {
        self.pod(name, "eth0", Vec::new())
    }

    /// A pod whose primary network is another one.
    pub(crate) fn second(&self, name: &str) -> Result<Pod> {
        let others = [format!("10.77.{}.9", self.net), format!("fd00:77:{}::9", self.net)];
        self.pod(name, "net1", others.iter().map(|other| other.parse()).collect::<Result<_, _>>()?)
    }

    fn pod(&self, name: &str, ifname: &'static str, others: Vec<IpAddr>) -> Result<Pod> {
        let netns = Netns::pod(&format!("{}-{name}", self.prefix))?;
        if !others.is_empty() {
            netns.run("ip link add eth0 type bridge")?;
            for other in &others {
                netns.run(&format!("ip address add {other} dev eth0"))?;
            }
            netns.run("ip link set eth0 up")?;
        }
        let caller = Caller {
            plugin: "lab-calico",
            id: format!("{name}-sandbox"),
            netns: netns.path().to_owned(),
            args: format!("IgnoreUnknown=1;K8S_POD_NAMESPACE={NAMESPACE};K8S_POD_NAME={name}"),
        };
        let result = caller.succeed_for(ifname, "ADD", &self.conf)?.result()?;
        let addresses = crate::calico::addresses(&result);
        let addresses: Vec<IpAddr> =
            addresses.iter().map(|address| address.parse()).collect::<Result<_, _>>()?;
        ensure!(addresses.len() == 2, "{result}");
        Ok(Pod { name: name.to_owned(), netns, caller, ifname, addresses, others })
    }

    /// Kubelet publishes the primary network's addresses, and felix has seen it.
    pub(crate) fn publish(&mut self, pod: &Pod) -> Result<()> {
        let primary = if pod.others.is_empty() { &pod.addresses } else { &pod.others };
        self.datastore.set_status(NAMESPACE, &pod.name, primary)?;
        self.felix.wait_passes(SEVERAL).map(drop)
    }

    pub(crate) fn interface(&self, pod: &Pod) -> Result<String> {
        let endpoint = self.datastore.endpoint(NAMESPACE, &pod.name)?;
        Ok(endpoint.context("no endpoint")?.interface)
    }

    /// Destinations of the main table that lead to the pod, with their protocol.
    pub(crate) fn routes(&self, pod: &Pod) -> Result<Vec<String>> {
        let interface = self.interface(pod)?;
        let mut all = Vec::new();
        for family in ["-4", "-6"] {
            let routes =
                run_line(&format!("ip -Numeric -json {family} route show table main dev {interface}"))?;
            let routes: Vec<Value> = serde_json::from_str(&routes).unwrap_or_default();
            let text = |route: &Value, key: &str| route[key].as_str().unwrap_or_default().to_owned();
            let routes = routes.iter().map(|route| (text(route, "dst"), text(route, "protocol")));
            all.extend(
                routes
                    .filter(|(_, protocol)| protocol != "2")
                    .map(|(dst, protocol)| format!("{dst} {protocol}")),
            );
        }
        Ok(all)
    }

    /// Packets that the check of the way back has dropped, of a family.
    pub(crate) fn dropped(&self, program: &str) -> Result<u64> {
        let listed = run_line(&format!("{program} -w -t raw -nvxL PREROUTING"))?;
        let rule =
            listed.lines().find(|line| line.contains(&format!("{}+", self.prefix))).context("no check")?;
        Ok(rule.split_whitespace().next().context("a count")?.parse()?)
    }

    pub(crate) fn leases(&self) -> Result<Vec<IpAddr>> {
        let entries = leases(&self.scratch.join("leases/old"))?;
        Ok(entries.into_iter().map(|lease| lease.address).collect())
    }

    pub(crate) fn end(&self, pod: &Pod) -> Result<()> {
        pod.caller.succeed_for(pod.ifname, "DEL", &self.conf)?;
        self.datastore.delete_pod(NAMESPACE, &pod.name)
    }
}

/// Each of the pod's addresses answers the peer, and each of the peer's the pod.
pub(crate) fn reach_each_other(peer: &Pod, pod: &Pod) -> Result<()> {
    for (from, to) in [(peer, pod), (pod, peer)] {
        for address in &to.addresses {
            from.netns.run(&format!("busybox ping -c 1 -W 60 {address}"))?;
        }
    }
    Ok(())
}

/// None of them does.
pub(crate) fn are_apart(peer: &Pod, pod: &Pod) -> Result<()> {
    for (from, to) in [(peer, pod), (pod, peer)] {
        for address in &to.addresses {
            let answer = from.netns.run(&format!("busybox ping -c 1 -W 1 {address}"));
            ensure!(answer.is_err(), "{address} of {} answers {}", to.name, from.name);
        }
    }
    Ok(())
}

/// Its own routes to a pod's addresses in table 1003, and a rule to each address: what keeps a second network alive.
pub(crate) struct HostRoutes(Vec<String>);

impl HostRoutes {
    pub(crate) fn add(interface: &str, addresses: &[IpAddr]) -> Result<Self> {
        let mut made = Self(Vec::new());
        for address in addresses {
            let family = if address.is_ipv4() { "-4" } else { "-6" };
            for line in [
                format!("route ACTION {address} dev {interface} table 1003"),
                format!("rule ACTION to {address} lookup 1003 priority 1003"),
            ] {
                let line = format!("ip {family} {line}");
                run_line(&line.replace("ACTION", "add"))?;
                made.0.push(line.replace("ACTION", "delete"));
            }
        }
        Ok(made)
    }
}

impl Drop for HostRoutes {
    fn drop(&mut self) {
        for line in &self.0 {
            // A route goes with its interface.
            let _gone_already = run_line(line);
        }
    }
}
