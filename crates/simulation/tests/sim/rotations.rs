//! Runs in which pipelines replace nodes.

use simulation::Choice;

use crate::play::Runs;

/// What a history tells that goes to the final image.
pub(crate) const LAST: &str = "a rotation to the final image";
/// How many histories without a fault are played.
const QUIET: u64 = 60;
/// How many with faults: of machines, objects and people as in all other histories, and of pipelines.
const FAULTY: u64 = 40;
/// Histories with faults that once did not end well.
const KEPT: &[u64] =
    &[103_618, 103_825, 106_601, 106_967, 108_397, 109_250, 112_061, 113_990, 118_447, 118_810];

#[test]
fn pipelines_replace_all_nodes() {
    let tally = Runs::Rotations.must_end_well((0..QUIET).map(|seed| (seed, Choice::Quiet)).collect());
    assert!(tally.times.get(LAST) > Some(&5), "{:?}", tally.times);
}

#[test]
fn pipelines_replace_all_nodes_whatever_goes_wrong() {
    Runs::Rotations.must_end_well((0..FAULTY).map(|seed| (seed, Choice::Some)).collect());
}

#[test]
fn rotations_that_once_did_not_end_well_are_played_again() {
    let tally = Runs::Rotations.must_end_well(KEPT.iter().map(|seed| (*seed, Choice::Some)).collect());
    assert_eq!(tally.times.get(LAST), None, "each of them went to a migration image");
}

/// Cluster API deletes Machines in an order of its own, and each waits at the run's hook.
#[test]
fn hooks_hold_machines_and_each_pool_gets_its_own_image() {
    Runs::Fleets.must_end_well((0..QUIET).map(|seed| (seed, Choice::Quiet)).collect());
}

#[test]
fn hooks_hold_machines_whatever_goes_wrong() {
    Runs::Fleets.must_end_well((0..FAULTY).map(|seed| (seed, Choice::Some)).collect());
}
