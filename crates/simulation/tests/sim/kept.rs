//! Seeds of histories that once did not end well, each played again every time. A change of what is drawn makes another history of a seed; what it showed
//! is then covered by the others, and by the tests that were written for it.

use simulation::Choice;

use crate::play::Runs;

/// The seed, what went wrong in it, and what it showed.
const KEPT: &[(u64, Choice, &str)] = &[
    (
        6300,
        Choice::Some,
        "somebody cordoned a node while it settled: its workloads stayed short, and the hold did not say why",
    ),
    (
        510_021,
        Choice::Some,
        "a claim was sent again since its answer was lost; the conflict was taken for a no, and its place went to another node",
    ),
    (
        501_738,
        Choice::Some,
        "the next pass was written once more a minute after its answer was lost, and a node of another phase had joined meanwhile",
    ),
    (
        1093,
        Choice::Some,
        "the check's own mistake: somebody asked a node for another phase, and the run could not know of it yet; later, with other numbers drawn: the next \
         node started in the place of one that waited for room, and then both did",
    ),
    (
        10224,
        Choice::Some,
        "the check's own mistake: a node forgot a pod and kept an attachment of another, so that the count agreed",
    ),
    (
        10321,
        Choice::Some,
        "the check's own mistake: DNS pods of a node that had just been rebooted were not Ready, and the run could not know of it yet",
    ),
    (
        1_003_672,
        Choice::Some,
        "somebody took the cordon of a node away that had just been claimed; noting it passed for another claim, and room was reckoned in two ways",
    ),
    (
        1_001_093,
        Choice::Some,
        "a new node handed out another network before it had said anything, and another node went to a phase that its pods could not reach",
    ),
    (
        5_045_289,
        Choice::Some,
        "a node that was asked for a forbidden phase lost its report, no phase was known to part nothing, and the run stood without saying why",
    ),
];

#[test]
fn histories_that_once_failed_end_well() {
    Runs::Clusters.must_end_well(KEPT.iter().map(|(seed, choice, _)| (*seed, *choice)).collect());
}
