//! The outcome of a history.

use std::collections::BTreeMap;

use migration::roll::wait::Reason;

use crate::history::queue::Millis;

/// How a history ended.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// What must never happen and did; none if all is well.
    pub violations: Vec<Violation>,
    /// What the run waited for at the end, where something was found.
    pub waits: Vec<String>,
    /// What happened how often.
    pub tally: Tally,
    /// How long it took, in milliseconds of the history's time.
    pub took: Millis,
    /// When each pass ended, in milliseconds of the history's time.
    pub passes: Vec<Millis>,
    /// How often the run restarted pods with pod network that were there at the end, those in whose place they came included: how many pods, by how often.
    pub restarts: BTreeMap<u64, u64>,
    /// What happened, in words, if it was asked for.
    pub trace: Vec<String>,
}

/// What must never happen and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The invariant's name: `R5`.
    pub invariant: &'static str,
    pub why: String,
    /// When, in milliseconds of the history's time.
    pub occurred_at: Millis,
}

impl Violation {
    /// The name of the rule that a run comes to its end when the last fault is over and a person does what each wait says.
    pub const UNENDED: &'static str = "the run comes to an end";
}

/// What happened how often.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events of any kind.
    pub events: u64,
    /// How often a run decided.
    pub looks: u64,
    /// How often a person saw that the run needs one, by the reason.
    pub holds: BTreeMap<Reason, u64>,
    /// Everything else, by name.
    pub times: BTreeMap<String, u64>,
}

impl Tally {
    /// One more.
    pub(crate) fn count(&mut self, what: &str) {
        match self.times.get_mut(what) {
            Some(times) => *times += 1,
            None => {
                self.times.insert(what.to_owned(), 1);
            }
        }
    }

    /// Both together.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.looks += other.looks;
        for (reason, times) in &other.holds {
            *self.holds.entry(*reason).or_default() += times;
        }
        for (what, times) in &other.times {
            *self.times.entry(what.clone()).or_default() += times;
        }
    }
}
