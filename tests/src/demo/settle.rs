//! Waiting until a step of the migration has been looked at for long enough.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::host::deadline;
use crate::probe::Gauge;

/// Tells a mesh that probes from one that hangs.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// A directed pair of pods, by name.
pub(super) type Pair = (String, String);

/// What every pair had had when a test began to wait for more.
#[derive(Debug)]
pub(super) struct Settling {
    base: BTreeMap<Pair, u64>,
    pairs: Vec<Pair>,
    least: u64,
}

impl Settling {
    /// Every one of `pairs` is to have `least` more probes over UDP, and as many over TCP: answered or lost.
    ///
    /// A loss ends a wait as an answer does: it is counted, and the migration goes on to show what else happens.
    pub(super) fn begin(gauge: &Gauge, pairs: Vec<Pair>, least: u64) -> Settling {
        Settling { base: settled(gauge), pairs, least }
    }

    /// A pair that has not had them yet, in words; none if all have.
    fn lacks(&self, gauge: &Gauge) -> Option<String> {
        let ((src, dst), had) = lacking(&self.base, &settled(gauge), &self.pairs, self.least)?;
        Some(format!("{src} -> {dst} had {had} probes, expected {}", self.least))
    }

    /// Waits until all have.
    ///
    /// # Errors
    /// Names a pair that is not probed as it should be.
    pub(super) fn wait(&self, gauge: &Gauge) -> Result<()> {
        let mut last_sums = None;
        let outcome = deadline::until("probes of this step", SETTLED_WITHIN, || {
            // Sums are cheap; the pairs are looked at only when something has come in.
            let sums = gauge.progress();
            if last_sums.replace(sums) == Some(sums) {
                return Ok(None);
            }
            Ok(self.lacks(gauge).is_none().then_some(()))
        });
        outcome.with_context(|| self.lacks(gauge).unwrap_or_else(|| "they came too late".to_owned()))
    }
}

/// The first pair that has had less than `least` probes since `base`, and how many it had.
fn lacking<'a>(
    base: &BTreeMap<Pair, u64>,
    now: &BTreeMap<Pair, u64>,
    pairs: &'a [Pair],
    least: u64,
) -> Option<(&'a Pair, u64)> {
    let count = |counts: &BTreeMap<Pair, u64>, pair| counts.get(pair).copied().unwrap_or_default();
    let had = pairs.iter().map(|pair| (pair, count(now, pair).saturating_sub(count(base, pair))));
    had.into_iter().find(|(_, had)| *had < least)
}

/// Probes that had their end, per directed pair: the smaller count of the two kinds.
fn settled(gauge: &Gauge) -> BTreeMap<Pair, u64> {
    let mut sums: BTreeMap<Pair, [u64; 2]> = BTreeMap::new();
    for pair in gauge.report().phases.into_iter().flat_map(|phase| phase.pairs) {
        let sum = sums.entry((pair.src, pair.dst)).or_default();
        sum[0] += pair.udp.answered + pair.udp.lost;
        sum[1] += pair.tcp.answered + pair.tcp.lost + pair.broken;
    }
    sums.into_iter().map(|(pair, [udp, tcp])| (pair, udp.min(tcp))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_probes_of_this_step_count() {
        let pair = |src: &str, dst: &str| (src.to_owned(), dst.to_owned());
        let (forward, backward) = (pair("a", "b"), pair("b", "a"));
        let base = [(forward.clone(), 7)].into();
        let now = [(forward.clone(), 9), (backward.clone(), 2)].into();
        let pairs = [forward.clone(), backward.clone()];
        assert_eq!(lacking(&base, &now, &pairs, 2), None);
        assert_eq!(lacking(&base, &now, &pairs, 3), Some((&forward, 2)));
        assert_eq!(lacking(&base, &now, &[backward.clone(), pair("c", "a")], 2), Some((&pair("c", "a"), 0)));
    }
}
