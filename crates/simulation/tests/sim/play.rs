//! Plays histories, several at once, and says how a bad one is played again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use simulation::{
    Choice, Fault, History, HolderFault, MachineFault, NodeFault, Outcome, Scenario, Tally, Tamper, Violation,
};

/// Which runs are played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runs {
    /// Of whole clusters, from one phase to another.
    Clusters,
    /// Of stragglers, in clusters that are in their phase.
    Stragglers,
    /// In which pipelines replace nodes.
    Rotations,
    /// The same with Machines of Cluster API, and with images in different phases.
    Fleets,
}

impl Runs {
    /// Draws a history.
    pub(crate) fn draw(self, seed: u64, choice: Choice) -> Scenario {
        match self {
            Self::Clusters => Scenario::draw(seed, choice),
            Self::Stragglers => Scenario::draw_stragglers(seed, choice),
            Self::Rotations => Scenario::draw_rotation(seed, choice),
            Self::Fleets => Scenario::draw_fleet(seed, choice),
        }
    }

    /// Plays one history.
    pub(crate) fn play(self, seed: u64, choice: Choice, tamper: Option<Tamper>) -> Outcome {
        guarded(|| self.draw(seed, choice), tamper)
    }

    /// Fails with every history of these that does not end well. Says what happened in all of them.
    pub(crate) fn must_end_well(self, histories: Vec<(u64, Choice)>) -> Tally {
        let played = all(histories, |(seed, choice)| {
            let outcome = self.play(*seed, *choice, None);
            let bad = outcome.violations.first().map(|violation| self.describe(*seed, *choice, violation));
            (outcome.tally, bad)
        });
        let mut tally = Tally::default();
        played.iter().for_each(|(of_history, _)| tally.add(of_history));
        let bad: Vec<String> = played.into_iter().filter_map(|(_, bad)| bad).collect();
        assert!(bad.is_empty(), "{}", bad.join("\n"));
        tally
    }

    /// A history that did not end well, and the command that plays it again.
    pub(crate) fn describe(self, seed: u64, choice: Choice, violation: &Violation) -> String {
        let why: String = violation.why.chars().take(2000).collect();
        let runs = match self {
            Self::Clusters => "",
            Self::Stragglers => "CROSSFADE_SIM_RUNS=stragglers ",
            Self::Rotations => "CROSSFADE_SIM_RUNS=rotations ",
            Self::Fleets => "CROSSFADE_SIM_RUNS=fleets ",
        };
        format!(
            "seed {seed}, {}, at {} s, {}: {why}\n  again: {runs}CROSSFADE_SIM_SEED={seed} CROSSFADE_SIM_FAULT={} cargo test -p simulation --test sim -- --ignored --exact by_hand::one --nocapture",
            name(choice),
            violation.occurred_at / 1000,
            violation.invariant,
            name(choice)
        )
    }
}

/// Plays one history of a whole cluster.
pub(crate) fn play(seed: u64, choice: Choice, tamper: Option<Tamper>) -> Outcome {
    Runs::Clusters.play(seed, choice, tamper)
}

/// A panic is a violation like any other: the seed must not be lost with it.
fn guarded(drawn: impl FnOnce() -> Scenario, tamper: Option<Tamper>) -> Outcome {
    let played = catch_unwind(AssertUnwindSafe(|| History::new(drawn(), tamper).play()));
    played.unwrap_or_else(|panic| {
        let of_text = panic.downcast_ref::<&str>().map(|why| (*why).to_owned());
        let why = of_text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Outcome {
            violations: vec![Violation { invariant: "a panic", why, occurred_at: 0 }],
            ..Outcome::default()
        }
    })
}

/// What becomes of each of these, in their order; as many at once as there are cores.
pub(crate) fn all<A: Sync, B: Send>(items: Vec<A>, play: impl Fn(&A) -> B + Sync) -> Vec<B> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores.min(items.len()) {
            scope.spawn(|| {
                while let Some((index, item)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    items.get(index).map(|item| (index, item))
                } {
                    let became = play(item);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((index, became));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, became)| became).collect()
}

/// `Quiet`, `Some`, `Reboot` or `Reboot+Cordon`.
pub(crate) fn name(choice: Choice) -> String {
    match choice {
        Choice::Quiet => "Quiet".into(),
        Choice::Some => "Some".into(),
        Choice::Only(fault) => format!("{fault:?}"),
        Choice::Both(item, other) => format!("{item:?}+{other:?}"),
    }
}

/// The choice of this name.
pub(crate) fn named(name: &str) -> Choice {
    let fault = |name: &str| {
        let fault = Fault::ALL.into_iter().find(|fault| format!("{fault:?}") == name);
        fault.unwrap_or_else(|| panic!("no fault is called {name}; there are {:?}", Fault::ALL))
    };
    match (name, name.split_once('+')) {
        ("Quiet", _) => Choice::Quiet,
        ("Some", _) => Choice::Some,
        (_, Some((item, other))) => Choice::Both(fault(item), fault(other)),
        (item, None) => Choice::Only(fault(item)),
    }
}

#[test]
fn a_choice_has_one_name() {
    let pair = Choice::Both(Fault::Machine(MachineFault::Reboot), Fault::Node(NodeFault::Cordon));
    for choice in [Choice::Quiet, Choice::Some, Choice::Only(Fault::Holder(HolderFault::Deaf)), pair] {
        assert_eq!(named(&name(choice)), choice);
    }
}
