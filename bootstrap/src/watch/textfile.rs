//! Metrics for node_exporter's textfile collector.

use std::fmt::Write as _;

use types::policy::Phase;
use types::status::{ConfState, Document, NotMoved, ProofState};

/// The text of a status. *Source*: Prometheus' exposition format, text version 0.0.4.
// One paragraph for each metric, in the order of the file.
#[must_use]
pub(crate) fn text(document: &Document, booted_secs: Option<u64>) -> String {
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, lines: &[(String, u64)]| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP crossfade_{name} {help}\n# TYPE crossfade_{name} {kind}");
        for (labels, value) in lines {
            let _ = writeln!(text, "crossfade_{name}{labels} {value}");
        }
    };
    let unlabelled = |value: u64| vec![(String::new(), value)];
    metric(
        "ready",
        "gauge",
        "Whether pods get the network that the policy names.",
        &unlabelled(document.ready.into()),
    );
    let reason = format!("{{reason=\"{}\"}}", document.reason);
    metric("reason", "gauge", "Why the node is ready or not.", &[(reason, 1)]);
    let phase = |phase: Phase| {
        let in_phase = document.phase == Some(phase);
        (format!("{{phase=\"{phase}\"}}"), u64::from(in_phase))
    };
    metric("phase", "gauge", "The policy's phase.", &Phase::ALL.map(phase));
    let conf = &document.conf;
    metric(
        "conf_repairs_total",
        "counter",
        "How often Crossfade's conf was put back in this boot.",
        &unlabelled(conf.repairs),
    );
    let contended = conf.state == ConfState::Contended;
    metric(
        "conf_contended",
        "gauge",
        "Whether Crossfade's conf is left to an agent that takes it away.",
        &unlabelled(contended.into()),
    );
    let lost = conf.lost_by.is_some();
    metric(
        "runtime_restart_needed",
        "gauge",
        "Whether the runtime has lost its conf directory.",
        &unlabelled(lost.into()),
    );
    let networks: Vec<_> = document
        .networks
        .iter()
        .map(|network| (format!("{{network=\"{}\"}}", network.network), u64::from(network.ready)))
        .collect();
    metric(
        "network_ready",
        "gauge",
        "Whether conf, binaries, probes and proof of a network hold.",
        &networks,
    );
    let unmapped: Vec<_> = document
        .networks
        .iter()
        .map(|network| {
            (format!("{{network=\"{}\"}}", network.network), u64::from(network.unmapped_host_ports))
        })
        .collect();
    metric(
        "network_host_ports_unmapped",
        "gauge",
        "Whether pods of a network asked for host ports in this boot and no plugin of its conf maps them.",
        &unmapped,
    );
    let degraded: Vec<_> = document
        .networks
        .iter()
        .map(|network| {
            let degraded = network.proof == ProofState::Degraded;
            (format!("{{network=\"{}\"}}", network.network), u64::from(degraded))
        })
        .collect();
    metric(
        "network_proof_degraded",
        "gauge",
        "Whether the proof of a network that pods get finds no DNS server or no other node.",
        &degraded,
    );
    if let Some(attached) = &document.attached {
        let count = |phase: Phase| {
            let count = attached.by_phase.get(&phase).copied().unwrap_or_default();
            (format!("{{phase=\"{phase}\"}}"), u64::from(count))
        };
        let mut counts = Phase::ALL.map(count).to_vec();
        counts.push(("{phase=\"unknown\"}".into(), attached.unknown.into()));
        metric("attachments", "gauge", "Attachments by the phase that they were attached in.", &counts);
    }
    if let Some(restarts) = document.restarts {
        metric(
            "pods_waiting_for_restart",
            "gauge",
            "Pods that only a restart brings to the networks of the policy.",
            &unlabelled(restarts.into()),
        );
    }
    if let Some(NotMoved { connections, failed }) = document.not_moved {
        let count = |reason: &str, count: u32| (format!("{{reason=\"{reason}\"}}"), count.into());
        metric(
            "pods_not_moved",
            "gauge",
            "Pods that networks were to join or leave and did not, by the reason.",
            &[count("connections", connections), count("failed", failed)],
        );
    }
    let version = format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    metric("build_info", "gauge", "Always 1.", &[(version, 1)]);
    if let Some(secs) = booted_secs {
        metric(
            "boot_timestamp_seconds",
            "gauge",
            "When this boot began, in seconds since 1970.",
            &unlabelled(secs),
        );
    }
    text
}

/// When this boot began. *Source*: man 5 `proc_stat`, `btime`.
#[must_use]
pub(crate) fn booted_secs() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_that_were_not_moved_are_counted_by_the_reason() {
        let lines = |not_moved| -> Vec<String> {
            let status = json!({
                "version": 1, "bootID": "b", "watch": {"pid": 1, "start": 1}, "ready": true, "reason": "NetworkReady", "message": "",
                "phase": "both-old", "policySHA256": null, "networks": [], "notMoved": not_moved, "findings": [],
                "conf": {"mode": "shared", "dir": "/d", "state": "in place", "repairs": 0, "wasThere": true, "directory": null, "lostBy": null},
            });
            let document = serde_json::from_value(status).expect("a status");
            let text = text(&document, None);
            let is_count = |line: &&str| line.starts_with("crossfade_pods_not_moved{");
            text.lines().filter(is_count).map(str::to_owned).collect()
        };
        assert_eq!(
            lines(json!({"connections": 2, "failed": 1})),
            [
                "crossfade_pods_not_moved{reason=\"connections\"} 2",
                "crossfade_pods_not_moved{reason=\"failed\"} 1"
            ]
        );
        assert!(lines(json!(null)).is_empty(), "no network joins or leaves pods");
    }
}
