//! The report of `graduate`.

use convergence::report::{Page, Report};
use serde::Serialize;
use shim::node::ledger;
use types::command::exit::Exit;
use types::command::problem::Problem;

use crate::change::outcome::{Done, Outcome};

/// What was done, what it waits for, and the ledger.
///
/// *Shape*: `{"dryRun":true,"stage":"planned","changes":[{"action":"write","target":"..","reason":"..","outcome":"done"}],
/// "waits":[{"what":"..","where":"..","fix":".."}],"ledger":[{..}],"journal":"/var/lib/..","notes":[".."]}`; an outcome is absent in a dry run.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct GraduateReport {
    /// Nothing was changed.
    #[serde(rename = "dryRun")]
    pub dry_run: bool,
    /// How far the node is.
    pub stage: GraduateStage,
    /// The steps, in their order.
    pub changes: Vec<Done>,
    /// What has to end before the rest follows.
    pub waits: Vec<Problem>,
    /// The whole ledger of this node: attachments that ended without their network's own DEL.
    pub ledger: Vec<ledger::Line>,
    /// The file that says how far the command has come; absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal: Option<String>,
    /// What a person may want to know.
    pub notes: Vec<String>,
}

impl GraduateReport {
    /// The report of a node without Crossfade.
    pub(crate) fn of_bare_node(apply: bool) -> Self {
        Self {
            dry_run: !apply,
            stage: GraduateStage::Graduated,
            changes: Vec::new(),
            waits: Vec::new(),
            ledger: Vec::new(),
            journal: None,
            notes: vec![
                "this node has neither Crossfade's conf nor a policy, so there is nothing to leave".into(),
            ],
        }
    }
}

/// How far a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Reached"))]
#[serde(rename_all = "lowercase")]
pub(crate) enum GraduateStage {
    /// Nothing was changed.
    Planned,
    /// The runtime calls the new network, and something of Crossfade's is still needed.
    Waiting,
    /// Nothing of Crossfade's is needed any more.
    Graduated,
}

impl Report for GraduateReport {
    fn human(&self) -> Page {
        let mut text = Page::new();
        for done in &self.changes {
            let _ = writeln!(text, "{}", done.describe("not done"));
        }
        for wait in &self.waits {
            let _ = writeln!(text, "{:<8} {wait}", "wait");
        }
        for line in &self.ledger {
            let _ = writeln!(text, "{}", describe_line(line));
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        text
    }

    fn exit(&self) -> Exit {
        if self.changes.iter().any(|done| matches!(done.outcome, Some(Outcome::Failed(_)))) {
            Exit::Failed
        } else if self.waits.is_empty() || self.dry_run {
            Exit::Done
        } else {
            Exit::TryLater
        }
    }

    fn problems(&self) -> Vec<Problem> {
        if self.dry_run { Vec::new() } else { self.waits.clone() }
    }
}

/// A line of the ledger, for people.
fn describe_line(line: &ledger::Line) -> String {
    let addresses: Vec<String> = line.addresses.iter().map(ToString::to_string).collect();
    let mut text = format!(
        "{:<8} {} {} on {}{}: {}",
        "owed",
        line.container_id,
        line.ifname,
        line.network,
        if addresses.is_empty() { String::new() } else { format!(", {}", addresses.join(", ")) },
        line.reason
    );
    for (word, what) in [("left", &line.leftovers), ("unknown", &line.unknown)] {
        if !what.is_empty() {
            text.push_str(&format!("; {word}: {}", what.join(", ")));
        }
    }
    text
}
