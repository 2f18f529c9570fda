//! `check --settings`: whether a settings file is valid, and what it means with all defaults.

use migration::check;
use migration::config::Config;
use serde::Serialize;

use super::source;
use crate::cli::exit::Failure;
use crate::cli::options::Global;
use crate::print::{Document, Report};
use types::command::exit::Exit;
use types::command::problem::Problem;

/// The settings.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Settings {
    /// The settings with all defaults.
    pub config: Config,
}

/// Runs the command.
///
/// # Errors
/// The file is missing or invalid, or a waiver names a finding that there cannot be.
pub(crate) fn check(global: &Global) -> Result<Settings, Failure> {
    if global.config.is_none() {
        let problem = Problem::new("no settings file is named")
            .with_place("--config")
            .fix("name the file: --config FILE");
        return Err(Failure::from_problem(Exit::Usage, problem));
    }
    let config = source::settings(global)?;
    let problems = unknown_codes(&config);
    if problems.is_empty() { Ok(Settings { config }) } else { Err(Failure::all(Exit::BadSettings, problems)) }
}

/// Waivers of findings that no check has.
fn unknown_codes(config: &Config) -> Vec<Problem> {
    let waivers = config.waivers.iter().enumerate();
    let problem = |(index, waiver): (usize, &migration::config::Waiver)| {
        let Problem { what, fix, .. } = check::CATALOG.find(&waiver.finding).err()?;
        let place = format!("waivers[{index}].finding");
        Some(Problem::new(format!("{place}: {what}")).with_place(place).fix(fix))
    };
    waivers.filter_map(problem).collect()
}

impl Report for Settings {
    fn document(&self) -> Document {
        let mut document = Document::new("The settings are valid. With all defaults they are:");
        let text = serde_saphyr::to_string(&self.config).unwrap_or_default();
        document.list(text.lines().map(str::to_owned), usize::MAX);
        document
    }
}
