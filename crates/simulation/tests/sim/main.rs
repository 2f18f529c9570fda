//! Random histories of whole clusters, played against the real driver, with the invariants asked of the cluster as it is.
//!
//! | tests | what they play |
//! |---|---|
//! | `histories_*`, `kept` | histories that must end well: without faults, with some, and those that once did not |
//! | `stragglers` | the same of runs that fix stragglers |
//! | `rotations` | the same of runs in which pipelines replace nodes |
//! | `mutants` | runs that are blind to one thing, each of which must break an invariant |
//! | `by_hand` | one history with its journal, or as many as there is time for; not part of `cargo test` |

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may read files and the clock"
)]

mod by_hand;
mod kept;
mod mutants;
mod play;
mod rotations;
mod stragglers;

use play::{Runs, all};
use simulation::Choice;

/// How many histories without a fault `cargo test` plays.
const QUIET: u64 = 80;
/// How many with faults.
const FAULTY: u64 = 60;

/// Without faults every run comes to its end, and nothing of the invariants is broken on the way.
#[test]
fn histories_without_faults_end_well() {
    Runs::Clusters.must_end_well((0..QUIET).map(|seed| (seed, Choice::Quiet)).collect());
}

/// Whatever goes wrong, the same holds once it is over.
#[test]
fn histories_with_faults_end_well() {
    Runs::Clusters.must_end_well((0..FAULTY).map(|seed| (seed, Choice::Some)).collect());
}

/// The same seed plays the same history, or a kept seed would say nothing.
#[test]
fn a_seed_plays_the_same_again() {
    let again = all(vec![3, 3], |seed| play::play(*seed, Choice::Some, None));
    assert_eq!(again[0].tally, again[1].tally);
    assert_eq!(again[0].took, again[1].took);
}
