//! Sources that could not be read. What a source does not have is a line of the report, and no finding.

use crate::doctor::code::Code;
use crate::doctor::facts::{Facts, Source};
use crate::doctor::finding::Finding;

/// What a source that cannot be read means for the other findings.
const HIDDEN: &str =
    "doctor could not read this source, so what only this source shows is not among the findings";

pub fn all(facts: &Facts) -> Vec<Finding> {
    let kernel = unread(Code::SourceUnread, "the kernel", &facts.kernel);
    let sandboxes = unread(Code::SourceUnread, "the runtime", &facts.sandboxes);
    let units = unread(Code::SourceUnread, "systemd", &facts.units);
    let journal = unread(Code::SourceUnread, "the journal", &facts.journal);
    let server = unread(Code::ApiServer, "the API server", &facts.server);
    let config = facts.node.runtime.problem().map(|why| {
        let finding = Finding::from_problem(Code::RuntimeConfig, why).with_evidence([why.what.as_str()]);
        let cause = "the runtime's configuration cannot be read, so the directories that it uses are a guess";
        let fix = if why.fix.is_empty() {
            "correct the configuration that the evidence names"
        } else {
            why.fix.as_str()
        };
        Finding { cause: cause.into(), ..finding }.with_manual_step(fix)
    });
    [kernel, sandboxes, units, journal, server, config].into_iter().flatten().collect()
}

fn unread<T>(code: Code, name: &str, source: &Source<T>) -> Option<Finding> {
    let Source::Unread(why) = source else { return None };
    let finding = Finding::new(code, HIDDEN).with_objects([name]).with_evidence([why.what.as_str()]);
    let fix = if why.fix.is_empty() { "remove the cause that the evidence names" } else { why.fix.as_str() };
    Some(finding.with_manual_step(fix).run("crossfade-bootstrap doctor", "looks again"))
}
