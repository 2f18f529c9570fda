//! Datapaths on which packets pass, at once or later.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use lab::host::deadline::{LIMIT, until};
use lab::host::fabric::Overlay;
use lab::standin::stub::{Reply, Stub, StubDir};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::bench::{Bench, FIRST, PEER, SECOND, on};

/// Both families and protocols, all paths, and packets that fill the interface.
pub(crate) fn everything_passes_in_both_families_and_nothing_is_left() -> Result<()> {
    let bench = Bench::new()?;
    let _dns = bench.dns()?;
    let (text, result) = bench.prove(0)?;
    let packets = &result["packets"];
    ensure!(result["by"] == "packet" && packets["reason"] == "passed", "{result:#}");
    ensure!(packets["notes"] == json!([]) && packets["settledMillis"].is_u64(), "{result:#}");
    let all = packets["exchanges"].as_array().context("exchanges")?;
    ensure!(all.iter().all(|exchange| exchange["outcome"] == "passed"), "{result:#}");
    // Pods both ways and the node to a pod, by UDP and TCP, over IPv4 and IPv6. The node has no IPv6 address but the network's own.
    let counts = ["podToPod", "nodeToPod", "podToDns", "podToPeer"].map(|path| on(packets, path).len());
    ensure!(counts == [8, 4, 1, 1] && on(packets, "podToNode").len() >= 2, "{counts:?}: {result:#}");
    let sizes: BTreeSet<_> = all.iter().filter_map(|exchange| exchange["passes"].as_u64()).collect();
    ensure!(sizes == [u64::from(Overlay::MTU)].into(), "{sizes:?}");
    let sized = all.iter().filter(|exchange| exchange["mtu"].is_u64()).count();
    ensure!(sized == 7, "{sized} sizes: {result:#}");
    ensure!(on(packets, "podToPeer")[0]["to"] == PEER && text.contains("packets passed"), "{text}");
    Ok(())
}

/// A bridge with host-local behind it, as Flannel makes them, in one family.
pub(crate) fn a_bridge_passes_as_well() -> Result<()> {
    let bench = Bench::new()?;
    let _dns = bench.dns()?;
    bench.network("flannel", &bench.old.conflist(1)["plugins"])?;
    let (_, result) = bench.prove(0)?;
    let packets = &result["packets"];
    let counts =
        ["podToPod", "nodeToPod", "podToNode", "podToDns", "podToPeer"].map(|path| on(packets, path).len());
    ensure!(counts == [4, 2, 2, 1, 1] && packets["notes"] == json!([]), "{result:#}");
    ensure!(on(packets, "podToPod")[0]["passes"] == Overlay::MTU, "{result:#}");
    Ok(())
}

/// An agent is ready, and its datapath is not: the proof goes on until packets pass.
pub(crate) fn a_datapath_that_comes_late_is_waited_for() -> Result<()> {
    let bench = Bench::new()?;
    let _dns = bench.dns()?;
    bench.block("iptables")?;
    bench.block("ip6tables")?;
    let proof = bench.node().background("prove", &bench.command()?)?;
    until("packets that are dropped", LIMIT, || Ok((bench.blocked()? > 8).then_some(())))?;
    bench.unblock("iptables")?;
    bench.unblock("ip6tables")?;
    until("the result", LIMIT, || Ok(bench.result().ok()))?;
    let result = bench.result()?;
    ensure!(result["packets"]["reason"] == "passed" && result.get("failed").is_none(), "{result:#}");
    // The first round of exchanges was lost, whose wait is 400 ms.
    ensure!(result["packets"]["settledMillis"].as_u64() >= Some(400), "{result:#}");
    drop(proof);
    bench.expect_nothing()
}

/// A proof that is killed while it exchanges packets: the next one ends both attachments, then proves.
pub(crate) fn what_a_killed_proof_left_is_ended_by_the_next() -> Result<()> {
    let bench = Bench::new()?;
    bench.block("iptables")?;
    bench.block("ip6tables")?;
    let proof = bench.node().background("prove", &bench.command()?)?;
    until("packets that are dropped", LIMIT, || Ok((bench.blocked()? > 0).then_some(())))?;
    proof.signal(Signal::SIGKILL)?;
    drop(proof);
    ensure!(bench.leases()? == 4, "{} leases: the killed proof left nothing to end", bench.leases()?);
    bench.unblock("iptables")?;
    bench.unblock("ip6tables")?;
    let (_, result) = bench.prove(0)?;
    ensure!(result["packets"]["reason"] == "passed", "{result:#}");
    Ok(())
}

/// Cilium's policy lets only the node reach an attachment without a Pod, also where Cilium ends another CNI's chain.
pub(crate) fn a_cni_that_filters_is_asked_for_what_it_lets_pass() -> Result<()> {
    let bench = Bench::new()?;
    let stubs = StubDir::on(bench.node(), lab::install::crossfade::BIN_DIR)?;
    stubs.write("cilium-cni", &Stub::answering(Reply::pass()))?;
    let mut plugins = bench.plugins();
    plugins.as_array_mut().context("plugins")?.push(json!({ "type": "cilium-cni" }));
    // As that policy does.
    Bench::rule(bench.node(), "iptables", "-I FORWARD -j DROP")?;
    Bench::rule(bench.node(), "ip6tables", "-I FORWARD -j DROP")?;
    for profile in ["flannel", "cilium"] {
        bench.network(profile, &plugins)?;
        let packets = bench.expect_note(&["not tried", "pod to pod, pod to node, pod to DNS"])?;
        let tried = packets["exchanges"].as_array().context("exchanges")?;
        ensure!(tried.len() == 4 && on(&packets, "nodeToPod").len() == 4, "{packets:#}");
    }
    // Where that policy is off, node.json asks for more.
    bench.settings(json!({ "packets": { "dns": [], "paths": ["nodeToPod", "podToPod"] } }))?;
    bench.expect_failure("pods", &["pod to pod"]).map(drop)
}

/// A proof by attachment, as before there were packets; and DNS and other nodes left out.
pub(crate) fn node_json_may_ask_for_less() -> Result<()> {
    let bench = Bench::new()?;
    bench.settings(json!({ "packets": { "dns": [], "peers": [] } }))?;
    let packets = bench.expect_note(&["pod to DNS: node.json says so"])?;
    ensure!(on(&packets, "podToDns").is_empty() && on(&packets, "podToPeer").is_empty(), "{packets:#}");
    // Without a unit of kubelet nothing names a server.
    bench.settings(json!({ "packets": { "peers": [format!("{PEER}:9")] } }))?;
    let packets = bench.expect_note(&["pod to DNS", "packets.dns"])?;
    ensure!(on(&packets, "podToPeer")[0]["outcome"] == "refused", "{packets:#}");
    bench.block("iptables")?;
    bench.settings(json!({ "proof": "attach" }))?;
    let (_, result) = bench.prove(0)?;
    ensure!(result["by"] == "attach" && result.get("packets").is_none(), "{result:#}");
    let text = fs::read_to_string(bench.node().outside("/run/crossfade/proof/old/answers.log"))?;
    ensure!(!text.contains(FIRST) || !text.contains(SECOND), "two attachments: {text}");
    Ok(())
}

/// A node whose addresses are all but given away: one attachment shows what it can.
pub(crate) fn a_second_attachment_may_be_refused() -> Result<()> {
    let bench = Bench::new()?;
    let _dns = bench.dns()?;
    let mut plugins = bench.plugins();
    plugins[0]["ipam"]["ranges"][0][0]["rangeStart"] = json!(FIRST);
    plugins[0]["ipam"]["ranges"][0][0]["rangeEnd"] = json!(FIRST);
    bench.network("flannel", &plugins)?;
    let packets =
        bench.expect_note(&["not tried: pod to pod: a second scratch attachment was refused: ADD"])?;
    let counts = ["podToPod", "nodeToPod", "podToDns", "podToPeer"].map(|path| on(&packets, path).len());
    ensure!(counts == [0, 4, 1, 1], "{packets:#}");
    Ok(())
}
