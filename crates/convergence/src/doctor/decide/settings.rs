//! Findings about settings, the off switch, and leftovers of an earlier image.

use crate::doctor::facts::Facts;
use crate::doctor::finding::{Finding, word};
use crate::doctor::rule::{Rule, Severity, Symptom};
use crate::node::paths::{DISABLED, NODE_FILE};
use crate::node::settings::InvalidSettings;
use crate::node::switch::{KERNEL_ARGUMENT, OffSwitch};

pub const RULES: &[&Rule] = &[&SWITCHED_OFF, &NODE_JSON_UNUSABLE, &POLICY_UNUSABLE, &EARLIER_IMAGE];

const SWITCHED_OFF: Rule = Severity::Warning.rule(
    Symptom::WrongNetwork,
    "switched-off",
    "/etc/crossfade/disabled exists, or the kernel's command line has `crossfade.disable`.",
    "Crossfade is switched off on this node, so the agents' confs count and new pods bypass Crossfade",
    "[The off switch](node.md#the-off-switch) says how to go back.",
);

pub fn switched_off(facts: &Facts) -> Option<Finding> {
    let finding = Finding::new(&SWITCHED_OFF);
    Some(match facts.off_switch? {
        OffSwitch::File => {
            finding.with_objects([DISABLED]).with_evidence([format!("{DISABLED} is there")]).run(
                format!("rm {DISABLED} && systemctl reboot"),
                "switches Crossfade on again, once the node is drained",
            )
        }
        OffSwitch::Kernel => finding
            .with_objects([KERNEL_ARGUMENT])
            .with_evidence([format!("the kernel's command line has {KERNEL_ARGUMENT}")])
            .run(
                "systemctl reboot",
                "without that argument, once the node is drained, switches Crossfade on again",
            ),
    })
}

const NODE_JSON_UNUSABLE: Rule = Severity::Error.rule(
    Symptom::KubeletHeld,
    "node-json-unusable",
    "`node.json` is not valid, or another user than root could change the file.\n\n\
     No default is put in the place of a setting. [What the runtime does meanwhile](node.md#when-nodejson-cannot-be-used) depends on the mode.",
    "node.json cannot be used: boot fails, and the gate holds kubelet back until the file is corrected",
    "Correct the file. No reboot is needed.",
);

pub fn node_json(facts: &Facts) -> Option<Finding> {
    let InvalidSettings { why, mode_by, .. } = facts.node.unusable.as_ref()?;
    let file =
        facts.node.node_file.as_ref().map_or_else(|| NODE_FILE.to_owned(), |file| file.display().to_string());
    let finding = Finding::new(&NODE_JSON_UNUSABLE)
        .with_objects([file.as_str()])
        .with_evidence([
            why.clone(),
            format!("the node counts as {}: {mode_by}", facts.node.settings.conf_dir.as_str()),
        ])
        .with_manual_step(format!("correct {file}, as the first line of the evidence says"));
    Some(finding.run(
        "systemctl restart crossfade-boot",
        "prepares the node by the corrected file; no reboot is needed",
    ))
}

const POLICY_UNUSABLE: Rule = Severity::Error.rule(
    Symptom::PodsDoNotStart,
    "policy-unusable",
    "The policy is missing, invalid, or another user than root could change the file.",
    "the policy cannot be used: each ADD fails with code 7. Running pods and their DELs are not affected",
    "Correct the key that `crossfade-bootstrap policy check` names.",
);

pub fn policy(facts: &Facts) -> Option<Finding> {
    let why = facts.node.policy.as_ref().err()?;
    let file = facts.node.dirs.layout.policy_file();
    Some(
        Finding::new(&POLICY_UNUSABLE)
            .with_objects([file.display().to_string()])
            .with_evidence([why.what.as_str()])
            .run(
                format!("crossfade-bootstrap policy check {}", word(&file)),
                "says what is wrong; correct that, and run it again",
            ),
    )
}

const EARLIER_IMAGE: Rule = Severity::Warning.rule(
    Symptom::WrongNetwork,
    "earlier-image",
    "The node has a final image, and an earlier image left Crossfade's conf or records.",
    "this node has a final image (confDir none), and an earlier image left what only that image's plugin can serve",
    "The next boot moves both away. Drain the node before you reboot it.",
);

/// On a node without Crossfade's plugin: what boot would have moved away.
pub fn earlier_image(facts: &Facts) -> Option<Finding> {
    let conf = facts.node.own_conf().map(|_| facts.node.dirs.conf_file().display().to_string());
    let attachments = facts.state.read().map_or(0, |state| state.attached.attachments.len());
    let records = (attachments > 0)
        .then(|| format!("{attachments} attachments below {}", facts.node.dirs.layout.state_dir.display()));
    let leftovers: Vec<String> = conf.into_iter().chain(records).collect();
    if leftovers.is_empty() {
        return None;
    }
    let lines =
        leftovers.iter().map(|leftovers| format!("{leftovers}: it is still there")).collect::<Vec<_>>();
    let finding = Finding::new(&EARLIER_IMAGE).with_objects(leftovers).with_evidence(lines);
    Some(
        finding
            .run("systemctl reboot", "once the node is drained: boot moves away what an earlier image left"),
    )
}
