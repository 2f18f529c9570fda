//! Routes to pods in the main table, and the commands that make them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::host::command::run_line;

/// `proto` of felix's routes.
const PROTOCOL: &str = "80";
/// `proto` of the kernel's own, such as that of link-local addresses.
const KERNEL: &str = "2";

/// Addresses behind each interface.
pub(super) type WantedRoutes = BTreeMap<String, BTreeSet<IpAddr>>;

/// Makes the main table lead to these addresses by these interfaces, and to nothing else by them.
///
/// An interface that is not named is not touched.
///
/// # Errors
/// What the kernel refuses, once all other changes are made.
pub(super) fn converge(wanted_routes: &WantedRoutes) -> Result<()> {
    for (family, is_ipv4) in [("-4", true), ("-6", false)] {
        let listed = run_line(&format!("ip -Numeric -json {family} route show table main"))?;
        let routes: Vec<Value> = match listed.trim() {
            "" => Vec::new(),
            text => serde_json::from_str(text).with_context(|| format!("routes: {text}"))?,
        };
        let changes = changes(wanted_routes, &routes, is_ipv4)?;
        if !changes.is_empty() {
            apply(family, &changes)?;
        }
    }
    Ok(())
}

/// Interfaces go whenever they like, with their routes; the next pass knows.
const GONE: [&str; 3] = ["Cannot find device", "RTNETLINK answers: No such process", "Command failed"];

fn apply(family: &str, changes: &str) -> Result<()> {
    let mut ip = Command::new("ip");
    ip.args([family, "-force", "-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = ip.spawn().context("start ip")?;
    child.stdin.take().context("stdin of ip")?.write_all(changes.as_bytes()).context("write to ip")?;
    let outcome = child.wait_with_output().context("wait for ip")?;
    let stderr = String::from_utf8_lossy(&outcome.stderr);
    let mut troubles = stderr.lines().filter(|line| !GONE.iter().any(|gone| line.starts_with(gone)));
    match troubles.next() {
        Some(trouble) => bail!("ip {family}: {trouble}: one of {changes}"),
        None => Ok(()),
    }
}

/// Drops what is for an address of the node's that no pod has.
///
/// # Errors
/// What the kernel refuses.
pub(super) fn blackhole(block: &str) -> Result<()> {
    let family = if block.contains(':') { "-6" } else { "-4" };
    run_line(&format!("ip {family} route replace blackhole {block} proto {PROTOCOL}")).map(drop)
}

/// Lines for `ip -batch`.
fn changes(wanted_routes: &WantedRoutes, routes: &[Value], is_ipv4: bool) -> Result<String> {
    let (length, scope) = if is_ipv4 { ("/32", "scope link") } else { ("/128", "") };
    let mut changes = String::new();
    for (interface, addresses) in wanted_routes {
        let addresses: BTreeSet<String> = addresses
            .iter()
            .filter(|address| address.is_ipv4() == is_ipv4)
            .map(ToString::to_string)
            .collect();
        let mut missing = addresses.clone();
        for route in routes.iter().filter(|route| route["dev"] == interface.as_str()) {
            let text = |key: &str| route[key].as_str().unwrap_or_default();
            let (destination, protocol) = (text("dst"), text("protocol"));
            match addresses.contains(destination) {
                // One of the plugin's is replaced below, without a moment in which there is none.
                true if protocol != PROTOCOL => {}
                true => drop(missing.remove(destination)),
                false if protocol == KERNEL => {}
                false => writeln!(changes, "route delete {destination} dev {interface}")?,
            }
        }
        // Another route to that very address in this table is lost.
        for address in missing {
            writeln!(changes, "route replace {address}{length} dev {interface} {scope} proto {PROTOCOL}")?;
        }
    }
    Ok(changes)
}
