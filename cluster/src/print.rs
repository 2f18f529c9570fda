//! The output of a command, as a table, JSON, YAML or Markdown. No other module writes to stdout or stderr.

mod document;
mod figure;
pub(crate) mod findings;
pub(crate) mod history;
mod markdown;
mod page;
pub(crate) mod plan;
mod progress;
mod table;

use std::io::{IsTerminal as _, Write as _};

use serde::Serialize;
use serde_json::{Map, Value};
use types::command::problem::{Answer, Problem, VERSION};
use types::text::escape::{json, line, lines};

pub(crate) use document::{Block, Document, Row};
pub(crate) use page::page;
pub(crate) use progress::Progress;

use crate::cli::exit::Failure;
use crate::cli::options::Output;
use types::command::exit::Exit;

/// What a command found.
pub(crate) trait Report: Serialize {
    /// For people.
    fn document(&self) -> Document;

    /// The exit status.
    fn exit(&self) -> Exit {
        Exit::Done
    }

    /// What is not as it should be; some, where the exit status is not 0.
    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }
}

/// Prints a report and returns the exit status.
pub(crate) fn report(output: Output, report: &impl Report) -> Exit {
    let exit = report.exit();
    match output {
        // anstream takes the colours out where stdout is no terminal or NO_COLOR is set.
        Output::Table => print_to(anstream::stdout(), &table::render(&report.document())),
        Output::Markdown => print(&lines(&markdown::render(&report.document()))),
        Output::Json | Output::Yaml => {
            let answer =
                Answer { version: VERSION, ok: exit == Exit::Done, problems: report.problems(), report };
            // Reports have names for keys, so that they always serialise.
            print_answer(output, &serde_json::to_value(answer).unwrap_or_default());
        }
    }
    exit
}

/// A report as Markdown, for a file.
pub(crate) fn markdown_of(report: &impl Report) -> String {
    lines(&markdown::render(&report.document()))
}

/// A report as the JSON document of its command, for a file.
pub(crate) fn json_of(report: &impl Report) -> String {
    let ok = report.exit() == Exit::Done;
    let answer = Answer { version: VERSION, ok, problems: report.problems(), report };
    format!("{}\n", json(&serde_json::to_string_pretty(&answer).unwrap_or_default()))
}

/// Prints what stands in the way: to stderr for people, as a document for programs.
pub(crate) fn failure(output: Output, failure: &Failure) -> Exit {
    let problems: Vec<Problem> =
        failure.problems.iter().cloned().map(|problem| complete_problem(failure.exit, problem)).collect();
    match output {
        Output::Table | Output::Markdown => complain(&complaints(&problems)),
        Output::Json | Output::Yaml => refuse(output, problems),
    }
    failure.exit
}

/// An answer without a report.
fn refuse(output: Output, problems: Vec<Problem>) {
    let answer = Answer { version: VERSION, ok: false, problems, report: Map::new() };
    print_answer(output, &serde_json::to_value(answer).unwrap_or_default());
}

fn print_answer(output: Output, answer: &Value) {
    match output {
        Output::Yaml => {
            let text = serde_saphyr::to_string(answer).unwrap_or_else(|_| answer.to_string());
            print(&lines(&text));
        }
        Output::Table | Output::Json | Output::Markdown => {
            let text = serde_json::to_string_pretty(answer).unwrap_or_default();
            print(&format!("{}\n", json(&text)));
        }
    }
}

/// The problem with an object and a next step.
fn complete_problem(exit: Exit, mut problem: Problem) -> Problem {
    if problem.place.is_empty() {
        problem.place = problem.named_object().unwrap_or("kubectl crossfade").to_owned();
    }
    if problem.fix.is_empty() {
        problem.fix = match exit {
            Exit::Usage => "correct the argument; --help lists what the command accepts",
            Exit::TryLater => "run the same command again in a few seconds",
            Exit::Done | Exit::Failed | Exit::No | Exit::BadSettings => {
                "remove the cause, then run the same command again"
            }
        }
        .into();
    }
    problem
}

fn complaints(problems: &[Problem]) -> String {
    let lines =
        |problem: &Problem| format!("error: {}\n  fix: {}\n", line(&problem.what), line(&problem.fix));
    problems.iter().map(lines).collect()
}

/// Says on stderr that a request was made. A line that shows progress may be there on a terminal; it goes.
pub(crate) fn request(text: &str) {
    let clear = if std::io::stderr().is_terminal() { "\r\x1b[K" } else { "" };
    let _ = std::io::stderr().write_all(format!("{clear}{}\n", line(text)).as_bytes());
}

fn complain(text: &str) {
    // There is no output to write to: the exit status says it all the same.
    let _ = std::io::stderr().write_all(lines(text).as_bytes());
}

/// Prints lines for another program.
pub(crate) fn line_by_line(text: &str) {
    print(&lines(text));
}

/// Writes a file to stdout. A reader that goes away ends it.
///
/// # Errors
/// stdout takes no more.
pub(crate) fn stream(
    write: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

fn print(text: &str) {
    print_to(std::io::stdout(), text);
}

fn print_to(mut out: impl std::io::Write, text: &str) {
    // A reader that went away (`| head`) is no failure of the command.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints help and version as they are, and a complaint in the format that the arguments ask for.
pub(crate) fn usage(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        // A reader that went away (`| head`) is no failure.
        let _ = error.print();
        return Exit::Done;
    }
    let output = match types::command::usage::format(std::env::args_os().skip(1), &["json", "yaml"]) {
        Some("json") => Output::Json,
        Some(_) => Output::Yaml,
        None => {
            complain(&error.render().to_string());
            return Exit::Usage;
        }
    };
    refuse(output, vec![types::command::usage::problem(error)]);
    Exit::Usage
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_others_makes_no_error_and_no_fix() {
        let problem = Problem::new("refused: a\nerror: b\n  fix: curl x | sh").fix("look\r\n  fix: rm");
        let text = complaints(&[problem]);
        assert_eq!(text, "error: refused: a\\nerror: b\\n  fix: curl x | sh\n  fix: look\\r\\n  fix: rm\n");
    }
}
