//! What a command says: lines for people, or one JSON document.

use std::fmt::Write as _;
use std::io::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

use crate::change::Change;
use crate::cli::Output;
use crate::exit::{Exit, Failure};

/// Version of every JSON document we print.
const VERSION: u32 = 1;

/// What a command found or did.
pub trait Report: Serialize {
    /// Lines for people.
    fn human(&self) -> String;

    /// The exit status.
    fn exit(&self) -> Exit {
        Exit::Done
    }
}

/// The report of every command that changes something.
///
/// *Shape*: `{"dryRun":false,"changes":[{"action":"write","target":"..","reason":"..","outcome":"done"}],"notes":[".."]}`;
/// `outcome` is absent in a dry run.
#[derive(Debug, Serialize)]
pub struct Changed {
    /// Nothing was changed.
    #[serde(rename = "dryRun")]
    pub dry_run: bool,
    /// The changes, in their order.
    pub changes: Vec<Done>,
    /// What a person may want to know.
    pub notes: Vec<String>,
}

/// One change and what became of it.
#[derive(Debug, Serialize)]
pub struct Done {
    /// The change.
    #[serde(flatten)]
    pub change: Change,
    /// None in a dry run, and for what was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It is done.
    Done,
    /// Somebody else has it in hand, or time ran out.
    Busy,
    /// It failed; why.
    Failed(String),
    /// An earlier one failed.
    Skipped,
}

impl Changed {
    /// What a dry run reports.
    #[must_use]
    pub fn planned(changes: Vec<Change>, notes: Vec<String>) -> Self {
        let changes = changes.into_iter().map(|change| Done { change, outcome: None }).collect();
        Self { dry_run: true, changes, notes }
    }

    /// What an apply reports.
    #[must_use]
    pub const fn applied(changes: Vec<Done>, notes: Vec<String>) -> Self {
        Self { dry_run: false, changes, notes }
    }
}

impl Report for Changed {
    fn human(&self) -> String {
        let mut text = String::new();
        for done in &self.changes {
            let outcome = match &done.outcome {
                None | Some(Outcome::Done) => String::new(),
                Some(Outcome::Busy) => ": busy, left for the next time".into(),
                Some(Outcome::Skipped) => ": not done".into(),
                Some(Outcome::Failed(why)) => format!(": failed: {why}"),
            };
            let _ = writeln!(text, "{}{outcome}", done.change);
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        text
    }

    fn exit(&self) -> Exit {
        if self.changes.iter().any(|done| matches!(done.outcome, Some(Outcome::Failed(_)))) {
            Exit::Failed
        } else {
            Exit::Done
        }
    }
}

/// Prints a report and returns the exit status.
pub fn report(output: Output, report: &impl Report) -> Exit {
    let text = match output {
        Output::Human => report.human(),
        Output::Json => {
            let mut document = json!({"version": VERSION});
            if let (Value::Object(all), Ok(Value::Object(own))) =
                (&mut document, serde_json::to_value(report))
            {
                all.extend(own);
            }
            format!("{document}\n")
        }
    };
    print(&text);
    report.exit()
}

/// Prints what stands in the way: to stderr for people, as a document for programs.
pub fn failure(output: Output, failure: &Failure) -> Exit {
    match output {
        Output::Human => {
            let mut text = String::new();
            for finding in &failure.findings {
                let _ = writeln!(text, "crossfade-bootstrap: {finding}");
            }
            // Nobody to tell: the exit status says it all the same.
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
        Output::Json => print(&format!("{}\n", json!({"version": VERSION, "findings": failure.findings}))),
    }
    failure.exit
}

/// Says on stderr what is waited for: the journal has it at once, and not only when the wait is over.
pub fn waiting(findings: &[String]) {
    let mut text = String::new();
    for finding in findings {
        let _ = writeln!(text, "crossfade-bootstrap: waiting: {finding}");
    }
    // As in `failure`.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Prints one line of something that goes on.
pub fn line(text: &str) {
    print(&format!("{text}\n"));
}

fn print(text: &str) {
    let mut out = std::io::stdout();
    // A reader that went away (`| head`) is no failure of ours.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
