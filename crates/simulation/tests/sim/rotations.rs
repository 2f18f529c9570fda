//! Runs in which pipelines replace nodes.

use simulation::Choice;

use crate::play::Runs;

/// How many histories without a fault are played.
const QUIET: u64 = 60;

#[test]
fn pipelines_replace_all_nodes() {
    Runs::Rotations.must_end_well((0..QUIET).map(|seed| (seed, Choice::Quiet)).collect());
}
