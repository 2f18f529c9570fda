//! The saved report of a run.

pub(super) mod machine;
mod table;

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Serialize;

use super::Options;
use super::statistics::{Pairs, Ratio, Summary};
use crate::{build::dist, host::command};
use machine::Machine;

/// Format of the saved report.
const FORMAT: u32 = 1;

/// A whole run.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Format of this document.
    pub version: u32,
    /// When the run began, UTC, as in `2026-03-01T120000Z`.
    pub date: String,
    pub machine: Machine,
    /// How much was measured.
    pub options: Options,
    /// Pairs.
    pub rows: Vec<Row>,
    /// What verbs cost beyond their delegates.
    pub costs: Vec<Cost>,
    /// Single figures.
    pub figures: Vec<Figure>,
    /// The numbers to reach.
    pub goals: Vec<Goal>,
    /// What failed although it must not.
    pub errors: Vec<String>,
    /// What was still there although it must not be.
    pub leftovers: Vec<String>,
    /// Parts that this machine cannot run.
    pub not_run: Vec<String>,
}

/// One thing measured in pairs.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// What the first side is, as in `bare`.
    pub first: String,
    /// What the second side is, as in `shim`.
    pub second: String,
    /// The first side.
    pub bare: Summary,
    /// The second side.
    pub through: Summary,
    /// Second minus first, pair by pair.
    pub difference: Summary,
    /// Second by first, pair by pair.
    pub ratio: Ratio,
}

/// What a verb costs beyond its delegates, beside the least that it could.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// The verb.
    pub what: String,
    /// The floor: a program that does nothing and, where the verb makes something durable, one durable file.
    pub floor: Summary,
    /// What the shim adds to the bare calls; all that it takes where it calls no plugin.
    pub overhead: Summary,
    /// That by the floor, p50 by p50.
    pub to_floor: f64,
    /// The same of Multus, if it was measured.
    pub multus: Option<Summary>,
    /// That by the floor, p50 by p50.
    pub multus_to_floor: Option<f64>,
}

/// One thing measured by itself.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figure {
    /// What was measured.
    pub what: String,
    pub value: f64,
    /// Of what, as in `KiB`.
    pub unit: String,
}

/// One of the numbers to reach, which is reached when each of its limits is held.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Goal {
    pub what: String,
    /// All of them must hold.
    pub limits: Vec<Limit>,
}

/// A value and what it may be at most.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limit {
    /// What was measured.
    pub what: String,
    /// How much it may be.
    pub at_most: f64,
    pub value: f64,
    pub unit: String,
    /// Whether it is at most that.
    pub held: bool,
}

impl Report {
    pub(super) fn new(options: &Options, machine: Machine, date: String) -> Report {
        Report {
            version: FORMAT,
            date,
            machine,
            options: options.clone(),
            rows: Vec::new(),
            costs: Vec::new(),
            figures: Vec::new(),
            goals: Vec::new(),
            errors: Vec::new(),
            leftovers: Vec::new(),
            not_run: Vec::new(),
        }
    }

    /// Takes in what was measured bare and through the shim.
    pub(super) fn pairs(&mut self, what: impl Into<String>, pairs: &Pairs) {
        self.compared(what, ["bare", "shim"], pairs);
    }

    /// Takes in what was measured on two sides of these names.
    pub(super) fn compared(&mut self, what: impl Into<String>, [first, second]: [&str; 2], pairs: &Pairs) {
        self.rows.push(Row {
            what: what.into(),
            first: first.to_owned(),
            second: second.to_owned(),
            bare: pairs.bare(),
            through: pairs.through(),
            difference: pairs.difference(),
            ratio: pairs.ratio(),
        });
    }

    pub(super) fn figure(&mut self, what: impl Into<String>, value: f64, unit: &str) {
        self.figures.push(Figure { what: what.into(), value, unit: unit.to_owned() });
    }

    pub(super) fn goal(&mut self, what: &str, limits: Vec<Limit>) {
        self.goals.push(Goal { what: what.to_owned(), limits });
    }

    /// Whether nothing failed and nothing was left over; how long things took does not matter.
    pub fn is_clean(&self) -> bool {
        self.errors.is_empty() && self.leftovers.is_empty()
    }

    pub(super) fn finish(&mut self) -> Result<()> {
        self.machine.load_at_end = machine::load()?[0];
        Ok(())
    }

    /// Saves it as `target/bench/DATE.json`, which belongs to the owner of the checkout.
    ///
    /// # Errors
    /// What the file system says.
    pub fn save(&self) -> Result<PathBuf> {
        let target = dist::workspace().join("target");
        let directory = target.join("bench");
        fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
        let path = directory.join(format!("{}.json", self.date));
        fs::write(&path, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("writing {}", path.display()))?;
        let owner = fs::metadata(&target)?;
        for made in [&directory, &path] {
            chown(made, Some(owner.uid()), Some(owner.gid()))
                .with_context(|| format!("owner of {}", made.display()))?;
        }
        Ok(path)
    }

    /// The report for people: tables, goals, faults.
    pub fn render(&self) -> String {
        table::render(self)
    }
}

impl Cost {
    pub(super) fn new(what: &str, floor: Summary, overhead: Summary, multus: Option<Summary>) -> Cost {
        let by_floor = |cost: &Summary| cost.median_us / floor.median_us;
        Cost {
            what: what.to_owned(),
            to_floor: by_floor(&overhead),
            multus_to_floor: multus.as_ref().map(by_floor),
            floor,
            overhead,
            multus,
        }
    }
}

impl Goal {
    /// Whether all of it holds.
    pub fn is_reached(&self) -> bool {
        self.limits.iter().all(|limit| limit.held)
    }
}

impl Limit {
    pub(super) fn new(what: &str, value: f64, at_most: f64, unit: &str) -> Limit {
        Limit { what: what.to_owned(), at_most, value, unit: unit.to_owned(), held: value <= at_most }
    }
}

/// Now, UTC, fit for a file name.
pub(super) fn now() -> Result<String> {
    let text = command::run(Command::new("date").args(["--utc", "+%Y-%m-%dT%H%M%SZ"]))?;
    Ok(text.trim().to_owned())
}
