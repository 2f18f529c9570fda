//! Packets that pass on the node, and not to DNS servers or other nodes.

use anyhow::{Result, ensure};

use crate::bench::{Bench, PEER, on};

pub(crate) fn a_silent_dns_server() -> Result<()> {
    let bench = Bench::new()?;
    Bench::rule(bench.other(), "iptables", "-I INPUT -p udp --dport 53 -j DROP")?;
    let packets = bench.expect_failure("dns", &["no DNS server answers a pod", PEER])?;
    ensure!(packets["settledMillis"].is_u64(), "the node's own packets pass: {packets:#}");
    Ok(())
}

/// As kube-proxy answers for a Service without endpoints.
pub(crate) fn a_dns_server_that_refuses_is_noted() -> Result<()> {
    let bench = Bench::new()?;
    Bench::rule(bench.other(), "iptables", "-I INPUT -p udp --dport 53 -j REJECT")?;
    let packets = bench.expect_note(&[PEER, "refuses", "no DNS pod is ready"])?;
    ensure!(on(&packets, "podToDns")[0]["outcome"] == "refused", "{packets:#}");
    Ok(())
}

pub(crate) fn no_other_node_answers() -> Result<()> {
    let bench = Bench::new()?;
    let _dns = bench.dns()?;
    Bench::rule(bench.other(), "iptables", "-I INPUT -p icmp -j DROP")?;
    bench.expect_failure("peers", &["no other node answers a pod over IPv4", PEER]).map(drop)
}

pub(crate) fn large_packets_are_lost_on_the_way_to_another_node() -> Result<()> {
    let bench = Bench::new()?;
    let _dns = bench.dns()?;
    Bench::rule(bench.other(), "iptables", "-I INPUT -p icmp -m length --length 1381:65535 -j DROP")?;
    bench.expect_failure("peerMtu", &["1450 bytes", PEER, "has 1380 bytes"]).map(drop)
}

/// The node says to the pod what passes, so that its connections adapt.
pub(crate) fn a_smaller_size_that_is_announced_is_noted() -> Result<()> {
    let bench = Bench::new()?;
    let _dns = bench.dns()?;
    bench.node().run(&["ip", "link", "set", &bench.old.device(), "mtu", "1380"])?;
    let packets = bench.expect_note(&[PEER, "1380 bytes pass, not the 1450"])?;
    ensure!(on(&packets, "podToPeer")[0]["announced"] == true, "{packets:#}");
    Ok(())
}
