//! `permit`: a pipeline asks whether it may take a node away.

use std::time::Duration;

use migration::drive::permit::Answer;
use serde::Serialize;
use types::command::exit::Exit;
use types::command::problem::Problem;

use crate::cli::Permit;
use crate::cli::exit::Failure;
use crate::cli::options::Global;
use crate::commands::source;
use crate::live;
use crate::print::{Document, Report};

/// What a pipeline is answered.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct PermitReport {
    /// The Node's name.
    pub node: String,
    /// Whether it may go.
    pub answer: PermitAnswer,
    /// Why; empty if it may go.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// What helps.
    #[serde(skip)]
    pub help: String,
}

/// Whether a node may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PermitAnswer {
    /// Its pipeline may drain it and take it away.
    Go,
    /// Not yet: ask again.
    Later,
    /// This run never lets it go.
    Never,
    /// The request is taken back.
    Released,
}

/// Runs the command.
///
/// # Errors
/// The settings cannot be read, or a request failed.
pub(crate) fn permit(global: &Global, args: &Permit) -> Result<PermitReport, Failure> {
    let settings = live::Settings::from_config(&source::settings(global)?);
    let failed = |(exit, problem)| Failure::from_problem(exit, problem);
    let report =
        |answer, why: String, help: String| PermitReport { node: args.node.clone(), answer, why, help };
    if args.release {
        live::release(&global.access, settings, &args.node).map_err(failed)?;
        return Ok(report(PermitAnswer::Released, String::new(), String::new()));
    }
    let wait = Duration::from_secs(args.wait.into());
    Ok(match live::permit(&global.access, settings, &args.node, wait).map_err(failed)? {
        Answer::Go => report(PermitAnswer::Go, String::new(), String::new()),
        Answer::Later(why) => {
            let help =
                "ask again, or with --wait SECONDS; kubectl crossfade status says what the run waits for";
            report(PermitAnswer::Later, why, help.into())
        }
        Answer::Never(why, help) => report(PermitAnswer::Never, why, help),
    })
}

impl Report for PermitReport {
    fn document(&self) -> Document {
        let Self { node, answer, why, help } = self;
        let mut document = Document::new(format!("Node {node}"));
        document.text(match answer {
            PermitAnswer::Go => "It may go: drain it and take it away.".into(),
            PermitAnswer::Later => format!("Not yet: {why}.\n{help}"),
            PermitAnswer::Never => format!("It must stay: {why}.\n{help}"),
            PermitAnswer::Released => "The request is taken back.".into(),
        });
        document
    }

    fn exit(&self) -> Exit {
        match self.answer {
            PermitAnswer::Go | PermitAnswer::Released => Exit::Done,
            PermitAnswer::Later => Exit::TryLater,
            PermitAnswer::Never => Exit::No,
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let has_problem = self.exit() != Exit::Done;
        let problem = || {
            Problem::new(self.why.clone()).with_place(format!("Node/{}", self.node)).fix(self.help.clone())
        };
        has_problem.then(problem).into_iter().collect()
    }
}
