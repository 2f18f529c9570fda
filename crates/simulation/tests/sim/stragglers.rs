//! Runs that bring stragglers to the phase that their cluster is in.

use simulation::{CallFault, Choice, Fault, GateFault, NodeFault, Tamper};

use crate::play::{Runs, all};

/// How many histories without a fault are played, and how many with some.
const QUIET: u64 = 60;
const FAULTY: u64 = 40;
/// How many of each that end the holder before or after a call.
const CRASHING: u64 = 12;

/// Seeds of histories with faults that once did not end well, and what each showed.
const KEPT: [(u64, &str); 3] = [
    (
        102_535,
        "the last DNS pod of a phase waited for pods that could reach no other one, and was the only pod of that phase itself",
    ),
    (104_164, "a DNS pod waited for the pod of a DaemonSet, which waited for all others of its node"),
    (123_705, "two DNS pods of one node waited for each other"),
];

#[test]
fn histories_that_once_failed_end_well() {
    Runs::Stragglers.must_end_well(KEPT.iter().map(|(seed, _)| (*seed, Choice::Some)).collect());
}

#[test]
fn stragglers_are_brought_to_the_phase() {
    Runs::Stragglers.must_end_well((0..QUIET).map(|seed| (seed, Choice::Quiet)).collect());
}

#[test]
fn the_same_whatever_goes_wrong() {
    Runs::Stragglers.must_end_well((0..FAULTY).map(|seed| (seed, Choice::Some)).collect());
}

#[test]
fn the_same_where_holders_end_at_any_call() {
    let crashes = [Fault::Call(CallFault::CrashBefore), Fault::Call(CallFault::CrashAfter)];
    let histories =
        crashes.into_iter().flat_map(|fault| (0..CRASHING).map(move |seed| (seed, Choice::Only(fault))));
    Runs::Stragglers.must_end_well(histories.collect());
}

/// Each of them has something to move, or the tests above would show nothing.
#[test]
fn every_history_has_stragglers() {
    let played = all((0..QUIET).collect(), |seed| Runs::Stragglers.play(*seed, Choice::Quiet, None).tally);
    let idle = played.iter().filter(|tally| !tally.times.contains_key("a claim")).count();
    assert_eq!(idle, 0, "{idle} runs took no node");
}

/// A run that does not see what is attached to nodes is noticed, and so is one that does not see a gate, or trouble of others.
#[test]
fn a_blind_run_is_noticed() {
    for (tamper, choice, invariant) in [
        (Tamper::Attachments, Choice::Quiet, "R8"),
        (Tamper::Freshness, Choice::Only(Fault::Gate(GateFault::GateSilent)), "R9"),
        (Tamper::Trouble, Choice::Only(Fault::Node(NodeFault::Cordon)), "R2"),
        (Tamper::Requests, Choice::Quiet, "R13"),
    ] {
        let is_noticed = |seed: u64| {
            Runs::Stragglers
                .play(seed, choice, Some(tamper))
                .violations
                .iter()
                .any(|violation| violation.invariant == invariant)
        };
        assert!((0..200).any(is_noticed), "{tamper:?}: no history of 200 breaks {invariant}");
    }
}
