//! What a command says: lines for people, or one JSON document. Nobody else writes to stdout or stderr.

mod page;

use std::fmt;
use std::io::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

pub use self::page::{Page, json as escaped_document, line as escaped_line};
use crate::cli::Output;
use crate::cli::exit::{Exit, Failure};

/// Version of every JSON document we print.
const VERSION: u32 = 1;

/// What a command found or did.
pub trait Report: Serialize {
    /// Lines for people.
    fn human(&self) -> Page;

    /// The exit status.
    fn exit(&self) -> Exit {
        Exit::Done
    }
}

/// Prints a report and returns the exit status.
pub fn report(output: Output, report: &impl Report) -> Exit {
    match output {
        Output::Human => print(report.human().as_str()),
        Output::Json => {
            let mut all = json!({"version": VERSION});
            if let (Value::Object(all), Ok(Value::Object(own))) = (&mut all, serde_json::to_value(report)) {
                all.extend(own);
            }
            document(&all);
        }
    }
    report.exit()
}

/// Prints what stands in the way: to stderr for people, as a document for programs.
pub fn failure(output: Output, failure: &Failure) -> Exit {
    match output {
        Output::Human => {
            let mut page = Page::new();
            for finding in &failure.findings {
                let _ = writeln!(page, "crossfade-bootstrap: {finding}");
            }
            complain(&page);
        }
        Output::Json => document(&json!({"version": VERSION, "findings": failure.findings})),
    }
    failure.exit
}

/// Prints what the command line's parser says: help and version as they are, and a complaint, which quotes the arguments, as
/// safely as everything else.
pub fn usage(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        // As in `print`.
        let _ = error.print();
        return Exit::Done;
    }
    let mut page = Page::new();
    page.text(&error.render().to_string());
    complain(&page);
    Exit::Usage
}

/// Says on stderr what is waited for: the journal has it at once, and not only when the wait is over.
pub fn waiting(findings: &[String]) {
    let mut page = Page::new();
    for finding in findings {
        let _ = writeln!(page, "crossfade-bootstrap: waiting: {finding}");
    }
    complain(&page);
}

/// Prints one line of something that goes on.
pub fn line(text: &str) {
    let mut page = Page::new();
    let _ = writeln!(page, "{text}");
    print(page.as_str());
}

/// Says one line on stderr, for a program without a command line.
pub fn complaint(line: impl fmt::Display) {
    let mut page = Page::new();
    let _ = writeln!(page, "{line}");
    complain(&page);
}

fn document(all: &Value) {
    print(&format!("{}\n", escaped_document(&all.to_string())));
}

fn complain(page: &Page) {
    // Nobody to tell: the exit status says it all the same.
    let _ = std::io::stderr().write_all(page.as_str().as_bytes());
}

fn print(text: &str) {
    let mut out = std::io::stdout();
    // A reader that went away (`| head`) is no failure of ours.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Every source file of this program, with its text.
    fn sources(dir: &Path, all: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(dir).expect("list") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                sources(&path, all);
            } else {
                let text = std::fs::read_to_string(&path).expect("text");
                all.push((path.display().to_string(), text));
            }
        }
    }

    #[test]
    fn nobody_else_writes_to_stdout_or_stderr() {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut all = Vec::new();
        sources(&src, &mut all);
        assert!(all.len() > 100, "{} files", all.len());
        let ways = ["print!(", "println!(", "dbg!(", "io::stdout(", "io::stderr(", "/dev/tty"];
        for (path, text) in all.iter().filter(|(path, _)| !path.ends_with("/src/cli/print.rs")) {
            for way in ways {
                assert!(!text.contains(way), "{path} has {way}: print through print.rs");
            }
        }
    }
}
