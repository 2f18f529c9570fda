//! The output of a command: lines for people, or one JSON document. No other module writes to stdout or stderr.

use std::fmt;
use std::io::Write as _;

use convergence::failure::Failure;
use convergence::report::{Page, Report};
use serde_json::{Value, json};
use types::command::exit::Exit;
use types::command::problem::{Answer, Problem, VERSION};

use crate::cli::{Output, fix};

/// Prints a report and returns the exit status.
pub(crate) fn report(output: Output, report: &impl Report) -> Exit {
    match output {
        Output::Human => print(report.human().as_str()),
        Output::Json => document(&answer(report)),
    }
    report.exit()
}

/// A report as the document that programs read.
fn answer<R: Report>(report: &R) -> Value {
    let exit = report.exit();
    let problems = fix::complete(exit, &report.problems());
    let answer = Answer { version: VERSION, ok: exit == Exit::Done, problems, report };
    // Reports have names for keys, so that they always serialise.
    serde_json::to_value(answer).unwrap_or_default()
}

/// Prints what stands in the way: to stderr for people, as a document for programs.
pub(crate) fn failure(output: Output, failure: &Failure) -> Exit {
    let problems = fix::complete(failure.exit, &failure.problems);
    match output {
        Output::Human => complain(&complaints(&problems)),
        Output::Json => document(&refusal(problems)),
    }
    failure.exit
}

/// An answer of a command that has no report, for it did nothing.
fn refusal(problems: Vec<Problem>) -> Value {
    let nothing = serde_json::Map::new();
    json!(Answer { version: VERSION, ok: false, problems, report: nothing })
}

/// One line for each problem; the next step once, where several have the same.
fn complaints(problems: &[Problem]) -> Page {
    let mut page = Page::new();
    for (index, problem) in problems.iter().enumerate() {
        let _ = writeln!(page, "crossfade-bootstrap: {}", problem.what);
        if problems.get(index + 1).is_none_or(|next| next.fix != problem.fix) {
            let _ = writeln!(page, "  fix: {}", problem.fix);
        }
    }
    page
}

/// Says on stderr what is waited for: the journal has it at once, and not only when the wait is over.
pub(crate) fn print_waiting(findings: &[impl fmt::Display]) {
    let mut page = Page::new();
    for finding in findings {
        let _ = writeln!(page, "crossfade-bootstrap: waiting: {finding}");
    }
    complain(&page);
}

/// Says on stderr what a command is about, while it goes on.
pub(crate) fn progress(text: &str) {
    complaint(format!("crossfade-bootstrap: {text}"));
}

/// Prints one line of something that goes on.
pub(crate) fn line(text: &str) {
    let mut page = Page::new();
    let _ = writeln!(page, "{text}");
    print(page.as_str());
}

/// Says one line on stderr, for a program without a command line.
pub(crate) fn complaint(line: impl fmt::Display) {
    let mut page = Page::new();
    let _ = writeln!(page, "{line}");
    complain(&page);
}

fn document(all: &Value) {
    print(&format!("{}\n", types::text::escape::json(&all.to_string())));
}

fn complain(page: &Page) {
    // The reader is gone: the exit status says it all the same.
    let _ = std::io::stderr().write_all(page.as_str().as_bytes());
}

fn print(text: &str) {
    let mut out = std::io::stdout();
    // A reader that went away (`| head`) is no failure of the command.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints what the parser says: help and version as they are, and a complaint, which quotes the arguments, as safely as everything else.
pub(crate) fn usage(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        // A reader that went away (`| head`) is no failure.
        let _ = error.print();
        return Exit::Done;
    }
    if types::command::usage::format(std::env::args_os().skip(1), &["json"]).is_some() {
        document(&refusal(vec![types::command::usage::problem(error)]));
    } else {
        let mut page = Page::new();
        page.text(&error.render().to_string());
        complain(&page);
    }
    Exit::Usage
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
    fn no_other_module_writes_to_stdout_or_stderr() {
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
