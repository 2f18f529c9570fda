//! The computing time of decisions.

use std::time::Duration;

use serde::Serialize;

/// The time that each decision worked: what other programs of the machine took meanwhile is not in it.
#[derive(Debug, Clone, Default)]
pub struct Decisions(Vec<u32>);

/// How long decisions worked, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Took"))]
#[serde(rename_all = "camelCase")]
pub struct DecisionTimes {
    /// How many decisions there were.
    pub count: usize,
    /// Half of them took at most this long.
    pub p50_micros: u32,
    /// Ninety-nine of a hundred took at most this long.
    pub p99_micros: u32,
    /// The longest.
    pub most_micros: u32,
}

impl Decisions {
    pub fn add(&mut self, took: Duration) {
        self.0.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    /// All of them in four numbers; none if there was no decision.
    #[must_use]
    pub fn took(&self) -> Option<DecisionTimes> {
        let mut all = self.0.clone();
        all.sort_unstable();
        let most_micros = *all.last()?;
        // The smallest one that at least so many percent do not exceed.
        let percent = |percent: usize| all[(all.len() * percent).div_ceil(100) - 1];
        Some(DecisionTimes {
            count: all.len(),
            p50_micros: percent(50),
            p99_micros: percent(99),
            most_micros,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_numbers_tell_of_all_decisions() {
        let mut decisions = Decisions::default();
        assert_eq!(decisions.took(), None);
        decisions.add(Duration::from_micros(7));
        let times = DecisionTimes { count: 1, p50_micros: 7, p99_micros: 7, most_micros: 7 };
        assert_eq!(decisions.took(), Some(times));
        for micros in 1..=199 {
            decisions.add(Duration::from_micros(1000 + micros));
        }
        let all = DecisionTimes { count: 200, p50_micros: 1099, p99_micros: 1197, most_micros: 1199 };
        assert_eq!(decisions.took(), Some(all));
    }
}
