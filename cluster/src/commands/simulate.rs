//! `plan --simulate`: plays the run of a plan on a likeness of the cluster, again and again.

use migration::check::{self, Scene};
use migration::plan::{self, notes};
use migration::plan::{Survey, canon};
use serde::Serialize;
use simulation::{Choice, History, Outcome, Scenario, Spread, Summary};
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::source;
use crate::cli::Migration;
use crate::cli::exit::Failure;
use crate::cli::options::Global;
use crate::print::plan::{blockers, duration};
use crate::print::{Document, Progress, Report};

/// What came of it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct SimulationReport {
    /// The migration.
    #[serde(flatten)]
    pub migration: Migration,
    /// How many histories were played.
    pub histories: u64,
    /// The seed of the first one.
    pub seed: u64,
    /// Things went wrong.
    #[serde(rename = "faults")]
    pub has_faults: bool,
    /// What the histories have in common; none if there is no plan.
    #[serde(flatten)]
    pub outcome: Option<Histories>,
    /// Everything that stands in the way of a plan.
    #[serde(skip)]
    pub blockers: Vec<Problem>,
}

/// The plan's histories.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct Histories {
    /// The plan's hash.
    pub hash: String,
    /// How long the plan takes if nothing waits, roughly.
    pub eta_seconds: u64,
    /// Nodes of the cluster.
    pub nodes: usize,
    /// Pods of the cluster.
    pub pods: usize,
    /// What the histories have in common.
    #[serde(flatten)]
    pub summary: Summary,
}

/// Runs the command.
///
/// # Errors
/// The settings or the snapshot cannot be read.
pub(crate) fn simulate(
    global: &Global,
    migration: Migration,
    histories: u64,
    seed: u64,
    faults: bool,
) -> Result<SimulationReport, Failure> {
    let Migration { from, to, strategy } = migration;
    let config = source::settings(global)?;
    let snapshot = source::snapshot(global, Some(&migration))?;
    let scene = Scene { snapshot: &snapshot, config: &config, from, to, strategy };
    let answer = |outcome, blockers| SimulationReport {
        migration,
        histories,
        seed,
        has_faults: faults,
        outcome,
        blockers,
    };
    let plan = match plan::build(&scene, &Survey::gather(&scene), &check::run(&scene)) {
        Ok(plan) => plan,
        Err(blockers) => return Ok(answer(None, blockers)),
    };
    let choice = if faults { Choice::Some } else { Choice::Quiet };
    let progress = Progress::new();
    let play = |time: u64| -> (u64, Outcome) {
        progress.passing(&format!("history {} of {histories}", time + 1));
        let seed = seed.wrapping_add(time);
        (seed, History::new(Scenario::like(&scene, &plan, seed, choice), None).play())
    };
    let played: Vec<(u64, Outcome)> = (0..histories).map(play).collect();
    let outcome = Histories {
        hash: canon::hash(&plan),
        eta_seconds: notes::eta_seconds(&plan),
        nodes: snapshot.nodes.len(),
        pods: snapshot.pods.len(),
        summary: Summary::summarize(&played),
    };
    Ok(answer(Some(outcome), Vec::new()))
}

impl Report for SimulationReport {
    fn document(&self) -> Document {
        let mut document = Document::new(format!("Simulation: {}", self.migration));
        let Some(Histories { hash, eta_seconds, nodes, pods, summary }) = &self.outcome else {
            blockers(&mut document, &self.blockers);
            return document;
        };
        let Self { histories, seed, has_faults, .. } = self;
        let how = if *has_faults { "in which things go wrong" } else { "in which nothing goes wrong" };
        document.text(format!(
            "{histories} histories {how}, of a cluster like this one with {nodes} nodes and {pods} pods; seeds from {seed} on."
        ));
        document.text(format!(
            "The plan is {}, and estimates {}.",
            canon::shorten_hash(hash),
            duration(*eta_seconds)
        ));
        let row = |what: String, spread: &Spread, shown: fn(u64) -> String| {
            vec![what, shown(spread.least), shown(spread.median), shown(spread.most)]
        };
        let mut rows = Vec::new();
        for (index, pass) in summary.passes.iter().enumerate() {
            rows.push(row(format!("end of pass {}", index + 1), pass, duration));
        }
        rows.push(row("end of the run".into(), &summary.seconds, duration));
        rows.push(row("evictions".into(), &summary.evictions, |count| count.to_string()));
        rows.push(row("restarts of one pod".into(), &summary.restarts, |count| count.to_string()));
        rows.push(row("refused by budgets".into(), &summary.refused, |count| count.to_string()));
        document.table(vec!["WHAT", "LEAST", "MEDIAN", "MOST"], rows);
        if !summary.needed.is_empty() {
            document.heading("Where a person was needed");
            let lines = summary
                .needed
                .iter()
                .map(|(reason, count)| format!("{reason}: in {count} of {histories} histories"));
            document.list(lines, 40);
        }
        if !summary.unended.is_empty() {
            document.heading("Runs that did not come to an end");
            let lines = summary
                .unended
                .iter()
                .map(|unended| format!("seed {}: {}", unended.seed, unended.waits.join("; ")));
            document.list(lines, 20);
        }
        if !summary.broken.is_empty() {
            document.heading("What must never happen and did");
            let lines = summary.broken.iter().map(|broken| {
                format!(
                    "seed {}, after {}: {}: {}",
                    broken.seed,
                    duration(broken.at_seconds),
                    broken.invariant,
                    broken.why
                )
            });
            document.list(lines, 20);
        }
        document
    }

    fn exit(&self) -> Exit {
        let is_sound =
            |outcome: &Histories| outcome.summary.broken.is_empty() && outcome.summary.unended.is_empty();
        if self.outcome.as_ref().is_some_and(is_sound) { Exit::Done } else { Exit::No }
    }

    fn problems(&self) -> Vec<Problem> {
        let broken = self.outcome.iter().flat_map(|outcome| &outcome.summary.broken).map(|violation| {
            Problem::new(format!("{}: {}", violation.invariant, violation.why))
                .with_place(format!("the history of seed {}", violation.seed))
                .fix("do not begin this run; report the plan and the seed")
        });
        let unended = self.outcome.iter().flat_map(|outcome| &outcome.summary.unended).map(|item| {
            Problem::new(format!("the run did not come to an end: {}", item.waits.join("; ")))
                .with_place(format!("the history of seed {}", item.seed))
                .fix("see docs/roll.md for what helps against each reason, and change the settings or the cluster before the run")
        });
        self.blockers.iter().cloned().chain(unended).chain(broken).collect()
    }
}
