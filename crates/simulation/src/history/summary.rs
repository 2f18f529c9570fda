//! The summary of many histories of one cluster.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::history::outcome::{Outcome, Violation};

/// What several histories had of something: the least, the one in the middle, and the most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Spread {
    /// The least.
    pub least: u64,
    /// As many histories have more as have less.
    pub median: u64,
    /// The most.
    pub most: u64,
}

/// An invariant that was broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Broken"))]
pub struct BrokenInvariant {
    /// The history's seed.
    pub seed: u64,
    /// When, in seconds of the history's time.
    pub at_seconds: u64,
    /// Which: `R5`.
    pub invariant: String,
    /// How.
    pub why: String,
}

/// A run that did not come to an end, although a person did what its waits said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Unended"))]
pub struct UnendedRun {
    /// The history's seed.
    pub seed: u64,
    /// What it waited for when the history was broken off, a line each.
    pub waits: Vec<String>,
}

/// All histories together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// How long a run took, in seconds.
    pub seconds: Spread,
    /// How long until each pass ended, in seconds, the first one first.
    pub passes: Vec<Spread>,
    /// Pods that were evicted.
    pub evictions: Spread,
    /// How often the run restarted the pod that it restarted most often, those in whose place it came included.
    pub restarts: Spread,
    /// Evictions that a budget refused at first.
    pub refused: Spread,
    /// In how many histories a person was needed, by the reason that the run gave.
    pub needed: BTreeMap<String, u64>,
    /// Runs that did not come to an end.
    pub unended: Vec<UnendedRun>,
    /// What must never happen and did.
    pub broken: Vec<BrokenInvariant>,
}

impl Spread {
    /// Of these; zeros if there are none.
    #[must_use]
    pub fn summarize(mut all: Vec<u64>) -> Self {
        all.sort_unstable();
        let value_at = |place: usize| all.get(place).copied().unwrap_or_default();
        Self {
            least: value_at(0),
            median: value_at(all.len() / 2),
            most: value_at(all.len().saturating_sub(1)),
        }
    }
}

impl Summary {
    /// Of these histories, each with its seed.
    #[must_use]
    pub fn summarize(histories: &[(u64, Outcome)]) -> Self {
        let spread = |count_of: &dyn Fn(&Outcome) -> u64| {
            Spread::summarize(histories.iter().map(|(_, outcome)| count_of(outcome)).collect())
        };
        let times = |what: &'static str| {
            spread(&|outcome: &Outcome| outcome.tally.times.get(what).copied().unwrap_or_default())
        };
        let passes = histories.iter().map(|(_, outcome)| outcome.passes.len()).max().unwrap_or_default();
        let ended = |pass: usize| {
            let matching = histories.iter().filter_map(|(_, outcome)| outcome.passes.get(pass));
            Spread::summarize(matching.map(|time| time / 1000).collect())
        };
        let mut needed: BTreeMap<String, u64> = BTreeMap::new();
        for (_, outcome) in histories {
            for reason in outcome.tally.holds.keys() {
                *needed.entry(reason.to_string()).or_default() += 1;
            }
        }
        let is_unended = |violation: &&Violation| violation.invariant == Violation::UNENDED;
        let unended = histories
            .iter()
            .filter(|(_, outcome)| outcome.violations.iter().any(|violation| is_unended(&violation)));
        let unended = unended.map(|(seed, outcome)| UnendedRun { seed: *seed, waits: outcome.waits.clone() });
        let broken = histories.iter().flat_map(|(seed, outcome)| {
            outcome.violations.iter().filter(|violation| !is_unended(violation)).map(|violation| {
                BrokenInvariant {
                    seed: *seed,
                    at_seconds: violation.occurred_at / 1000,
                    invariant: violation.invariant.to_owned(),
                    why: violation.why.clone(),
                }
            })
        });
        Self {
            seconds: spread(&|outcome: &Outcome| outcome.took / 1000),
            passes: (0..passes).map(ended).collect(),
            evictions: times("an eviction: done"),
            restarts: spread(&|outcome: &Outcome| {
                outcome.restarts.last_key_value().map_or(0, |(most, _)| *most)
            }),
            refused: times("an eviction: 429, budget"),
            needed,
            unended: unended.collect(),
            broken: broken.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::outcome::Tally;
    use migration::roll::wait::Reason;

    fn history(seconds: u64, passes: &[u64], times: &[(&str, u64)]) -> Outcome {
        let times = times.iter().map(|(what, count)| ((*what).to_owned(), *count)).collect();
        let tally = Tally { times, ..Tally::default() };
        let passes = passes.iter().map(|pass| pass * 1000).collect();
        Outcome { took: seconds * 1000, passes, tally, ..Outcome::default() }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        for (all, least, median, most) in
            [(vec![], 0, 0, 0), (vec![7], 7, 7, 7), (vec![9, 1, 4], 1, 4, 9), (vec![4, 1, 9, 8], 1, 8, 9)]
        {
            assert_eq!(Spread::summarize(all), Spread { least, median, most });
        }
    }

    #[test]
    fn histories_are_put_together() {
        let mut bad = history(30, &[10], &[("an eviction: done", 4)]);
        bad.tally.holds.insert(Reason::BarePod, 5);
        bad.violations.push(Violation { invariant: "R5", why: "so".into(), occurred_at: 2500 });
        let histories = [(1, history(20, &[8, 20], &[("an eviction: done", 6)])), (2, bad)];
        let summary = Summary::summarize(&histories);
        assert_eq!(summary.seconds, Spread { least: 20, median: 30, most: 30 });
        assert_eq!(
            summary.passes,
            [Spread { least: 8, median: 10, most: 10 }, Spread { least: 20, median: 20, most: 20 }]
        );
        assert_eq!((summary.evictions.least, summary.evictions.most), (4, 6));
        assert_eq!(summary.needed, [("BarePod".to_owned(), 1)].into());
        let broken = BrokenInvariant { seed: 2, at_seconds: 2, invariant: "R5".into(), why: "so".into() };
        assert_eq!(summary.broken, [broken]);
        assert_eq!(summary.unended, []);
    }

    #[test]
    fn a_run_without_an_end_breaks_nothing() {
        let mut endless = history(30, &[], &[]);
        endless.violations.push(Violation {
            invariant: Violation::UNENDED,
            why: "all of it".into(),
            occurred_at: 30_000,
        });
        endless.waits.push("Node/a NodeSilent: it did not answer its claim".into());
        let summary = Summary::summarize(&[(7, endless.clone())]);
        assert_eq!(summary.unended, [UnendedRun { seed: 7, waits: endless.waits }]);
        assert_eq!(summary.broken, []);
    }
}
