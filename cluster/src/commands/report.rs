//! `report`: what a run did and what it cost.

mod archive;

use std::path::Path;

use migration::report::redact::redacted;
use migration::report::{Report as RunReport, Sources, report as decide};
use serde::Serialize;
use types::command::exit::Exit;
use types::command::problem::Problem;

use archive::ArchiveSummary;

use super::output_file::save;
use super::source;
use crate::cli::exit::Failure;
use crate::cli::options::Global;
use crate::cli::report::Report as ReportArgs;
use crate::input;
use crate::live::{self, History};
use crate::print::{self, Document, Progress, Report};

/// What a run did.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct RunAnswer {
    /// The report.
    #[serde(flatten)]
    pub report: RunReport,
    /// What could not be read.
    pub lacking: Vec<LackingItem>,
    /// The archive that was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<ArchiveSummary>,
    /// The files that were written.
    #[serde(skip)]
    pub files: Vec<String>,
}

/// Something that could not be read.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct LackingItem {
    /// What it is: `run`, `plan`, `journal`, `gates`; of an archive also `settings` and `policies-backup`.
    pub item: String,
    /// Why.
    #[serde(flatten)]
    pub problem: Problem,
}

impl LackingItem {
    fn new(item: &str, why: &str) -> Self {
        Self { item: item.into(), problem: Problem::new(why) }
    }
}

/// The format of a file, by its ending.
#[derive(Debug, Clone, Copy)]
enum Format {
    Html,
    Markdown,
    Json,
}

/// Runs the command.
///
/// # Errors
/// There is no such run, nothing of it can be read, or a file cannot be written.
pub(crate) fn report(global: &Global, arguments: &ReportArgs) -> Result<RunAnswer, Failure> {
    let formats: Vec<Format> = arguments.out.iter().map(|file| format(file)).collect::<Result<_, _>>()?;
    let named = arguments.archive.as_ref().and(global.config.as_ref());
    let settings = named.map(|_| source::settings(global)).transpose()?;
    let (mut sources, mut lacking) = gather(global, arguments)?;
    if arguments.redact {
        let (harmless, left_out) = redacted(sources);
        sources = harmless;
        // What is wrong with an item quotes names, and so do commands that help.
        lacking.iter_mut().for_each(|item| item.problem = Problem::new("it cannot be read"));
        let without = |item: &str| LackingItem::new(item, "it cannot be written without names");
        lacking.extend(left_out.into_iter().map(without));
    }
    let archive = arguments
        .archive
        .as_deref()
        .map(|file| (file, archive::gather(&sources, settings.as_ref(), arguments, &mut lacking)));
    let mut answer = RunAnswer { report: decide(sources), lacking, archive: None, files: Vec::new() };
    let archive =
        archive.map(|(file, items)| archive::write(file, items, &answer, arguments.redact)).transpose()?;
    let mut files = Vec::new();
    for (file, format) in arguments.out.iter().zip(formats) {
        let text = match format {
            Format::Html => print::page(&answer.document()),
            Format::Markdown => print::markdown_of(&answer),
            Format::Json => print::json_of(&answer),
        };
        save(file, |out| out.write_all(text.as_bytes()))
            .map_err(|problem| Failure::from_problem(Exit::Failed, problem))?;
        files.push(file.display().to_string());
    }
    (answer.archive, answer.files) = (archive, files);
    Ok(answer)
}

fn format(file: &Path) -> Result<Format, Failure> {
    match file.extension().and_then(|ending| ending.to_str()) {
        Some("html" | "htm") => Ok(Format::Html),
        Some("md" | "markdown") => Ok(Format::Markdown),
        Some("json") => Ok(Format::Json),
        _ => {
            let name = file.display().to_string();
            let problem = Problem::new(format!("--out {name}: the ending of the name says the format"))
                .with_place("--out");
            Err(Failure::from_problem(
                Exit::Usage,
                problem
                    .fix("let the name end in .html, .md or .json; -o markdown and -o json write to stdout, and --archive FILE writes an archive"),
            ))
        }
    }
}

/// Everything that is known of the run, and what could not be read.
fn gather(global: &Global, arguments: &ReportArgs) -> Result<(Sources, Vec<LackingItem>), Failure> {
    let failed = |problem| Failure::from_problem(Exit::Failed, problem);
    let mut pieces = Vec::new();
    for file in &arguments.journal {
        pieces.push(input::history::journal(file).map_err(failed)?);
    }
    let mut measured = Vec::new();
    for file in &arguments.measured {
        measured.push(input::history::measurements(file).map_err(failed)?);
    }
    let id = arguments.run.as_deref();
    let history = if global.snapshot.is_empty() {
        live::history(&global.access, id)
    } else {
        let objects = input::history::objects(&global.snapshot).map_err(failed)?;
        History::of_objects(&objects, id)
    };
    let History { id, run, plan, mut journal, gates, kubernetes, lacking } = match (history, id) {
        (Ok(history), _) => history,
        // The journal that a holder has kept says something without a cluster, too.
        (Err((_, problem)), Some(id)) if !pieces.is_empty() => {
            History { id: id.to_owned(), lacking: vec![("run", problem)], ..History::default() }
        }
        (Err((exit, problem)), _) => return Err(Failure::from_problem(exit, problem)),
    };
    journal.append(&mut pieces);
    let progress = Progress::new();
    let item = |(item, problem): (&'static str, Problem)| {
        progress.note(&format!("{item}: {}", problem.what));
        LackingItem { item: item.into(), problem }
    };
    let lacking = lacking.into_iter().map(item).collect();
    Ok((Sources { id, run, plan, journal, gates, measured, kubernetes }, lacking))
}

impl Report for RunAnswer {
    fn document(&self) -> Document {
        let mut document = print::history::document(&self.report);
        if !self.lacking.is_empty() {
            document.heading("What could not be read");
            let words = |lacking: &LackingItem| format!("{}: {}", lacking.item, lacking.problem.what);
            document.list(self.lacking.iter().map(words), 100);
        }
        if let Some(archive) = &self.archive {
            archive.render(&mut document);
        }
        if !self.files.is_empty() {
            document.text(format!("Written: {}", self.files.join(", ")));
        }
        document
    }
}
