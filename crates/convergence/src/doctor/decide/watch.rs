//! Findings about `watch`: it does not run, or reports what nothing else explains.

use crate::doctor::facts::{Facts, WATCH_UNIT};
use crate::doctor::finding::Finding;
use crate::doctor::rule::{Rule, Severity, Symptom};
use crate::node::agent::status_file::StatusFile;
use crate::node::paths::STATUS;

pub const RULES: &[&Rule] = &[&WATCH_NOT_READY, &WATCH_DOWN];

const WATCH_DOWN: Rule = Severity::Error.rule(
    Symptom::Stale,
    "watch-down",
    "No `watch` runs, so status.json and the Node's condition are out of date.\n\n\
     New pods are affected in private mode before Crossfade's conf is written, and on networks whose pods wait for a file of `watch`.",
    "watch does not run: no program repairs the conf, observes the networks, sweeps, or reports. Running pods are not affected",
    "Start `watch`; in a pod, see [daemonset.md](daemonset.md).",
);

pub fn all(facts: &Facts) -> Option<Finding> {
    let why = match facts.watch.as_ref()? {
        StatusFile::Fresh(_) => return None,
        StatusFile::Absent => "no watch has run in this boot".to_owned(),
        StatusFile::Stale(document, why) => {
            format!("{why}; its last word was {}: {}", document.reason, document.message)
        }
        StatusFile::Unreadable(why) => why.clone(),
    };
    let unit = facts.unit(WATCH_UNIT).map(|unit| unit.line(WATCH_UNIT));
    let finding = Finding::new(&WATCH_DOWN).with_objects([STATUS]).with_evidence([why]).with_evidence(unit);
    if facts.units.read().is_some() && facts.unit(WATCH_UNIT).is_none() {
        return Some(finding.with_manual_step(
            "install the package, whose unit systemd runs, or start the DaemonSet's pod on this node",
        ));
    }
    Some(
        finding
            .run("systemctl start crossfade-watch", "starts watch; in a pod, see docs/daemonset.md")
            .run("journalctl --unit=crossfade-watch --lines=50", "says why it ended, if it ends again"),
    )
}

const WATCH_NOT_READY: Rule = Severity::Error.rule(
    Symptom::NodeNotReady,
    "watch-not-ready",
    "`watch` reports a node that is not ready, and `doctor` sees no reason.\n\n\
     Either the reason has passed, and the next pass of `watch` reports so, or `watch` saw what is gone by now.",
    "watch says that the node is not ready, and doctor sees no reason: it may have passed, or watch is about to notice",
    "[The reasons of watch](watch.md#what-it-reports) say what each means.",
);

/// What `watch` says, where no other finding is an error: it has seen what `doctor` has not.
pub fn unexplained(facts: &Facts) -> Option<Finding> {
    let report = facts.status_document().filter(|report| !report.ready && facts.off_switch.is_none())?;
    let finding = Finding::new(&WATCH_NOT_READY).with_objects([STATUS]);
    let finding = finding.with_evidence([format!("watch: {}: {}", report.reason, report.message)]);
    Some(finding.run("crossfade-bootstrap status --wait --timeout 60", "waits for the next passes of watch"))
}
