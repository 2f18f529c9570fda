//! The report of `seal`.

use convergence::change::Act;
use convergence::image::seal::Finding;
use convergence::report::{Page, Report};
use serde::Serialize;
use types::command::exit::Exit;
use types::command::problem::Problem;

use crate::change::outcome::{Done, Outcome};

/// What was removed, and what a person has to decide.
///
/// *Shape*: `{"sealed":false,"dryRun":true,"findings":[{"path":"..","why":"..","fix":".."}],"changes":[{"action":"remove","target":"..",
/// "reason":"..","outcome":"skipped"}],"notes":[".."]}`; an outcome is `done`, `skipped` (something is refused, so nothing
/// is done) or absent (only looked at, or kept because it is allowed).
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct SealReport {
    /// Nothing is in the way of an image any more.
    pub sealed: bool,
    /// Nothing was changed.
    #[serde(rename = "dryRun")]
    pub dry_run: bool,
    /// What a person has to decide.
    pub findings: Vec<Finding>,
    /// What is removed or emptied, in order, and what is kept because it is allowed.
    pub changes: Vec<Done>,
    /// What a person may want to know.
    pub notes: Vec<String>,
    /// Only asked: what would have to be removed is a "no", too.
    #[serde(skip)]
    pub is_check: bool,
}

/// Whether a change leaves something as it is.
pub(super) const fn is_kept(done: &Done) -> bool {
    matches!(done.change.act, Act::Keep)
}

impl Report for SealReport {
    fn human(&self) -> Page {
        let mut text = Page::new();
        for Finding { path, why, fix } in &self.findings {
            let _ = writeln!(text, "{:<8} {path}  ({why}): {fix}", "refuse");
        }
        for done in &self.changes {
            let skipped = if done.outcome == Some(Outcome::Skipped) { ": not done" } else { "" };
            let _ = writeln!(text, "{}{skipped}", done.change);
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        text
    }

    fn exit(&self) -> Exit {
        if self.findings.is_empty() && (!self.is_check || self.changes.iter().all(is_kept)) {
            Exit::Done
        } else {
            Exit::No
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let refused = self.findings.iter();
        let refused = refused.map(|finding| {
            Problem::new(finding.why.as_str()).with_place(finding.path.as_str()).fix(finding.fix.as_str())
        });
        let pending_changes =
            self.changes.iter().filter(|done| self.is_check && !is_kept(done)).map(|done| {
                let problem =
                    Problem::new(done.change.reason.as_str()).with_place(done.change.target.as_str());
                problem.fix("run crossfade-bootstrap image seal without --check, which removes it")
            });
        refused.chain(pending_changes).collect()
    }
}
