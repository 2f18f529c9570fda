//! The count of what a run really did, so that a run that did nothing is not believed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::stage::CallOutcome;

/// A DEL that failed for want of the netns, which is gone, and so counted as done.
const OUTLIVED: &str = "DEL done without the netns";

/// A JOIN that succeeded and called a plugin, and a LEAVE that did.
pub(crate) const JOINED: &str = "a network joined";
pub(crate) const LEFT: &str = "a network left";

/// Operations that a run of one history after the other must have had.
pub(crate) const OPERATIONS: [&str; 21] = [
    "ADD",
    "DEL",
    "JOIN",
    "LEAVE",
    "CHECK",
    "STATUS",
    "GC",
    "sweep",
    "killed",
    "orphaned",
    "orphaned, hanging",
    "flip",
    "break policy",
    "mend policy",
    "agent comes",
    "agent goes",
    "disk mended",
    "disk full",
    "disk read-only",
    "record torn",
    "reboot",
];

/// Outcomes that every such run must have had.
pub(crate) const OUTCOMES: [&str; 43] = [
    "ADD ok",
    "ADD killed",
    "ADD code 5",
    "ADD code 6",
    "ADD code 7",
    "ADD code 11",
    "ADD code 100",
    "ADD code 101",
    "ADD code 102",
    "ADD code 999",
    "DEL ok",
    "DEL killed",
    "DEL code 100",
    "DEL code 101",
    "DEL code 999",
    OUTLIVED,
    JOINED,
    LEFT,
    "JOIN ok",
    "JOIN killed",
    "JOIN code 3",
    "JOIN code 4",
    "JOIN code 7",
    "JOIN code 11",
    "JOIN code 107",
    "JOIN code 999",
    "LEAVE ok",
    "LEAVE killed",
    "LEAVE code 3",
    "LEAVE code 7",
    "LEAVE code 107",
    "LEAVE code 999",
    "CHECK ok",
    "CHECK code 3",
    "CHECK code 100",
    "STATUS ok",
    "STATUS code 50",
    "GC ok",
    "GC killed",
    "GC code 7",
    "sweep ok",
    "sweep killed",
    "sweep code 1",
];

/// Outcomes that are too rare for a short run, and that a long one must have had.
pub(crate) const RARE_OUTCOMES: [&str; 20] = [
    "ADD code 51",
    "JOIN code 5",
    "JOIN code 6",
    "JOIN code 101",
    "LEAVE code 5",
    "LEAVE code 103",
    "DEL code 7",
    "DEL code 11",
    "DEL code 51",
    "DEL code 103",
    "CHECK killed",
    "CHECK code 101",
    "CHECK code 103",
    "STATUS killed",
    "STATUS code 51",
    "GC code 11",
    "GC code 100",
    "GC code 101",
    "GC code 103",
    "sweep code 78",
];

/// Counts of one run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    histories: u64,
    operations: BTreeMap<&'static str, u64>,
    outcomes: BTreeMap<String, u64>,
}

impl Tally {
    /// Of a history that is about to begin.
    pub(crate) fn of_one() -> Self {
        Self { histories: 1, ..Self::default() }
    }

    pub(crate) fn step(&mut self, operation: &'static str) {
        *self.operations.entry(operation).or_default() += 1;
    }

    pub(crate) fn outcome(&mut self, call: &str, ended: CallOutcome) {
        let ended = match ended {
            CallOutcome::Success => "ok".to_owned(),
            CallOutcome::Killed => "killed".to_owned(),
            CallOutcome::Code(code) => format!("code {code}"),
        };
        *self.outcomes.entry(format!("{call} {ended}")).or_default() += 1;
    }

    /// A second network joined a pod, or left it.
    pub(crate) fn changed(&mut self, joined: bool) {
        *self.outcomes.entry(if joined { JOINED } else { LEFT }.to_owned()).or_default() += 1;
    }

    /// So many DELs counted as done although they failed for want of the netns.
    pub(crate) fn outlived(&mut self, count: usize) {
        if count > 0 {
            *self.outcomes.entry(OUTLIVED.to_owned()).or_default() += count as u64;
        }
    }

    pub(crate) fn steps(&self) -> u64 {
        self.operations.values().sum()
    }

    /// Takes another one in.
    pub(crate) fn add(&mut self, other: &Self) {
        self.histories += other.histories;
        for (name, count) in &other.operations {
            *self.operations.entry(name).or_default() += count;
        }
        for (name, count) in &other.outcomes {
            *self.outcomes.entry(name.clone()).or_default() += count;
        }
    }

    /// Holds when each of these operations and outcomes really occurred.
    ///
    /// # Errors
    /// Those that did not.
    pub(crate) fn has(&self, operations: &[&str], outcomes: &[&str]) -> Result<()> {
        let missing_operations = operations.iter().filter(|name| !self.operations.contains_key(**name));
        let missing_outcomes = outcomes.iter().filter(|name| !self.outcomes.contains_key(**name));
        let missing: Vec<_> = missing_operations.chain(missing_outcomes).collect();
        ensure!(missing.is_empty(), "this run never had {missing:?}, so it says nothing about them");
        Ok(())
    }

    /// The numbers of a run that took so long.
    pub(crate) fn report(&self, took: Duration) -> Report<'_> {
        Report { tally: self, took }
    }
}

/// A tally for people.
pub(crate) struct Report<'a> {
    tally: &'a Tally,
    took: Duration,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (steps, secs) = (self.tally.steps(), self.took.as_secs_f64());
        let rate = steps as f64 / secs.max(0.001);
        writeln!(
            f,
            "{} histories, {steps} steps in {secs:.0} s, {rate:.1} steps per second",
            self.tally.histories
        )?;
        let row = |counts: Vec<String>| counts.join(", ");
        let operations =
            self.tally.operations.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let outcomes = self.tally.outcomes.iter().map(|(name, count)| format!("{name}: {count}")).collect();
        writeln!(f, "  operations: {}", row(operations))?;
        write!(f, "  outcomes: {}", row(outcomes))
    }
}
