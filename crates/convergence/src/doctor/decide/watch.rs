//! Findings about `watch`: it does not run, or reports what nothing else explains.

use crate::doctor::code::Code;
use crate::doctor::facts::{Facts, WATCH_UNIT};
use crate::doctor::finding::Finding;
use crate::node::agent::status_file::StatusFile;
use crate::node::paths::STATUS;

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
    let cause = "watch does not run: no program repairs the conf, observes the networks, sweeps, or reports. Running pods are not affected";
    let finding =
        Finding::new(Code::WatchDown, cause).with_objects([STATUS]).with_evidence([why]).with_evidence(unit);
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

/// What `watch` says, where no other finding is an error: it has seen what `doctor` has not.
pub fn unexplained(facts: &Facts) -> Option<Finding> {
    let report = facts.status_document().filter(|report| !report.ready && facts.off_switch.is_none())?;
    let cause = "watch says that the node is not ready, and doctor sees no reason: it may have passed, or watch is about to notice";
    let finding = Finding::new(Code::WatchNotReady, cause).with_objects([STATUS]);
    let finding = finding.with_evidence([format!("watch: {}: {}", report.reason, report.message)]);
    Some(finding.run("crossfade-bootstrap status --wait --timeout 60", "waits for the next passes of watch"))
}
