//! Findings about the runtime: it does not run, answer, or use one conf.

use types::status::Reason;

use crate::doctor::code::Code;
use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;
use crate::runtime::answer::RuntimeAnswer;

pub fn all(facts: &Facts) -> Vec<Finding> {
    [answer(facts), restart(facts), several(facts)].into_iter().flatten().collect()
}

/// Why the runtime does not say what it uses.
fn answer(facts: &Facts) -> Option<Finding> {
    let unit = facts.runtime_unit();
    let state = facts.unit(unit).map(|state| state.line(unit));
    let endpoint = facts.node.runtime.choice.endpoint().unwrap_or_default().to_owned();
    let restart = (format!("systemctl restart {unit}"), "starts the runtime anew; pods keep running");
    match &facts.node.runtime.answer {
        RuntimeAnswer::NotAsked | RuntimeAnswer::Silent | RuntimeAnswer::Setup(_) => None,
        RuntimeAnswer::Unknown(why) => {
            let cause =
                "nothing says which runtime kubelet talks to, so it is unknown which conf new pods get";
            let finding =
                Finding::new(Code::RuntimeUnknown, cause).with_objects(["node.json, runtime.endpoint"]);
            Some(
                finding
                    .with_evidence([why.as_str()])
                    .with_manual_step("name the runtime's socket in node.json, runtime.endpoint"),
            )
        }
        RuntimeAnswer::Absent(why) => {
            let cause = "the runtime does not run: no pod starts or ends on this node";
            let finding = Finding::new(Code::RuntimeDown, cause)
                .with_objects([endpoint])
                .with_evidence([why.as_str()])
                .with_evidence(state);
            Some(finding.run(restart.0, restart.1))
        }
        RuntimeAnswer::Failed(why) => {
            let cause = "the runtime does not answer. containerd answers no request while an ADD or DEL that hangs keeps it from loading a conf";
            let finding = Finding::new(Code::RuntimeHangs, cause)
                .with_objects([endpoint])
                .with_evidence([why.as_str()]);
            let finding = finding.with_evidence(state).with_evidence(super::attachments::calls(facts));
            Some(finding.run(restart.0, restart.1))
        }
    }
}

fn restart(facts: &Facts) -> Option<Finding> {
    let report = facts.status_document().filter(|report| report.reason == Reason::RuntimeRestartNeeded)?;
    let unit = facts.runtime_unit();
    let cause =
        "another program replaced the conf directory, and the runtime still watches the one that is gone";
    let finding = Finding::new(Code::RuntimeRestart, cause).with_objects([facts
        .node
        .dirs
        .conf_dir
        .display()
        .to_string()]);
    let finding = finding.with_evidence([format!("watch: {}", report.message)]);
    Some(finding.run(
        format!("systemctl restart {unit}"),
        "makes the runtime watch the new directory; pods keep running",
    ))
}

fn several(facts: &Facts) -> Option<Finding> {
    let setup = facts.node.runtime.answer.setup()?;
    if setup.max_confs == 1 {
        return None;
    }
    let count = if setup.max_confs == 0 { "all confs".into() } else { format!("{} confs", setup.max_confs) };
    let cause =
        "the runtime attaches each pod by several confs at once, so pods get a network beside Crossfade's";
    let finding =
        Finding::new(Code::SeveralConfs, cause).with_objects(["max_conf_num of the runtime's configuration"]);
    let finding = finding.with_evidence([format!("the runtime uses {count} (max_conf_num)")]);
    let finding = finding.with_manual_step("set max_conf_num = 1 in the runtime's configuration");
    Some(finding.run(
        format!("systemctl restart {}", facts.runtime_unit()),
        "loads that configuration; pods keep running",
    ))
}
