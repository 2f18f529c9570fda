//! `stragglers`: pods that are not attached as their cluster should have them by now.

use serde::Serialize;
use types::exit::Exit;
use types::policy::Phase;
use types::problem::Problem;

use super::source;
use crate::cli::exit::Failure;
use crate::cli::options::Global;
use crate::cli::roll::Stragglers as Wanted;
use crate::print::{Document, Report};
use crate::stragglers::{Because, Found, find, furthest};

/// How many pods of an owner a line names.
const NAMED: usize = 3;

/// What was found.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// The phase in which every pod should be attached.
    pub phase: Phase,
    /// What is not.
    #[serde(flatten)]
    pub found: Found,
}

/// Runs the command.
///
/// # Errors
/// The settings or the snapshot cannot be read, or no node says in which phase it is.
pub fn stragglers(global: &Global, wanted: &Wanted) -> Result<Told, Failure> {
    source::settings(global)?;
    let snapshot = source::snapshot(global, None)?;
    let Some(phase) = wanted.phase.or_else(|| furthest(&snapshot)) else {
        let problem = Problem::new("no node says in which phase it is").at("Node");
        let fix = "install Crossfade on the nodes, or name the phase: --phase PHASE";
        return Err(Failure::of(Exit::No, problem.fix(fix)));
    };
    Ok(Told { phase, found: find(&snapshot, phase) })
}

const fn said(because: Because) -> &'static str {
    match because {
        Because::Attached => "attached in another phase",
        Because::Node => "its node is in another phase",
        Because::Silent => "its node does not report",
        Because::Terminating => "being deleted",
    }
}

impl Report for Told {
    fn document(&self) -> Document {
        let mut document =
            Document::new(format!("Stragglers: pods that are not attached in phase {}", self.phase));
        let Found { stragglers, unnamed } = &self.found;
        if stragglers.is_empty() && unnamed.is_empty() {
            document.text("There are none.");
            return document;
        }
        let rows = stragglers.iter().map(|one| {
            let mut pods = one.pods.iter().take(NAMED).cloned().collect::<Vec<_>>().join(" ");
            if one.pods.len() > NAMED {
                pods.push_str(&format!(" and {} more", one.pods.len() - NAMED));
            }
            vec![
                one.owner.clone(),
                one.pods.len().to_string(),
                said(one.because).into(),
                pods,
                one.fix.clone(),
            ]
        });
        document.table(vec!["OWNER", "PODS", "WHY", "NAMES", "FIX"], rows.collect());
        document.list(
            unnamed.iter().map(|(node, count)| {
                format!("Node/{node} has {count} more attachments of other phases, and no pod is known for them; on the node: crossfade-bootstrap attachments")
            }),
            30,
        );
        document
    }

    fn exit(&self) -> Exit {
        if self.found == Found::default() { Exit::Done } else { Exit::No }
    }

    fn problems(&self) -> Vec<Problem> {
        let pods = self.found.stragglers.iter();
        pods.map(|one| Problem::new(said(one.because)).at(one.owner.clone()).fix(one.fix.clone())).collect()
    }
}
