//! `status`: how far the run is, and what it waits for.

use migration::drive::status::{Counts, PoolCounts, Status, line};
use serde::Serialize;
use types::command::exit::Exit;
use types::text::list::join_first;

use super::source;
use crate::cli::exit::Failure;
use crate::cli::options::Global;
use crate::cli::roll::Status as StatusArgs;
use crate::live;
use crate::print::{Document, Progress, Report};

/// How many lines of a list are shown.
const SHOWN: usize = 30;

/// How far the run is.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct StatusReport(pub Status);

/// Runs the command.
///
/// # Errors
/// There is no run, or a request failed.
pub(crate) fn status(global: &Global, args: &StatusArgs) -> Result<StatusReport, Failure> {
    let settings = live::Settings::from_config(&source::settings(global)?);
    let progress = Progress::new();
    let mut print = |status: &Status| {
        if args.watch {
            progress.event(&line(status));
        }
        args.watch
    };
    live::watch_status(&global.access, settings, &mut print)
        .map(StatusReport)
        .map_err(|(exit, problem)| Failure::from_problem(exit, problem))
}

/// Adds how far a run is.
pub(super) fn describe(document: &mut Document, status: &Status) {
    document.text(format!("{}.", line(status)));
    let mut fields = vec![
        ("run", format!("{}, plan {}", status.run, status.plan)),
        ("state", state(status)),
        ("held by", status.current_holder().map_or_else(|| "no process".into(), |holder| holder.to_string())),
    ];
    let attached: Vec<String> =
        status.attached.iter().map(|(phase, count)| format!("{count} {phase}")).collect();
    fields.push(("attached", if attached.is_empty() { "nothing".into() } else { attached.join(", ") }));
    if !status.silent.is_empty() {
        let names = join_first(&status.silent, 8);
        fields.push(("silent", format!("{} nodes: {names}", status.silent.len())));
    }
    if status.passes_left > 0 {
        let others = if status.restarts_left < status.passes_left {
            format!("; of pods that no network joins or leaves: {}", status.passes_left)
        } else {
            String::new()
        };
        fields.push(("restarts left", format!("{} of each pod{others}", status.restarts_left)));
    }
    if let Some(back) = &status.way_back {
        fields.push(("way back", format!("{back}: kubectl crossfade roll abort --to old")));
    }
    document.fields(fields);
    if status.zones.len() > 1 {
        let row = |(zone, counts): (&snapshot::model::Text, &Counts)| {
            let zone = if zone.is_empty() { "-".to_owned() } else { zone.to_string() };
            let numbers = [
                counts.all,
                counts.done,
                counts.in_transit,
                counts.held_nodes,
                counts.skipped,
                counts.pending,
                counts.not_ready,
            ];
            std::iter::once(zone).chain(numbers.iter().map(ToString::to_string)).collect()
        };
        let columns = vec!["ZONE", "NODES", "DONE", "IN TRANSIT", "HELD", "SKIPPED", "PENDING", "NOT READY"];
        document.table(columns, status.zones.iter().map(row).collect());
    }
    if !status.pools.is_empty() {
        let row = |counts: &PoolCounts| {
            let pool = if counts.pool.is_empty() { "-".to_owned() } else { counts.pool.to_string() };
            let numbers = [counts.old, counts.permitted, counts.gone, counts.arriving, counts.proven];
            let numbers = numbers.iter().map(ToString::to_string);
            let names = [pool, counts.method.into_str().to_owned()].into_iter();
            names.chain(numbers).chain([counts.describe_images()]).collect()
        };
        document.heading("Pools");
        let columns = vec!["POOL", "METHOD", "OLD", "MAY GO", "GONE", "ARRIVING", "PROVEN", "IMAGES"];
        document.table(columns, status.pools.iter().map(row).collect());
    }
    if !status.moving.is_empty() {
        let count = |count: Option<u32>| count.map_or_else(|| "?".into(), |count: u32| count.to_string());
        let rows = status.moving.iter().map(|moving| {
            vec![
                moving.node.to_string(),
                moving.state.as_str().into(),
                moving.to.to_string(),
                count(moving.remaining),
                count(moving.attached),
            ]
        });
        document.heading("In transit");
        document.table(vec!["NODE", "STATE", "TO", "LEFT", "ATTACHED"], rows.collect());
    }
    if !status.skipped.is_empty() {
        document.heading("Skipped");
        document.list(status.skipped.iter().map(|(object, reason)| format!("{object}: {reason}")), SHOWN);
    }
    if !status.unenforced.is_empty() {
        document.heading("Policies that no CNI enforces in some phase");
        document.list(status.unenforced.iter().map(ToString::to_string), SHOWN);
    }
    if !status.gates.is_empty() {
        let rows =
            status.gates.iter().map(|gate| vec![gate.name.clone(), gate.color.into(), gate.why.clone()]);
        document.heading("Gates");
        document.table(vec!["GATE", "IS", "WHY"], rows.collect());
    }
    if !status.waits.is_empty() {
        document.heading("Waits for");
        let lines = status.waits.iter().map(|wait| {
            let help = if wait.help.is_empty() { String::new() } else { format!(" Helps: {}", wait.help) };
            let person = if wait.is_held { "a person: " } else { "" };
            format!("{person}{}, {}: {}.{help}", wait.object, wait.reason, wait.what)
        });
        document.list(lines, SHOWN);
    }
}

fn state(status: &Status) -> String {
    use migration::roll::run::State;
    match &status.state {
        State::Running => "running".into(),
        State::Paused(pause) => format!("paused by {}: {}", pause.operator, pause.why),
        State::Stopped(pause) => format!("stopped by {}: {}", pause.operator, pause.why),
        State::Done => "done".into(),
    }
}

impl Report for StatusReport {
    fn document(&self) -> Document {
        let mut document = Document::new("Status");
        describe(&mut document, &self.0);
        document
    }

    fn exit(&self) -> Exit {
        Exit::Done
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use migration::config::roll::Method;
    use migration::roll::run::{State, UnenforcedPolicies};
    use types::policy::Phase;

    use super::*;
    use crate::print::Block;

    fn report() -> StatusReport {
        StatusReport(Status {
            run: "r-1".into(),
            plan: "4be1".into(),
            pass: 3,
            passes_left: 0,
            restarts_left: 0,
            from: Phase::New,
            to: None,
            is_final: false,
            way_back: None,
            state: State::Done,
            holder: None,
            held_since: None,
            renewed_at: None,
            nodes: Counts { all: 3, done: 2, ..Counts::default() },
            zones: BTreeMap::new(),
            pools: Vec::new(),
            attached: BTreeMap::new(),
            silent: Vec::new(),
            moving: Vec::new(),
            skipped: BTreeMap::new(),
            unenforced: Vec::new(),
            gates: Vec::new(),
            waits: Vec::new(),
        })
    }

    /// What follows the heading.
    fn below(report: &StatusReport, heading: &str) -> Block {
        let blocks = report.document().blocks;
        let is_heading = |block: &Block| *block == Block::Heading(None, heading.into());
        let index = blocks.iter().position(is_heading).expect("a heading");
        blocks[index + 1].clone()
    }

    #[test]
    fn pools_are_shown_with_their_images() {
        let mut report = report();
        let counts = PoolCounts {
            pool: "blue".into(),
            method: Method::Karpenter,
            nodes: 5,
            old: 3,
            permitted: 1,
            gone: 2,
            arriving: 1,
            proven: 1,
            images: [("5f2c".into(), 2)].into(),
        };
        report.0.pools = vec![counts, PoolCounts::default()];
        let Block::Table(_, rows) = below(&report, "Pools") else { panic!("no table") };
        let texts: Vec<String> = rows.iter().map(|row| row.cells.join(" ")).collect();
        assert_eq!(texts, ["blue karpenter 3 1 2 1 1 5f2c (2), none (3)", "- drain 0 0 0 0 0 "]);
    }

    #[test]
    fn what_is_skipped_is_shown_with_its_reason() {
        let skipped = [("Namespace/batch", "its jobs may wait"), ("b7", "its disk is broken")];
        let mut report = report();
        report.0.skipped = skipped.map(|(object, reason)| (object.into(), reason.to_owned())).into();
        let expected = ["Namespace/batch: its jobs may wait", "b7: its disk is broken"];
        assert_eq!(below(&report, "Skipped"), Block::List(expected.map(str::to_owned).into()));
    }

    #[test]
    fn policies_that_came_after_the_plan_are_shown() {
        let mut report = report();
        let titles = ["NetworkPolicy/x/p".to_owned()].into_iter();
        report.0.unenforced = vec![UnenforcedPolicies::new("NetworkPolicy", vec!["both-old", "new"], titles)];
        let expected = "These policies came since the plan was made, and no CNI enforces them for pods in phase both-old, new: NetworkPolicy/x/p.";
        let shown = below(&report, "Policies that no CNI enforces in some phase");
        assert_eq!(shown, Block::List(vec![expected.to_owned()]));
    }
}
