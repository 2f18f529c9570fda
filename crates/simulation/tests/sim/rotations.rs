//! Runs in which pipelines replace nodes.

use simulation::Choice;

use crate::play::Runs;

/// How many histories without a fault are played.
const QUIET: u64 = 60;
/// The first history with faults, and how many of them.
const FAULTY: (u64, u64) = (100, 60);

#[test]
fn pipelines_replace_all_nodes() {
    Runs::OfRotations.must_end_well((0..QUIET).map(|seed| (seed, Choice::Quiet)).collect());
}

#[test]
fn the_same_whatever_goes_wrong() {
    let (first, count) = FAULTY;
    Runs::OfRotations.must_end_well((first..first + count).map(|seed| (seed, Choice::Some)).collect());
}
