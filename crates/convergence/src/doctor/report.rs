//! The report of `doctor`: the findings by symptom, and the sources that it could read.

use std::collections::BTreeSet;

use serde::Serialize;
use types::command::exit::Exit;
use types::command::problem::Problem;

use crate::doctor::code::{Severity, Symptom};
use crate::doctor::facts::{Facts, Source};
use crate::doctor::finding::{Finding, Repair};
use crate::report::{Page, Report};

/// The answer of `doctor`.
///
/// *Shape*: `{"phase":"old","findings":[{"code":"watch-down",..}],"sources":[{"source":"runtime","state":"read"}]}`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Diagnosis {
    /// The policy's phase; `null` while the policy cannot be used, and on a node of a final image.
    phase: Option<&'static str>,
    /// Everything that is wrong, by symptom, the gravest of each symptom first.
    findings: Vec<Finding>,
    /// What was read, and what was not.
    sources: Vec<SourceState>,
}

/// One source, and whether it was read.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct SourceState {
    /// The source.
    source: &'static str,
    /// Whether it was read.
    state: ReadState,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// Whether a source was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
enum ReadState {
    /// It was read.
    Read,
    /// The node does not have it, or it was not to be asked.
    Absent,
    /// It could not be read, which is a finding.
    Unread,
}

impl SourceState {
    fn from_source<T>(source: &'static str, read: &Source<T>) -> Self {
        let (state, why) = match read {
            Source::Read(_) => (ReadState::Read, None),
            Source::Absent(why) => (ReadState::Absent, Some(why.clone())),
            Source::Unread(why) => (ReadState::Unread, Some(why.what.clone())),
        };
        Self { source, state, why }
    }
}

impl Diagnosis {
    /// The answer for these findings.
    #[must_use]
    pub fn new(facts: &Facts, findings: Vec<Finding>) -> Self {
        let runtime = match facts.node.runtime.answer.trouble() {
            Some(why) => {
                SourceState { source: "runtime", state: ReadState::Unread, why: Some(why.to_owned()) }
            }
            None => SourceState::from_source("runtime", &facts.sandboxes),
        };
        let sources = vec![
            SourceState::from_source("records", &facts.state),
            runtime,
            SourceState::from_source("kernel", &facts.kernel),
            SourceState::from_source("systemd", &facts.units),
            SourceState::from_source("journal", &facts.journal),
            SourceState::from_source("api-server", &facts.server),
        ];
        let phase = facts.node.policy().filter(|_| facts.node.without_plugin().is_none());
        Self { phase: phase.map(|policy| policy.phase().as_str()), findings, sources }
    }

    fn failed_findings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity != Severity::Note)
    }

    fn count(&self, severity: Severity, word: &str) -> Option<String> {
        let count = self.findings.iter().filter(|finding| finding.severity == severity).count();
        let many = if count == 1 { "" } else { "s" };
        (count > 0).then(|| format!("{count} {word}{many}"))
    }
}

impl Report for Diagnosis {
    fn human(&self) -> Page {
        let mut text = Page::new();
        let counts = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")];
        let counts: Vec<String> =
            counts.iter().filter_map(|(severity, word)| self.count(*severity, word)).collect();
        let _ = match (self.exit(), counts.as_slice()) {
            (Exit::Done, []) => writeln!(text, "This node is all right: doctor found nothing wrong"),
            (Exit::Done, all) => writeln!(text, "This node is all right: {}", all.join(", ")),
            (_, all) => writeln!(text, "This node is not all right: {}", all.join(", ")),
        };
        let symptoms: BTreeSet<Symptom> = self.findings.iter().map(|finding| finding.symptom).collect();
        for symptom in Symptom::ALL.iter().filter(|symptom| symptoms.contains(symptom)) {
            let _ = writeln!(text);
            let _ = writeln!(text, "{}", symptom.title());
            for finding in self.findings.iter().filter(|finding| finding.symptom == *symptom) {
                show(&mut text, finding);
            }
        }
        let unread = self.sources.iter().filter(|source| source.state != ReadState::Read);
        for source in unread {
            let why = source.why.as_deref().unwrap_or_default();
            let _ = writeln!(text, "not read: {}: {why}", source.source);
        }
        text
    }

    fn exit(&self) -> Exit {
        if self.failed_findings().next().is_some() { Exit::No } else { Exit::Done }
    }

    fn problems(&self) -> Vec<Problem> {
        self.failed_findings().map(Finding::problem).collect()
    }
}

fn show(text: &mut Page, finding: &Finding) {
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let _ = writeln!(text, "  {severity} {}: {}", finding.code.as_str(), finding.cause);
    for object in &finding.objects {
        let _ = writeln!(text, "    on    {object}");
    }
    for line in &finding.evidence {
        let _ = writeln!(text, "    seen  {line}");
    }
    for Repair { command, what } in &finding.mend {
        let _ = match command {
            Some(command) => writeln!(text, "    run   {command}    # {what}"),
            None => writeln!(text, "    do    {what}"),
        };
    }
}
