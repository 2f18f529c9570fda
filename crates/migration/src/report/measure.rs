//! The measurements of probes and gates: how many probes were lost between pods of two kinds, and for how long.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::text;
use crate::plan::Plan;

/// How many classes a file may have.
const CLASSES: usize = 1_000;
/// Longest name of an end, in bytes.
const NAME: usize = 64;

/// A file that a probe or a gate wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Measurements {
    /// Version of this shape; 1.
    pub version: u32,
    /// Each class of probes.
    pub classes: Vec<MeasuredClass>,
}

/// Probes from one kind of end to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct MeasuredClass {
    /// Who asked: a phase for pods of that kind, or another word such as `node`.
    pub from: String,
    /// Who answered: the same, or `service` or `dns`.
    pub to: String,
    /// How many probes were sent. A class of which none was is not measured.
    pub sent: u64,
    /// How many of them had no answer.
    pub lost: u64,
    /// The longest time without an answer, in milliseconds; none if the probe does not know it.
    #[serde(default)]
    pub longest_gap_millis: Option<u64>,
}

/// What is known of a class of probes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClassReport {
    /// Who asked.
    pub from: String,
    /// Who answered.
    pub to: String,
    /// What was measured; none if nothing was.
    pub measured: Option<Figures>,
}

/// What was measured of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// How many probes were sent.
    pub sent: u64,
    /// How many of them had no answer.
    pub lost: u64,
    /// The longest time without an answer, in milliseconds; none if that was not measured.
    pub longest_gap_millis: Option<u64>,
}

impl Measurements {
    /// The version that this program reads.
    pub const VERSION: u32 = 1;

    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it: what was expected, and what was found.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let all: Self = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        if all.version != Self::VERSION {
            return Err(format!("version: expected {}, found {}", Self::VERSION, all.version));
        }
        if all.classes.len() > CLASSES {
            return Err(format!("classes: expected at most {CLASSES}, found {}", all.classes.len()));
        }
        for class in &all.classes {
            let MeasuredClass { from, to, sent, lost, .. } = class;
            if let Some(end) = [from, to].into_iter().find(|end| end.is_empty() || end.len() > NAME) {
                return Err(format!("from and to: expected 1 to {NAME} bytes, found {end:?}"));
            }
            if lost > sent {
                return Err(format!(
                    "{from} to {to}: expected at most {sent} lost, as many as were sent, found {lost}"
                ));
            }
        }
        Ok(all)
    }
}

/// The classes that the plan's passes make pods need, in both directions, and all others that were measured.
pub(super) fn classes(plan: Option<&Plan>, measured: &[Measurements]) -> Vec<ClassReport> {
    let mut figures: BTreeMap<(String, String), Figures> = BTreeMap::new();
    for class in measured.iter().flat_map(|file| &file.classes).filter(|class| class.sent > 0) {
        let MeasuredClass { sent, lost, longest_gap_millis, .. } = *class;
        let key = (text(&class.from), text(&class.to));
        let new = Figures { sent, lost, longest_gap_millis };
        figures.entry(key).and_modify(|sum| *sum = sum.with(new)).or_insert(new);
    }
    let mut ends: BTreeSet<(String, String)> = figures.keys().cloned().collect();
    for (from, to, _) in plan.iter().flat_map(|plan| plan.steps()) {
        ends.insert((from.to_string(), to.to_string()));
        ends.insert((to.to_string(), from.to_string()));
    }
    let class = |(from, to): (String, String)| {
        let key = (from, to);
        let measured = figures.get(&key).copied();
        ClassReport { from: key.0, to: key.1, measured }
    };
    ends.into_iter().map(class).collect()
}

impl Figures {
    /// Both together. A gap that one of them does not know may be the longest.
    fn with(self, other: Self) -> Self {
        Self {
            sent: self.sent.saturating_add(other.sent),
            lost: self.lost.saturating_add(other.lost),
            longest_gap_millis: self.longest_gap_millis.zip(other.longest_gap_millis).map(|(a, b)| a.max(b)),
        }
    }
}
