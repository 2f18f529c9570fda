//! `check --requirements`: what a migration requires, and whether this cluster has it.

use migration::check::{self, Scene};
use migration::cni::requirements::{Row, rows, script};
use serde::Serialize;
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::source;
use crate::cli::Migration;
use crate::cli::exit::Failure;
use crate::cli::options::Global;
use crate::print::{self, Document, Report};

/// The rows of a migration.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct RequirementsReport {
    /// The migration.
    #[serde(flatten)]
    pub migration: Migration,
    /// Each requirement with its state.
    pub requirements: Vec<Row>,
}

/// Runs `check --requirements`.
///
/// # Errors
/// The settings or the snapshot cannot be read.
pub(crate) fn requirements(global: &Global, migration: Migration) -> Result<RequirementsReport, Failure> {
    let config = source::settings(global)?;
    let snapshot = source::snapshot(global, Some(&migration))?;
    let Migration { from, to, strategy } = migration;
    let scene = Scene { snapshot: &snapshot, config: &config, from, to, strategy };
    Ok(RequirementsReport { migration, requirements: rows(&scene) })
}

/// Runs `check --dump-script`: the script goes to stdout, without a report beside it.
///
/// # Errors
/// stdout takes no more.
pub(crate) fn dump_script(migration: Migration) -> Result<Exit, Failure> {
    let Migration { from, to, .. } = migration;
    let mut kinds = check::kinds(from, to);
    kinds.extend(source::policy_kinds(from, to));
    print::stream(|out| out.write_all(script(&kinds, from, to).as_bytes()))
        .map(|()| Exit::Done)
        .map_err(|e| Failure::from_problem(Exit::Failed, format!("write to stdout: {e}")))
}

impl Report for RequirementsReport {
    fn document(&self) -> Document {
        let mut document = Document::new(format!("Requirements: {}", self.migration));
        let row = |row: &Row| {
            let (state, evidence, fix) = row.state.words();
            vec![
                row.name.to_owned(),
                state.to_owned(),
                row.what.to_owned(),
                evidence.to_owned(),
                fix.to_owned(),
            ]
        };
        let columns = vec!["REQUIREMENT", "STATE", "WHAT", "SEEN", "FIX"];
        document.table(columns, self.requirements.iter().map(row).collect());
        document
    }

    fn exit(&self) -> Exit {
        if self.requirements.iter().all(|row| row.state.is_met()) { Exit::Done } else { Exit::No }
    }

    fn problems(&self) -> Vec<Problem> {
        let unmet = self.requirements.iter().filter(|row| !row.state.is_met());
        let problem = |row: &Row| {
            let (_, _, fix) = row.state.words();
            Problem::new(row.sentence()).with_place(row.name).fix(fix)
        };
        unmet.map(problem).collect()
    }
}
