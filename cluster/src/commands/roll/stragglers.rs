//! `roll stragglers`: pods that are not attached as their cluster should have them by now.

mod fix;

use serde::Serialize;
use types::command::exit::Exit;
use types::command::problem::Problem;
use types::policy::Phase;
use types::text::list::first_few;

use crate::cli::exit::Failure;
use crate::cli::options::Global;
use crate::cli::roll::Stragglers as StragglersArgs;
use crate::commands::source;
use crate::print::{Document, Report};

pub(crate) use fix::{FixPreview, FixReport};
use migration::plan::stragglers::{StragglerReason, StragglerReport, find, furthest_phase};

/// How many pods of an owner a line names.
const NAMED: usize = 3;

/// What was found.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Told"))]
#[serde(rename_all = "camelCase")]
pub(crate) struct StragglersReport {
    /// The phase in which every pod should be attached.
    pub phase: Phase,
    /// What is not.
    #[serde(flatten)]
    pub report: StragglerReport,
}

/// What the command answers.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub(crate) enum Answer {
    /// What there is.
    Report(StragglersReport),
    /// What would be done about it.
    Preview(Box<FixPreview>),
    /// What was done about it.
    Fix(Box<FixReport>),
}

/// Runs the command.
///
/// # Errors
/// The settings, the snapshot or the plan cannot be read, no node says in which phase it is, a run goes on, or a request failed.
pub(crate) fn stragglers(global: &Global, args: &StragglersArgs) -> Result<Answer, Failure> {
    match &args.plan {
        Some(hash) => fix::apply(global, hash, args).map(|carried| Answer::Fix(Box::new(carried))),
        None if args.fix => fix::plan(global, args).map(|planned| Answer::Preview(Box::new(planned))),
        None => find_stragglers(global, args).map(Answer::Report),
    }
}

fn find_stragglers(global: &Global, args: &StragglersArgs) -> Result<StragglersReport, Failure> {
    let config = source::settings(global)?;
    let snapshot = source::nodes_and_pods(global)?;
    let phase = args.phase.or_else(|| furthest_phase(&snapshot)).ok_or_else(no_phase_failure)?;
    Ok(StragglersReport { phase, report: find(&snapshot, phase, &config) })
}

/// No node says in which phase it is.
fn no_phase_failure() -> Failure {
    let problem = Problem::new("no node says in which phase it is").with_place("Node");
    let fix = "install Crossfade on the nodes, or name the phase: --phase PHASE";
    Failure::from_problem(Exit::No, problem.fix(fix))
}

const fn describe_reason(because: StragglerReason) -> &'static str {
    match because {
        StragglerReason::Attached => "attached in another phase",
        StragglerReason::Node => "its node is in another phase",
        StragglerReason::Silent => "its node does not report",
        StragglerReason::Plain => "Crossfade is not on its node",
        StragglerReason::Terminating => "being deleted",
    }
}

impl StragglersReport {
    fn describe(&self, document: &mut Document) {
        let StragglerReport { stragglers, unnamed } = &self.report;
        if stragglers.is_empty() && unnamed.is_empty() {
            document.text("There are none.");
            return;
        }
        let rows = stragglers.iter().map(|group| {
            let pods = first_few(&group.pods, NAMED).join(" ");
            let mut why = describe_reason(group.because).to_owned();
            if !group.images.is_empty() {
                why.push_str(&format!(" (image {})", group.images.join(", ")));
            }
            vec![group.owner.clone(), group.pods.len().to_string(), why, pods, group.fix.clone()]
        });
        document.table(vec!["OWNER", "PODS", "WHY", "NAMES", "FIX"], rows.collect());
        document.list(
            unnamed.iter().map(|(node, count)| {
                format!("Node/{node} has {count} more attachments of other phases, and no pod is known for them; on the node: crossfade-bootstrap attachments")
            }),
            30,
        );
    }

    fn exit(&self) -> Exit {
        if self.report == StragglerReport::default() { Exit::Done } else { Exit::No }
    }

    fn problems(&self) -> Vec<Problem> {
        let pods = self.report.stragglers.iter();
        pods.map(|group| {
            Problem::new(describe_reason(group.because))
                .with_place(group.owner.clone())
                .fix(group.fix.clone())
        })
        .collect()
    }
}

impl Report for Answer {
    fn document(&self) -> Document {
        match self {
            Self::Report(report) => {
                let title = format!("Stragglers: pods that are not attached in phase {}", report.phase);
                let mut document = Document::new(title);
                report.describe(&mut document);
                document
            }
            Self::Preview(planned) => planned.document(),
            Self::Fix(carried) => carried.document(),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Report(report) => report.exit(),
            Self::Preview(planned) => planned.exit(),
            Self::Fix(carried) => carried.exit(),
        }
    }

    fn problems(&self) -> Vec<Problem> {
        match self {
            Self::Report(report) => report.problems(),
            Self::Preview(planned) => planned.problems(),
            Self::Fix(carried) => carried.problems(),
        }
    }
}
