//! Containers of podman through the shim.

use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use lab::host::fabric::Fabric;
use lab::host::node::Node;
use lab::install::crossfade::{BIN_DIR, CONF_DIR, Crossfade, NETWORK};
use lab::runtime::podman::Podman;
use serde_json::Value;

/// One node with podman behind Crossfade.
struct Lab {
    crossfade: Crossfade,
    podman: Podman,
    // Last, for all of the above is on its node.
    fabric: Fabric,
}

impl Lab {
    fn new() -> Result<Lab> {
        let fabric = Fabric::new(1)?;
        let [old, new] = fabric.old_and_new()?;
        let crossfade = Crossfade::install(fabric.node(1), &old, &new)?;
        let podman = Podman::new(fabric.node(1), Path::new(CONF_DIR), Path::new(BIN_DIR))?;
        Ok(Lab { crossfade, podman, fabric })
    }

    fn node(&self) -> &Node {
        self.fabric.node(1)
    }

    fn ip(&self, name: &str) -> Result<IpAddr> {
        self.podman.ip(name, NETWORK)?.with_context(|| format!("{name} has no address"))
    }

    fn expect(&self, old: &[IpAddr], new: &[IpAddr], records: usize) -> Result<()> {
        self.crossfade.expect(old, new, records)
    }
}

pub(crate) fn a_container_follows_the_policy_of_its_start() -> Result<()> {
    let lab = Lab::new()?;
    lab.podman.run("c1", NETWORK, &[])?;
    let old = lab.ip("c1")?;
    lab.expect(&[old], &[], 1)?;
    lab.node().run(&["busybox", "ping", "-c1", "-W5", &old.to_string()])?;

    lab.crossfade.phase("new")?;
    lab.podman.run("c2", NETWORK, &[])?;
    let new = lab.ip("c2")?;
    lab.expect(&[old], &[new], 2)?;
    // Podman's only DEL, after the flip.
    lab.podman.stop("c1")?;
    lab.expect(&[], &[new], 1).context("the old container stopped under the new policy")?;
    lab.podman.start("c1")?;
    let moved = lab.ip("c1")?;
    let mut both = [new, moved];
    both.sort();
    lab.expect(&[], &both, 2).context("the old container started again")?;

    lab.crossfade.phase("old")?;
    lab.podman.remove("c1")?;
    lab.podman.remove("c2")?;
    lab.expect(&[], &[], 0).context("removed after the flip back")
}

pub(crate) fn a_container_can_be_on_both_networks() -> Result<()> {
    let lab = Lab::new()?;
    lab.crossfade.phase("both-old")?;
    lab.podman.run("c1", NETWORK, &[])?;
    let primary = lab.ip("c1")?;
    let pid = lab.podman.pid("c1")?.to_string();
    let text = lab.node().run(&["nsenter", "--net", "--target", &pid, "ip", "-json", "-4", "address"])?;
    let links: Value = serde_json::from_str(&text).context("ip -json")?;
    let address = |ifname: &str| -> Result<IpAddr> {
        let link = links.as_array().and_then(|links| links.iter().find(|link| link["ifname"] == ifname));
        let local = link.and_then(|link| link["addr_info"][0]["local"].as_str());
        Ok(local.with_context(|| format!("no {ifname} in {text}"))?.parse()?)
    };
    ensure!(address("eth0")? == primary, "podman publishes {primary}, eth0 has {}", address("eth0")?);
    let secondary = address("net1")?;
    lab.expect(&[primary], &[secondary], 1)?;
    for ip in [primary, secondary] {
        lab.node().run(&["busybox", "ping", "-c1", "-W5", &ip.to_string()])?;
    }
    lab.crossfade.phase("new")?;
    lab.podman.remove("c1")?;
    lab.expect(&[], &[], 0)
}

pub(crate) fn a_published_port_leads_to_the_container() -> Result<()> {
    use lab::runtime::cri::{PortMapping, Protocol};
    let lab = Lab::new()?;
    lab.crossfade.phase("new")?;
    let port = PortMapping { protocol: Protocol::Tcp, host_port: 18080, container_port: 8080 };
    lab.podman.run("c1", NETWORK, &[port])?;
    let ip = lab.ip("c1")?.to_string();
    let rules = lab.node().run(&["iptables", "-w", "-t", "nat", "-S"])?;
    let leads = |line: &str| line.contains("18080") && line.contains(&format!("{ip}:8080"));
    ensure!(rules.lines().any(leads), "no rule leads to {ip}:8080:\n{rules}");
    lab.podman.remove("c1")?;
    let rules = lab.node().run(&["iptables", "-w", "-t", "nat", "-S"])?;
    ensure!(!rules.contains("18080"), "rules left:\n{rules}");
    lab.expect(&[], &[], 0)
}
