//! Draws what goes wrong.

use crate::disturb::fault::{
    CallFault, Fault, Faults, HolderFault, MachineFault, NodeFault, ObjectFault, PersonFault, PipelineFault,
};
use crate::draw::random::Random;
use crate::history::queue::{HOUR, MINUTE};

/// Which faults a history may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    Quiet,
    /// This one alone.
    Only(Fault),
    Both(Fault, Fault),
    Some,
}

/// Draws faults and their rates.
pub(super) fn draw(random: &mut Random, choice: Choice) -> Faults {
    let kinds: Vec<Fault> = match choice {
        Choice::Quiet => return Faults::none(),
        Choice::Only(fault) => vec![fault],
        Choice::Both(item, other) => vec![item, other],
        Choice::Some => {
            let often = match random.number_below(100) {
                0..5 => return Faults::none(),
                5..50 => 40,
                50..85 => 120,
                _ => 400,
            };
            let mut aside = random.fork();
            let is_drawn = |fault: &Fault| match fault {
                Fault::Person(PersonFault::Replan)
                | Fault::Node(NodeFault::HostileNode)
                | Fault::Object(ObjectFault::Tenant)
                | Fault::Holder(HolderFault::SilentWatch)
                | Fault::Machine(MachineFault::JoinHangs)
                | Fault::Call(CallFault::JoinRefused | CallFault::OldConnections) => aside.chance(often),
                _ => random.chance(often),
            };
            Fault::ALL
                .into_iter()
                .filter(|fault| !Fault::OF_PIPELINES.contains(fault))
                .filter(is_drawn)
                .collect()
        }
    };
    let busy = random.number_between(1, 4);
    let rates = kinds.into_iter().map(|fault| {
        let rate = match fault {
            Fault::Call(CallFault::CrashBefore | CallFault::CrashAfter) => random.number_between(5, 40),
            Fault::Node(NodeFault::Touch) => random.number_between(5_000, 60_000),
            Fault::Call(_) => random.number_between(20, 300),
            Fault::Machine(_)
            | Fault::Node(_)
            | Fault::Object(_)
            | Fault::Holder(_)
            | Fault::Person(_)
            | Fault::Pipeline(_)
            | Fault::Gate(_) => random.number_between(3 * MINUTE, 30 * MINUTE) * busy,
        };
        (fault, rate)
    });
    Faults { rates: rates.collect(), until: random.number_between(20 * MINUTE, 4 * HOUR) }
}

/// Faults of pipelines beside the others, in two of three histories.
pub(super) fn add_of_pipelines(random: &mut Random, faults: &mut Faults) {
    if random.chance(330) {
        return;
    }
    let mut aside = random.fork();
    for fault in Fault::OF_PIPELINES {
        // By numbers of its own, so that the others are drawn as they were.
        let is_aside = fault == Fault::Pipeline(PipelineFault::BadImage);
        let random = if is_aside { &mut aside } else { &mut *random };
        if random.chance(300) {
            let rate = if fault.is_of_calls() {
                random.number_between(30, 400)
            } else {
                random.number_between(5 * MINUTE, 60 * MINUTE)
            };
            faults.rates.push((fault, rate));
        }
    }
    faults.until = faults.until.max(random.number_between(20 * MINUTE, 4 * HOUR));
}
