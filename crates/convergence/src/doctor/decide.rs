//! The decisions of `doctor`, from facts to findings: pure. Each finding is one small function, in the module of what it is about.
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
pub mod unseen;
pub mod watch;

use types::node::Mode;

use crate::doctor::code::{Severity, Symptom};
use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;

/// Everything that is wrong, in the order of the report: by symptom, and the gravest of each first.
#[must_use]
pub fn decide(facts: &Facts) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    found.extend(settings::switched_off(facts));
    found.extend(settings::node_json(facts));
    if facts.off.is_some() {
        found.extend(attachments::all(facts));
        found.extend(leaks::all(facts));
    } else if is_without_plugin(facts) {
        found.extend(kubelet::all(facts));
        found.extend(settings::earlier_image(facts));
        found.extend(server::node_itself(facts));
    } else {
        found.extend(settings::policy(facts));
        found.extend(kubelet::all(facts));
        found.extend(runtime::all(facts));
        found.extend(conf::all(facts));
        found.extend(networks::all(facts));
        found.extend(attachments::all(facts));
        found.extend(leaks::all(facts));
        found.extend(reach::all(facts));
        found.extend(server::all(facts));
        found.extend(watch::all(facts));
    }
    found.extend(unseen::all(facts));
    if found.iter().all(|finding| finding.severity != Severity::Error) {
        found.extend(watch::unexplained(facts));
    }
    let place = |symptom| Symptom::ALL.iter().position(|known| *known == symptom);
    found.sort_by_key(|finding| (place(finding.symptom), finding.severity, finding.code));
    found.into_iter().map(Finding::bounded).collect()
}

fn is_without_plugin(facts: &Facts) -> bool {
    facts.node.settings.conf_dir == Mode::Without && facts.node.unusable.is_none()
}

fn is_private(facts: &Facts) -> bool {
    facts.node.settings.conf_dir == Mode::Private
}

#[cfg(test)]
mod tests;
