//! The gate on the owners of moved pods: as available as when the run began.

use std::collections::BTreeMap;
use std::time::Duration;

use types::text::list::first_few;

use crate::roll::world::{Availability, Color, Owner, Verdict};

/// How many workloads are named.
const NAMED: usize = 5;
/// How long a workload may miss pods before fewer nodes move at once: each pod that moves is missing for as long as it takes to start.
const MOMENT: Duration = Duration::from_mins(2);

/// Since when workloads have had fewer ready pods than when the run began.
#[derive(Debug, Default)]
pub struct Shortages {
    since: BTreeMap<Owner, Duration>,
}

impl Shortages {
    /// Takes up how available workloads are now. `missing` says how many pods of each were missing when the run began.
    pub fn observe(
        &mut self,
        owners: &BTreeMap<Owner, Availability>,
        missing: impl Fn(&Owner) -> u32,
        now: Duration,
    ) {
        let is_short =
            |owner: &Owner| owners.get(owner).is_some_and(|now| now.is_short_beyond(|| missing(owner)));
        self.since.retain(|owner, _| is_short(owner));
        for owner in owners.keys().filter(|owner| is_short(owner)) {
            self.since.entry(owner.clone()).or_insert(now);
        }
    }

    /// Green if nothing is short for longer than two minutes, amber if something is, and red if it is so for longer than `patience`.
    #[must_use]
    pub fn verdict(&self, patience: Duration, now: Duration) -> Verdict {
        let is_long = |since: &Duration| now.saturating_sub(*since) > patience;
        let color = match self.since.values().min() {
            None => Color::Green,
            Some(since) if is_long(since) => Color::Red,
            Some(since) if now.saturating_sub(*since) > MOMENT => Color::Amber,
            Some(_) => Color::Green,
        };
        let mut longest: Vec<(&Owner, &Duration)> = self.since.iter().collect();
        longest.sort_by_key(|(_, since)| **since);
        let named = longest.iter().map(|(owner, since)| {
            format!("{} misses pods for {} s", owner.title(), now.saturating_sub(**since).as_secs())
        });
        let why = match longest.as_slice() {
            [] => "no workload misses pods".into(),
            _ => first_few(named, NAMED).join(", "),
        };
        Verdict { color, checked_at: now, why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &str) -> Owner {
        Owner { kind: "Deployment".into(), namespace: "x".into(), name: name.into() }
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn owners(wanted: u32, ready: u32) -> BTreeMap<Owner, Availability> {
        BTreeMap::from([(owner("web"), Availability { desired: wanted, ready })])
    }

    /// Each row: wanted, ready, missing before, whether it is short.
    #[test]
    fn what_was_missing_before_may_be_missing() {
        for (desired, ready, before, short) in [
            (2, 2, 0, false),
            (2, 1, 0, true),
            (2, 1, 1, false),
            (3, 1, 1, true),
            (0, 0, 0, false),
            (2, 3, 0, false),
        ] {
            assert_eq!(Availability { desired, ready }.is_short(before), short);
        }
    }

    #[test]
    fn a_shortage_is_red_after_a_time_and_forgotten_at_its_end() {
        let patience = secs(600);
        let mut shortages = Shortages::default();
        assert_eq!(shortages.verdict(patience, secs(1000)).color, Color::Green);
        shortages.observe(&owners(2, 1), |_| 0, secs(1000));
        shortages.observe(&owners(2, 0), |_| 0, secs(1500));
        let amber = shortages.verdict(patience, secs(1600));
        assert_eq!(
            (amber.color, amber.why.as_str()),
            (Color::Amber, "Deployment/x/web misses pods for 600 s")
        );
        assert_eq!(shortages.verdict(patience, secs(1601)).color, Color::Red);
        shortages.observe(&owners(2, 2), |_| 0, secs(1602));
        assert_eq!(shortages.verdict(patience, secs(1602)).color, Color::Green);
        shortages.observe(&owners(2, 1), |_| 0, secs(1700));
        assert_eq!(shortages.verdict(patience, secs(1820)).color, Color::Green, "it counts anew");
        assert_eq!(shortages.verdict(patience, secs(1821)).color, Color::Amber);
        shortages.observe(&BTreeMap::new(), |_| 0, secs(9000));
        assert_eq!(shortages.verdict(patience, secs(9000)).color, Color::Green, "its Deployment is gone");
    }

    #[test]
    fn a_few_are_named() {
        let all = (0..7)
            .map(|index| (owner(&format!("w{index}")), Availability { desired: 1, ready: 0 }))
            .collect();
        let mut shortages = Shortages::default();
        shortages.observe(&all, |_| 0, secs(1));
        let why = shortages.verdict(secs(9), secs(2)).why;
        assert_eq!((why.matches("misses").count(), why.ends_with("and 2 more")), (5, true), "{why}");
    }
}
