//! What a command says: lines for people, or one JSON document.

use std::fmt::Write as _;
use std::io::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

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
