//! Seeds of histories that once did not end well, each played again every time. A change of what is drawn makes another history of a seed; what it showed
//! is then covered by the others, and by the tests that were written for it.

use simulation::Choice;

use crate::play::Runs;
use crate::rotations::LAST;

/// The seed, what went wrong in it, and what it showed.
const KEPT: &[(u64, Choice, &str)] = &[
    (
        6300,
        Choice::Some,
        "a person cordoned a node while it settled: its workloads stayed short, and the hold did not say why",
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
        "the check's own mistake: a person asked a node for another phase, and the run could not know of it yet; later, with other numbers drawn: the next \
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
        "a person took the cordon of a node away that had just been claimed; noting it passed for another claim, and room was reckoned in two ways",
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
    (
        8_001_669,
        Choice::Some,
        "the check's own mistake: a node was taken in the moment in which another one was done, and what makes its pods was not known before",
    ),
];

/// The same of runs in which pipelines replace nodes.
const ROTATIONS: &[(u64, Choice, &str)] = &[
    (
        32494,
        Choice::Some,
        "an autoscaler marked a node of a pool whose pipeline asks, and did not cordon it: it counted as one that stays",
    ),
    (
        35345,
        Choice::Some,
        "pods of a node that Karpenter had tainted counted as pods that only such nodes take, and no other node kept room for them",
    ),
    (
        32249,
        Choice::Some,
        "the pods of a node in a forbidden phase needed the DNS pod that was on it, so that the node was never let go",
    ),
    (
        31792,
        Choice::Some,
        "a node that waited for its turn was booted from its image, with pods of an earlier phase: no node was let go, and none was named",
    ),
    (
        31029,
        Choice::Some,
        "the run was turned while the gate of its bridge was not green, and took three passes back that nodes without Crossfade cannot go",
    ),
    (32909, Choice::Some, "the run was turned and over while a permit was under way, and the node kept it"),
    (
        34462,
        Choice::Some,
        "a node between both phases was to be replaced on the way back, and its pipeline was answered that it never would",
    ),
    (
        35859,
        Choice::Some,
        "a node of the image was brought back, and its policy was none of the plan since it took the place of another node",
    ),
    (
        32471,
        Choice::Some,
        "an old node that had joined was booted, passed for a new one, and was given back to Karpenter",
    ),
    (
        31554,
        Choice::Some,
        "a person took a node up again that had been skipped, and a pod moved there in that moment",
    ),
    (
        101_108,
        Choice::Some,
        "the watch told of a permit late, and a second node of a pool that begins with one took its place",
    ),
    (100_014, Choice::Some, "a DNS pod was evicted in the step that let a node with another one go"),
    (
        100_337,
        Choice::Some,
        "a node was tried again, and the cordon of another actor passed for the run's and was taken away",
    ),
    (103_445, Choice::Some, "a node that had not reported since its boot was let go, and was of the image"),
    (
        104_044,
        Choice::Some,
        "the check's own mistake: a person removed the step of a new node when the pass had just ended",
    ),
    (
        103_455,
        Choice::Some,
        "the check's own mistake: people had skipped all planned nodes of a pool, and two that had joined went beside each other without scouts",
    ),
    (
        150_012,
        Choice::Some,
        "a pipeline asked for three nodes at once, and the first had the scouts' only place and a DNS pod that pods on another of them needed",
    ),
    (
        163_029,
        Choice::Some,
        "the pipeline wanted the node with the only DNS pod that old pods reached, and all new replicas went to nodes of a forbidden phase",
    ),
    (
        9_303_137,
        Choice::Some,
        "a pipeline ended in the middle and left its mark on a node, and the run waited for ever",
    ),
    (9_324_572, Choice::Some, "the same, in a pass that was the only one"),
    (9_340_434, Choice::Some, "the same, on the way back"),
    (
        9_315_483,
        Choice::Some,
        "watch had ended on an old node that was booted: no pipeline might have the node, and no person was asked",
    ),
    (9_336_277, Choice::Some, "the same, with a bridge that a gate proves"),
    (
        9_336_827,
        Choice::Some,
        "a person set the label of a new node before it reported, and it was let go as an old one",
    ),
    (
        9_309_212,
        Choice::Some,
        "a person edited the phase of an old node, which counted as new while it followed its desired phase again",
    ),
    (
        9_505_735,
        Choice::Some,
        "a pod of a StatefulSet was still ending on a node that had lost its step, and the next one was evicted since it was not Ready",
    ),
    (9_301_094, Choice::Some, "the check's own mistake: a node that might go counted twice"),
    (
        9_314_544,
        Choice::Some,
        "the check's own mistake: another node was let go in the moment in which a person took Karpenter's annotation away",
    ),
    (
        9_345_457,
        Choice::Some,
        "the check's own mistake: a pod came to a node that a person had just taken up again, and no holder ran",
    ),
    (
        9_349_498,
        Choice::Some,
        "the check's own mistake: a node that a person flipped fills its own place, so its pool's first wave was over",
    ),
];

#[test]
fn rotations_that_once_failed_end_well() {
    let kept = ROTATIONS.iter().map(|(seed, choice, _)| (*seed, *choice)).collect();
    let tally = Runs::Rotations.must_end_well(kept);
    assert_eq!(tally.times.get(LAST), None, "each of them went to a migration image");
}

#[test]
fn histories_that_once_failed_end_well() {
    Runs::Clusters.must_end_well(KEPT.iter().map(|(seed, choice, _)| (*seed, *choice)).collect());
}
