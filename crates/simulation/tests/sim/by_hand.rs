//! Histories that are started by hand and by `make soak`: one history with its journal, or random ones for a time.
//!
//! | variable | what it says |
//! |---|---|
//! | `CROSSFADE_SIM_SEED` | the seed, or the first one; without it `one` plays 1, and `many` draws the first |
//! | `CROSSFADE_SIM_FAULT` | `Quiet`, `Some`, a fault, or two of them: `Reboot+Cordon`; `Some` if it is not set |
//! | `CROSSFADE_SIM_RUNS` | `clusters`, `stragglers` for runs that fix these, `rotations`, or `fleets` for those with Cluster API; `clusters` if it is not set |
//! | `CROSSFADE_SIM_BLIND` | what the run is blind to; `one` only |
//! | `CROSSFADE_SIM_HISTORIES` | how many histories; 1000 if nothing is set |
//! | `CROSSFADE_SIM_MINUTES` | for how long instead |

use std::time::{Duration, Instant, SystemTime};

use simulation::{Choice, History, Tally, Tamper};

use crate::play::{Runs, all, name, named};

/// How many histories are played before the time is looked at.
const BATCH: u64 = 200;
/// How many bad ones are printed.
const PRINTED: usize = 20;

fn variable(name: &str) -> Option<String> {
    std::env::var(format!("CROSSFADE_SIM_{name}")).ok().filter(|value| !value.is_empty())
}

fn number(name: &str) -> Option<u64> {
    variable(name).map(|value| value.parse().unwrap_or_else(|_| panic!("CROSSFADE_SIM_{name} is no number")))
}

fn choice() -> Choice {
    named(&variable("FAULT").unwrap_or_else(|| "Some".into()))
}

fn runs() -> Runs {
    match variable("RUNS").as_deref() {
        None | Some("clusters") => Runs::Clusters,
        Some("stragglers") => Runs::Stragglers,
        Some("rotations") => Runs::Rotations,
        Some("fleets") => Runs::Fleets,
        Some(other) => {
            panic!("CROSSFADE_SIM_RUNS is {other:?}; expected clusters, stragglers, rotations or fleets")
        }
    }
}

/// Tells one history.
#[test]
#[ignore = "prints one history"]
fn one() {
    let blind = variable("BLIND").map(|name| {
        Tamper::ALL
            .into_iter()
            .find(|tamper| format!("{tamper:?}") == name)
            .expect("something to be blind to")
    });
    let drawn = runs().draw(number("SEED").unwrap_or(1), choice());
    let outcome = History::new(drawn, blind).with_trace().play();
    println!("{}", outcome.trace.join("\n"));
    println!("{:?} {:?} {}", outcome.violations, outcome.tally, outcome.took);
}

/// Plays many, says how often what happened, and fails if one of them does not end well.
#[test]
#[ignore = "takes as long as it is told to"]
fn many() {
    let drawn = || {
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        (since.as_nanos() % 1_000_000_000_000).try_into().unwrap_or_default()
    };
    let first = number("SEED").unwrap_or_else(drawn);
    let (runs, choice, began) = (runs(), choice(), Instant::now());
    let time = number("MINUTES").map(|minutes| Duration::from_secs(60 * minutes));
    let most = match (number("HISTORIES"), time) {
        (Some(most), _) => most,
        (None, Some(_)) => u64::MAX - first,
        (None, None) => 1000,
    };
    println!("histories from seed {first} on, {}", name(choice));
    let (mut played, mut bad, mut tally) = (0, 0, Tally::default());
    while played < most && time.is_none_or(|time| began.elapsed() < time) {
        let batch = BATCH.min(most - played);
        let seeds = (first + played..first + played + batch).collect();
        for (seed, outcome) in all(seeds, |seed| (*seed, runs.play(*seed, choice, None))) {
            tally.add(&outcome.tally);
            if let Some(violation) = outcome.violations.first() {
                bad += 1;
                if bad <= PRINTED {
                    println!("{}", runs.describe(seed, choice, violation));
                }
            }
        }
        played += batch;
    }
    println!("{tally:#?}");
    println!(
        "{played} histories from seed {first} on, {} of them bad, in {} s",
        bad,
        began.elapsed().as_secs()
    );
    assert_eq!(
        bad, 0,
        "histories that did not end well are above, each with the command that plays it again"
    );
}
