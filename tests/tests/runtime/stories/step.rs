//! The events on a node, drawn at random.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Pods that a history plays with.
pub(crate) const PODS: u8 = 6;

/// The networks' names.
pub(crate) const NETWORKS: [&str; 2] = ["old", "new"];

/// The phases of a migration.
pub(crate) const PHASES: [&str; 4] = ["old", "both-old", "both-new", "new"];

/// What a delegate says when it fails; some of it would mean success to containerd.
pub(crate) const WORDS: [&str; 3] =
    ["the table is busy", "link eth0 not found", "open /x: no such file or directory"];

/// One thing that happens.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A pod is run, if it is not there.
    Run(u8),
    /// A pod is stopped.
    Stop(u8),
    /// A pod is stopped and removed.
    End(u8),
    /// Each of these pods at once: run if it is not there, else stopped and removed.
    Storm(Vec<u8>),
    /// The policy flips so that a running pod has a network too few or too many, and that network joins or leaves the pod.
    Change(u8),
    /// The same, while the pod is stopped and removed.
    Race(u8),
    /// The policy flips to this phase.
    Flip(usize),
    /// The next calls of a network's spy for this verb fail so often, with these words.
    Fail { network: usize, verb: &'static str, times: usize, words: usize },
    /// Nothing fails any more, every agent is there.
    Heal,
    /// A network's agent is away.
    AgentAway(usize),
    /// A pod's netns is unmounted.
    Unmount(u8),
    /// Containerd is killed and started.
    Kill,
    /// Containerd is killed, the shims with it or not, while the ADD of a new pod is in the hands of a network; then it is
    /// started.
    Cut { network: usize, shims: bool },
    /// What containerd does not list is swept.
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    let fail = (0..2_usize, prop_oneof![Just("ADD"), Just("DEL")], 1..3_usize, 0..WORDS.len());
    prop_oneof![
        6 => (0..PODS).prop_map(Step::Run),
        3 => (0..PODS).prop_map(Step::Stop),
        4 => (0..PODS).prop_map(Step::End),
        2 => proptest::sample::subsequence((0..PODS).collect::<Vec<_>>(), 2..=usize::from(PODS)).prop_map(Step::Storm),
        4 => (0..PODS).prop_map(Step::Change),
        2 => (0..PODS).prop_map(Step::Race),
        4 => (0..PHASES.len()).prop_map(Step::Flip),
        4 => fail.prop_map(|(network, verb, times, words)| Step::Fail { network, verb, times, words }),
        2 => Just(Step::Heal),
        1 => (0..2_usize).prop_map(Step::AgentAway),
        1 => (0..PODS).prop_map(Step::Unmount),
        1 => Just(Step::Kill),
        1 => (0..2_usize, any::<bool>()).prop_map(|(network, shims)| Step::Cut { network, shims }),
        1 => Just(Step::Sweep),
    ]
}

/// The history that belongs to a seed.
pub(crate) fn history(seed: u64) -> Vec<Step> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let drawn = proptest::collection::vec(step(), 20..40).new_tree(&mut runner);
    // No part of the strategy rejects what it draws.
    drawn.map(|tree| tree.current()).unwrap_or_default()
}
