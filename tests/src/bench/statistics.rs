//! Numbers out of repeated measurements.
//!
//! Medians and quantiles throughout: on a shared machine a mean says most about its worst moment. All times are in
//! microseconds, as floating point, since differences may be negative.

use std::time::Duration;

use serde::Serialize;

/// What a series of measurements amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    pub count: usize,
    /// The smallest, in microseconds.
    pub min_us: f64,
    /// Half of them are below, in microseconds.
    pub median_us: f64,
    /// 99 of 100 are below, in microseconds.
    pub p99_us: f64,
    /// Median distance from the median, in microseconds.
    pub deviation_us: f64,
}

/// The ratio of the two sides of a pair, over all pairs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ratio {
    /// A quarter of the pairs is below.
    pub lower_quartile: f64,
    /// Half of the pairs are below.
    pub median: f64,
    /// Three quarters of the pairs are below.
    pub upper_quartile: f64,
}

/// Pairs of measurements, bare and through the shim, taken one right after the other.
#[derive(Debug, Clone, Default)]
pub(super) struct Pairs {
    bare_us: Vec<f64>,
    through_us: Vec<f64>,
}

impl Pairs {
    /// Takes one pair in.
    pub(super) fn push(&mut self, bare: Duration, through: Duration) {
        self.bare_us.push(micros(bare));
        self.through_us.push(micros(through));
    }

    /// The bare calls.
    pub(super) fn bare(&self) -> Summary {
        Summary::new(&self.bare_us)
    }

    /// The calls through the shim.
    pub(super) fn through(&self) -> Summary {
        Summary::new(&self.through_us)
    }

    /// What each pair's call through the shim took longer than its bare one.
    pub(super) fn difference(&self) -> Summary {
        Summary::new(&self.each(|bare, through| through - bare))
    }

    /// How many times longer each pair's call through the shim took than its bare one.
    pub(super) fn ratio(&self) -> Ratio {
        let ratios = sorted(&self.each(|bare, through| through / bare));
        Ratio {
            lower_quartile: quantile(&ratios, 0.25),
            median: quantile(&ratios, 0.5),
            upper_quartile: quantile(&ratios, 0.75),
        }
    }

    fn each(&self, combine: impl Fn(f64, f64) -> f64) -> Vec<f64> {
        self.bare_us.iter().zip(&self.through_us).map(|(bare, through)| combine(*bare, *through)).collect()
    }
}

impl Summary {
    /// Sums up times in microseconds; all zero if there are none.
    pub(super) fn new(times_us: &[f64]) -> Summary {
        let times = sorted(times_us);
        let median = quantile(&times, 0.5);
        let distances: Vec<f64> = times.iter().map(|time| (time - median).abs()).collect();
        Summary {
            count: times.len(),
            min_us: quantile(&times, 0.0),
            median_us: median,
            p99_us: quantile(&times, 0.99),
            deviation_us: quantile(&sorted(&distances), 0.5),
        }
    }
}

/// A duration in microseconds.
pub(super) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

/// The value below which `part` of the sorted values lie, between two of them if need be; 0 if there are none.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = part * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_the_values() {
        let summary = Summary::new(&[4.0, 1.0, 2.0, 3.0]);
        assert_eq!((summary.min_us, summary.median_us, summary.count), (1.0, 2.5, 4));
        assert_eq!(summary.deviation_us, 1.0);
        let hundred: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!(Summary::new(&hundred).p99_us, 99.0);
        assert_eq!(Summary::new(&[]).median_us, 0.0);
    }

    #[test]
    fn pairs_are_compared_pair_by_pair() {
        let mut pairs = Pairs::default();
        for (bare, through) in [(10, 20), (100, 110), (1000, 1010)] {
            pairs.push(Duration::from_micros(bare), Duration::from_micros(through));
        }
        assert_eq!(pairs.difference().median_us.round(), 10.0);
        assert_eq!((pairs.ratio().median * 100.0).round(), 110.0);
    }
}
