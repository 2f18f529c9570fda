//! Leftovers on the nodes: files, rules, routes.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::placement;
use super::report::Leftovers;
use super::strategy::Network;
use crate::host::fabric::Overlay;
use crate::host::node::Node;

/// What is still on these nodes of two networks.
///
/// # Errors
/// It cannot be read.
pub(super) fn gather(nodes: &[Node], overlay: impl Fn(Network) -> Overlay) -> Result<Leftovers> {
    let mut leftovers = Leftovers::default();
    for node in nodes {
        let files = |inside: &str| count_files(&node.outside(inside));
        leftovers.leases += u64::try_from(placement::leases(node, &overlay)?.len())?;
        leftovers.records += files("/var/lib/crossfade/attachments")? + files("/var/lib/crossfade/damaged")?;
        leftovers.netns += files("/run/netns")?;
        leftovers.inventory += inventory_entries(node)?;
        leftovers.port_rules += port_rules(node)?;
        leftovers.host_routes += host_routes(node)?;
    }
    Ok(leftovers)
}

/// How many sandboxes the inventory that `install` took still holds.
fn inventory_entries(node: &Node) -> Result<u64> {
    let path = node.outside("/var/lib/crossfade/inventory.json");
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        text => text.with_context(|| format!("reading {}", path.display()))?,
    };
    let inventory: Value =
        serde_json::from_str(&text).with_context(|| format!("parsing {}", path.display()))?;
    let entries = inventory["attachments"].as_array().context("an inventory without attachments")?;
    Ok(u64::try_from(entries.len())?)
}

/// How many of the rules and chains that portmap makes for one pod are there.
fn port_rules(node: &Node) -> Result<u64> {
    let saved = node.run(&["iptables-save", "-t", "nat"])?;
    Ok(u64::try_from(saved.lines().filter(|line| line.contains("CNI-DN-")).count())?)
}

/// How many host routes of Crossfade's, and rules to them, are there.
///
/// # Errors
/// `ip` fails.
pub fn host_routes(node: &Node) -> Result<u64> {
    let routes = node.run(&["ip", "route", "show", "table", "all"])?;
    let rules = node.run(&["ip", "rule", "show"])?;
    let own = routes.lines().filter(|line| line.contains("table 1003 "));
    let own = own.chain(rules.lines().filter(|line| line.starts_with("1003:")));
    Ok(u64::try_from(own.count())?)
}

fn count_files(directory: &Path) -> Result<u64> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        entries => entries.with_context(|| format!("reading {}", directory.display()))?,
    };
    let mut files = 0;
    for entry in entries {
        let entry = entry?;
        files += if entry.file_type()?.is_dir() { count_files(&entry.path())? } else { 1 };
    }
    Ok(files)
}
