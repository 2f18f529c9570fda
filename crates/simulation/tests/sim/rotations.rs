//! Runs in which pipelines replace nodes.

use simulation::Choice;

use crate::play::Runs;

/// How many histories without a fault are played.
const QUIET: u64 = 60;
/// How many with faults: of machines, objects and people as in all other histories, and of pipelines.
const FAULTY: u64 = 40;

#[test]
fn pipelines_replace_all_nodes() {
    Runs::Rotations.must_end_well((0..QUIET).map(|seed| (seed, Choice::Quiet)).collect());
}

#[test]
fn pipelines_replace_all_nodes_whatever_goes_wrong() {
    Runs::Rotations.must_end_well((0..FAULTY).map(|seed| (seed, Choice::Some)).collect());
}
