//! `check`: every reason not to start.

use migration::check::finding::{Finding, Severity};
use migration::check::{self, Scene};
use migration::cni::enforcement::{self, Line};
use migration::cni::values::{self, Row};
use serde::Serialize;
use types::command::exit::Exit;
use types::command::problem::Problem;
use types::command::rule::{Explanation, without_links};

use super::source;
use crate::cli::Migration;
use crate::cli::exit::Failure;
use crate::cli::options::Global;
use crate::print::{Document, Report, findings, plan::pluralize};

/// What a check found.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct CheckReport {
    /// The migration.
    #[serde(flatten)]
    pub migration: Migration,
    /// How many nodes the snapshot has.
    pub nodes: usize,
    /// How many pods the snapshot has.
    pub pods: usize,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
    /// The settings of the new CNI, as they are and as each stage needs them.
    pub values: Vec<Row>,
    /// Which policies hold in which phase.
    pub enforcement: Vec<Line>,
}

/// Runs the command.
///
/// # Errors
/// The settings or the snapshot cannot be read.
pub(crate) fn check(global: &Global, migration: Migration) -> Result<CheckReport, Failure> {
    let config = source::settings(global)?;
    let snapshot = source::snapshot(global, Some(&migration))?;
    let Migration { from, to, strategy } = migration;
    let scene = Scene { snapshot: &snapshot, config: &config, from, to, strategy };
    let findings = check::run(&scene);
    Ok(CheckReport {
        migration,
        nodes: snapshot.nodes.len(),
        pods: snapshot.pods.len(),
        findings,
        values: values::rows(&scene),
        enforcement: enforcement::lines(&scene),
    })
}

impl CheckReport {
    fn count(&self, severity: Severity) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.waived.is_none() && finding.severity == severity)
            .count()
    }

    fn count_waived(&self) -> usize {
        self.findings.iter().filter(|finding| finding.waived.is_some()).count()
    }
}

impl Report for Explanation {
    fn document(&self) -> Document {
        let mut document = Document::new(self.code);
        let what = without_links(&self.what);
        what.lines().filter(|line| !line.is_empty()).for_each(|line| document.text(line));
        document.fields([("why", self.why.to_owned()), ("fix", without_links(self.fix))]);
        document
    }
}

impl Report for CheckReport {
    fn document(&self) -> Document {
        let mut document = Document::new(format!("Check: {}", self.migration));
        document.text(format!(
            "{}, {}: {} blocking, {}, {}, {} waived.",
            pluralize(self.nodes, "node"),
            pluralize(self.pods, "pod"),
            self.count(Severity::Blocks),
            pluralize(self.count(Severity::Risk), "risk"),
            pluralize(self.count(Severity::Note), "note"),
            self.count_waived()
        ));
        findings::add(&mut document, &self.findings);
        document
    }

    fn exit(&self) -> Exit {
        if self.findings.iter().any(Finding::blocks) { Exit::No } else { Exit::Done }
    }

    fn problems(&self) -> Vec<Problem> {
        let blocking = self.findings.iter().filter(|finding| finding.blocks());
        let problem = |finding: &Finding| {
            let place = finding.objects.first().map(ToString::to_string);
            let place = place.unwrap_or_else(|| finding.rule.code.to_owned());
            Problem::new(finding.what.clone()).with_place(place).fix(finding.fix.clone())
        };
        blocking.map(problem).collect()
    }
}
