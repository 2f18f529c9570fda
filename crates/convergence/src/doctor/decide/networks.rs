//! Findings about the policy's networks and their agents.

use types::packets::PacketReason;
use types::policy::Side;
use types::status::ProofState;

use crate::doctor::code::Code;
use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;
use crate::node::networks::readiness::{ConfError, NetworkReadiness};

pub fn all(facts: &Facts) -> Vec<Finding> {
    let needed = facts.networks.iter().filter(|network| network.needed);
    let mut findings: Vec<Finding> = needed.filter_map(|network| unready(facts, network)).collect();
    findings.extend(proofs(facts));
    findings.extend(degraded_networks(facts));
    findings.extend(unkept(facts));
    findings
}

/// Why networks that pods may get are not ready, one line for each.
pub fn unready_networks(facts: &Facts) -> Vec<String> {
    let needed = facts.networks.iter().filter(|network| network.needed);
    needed
        .filter_map(|network| Some(format!("network {}: {}", network.side, network.unready_reason()?)))
        .collect()
}

/// The first reason why a network could not attach a pod.
fn unready(facts: &Facts, network: &NetworkReadiness) -> Option<Finding> {
    let NetworkReadiness { side, profile, .. } = network;
    let agent = format!("its agent on this node: {}", agents(facts));
    let finding = |code, cause: &str, why: &str| {
        Finding::new(code, cause).with_objects([format!("network {side} ({profile})")]).with_evidence([why])
    };
    Some(match (&network.conf, network.missing.as_slice(), &network.probes) {
        (Err(ConfError::Absent(why)), _, _) => {
            let cause = "a network that pods get has no conf yet, because its agent has not written it: each ADD answers 11 (try again later)";
            finding(Code::NetworkWithoutConf, cause, why)
                .run(agents(facts), "lists the pods of this node; look whether the agent runs")
        }
        (Err(ConfError::Broken(why)), _, _) => {
            let cause = "the conf of a network that pods get cannot be used: each ADD fails with code 7";
            finding(Code::NetworkConfBroken, cause, why)
                .with_manual_step(format!("let the network's agent write its conf anew: delete {agent}"))
                .run("crossfade-bootstrap doctor", "says whether the conf can be used then")
        }
        (Ok(_), [why, ..], _) => {
            let cause = "a plugin of a network that pods get cannot be used: each ADD fails with code 101 before any plugin runs";
            finding(Code::NetworkPluginMissing, cause, why)
                .with_evidence(network.missing.iter().skip(1).map(String::as_str))
                .with_manual_step("install the plugin where the runtime looks for it: the agent's init container does that at its start")
                .run(agents(facts), "lists the pods of this node; delete the agent's, so that it installs its plugins")
        }
        (Ok(_), [], Err(why)) => {
            let cause = "a network that pods get is not ready: a probe of its agent does not hold, so an ADD may answer 11 (try again later)";
            finding(Code::NetworkNotReady, cause, why)
                .run(agents(facts), "lists the pods of this node; look whether the agent is ready")
        }
        (Ok(_), [], Ok(())) => return None,
    })
}

/// The command that lists the node's pods, agents among them.
fn agents(facts: &Facts) -> String {
    format!("kubectl get pods --all-namespaces --field-selector spec.nodeName={}", facts.node_name())
}

/// Networks that pods get although their proof finds no DNS server or no other node, by the report of `watch`.
fn degraded_networks(facts: &Facts) -> Vec<Finding> {
    let networks = facts.status_document().map(|report| report.networks.as_slice()).unwrap_or_default();
    let degraded = networks.iter().filter(|network| network.proof == ProofState::Degraded);
    let finding = |network: &types::status::Network| {
        let side = network.network;
        let cause = "two scratch attachments of the network exchange packets on this node, and do not reach the cluster: pods start, and lack what watch names";
        let words = network.packets.as_ref().map_or("the proof failed", |packets| packets.reason.words());
        let targets = "shows who was asked and what came back; packets in node.json names others, or fewer";
        Finding::new(Code::ProofDegraded, cause)
            .with_objects([format!("network {side} ({})", network.profile)])
            .with_evidence([format!("watch: {words}")])
            .run(format!("cat /run/crossfade/proof/{side}.json"), targets)
    };
    degraded.map(finding).collect()
}

/// Networks whose proof failed, by the report of `watch`.
fn proofs(facts: &Facts) -> Vec<Finding> {
    let networks = facts.status_document().map(|report| report.networks.as_slice()).unwrap_or_default();
    let failed = networks.iter().filter(|network| network.proof == ProofState::Failed);
    let finding = |network: &types::status::Network| {
        let side = network.network;
        let cause = match &network.packets {
            Some(packets) if packets.reason != PacketReason::Passed => {
                "watch attached scratch namespaces to the network, and they do not exchange packets as pods must, although its probes hold"
            }
            _ => {
                "watch attached a scratch namespace to the network, and that failed, although its probes hold: a pod would fail as well"
            }
        };
        Finding::new(Code::ProofFailed, cause)
            .with_objects([format!("network {side} ({})", network.profile)])
            .with_evidence([format!("watch: {}", network.why.as_deref().unwrap_or("the proof failed"))])
            .run(
                format!("cat /run/crossfade/proof/{side}/answers.log"),
                "has what the plugins said; only root can read it",
            )
            .run(format!("journalctl --unit=crossfade-prove-{side} --lines=50"), "has the steps of the proof")
            .run(
                format!("cat /run/crossfade/proof/{side}.json"),
                "has every exchange of packets, if there were any",
            )
    };
    failed.map(finding).collect()
}

/// Networks whose pods wait for a file, while no `watch` runs that would keep it.
fn unkept(facts: &Facts) -> Option<Finding> {
    if facts.status_document().is_some() {
        return None;
    }
    let waits = |network: &&NetworkReadiness| network.needed && matches!(network.waits_for, Some((_, false)));
    let waiting: Vec<&NetworkReadiness> = facts.networks.iter().filter(waits).collect();
    if waiting.is_empty() {
        return None;
    }
    let sides: Vec<Side> = waiting.iter().map(|network| network.side).collect();
    let files = waiting.iter().filter_map(|network| network.waits_for.as_ref());
    let cause = "pods wait for a file that watch keeps while the agent is ready, and no watch runs: each ADD answers 11 (try again later)";
    let finding = Finding::new(Code::FileUnkept, cause)
        .with_objects(sides.iter().map(|side| format!("network {side}")));
    let finding = finding.with_evidence(files.map(|(file, _)| format!("{} is missing", file.display())));
    Some(
        finding.run(
            "systemctl start crossfade-watch",
            "asks the agent, and writes the file if the agent is ready",
        ),
    )
}
