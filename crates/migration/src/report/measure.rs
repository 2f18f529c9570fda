//! The measurements of probes and gates: how many probes were lost between pods of two kinds, and for how long.

use std::collections::{BTreeMap, BTreeSet};

use reachability::class::{Packet, Target};
use reachability::report::{ClassCounts, Counts};
use reachability::{Kind, Phase};
use serde::{Deserialize, Serialize};

use super::journal::{Entry, JournalEvent};
use super::text;
use crate::plan::Plan;

/// How many classes a file may have.
const CLASSES: usize = 1_000;
/// Longest name of an end, in bytes.
const NAME: usize = 64;
/// Ends that are no pods, as agents name them.
const NODE: &str = "node";
const SERVICE: &str = "service";
const DNS: &str = "dns";

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
    /// What was measured, by the files; none if nothing was.
    pub measured: Option<Figures>,
    /// What the agents of the run's gates measured, by its journal; none if nothing was. Files may have the same probes.
    pub gates: Option<Figures>,
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

impl MeasuredClass {
    /// Adds probes up by who asked and who answered, without what a policy denies.
    #[must_use]
    pub fn sums(rows: impl IntoIterator<Item = ClassCounts>) -> Vec<Self> {
        let mut sums: BTreeMap<(Kind, Target), Counts> = BTreeMap::new();
        for ClassCounts { class, counts } in rows {
            if class.packet != Packet::DeniedUdp {
                *sums.entry((class.from, class.to)).or_default() += counts;
            }
        }
        let name = |kind: Kind| match kind {
            Kind::Host => NODE.to_owned(),
            Kind::Pod(phase) => phase.to_string(),
        };
        let class = |((from, to), counts): ((Kind, Target), Counts)| Self {
            from: name(from),
            to: match to {
                Target::Agent(kind) => name(kind),
                Target::Service => SERVICE.to_owned(),
                Target::Dns => DNS.to_owned(),
            },
            sent: counts.judged(),
            lost: counts.lost,
            longest_gap_millis: Some(counts.longest_gap),
        };
        sums.into_iter().map(class).collect()
    }

    /// Whether agents may have measured it. In a journal, others may name as many ends as they like.
    fn is_of_agents(&self) -> bool {
        let is_end =
            |end: &String| Phase::parse(end).is_some() || [NODE, SERVICE, DNS].contains(&end.as_str());
        is_end(&self.from) && is_end(&self.to) && self.lost <= self.sent
    }
}

/// The classes that the plan's passes make pods need, in both directions, and all others that were measured.
pub(super) fn classes(plan: Option<&Plan>, files: &[Measurements], entries: &[Entry]) -> Vec<ClassReport> {
    let counted = entries.iter().filter_map(|entry| {
        let JournalEvent::Counted { count } = &entry.event else { return None };
        Some(&count.measured)
    });
    let files = sums(files.iter().flat_map(|file| &file.classes));
    let gates = sums(counted.flatten().filter(|class| class.is_of_agents()));
    let mut ends: BTreeSet<(String, String)> = files.keys().chain(gates.keys()).cloned().collect();
    for (from, to, _) in plan.iter().flat_map(|plan| plan.steps()) {
        ends.insert((from.to_string(), to.to_string()));
        ends.insert((to.to_string(), from.to_string()));
    }
    let class = |ends: (String, String)| {
        let [measured, gates] = [&files, &gates].map(|figures| figures.get(&ends).copied());
        ClassReport { from: ends.0, to: ends.1, measured, gates }
    };
    ends.into_iter().map(class).collect()
}

fn sums<'a>(classes: impl Iterator<Item = &'a MeasuredClass>) -> BTreeMap<(String, String), Figures> {
    let mut figures: BTreeMap<(String, String), Figures> = BTreeMap::new();
    for class in classes.filter(|class| class.sent > 0) {
        let MeasuredClass { sent, lost, longest_gap_millis, .. } = *class;
        let key = (text(&class.from), text(&class.to));
        let new = Figures { sent, lost, longest_gap_millis };
        figures.entry(key).and_modify(|sum| *sum = sum.with(new)).or_insert(new);
    }
    figures
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
