//! The end of a pod, in every way there is, and what must not be left of it.

use std::fs;

use anyhow::{Context, Result, ensure};
use lab::host::deadline::until;
use lab::host::leases::Lease;
use serde_json::Value;

use crate::attachment::{Attachment, SOON};
use crate::topology::Topology;

/// How a pod goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// DEL, and then two as runtimes send them: with the netns again, and without.
    Orderly,
    /// The netns is gone before the only DEL, which names none.
    WithoutNetns,
    /// The secondary's interface is gone before the DEL.
    WithoutSecondary,
    /// The same with the primary's.
    WithoutPrimary,
}

impl Leave {
    pub(crate) const ALL: [Self; 4] =
        [Self::Orderly, Self::WithoutNetns, Self::WithoutSecondary, Self::WithoutPrimary];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Orderly => "orderly",
            Self::WithoutNetns => "without_netns",
            Self::WithoutSecondary => "without_secondary",
            Self::WithoutPrimary => "without_primary",
        }
    }
}

/// Ends the pod; nothing in this process may hold its netns any more.
pub(crate) fn leave(how: Leave, topology: &Topology, pod: Attachment) -> Result<()> {
    let host_ends = host_ends(&pod)?;
    ensure!(host_ends.len() == 2, "expected two pairs: {host_ends:?}");
    ensure!(!leases(topology, &pod)?.is_empty(), "no lease names {}", pod.id);
    ensure!(pod.records()?.len() == 1, "records: {:?}", pod.records()?);
    match how {
        Leave::Orderly => {
            pod.del(topology)?;
            nothing_inside(&pod)?;
            pod.del(topology).context("again")?;
            pod.call(topology, "DEL", "")?.silent().context("again, without netns")?;
        }
        Leave::WithoutNetns => {
            pod.space.remove()?;
            pod.call(topology, "DEL", "")?.silent().context("without netns")?;
        }
        Leave::WithoutSecondary | Leave::WithoutPrimary => {
            let ifname = if how == Leave::WithoutPrimary { "eth0" } else { "net1" };
            pod.space.ip(&format!("link delete {ifname}"))?;
            pod.del(topology)?;
            nothing_inside(&pod)?;
        }
    }
    nothing_outside(topology, &pod, &host_ends)
}

/// Indices, on the node, of the other ends of the pod's pairs.
fn host_ends(pod: &Attachment) -> Result<Vec<u64>> {
    let links = pod.space.list("link show")?;
    Ok(links.iter().filter_map(|link| link["link_index"].as_u64()).collect())
}

/// The netns is as empty as it was.
pub(crate) fn nothing_inside(pod: &Attachment) -> Result<()> {
    let links = pod.space.list("link show")?;
    ensure!(links.iter().all(|link| link["ifname"] == "lo"), "interfaces are left: {links:?}");
    for family in ["-4", "-6"] {
        let rules = pod.space.list(&format!("{family} rule show"))?;
        ensure!(rules.len() <= 3, "{family}: rules are left: {rules:?}");
        for table in ["main", "1001", "1002"] {
            let mut routes = pod.space.list(&format!("{family} route show table {table}"))?;
            routes.retain(|route| route["dev"] != "lo");
            ensure!(routes.is_empty(), "{family}: routes are left in {table}: {routes:?}");
        }
    }
    Ok(())
}

fn nothing_outside(topology: &Topology, pod: &Attachment, host_ends: &[u64]) -> Result<()> {
    until("the end of the pairs", SOON, || {
        let links = topology.node.list("link show")?;
        let left = |link: &Value| link["ifindex"].as_u64().is_some_and(|index| host_ends.contains(&index));
        Ok((!links.iter().any(left)).then_some(()))
    })?;
    for family in ["-4", "-6"] {
        let routes = topology.node.list(&format!("{family} route show table all"))?;
        for address in pod.addresses() {
            let left = |route: &&Value| route["dst"] == address.to_string().as_str();
            ensure!(!routes.iter().any(|route| left(&route)), "the node has a route to {address}");
        }
        let rules = topology.node.list(&format!("{family} rule show"))?;
        for address in pod.addresses().iter().map(ToString::to_string) {
            let left = |rule: &Value| ["src", "dst"].iter().any(|key| rule[*key] == address.as_str());
            ensure!(!rules.iter().any(left), "the node has a rule for {address}: {rules:?}");
        }
    }
    let leases = leases(topology, pod)?;
    ensure!(leases.is_empty(), "leases are left: {leases:?}");
    ensure!(pod.records()?.is_empty(), "records are left: {:?}", pod.records()?);
    Ok(())
}

/// Leases that name the pod.
fn leases(topology: &Topology, pod: &Attachment) -> Result<Vec<Lease>> {
    let mut all = Vec::new();
    for network in fs::read_dir(topology.leases[usize::from(pod.node) - 1].path())? {
        all.extend(lab::host::leases::leases(&network?.path())?);
    }
    all.retain(|lease| lease.id == pod.id);
    Ok(all)
}
