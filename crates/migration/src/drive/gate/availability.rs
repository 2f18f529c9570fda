//! The gate on the workloads that the settings name in `watchedResources`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::roll::world::{Availability, Color, Owner, Verdict};

/// Green if each of them exists and is ready, red otherwise. Nothing is watched: green.
#[must_use]
pub fn decide(owners: &[Owner], availability: &BTreeMap<Owner, Availability>, now: Duration) -> Verdict {
    let wrong: Vec<String> = owners
        .iter()
        .filter_map(|owner| match availability.get(owner) {
            None => Some(format!("{} does not exist", owner.title())),
            Some(now) if now.ready < now.desired => {
                Some(format!("{} has {} of {} pods ready", owner.title(), now.ready, now.desired))
            }
            Some(_) => None,
        })
        .collect();
    let (color, why) = match wrong.as_slice() {
        [] => (Color::Green, format!("{} workloads are ready", owners.len())),
        wrong => (Color::Red, wrong.join(", ")),
    };
    Verdict { color, checked_at: now, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_that_is_short_or_missing_is_red() {
        let owner = |name: &str| Owner { kind: "DaemonSet".into(), namespace: "x".into(), name: name.into() };
        let known = BTreeMap::from([
            (owner("all"), Availability { desired: 2, ready: 2 }),
            (owner("short"), Availability { desired: 2, ready: 1 }),
            (owner("none"), Availability { desired: 0, ready: 0 }),
        ]);
        for (names, color, why) in [
            (&[][..], Color::Green, "0 workloads are ready"),
            (&["all", "none"], Color::Green, "2 workloads are ready"),
            (&["all", "short"], Color::Red, "DaemonSet/x/short has 1 of 2 pods ready"),
            (&["gone"], Color::Red, "DaemonSet/x/gone does not exist"),
        ] {
            let wanted: Vec<Owner> = names.iter().map(|name| owner(name)).collect();
            let verdict = decide(&wanted, &known, Duration::ZERO);
            assert_eq!((verdict.color, verdict.why.as_str()), (color, why));
        }
    }
}
