//! Proofs by packets, started by `watch`: our conf comes once packets pass.

use anyhow::{Context, Result, ensure};
use lab::host::deadline::{LIMIT, until};
use lab::scene::{NODE_JSON, end};
use serde_json::{Value, json};

use crate::proving::Proving;

/// No host has this address.
const UNUSED_ADDRESS: &str = "192.0.2.77";

/// A network that the node routes, so that its firewall sees the packets of pods.
fn routed(settings: Value) -> Result<Proving> {
    let lab = Proving::with(settings)?;
    let mut conflist = lab.scene.old.conflist_with(1, &["spy"]);
    conflist["plugins"][0]["type"] = json!("ptp");
    lab.scene.crossfade.network(&lab.scene.old, &conflist)?;
    Ok(lab)
}

fn firewall(lab: &Proving, verb: &str) -> Result<()> {
    for chain in ["FORWARD", "OUTPUT"] {
        lab.scene.node().run(&["iptables", "-w", verb, chain, "-d", "10.244.1.0/24", "-j", "DROP"])?;
    }
    Ok(())
}

/// How many packets between pods it dropped.
fn dropped(lab: &Proving) -> Result<u64> {
    let table = lab.scene.node().run(&["iptables", "-w", "-nvxL", "FORWARD"])?;
    let rule = table.lines().nth(2).context("the rule")?;
    Ok(rule.split_whitespace().next().context("its counter")?.parse()?)
}

/// An agent whose probes hold and whose datapath comes later: no conf before packets pass.
pub(crate) fn our_conf_comes_once_packets_pass() -> Result<()> {
    let lab = routed(json!({}))?;
    firewall(&lab, "-I")?;
    let watch = lab.watch()?;
    lab.ready(true)?;
    until("packets that are dropped", LIMIT, || Ok((dropped(&lab)? > 0).then_some(())))?;
    let status = lab.expect_proof("running")?;
    ensure!(status["reason"] == "WaitingForNetwork" && !lab.scene.ours().exists(), "{status:#}");
    // What a proof holds is no leak.
    let leaks = lab.scene.run_expecting(&["attachments", "--leaks"], 0)?;
    ensure!(!leaks.contains("crossfade-proof"), "{leaks}");
    ensure!(lab.scene.old.leases(lab.scene.node())?.len() == 2, "the proof has ended meanwhile");
    firewall(&lab, "-D")?;
    let status = lab.expect_proof("passed")?;
    lab.scene.expect_reason("NetworkReady")?;
    lab.scene.expect_loaded("crossfade")?;
    let packets = &status["networks"][0]["packets"];
    ensure!(packets["reason"] == "passed" && packets["settledMillis"].is_u64(), "{status:#}");
    let verbs: Vec<String> = lab.log().calls()?.iter().map(|call| call.verb().to_owned()).collect();
    ensure!(verbs == ["ADD", "CHECK", "ADD", "CHECK", "DEL", "DEL"], "{verbs:?}");
    lab.expect_nothing()?;
    let text = lab.scene.run_expecting(&["status"], 0)?;
    ensure!(text.contains("proof of old") && text.contains("passed by packets"), "{text}");
    end(watch)?;
    // The next watch of this boot takes its word.
    let watch = lab.watch()?;
    lab.scene.expect_reason("NetworkReady")?;
    ensure!(lab.log().calls()?.len() == 6, "proven again");
    end(watch)
}

/// No DNS server answers: a network that was not ready yet waits for them; for one that was ready that is a finding, and no pod waits.
pub(crate) fn silent_dns_keeps_a_new_network_waiting_and_no_ready_one() -> Result<()> {
    let settings = |lab: &Proving, dns: &[&str]| -> Result<()> {
        let file = lab.scene.outside(NODE_JSON);
        let mut settings: Value = serde_json::from_slice(&std::fs::read(file)?)?;
        settings["packets"] = json!({ "dns": dns });
        lab.scene.node().write(NODE_JSON, settings.to_string())
    };
    const METRICS: &str = "/run/crossfade.prom";
    let report = json!({ "node": false, "textfile": METRICS });
    let lab = routed(json!({ "packets": { "dns": [UNUSED_ADDRESS] }, "report": report }))?;
    let watch = lab.watch()?;
    lab.ready(true)?;
    let status = lab.expect_proof("failed")?;
    ensure!(status["message"].to_string().contains("no DNS server answers"), "{status:#}");
    ensure!(status["networks"][0]["packets"]["reason"] == "dns" && !lab.scene.ours().exists(), "{status:#}");
    settings(&lab, &[])?;
    lab.ready(false)?;
    lab.ready(true)?;
    lab.expect_proof("passed")?;
    lab.scene.expect_reason("NetworkReady")?;
    settings(&lab, &[UNUSED_ADDRESS])?;
    lab.ready(false)?;
    lab.ready(true)?;
    let status = lab.expect_proof("degraded")?;
    ensure!(status["reason"] == "NetworkReady" && status["ready"] == true, "{status:#}");
    ensure!(status["findings"].to_string().contains("no DNS server answers"), "{status:#}");
    until("its metric", LIMIT, || {
        let metrics = std::fs::read_to_string(lab.scene.outside(METRICS)).unwrap_or_default();
        let degraded = "crossfade_network_proof_degraded{network=\"old\"} 1";
        Ok(metrics.lines().any(|line| line == degraded).then_some(()))
    })?;
    let text: Value = serde_json::from_str(&lab.scene.run_expecting(&["doctor", "--output", "json"], 3)?)?;
    let findings = text["findings"].as_array().cloned().unwrap_or_default();
    ensure!(findings.iter().any(|finding| finding["code"] == "proof-degraded"), "{text:#}");
    lab.expect_nothing()?;
    end(watch)
}
