//! Datapaths that are wrong on the node itself: no pod may get them.

use anyhow::{Context, Result, ensure};
use lab::host::fabric::Overlay;
use serde_json::json;

use crate::bench::{Bench, FIRST, SECOND, on};

pub(crate) fn nothing_passes() -> Result<()> {
    let bench = Bench::new()?;
    bench.block("iptables")?;
    bench.block("ip6tables")?;
    let packets = bench.expect_failure("silent", &["no packet arrives (pod to pod, node to pod)"])?;
    ensure!(packets["settledMillis"].is_null(), "{packets:#}");
    Ok(())
}

pub(crate) fn packets_in_one_direction_only() -> Result<()> {
    let bench = Bench::new()?;
    Bench::rule(bench.node(), "iptables", &format!("-I FORWARD -s {SECOND} -d {FIRST} -j DROP"))?;
    let words = format!("from {FIRST} to {SECOND}, and not from {SECOND} to {FIRST}");
    bench.expect_failure("oneWay", &["IPv4", &words]).map(drop)
}

pub(crate) fn one_family_only() -> Result<()> {
    let bench = Bench::new()?;
    bench.block("ip6tables")?;
    bench.expect_failure("family", &["no IPv6 packet arrives, and IPv4 packets do"]).map(drop)
}

pub(crate) fn the_node_reaches_pods_that_do_not_reach_each_other() -> Result<()> {
    let bench = Bench::new()?;
    Bench::rule(bench.node(), "iptables", "-I FORWARD -d 10.244.1.0/24 -s 10.244.1.0/24 -j DROP")?;
    bench.expect_failure("pods", &["no IPv4 packet arrives from pod to pod"]).map(drop)
}

pub(crate) fn udp_without_tcp() -> Result<()> {
    let bench = Bench::new()?;
    Bench::rule(bench.node(), "iptables", "-I FORWARD -p tcp -j DROP")?;
    bench.expect_failure("protocol", &["IPv4", "TCP does not pass", "and UDP does"]).map(drop)
}

/// The interfaces have a larger MTU than what passes, and no ICMP error announces the smaller one.
pub(crate) fn large_packets_are_lost() -> Result<()> {
    let bench = Bench::new()?;
    Bench::rule(bench.node(), "iptables", "-I FORWARD -m length --length 1401:65535 -j DROP")?;
    let packets =
        bench.expect_failure("mtu", &["packets of 1450 bytes", "the largest that passes has 1400 bytes"])?;
    for exchange in on(&packets, "podToPod").into_iter().filter(|exchange| exchange["protocol"] == "udp") {
        let is_v4 = exchange["to"].as_str().is_some_and(|to| !to.contains(':'));
        let expected = if is_v4 { 1400 } else { Overlay::MTU };
        ensure!(exchange["passes"] == expected && exchange["announced"] == false, "{packets:#}");
    }
    Ok(())
}

/// The pods' interfaces say more than the node's ends of them take.
pub(crate) fn an_interface_says_more_than_its_other_end() -> Result<()> {
    let bench = Bench::new()?;
    let mut plugins = bench.plugins();
    plugins[0]["mtu"] = json!(1400);
    plugins.as_array_mut().context("plugins")?.push(json!({ "type": "tuning", "mtu": Overlay::MTU }));
    bench.network("flannel", &plugins)?;
    let packets =
        bench.expect_failure("mtu", &["packets of 1450 bytes", "the largest that passes has 1400 bytes"])?;
    ensure!(on(&packets, "podToPod")[0]["announced"] == false, "{packets:#}");
    Ok(())
}

/// It may be meant so, and pods need no connection to their node.
pub(crate) fn a_firewall_of_the_node_is_noted() -> Result<()> {
    let bench = Bench::new()?;
    let _dns = bench.dns()?;
    Bench::rule(bench.node(), "iptables", "-I INPUT -d 192.0.2.1 -s 10.244.1.0/24 -j DROP")?;
    let packets = bench.expect_note(&["cannot open connections to the node at 192.0.2.1", "firewall"])?;
    ensure!(on(&packets, "podToNode")[0]["outcome"] == "silent", "{packets:#}");
    Ok(())
}
