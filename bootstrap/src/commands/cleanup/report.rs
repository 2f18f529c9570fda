//! The report of `cleanup`.

use convergence::commands::cleanup::decide::RetainedObject;
use convergence::report::{Page, Report};
use serde::Serialize;
use types::command::exit::Exit;
use types::command::problem::Problem;

use crate::change::outcome::{Done, Outcome};

/// What was removed, what stays, and what remains.
///
/// *Shape*: `{"profile":"flannel","dryRun":true,"changes":[{"action":"remove","target":"..","reason":"..","outcome":"done"}],
/// "kept":[{"target":"..","why":".."}],"look":[..],"remains":[".."],"reboot":[".."],"journal":"/var/lib/..","notes":[".."]}`; an outcome is
/// absent in a dry run.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct CleanupReport {
    /// The CNI's profile.
    pub profile: String,
    /// Nothing was changed.
    #[serde(rename = "dryRun")]
    pub dry_run: bool,
    /// The objects that are removed, in order.
    pub changes: Vec<Done>,
    /// What bears a name of the CNI's and stays.
    #[serde(rename = "kept")]
    pub retained: Vec<RetainedObject>,
    /// What a person has to judge.
    pub look: Vec<RetainedObject>,
    /// What was to be removed and is still there, by a second look.
    pub remains: Vec<String>,
    /// What only a reboot removes.
    pub reboot: Vec<String>,
    /// The file that says what was removed, and how to have it back; absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal: Option<String>,
    /// What a person may want to know.
    pub notes: Vec<String>,
    /// Why it stopped on the way.
    #[serde(skip)]
    pub stopped: Vec<Problem>,
}

impl Report for CleanupReport {
    fn human(&self) -> Page {
        let mut text = Page::new();
        for done in &self.changes {
            let _ = writeln!(text, "{}", done.describe("not done"));
        }
        for RetainedObject { target, why } in &self.retained {
            let _ = writeln!(text, "{:<8} {target}  ({why})", "keep");
        }
        for RetainedObject { target, why } in &self.look {
            let _ = writeln!(text, "{:<8} {target}  ({why})", "look");
        }
        for target in &self.remains {
            let _ = writeln!(text, "{:<8} {target}  (it is still there)", "remains");
        }
        for why in &self.reboot {
            let _ = writeln!(text, "reboot required: {why}");
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        text.problems(&self.stopped);
        text
    }

    fn exit(&self) -> Exit {
        let failed = self.changes.iter().any(|done| matches!(done.outcome, Some(Outcome::Failed(_))));
        let is_incomplete = !self.remains.is_empty() || !self.reboot.is_empty() || !self.stopped.is_empty();
        match (failed, is_incomplete && !self.dry_run) {
            (true, _) => Exit::Failed,
            (false, true) => Exit::No,
            (false, false) => Exit::Done,
        }
    }

    fn problems(&self) -> Vec<Problem> {
        if self.dry_run {
            return Vec::new();
        }
        let failed = self.changes.iter().filter_map(|done| match &done.outcome {
            Some(Outcome::Failed(why)) => {
                let fix = "remove the cause, then run the same command again; it goes on where it stopped";
                Some(
                    Problem::new(format!("{}: failed: {why}", done.change))
                        .with_place(done.change.target.as_str())
                        .fix(fix),
                )
            }
            Some(Outcome::Done | Outcome::Busy | Outcome::Skipped) | None => None,
        });
        let remains = self.remains.iter().map(|target| {
            let fix = "look who makes it again, such as an agent; then run the same command again";
            Problem::new(format!("{target} is still there")).with_place(target.as_str()).fix(fix)
        });
        let reboot = self.reboot.iter().map(|why| {
            Problem::new(format!("a reboot is required: {why}"))
                .with_place("node")
                .fix("drain and reboot the node, then run the same command again")
        });
        self.stopped.iter().cloned().chain(failed).chain(remains).chain(reboot).collect()
    }
}
