//! Findings about kubelet: it does not run, or runs with a taint.

use crate::doctor::code::Code;
use crate::doctor::facts::{BOOT_UNIT, Facts};
use crate::doctor::finding::Finding;
use crate::node::paths::{GATE, UNFIT};

/// How many lines of the journal are evidence.
const LINES: usize = 4;

pub fn all(facts: &Facts) -> Vec<Finding> {
    [boot(facts), gate(facts), gave_up(facts), down(facts)].into_iter().flatten().collect()
}

fn boot(facts: &Facts) -> Option<Finding> {
    let why = facts.booted.as_ref().err()?;
    let unit = facts.unit(BOOT_UNIT).map(|unit| unit.line(BOOT_UNIT));
    let cause = "crossfade-boot.service has not succeeded in this boot, so the gate holds kubelet back at its next start";
    let finding = Finding::new(Code::BootFailed, cause)
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

fn gate(facts: &Facts) -> Option<Finding> {
    let reasons = facts.gate.as_ref()?;
    let kubelet = facts.node.settings.kubelet.unit.as_str();
    let unit = facts.unit(kubelet).map(|unit| unit.line(kubelet));
    let cause = "the gate holds kubelet back, because a pod could get the wrong network, or none";
    let finding = Finding::new(Code::GateShut, cause)
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

fn gave_up(facts: &Facts) -> Option<Finding> {
    let reasons = facts.unfit.as_ref()?;
    let node = facts.node_name();
    let cause = "the gate gave up after gate.giveUpSeconds: kubelet registered the Node with the taint crossfade/unfit, which only a person removes";
    Some(
        Finding::new(Code::GateGaveUp, cause)
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

fn down(facts: &Facts) -> Option<Finding> {
    let kubelet = facts.node.settings.kubelet.unit.as_str();
    let unit = facts.unit(kubelet)?;
    let is_retried = unit.active == "activating" && unit.sub == "auto-restart";
    let is_down = matches!(unit.active.as_str(), "inactive" | "failed") || is_retried;
    if !is_down || facts.gate.is_some() || facts.booted.is_err() {
        return None;
    }
    let cause = "kubelet does not run, and Crossfade's gate does not hold it back";
    Some(
        Finding::new(Code::KubeletDown, cause)
            .with_objects([kubelet])
            .with_evidence([unit.line(kubelet)])
            .run(format!("journalctl --unit={kubelet} --lines=50"), "says why kubelet ended")
            .run(format!("systemctl restart {kubelet}"), "starts kubelet, once the reason is gone"),
    )
}
