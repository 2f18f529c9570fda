//! The tables of a pod after the route step.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::attachment::{Attachment, Home};
use crate::matrix::Case;
use crate::topology::Side;

/// Table and rule priority of the network attached first, and of the owner of the default route.
const TABLES: [u32; 2] = [1001, 1002];

/// Holds when interfaces, reply, defaults, rules, tables and CIDR routes are those of the case.
pub(crate) fn hold(case: &Case, pod: &Attachment, reply: &Value) -> Result<()> {
    addresses(case, pod, reply)?;
    for is_ipv4 in [true, false] {
        let family = if is_ipv4 { "-4" } else { "-6" };
        defaults(case, pod, is_ipv4).with_context(|| format!("defaults, {family}"))?;
        rules(case, pod, is_ipv4).with_context(|| format!("rules, {family}"))?;
        copies(case, pod, is_ipv4).with_context(|| format!("tables, {family}"))?;
        cidrs(case, pod, is_ipv4).with_context(|| format!("routes of cidrs, {family}"))?;
    }
    Ok(())
}

/// The pod's addresses of one side and family.
pub(crate) fn homes<'a>(
    case: &'a Case,
    pod: &'a Attachment,
    side: Side,
    is_ipv4: bool,
) -> impl Iterator<Item = &'a Home> {
    let network = case.network(side);
    pod.homes().iter().filter(move |home| home.address.is_ipv4() == is_ipv4 && network.owns(home.address))
}

/// Each side has one address per family on its own interface; the reply names those of the primary alone.
fn addresses(case: &Case, pod: &Attachment, reply: &Value) -> Result<()> {
    let mut replied = BTreeSet::new();
    for ip in reply["ips"].as_array().into_iter().flatten() {
        let text = ip["address"].as_str().context("an address")?;
        replied.insert(text.split('/').next().unwrap_or(text).parse::<IpAddr>()?);
    }
    let mut expected = 0;
    for side in Side::BOTH {
        for is_ipv4 in [true, false] {
            let homes: Vec<&Home> = homes(case, pod, side, is_ipv4).collect();
            let count = usize::from(case.families_of(side).has(is_ipv4));
            ensure!(homes.len() == count, "expected {count} addresses of {side:?}: {:?}", pod.homes());
            expected += count;
            for home in homes {
                ensure!(home.ifname == case.ifname(side), "{home:?} is not on {}", case.ifname(side));
                let named = replied.contains(&home.address);
                ensure!(named == (side == case.primary), "{home:?} in the reply {replied:?}");
            }
        }
    }
    ensure!(pod.homes().len() == expected, "addresses of no network: {:?}", pod.homes());
    Ok(())
}

fn routes(pod: &Attachment, is_ipv4: bool, table: &str) -> Result<Vec<Value>> {
    let family = if is_ipv4 { "-4" } else { "-6" };
    pod.space.list(&format!("{family} -details route show table {table}"))
}

fn is_default(route: &Value) -> bool {
    route["dst"] == "default" && route["type"] == "unicast"
}

/// One, by the owner's interface or else by the other's.
fn defaults(case: &Case, pod: &Attachment, is_ipv4: bool) -> Result<()> {
    let main = routes(pod, is_ipv4, "main")?;
    let defaults: Vec<&Value> = main.iter().filter(|route| is_default(route)).collect();
    match case.default_of(is_ipv4) {
        None => ensure!(defaults.is_empty(), "no network gives one: {defaults:?}"),
        Some(side) => {
            let right = defaults.len() == 1 && defaults[0]["dev"] == case.ifname(side);
            ensure!(right, "expected one by {}: {defaults:?}", case.ifname(side));
        }
    }
    Ok(())
}

/// One from each address for unmarked packets, to its own network's table, and nothing else beside the kernel's three.
fn rules(case: &Case, pod: &Attachment, is_ipv4: bool) -> Result<()> {
    let mut expected = BTreeSet::new();
    for (side, table) in [case.owner.other(), case.owner].into_iter().zip(TABLES) {
        for home in homes(case, pod, side, is_ipv4) {
            expected.insert((u64::from(table), home.address.to_string(), table.to_string()));
        }
    }
    let family = if is_ipv4 { "-4" } else { "-6" };
    let mut rules = BTreeSet::new();
    for rule in pod.space.list(&format!("{family} rule show"))? {
        let priority = rule["priority"].as_u64().context("a priority")?;
        if [0, 32766, 32767].contains(&priority) {
            continue;
        }
        let text = |key: &str| rule[key].as_str().unwrap_or_default().to_owned();
        ensure!(rule.get("srclen").is_none(), "a rule of a whole network: {rule}");
        // `ip` writes a mask only where it is not all bits.
        let is_for_unmarked = text("fwmark") == "0" && rule.get("fwmask").is_none();
        ensure!(is_for_unmarked, "a rule for packets with a mark: {rule}");
        rules.insert((priority, text("src"), text("table")));
    }
    ensure!(rules == expected, "expected {expected:?}: {rules:?}");
    Ok(())
}

/// Each table leads out by its network's interface alone, to all that main leads to by that interface, and to its default.
fn copies(case: &Case, pod: &Attachment, is_ipv4: bool) -> Result<()> {
    let main = routes(pod, is_ipv4, "main")?;
    for (side, table) in [case.owner.other(), case.owner].into_iter().zip(TABLES) {
        let ifname = case.ifname(side);
        let copies = routes(pod, is_ipv4, &table.to_string())?;
        if !case.families_of(side).has(is_ipv4) {
            let elsewhere = copies.iter().any(is_default);
            ensure!(!elsewhere, "{table} has a default of a network without this family: {copies:?}");
            continue;
        }
        ensure!(
            copies.iter().all(|route| route["dev"] == ifname),
            "{table} leads not by {ifname} alone: {copies:?}"
        );
        ensure!(
            copies.iter().filter(|route| is_default(route)).count() == 1,
            "{table} has no default: {copies:?}"
        );
        for route in main.iter().filter(|route| route["dev"] == ifname && route["protocol"] != "101") {
            let way = |route: &Value| ["dst", "gateway", "dev"].map(|key| route[key].clone());
            ensure!(copies.iter().any(|copy| way(copy) == way(route)), "{table} lacks {route}: {copies:?}");
        }
    }
    Ok(())
}

/// Main leads to each network's range by its interface, and tells the source address; in IPv6 it may leave that to the
/// kernel, which refuses an address that is not settled yet and takes the right one later, as the packets show.
fn cidrs(case: &Case, pod: &Attachment, is_ipv4: bool) -> Result<()> {
    let main = routes(pod, is_ipv4, "main")?;
    for side in Side::BOTH {
        let cidr = &case.network(side).cidrs()[usize::from(!is_ipv4)];
        let routes: Vec<&Value> = main.iter().filter(|route| route["dst"] == cidr.as_str()).collect();
        let Some(home) = homes(case, pod, side, is_ipv4).next() else {
            ensure!(routes.is_empty(), "a route to {cidr} without an address there: {routes:?}");
            continue;
        };
        let source = home.address.to_string();
        let has_source = |route: &Value| match route["prefsrc"].as_str() {
            Some(prefsrc) => prefsrc == source,
            None => !is_ipv4,
        };
        let right = routes.len() == 1
            && routes[0]["dev"] == home.ifname.as_str()
            && has_source(routes[0])
            && routes[0]["protocol"] == "101";
        ensure!(right, "expected one to {cidr} by {} from {source}: {routes:?}", home.ifname);
    }
    Ok(())
}
