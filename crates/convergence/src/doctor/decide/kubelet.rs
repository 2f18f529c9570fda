//! Findings about kubelet: it does not run, or runs with a taint.

use crate::doctor::facts::{BOOT_UNIT, Facts};
use crate::doctor::finding::Finding;
use crate::doctor::rule::{Rule, Severity, Symptom};
use crate::node::paths::{GATE, UNFIT};

pub const RULES: &[&Rule] = &[&BOOT_FAILED, &GATE_SHUT, &GATE_GAVE_UP, &KUBELET_DOWN];

/// How many lines of the journal are evidence.
const LINES: usize = 4;

pub fn all(facts: &Facts) -> Vec<Finding> {
    [boot(facts), gate(facts), gave_up(facts), down(facts)].into_iter().flatten().collect()
}

const BOOT_FAILED: Rule = Severity::Error.rule(
    Symptom::KubeletHeld,
    "boot-failed",
    "`boot` has failed in this boot, or has not run in it.",
    "crossfade-boot.service has not succeeded in this boot, so the gate holds kubelet back at its next start",
    "`crossfade-bootstrap unit boot --dry-run` names everything that stands in the way, and changes nothing. [When it says no](node.md#when-it-says-no) has the cure for each message. Then run `systemctl restart crossfade-boot`.",
);

fn boot(facts: &Facts) -> Option<Finding> {
    let why = facts.booted.as_ref().err()?;
    let unit = facts.unit(BOOT_UNIT).map(|unit| unit.line(BOOT_UNIT));
    let finding = Finding::new(&BOOT_FAILED)
        .with_objects([BOOT_UNIT])
        .with_evidence([why.what.as_str()])
        .with_evidence(unit);
    Some(
        finding
            .with_evidence(last_lines(facts, BOOT_UNIT))
            .run(
                "crossfade-bootstrap unit boot --dry-run",
                "says everything that stands in the way, and changes nothing",
            )
            .run("systemctl restart crossfade-boot", "runs boot again; it changes only what is missing"),
    )
}

/// What a unit wrote to the journal last.
fn last_lines(facts: &Facts, unit: &str) -> Vec<String> {
    let of_unit = facts.journal.read().into_iter().flatten().filter(|entry| entry.unit == unit);
    let lines: Vec<String> = of_unit.map(|entry| format!("journal: {}", entry.message)).collect();
    lines[lines.len().saturating_sub(LINES)..].to_vec()
}

const GATE_SHUT: Rule = Severity::Error.rule(
    Symptom::KubeletHeld,
    "gate-shut",
    "The gate has been tried in this boot and has not opened since.",
    "the gate holds kubelet back, because a pod could get the wrong network, or none",
    "The `seen` lines are the gate's reasons. Mend them one by one. systemd tries the gate again by itself, and `systemctl restart kubelet` tries it at once. If the reasons are gone already, the next try opens the gate.",
);

fn gate(facts: &Facts) -> Option<Finding> {
    let reasons = facts.gate.as_ref()?;
    let kubelet = facts.node.settings.kubelet.unit.as_str();
    let unit = facts.unit(kubelet).map(|unit| unit.line(kubelet));
    let finding = Finding::new(&GATE_SHUT)
        .with_objects([kubelet])
        .with_evidence([format!("{GATE} is of this boot: the gate has been tried and has not opened since")])
        .with_evidence(unit)
        .with_evidence(reasons.iter().map(|reason| reason.what.as_str()));
    let finding = reasons.iter().filter(|reason| !reason.fix.is_empty()).fold(finding, |finding, reason| {
        let step = format!("{}: {}", reason.what, reason.fix);
        finding.with_manual_step(step)
    });
    Some(finding.run(
        format!("systemctl restart {kubelet}"),
        "tries the gate at once, once its reasons are gone; systemd tries it again by itself, too",
    ))
}

const GATE_GAVE_UP: Rule = Severity::Error.rule(
    Symptom::NodeNotReady,
    "gate-gave-up",
    "The gate did not open within `gate.giveUpSeconds`, and kubelet started with the taint `crossfade/unfit:NoSchedule`.",
    "the gate gave up after gate.giveUpSeconds: kubelet registered the Node with the taint crossfade/unfit, which only a person removes",
    "/run/crossfade/unfit has the reasons. Mend them, restart `crossfade-boot` and kubelet, and remove the taint. kubelet may not remove a taint, so a person does.",
);

fn gave_up(facts: &Facts) -> Option<Finding> {
    let reasons = facts.unfit.as_ref()?;
    let node = facts.node_name();
    Some(
        Finding::new(&GATE_GAVE_UP)
            .with_objects([UNFIT])
            .with_evidence(reasons.lines())
            .with_manual_step("remove the reasons, which are the lines of the evidence")
            .run("systemctl restart crossfade-boot kubelet", "opens the gate, if the reasons are gone")
            .run(
                format!("kubectl taint node {node} crossfade/unfit:NoSchedule-"),
                "removes the taint, which kubelet may not",
            ),
    )
}

const KUBELET_DOWN: Rule = Severity::Error.rule(
    Symptom::NodeNotReady,
    "kubelet-down",
    "The unit of kubelet is inactive, has failed, or is started again and again.",
    "kubelet does not run, and Crossfade's gate does not hold it back",
    "kubelet's own journal says why. Start kubelet once the reason is gone.",
);

fn down(facts: &Facts) -> Option<Finding> {
    let kubelet = facts.node.settings.kubelet.unit.as_str();
    let unit = facts.unit(kubelet)?;
    let is_retried = unit.active == "activating" && unit.sub == "auto-restart";
    let is_down = matches!(unit.active.as_str(), "inactive" | "failed") || is_retried;
    if !is_down || facts.gate.is_some() || facts.booted.is_err() {
        return None;
    }
    Some(
        Finding::new(&KUBELET_DOWN)
            .with_objects([kubelet])
            .with_evidence([unit.line(kubelet)])
            .run(format!("journalctl --unit={kubelet} --lines=50"), "says why kubelet ended")
            .run(format!("systemctl restart {kubelet}"), "starts kubelet, once the reason is gone"),
    )
}
