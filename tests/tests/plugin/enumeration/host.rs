//! The host of one miniature: a network namespace in which its shim, its stubs and its sweep run, so that no miniature meets another's host
//! routes.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result};
use lab::{case::invariants::host_routes, host::netns::Netns};

use crate::delegates::{NEW, OLD};

/// The interface by which the host has its way to the pods of `oldnet`.
const BRIDGE: &str = "cni0";

/// A rule that no attachment has: the shim's by its numbers, as of a record that was lost.
const STALE_ADDRESS: &str = "10.9.9.9";

/// The host of one miniature.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) netns: Netns,
}

impl Host {
    /// A host that reaches the primary's addresses by a subnet's route on a bridge. That stays when a pod's interface goes, so
    /// the kernel does not tidy up behind the shim.
    pub(crate) fn new(dir: &Path) -> Result<Self> {
        let netns = Netns::new()?;
        let batch = dir.join("host.ip");
        fs::write(
            &batch,
            format!(
                "link add {BRIDGE} type bridge\nlink set {BRIDGE} up\nroute add 10.1.0.0/16 dev {BRIDGE}\n"
            ),
        )?;
        netns
            .ip(&format!("-batch {}", batch.display()))
            .context("the host's way to the primary's addresses")?;
        Ok(Self { netns })
    }

    /// Runs a program in place, on this host.
    pub(crate) fn wrapper(&self) -> [String; 2] {
        ["nsenter".to_owned(), format!("--net={}", self.netns.path().display())]
    }

    /// Removes the pod's host routes, as an interface loses them that is down for a moment, and adds a rule to an address that no pod has.
    pub(crate) fn lose_routes(&self) -> Result<()> {
        // One by one: a flush trips over those of the stale pod, which go with its netns meanwhile.
        for address in [OLD, NEW] {
            self.netns.ip(&format!("route del {address} table 1003"))?;
        }
        self.netns.ip(&format!("rule add to {STALE_ADDRESS} lookup 1003 priority 1003")).map(drop)
    }

    /// What is wrong with the host routes of a pod that lives; its second interface has this name out here.
    pub(crate) fn not_whole(&self, second: &str) -> Result<Vec<String>> {
        let expected: BTreeSet<String> = [
            format!("route to {OLD} dev {BRIDGE}"),
            format!("rule to {OLD}"),
            format!("route to {NEW} dev {second}"),
            format!("rule to {NEW}"),
        ]
        .into();
        let routes = host_routes(&self.netns)?;
        let lacking = expected.difference(&routes).map(|route| format!("no {route}"));
        let stale = routes.iter().filter(|route| route.ends_with(STALE_ADDRESS)).cloned();
        Ok(lacking.chain(stale).collect())
    }

    /// The host routes of the pod, which has been deleted.
    pub(crate) fn left(&self) -> Result<Vec<String>> {
        let pods = [format!("to {OLD}"), format!("to {NEW}")];
        let is_pods = |route: &String| {
            let (address, _device) = route.split_once(" dev ").unwrap_or((route, ""));
            pods.iter().any(|to| address.ends_with(to))
        };
        Ok(host_routes(&self.netns)?.into_iter().filter(is_pods).collect())
    }
}
