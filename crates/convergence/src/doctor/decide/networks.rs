//! Findings about the policy's networks and their agents.

use types::packets::PacketReason;
use types::policy::Side;
use types::status::ProofState;

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;
use crate::doctor::rule::{Rule, Severity, Symptom};
use crate::node::networks::readiness::{ConfError, NetworkReadiness};

pub const RULES: &[&Rule] = &[
    &NETWORK_WITHOUT_CONF,
    &NETWORK_CONF_BROKEN,
    &NETWORK_PLUGIN_MISSING,
    &NETWORK_NOT_READY,
    &PROOF_FAILED,
    &FILE_UNKEPT,
    &PROOF_DEGRADED,
];

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

const NETWORK_WITHOUT_CONF: Rule = Severity::Error.rule(
    Symptom::PodsDoNotStart,
    "network-without-conf",
    "The agent of a network that pods get has not written its conf.",
    "a network that pods get has no conf yet, because its agent has not written it: each ADD answers 11 (try again later)",
    "Look whether the agent's pod runs on this node, and at its log. If the conf has another name on your nodes, correct `networks.old.conf` or `networks.new.conf` of the policy.",
);

const NETWORK_CONF_BROKEN: Rule = Severity::Error.rule(
    Symptom::PodsDoNotStart,
    "network-conf-broken",
    "The conf of a network is no valid conf, or another user than root could change it.",
    "the conf of a network that pods get cannot be used: each ADD fails with code 7",
    "Delete the agent's pod, so that the agent writes the file anew.",
);

const NETWORK_PLUGIN_MISSING: Rule = Severity::Error.rule(
    Symptom::PodsDoNotStart,
    "network-plugin-missing",
    "A plugin that the network's conf names is not where the runtime looks for plugins, or it is not root's alone.\n\n\
     The ADD fails before any plugin runs, so nothing is left to undo.",
    "a plugin of a network that pods get cannot be used: each ADD fails with code 101 before any plugin runs",
    "Delete the agent's pod: agents install their plugins when their pod starts.",
);

const NETWORK_NOT_READY: Rule = Severity::Error.rule(
    Symptom::PodsDoNotStart,
    "network-not-ready",
    "A probe of the network does not hold, so its agent is not ready.\n\n\
     Pods that run are not affected.",
    "a network that pods get is not ready: a probe of its agent does not hold, so an ADD may answer 11 (try again later)",
    "Look whether the agent is ready. If it listens elsewhere on your nodes, name its probes in the policy ([An agent on another port](node.md#what-a-profile-adds-to-the-policy)).",
);

/// The first reason why a network could not attach a pod.
fn unready(facts: &Facts, network: &NetworkReadiness) -> Option<Finding> {
    let NetworkReadiness { side, profile, .. } = network;
    let agent = format!("its agent on this node: {}", agents(facts));
    let finding = |rule, why: &str| {
        Finding::new(rule).with_objects([format!("network {side} ({profile})")]).with_evidence([why])
    };
    Some(match (&network.conf, network.missing.as_slice(), &network.probes) {
        (Err(ConfError::Absent(why)), _, _) => {
            finding(&NETWORK_WITHOUT_CONF, why)
                .run(agents(facts), "lists the pods of this node; look whether the agent runs")
        }
        (Err(ConfError::Broken(why)), _, _) => {
            finding(&NETWORK_CONF_BROKEN, why)
                .with_manual_step(format!("let the network's agent write its conf anew: delete {agent}"))
                .run("crossfade-bootstrap doctor", "says whether the conf can be used then")
        }
        (Ok(_), [why, ..], _) => {
            finding(&NETWORK_PLUGIN_MISSING, why)
                .with_evidence(network.missing.iter().skip(1).map(String::as_str))
                .with_manual_step("install the plugin where the runtime looks for it: the agent's init container does that at its start")
                .run(agents(facts), "lists the pods of this node; delete the agent's, so that it installs its plugins")
        }
        (Ok(_), [], Err(why)) => {
            finding(&NETWORK_NOT_READY, why)
                .run(agents(facts), "lists the pods of this node; look whether the agent is ready")
        }
        (Ok(_), [], Ok(())) => return None,
    })
}

/// The command that lists the node's pods, agents among them.
fn agents(facts: &Facts) -> String {
    format!("kubectl get pods --all-namespaces --field-selector spec.nodeName={}", facts.node_name())
}

const PROOF_DEGRADED: Rule = Severity::Warning.rule(
    Symptom::Unreachable,
    "proof-degraded",
    "Pods get the network, and its [proof](watch.md#proofs) found no DNS server or no other node that answers.",
    "two scratch attachments of the network exchange packets on this node, and do not reach the cluster: pods start, and lack what watch names",
    "`/run/crossfade/proof/NETWORK.json` has who was asked. Look first whether DNS pods run, and whether other nodes are up; the proof is repeated, and the finding ends by itself. If something filters what belongs to no Pod, name others or none in node.json (`packets`).",
);

/// Networks that pods get although their proof finds no DNS server or no other node, by the report of `watch`.
fn degraded_networks(facts: &Facts) -> Vec<Finding> {
    let networks = facts.status_document().map(|report| report.networks.as_slice()).unwrap_or_default();
    let degraded = networks.iter().filter(|network| network.proof == ProofState::Degraded);
    let finding = |network: &types::status::Network| {
        let side = network.network;
        let words = network.packets.as_ref().map_or("the proof failed", |packets| packets.reason.words());
        let targets = "shows who was asked and what came back; packets in node.json names others, or fewer";
        Finding::new(&PROOF_DEGRADED)
            .with_objects([format!("network {side} ({})", network.profile)])
            .with_evidence([format!("watch: {words}")])
            .run(format!("cat /run/crossfade/proof/{side}.json"), targets)
    };
    degraded.map(finding).collect()
}

const PROOF_FAILED: Rule = Severity::Error.rule(
    Symptom::PodsDoNotStart,
    "proof-failed",
    "`watch` attached scratch namespaces to the network and failed, or they do not exchange packets as pods must, although the probes hold.",
    "watch attached a scratch namespace to the network, and that failed, although its probes hold: a pod would fail as well",
    r#"The finding names the reason; [What is exchanged](watch.md#what-is-exchanged) says where to look for each. `/run/crossfade/proof/NETWORK/answers.log` has what the plugins said; only root can read it, because it may hold a secret. `crossfade-bootstrap unit prove old` proves once more by hand. If packets pass and the proof's own do not, because something in your cluster filters what belongs to no Pod, set `"proof": "attach"` in node.json."#,
);

/// Networks whose proof failed, by the report of `watch`.
fn proofs(facts: &Facts) -> Vec<Finding> {
    let networks = facts.status_document().map(|report| report.networks.as_slice()).unwrap_or_default();
    let failed = networks.iter().filter(|network| network.proof == ProofState::Failed);
    let finding = |network: &types::status::Network| {
        let side = network.network;
        let exchange_failed =
            network.packets.as_ref().is_some_and(|packets| packets.reason != PacketReason::Passed);
        let finding = Finding::new(&PROOF_FAILED);
        let finding = if exchange_failed {
            finding.cause("watch attached scratch namespaces to the network, and they do not exchange packets as pods must, although its probes hold")
        } else {
            finding
        };
        finding
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

const FILE_UNKEPT: Rule = Severity::Error.rule(
    Symptom::PodsDoNotStart,
    "file-unkept",
    "Pods of the network wait for a file of `watch` ([The file that pods wait for](watch.md#the-file-that-pods-wait-for)), the file is missing, and no `watch` runs.",
    "pods wait for a file that watch keeps while the agent is ready, and no watch runs: each ADD answers 11 (try again later)",
    "Start `watch`.",
);

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
    let finding = Finding::new(&FILE_UNKEPT).with_objects(sides.iter().map(|side| format!("network {side}")));
    let finding = finding.with_evidence(files.map(|(file, _)| format!("{} is missing", file.display())));
    Some(
        finding.run(
            "systemctl start crossfade-watch",
            "asks the agent, and writes the file if the agent is ready",
        ),
    )
}
