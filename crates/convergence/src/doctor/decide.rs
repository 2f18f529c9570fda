//! The decisions of `doctor`, from facts to findings. Each finding is one small function, in the module of what it is about.
//!
//! | on this node | findings |
//! |---|---|
//! | Crossfade is switched off | that it is, and what stayed behind |
//! | the node has a final image (`confDir` none) | `boot`, and what an earlier image left |
//! | anything else | all |

pub mod attachments;
pub mod conf;
pub mod kubelet;
pub mod leaks;
pub mod networks;
pub mod reach;
pub mod runtime;
pub mod server;
pub mod settings;
pub mod sources;
pub mod watch;

use types::command::rule::Catalog;
use types::node::Mode;

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;
use crate::doctor::rule::{Grade, Rule, Severity, Symptom};

/// The codes of `doctor`.
pub const CATALOG: Catalog<Grade> = Catalog { rules, command: "doctor", page: "docs/troubleshooting.md" };

/// The rule of each finding that there may be, in the order of the report: by symptom, and the gravest of each first.
#[must_use]
pub fn rules() -> Vec<&'static Rule> {
    let mut rules = [
        settings::RULES,
        kubelet::RULES,
        runtime::RULES,
        conf::RULES,
        reach::RULES,
        networks::RULES,
        attachments::RULES,
        leaks::RULES,
        server::RULES,
        watch::RULES,
        sources::RULES,
    ]
    .concat();
    let place = |symptom| Symptom::ALL.iter().position(|candidate| *candidate == symptom);
    rules.sort_by_key(|rule| (place(rule.grade.symptom), rule.grade.severity));
    rules
}

/// Everything that is wrong, in the order of its rules.
#[must_use]
pub fn decide(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    findings.extend(settings::switched_off(facts));
    findings.extend(settings::node_json(facts));
    if facts.off_switch.is_some() {
        findings.extend(attachments::all(facts));
        findings.extend(leaks::all(facts));
    } else if is_without_plugin(facts) {
        findings.extend(kubelet::all(facts));
        findings.extend(settings::earlier_image(facts));
        findings.extend(server::node_itself(facts));
    } else {
        findings.extend(settings::policy(facts));
        findings.extend(kubelet::all(facts));
        findings.extend(runtime::all(facts));
        findings.extend(conf::all(facts));
        findings.extend(networks::all(facts));
        findings.extend(attachments::all(facts));
        findings.extend(leaks::all(facts));
        findings.extend(reach::all(facts));
        findings.extend(server::all(facts));
        findings.extend(watch::all(facts));
    }
    findings.extend(sources::all(facts));
    if findings.iter().all(|finding| finding.severity != Severity::Error) {
        findings.extend(watch::unexplained(facts));
    }
    let rules = rules();
    findings.sort_by_key(|finding| rules.iter().position(|rule| *rule == finding.rule));
    findings.into_iter().map(Finding::bound).collect()
}

fn is_without_plugin(facts: &Facts) -> bool {
    facts.node.settings.conf_dir == Mode::Without && facts.node.unusable.is_none()
}

fn is_private(facts: &Facts) -> bool {
    facts.node.settings.conf_dir == Mode::Private
}

#[cfg(test)]
mod tests;
