//! The report of `doctor`: the findings by symptom, and the sources that it could read.

use serde::Serialize;
use types::command::exit::Exit;
use types::command::problem::Problem;
use types::command::rule::{Explanation, without_links};

use crate::doctor::facts::{Facts, Source};
use crate::doctor::finding::{Finding, Repair};
use crate::doctor::rule::Severity;
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

    fn count(&self, severity: Severity) -> Option<String> {
        let count = self.findings.iter().filter(|finding| finding.severity == severity).count();
        let many = if count == 1 { "" } else { "s" };
        (count > 0).then(|| format!("{count} {severity}{many}"))
    }
}

impl Report for Diagnosis {
    fn human(&self) -> Page {
        let mut text = Page::new();
        let severities = [Severity::Error, Severity::Warning, Severity::Note];
        let counts: Vec<String> =
            severities.into_iter().filter_map(|severity| self.count(severity)).collect();
        let _ = match (self.exit(), counts.as_slice()) {
            (Exit::Done, []) => writeln!(text, "This node is all right: doctor found nothing wrong"),
            (Exit::Done, all) => writeln!(text, "This node is all right: {}", all.join(", ")),
            (_, all) => writeln!(text, "This node is not all right: {}", all.join(", ")),
        };
        for group in self.findings.chunk_by(|a, b| a.symptom == b.symptom) {
            let _ = writeln!(text);
            let _ = writeln!(text, "{}", group[0].symptom.title());
            for finding in group {
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
    let _ = writeln!(text, "  {} {}: {}", finding.severity, finding.rule.code, finding.cause);
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

/// The answer of `doctor --explain`.
impl Report for Explanation {
    fn human(&self) -> Page {
        let mut text = Page::new();
        let _ = writeln!(text, "{}", self.code);
        for line in without_links(&self.what).lines().filter(|line| !line.is_empty()) {
            let _ = writeln!(text, "  {line}");
        }
        let _ = writeln!(text, "  why   {}", self.why);
        let _ = writeln!(text, "  fix   {}", without_links(self.fix));
        text
    }
}
