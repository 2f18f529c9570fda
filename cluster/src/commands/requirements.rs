//! `requirements`: what a migration requires, and whether this cluster has it.

use migration::check;
use migration::check::Scene;
use migration::cni::requirements::{Row, rows, script};
use serde::Serialize;
use types::exit::Exit;
use types::problem::Problem;

use super::source;
use crate::cli::exit::Failure;
use crate::cli::options::Global;
use crate::cli::{Migration, Requirements};
use crate::print::{self, Document, Report};

/// The rows of a migration.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RequirementsReport {
    /// The migration.
    #[serde(flatten)]
    pub migration: Migration,
    /// Each requirement with its state.
    pub requirements: Vec<Row>,
}

/// Runs the command. A script that goes to stdout has no report beside it.
///
/// # Errors
/// The settings or the snapshot cannot be read, or stdout takes no more.
pub fn requirements(global: &Global, wanted: &Requirements) -> Result<Option<RequirementsReport>, Failure> {
    if wanted.dump {
        let Migration { from, to, .. } = wanted.migration;
        let mut kinds = check::kinds(from, to);
        kinds.extend(source::policy_kinds(from, to));
        return print::stream(|out| out.write_all(script(&kinds, from, to).as_bytes()))
            .map(|()| None)
            .map_err(|e| Failure::of(Exit::Failed, format!("write to stdout: {e}")));
    }
    let config = source::settings(global)?;
    let snapshot = source::snapshot(global, Some(&wanted.migration))?;
    let Migration { from, to, strategy } = wanted.migration;
    let scene = Scene { snapshot: &snapshot, config: &config, from, to, strategy };
    Ok(Some(RequirementsReport { migration: wanted.migration, requirements: rows(&scene) }))
}

impl Report for RequirementsReport {
    fn document(&self) -> Document {
        let mut document = Document::new(format!("Requirements: {}", self.migration));
        let row = |row: &Row| {
            let (state, seen, fix) = row.state.words();
            vec![row.name.to_owned(), state.to_owned(), row.what.to_owned(), seen.to_owned(), fix.to_owned()]
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
            Problem::new(row.sentence()).at(row.name).fix(fix)
        };
        unmet.map(problem).collect()
    }
}
