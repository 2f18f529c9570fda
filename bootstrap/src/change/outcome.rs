//! The outcome of changes: carried out, or only planned.

use convergence::change::Change;
use convergence::failure::Failure;
use convergence::report::{Page, Report};
use serde::Serialize;
use types::command::exit::Exit;
use types::command::problem::Problem;

use crate::change::{Executor, settle};
use crate::cli::Global;
use crate::host::root::Root;

/// The report of every command that changes something.
///
/// *Shape*: `{"dryRun":false,"changes":[{"action":"write","target":"..","reason":"..","outcome":"done"}],"notes":[".."]}`;
/// `outcome` is absent in a dry run.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Changed"))]
pub(crate) struct ChangeReport {
    /// Nothing was changed.
    #[serde(rename = "dryRun")]
    pub dry_run: bool,
    /// The changes, in their order.
    pub changes: Vec<Done>,
    /// What a person may want to know.
    pub notes: Vec<String>,
    /// All is done, and it is not certain yet that it has the effect that it is meant to have; a note says why.
    #[serde(skip)]
    pub unconfirmed: bool,
}

/// One change and what became of it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Done {
    /// The change.
    #[serde(flatten)]
    #[cfg_attr(test, schemars(with = "crate::change::shape::Change"))]
    pub change: Change,
    /// None in a dry run, and for what was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) enum Outcome {
    /// It is done.
    Done,
    /// Another process has it in hand, or time ran out.
    Busy,
    /// It failed; why.
    Failed(String),
    /// An earlier one failed.
    Skipped,
}

impl Done {
    /// The change and what became of it, for people. `busy` says what it means that another process has it in hand.
    #[must_use]
    pub(crate) fn describe(&self, busy: &str) -> String {
        let change = &self.change;
        match &self.outcome {
            None | Some(Outcome::Done) => change.to_string(),
            Some(Outcome::Busy) => format!("{change}: {busy}"),
            Some(Outcome::Skipped) => format!("{change}: not done"),
            Some(Outcome::Failed(why)) => format!("{change}: failed: {why}"),
        }
    }
}

impl ChangeReport {
    /// What a dry run reports.
    #[must_use]
    pub(crate) fn from_plan(changes: Vec<Change>, notes: Vec<String>) -> Self {
        let changes =
            changes.into_iter().map(|change| Done { change: settle(change), outcome: None }).collect();
        Self { dry_run: true, changes, notes, unconfirmed: false }
    }

    /// What an apply reports.
    #[must_use]
    pub(crate) const fn from_done(changes: Vec<Done>, notes: Vec<String>) -> Self {
        Self { dry_run: false, changes, notes, unconfirmed: false }
    }

    /// The same, with more that a person may want to know.
    #[must_use]
    pub(crate) fn with_notes(mut self, notes: Vec<String>) -> Self {
        self.notes.extend(notes);
        self
    }

    /// The same, where it is not certain that it has its effect.
    #[must_use]
    pub(crate) fn with_confirm_error(mut self, why: Option<String>) -> Self {
        self.unconfirmed = why.is_some();
        self.notes.extend(why);
        self
    }
}

impl Report for ChangeReport {
    fn human(&self) -> Page {
        let mut text = Page::new();
        for done in &self.changes {
            let _ = writeln!(text, "{}", done.describe("busy, left for the next time"));
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        text
    }

    fn exit(&self) -> Exit {
        if self.changes.iter().any(|done| matches!(done.outcome, Some(Outcome::Failed(_)))) {
            Exit::Failed
        } else if self.unconfirmed {
            Exit::TryLater
        } else {
            Exit::Done
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let failed = self.changes.iter().filter_map(|done| match &done.outcome {
            Some(Outcome::Failed(why)) => Some(
                Problem::new(format!("{}: failed: {why}", done.change))
                    .with_place(done.change.target.as_str()),
            ),
            Some(Outcome::Done | Outcome::Busy | Outcome::Skipped) | None => None,
        });
        // The last note says why.
        let doubt = self.notes.last().filter(|_| self.unconfirmed);
        failed.chain(doubt.map(|why| Problem::new(why.as_str()))).collect()
    }
}

/// Carries out changes that need no means of a command's own; see [`Executor::apply_all`].
///
/// # Errors
/// The first that fails, with its target; those before it are done.
pub(crate) fn apply(root: &Root, changes: Vec<Change>) -> Result<Vec<Done>, Failure> {
    Executor::new_plain(root).apply_all(changes)
}

/// The end of a command of files and directories: carries the changes out, or says in a dry run what they would be.
///
/// # Errors
/// As [`apply`].
pub(crate) fn finish(
    global: &Global,
    changes: Vec<Change>,
    notes: Vec<String>,
) -> Result<ChangeReport, Failure> {
    if global.dry_run {
        return Ok(ChangeReport::from_plan(changes, notes));
    }
    Ok(ChangeReport::from_done(apply(&Root::new(&global.root), changes)?, notes))
}
