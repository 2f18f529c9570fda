//! Findings about the runtime: it does not run, answer, or use one conf.

use types::status::Reason;

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;
use crate::doctor::rule::{Rule, Severity, Symptom};
use crate::runtime::answer::RuntimeAnswer;

pub const RULES: &[&Rule] = &[&RUNTIME_UNKNOWN, &RUNTIME_DOWN, &RUNTIME_HANGS, &RUNTIME_RESTART];

pub fn all(facts: &Facts) -> Vec<Finding> {
    [answer(facts), restart(facts)].into_iter().flatten().collect()
}

const RUNTIME_UNKNOWN: Rule = Severity::Error.rule(
    Symptom::NodeNotReady,
    "runtime-unknown",
    "Nothing says which runtime kubelet talks to, or two sources contradict each other.",
    "nothing says which runtime kubelet talks to, so it is unknown which conf new pods get",
    "Name the socket in node.json, `runtime.endpoint` ([the order of the sources](watch.md#what-the-runtime-says)).",
);

const RUNTIME_DOWN: Rule = Severity::Error.rule(
    Symptom::NodeNotReady,
    "runtime-down",
    "No program listens at the runtime's socket.",
    "the runtime does not run: no pod starts or ends on this node",
    "Start the runtime. If it runs with another socket, name that in node.json, `runtime.endpoint`.",
);

const RUNTIME_HANGS: Rule = Severity::Error.rule(
    Symptom::PodsDoNotStart,
    "runtime-hangs",
    "The runtime has a socket and does not answer.",
    "the runtime does not answer. containerd answers no request while an ADD or DEL that hangs keeps it from loading a conf",
    "The `seen` lines name the calls that run. If one hangs, see [add-hangs](#add-hangs). Restart the runtime if none does: pods keep running.",
);

/// Why the runtime does not say what it uses.
fn answer(facts: &Facts) -> Option<Finding> {
    let unit = facts.runtime_unit();
    let state = facts.unit(unit).map(|state| state.line(unit));
    let endpoint = facts.node.runtime.choice.endpoint().unwrap_or_default().to_owned();
    let restart = (format!("systemctl restart {unit}"), "starts the runtime anew; pods keep running");
    match &facts.node.runtime.answer {
        RuntimeAnswer::NotAsked | RuntimeAnswer::Silent | RuntimeAnswer::Setup(_) => None,
        RuntimeAnswer::Unknown(why) => {
            let finding = Finding::new(&RUNTIME_UNKNOWN).with_objects(["node.json, runtime.endpoint"]);
            Some(
                finding
                    .with_evidence([why.as_str()])
                    .with_manual_step("name the runtime's socket in node.json, runtime.endpoint"),
            )
        }
        RuntimeAnswer::Absent(why) => {
            let finding = Finding::new(&RUNTIME_DOWN)
                .with_objects([endpoint])
                .with_evidence([why.as_str()])
                .with_evidence(state);
            Some(finding.run(restart.0, restart.1))
        }
        RuntimeAnswer::Failed(why) => {
            let finding = Finding::new(&RUNTIME_HANGS).with_objects([endpoint]).with_evidence([why.as_str()]);
            let finding = finding.with_evidence(state).with_evidence(super::attachments::calls(facts));
            Some(finding.run(restart.0, restart.1))
        }
    }
}

const RUNTIME_RESTART: Rule = Severity::Error.rule(
    Symptom::NodeNotReady,
    "runtime-restart",
    "The runtime lost its conf directory, so it never loads a conf again ([A replaced directory](watch.md#shared-mode)).",
    "another program replaced the conf directory, and the runtime still watches the one that is gone",
    "Restart the runtime: pods keep running.",
);

fn restart(facts: &Facts) -> Option<Finding> {
    let report = facts.status_document().filter(|report| report.reason == Reason::RuntimeRestartNeeded)?;
    let unit = facts.runtime_unit();
    let finding =
        Finding::new(&RUNTIME_RESTART).with_objects([facts.node.dirs.conf_dir.display().to_string()]);
    let finding = finding.with_evidence([format!("watch: {}", report.message)]);
    Some(finding.run(
        format!("systemctl restart {unit}"),
        "makes the runtime watch the new directory; pods keep running",
    ))
}
