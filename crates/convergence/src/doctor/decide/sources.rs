//! Sources that could not be read. What a source does not have is a line of the report, and no finding.

use crate::doctor::facts::{Facts, Source};
use crate::doctor::finding::Finding;
use crate::doctor::rule::{Rule, Severity, Symptom};

pub const RULES: &[&Rule] = &[&RUNTIME_CONFIG, &API_SERVER, &SOURCE_UNREAD];

/// What a source that cannot be read means for the other findings.
const HIDDEN: &str =
    "doctor could not read this source, so what only this source shows is not among the findings";

const SOURCE_UNREAD: Rule = Severity::Warning.rule(
    Symptom::Unseen,
    "source-unread",
    "A source on the node could not be read: the runtime's sandboxes, the kernel, systemd or the journal.\n\n\
     The findings that need that source are missing. Without root, or in a pod without the node's network namespace, this is expected.",
    HIDDEN,
    "Remove the cause that the `seen` lines name.",
);

const API_SERVER: Rule = Severity::Warning.rule(
    Symptom::Unseen,
    "api-server",
    "The API server did not answer with kubelet's credential, or refused.\n\n\
     The findings that need the Node and its pods are missing.",
    HIDDEN,
    "Remove the cause that the `seen` lines name.",
);

const RUNTIME_CONFIG: Rule = Severity::Warning.rule(
    Symptom::Unseen,
    "runtime-config",
    "The runtime's configuration cannot be read, so `doctor` may look into other directories than the runtime does.",
    "the runtime's configuration cannot be read, so the directories that it uses are a guess",
    "Correct the configuration that the `seen` lines name.",
);

pub fn all(facts: &Facts) -> Vec<Finding> {
    let kernel = unread(&SOURCE_UNREAD, "the kernel", &facts.kernel);
    let sandboxes = unread(&SOURCE_UNREAD, "the runtime", &facts.sandboxes);
    let units = unread(&SOURCE_UNREAD, "systemd", &facts.units);
    let journal = unread(&SOURCE_UNREAD, "the journal", &facts.journal);
    let server = unread(&API_SERVER, "the API server", &facts.server);
    let config = facts.node.runtime.problem().map(|why| {
        let finding = Finding::from_problem(&RUNTIME_CONFIG, why).with_evidence([why.what.as_str()]);
        let fix = if why.fix.is_empty() {
            "correct the configuration that the evidence names"
        } else {
            why.fix.as_str()
        };
        finding.with_manual_step(fix)
    });
    [kernel, sandboxes, units, journal, server, config].into_iter().flatten().collect()
}

fn unread<T>(rule: &'static Rule, name: &str, source: &Source<T>) -> Option<Finding> {
    let Source::Unread(why) = source else { return None };
    let finding = Finding::new(rule).with_objects([name]).with_evidence([why.what.as_str()]);
    let fix = if why.fix.is_empty() { "remove the cause that the evidence names" } else { why.fix.as_str() };
    Some(finding.with_manual_step(fix).run("crossfade-bootstrap doctor", "looks again"))
}
